//! The relay: gives outbox rows their dense numbers under its lease, and brings the stream to where the database is.
//!
//! Where the stream ends is never trusted from memory: each append says what it believes, and the stream refuses what
//! does not follow. After `Gone` everything unsettled is appended anew, after `Moved` it goes on from the stream's own
//! end. Must not look at records.

use std::collections::BTreeMap;

use super::lease::Leases;
use super::{Inner, Outcome, Way};
use crate::error::Result;
use crate::store::ledger::{Partition, Role};
use crate::store::wake::Topic;
use crate::stream::{Append, Entry, Stream};

/// How often a stream may turn out to be elsewhere within one step.
const TURNS_MAX: usize = 16;

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

impl Inner {
    /// One step over every partition that this node holds: claim, then append.
    pub(super) async fn step_relay(&self) -> Result<Outcome> {
        let ready = self.ready().await?;
        let mut state = self.relay.lock().await;
        let now = self.parts.clock.now_us();
        let mut all = self.parts.store.partition_states(Role::Relay, now).await?;
        state.leases.keep(self, &mut all, now).await?;
        let (mut moved, mut asked, mut failure) = (0_usize, false, None);
        for partition in &mut all {
            let Some(fence) = state.leases.fence(partition.p) else { continue };
            moved += self.claim(partition, fence, &mut state).await?;
            if !ready.stream.wants_append() || failure.is_some() {
                continue;
            }
            match self.bring(&*ready.stream, partition, &mut state, now).await {
                Ok(appended) => {
                    asked |= appended.is_some();
                    moved += appended.unwrap_or(0);
                }
                Err(error) => {
                    state.ends.remove(&partition.p);
                    failure = Some(error);
                }
            }
        }
        // A stream that was not asked has not answered either.
        if asked || failure.is_some() {
            self.stream_answered(Way::Append, failure);
        }
        Ok(if moved == 0 { Outcome::Idle } else { Outcome::Progress(moved) })
    }

    async fn claim(&self, partition: &mut Partition, fence: i64, state: &mut State) -> Result<usize> {
        if !partition.unclaimed {
            return Ok(0);
        }
        let max = self.parts.config.stream.batch_max.max(1);
        let Some(count) = self.parts.store.claim(partition.p, fence, partition.claimed, max).await? else {
            state.leases.lose(partition.p);
            return Ok(0);
        };
        self.parts.store.db.crash_point("after-claim");
        partition.claimed += count;
        if count > 0 {
            self.parts.store.wake.notify(Topic::Stream);
        }
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Brings one stream to where its partition is; returns how many entries were appended, `None` when the stream was
    /// not asked at all.
    async fn bring(
        &self,
        stream: &dyn Stream,
        partition: &Partition,
        state: &mut State,
        now: i64,
    ) -> Result<Option<usize>> {
        let p = partition.p;
        if partition.claimed <= partition.settled {
            return Ok(None);
        }
        let poll_us = i64::try_from(self.parts.config.stream.poll_ms).unwrap_or(1_000).saturating_mul(1_000);
        let asked = state.asked.get(&p).is_some_and(|at| (0..poll_us).contains(&(now - at)));
        let mut end = match state.ends.get(&p) {
            // All is appended: only now and then it is asked whether it is still there.
            Some(Some(end)) if *end >= partition.claimed && asked => return Ok(None),
            Some(end) if end.is_none_or(|end| end < partition.claimed) => *end,
            _ => {
                state.asked.insert(p, now);
                stream.last(p).await?
            }
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
        state.ends.insert(p, end);
        Ok(Some(appended))
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
