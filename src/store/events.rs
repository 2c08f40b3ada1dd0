//! What happened to shapes and to API keys, and what needs a person, in the order in which it was committed: each at
//! one dense position, given in the transaction that made it happen, and kept as long as the versions that it tells of.
//! Nodes refresh their catalogs by it: whatever changes a collection or its build says so here. Must not decide who is
//! told.

mod api_keys;
mod indexes;
mod notices;

pub use api_keys::KeyTold;
pub(super) use api_keys::tell_key;
pub use indexes::IndexTold;
pub(super) use indexes::tell_index;
pub use notices::{DenyingRule, Drifted, Parked, tell_parked};

use super::Store;
use super::catalog::published;
use super::db::{Row, Tx, Type, Value};
use crate::error::{Code, Error, Result};
use crate::shape::Published;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A collection was made.
    CollectionPublished,
    /// A version of its shape was published by itself.
    ShapeChanged,
    /// Somebody decided a version of its shape.
    Decided,
    /// A policy rule does not fit its shape any more, and denies.
    RuleDenies,
    /// Records wait at a plugin for a person.
    RecordsParked,
    /// Somebody made an API key.
    ApiKeyCreated,
    /// Somebody revoked an API key.
    ApiKeyRevoked,
    /// A collection has gone from what a contract promises of it.
    ContractDrifts,
    /// An index that was advised is there now.
    IndexCreated,
    /// An index that was made by advice is gone.
    IndexDropped,
}

impl EventKind {
    const ALL: [EventKind; 10] = [
        EventKind::CollectionPublished,
        EventKind::ShapeChanged,
        EventKind::Decided,
        EventKind::RuleDenies,
        EventKind::RecordsParked,
        EventKind::ApiKeyCreated,
        EventKind::ApiKeyRevoked,
        EventKind::ContractDrifts,
        EventKind::IndexCreated,
        EventKind::IndexDropped,
    ];

    /// As the API and the database name it.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::CollectionPublished => "COLLECTION_PUBLISHED",
            EventKind::ShapeChanged => "SHAPE_CHANGED",
            EventKind::Decided => "DECIDED",
            EventKind::RuleDenies => "RULE_DENIES",
            EventKind::RecordsParked => "RECORDS_PARKED",
            EventKind::ApiKeyCreated => "API_KEY_CREATED",
            EventKind::ApiKeyRevoked => "API_KEY_REVOKED",
            EventKind::ContractDrifts => "CONTRACT_DRIFTS",
            EventKind::IndexCreated => "INDEX_CREATED",
            EventKind::IndexDropped => "INDEX_DROPPED",
        }
    }
}

/// Something that happens in a transaction.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    /// When, Unix microseconds.
    pub(super) at: i64,
    pub(super) kind: EventKind,
    pub(super) collection_id: i64,
    /// The version of the shape that it made.
    pub(super) version: i64,
    /// Who decided it.
    pub(super) subject: Option<String>,
    /// What is told of something else than a version.
    pub(super) notice: Option<Notice>,
}

/// What an event tells of something else than a version of a shape.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    /// JSON.
    pub(super) detail: String,
    /// The same for what is not to be told twice.
    pub(super) about: String,
}

/// Something that has happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in the order of all events, from 1 without a gap.
    pub pos: i64,
    /// When, Unix microseconds.
    pub at: i64,
    /// What it is.
    pub kind: EventKind,
    /// To which collection; 0 for none.
    pub collection_id: i64,
    /// The version of the shape that it made or that it is about; 0 for none.
    pub version: i64,
    /// Who decided it, if anybody did.
    pub subject: Option<String>,
    /// Why the version was published.
    pub cause: String,
    /// The rule that denies, if it is about one.
    pub rule: Option<DenyingRule>,
    /// What waits, if it is about that.
    pub parked: Option<Parked>,
    /// The API key, if it is about one.
    pub api_key: Option<KeyTold>,
    /// How a collection has gone from a contract, if it is about that.
    pub drifted: Option<Drifted>,
    /// The index, if it is about one.
    pub index: Option<IndexTold>,
}

/// Gives each its place. The counter stays locked until the commit: it comes last in its transaction.
pub(super) async fn append(tx: &mut Tx, happened: &[Happened]) -> Result<()> {
    if happened.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(happened.len()).map_err(Error::internal)?;
    let raised = tx.query("update event_pos set pos = pos + $1 returning pos", &[count.into()]).await?;
    let last = raised.first().ok_or_else(|| Error::internal("the position of events is gone"))?.i64(0)?;
    let columns = [
        ("pos", Type::Int),
        ("at", Type::Int),
        ("kind", Type::Text),
        ("collection_id", Type::Int),
        ("version", Type::Int),
        ("subject", Type::Text),
        ("detail", Type::Text),
        ("about", Type::Text),
    ];
    let row = |(pos, one): (i64, &Happened)| {
        vec![
            pos.into(),
            one.at.into(),
            one.kind.as_str().into(),
            one.collection_id.into(),
            one.version.into(),
            Value::opt_text(one.subject.as_deref()),
            Value::opt_text(one.notice.as_ref().map(|notice| notice.detail.as_str())),
            Value::opt_text(one.notice.as_ref().map(|notice| notice.about.as_str())),
        ]
    };
    let rows = (last - count + 1..).zip(happened).map(row).collect();
    tx.insert_many("event", &columns, rows, "").await.map(drop)
}

impl Store {
    /// The position of the last event; 0 is before the first.
    pub async fn events_head(&self) -> Result<i64> {
        let rows = self.db.query(HEAD, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }

    /// At most `max` events behind a position, in their order.
    pub async fn events(&self, after: i64, max: usize) -> Result<Vec<Event>> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        self.db.query(EVENTS, &[after.into(), max.into()]).await?.iter().map(event).collect()
    }

    /// What a version of a collection published, and what the one before it did.
    pub async fn version_pair(&self, collection_id: i64, version: i64) -> Result<(Published, Published)> {
        let rows = self.db.query(PAIR, &[collection_id.into(), version.into()]).await?;
        let mut next = Published::default();
        let mut previous = Published::default();
        for row in &rows {
            let slot = if row.i64(0)? == version { &mut next } else { &mut previous };
            *slot = published(row.text(1)?)?;
        }
        Ok((previous, next))
    }
}

/// The position of the last event.
pub(super) const HEAD: &str = "select pos from event_pos";

/// Which collections have changed behind a position.
pub(super) const SINCE: &str = "select pos, collection_id from event where pos > $1";

const EVENTS: &str = "select e.pos, e.at, e.kind, e.collection_id, e.version, e.subject, v.cause, e.detail \
     from event e \
     left join shape_version v on v.collection_id = e.collection_id and v.version = e.version \
     where e.pos > $1 order by e.pos limit $2";

const PAIR: &str = "select version, published from shape_version \
     where collection_id = $1 and (version = $2 or version = $2 - 1)";

fn event(row: &Row) -> Result<Event> {
    let kind = row.text(2)?;
    let unknown = || {
        let text = format!("the database has events of the kind `{kind}`, which this version does not know");
        Error::new(Code::Conflict, text)
    };
    let kind = EventKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(unknown)?;
    let detail = row.opt_text(7)?.unwrap_or_default();
    Ok(Event {
        pos: row.i64(0)?,
        at: row.i64(1)?,
        kind,
        collection_id: row.i64(3)?,
        version: row.i64(4)?,
        subject: row.opt_text(5)?.map(str::to_owned),
        cause: row.opt_text(6)?.unwrap_or_default().to_owned(),
        rule: (kind == EventKind::RuleDenies).then(|| notices::read(detail)).transpose()?,
        parked: (kind == EventKind::RecordsParked).then(|| notices::read(detail)).transpose()?,
        api_key: matches!(kind, EventKind::ApiKeyCreated | EventKind::ApiKeyRevoked)
            .then(|| notices::read(detail))
            .transpose()?,
        drifted: (kind == EventKind::ContractDrifts).then(|| notices::read(detail)).transpose()?,
        index: matches!(kind, EventKind::IndexCreated | EventKind::IndexDropped)
            .then(|| notices::read(detail))
            .transpose()?,
    })
}
