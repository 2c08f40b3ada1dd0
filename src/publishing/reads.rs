//! The audit log of reads: noted beside the answers, held in memory, written in batches, and told to those who look
//! after collections. Must not delay an answer, nor fail one.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Publishing;
use crate::config;
use crate::error::Result;
use crate::policy::Action;
use crate::query::{Root, write};
use crate::record::Actor;
use crate::store::reads::{Read, Wanted};
use crate::telemetry::Metrics;

/// After how many rounds of writing the oldest are looked at.
const PRUNE_EVERY: u32 = 30;

/// By which way a collection was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// A root field of GraphQL.
    Root(Root),
    /// As what a relation leads to.
    Relation,
    /// A subscription has ended, or its client has gone.
    Ended,
    /// `GET /data/…`.
    Rest,
}

impl Path {
    fn name(self) -> &'static str {
        match self {
            Path::Root(Root::List) => "QUERY",
            Path::Root(Root::ByKey) => "BY_KEY",
            Path::Root(Root::Aggregate) => "AGGREGATE",
            Path::Root(Root::History) => "HISTORY",
            Path::Root(Root::Changes) => "SUBSCRIBED",
            Path::Relation => "RELATION",
            Path::Ended => "ENDED",
            Path::Rest => "REST",
        }
    }
}

/// How a read of a collection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// So many rows, groups or events were given out.
    With(usize),
    /// It was allowed, and then failed.
    Failed,
    /// It was not allowed.
    Denied,
}

/// What waits to be written.
#[derive(Default)]
pub(super) struct Notes {
    held: Mutex<Held>,
    many: Notify,
}

#[derive(Default)]
struct Held {
    denied: VecDeque<Read>,
    allowed: VecDeque<Read>,
    /// Of allowed ones, for which one of so many is kept.
    seen: u64,
    /// There was no room for: denied and allowed ones, since that was told.
    lost: [u64; 2],
}

impl Held {
    fn len(&self) -> usize {
        self.denied.len() + self.allowed.len()
    }

    /// Takes one in; when there is no room, an allowed one goes, the oldest for one that was denied.
    fn push(&mut self, read: Read, limits: &config::Reads) {
        if read.allowed {
            let one_in = limits.allowed_one_in;
            self.seen = self.seen.wrapping_add(1);
            if one_in == 0 || !self.seen.is_multiple_of(one_in) {
                return;
            }
        }
        let full = self.len() >= limits.held_max;
        match (full, read.allowed) {
            (false, true) => self.allowed.push_back(read),
            (false, false) => self.denied.push_back(read),
            (true, true) => self.lost[1] += 1,
            (true, false) if self.allowed.pop_front().is_some() => {
                self.lost[1] += 1;
                self.denied.push_back(read);
            }
            (true, false) => self.lost[0] += 1,
        }
    }

    /// Takes so many out, denied ones first.
    fn take(&mut self, most: usize) -> Vec<Read> {
        let denied = most.min(self.denied.len());
        let mut batch: Vec<Read> = self.denied.drain(..denied).collect();
        let allowed = (most - denied).min(self.allowed.len());
        batch.extend(self.allowed.drain(..allowed));
        batch
    }

    /// Puts back what could not be written, as far as there is room.
    fn give_back(&mut self, batch: Vec<Read>, limits: &config::Reads) {
        for read in batch.into_iter().rev() {
            let full = self.len() >= limits.held_max;
            match (full, read.allowed) {
                (false, true) => self.allowed.push_front(read),
                (false, false) => self.denied.push_front(read),
                (true, true) => self.lost[1] += 1,
                (true, false) if self.allowed.pop_front().is_some() => {
                    self.lost[1] += 1;
                    self.denied.push_front(read);
                }
                (true, false) => self.lost[0] += 1,
            }
        }
    }
}

impl Notes {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Publishing {
    /// Notes that a request of `actor` has read a collection, or was refused. Never waits.
    pub fn note(&self, actor: &Actor, request: &str, collection_id: i64, path: Path, ended: Ended) {
        let limits = &self.0.reads;
        if ended != Ended::Denied && limits.allowed_one_in == 0 {
            return;
        }
        let rows = match ended {
            Ended::With(rows) => Some(i64::try_from(rows).unwrap_or(i64::MAX)),
            Ended::Failed | Ended::Denied => None,
        };
        let read = Read {
            at: self.0.store.clock.now_us(),
            request: request.to_owned(),
            subject: actor.subject.clone(),
            roles: actor.roles.clone(),
            contract: actor.contract.as_ref().map(|bound| format!("{}@{}", bound.name, bound.version)),
            policy: self.0.policy.fingerprint(),
            collection_id,
            path: Cow::Borrowed(path.name()),
            allowed: ended != Ended::Denied,
            rows,
        };
        let mut held = self.0.notes.held();
        held.push(read, limits);
        let many = held.len() >= limits.batch_max;
        drop(held);
        if many {
            self.0.notes.many.notify_one();
        }
    }

    /// Notes the refusals of collections with these field names that there are, and that the actor does not see.
    pub fn note_denied<'a>(
        &self,
        actor: &Actor,
        request: &str,
        path: Path,
        names: impl Iterator<Item = &'a str>,
    ) {
        let catalog = self.0.store.catalog.load();
        for collection in names.filter_map(|name| catalog.collections.get(name)) {
            let seen =
                self.0.policy.view(actor, &catalog.collections, collection).is_ok_and(|view| view.is_some());
            if !seen {
                self.note(actor, request, collection.id, path, Ended::Denied);
            }
        }
    }

    /// Writes what was noted, every so often and as soon as there is much, until `stop`, and then the rest.
    pub async fn run_reads(self, metrics: Metrics, stop: CancellationToken) {
        let limits = &self.0.reads;
        let mut ticks = tokio::time::interval(Duration::from_millis(limits.flush_ms.max(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut rounds, mut told) = (0_u32, false);
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                _ = ticks.tick() => false,
                () = self.0.notes.many.notified() => false,
            };
            let written = self.write_reads(stopped).await;
            told = self.tell_lost(&metrics, &written, told);
            if stopped {
                return;
            }
            rounds = rounds.wrapping_add(1);
            if rounds % PRUNE_EVERY == 1 {
                self.prune().await;
            }
            if written.is_err() {
                // What is full stays so, and would wake this up at once.
                ticks.tick().await;
            }
        }
    }

    /// Writes what waits: `all` of it, else a batch and those that are full behind it. What comes while one is written
    /// waits for the next time: to go on for it would be a transaction for a few reads each, without an end.
    pub(super) async fn write_reads(&self, all: bool) -> Result<()> {
        let limits = &self.0.reads;
        loop {
            let batch = self.0.notes.held().take(limits.batch_max.max(1));
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.0.store.keep_reads(&batch).await {
                self.0.notes.held().give_back(batch, limits);
                return Err(error);
            }
            if !all && self.0.notes.held().len() < limits.batch_max {
                return Ok(());
            }
        }
    }

    /// Counts what there was no room for, and says so once, until there is room again.
    fn tell_lost(&self, metrics: &Metrics, written: &Result<()>, told: bool) -> bool {
        let [denied, allowed] = std::mem::take(&mut self.0.notes.held().lost);
        metrics.record_reads_lost("denied", denied);
        metrics.record_reads_lost("allowed", allowed);
        let lost = denied + allowed > 0;
        if lost && !told {
            let error = written.as_ref().err().map(ToString::to_string);
            tracing::warn!(
                denied,
                allowed,
                error,
                "reads are missing in the audit log: more came than `reads.held_max` before they were written"
            );
        }
        lost
    }

    async fn prune(&self) {
        let limits = &self.0.reads;
        let age_us = i64::try_from(limits.age_max_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let before = self.0.store.clock.now_us().saturating_sub(age_us);
        loop {
            match self.0.store.prune_reads(limits.rows_max, before).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "the audit log was not pruned; trying again");
                    return;
                }
            }
        }
    }

    /// Reads as the GraphQL type `Read` has them, the newest first: all for who may administer; for who may steward,
    /// those of collections that it sees.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection that there is not.
    pub async fn reads(&self, actor: &Actor, mut wanted: Wanted, collection: Option<&str>) -> Result<Value> {
        let all = self.0.policy.allow(actor, Action::Administer).is_ok();
        if !all {
            self.0.policy.allow(actor, Action::Steward)?;
        }
        wanted.collections = match collection {
            Some(name) => {
                let collection = self.collection_named(name).await?;
                let seen = all
                    || self
                        .0
                        .policy
                        .view(actor, &self.0.store.catalog.load().collections, &collection)?
                        .is_some();
                Some(seen.then_some(collection.id).into_iter().collect())
            }
            None if all => None,
            None => Some(self.visible(actor)?.iter().map(|(collection, _)| collection.id).collect()),
        };
        let catalog = self.0.store.catalog.load();
        let told = |(id, read): (i64, Read)| {
            let name = catalog.by_id(read.collection_id).map(|collection| collection.field_name.clone());
            json!({
                "id": id.to_string(),
                "at": write::instant(read.at),
                "requestId": read.request,
                "subject": read.subject,
                "roles": read.roles,
                "contract": read.contract,
                "policy": &*read.policy,
                "collection": name,
                "path": &*read.path,
                "allowed": read.allowed,
                "rows": read.rows.map(|rows| rows.min(i64::from(i32::MAX))),
            })
        };
        Ok(self.0.store.kept_reads(&wanted).await?.into_iter().map(told).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: usize, allowed: bool) -> Read {
        Read {
            at: 0,
            request: request.to_string(),
            subject: "ann".to_owned(),
            roles: Vec::new(),
            contract: None,
            policy: "p".into(),
            collection_id: 1,
            path: "QUERY".into(),
            allowed,
            rows: None,
        }
    }

    fn requests(reads: &[Read]) -> Vec<&str> {
        reads.iter().map(|read| read.request.as_str()).collect()
    }

    #[test]
    fn allowed_ones_go_before_denied_ones_and_all_is_counted() {
        let limits = config::Reads { held_max: 3, ..config::Reads::default() };
        let mut held = Held::default();
        (0..5).for_each(|n| held.push(read(n, true), &limits));
        assert_eq!((held.len(), held.lost), (3, [0, 2]));
        (5..9).for_each(|n| held.push(read(n, false), &limits));
        assert_eq!((held.len(), held.lost), (3, [1, 5]));
        let batch = held.take(2);
        assert_eq!(requests(&batch), ["5", "6"]);
        held.push(read(9, true), &limits);
        held.push(read(10, true), &limits);
        // What was taken first comes first again, in the place of allowed ones.
        held.give_back(batch, &limits);
        let rest = held.take(9);
        assert_eq!(requests(&rest), ["5", "6", "7"]);
        assert_eq!((held.len(), held.lost), (0, [1, 7]));
    }

    #[test]
    fn of_allowed_ones_a_sample_is_kept_and_of_denied_ones_all() {
        let kept = |one_in: u64| {
            let limits = config::Reads { allowed_one_in: one_in, ..config::Reads::default() };
            let mut held = Held::default();
            (0..10).for_each(|n| {
                held.push(read(n, true), &limits);
                held.push(read(n, false), &limits);
            });
            [held.allowed.len(), held.denied.len()]
        };
        assert_eq!([kept(0), kept(1), kept(5)], [[0, 10], [10, 10], [2, 10]]);
        assert_eq!(kept(3)[1], 10);
    }
}
