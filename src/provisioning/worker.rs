//! The worker: takes what the stream delivers, lets plugins decide, settles in order. What the stream lost it finds
//! by looking at the database once a poll; so a stream that is away makes it slower, not stop.
//!
//! A delivery says that a partition has reached a number, nothing more: the range from what is settled up to there is
//! read from the outbox. Entries that come twice, late or in disorder are therefore only acknowledged.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::decide::{Item, decide_all};
use super::lease::Leases;
use super::settle::Settlement;
use super::{Inner, Outcome, Way};
use crate::error::{Error, Result};
use crate::plugin::Hook;
use crate::store::db::Dialect;
use crate::store::ledger::{Claimed, Role, Stretch, fitting};
use crate::stream::{Delivery, Stream};

/// Batches of one partition in one step: then leases and other partitions have their turn.
const BATCHES_MAX: usize = 8;
/// Partitions worked on at once where the database can.
const AT_ONCE: usize = 4;
/// Records of more collections than this in one batch are scattered.
const COLLECTIONS_FEW: usize = 8;

/// What a worker remembers between its steps.
pub(super) struct State {
    leases: Leases,
    settled: BTreeMap<u32, i64>,
    /// When dead letters of a partition are due, in Unix microseconds.
    due: BTreeMap<u32, i64>,
    /// The most collections that the records of one batch of the last step were of.
    collections: usize,
    looked_at: i64,
    reclaimed_at: BTreeMap<u32, i64>,
    /// Whether rows are being gone over once more, and when that was last looked for.
    rebuilding: bool,
    rebuild_looked_at: i64,
}

impl State {
    pub(super) fn new(owner: &str) -> Self {
        State {
            leases: Leases::new(Role::Worker, owner),
            settled: BTreeMap::new(),
            due: BTreeMap::new(),
            collections: 0,
            looked_at: 0,
            reclaimed_at: BTreeMap::new(),
            rebuilding: false,
            rebuild_looked_at: 0,
        }
    }

    pub(super) fn leases(&mut self) -> &mut Leases {
        &mut self.leases
    }
}

/// One partition's work in one step, and what became of it.
struct Job {
    p: u32,
    fence: i64,
    /// Everything up to here is settled.
    settled: i64,
    upto: i64,
    /// Whether there are letters to be tried again.
    retry: bool,
    count: usize,
    /// The most collections that the records of a batch were of.
    collections: usize,
    due: Option<i64>,
    lost: bool,
    retried: bool,
    failure: Option<Error>,
}

impl Job {
    fn new(p: u32, fence: i64, settled: i64, upto: i64, retry: bool) -> Self {
        let (count, collections, due, lost, retried, failure) = (0, 0, None, false, false, None);
        Job { p, fence, settled, upto, retry, count, collections, due, lost, retried, failure }
    }

    fn is_open(&self) -> bool {
        !self.lost && self.failure.is_none() && self.settled < self.upto
    }

    /// How many records wait, at most: numbers are dense.
    fn waiting(&self) -> usize {
        usize::try_from(self.upto - self.settled).unwrap_or(0)
    }
}

/// Which partitions share a transaction. All do while what waits is little: then most of what it costs it costs once.
/// Of more, records of few collections go side by side, and meet only at the positions of those. But records of many
/// are always taken together: each partition would have a few of every collection, pay for each again, and wait for
/// the others wherever one publishes something. Letters are tried by themselves.
fn together(jobs: Vec<Job>, max: usize, scattered: bool) -> Vec<Vec<Job>> {
    let (mut groups, mut group, mut size) = (Vec::new(), Vec::new(), 0_usize);
    for job in jobs {
        if job.retry {
            groups.push(vec![job]);
            continue;
        }
        let waiting = job.waiting();
        if !scattered && size.saturating_add(waiting) > max && !group.is_empty() {
            groups.push(std::mem::take(&mut group));
            size = 0;
        }
        size = size.saturating_add(waiting);
        group.push(job);
    }
    if !group.is_empty() {
        groups.push(group);
    }
    groups
}

impl Inner {
    /// One step over every partition that this node holds, waiting at most `wait`, and not beyond `stop`, for the
    /// first delivery.
    pub(super) async fn step_worker(&self, wait: Duration, stop: &CancellationToken) -> Result<Outcome> {
        let ready = self.ready().await?;
        let mut state = self.worker.lock().await;
        let mut upto = BTreeMap::new();
        let now = self.parts.clock.now_us();
        if state.leases.due(self, now) {
            upto = self.look(&mut state, now).await?;
        }
        let busy = upto.iter().any(|(p, upto)| state.settled.get(p).is_some_and(|settled| settled < upto));
        let wait = if busy || state.rebuilding { Duration::ZERO } else { self.until_due(&state, now, wait) };
        let deliveries = self.receive(&*ready.stream, &mut state, wait, stop).await;
        for delivery in &deliveries {
            let upto = upto.entry(delivery.partition).or_insert(0);
            *upto = delivery.entry.pseq.max(*upto);
        }
        let now = self.parts.clock.now_us();
        let poll_us = i64::try_from(self.parts.config.stream.poll_ms).unwrap_or(1_000).saturating_mul(1_000);
        // A full read is part of more: of one partition perhaps, while others wait that would share its transaction.
        let full = deliveries.len() >= self.parts.config.stream.batch_max.max(1);
        if full || deliveries.is_empty() || !(0..poll_us).contains(&(now - state.looked_at)) {
            upto.append(&mut self.look(&mut state, now).await?);
        }
        let count = self.work(&mut state, &upto, now).await?;
        self.confirm(&*ready.stream, &state, &deliveries).await;
        let count = count + self.rebuild(&mut state, now, poll_us).await;
        Ok(if count + deliveries.len() == 0 { Outcome::Idle } else { Outcome::Progress(count) })
    }

    /// Goes over some rows once more when it is time; how many. A failure only delays that.
    async fn rebuild(&self, state: &mut State, now: i64, poll_us: i64) -> usize {
        if !state.rebuilding && (0..poll_us).contains(&(now - state.rebuild_looked_at)) {
            return 0;
        }
        let step = self.rebuild_step(&state.leases).await;
        (state.rebuilding, state.rebuild_looked_at) = (matches!(step, Ok(Some(_))), now);
        match step {
            Ok(count) => count.unwrap_or(0),
            Err(error) => {
                tracing::warn!(%error, cause = ?error.cause(), "rows were not gone over; trying again");
                0
            }
        }
    }

    /// The one statement of an idle worker: leases, how far everything is, when the next retry is due.
    async fn look(&self, state: &mut State, now: i64) -> Result<BTreeMap<u32, i64>> {
        let mut all = self.parts.store.partition_states(Role::Worker, now).await?;
        state.leases.keep(self, &mut all, now).await?;
        all.retain(|a| state.leases.fence(a.p).is_some());
        state.settled = all.iter().map(|a| (a.p, a.settled)).collect();
        state.due = all.iter().filter_map(|a| Some((a.p, a.due?))).collect();
        state.looked_at = now;
        Ok(all.iter().map(|a| (a.p, a.claimed)).collect())
    }

    /// Not longer than until the next retry.
    fn until_due(&self, state: &State, now: i64, wait: Duration) -> Duration {
        let next = state.due.values().min().map(|due| u64::try_from(due - now).unwrap_or(0));
        next.map_or(wait, |us| wait.min(Duration::from_micros(us)))
    }

    /// What the stream has: new entries, and now and then those that some dead consumer left.
    async fn receive(
        &self,
        stream: &dyn Stream,
        state: &mut State,
        wait: Duration,
        stop: &CancellationToken,
    ) -> Vec<Delivery> {
        let held = state.leases.held();
        let max = self.parts.config.stream.batch_max.max(1);
        let lease = Duration::from_millis(self.parts.config.stream.lease_ms);
        let now = self.parts.clock.now_us();
        let mut found = Vec::new();
        let lease_us = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        let old = |at: &i64| !(0..lease_us).contains(&(now - at));
        for p in &held {
            if state.reclaimed_at.get(p).is_none_or(old) {
                match stream.reclaim(*p, lease, max).await {
                    Ok(entries) => found.extend(entries),
                    Err(error) => self.stream_answered(Way::Read, Some(error)),
                }
                state.reclaimed_at.insert(*p, now);
            }
        }
        let wait = if found.is_empty() { wait } else { Duration::ZERO };
        let read = tokio::select! {
            read = stream.read(&held, max, wait) => read,
            () = stop.cancelled() => return found,
        };
        // The look at the database that follows must not become a hot loop.
        let mut pause = held.is_empty();
        match read {
            Ok(entries) => {
                found.extend(entries);
                if !held.is_empty() {
                    self.stream_answered(Way::Read, None);
                }
            }
            Err(error) => {
                self.stream_answered(Way::Read, Some(error));
                pause = true;
            }
        }
        if pause {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
        found
    }

    /// Works on all partitions that have something to do; returns how many records were settled.
    async fn work(&self, state: &mut State, upto: &BTreeMap<u32, i64>, now: i64) -> Result<usize> {
        let jobs = state.leases.held().into_iter().filter_map(|p| {
            let (fence, settled) = (state.leases.fence(p)?, *state.settled.get(&p)?);
            let upto = upto.get(&p).copied().unwrap_or(settled);
            let retry = state.due.get(&p).is_some_and(|due| *due <= now);
            (upto > settled || retry).then(|| Job::new(p, fence, settled, upto, retry))
        });
        let max = self.parts.config.stream.batch_max.max(1);
        let groups = together(jobs.collect(), max, state.collections > COLLECTIONS_FEW);
        let at_once = if self.parts.store.db.dialect() == Dialect::Sqlite { 1 } else { AT_ONCE };
        let running = futures_util::stream::iter(groups).map(|group| self.run(group));
        let mut running = running.buffer_unordered(at_once);
        let (mut count, mut failure, mut done) = (0, None, Vec::new());
        while let Some(group) = running.next().await {
            done.extend(group);
        }
        drop(running);
        state.collections = done.iter().map(|result| result.collections).max().unwrap_or(state.collections);
        for result in done {
            count += result.count;
            state.settled.insert(result.p, result.settled);
            if result.retried {
                state.due.remove(&result.p);
            }
            if let Some(due) = result.due {
                let known = state.due.entry(result.p).or_insert(due);
                *known = due.min(*known);
            }
            if result.lost {
                state.leases.lose(result.p);
            }
            failure = failure.or(result.failure);
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(count),
        }
    }

    async fn run(&self, mut group: Vec<Job>) -> Vec<Job> {
        if let Err(error) = self.run_into(&mut group).await
            && let Some(first) = group.first_mut()
        {
            first.failure = Some(error);
        }
        group
    }

    async fn run_into(&self, group: &mut [Job]) -> Result<()> {
        for job in group.iter_mut().filter(|job| job.retry) {
            let retried = self.retry_due(job.p, job.fence).await?;
            job.count += retried.count;
            (job.due, job.lost, job.retried) = (retried.due, retried.lost, true);
        }
        for _ in 0..BATCHES_MAX {
            if group.iter().any(|job| job.failure.is_some()) {
                break;
            }
            let mut open: Vec<&mut Job> = group.iter_mut().filter(|job| job.is_open()).collect();
            let rows = self.load(&open).await?;
            let (mut stretches, mut counts) = (Vec::with_capacity(open.len()), Vec::new());
            open.retain(|job| {
                let rows = rows.get(&job.p).filter(|rows| !rows.is_empty());
                let Some(last) = rows.and_then(|rows| rows.last()) else { return false };
                stretches.push(Stretch { p: job.p, fence: job.fence, above: job.settled, upto: last.pseq });
                counts.push(rows.map_or(0, Vec::len));
                true
            });
            if open.is_empty() {
                break;
            }
            let items = self.items(rows.into_values().flatten().collect()).await?;
            let sources = items.iter().map(|item: &Item| &item.record.draft.source);
            let kinds: HashSet<_> = sources.map(|one| (&one.category, &one.subcategory)).collect();
            let collections = kinds.len();
            open.iter_mut().for_each(|job| job.collections = job.collections.max(collections));
            let known = self.plugins().await?.known;
            let thoughts = decide_all(items, known, self.hops_max()).await?;
            let settled = self.settle_each(&stretches, thoughts).await;
            for ((job, count), settled) in open.into_iter().zip(counts).zip(settled) {
                match settled {
                    Ok(Settlement::Done { settled, due }) => {
                        job.count += if settled > job.settled { count } else { 0 };
                        job.settled = settled;
                        job.due = [job.due, due].into_iter().flatten().min();
                    }
                    Ok(Settlement::Lost) => job.lost = true,
                    Err(error) => job.failure = Some(error),
                }
            }
        }
        Ok(())
    }

    /// The next rows of these partitions, in order, bounded in number for each and in bytes for all.
    async fn load(&self, jobs: &[&mut Job]) -> Result<BTreeMap<u32, Vec<Claimed>>> {
        if jobs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let max = i64::try_from(self.parts.config.stream.batch_max.max(1)).unwrap_or(i64::MAX);
        let upto = |job: &Job| job.upto.min(job.settled.saturating_add(max));
        let each: Vec<_> = jobs.iter().map(|job| (job.p, job.settled, upto(job))).collect();
        let rows = self.parts.store.claimed_in(&each).await?;
        let bytes_max = self.parts.config.provisioning.batch_bytes_max;
        let sizes = rows.values().flatten().map(|row| row.bytes);
        let mut left = fitting(sizes, i64::try_from(bytes_max).unwrap_or(i64::MAX));
        let part = |(p, mut rows): (u32, Vec<Claimed>)| {
            rows.truncate(left);
            left -= rows.len();
            (p, rows)
        };
        Ok(rows.into_iter().map(part).collect())
    }

    /// The records of these rows. One that somebody has taken out of the database has nothing to be settled and must
    /// not hold up the others: it is told, here and by `verify`.
    pub(super) async fn items(&self, rows: Vec<Claimed>) -> Result<Vec<Item>> {
        let ids: Vec<_> = rows.iter().map(|row| row.record_id).collect();
        let records = self.parts.store.records(&ids).await?;
        let found: HashMap<_, _> =
            records.into_iter().map(|record| (record.draft.id, Arc::new(record))).collect();
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(record) = found.get(&row.record_id).cloned() else {
                tracing::error!(record = %row.record_id, pseq = row.pseq, "the record is not there; passing it over");
                continue;
            };
            let hook = Hook::from_name(&row.hook)
                .ok_or_else(|| Error::internal(format!("unknown hook `{}` in the outbox", row.hook)))?;
            items.push(Item { pseq: row.pseq, hook, record, claimed_at: row.claimed_at });
        }
        Ok(items)
    }

    /// Acknowledges what is settled. A failure costs a redelivery, nothing else.
    async fn confirm(&self, stream: &dyn Stream, state: &State, deliveries: &[Delivery]) {
        let mut by_partition: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
        for delivery in deliveries {
            by_partition.entry(delivery.partition).or_default().push(delivery.entry.pseq);
        }
        let told = by_partition.into_iter().filter_map(|(p, mut pseqs)| {
            let settled = state.settled.get(&p).copied()?;
            pseqs.retain(|pseq| *pseq <= settled);
            Some(async move { stream.acknowledge(p, &pseqs, settled).await })
        });
        let told = futures_util::future::join_all(told).await;
        if let Some(error) = told.into_iter().find_map(Result::err) {
            self.stream_answered(Way::Read, Some(error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(waiting: &[i64], retry: &[u32], scattered: bool) -> Vec<Vec<u32>> {
        let jobs =
            (0..).zip(waiting).map(|(p, waiting)| Job::new(p, 1, 10, 10 + waiting, retry.contains(&p)));
        let groups = together(jobs.collect(), 200, scattered);
        groups.iter().map(|group| group.iter().map(|job| job.p).collect()).collect()
    }

    #[test]
    fn partitions_share_a_transaction_while_little_waits_in_them() {
        assert_eq!(groups(&[3, 4, 2, 3], &[], false), [vec![0, 1, 2, 3]]);
        assert_eq!(groups(&[150, 50, 1, 500, 20], &[], false), [vec![0, 1], vec![2], vec![3], vec![4]]);
    }

    #[test]
    fn they_always_do_for_records_of_many_collections() {
        assert_eq!(groups(&[150, 50, 1, 500, 20], &[], true), [vec![0, 1, 2, 3, 4]]);
    }

    #[test]
    fn letters_are_tried_by_themselves() {
        assert_eq!(groups(&[3, 0, 2], &[1], true), [vec![1], vec![0, 2]]);
    }
}
