//! What plugins decide about records: pure, records side by side on all cores, and whatever a plugin does wrong
//! ends here as a failure of that one record at that one plugin. Must not touch the store.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::plugin::{Effect, Hook, Plugin, Subject};
use crate::record::{Draft, Json, Limits, Record, parse};
use crate::store::ledger::Registered;
use crate::store::rows::RowEffect;

/// Below this many bytes of documents a batch is decided where it is: handing it over costs more.
const INLINE_BYTES_MAX: usize = 32 * 1024;

/// A plugin as the database knows it.
#[derive(Clone)]
pub(super) struct Known {
    /// What decides.
    pub plugin: Arc<dyn Plugin>,
    /// Its number in the ledger.
    pub id: i64,
    /// Which records are its own by the time they were taken in; `None` for one that waits at it already.
    pub owner: Option<Arc<Registered>>,
}

impl Known {
    /// Whether it is asked about anything now.
    pub(super) fn is_enabled(&self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.is_enabled())
    }

    /// Whether the record is this plugin's: a question of stored metadata only, so that the worker, `verify` and
    /// every node give the same answer at every time.
    pub(super) fn claims(&self, subject: &Subject<'_>) -> bool {
        let matching = || catch_unwind(AssertUnwindSafe(|| self.plugin.matches(subject)));
        // A predicate that panics must not hide the record: it is asked to decide, and fails there with a reason.
        let at = subject.record.draft.ingested_at;
        self.owner.as_ref().is_none_or(|owner| owner.owns(at)) && matching().unwrap_or(true)
    }
}

/// A record at its place in the partition.
#[derive(Clone)]
pub(super) struct Item {
    /// Its number in the partition.
    pub pseq: i64,
    /// Where it stands.
    pub hook: Hook,
    /// The record.
    pub record: Arc<Record>,
    /// When it got its number; not known of a letter.
    pub claimed_at: Option<i64>,
}

/// Why a record could not be settled.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// For programs.
    pub code: String,
    /// For people.
    pub reason: String,
    /// Whether trying again can help.
    pub transient: bool,
}

/// The effects of one plugin on one record, by kind.
#[derive(Clone, Default)]
pub(super) struct Decided {
    /// What becomes of the row of the record's key.
    pub row: Option<RowEffect>,
    /// Derived records.
    pub emitted: Vec<Draft>,
    /// Tags for the record.
    pub tags: Vec<String>,
}

impl Decided {
    /// Whether it does anything that the store could refuse.
    pub(super) fn has_effects(&self) -> bool {
        self.row.is_some() || !self.emitted.is_empty()
    }
}

/// What one plugin said about one record.
#[derive(Clone)]
pub(super) struct Decision {
    /// Which of the known plugins.
    pub known: Known,
    /// Its effects, or why there are none.
    pub result: Result<Decided, Trouble>,
}

/// A record with what all its plugins said.
#[derive(Clone)]
pub(super) struct Thought {
    /// The record.
    pub item: Item,
    /// In the order of the plugins.
    pub decisions: Vec<Decision>,
}

/// Decides all items; large batches on the threads for blocking work, one part a core.
/// At most `hops_max` plugins may stand between a record and its source.
pub(super) async fn decide_all(items: Vec<Item>, known: Arc<[Known]>, hops_max: i32) -> Result<Vec<Thought>> {
    let bytes: usize = items.iter().map(|item| item.record.draft.body.len()).sum();
    if bytes <= INLINE_BYTES_MAX {
        return Ok(items.into_iter().map(|item| decide(item, &known, hops_max)).collect());
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let part = items.len().div_ceil(cores).max(1);
    let parts: Vec<Vec<Item>> = items.chunks(part).map(<[Item]>::to_vec).collect();
    let jobs = parts.into_iter().map(|part| {
        let known = Arc::clone(&known);
        tokio::task::spawn_blocking(move || {
            part.into_iter().map(|item| decide(item, &known, hops_max)).collect::<Vec<_>>()
        })
    });
    let mut thoughts = Vec::new();
    for job in futures_util::future::join_all(jobs).await {
        thoughts.extend(job.map_err(Error::internal)?);
    }
    Ok(thoughts)
}

/// Decides one item: every plugin that claims it, none of which sees what another decided.
pub(super) fn decide(item: Item, known: &[Known], hops_max: i32) -> Thought {
    let subject = Subject { record: &item.record, document: None, hook: item.hook };
    let claiming: Vec<&Known> = known.iter().filter(|known| known.claims(&subject)).collect();
    let draft = &item.record.draft;
    let document = (!claiming.is_empty() && !draft.deleted).then(|| parse(&draft.body, Limits::ACCEPTED));
    let document = match document.transpose() {
        Ok(document) => Ok(document.map(Arc::new)),
        Err(error) => Err(trouble(&error)),
    };
    let decisions = claiming
        .into_iter()
        .map(|known| {
            let result = match &document {
                Ok(document) => {
                    let subject =
                        Subject { record: &item.record, document: document.as_ref(), hook: item.hook };
                    decide_one(known, &subject, hops_max)
                }
                Err(trouble) => Err(trouble.clone()),
            };
            Decision { known: known.clone(), result }
        })
        .collect();
    Thought { item, decisions }
}

fn decide_one(known: &Known, subject: &Subject<'_>, hops_max: i32) -> Result<Decided, Trouble> {
    let effects = match catch_unwind(AssertUnwindSafe(|| known.plugin.decide(subject))) {
        Ok(Ok(effects)) => effects,
        Ok(Err(failure)) => {
            let code = if failure.transient { "TRANSIENT" } else { "REFUSED" };
            return Err(Trouble { code: code.into(), reason: failure.reason, transient: failure.transient });
        }
        Err(panic) => {
            let reason = format!("the plugin panicked: {}", panic_text(&*panic));
            return Err(Trouble { code: "PANIC".into(), reason, transient: false });
        }
    };
    let mut decided = Decided::default();
    for effect in effects {
        match effect {
            Effect::Upsert(document) => decided.row = Some(upsert(subject, document)),
            Effect::Delete => {
                decided.row = Some(RowEffect { record: Arc::clone(subject.record), document: None });
            }
            Effect::Tag(tags) => decided.tags.extend(tags),
            Effect::Emit(draft) => {
                let index = decided.emitted.len();
                decided.emitted.push(derived(known, subject, *draft, index, hops_max)?);
            }
        }
    }
    Ok(decided)
}

/// The row of the record's key; a document that a plugin has changed has a structure of its own.
fn upsert(subject: &Subject<'_>, document: Arc<Json>) -> RowEffect {
    let same = subject.document.is_some_and(|original| Arc::ptr_eq(original, &document));
    let mut record = Arc::clone(subject.record);
    if !same {
        Arc::make_mut(&mut record).draft.structure = None;
    }
    RowEffect { record, document: Some(document) }
}

/// A derived record: its id follows from where it comes from, so that deciding again cannot make another one.
fn derived(
    known: &Known,
    subject: &Subject<'_>,
    draft: Draft,
    index: usize,
    hops_max: i32,
) -> Result<Draft, Trouble> {
    let origin = &subject.record.draft;
    let hops = origin.hops.saturating_add(1);
    if hops > hops_max {
        let reason = format!("more than {hops_max} plugins stand between the record and its source");
        return Err(Trouble { code: "HOP_LIMIT".into(), reason, transient: false });
    }
    let name = format!("{}\u{0}{}\u{0}{index}", known.plugin.name(), subject.hook.as_str());
    Ok(Draft {
        id: Uuid::new_v5(&origin.id, name.as_bytes()),
        causation_id: Some(origin.id),
        hops,
        idempotency_key: None,
        if_revision: None,
        ..draft
    })
}

/// The store's or the parser's word as the reason of a failure.
pub(super) fn trouble(error: &Error) -> Trouble {
    let reason = match error.cause() {
        Some(cause) => format!("{} ({cause})", error.message()),
        None => error.message().to_owned(),
    };
    Trouble { code: error.code().as_str().into(), reason, transient: false }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
