//! The ledger's side of the effect transaction. Every function works in the caller's transaction; the last one,
//! [`advance`] or [`hold`], says whether it may commit.

use uuid::Uuid;

use super::letters::{LETTER, Letter, letter_row};
use super::{GENERATION, int};
use crate::error::Result;
use crate::store::db::{Row, Tx, Type, Value};

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
    /// Its marker.
    pub hash: Vec<u8>,
    /// When.
    pub settled_at: i64,
    /// When the relay gave the record its place in the stream; not known of letters that were redriven.
    pub claimed_at: Option<i64>,
}

/// The ledger rows of the records in a range of a partition's outbox: none, but for what was done before.
pub async fn settled_in(tx: &mut Tx, p: u32, above: i64, upto: i64) -> Result<Vec<Settled>> {
    let sql = format!(
        "select {SETTLED} from outbox o join ledger l on l.record_id = o.record_id \
         where o.partition = $1 and o.pseq > $2 and o.pseq <= $3 and l.generation = {GENERATION}"
    );
    let rows = tx.query(&sql, &[int(p), Value::Int(above), Value::Int(upto)]).await?;
    rows.iter().map(settled_row).collect()
}

/// The letters of the keys in a range of a partition's outbox: what comes later must queue behind them.
pub async fn waiting_in(tx: &mut Tx, p: u32, above: i64, upto: i64) -> Result<Vec<Letter>> {
    let sql = format!(
        "select {LETTER} from dead_letter d where d.partition = $1 and d.generation = {GENERATION} and d.key in \
         (select o.key from outbox o where o.partition = $1 and o.pseq > $2 and o.pseq <= $3)"
    );
    let rows = tx.query(&sql, &[int(p), Value::Int(above), Value::Int(upto)]).await?;
    rows.iter().map(letter_row).collect()
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
            Value::Bytes(row.prev_hash.clone()),
            Value::Bytes(row.hash.clone()),
            Value::Int(row.settled_at),
            Value::opt_int(row.claimed_at),
        ]
    });
    tx.insert_many("ledger", &columns, values.collect(), "").await.map(drop)
}

/// Moves a partition on from `settled` to `upto` and drops its outbox rows; `false` when the fence is no longer
/// `fence`: then the transaction must not commit.
pub async fn advance(tx: &mut Tx, p: u32, fence: i64, settled: i64, upto: i64) -> Result<bool> {
    let sql = "delete from outbox where partition = $1 and pseq > $2 and pseq <= $3";
    tx.execute(sql, &[int(p), Value::Int(settled), Value::Int(upto)]).await?;
    let sql = "update partition set settled = $1 where p = $2 and worker_fence = $3 and settled = $4";
    let params = [Value::Int(upto), int(p), Value::Int(fence), Value::Int(settled)];
    Ok(tx.execute(sql, &params).await? == 1)
}

/// Holds a partition's fence until the commit without moving the partition; `false` when it is no longer `fence`.
pub async fn hold(tx: &mut Tx, p: u32, fence: i64) -> Result<bool> {
    let sql = "update partition set settled = settled where p = $1 and worker_fence = $2";
    Ok(tx.execute(sql, &[int(p), Value::Int(fence)]).await? == 1)
}

/// The columns of [`Settled`], of `ledger l`.
pub(super) const SETTLED: &str = "l.record_id, l.plugin_id, l.version, l.hook, l.outcome, l.tags, l.rescued, \
                                  l.prev_hash, l.hash, l.settled_at, l.claimed_at, l.shape_version";

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
    })
}
