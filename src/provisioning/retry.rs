//! Trying parked records again: heads that are due, one transaction each, then what queued behind them, in order.

use std::sync::Arc;

use super::decide::{Item, Known, decide_all, trouble};
use super::plan::{Fate, Plan, failed};
use super::settle::{Written, waiting_heals};
use super::{Inner, marker};
use crate::error::{Code, Error, Result};
use crate::plugin::Hook;
use crate::store::db::Tx;
use crate::store::events::tell_parked;
use crate::store::ledger::{self, Letter};

/// Letters tried in one step: then new records have their turn.
const LETTERS_MAX: usize = 256;

/// What the tries of one step came to.
#[derive(Default)]
pub(super) struct Retried {
    /// How many letters were settled.
    pub count: usize,
    /// When the next is due.
    pub due: Option<i64>,
    /// Another node has the partition.
    pub lost: bool,
}

impl Inner {
    /// Tries every letter of a partition that is due; a settled one makes the next of its key due at once.
    pub(super) async fn retry_due(&self, p: u32, fence: i64) -> Result<Retried> {
        let mut retried = Retried::default();
        let mut tried = 0;
        while tried < LETTERS_MAX {
            let now = self.parts.clock.now_us();
            let letters = self.parts.store.letters_due(p, now, LETTERS_MAX).await?;
            if letters.is_empty() {
                break;
            }
            for letter in letters {
                tried += 1;
                match self.retry_one(fence, letter, now).await? {
                    None => return Ok(Retried { lost: true, ..retried }),
                    Some(settled) => retried.count += usize::from(settled),
                }
            }
        }
        retried.due = self.parts.store.letters_next(p).await?;
        Ok(retried)
    }

    /// One try: `None` when the fence is lost, else whether the letter is settled.
    async fn retry_one(&self, fence: i64, letter: Letter, now: i64) -> Result<Option<bool>> {
        let plugins = self.plugins().await?;
        let known = match plugins.known.iter().find(|known| known.id == letter.plugin_id) {
            Some(known) if known.is_enabled() => known,
            // Who ends a plugin wants it asked no more: not by the tries that were due, nor by those behind them.
            Some(_) => {
                let reason = "its plugin is disabled; have it begin again with `enablePlugin`, then redrive";
                return self.park_again(fence, letter, "DISABLED", reason).await;
            }
            None => {
                let reason = "its plugin is not configured any more; configure it again and redrive";
                return self.park_again(fence, letter, "NO_PLUGIN", reason).await;
            }
        };
        let Some(record) = self.parts.store.records(&[letter.record_id]).await?.pop() else {
            let reason = "its record is not there any more; it is of no use unless the record is restored";
            return self.park_again(fence, letter, "NO_RECORD", reason).await;
        };
        let hook =
            Hook::from_name(&letter.hook).ok_or_else(|| Error::internal("unknown hook in a letter"))?;
        let item = Item { pseq: 0, hook, record: Arc::new(record), claimed_at: None };
        // It is the plugin's already, whenever it was taken in.
        let alone = Arc::from([Known { owner: None, ..known.clone() }]);
        let thought = decide_all(vec![item.clone()], alone, self.hops_max()).await?.pop();
        let decision = thought.and_then(|thought| thought.decisions.into_iter().next());
        let mut plan = Plan::default();
        let cause = match decision.map(|decision| decision.result) {
            Some(Ok(decided)) => {
                plan.settle(&item, known, &decided);
                None
            }
            // It no longer matches: the plugin has nothing to do, which is recorded like any other outcome.
            None => {
                plan.settle(&item, known, &super::decide::Decided::default());
                None
            }
            Some(Err(trouble)) => Some(trouble),
        };
        plan.fates.push((item, Fate::Done));
        let cause = match cause {
            Some(cause) => cause,
            None => match self.settle_letter(fence, &letter, &plan, now).await {
                Ok(done) => return Ok(done.then_some(true)),
                Err(error) if waiting_heals(&error) => return Err(error),
                Err(error) => {
                    let transient = error.code() == Code::Internal;
                    super::decide::Trouble { transient, ..trouble(&error) }
                }
            },
        };
        let again = failed(letter.clone(), &cause, now, &self.parts.config.provisioning);
        self.give_up(fence, &letter, again).await
    }

    /// Settles a letter's record and lets the next of its key go on; `false` when the fence is lost.
    async fn settle_letter(&self, fence: i64, letter: &Letter, plan: &Plan, now: i64) -> Result<bool> {
        let mut tx = self.parts.store.db.begin().await?;
        let chain = ledger::history_of(&mut tx, letter.record_id).await?;
        let done = chain.iter().any(|row| row.plugin_id == letter.plugin_id && row.hook == letter.hook);
        let links: Vec<_> = chain.into_iter().map(|row| (row.prev_hash, row.hash)).collect();
        let tails = marker::tail(&links).map(|tail| (letter.record_id, tail)).into_iter().collect();
        let written = if done { Written::default() } else { self.write(&mut tx, plan, tails, now).await? };
        ledger::drop_letter(&mut tx, letter.id).await?;
        ledger::promote(&mut tx, letter.plugin_id, &letter.key, now).await?;
        if !ledger::hold(&mut tx, letter.partition, fence).await? {
            return Ok(false);
        }
        self.commit(tx, plan, &written).await?;
        self.close_out(&plan.fates, now);
        Ok(true)
    }

    /// Parks a letter that cannot be tried at all.
    async fn park_again(&self, fence: i64, read: Letter, code: &str, reason: &str) -> Result<Option<bool>> {
        let letter =
            Letter { state: "parked".into(), code: code.into(), reason: reason.into(), ..read.clone() };
        self.give_up(fence, &read, letter).await
    }

    /// Stores a letter that failed once more, unless it was put back since it was `read`: then it is due anew.
    async fn give_up(&self, fence: i64, read: &Letter, letter: Letter) -> Result<Option<bool>> {
        let mut tx: Tx = self.parts.store.db.begin().await?;
        if !ledger::replace_letter(&mut tx, read, &letter).await? {
            return Ok(Some(false));
        }
        if !ledger::hold(&mut tx, letter.partition, fence).await? {
            return Ok(None);
        }
        let bounds = &self.parts.config.provisioning;
        let told =
            tell_parked(&mut tx, std::slice::from_ref(&letter), self.parts.clock.now_us(), bounds).await?;
        tx.commit().await?;
        self.parts.store.told(told);
        if letter.state == "parked" {
            self.parts.metrics.record_dead_letter();
        }
        tracing::warn!(record = %letter.record_id, code = letter.code, attempts = letter.attempts,
            state = letter.state, "a parked record failed again");
        Ok(Some(false))
    }
}
