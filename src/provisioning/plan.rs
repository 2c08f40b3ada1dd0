//! From what plugins said to what one transaction writes: pure, so that every order of failures, followers and
//! repetitions can be tested without a database.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::decide::{Decided, Item, Known, Thought, Trouble};
use crate::config;
use crate::record::Draft;
use crate::store::ledger::Letter;
use crate::store::rows::RowEffect;

/// What a letter's history remembers: the most tries that may be configured, and that it was redriven before them.
const HISTORY_MAX: usize = 21;
/// Characters of a reason that are kept.
const REASON_MAX: usize = 2_000;

/// What the database already knows about the records of a batch.
#[derive(Default)]
pub(super) struct Before {
    /// The last marker of each record's chain.
    pub tails: HashMap<Uuid, Vec<u8>>,
    /// Plugins that have settled a record at a hook.
    pub settled: HashSet<(Uuid, i64, String)>,
    /// Records that wait at a plugin and hook already.
    pub waiting: HashSet<(Uuid, i64, String)>,
    /// Keys that wait at a plugin: what follows must wait too.
    pub parked: HashSet<(i64, String)>,
}

/// A ledger row before it is signed.
pub(super) struct Entry {
    /// Which record.
    pub item: Item,
    /// Which plugin.
    pub known: Known,
    /// Tags that it gave, as JSON.
    pub tags: Option<String>,
    /// Whether it wrote the row.
    pub wrote: bool,
}

/// How a record came through, for the log line and the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fate {
    /// No plugin wanted it, or all had it already.
    Untouched,
    /// Every plugin has settled it.
    Done,
    /// It follows a record that waits.
    Queued,
    /// It will be tried again by itself.
    Retry,
    /// It waits for a person.
    Parked,
}

impl Fate {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Fate::Untouched => "untouched",
            Fate::Done => "done",
            Fate::Queued => "queued",
            Fate::Retry => "retry",
            Fate::Parked => "parked",
        }
    }
}

/// What one transaction writes.
#[derive(Default)]
pub(super) struct Plan {
    /// Rows of collections, in order.
    pub rows: Vec<RowEffect>,
    /// Derived records.
    pub derived: Vec<Draft>,
    /// Ledger rows, in order.
    pub ledger: Vec<Entry>,
    /// Records that wait from now on.
    pub letters: Vec<Letter>,
    /// Each record with the worst that a plugin made of it.
    pub fates: Vec<(Item, Fate)>,
}

impl Plan {
    /// Takes the effects of one plugin on one record in.
    pub(super) fn settle(&mut self, item: &Item, known: &Known, decided: &Decided) {
        self.rows.extend(decided.row.clone());
        self.derived.extend(decided.emitted.iter().cloned());
        let mut tags = decided.tags.clone();
        tags.sort();
        tags.dedup();
        let tags = (!tags.is_empty()).then(|| serde_json::Value::from(tags).to_string());
        let wrote = decided.row.is_some();
        self.ledger.push(Entry { item: item.clone(), known: known.clone(), tags, wrote });
    }

    /// When the next of a partition's new letters is due.
    pub(super) fn due(&self, partition: u32) -> Option<i64> {
        let letters = self.letters.iter().filter(|letter| letter.partition == partition);
        letters.filter(|letter| letter.state == "retry").map(|letter| letter.due).min()
    }
}

/// Plans a batch: each record in order, each plugin by itself.
pub(super) fn plan(thoughts: &[Thought], before: &Before, now: i64, bounds: &config::Provisioning) -> Plan {
    let mut plan = Plan::default();
    let mut parked: HashSet<(i64, String)> = HashSet::new();
    for thought in thoughts {
        let item = &thought.item;
        let (id, hook, key) = (item.record.draft.id, item.hook.as_str(), item.record.key.as_str());
        let mut fate = Fate::Untouched;
        for decision in &thought.decisions {
            let known = &decision.known;
            let mark = (id, known.id, hook.to_owned());
            if before.settled.contains(&mark) || before.waiting.contains(&mark) {
                continue;
            }
            let lane = (known.id, key.to_owned());
            if before.parked.contains(&lane) || parked.contains(&lane) {
                plan.letters.push(follower(item, known, now));
                fate = fate.max(Fate::Queued);
                continue;
            }
            match &decision.result {
                Ok(decided) => {
                    plan.settle(item, known, decided);
                    fate = fate.max(Fate::Done);
                }
                Err(trouble) => {
                    let letter = failed(follower(item, known, now), trouble, now, bounds);
                    fate = fate.max(if letter.state == "retry" { Fate::Retry } else { Fate::Parked });
                    plan.letters.push(letter);
                    parked.insert(lane);
                }
            }
        }
        plan.fates.push((item.clone(), fate));
    }
    plan
}

/// A record that waits behind an earlier one of its key.
fn follower(item: &Item, known: &Known, now: i64) -> Letter {
    Letter {
        id: 0,
        plugin_id: known.id,
        partition: item.record.partition,
        key: item.record.key.as_str().to_owned(),
        rev: item.record.revision,
        record_id: item.record.draft.id,
        hook: item.hook.as_str().to_owned(),
        code: "FOLLOWS".into(),
        reason: "an earlier revision of its key is parked".into(),
        attempts: 0,
        state: "queued".into(),
        due: now,
        history: "[]".into(),
        at: now,
    }
}

/// The letter after one more failed try: transient ones are tried again by themselves, up to the bound.
pub(super) fn failed(
    mut letter: Letter,
    trouble: &Trouble,
    now: i64,
    bounds: &config::Provisioning,
) -> Letter {
    let mut history: Vec<serde_json::Value> = serde_json::from_str(&letter.history).unwrap_or_default();
    // Tries since a person last put it back: a redrive gives it the full number again.
    let fresh = history.iter().rev().take_while(|event| event.get("redriven").is_none()).count();
    letter.attempts += 1;
    letter.code = trouble.code.clone();
    // What a plugin says is bounded, and without what a text column cannot hold.
    letter.reason = trouble.reason.chars().filter(|c| *c != '\0').take(REASON_MAX).collect();
    history.push(serde_json::json!({
        "at": now, "attempt": letter.attempts, "code": letter.code, "reason": letter.reason,
    }));
    let forget = history.len().saturating_sub(HISTORY_MAX);
    history.drain(..forget);
    let again = trouble.transient && fresh + 1 < usize::try_from(bounds.attempts_max).unwrap_or(usize::MAX);
    letter.state = if again { "retry".into() } else { "parked".into() };
    let shift = u32::try_from(fresh.min(16)).unwrap_or(16);
    let pause_ms = bounds.retry_pause_ms.saturating_mul(1 << shift).min(bounds.retry_pause_max_ms);
    letter.due = now.saturating_add(i64::try_from(pause_ms.saturating_mul(1_000)).unwrap_or(i64::MAX));
    letter.history = serde_json::Value::from(history).to_string();
    letter
}
