//! Storage that tunes itself: what was noted of reads is weighed now and then, indexes that they lack are proposed,
//! made where that needs nobody's word, and taken away when nobody uses them. For stewards it says what it knows. Must
//! not hold up a read or a record, nor tell of fields that a steward does not see.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Publishing;
use crate::config::{Apply, Mode};
use crate::error::{Error, Result};
use crate::policy::Action;
use crate::query::{Collection, ENVELOPE, RECORD, write};
use crate::record::Actor;
use crate::shape::Statistics;
use crate::store::advice::{Advice, Noted, State, Way};
use crate::store::rows::{Made, Maker, There, index_bytes, index_name};
use crate::store::wake::Topic;

/// Which part of the rows has a value of a field that nothing is known of, and which lies between two bounds.
const PART_UNKNOWN: f64 = 0.1;
const PART_BETWEEN: f64 = 0.3;

/// What was read of each collection, by way.
type Noticed = BTreeMap<(i64, Way), Noted>;

impl Publishing {
    /// Looks after indexes until `stop`.
    pub async fn run_advisor(self, stop: CancellationToken) {
        let (store, bounds) = (&self.0.store, &self.0.advisor);
        store.watch_reads(bounds.held_max);
        let mut heard = store.wake.subscribe(Topic::Catalog);
        let mut ticks = tokio::time::interval(Duration::from_millis(bounds.period_ms.max(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => true,
                () = store.called_to_indexes() => false,
                heard = heard.changed() => if heard.is_err() { return } else { false },
            };
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look_at_indexes(due) => looked,
            };
            if let Err(error) = looked {
                tracing::debug!(%error, cause = ?error.cause(), "indexes were not looked at; trying again");
            }
        }
    }

    /// Weighs what there is, when that is due; else only what cannot wait.
    async fn look_at_indexes(&self, due: bool) -> Result<()> {
        let (store, bounds) = (&self.0.store, &self.0.advisor);
        for id in store.refusing_indexes() {
            self.give_way(id).await?;
        }
        store.know_indexes().await?;
        if !due && !store.is_index_wanted().await? {
            return Ok(());
        }
        let noticed = store.write_ways(bounds.ways_max).await?;
        let spent_min_us = i64::try_from(bounds.spent_min_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let ways = store.ways(spent_min_us).await?;
        if ways.is_empty() && store.advice(None).await?.is_empty() {
            return Ok(());
        }
        let Some(mut maker) = store.index_maker(bounds.lock_timeout_ms).await? else { return Ok(()) };
        let done = self.weigh(&mut maker, &ways, &noticed).await;
        maker.end().await;
        done
    }

    async fn weigh(
        &self,
        maker: &mut Maker,
        ways: &BTreeMap<i64, BTreeMap<Way, Noted>>,
        noticed: &Noticed,
    ) -> Result<()> {
        let store = &self.0.store;
        let mut catalog = store.catalog.load();
        if ways.keys().any(|id| catalog.by_id(*id).is_none()) {
            catalog = store.catalog.refresh().await?;
        }
        for (id, ways) in ways {
            if let Some(collection) = catalog.by_id(*id) {
                self.propose(collection, ways).await?;
            }
        }
        // In this order: what somebody has dropped in between would seem to be missing.
        let there = maker.there().await?;
        let advice = store.advice(None).await?;
        for index in &there {
            let answers = |one: &&Advice| {
                catalog.by_id(one.collection_id).is_some_and(|collection| {
                    let live = matches!(one.state, State::Created | State::Creating);
                    let same = one.made.is_none() || one.made == store.index_made_of(one, collection);
                    live && same && index_name(one, collection) == index.name
                })
            };
            if !index.whole || !advice.iter().any(|one| answers(&one)) {
                maker.sweep(&index.name).await?;
            }
        }
        for one in &advice {
            let Some(collection) = catalog.by_id(one.collection_id) else { continue };
            let name = index_name(one, collection);
            let index = there.iter().find(|index| index.whole && index.name == name);
            match (one.state, index) {
                (State::Proposed, _) if self.makes(one, collection, &advice).await? => {
                    let wanted = store.want_index(one.id, &one.reason, None).await?;
                    self.make(maker, &wanted, collection).await?;
                }
                (State::Creating, _) => self.make(maker, one, collection).await?,
                (State::Created, Some(index)) if one.made == store.index_made_of(one, collection) => {
                    self.look_after(one, collection, (index, noticed)).await?;
                }
                // Its collection was built anew, or a field has another column: it is for the fields.
                (State::Created, _) => self.make(maker, one, collection).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Proposes indexes for the ways that take the most time, as far as one would help.
    async fn propose(&self, collection: &Arc<Collection>, ways: &BTreeMap<Way, Noted>) -> Result<()> {
        let (store, bounds) = (&self.0.store, &self.0.advisor);
        let mut advice = store.advice(Some(collection.id)).await?;
        let new = |way: &Way, advice: &[Advice]| {
            !advice.iter().any(|one| stands_for(one, way)) && !is_followed(collection, way)
        };
        if !ways.keys().any(|way| new(way, &advice)) {
            return Ok(());
        }
        let rows = store.rows_about(collection).await?;
        if rows < bounds.rows_min {
            return Ok(());
        }
        let statistics = store.statistics(collection.id).await?;
        let mut ranked = Vec::new();
        for (way, noted) in ways.iter().filter(|(way, _)| new(way, &advice)) {
            let share = share(way, *noted, rows, &statistics);
            if share * 100.0 <= f64::from(bounds.share_max) {
                ranked.push((saved(*noted, share), way, noted));
            }
        }
        ranked.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        for (_, way, noted) in ranked {
            let live = advice.iter().filter(|one| is_live(one)).count();
            if live >= bounds.indexes_max || !new(way, &advice) {
                continue;
            }
            store.propose_index(collection.id, way, &reason(*noted, rows)).await?;
            advice = store.advice(Some(collection.id)).await?;
        }
        Ok(())
    }

    /// Whether an index that is proposed is made without anybody's word.
    async fn makes(&self, advice: &Advice, collection: &Collection, all: &[Advice]) -> Result<bool> {
        let (store, bounds) = (&self.0.store, &self.0.advisor);
        let may = match bounds.apply {
            Apply::Auto => !self.0.guarded && collection.shape.mode("") == Mode::Open,
            Apply::Always => true,
            Apply::Never => false,
        };
        if !may {
            return Ok(false);
        }
        let rows = store.rows_about(collection).await?;
        let others = all.iter().filter(|one| one.collection_id == collection.id);
        let held: i64 = others.filter_map(|one| one.size_bytes).sum();
        let fits = held.saturating_add(index_bytes(&advice.way, rows)) <= bounds.indexes_bytes_max;
        // Telling the words of a text takes longer than comparing values.
        let slower = if advice.way.words.is_some() { 10 } else { 1 };
        Ok(fits && (!store.is_embedded() || rows <= bounds.sqlite_rows_max / slower))
    }

    async fn make(&self, maker: &mut Maker, advice: &Advice, collection: &Collection) -> Result<()> {
        let name = index_name(advice, collection);
        if maker.there().await?.iter().any(|index| index.name == name && !index.whole) {
            maker.sweep(&name).await?;
        }
        let gone = match maker.make(advice, collection).await? {
            Made::Yes => {
                tracing::info!(collection = %collection.field_name, index = name, "an index was made");
                return Ok(());
            }
            Made::Refused => (State::Refused, "the database cannot make it; the node's log says why", None),
            Made::Gone => (State::Dropped, "a field of it has no column any more", None),
        };
        maker.sweep(&name).await?;
        self.0.store.drop_index((advice, collection), gone).await
    }

    /// Notes how an index is used, and takes one away that is not and that nobody has asked for.
    async fn look_after(
        &self,
        advice: &Advice,
        collection: &Collection,
        (index, noticed): (&There, &Noticed),
    ) -> Result<()> {
        let (store, now) = (&self.0.store, self.0.store.clock.now_us());
        let served = noticed.iter().filter(|((id, way), _)| {
            *id == advice.collection_id && advice.way.covers(&way.clone().indexed())
        });
        let told = advice.uses.saturating_add(served.map(|(_, noted)| noted.times).sum());
        let (size, uses) = index.figures.unwrap_or((advice.size_bytes.unwrap_or(0), told));
        let used_at = if uses > advice.uses { now } else { advice.used_at };
        if uses != advice.uses || Some(size) != advice.size_bytes {
            store.note_uses(advice.id, size, uses, used_at).await?;
        }
        let unused_us = i64::try_from(self.0.advisor.unused_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        if advice.subject.is_some() || now.saturating_sub(used_at) <= unused_us {
            return Ok(());
        }
        let reason = "no read has used it for as long as `advisor.unused_s` says";
        store.drop_index((advice, collection), (State::Dropped, reason, None)).await
    }

    /// Takes an index away that may not take a row which is to be written.
    async fn give_way(&self, id: i64) -> Result<()> {
        let (store, catalog) = (&self.0.store, self.0.store.catalog.load());
        let advice = store.advice_of(id).await?;
        let Some(collection) = catalog.by_id(advice.collection_id) else { return Ok(()) };
        if !matches!(advice.state, State::Created | State::Creating) {
            return Ok(());
        }
        let index = index_name(&advice, collection);
        tracing::warn!(collection = %collection.field_name, index, "an index refuses a row; it is dropped");
        let reason = "a text of a row is longer than the database's indexes take";
        store.drop_index((&advice, collection), (State::Refused, reason, None)).await
    }

    /// Advice about indexes, of one collection or of all, as the GraphQL type `IndexAdvice` has it.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection that there is not.
    pub async fn index_advice(&self, actor: &Actor, collection: Option<&str>) -> Result<Value> {
        if !self.administers(actor) {
            self.0.policy.allow(actor, Action::Steward)?;
        }
        let id = match collection {
            Some(name) => Some(self.collection_named(name).await?.id),
            None => None,
        };
        let all = self.0.store.advice(id).await?;
        let mut told = Vec::with_capacity(all.len());
        for one in &all {
            told.extend(self.told_advice(actor, one)?);
        }
        Ok(told.into())
    }

    /// Has an advised index made, whatever became of it before: the GraphQL type `IndexAdvice`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND`
    pub async fn apply_index_advice(&self, actor: &Actor, id: &str) -> Result<Value> {
        let (advice, _) = self.stewarded_advice(actor, id).await?;
        let reason = format!("a steward has applied it: {}", advice.reason);
        let wanted = self.0.store.want_index(advice.id, &reason, Some(&actor.subject)).await?;
        self.told_advice(actor, &wanted)?.ok_or_else(unknown)
    }

    /// Takes an index away that was made by advice, or the advice; it is not given again: the GraphQL type
    /// `IndexAdvice`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND`; `UNAVAILABLE` when reads stand in the way for too long.
    pub async fn drop_index(&self, actor: &Actor, id: &str) -> Result<Value> {
        let (advice, collection) = self.stewarded_advice(actor, id).await?;
        let what = (State::Dropped, "a steward has dropped it", Some(actor.subject.as_str()));
        self.0.store.drop_index((&advice, &collection), what).await?;
        let advice = self.0.store.advice_of(advice.id).await?;
        self.told_advice(actor, &advice)?.ok_or_else(unknown)
    }

    async fn stewarded_advice(&self, actor: &Actor, id: &str) -> Result<(Advice, Arc<Collection>)> {
        if !self.administers(actor) {
            self.0.policy.allow(actor, Action::Steward)?;
        }
        let advice = self.0.store.advice_of(id.parse().map_err(|_| unknown())?).await?;
        self.told_advice(actor, &advice)?.ok_or_else(unknown)?;
        let catalog = self.0.store.catalog.load();
        let collection = catalog.by_id(advice.collection_id).cloned().ok_or_else(unknown)?;
        Ok((advice, collection))
    }

    /// Advice, for whom may know of the fields that it is about.
    fn told_advice(&self, actor: &Actor, advice: &Advice) -> Result<Option<Value>> {
        let catalog = self.0.store.catalog.load();
        let Some(collection) = catalog.by_id(advice.collection_id) else { return Ok(None) };
        let fields = advice.way.fields();
        if !self.administers(actor) {
            let scope = self.0.policy.scope(actor, &catalog.collections, collection)?;
            let seen =
                |id: &u32| scope.as_ref().is_some_and(|one| one.comparable(collection.shape.current(*id)));
            if !fields.iter().all(seen) {
                return Ok(None);
            }
        }
        Ok(Some(json!({
            "id": advice.id.to_string(),
            "collection": collection.field_name,
            "fields": paths(collection, &fields),
            "kind": advice.way.kind(),
            "state": advice.state.as_str(),
            "reason": advice.reason,
            "sizeBytes": advice.size_bytes.map(|size| size.to_string()),
            "uses": advice.uses.to_string(),
            "subject": advice.subject,
            "at": write::instant(advice.at),
        })))
    }
}

fn unknown() -> Error {
    Error::not_found("there is no advice of this id for you; `indexAdvice` lists it")
}

/// The paths of fields by their ids, as `shape` tells them; those that are gone are left out.
pub(super) fn paths(collection: &Collection, ids: &[u32]) -> Vec<String> {
    let path = |id: &u32| {
        if let Some(member) = ENVELOPE.iter().find(|member| member.id == *id) {
            return Some(format!("{RECORD}.{}", member.name));
        }
        collection.shape.field(collection.shape.current(*id)).map(|field| field.path.clone())
    };
    ids.iter().filter_map(path).collect()
}

fn is_live(advice: &Advice) -> bool {
    matches!(advice.state, State::Proposed | State::Creating | State::Created)
}

/// Whether advice says all that there is to say of a way: its index serves it, or it is not to be made again.
fn stands_for(advice: &Advice, way: &Way) -> bool {
    match advice.state {
        State::Proposed | State::Creating | State::Created => advice.way.covers(way),
        State::Refused => advice.way == *way,
        State::Dropped => advice.way == *way && advice.subject.is_some(),
    }
}

/// Whether a relation goes this way: then there is an index.
fn is_followed(collection: &Collection, way: &Way) -> bool {
    let alone = way.range.is_none() && way.order.is_empty() && way.equal.len() == 1;
    alone && collection.shape.relations().any(|relation| way.equal.contains(&relation.field))
}

/// The part of a collection's rows that a read is about which goes by an index: those that it gives out where they come
/// in its order, else also those that the fields' values are thought to leave.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn share(way: &Way, noted: Noted, rows: i64, statistics: &Statistics) -> f64 {
    let given = noted.given as f64 / (noted.times.max(1) as f64 * rows.max(1) as f64);
    if !way.order.is_empty() {
        return given.min(1.0);
    }
    let part = |id: &u32| match statistics.of(*id) {
        Some(known) => 1.0 / known.distinct().0.max(1) as f64,
        None => PART_UNKNOWN,
    };
    let left: f64 = way.equal.iter().map(part).product();
    let between = if way.range.is_some() { PART_BETWEEN } else { 1.0 };
    // What lies between bounds is told better by what was given out.
    if way.equal.is_empty() { given.min(1.0) } else { given.max(left * between).min(1.0) }
}

/// How long reads would not have taken, in microseconds.
#[expect(clippy::cast_precision_loss, reason = "it is compared with others only")]
fn saved(noted: Noted, share: f64) -> f64 {
    noted.spent_us as f64 * (1.0 - share)
}

#[expect(clippy::cast_precision_loss, reason = "it is rounded")]
fn reason(noted: Noted, rows: i64) -> String {
    let (times, ms) = (noted.times.max(1), noted.spent_us as f64 / 1_000.0);
    format!(
        "{times} reads took {ms:.0} ms together, {:.1} ms each, and gave out {:.1} of about {rows} rows each",
        ms / times as f64,
        noted.given as f64 / times as f64
    )
}
