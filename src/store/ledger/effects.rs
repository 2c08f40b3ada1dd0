//! The ledger's side of the effect transaction. Every function works in the caller's transaction; the last one,
//! [`advance`] or [`hold`], says whether it may commit.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::letters::{LETTER, Letter, letter_row};
use super::{GENERATION, int};
use crate::error::Result;
use crate::store::db::{Dialect, Row, Tx, Type, Value};
use crate::store::outbox::ENTRY;

/// What became of one record at one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The record.
    pub record_id: Uuid,
    /// The plugin's number.
    pub plugin_id: i64,
    /// The plugin's version then.
    pub version: i64,
    /// Where the record stood.
    pub hook: String,
    /// `done`, or what else.
    pub outcome: String,
    /// The tags it gave, as a JSON array.
    pub tags: Option<String>,
    /// What did not fit the collection, as JSON.
    pub rescued: Option<String>,
    /// The version of the collection's shape that its row was conformed to.
    pub shape_version: Option<i64>,
    /// The marker before it in the record's chain.
    pub prev_hash: Vec<u8>,
    /// That is the first link, which the record has: it is not written again.
    pub first: bool,
    /// Its marker.
    pub hash: Vec<u8>,
    /// When.
    pub settled_at: i64,
    /// When the relay gave the record its place in the stream; not known of letters that were redriven.
    pub claimed_at: Option<i64>,
}

/// A stretch of one partition's outbox that one transaction settles, and the fence under which it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub p: u32,
    /// Its worker's fence.
    pub fence: i64,
    /// Everything up to this number is settled.
    pub above: i64,
    /// The last number of the stretch.
    pub upto: i64,
}

const STRETCH: [(&str, Type); 4] =
    [("p", Type::Int), ("fence", Type::Int), ("above", Type::Int), ("upto", Type::Int)];

/// Stretches in the order of their partitions, as whoever takes several partitions' rows takes them.
fn in_order(stretches: &[Stretch]) -> Vec<Vec<Value>> {
    let mut sorted = stretches.to_vec();
    sorted.sort_by_key(|one| one.p);
    let row = |one: &Stretch| vec![int(one.p), one.fence.into(), one.above.into(), one.upto.into()];
    sorted.iter().map(row).collect()
}

/// The ledger rows of these records: none, but for what was done before.
pub async fn settled_of(tx: &mut Tx, records: &[Uuid]) -> Result<Vec<Settled>> {
    let rows = records.iter().map(|id| vec![Value::Uuid(*id)]).collect();
    let sql = format!(
        "select {SETTLED} from u join ledger l on l.record_id = u.id where l.generation = {GENERATION}"
    );
    tx.query_many(&[("id", Type::Uuid)], rows, &sql).await?.iter().map(settled_row).collect()
}

/// The letters of these keys: what comes later must queue behind them.
pub async fn waiting_at(tx: &mut Tx, keys: &BTreeSet<&str>) -> Result<Vec<Letter>> {
    let rows = keys.iter().map(|key| vec![Value::from(*key)]).collect();
    let sql = format!(
        "select {LETTER} from u join dead_letter d on d.key = u.key where d.generation = {GENERATION}"
    );
    tx.query_many(&[("key", Type::Text)], rows, &sql).await?.iter().map(letter_row).collect()
}

/// Writes ledger rows. A row that is there already fails the transaction: an effect would have happened twice.
pub async fn settle(tx: &mut Tx, rows: &[Settled]) -> Result<()> {
    let columns = [
        ("record_id", Type::Uuid),
        ("plugin_id", Type::Int),
        ("generation", Type::Int),
        ("hook", Type::Text),
        ("version", Type::Int),
        ("outcome", Type::Text),
        ("tags", Type::Text),
        ("rescued", Type::Text),
        ("shape_version", Type::Int),
        ("prev_hash", Type::Bytes),
        ("hash", Type::Bytes),
        ("settled_at", Type::Int),
        ("claimed_at", Type::Int),
    ];
    let values = rows.iter().map(|row| {
        vec![
            Value::Uuid(row.record_id),
            Value::Int(row.plugin_id),
            Value::Int(GENERATION),
            Value::Text(row.hook.clone()),
            Value::Int(row.version),
            Value::Text(row.outcome.clone()),
            Value::opt_text(row.tags.as_deref()),
            Value::opt_text(row.rescued.as_deref()),
            Value::opt_int(row.shape_version),
            Value::Bytes(if row.first { Vec::new() } else { row.prev_hash.clone() }),
            Value::Bytes(row.hash.clone()),
            Value::Int(row.settled_at),
            Value::opt_int(row.claimed_at),
        ]
    });
    tx.append_many("ledger", &columns, values.collect()).await.map(drop)
}

/// Moves each stretch's partition on to its end and drops its records from the outbox; `false` when one of the fences
/// is no longer what it was: then the transaction must not commit. The partitions' rows are locked in their order, as
/// everybody does who takes several.
pub async fn advance(tx: &mut Tx, stretches: &[Stretch]) -> Result<bool> {
    let rows = in_order(stretches);
    // What begins within a stretch, and ends within it or not: of that the rest stays.
    let within = |upto: &str| {
        let rest = format!("cast({upto} - pseq + 1 as int)");
        let left = format!(
            "records = substr(records, {rest} * {ENTRY} + 1), n = pseq + n - 1 - {upto}, pseq = {upto} + 1"
        );
        let whole = format!("outbox.pseq <= {upto} and outbox.pseq + outbox.n - 1 <= {upto}");
        let part = format!("outbox.pseq <= {upto} and outbox.pseq + outbox.n - 1 > {upto}");
        (whole, left, part)
    };
    let moved = if tx.dialect() == Dialect::Postgres {
        let (whole, left, part) = within("u.upto");
        let sql = format!(
            ", l as (select a.p from u join partition a on a.p = u.p order by a.p for update of a), \
             d as (delete from outbox using u where outbox.partition = u.p and outbox.pseq > u.above and {whole}), \
             t as (update outbox set {left} from u where outbox.partition = u.p and outbox.pseq > u.above and {part}) \
             update partition set settled = u.upto from u join l on l.p = u.p \
             where partition.p = u.p and worker_fence = u.fence and settled = u.above returning partition.p"
        );
        tx.query_many(&STRETCH, rows, &sql).await?
    } else {
        let (whole, left, part) = within("$3");
        let drop = format!("delete from outbox where partition = $1 and pseq > $2 and {whole}");
        let cut = format!("update outbox set {left} where partition = $1 and pseq > $2 and {part}");
        for one in stretches {
            let params = [int(one.p), one.above.into(), one.upto.into()];
            tx.execute(&drop, &params).await?;
            tx.execute(&cut, &params).await?;
        }
        let sql = "update partition set settled = u.upto from u \
             where partition.p = u.p and worker_fence = u.fence and settled = u.above returning partition.p";
        tx.query_many(&STRETCH, rows, sql).await?
    };
    Ok(moved.len() == stretches.len())
}

/// Holds a partition's fence until the commit without moving the partition; `false` when it is no longer `fence`.
pub async fn hold(tx: &mut Tx, p: u32, fence: i64) -> Result<bool> {
    let sql = "update partition set settled = settled where p = $1 and worker_fence = $2";
    Ok(tx.execute(sql, &[int(p), Value::Int(fence)]).await? == 1)
}

/// The marker before the one of `ledger l`. Where nothing is written it is the record's first link.
macro_rules! previous {
    () => {
        "case when octet_length(l.prev_hash) > 0 then l.prev_hash else \
         coalesce((select r.genesis from record r where r.id = l.record_id), l.prev_hash) end"
    };
}
pub(in crate::store) use previous;

/// The columns of [`Settled`], of `ledger l`.
pub(super) const SETTLED: &str = concat!(
    "l.record_id, l.plugin_id, l.version, l.hook, l.outcome, l.tags, l.rescued, ",
    previous!(),
    ", l.hash, l.settled_at, l.claimed_at, l.shape_version, octet_length(l.prev_hash)"
);

pub(super) fn settled_row(row: &Row) -> Result<Settled> {
    Ok(Settled {
        record_id: row.uuid(0)?,
        plugin_id: row.i64(1)?,
        version: row.i64(2)?,
        hook: row.text(3)?.to_owned(),
        outcome: row.text(4)?.to_owned(),
        tags: row.opt_text(5)?.map(str::to_owned),
        rescued: row.opt_text(6)?.map(str::to_owned),
        prev_hash: row.bytes(7)?.to_vec(),
        hash: row.bytes(8)?.to_vec(),
        settled_at: row.i64(9)?,
        claimed_at: row.opt_i64(10)?,
        shape_version: row.opt_i64(11)?,
        first: row.i64(12)? == 0,
    })
}
