//! What in the database contradicts something else in it: rows of records that are not there, revisions settled out
//! of order, revisions that are gone, claims that nobody holds. Reads only, page by page, beside a running server:
//! each statement sees one state of the database.

use uuid::Uuid;

use super::int;
use crate::error::Result;
use crate::store::Store;
use crate::store::db::{Row, Value};

/// Rows of one statement.
const PAGE: usize = 1_000;

/// A contradiction, told for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The record that it is about, if it is about one.
    pub record_id: Option<Uuid>,
    /// The key, where there is one.
    pub key: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl Contradiction {
    fn of_key(key: &str, what: String) -> Self {
        Contradiction { record_id: None, key: Some(key.to_owned()), what }
    }
}

impl Store {
    /// Rows of the outbox, the ledger, dead letters and changes whose record is not there.
    pub async fn phantoms(&self) -> Result<Vec<Contradiction>> {
        let nil = Value::Uuid(Uuid::nil());
        let mut found = Vec::new();
        for (table, order, first) in [
            ("outbox", &["record_id"][..], vec![nil.clone()]),
            ("dead_letter", &["id"], vec![Value::Int(-1)]),
            ("change", &["collection_id", "pos"], vec![Value::Int(-1), Value::Int(-1)]),
            ("ledger", &["record_id"], vec![nil]),
        ] {
            let params: Vec<String> = (1..=order.len()).map(|n| format!("${n}")).collect();
            let (columns, params) = (order.join(", "), params.join(", "));
            let also = if order.contains(&"record_id") { "" } else { ", record_id" };
            let told: Vec<String> = order.iter().map(|column| format!("t.{column}")).collect();
            let told = told.join(", ");
            let sql = format!(
                "select {told}, t.record_id, r.id is null from (select distinct {columns}{also} from {table} \
                 where ({columns}) > ({params}) order by {columns} limit {PAGE}) t \
                 left join record r on r.id = t.record_id order by {told}"
            );
            let (mut after, ints) = (first, order.len());
            loop {
                let rows = self.db.query(&sql, &after).await?;
                for row in &rows {
                    if row.bool(ints + 1)? {
                        let what = format!("a row of `{table}` is of a record that is not there");
                        found.push(Contradiction { record_id: Some(row.uuid(ints)?), key: None, what });
                    }
                }
                let Some(last) = rows.last().filter(|_| rows.len() == PAGE) else { break };
                after = (0..ints)
                    .map(|n| {
                        Ok(if also.is_empty() {
                            Value::Uuid(last.uuid(n)?)
                        } else {
                            Value::Int(last.i64(n)?)
                        })
                    })
                    .collect::<Result<_>>()?;
            }
        }
        Ok(found)
    }

    /// Keys of which a later revision is settled while an earlier one waits, at one plugin or in the outbox.
    pub async fn disorder(&self) -> Result<Vec<Contradiction>> {
        // Heads only: what stands above a follower stands above its head too.
        let letters = format!(
            "select d.id, d.key, d.rev, p.name, exists (select 1 from record r join ledger l on l.record_id = r.id \
             and l.plugin_id = d.plugin_id and l.generation = d.generation and l.hook = d.hook \
             where r.key = d.key and r.rev > d.rev) from (select * from dead_letter where id > $1 \
             order by id limit {PAGE}) d join plugin p on p.id = d.plugin_id where d.state <> 'queued' order by d.id"
        );
        let outbox = format!(
            "select 0, o.key, o.rev, cast(null as text), exists (select 1 from record r \
             join ledger l on l.record_id = r.id where r.key = o.key and r.rev > o.rev) from \
             (select key, min(rev) as rev from (select key, rev from outbox where record_id > $1 \
             order by record_id limit {PAGE}) as page group by key) o order by o.key"
        );
        let mut found = Vec::new();
        for (table, column, first, sql) in [
            ("dead_letter", "id", Value::Int(-1), letters),
            ("outbox", "record_id", Value::Uuid(Uuid::nil()), outbox),
        ] {
            let mut after = first;
            while let Some(last) = self.page_end(table, column, &after).await? {
                for row in self.db.query(&sql, std::slice::from_ref(&after)).await? {
                    if row.bool(4)? {
                        let at =
                            row.opt_text(3)?.map(|name| format!(" at plugin `{name}`")).unwrap_or_default();
                        let what = format!("a revision after {} is settled while it waits{at}", row.i64(2)?);
                        found.push(Contradiction::of_key(row.text(1)?, what));
                    }
                }
                after = last;
            }
        }
        Ok(found)
    }

    /// The last value of a column in the page of a table that begins after one.
    async fn page_end(&self, table: &str, column: &str, after: &Value) -> Result<Option<Value>> {
        let sql = format!(
            "select {column} from (select {column} from {table} where {column} > $1 order by {column} limit {PAGE}) \
             as page order by {column} desc limit 1"
        );
        let rows = self.db.query(&sql, std::slice::from_ref(after)).await?;
        let last = |row: &Row| match after {
            Value::Uuid(_) => row.uuid(0).map(Value::Uuid),
            _ => row.i64(0).map(Value::Int),
        };
        rows.first().map(last).transpose()
    }

    /// Keys that have given out more or fewer revisions than there are records of them.
    pub async fn lost_revisions(&self) -> Result<Vec<Contradiction>> {
        let sql = format!(
            "select h.key, h.rev, (select count(*) from record r where r.key = h.key) from \
             (select key, rev from head where key > $1 order by key limit {PAGE}) h order by h.key"
        );
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let rows = self.db.query(&sql, &[Value::Text(after.clone())]).await?;
            for row in &rows {
                let (key, given, there) = (row.text(0)?, row.i64(1)?, row.i64(2)?);
                if given != there {
                    let what = format!("{given} revisions were given out, {there} records are there");
                    found.push(Contradiction::of_key(key, what));
                }
            }
            let Some(last) = rows.last() else { return Ok(found) };
            after = last.text(0)?.to_owned();
        }
    }

    /// Which of these records their key's head does not know.
    pub async fn headless(&self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        let (list, params) = super::ids(ids);
        let sql = format!(
            "select r.id from record r left join head h on h.key = r.key where r.id in ({list}) \
             and (h.key is null or h.rev < r.rev)"
        );
        self.db.query(&sql, &params).await?.iter().map(|row: &Row| row.uuid(0)).collect()
    }

    /// Partitions whose claimed outbox rows are not those between settled and claimed.
    pub async fn miscounted(&self) -> Result<Vec<Contradiction>> {
        let sql = "select a.pseq - a.settled, (select count(*) from outbox o where o.partition = a.p \
                   and o.pseq > a.settled and o.pseq <= a.pseq), (select count(*) from outbox o \
                   where o.partition = a.p and (o.pseq <= a.settled or o.pseq > a.pseq)) \
                   from partition a where a.p = $1";
        let mut found = Vec::new();
        for p in 0..self.partitions() {
            for row in self.db.query(sql, &[int(p)]).await? {
                let (claimed, there, astray) = (row.i64(0)?, row.i64(1)?, row.i64(2)?);
                if claimed != there || astray > 0 {
                    let what = format!(
                        "partition {p}: {claimed} records are claimed and not settled, the outbox has {there}, \
                         and {astray} outside its range"
                    );
                    found.push(Contradiction { record_id: None, key: None, what });
                }
            }
        }
        Ok(found)
    }
}
