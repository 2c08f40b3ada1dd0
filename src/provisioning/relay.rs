//! The relay: gives outbox rows their dense numbers under its lease, and brings the stream to where the database is.
//!
//! Where the stream ends is never trusted from memory: each append says what it believes, and the stream refuses what
//! does not follow. After `Gone` everything unsettled is appended anew, after `Moved` it goes on from the stream's own
//! end. Must not look at records.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;

use super::lease::Leases;
use super::{Inner, Outcome, Way};
use crate::error::Result;
use crate::store::db::Dialect;
use crate::store::ledger::{Partition, Role};
use crate::store::wake::Topic;
use crate::stream::{Append, Entry, Stream};

/// How often a stream may turn out to be elsewhere within one step.
const TURNS_MAX: usize = 16;
/// Streams appended to at once.
const AT_ONCE: usize = 4;

/// What a relay remembers between its steps; nothing that it could not lose.
pub(super) struct State {
    leases: Leases,
    /// Where each stream ended at the last append.
    ends: BTreeMap<u32, Option<i64>>,
    /// When each stream was last asked, in Unix microseconds.
    asked: BTreeMap<u32, i64>,
}

impl State {
    pub(super) fn new(owner: &str) -> Self {
        State { leases: Leases::new(Role::Relay, owner), ends: BTreeMap::new(), asked: BTreeMap::new() }
    }

    pub(super) fn leases(&mut self) -> &mut Leases {
        &mut self.leases
    }
}

/// What bringing one stream came to.
struct Brought {
    /// How many entries were appended.
    appended: usize,
    /// Where it ends.
    end: Option<i64>,
    /// Whether it was asked where it ends.
    asked: bool,
}

impl Inner {
    /// One step over every partition that this node holds: claim, then append.
    pub(super) async fn step_relay(&self) -> Result<Outcome> {
        let ready = self.ready().await?;
        let mut state = self.relay.lock().await;
        let now = self.parts.clock.now_us();
        let mut all = self.parts.store.partition_states(Role::Relay, now).await?;
        state.leases.keep(self, &mut all, now).await?;
        let mut moved = self.claim_all(&mut all, &mut state).await?;
        if ready.stream.wants_append() {
            all.retain(|partition| state.leases.fence(partition.p).is_some());
            moved += self.bring_all(&*ready.stream, &all, &mut state, now).await;
        }
        Ok(if moved == 0 { Outcome::Idle } else { Outcome::Progress(moved) })
    }

    /// Brings the streams to where their partitions are, some side by side; returns how many entries were appended.
    async fn bring_all(&self, stream: &dyn Stream, all: &[Partition], state: &mut State, now: i64) -> usize {
        let jobs: Vec<_> = all
            .iter()
            .map(|partition| {
                let (p, end, asked) =
                    (partition.p, state.ends.get(&partition.p), state.asked.get(&partition.p));
                let (end, asked) = (end.copied(), asked.copied());
                async move { (p, self.bring(stream, partition, end, asked, now).await) }
            })
            .collect();
        let mut running = futures_util::stream::iter(jobs).buffer_unordered(AT_ONCE);
        let (mut appended, mut answered, mut failure, mut done) = (0, false, None, BTreeSet::new());
        while let Some((p, brought)) = running.next().await {
            match brought {
                Ok(None) => {}
                Ok(Some(brought)) => {
                    (appended, answered) = (appended + brought.appended, true);
                    state.ends.insert(p, brought.end);
                    if brought.asked {
                        state.asked.insert(p, now);
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            done.insert(p);
        }
        drop(running);
        // A stream that was not asked has not answered either.
        if answered || failure.is_some() {
            if failure.is_some() {
                // What was cut short may have been appended or not.
                state.ends.retain(|p, _| done.contains(p));
            }
            self.stream_answered(Way::Append, failure);
        }
        appended
    }

    /// Gives numbers to what has none; returns to how many. Where the database can, in one transaction for all
    /// partitions, so that records of many keys do not cost a commit for each.
    async fn claim_all(&self, all: &mut [Partition], state: &mut State) -> Result<usize> {
        let mut open: Vec<(&mut Partition, i64)> = Vec::new();
        for partition in all.iter_mut().filter(|partition| partition.unclaimed) {
            open.extend(state.leases.fence(partition.p).map(|fence| (partition, fence)));
        }
        let (store, max) = (&self.parts.store, self.parts.config.stream.batch_max.max(1));
        if open.len() > 1 && store.db.dialect() == Dialect::Postgres {
            let each: Vec<_> = open.iter().map(|(one, fence)| (one.p, *fence, one.claimed)).collect();
            if let Some(counts) = store.claim_each(&each, max).await? {
                let counts: BTreeMap<u32, i64> = counts.into_iter().collect();
                let of = |p: u32| counts.get(&p).copied().unwrap_or_default();
                open.iter_mut().for_each(|(partition, _)| partition.claimed += of(partition.p));
                return Ok(self.claimed(counts.values().sum()));
            }
            // Another node has one of them; which, each by itself tells.
        }
        let mut moved = 0;
        for (partition, fence) in open {
            match store.claim(partition.p, fence, partition.claimed, max).await? {
                Some(count) => {
                    partition.claimed += count;
                    moved += self.claimed(count);
                }
                None => state.leases.lose(partition.p),
            }
        }
        Ok(moved)
    }

    /// Tells workers of what is committed.
    fn claimed(&self, count: i64) -> usize {
        self.parts.store.db.crash_point("after-claim");
        if count > 0 {
            self.parts.store.wake.notify(Topic::Stream);
        }
        usize::try_from(count).unwrap_or(0)
    }

    /// Brings one stream to where its partition is, from where it `ended` at the last append and was `asked` last;
    /// `None` when the stream was not asked at all.
    async fn bring(
        &self,
        stream: &dyn Stream,
        partition: &Partition,
        ended: Option<Option<i64>>,
        asked: Option<i64>,
        now: i64,
    ) -> Result<Option<Brought>> {
        let p = partition.p;
        if partition.claimed <= partition.settled {
            return Ok(None);
        }
        let poll_us = i64::try_from(self.parts.config.stream.poll_ms).unwrap_or(1_000).saturating_mul(1_000);
        let lately = asked.is_some_and(|at| (0..poll_us).contains(&(now - at)));
        let (mut end, asked) = match ended {
            // All is appended: only now and then it is asked whether it is still there.
            Some(Some(end)) if end >= partition.claimed && lately => return Ok(None),
            Some(end) if end.is_none_or(|end| end < partition.claimed) => (end, false),
            _ => (stream.last(p).await?, true),
        };
        let mut appended = 0;
        for _ in 0..TURNS_MAX {
            if end.is_some_and(|end| end > partition.claimed) {
                tracing::warn!(
                    partition = p,
                    end,
                    "the stream holds what the database does not know; dropping it"
                );
                stream.discard(p).await?;
                end = None;
            }
            let entries = self.unappended(partition, end).await?;
            let Some(last) = entries.last().map(|entry| entry.pseq) else { break };
            end = match stream.append(p, &entries, end).await? {
                Append::Done => {
                    self.parts.store.db.crash_point("after-append");
                    appended += entries.len();
                    Some(last)
                }
                Append::Gone => {
                    tracing::info!(partition = p, "the stream is gone; appending all that is unsettled");
                    None
                }
                Append::Moved(at) => {
                    tracing::info!(partition = p, at, "the stream ends elsewhere; going on from there");
                    Some(at)
                }
            };
        }
        Ok(Some(Brought { appended, end, asked }))
    }

    async fn unappended(&self, partition: &Partition, end: Option<i64>) -> Result<Vec<Entry>> {
        let above = end.unwrap_or(0).max(partition.settled);
        let max = self.parts.config.stream.batch_max.max(1);
        let rows = self.parts.store.claimed(partition.p, above, partition.claimed, max).await?;
        Ok(rows
            .into_iter()
            .map(|row| Entry { pseq: row.pseq, record_id: row.record_id, hook: row.hook })
            .collect())
    }
}
