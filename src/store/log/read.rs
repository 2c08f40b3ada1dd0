//! Reading records back, and the way that one of them has gone.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use super::pack::Unpacker;
use crate::error::{Error, Result};
use crate::record::{Draft, Envelope, Key, ReceiptStatus, Record, Source};
use crate::store::db::{Dialect, Row, Type, Value};
use crate::store::{Store, outbox};

/// How far a record is.
#[derive(Clone, Debug, PartialEq)]
pub struct Way {
    /// The record's id.
    pub id: Uuid,
    /// Its key.
    pub key: Key,
    /// Its revision.
    pub revision: i64,
    /// Where it comes from.
    pub source: Source,
    /// Who sent it.
    pub author: String,
    /// How far it is.
    pub status: ReceiptStatus,
    /// When it was taken in, Unix microseconds.
    pub ingested_at: i64,
    /// When the relay gave it its place in the stream.
    pub published_at: Option<i64>,
    /// When the last plugin settled it.
    pub provisioned_at: Option<i64>,
    /// What plugins did with it, in order of time, and where it waits.
    pub steps: Vec<Step>,
}

/// What one plugin did with a record, or why it has not yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The plugin's name.
    pub plugin: String,
    /// Its version then.
    pub version: i64,
    /// How it ended, or how it waits: `parked`, `retry` or `queued`.
    pub outcome: String,
    /// Why it waits, for programs.
    pub code: Option<String>,
    /// Since when it stands so, Unix microseconds.
    pub at: i64,
}

impl Step {
    /// When it was settled, if it is.
    pub fn settled_at(&self) -> Option<i64> {
        self.code.is_none().then_some(self.at)
    }
}

/// What [`record`] reads, in order: the envelope, then what can be large.
macro_rules! columns {
    ($large:literal) => {
        concat!(
            "r.id, s.category, s.subcategory, s.source_name, r.source_uid, r.key, r.rev, r.partition, r.idem, ",
            "r.author, r.payload_hash, r.content_type, r.occurred_at, r.ingested_at, r.structure, r.deleted, ",
            "r.cause, r.hops, r.envelope, ",
            $large
        )
    };
}

/// The columns of a record.
const COLUMNS: &str = columns!("t.tree, r.body, r.body_bytes");

/// How long the document of the record `r` is.
pub(in crate::store) const BODY_BYTES: &str = "coalesce(r.body_bytes, octet_length(r.body))";

/// The most rows of the outbox of one partition that are counted.
const COUNTED_MAX: i64 = 200;

/// The tables they come from.
const JOINS: &str =
    "join source s on s.id = r.source_id left join structure t on t.fingerprint = r.structure";

impl Store {
    /// The records with these ids, in the order of the ids; those that are not there are left out.
    pub async fn records(&self, ids: &[Uuid]) -> Result<Vec<Record>> {
        self.among(ids, &format!("select {COLUMNS} from u join record r on r.id = u.id {JOINS}")).await
    }

    /// As [`Store::records`], without what can be large: document and structure's text are empty.
    pub async fn envelopes(&self, ids: &[Uuid]) -> Result<Vec<Record>> {
        let columns = columns!("'', cast('' as {bytes}), null");
        let bytes = if self.db.dialect() == Dialect::Postgres { "bytea" } else { "blob" };
        let columns = columns.replace("{bytes}", bytes);
        let from = "from u join record r on r.id = u.id join source s on s.id = r.source_id";
        self.metrics.record_row_statement();
        self.among(ids, &format!("select {columns} {from}")).await
    }

    async fn among(&self, ids: &[Uuid], sql: &str) -> Result<Vec<Record>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = ids.iter().map(|id| vec![Value::Uuid(*id)]).collect();
        let found = self.db.query_many(&[("id", Type::Uuid)], rows, sql).await?;
        let (mut records, mut unpacker) = (HashMap::with_capacity(found.len()), Unpacker::new()?);
        for row in found {
            let record = record(row, &mut unpacker)?;
            records.insert(record.draft.id, record);
        }
        Ok(ids.iter().filter_map(|id| records.remove(id)).collect())
    }

    /// The latest record of a key.
    pub async fn latest(&self, key: &Key) -> Result<Option<Record>> {
        let sql =
            format!("select {COLUMNS} from record r {JOINS} where r.key = $1 order by r.rev desc limit 1");
        let rows = self.db.query(&sql, &[key.as_str().into()]).await?;
        rows.into_iter().next().map(|row| record(row, &mut Unpacker::new()?)).transpose()
    }

    /// The ids of records newest first, of one source or all, older than the record `before`, each with how many bytes
    /// its document has.
    pub async fn recent(
        &self,
        source: Option<&Source>,
        first: usize,
        before: Option<Uuid>,
    ) -> Result<Vec<(Uuid, i64)>> {
        let (mut conditions, mut params) = (Vec::new(), Vec::new());
        if let Some(source) = source {
            conditions.push(
                "r.source_id = (select id from source where category = $1 and subcategory = $2 and source_name = $3)",
            );
            for part in [&source.category, &source.subcategory, &source.source_name] {
                params.push(Value::from(part.as_str()));
            }
        }
        if let Some(before) = before {
            conditions.push(if source.is_some() { "r.id < $4" } else { "r.id < $1" });
            params.push(before.into());
        }
        let filter = if conditions.is_empty() { "true".into() } else { conditions.join(" and ") };
        let sql = format!(
            "select r.id, {BODY_BYTES} from record r where {filter} order by r.id desc limit {first}"
        );
        self.db.query(&sql, &params).await?.iter().map(|row| Ok((row.uuid(0)?, row.i64(1)?))).collect()
    }

    /// All sources, in order.
    pub async fn sources(&self) -> Result<Vec<Source>> {
        let sql = "select category, subcategory, source_name from source order by 1, 2, 3";
        let rows = self.db.query(sql, &[]).await?;
        rows.iter().map(|row| Source::new(row.text(0)?, row.text(1)?, row.text(2)?)).collect()
    }

    /// How many records wait to be provisioned, about.
    pub async fn backlog(&self) -> Result<i64> {
        // Counting all rows would take as long as there are many. Their ids are handed out densely but for what was
        // rolled back, and the first of each partition tell how many records a row has.
        let first = "from outbox o where o.partition = p.p and o.pseq is null order by o.id";
        let sql = format!(
            "select cast(coalesce(sum(a.claimed), 0) as bigint), cast(coalesce(sum(a.records), 0) as bigint), \
             cast(sum(a.counted) as bigint), cast(coalesce(max(a.last) - min(a.first) + 1, 0) as bigint) \
             from (select p.pseq - p.settled as claimed, \
             (select sum(f.n) from (select o.n {first} limit {COUNTED_MAX}) f) as records, \
             (select count(*) from (select o.n {first} limit {COUNTED_MAX}) f) as counted, \
             (select o.id {first} limit 1) as first, (select o.id {first} desc limit 1) as last \
             from partition p) a"
        );
        let rows = self.db.query(&sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok(0) };
        let (claimed, records, counted) = (row.i64(0)?, row.i64(1)?, row.i64(2)?);
        if counted < COUNTED_MAX {
            return Ok(claimed + records);
        }
        let rows = row.i64(3)?.max(counted);
        Ok(claimed.saturating_add(rows.saturating_mul(records) / counted))
    }

    /// How far a record is; `None` when there is no such record.
    pub async fn way(&self, id: Uuid) -> Result<Option<Way>> {
        let sql = format!(
            "select s.category, s.subcategory, s.source_name, r.key, r.rev, r.author, r.ingested_at, \
             o.id, o.pseq, \
             (select count(*) from dead_letter d where d.record_id = r.id), \
             coalesce(o.claimed_at, (select min(l.claimed_at) from ledger l where l.record_id = r.id)) \
             from record r join source s on s.id = r.source_id left join outbox o on {} where r.id = $1",
            outbox::holds(self.db.dialect())
        );
        let rows = self.db.query(&sql, &[id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        // A letter that is ready has been put back: it is about to be tried again.
        let sql = "select p.name, l.version, l.outcome, cast(null as text), l.settled_at from ledger l \
                   join plugin p on p.id = l.plugin_id where l.record_id = $1 union all \
                   select p.name, p.version, case d.state when 'ready' then 'retry' else d.state end, d.code, d.at \
                   from dead_letter d join plugin p on p.id = d.plugin_id where d.record_id = $1 order by 5, 1";
        let steps = self.db.query(sql, &[id.into()]).await?;
        let steps = steps.iter().map(step).collect::<Result<Vec<_>>>()?;
        let (waits, claimed) = (row.opt_i64(7)?.is_some(), row.opt_i64(8)?.is_some());
        let ingested_at = row.i64(6)?;
        let status = match (waits, claimed) {
            _ if row.i64(9)? > 0 => ReceiptStatus::Parked,
            (true, true) => ReceiptStatus::Published,
            (true, false) => ReceiptStatus::Accepted,
            // Settling drops it from the outbox.
            (false, _) => ReceiptStatus::Provisioned,
        };
        let last = steps.iter().filter_map(Step::settled_at).max();
        Ok(Some(Way {
            id,
            key: Key::from_stored(row.text(3)?.to_owned()),
            revision: row.i64(4)?,
            source: Source::new(row.text(0)?, row.text(1)?, row.text(2)?)?,
            author: row.text(5)?.to_owned(),
            status,
            ingested_at,
            published_at: row.opt_i64(10)?,
            provisioned_at: last.filter(|_| status == ReceiptStatus::Provisioned),
            steps,
        }))
    }
}

fn step(row: &Row) -> Result<Step> {
    Ok(Step {
        plugin: row.text(0)?.to_owned(),
        version: row.i64(1)?,
        outcome: row.text(2)?.to_owned(),
        code: row.opt_text(3)?.map(str::to_owned),
        at: row.i64(4)?,
    })
}

/// A record from [`COLUMNS`].
fn record(mut row: Row, unpacker: &mut Unpacker) -> Result<Record> {
    let mut body = row.take_bytes(20)?;
    if let Some(bytes) = row.opt_i64(21)? {
        let bytes = usize::try_from(bytes).map_err(Error::internal)?;
        body = unpacker.unpack(body, row.opt_text(19)?.unwrap_or_default(), bytes)?;
    }
    let structure = match (row.opt_i64(14)?, row.opt_text(19)?) {
        (Some(fingerprint), Some(tree)) => Some((fingerprint, tree.into())),
        _ => None,
    };
    let envelope: Envelope = serde_json::from_str(row.text(18)?).map_err(Error::internal)?;
    Ok(Record {
        draft: Draft {
            id: row.uuid(0)?,
            source: Source {
                category: row.text(1)?.to_owned(),
                subcategory: row.text(2)?.to_owned(),
                source_name: row.text(3)?.to_owned(),
            },
            source_uid: row.text(4)?.to_owned(),
            author: row.text(9)?.to_owned(),
            idempotency_key: row.opt_text(8)?.map(str::to_owned),
            if_revision: None,
            content_type: row.text(11)?.to_owned(),
            body: Bytes::from(body),
            payload_hash: row
                .bytes(10)?
                .try_into()
                .map_err(|_| Error::internal("a payload hash is damaged"))?,
            occurred_at: row.opt_i64(12)?,
            ingested_at: row.i64(13)?,
            structure,
            deleted: row.bool(15)?,
            causation_id: row.opt_uuid(16)?,
            hops: i32::try_from(row.i64(17)?).map_err(Error::internal)?,
            envelope,
        },
        key: Key::from_stored(row.text(5)?.to_owned()),
        revision: row.i64(6)?,
        partition: u32::try_from(row.i64(7)?).map_err(Error::internal)?,
    })
}
