//! The effect transaction: rows, changes, derived records, ledger, dead letters and the partition's position commit
//! together under the partition's fence, or not at all. Must not decide anything.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use uuid::Uuid;

use super::Inner;
use super::decide::{Item, Thought, Trouble, trouble};
use super::marker;
use super::plan::{Before, Fate, Plan, plan};
use crate::error::{Code, Error, Result};
use crate::store::db::{Tx, is_unique_violation};
use crate::store::events::tell_parked;
use crate::store::ledger::{Settled, Stretch};
use crate::store::log::Appended;
use crate::store::rows::{Applied, Conformed};
use crate::store::wake::{Topic, announce};

/// What a transaction has written, to be told after its commit.
#[derive(Default)]
pub(super) struct Written {
    appended: Option<Appended>,
    applied: Applied,
}

/// How a batch ended.
#[derive(Debug)]
pub(super) enum Settlement {
    /// Everything up to this number is settled; the next retry is due then.
    Done {
        /// The partition's new position.
        settled: i64,
        /// Unix microseconds.
        due: Option<i64>,
    },
    /// Another node has the partition: nothing was written.
    Lost,
}

impl Inner {
    /// Settles a batch of one partition or several, in one transaction: most of what it costs it costs once, and what
    /// is for one collection is written together. When that cannot be, because one of the partitions is another node's
    /// by now or the store refuses some of it, each partition is settled by itself. The answers are in the order of
    /// the stretches; one that was not come to stays where it is.
    pub(super) async fn settle_each(
        &self,
        stretches: &[Stretch],
        thoughts: Vec<Thought>,
    ) -> Vec<Result<Settlement>> {
        let stays = |one: &Stretch| Settlement::Done { settled: one.above, due: None };
        if stretches.len() > 1 {
            match self.settle(stretches, &thoughts).await {
                Ok(all) if !all.iter().any(|one| matches!(one, Settlement::Lost)) => {
                    return all.into_iter().map(Ok).collect();
                }
                Err(error) if waiting_heals(&error) => {
                    let others = stretches.iter().skip(1).map(|one| Ok(stays(one)));
                    return std::iter::once(Err(error)).chain(others).collect();
                }
                Ok(_) => tracing::info!("another node has one of the partitions; settling each by itself"),
                Err(error) => tracing::warn!(records = thoughts.len(), %error, cause = ?error.cause(),
                    "a batch of several partitions was refused; settling each by itself"),
            }
        }
        let mut by_partition: BTreeMap<u32, Vec<Thought>> = BTreeMap::new();
        for thought in thoughts {
            by_partition.entry(thought.item.record.partition).or_default().push(thought);
        }
        let mut all = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            let part = by_partition.remove(&stretch.p).unwrap_or_default();
            let away = all.iter().any(|one: &Result<Settlement>| one.is_err());
            all.push(if away { Ok(stays(stretch)) } else { self.settle_all(*stretch, part).await });
        }
        all
    }

    /// Settles a batch of one partition. When the store refuses it for a reason of its content, halves find the record
    /// at fault, and that one alone is parked.
    pub(super) async fn settle_all(&self, whole: Stretch, thoughts: Vec<Thought>) -> Result<Settlement> {
        let (mut position, mut next_due) = (whole.above, None);
        let mut parts = VecDeque::from([(thoughts, whole.upto)]);
        while let Some((mut part, upto)) = parts.pop_front() {
            let stretch = Stretch { above: position, upto, ..whole };
            let done = match self.settle_one(stretch, &part).await {
                Err(error) if waiting_heals(&error) || part.is_empty() => return Err(error),
                Err(error) if part.len() == 1 => self.settle_poison(stretch, &part, &error).await?,
                Err(error) => {
                    tracing::warn!(partition = whole.p, records = part.len(), %error, cause = ?error.cause(),
                        "a batch was refused; looking for the record at fault");
                    let tail = part.split_off(part.len() / 2);
                    let middle = part.last().map_or(position, |thought| thought.item.pseq);
                    parts.push_front((tail, upto));
                    parts.push_front((part, middle));
                    continue;
                }
                Ok(done) => done,
            };
            match done {
                Settlement::Lost => return Ok(Settlement::Lost),
                Settlement::Done { settled, due } => {
                    position = settled;
                    next_due = [next_due, due].into_iter().flatten().min();
                }
            }
        }
        Ok(Settlement::Done { settled: position, due: next_due })
    }

    /// Parks a record whose effects the store refuses: at the one plugin whose effects they are if that can be told,
    /// else at all that have any.
    async fn settle_poison(&self, stretch: Stretch, part: &[Thought], error: &Error) -> Result<Settlement> {
        let [thought] = part else { return Err(Error::internal("a poison record stands alone")) };
        let cause = Trouble { transient: error.code() == Code::Internal, ..trouble(error) };
        let guilty: Vec<usize> = (0..thought.decisions.len())
            .filter(|n| {
                let decision = thought.decisions.get(*n);
                decision.is_some_and(|d| d.result.as_ref().is_ok_and(super::decide::Decided::has_effects))
            })
            .collect();
        let suspects = guilty.iter().map(|one| vec![*one]).chain([guilty.clone()]);
        let mut refused = None;
        for suspect in suspects {
            let mut thought = thought.clone();
            for (n, decision) in thought.decisions.iter_mut().enumerate() {
                if suspect.contains(&n) {
                    decision.result = Err(cause.clone());
                }
            }
            match self.settle_one(stretch, &[thought]).await {
                Err(error) if waiting_heals(&error) => return Err(error),
                Err(error) => refused = Some(error),
                Ok(done) => return Ok(done),
            }
        }
        Err(refused.unwrap_or_else(|| Error::internal("a record without effects was refused")))
    }

    async fn settle_one(&self, stretch: Stretch, part: &[Thought]) -> Result<Settlement> {
        let mut settled = match self.settle(&[stretch], part).await {
            // Another has written the first record of the same key at this moment: now it is there.
            Err(error) if is_unique_violation(&error) => self.settle(&[stretch], part).await?,
            other => other?,
        };
        settled.pop().ok_or_else(|| Error::internal("a stretch has no settlement"))
    }

    /// One transaction for a batch of these stretches.
    async fn settle(&self, stretches: &[Stretch], part: &[Thought]) -> Result<Vec<Settlement>> {
        let (store, now) = (&self.parts.store, self.parts.clock.now_us());
        let mut tx = store.db.begin_by_indexes().await?;
        let before = before(&mut tx, part).await?;
        let plan = plan(part, &before, now, &self.parts.config.provisioning);
        let written = self.write(&mut tx, &plan, before.tails, now).await?;
        crate::store::ledger::park(&mut tx, &plan.letters).await?;
        if !crate::store::ledger::advance(&mut tx, stretches).await? {
            return Ok(stretches.iter().map(|_| Settlement::Lost).collect());
        }
        let told = tell_parked(&mut tx, &plan.letters, now, &self.parts.config.provisioning).await?;
        self.commit(tx, &plan, &written).await?;
        store.told(told);
        self.close_out(&plan.fates, now);
        let done = |one: &Stretch| Settlement::Done { settled: one.upto, due: plan.due(one.p) };
        Ok(stretches.iter().map(done).collect())
    }

    /// Writes what a plan has but its letters: derived records in key order (as every transaction takes the keys'
    /// rows), then rows and changes, then the signed ledger.
    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        plan: &Plan,
        mut tails: HashMap<Uuid, Vec<u8>>,
        now: i64,
    ) -> Result<Written> {
        let store = &self.parts.store;
        let mut appended = None;
        if !plan.derived.is_empty() {
            let mut derived = plan.derived.clone();
            derived.iter_mut().for_each(|draft| draft.ingested_at = now);
            let mut done = store.append(tx, &derived).await?;
            // A derived record that is refused is its plugin's failure, not nothing.
            done.receipts.drain(..).collect::<Result<Vec<_>>>()?;
            appended = Some(done);
        }
        let applied =
            if plan.rows.is_empty() { Applied::default() } else { store.apply(tx, &plan.rows).await? };
        let conformed: HashMap<Uuid, &Conformed> =
            applied.conformed.iter().map(|one| (one.record_id, one)).collect();
        let mut rows = Vec::with_capacity(plan.ledger.len());
        for entry in &plan.ledger {
            let record = &entry.item.record;
            let id = record.draft.id;
            let conformed = conformed.get(&id).filter(|_| entry.wrote);
            let mut row = Settled {
                record_id: id,
                plugin_id: entry.known.id,
                version: i64::from(entry.known.plugin.version()),
                hook: entry.item.hook.as_str().into(),
                outcome: "done".into(),
                tags: entry.tags.clone(),
                rescued: conformed.and_then(|one| one.rescued.clone()),
                shape_version: conformed.map(|one| one.shape_version),
                prev_hash: tails.get(&id).cloned().unwrap_or_else(|| marker::genesis(store.signer(), record)),
                first: !tails.contains_key(&id),
                hash: Vec::new(),
                settled_at: now,
                claimed_at: entry.item.claimed_at,
            };
            row.hash = marker::sign(self.parts.store.signer(), &row, entry.known.plugin.name(), record);
            tails.insert(id, row.hash.clone());
            rows.push(row);
        }
        crate::store::ledger::settle(tx, &rows).await?;
        Ok(Written { appended, applied })
    }

    /// Announces what was written, commits, and tells who waits. After the commit nothing may fail the batch: it is
    /// done.
    pub(super) async fn commit(&self, mut tx: Tx, plan: &Plan, written: &Written) -> Result<()> {
        let store = &self.parts.store;
        written.applied.announce(&mut tx).await?;
        // Who waits for a record is told by its changes; where there are none, of its end.
        let unchanged = written.applied.changed.is_empty();
        if unchanged {
            announce(&mut tx, Topic::Changes).await?;
        }
        tx.commit().await?;
        store.crash_point("after-effect");
        if unchanged {
            store.wake.notify(Topic::Changes);
        }
        if let Some(appended) = &written.appended {
            store.appended(appended);
        }
        if let Err(error) = store.committed(&written.applied).await {
            tracing::warn!(%error, cause = ?error.cause(), "settled, but tails were not woken; they poll");
        }
        self.gather(&plan.rows, &written.applied.collections);
        Ok(())
    }

    /// One line and one count a record, with its own times.
    pub(super) fn close_out(&self, fates: &[(Item, Fate)], now: i64) {
        for (item, fate) in fates {
            let (record, outcome) = (&item.record, fate.as_str());
            let draft = &record.draft;
            let ms = micros_to_ms(now.saturating_sub(draft.ingested_at));
            self.parts.metrics.record_settled(outcome, ms);
            if *fate == Fate::Parked {
                self.parts.metrics.record_dead_letter();
            }
            tracing::info!(
                target: "wellspring::settled",
                record = %draft.id, category = draft.source.category, subcategory = draft.source.subcategory,
                source = draft.source.source_name, revision = record.revision, partition = record.partition,
                pseq = item.pseq, occurred_at_us = draft.occurred_at, ingested_at_us = draft.ingested_at,
                settled_at_us = now, ms, outcome, "settled"
            );
        }
    }
}

/// What the database knows about the records of a batch.
async fn before(tx: &mut Tx, part: &[Thought]) -> Result<Before> {
    let mut before = Before::default();
    let mut chains: HashMap<Uuid, Vec<marker::Link>> = HashMap::new();
    let ids: Vec<Uuid> = part.iter().map(|thought| thought.item.record.draft.id).collect();
    for row in crate::store::ledger::settled_of(tx, &ids).await? {
        before.settled.insert((row.record_id, row.plugin_id, row.hook));
        chains.entry(row.record_id).or_default().push((row.prev_hash, row.hash));
    }
    for (id, chain) in chains {
        if let Some(tail) = marker::tail(&chain) {
            before.tails.insert(id, tail);
        }
    }
    let keys: BTreeSet<&str> = part.iter().map(|thought| thought.item.record.key.as_str()).collect();
    for letter in crate::store::ledger::waiting_at(tx, &keys).await? {
        before.waiting.insert((letter.record_id, letter.plugin_id, letter.hook));
        before.parked.insert((letter.plugin_id, letter.key));
    }
    Ok(before)
}

/// Whether the database is away or busy: the batch itself is not at fault.
pub(super) fn waiting_heals(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Timeout | Code::Backpressure)
}

#[expect(clippy::cast_precision_loss, reason = "durations far below 2^52 microseconds")]
fn micros_to_ms(us: i64) -> f64 {
    us as f64 / 1_000.0
}
