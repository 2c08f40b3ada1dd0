//! What in the database contradicts something else in it: rows of records that are not there, revisions settled out
//! of order, revisions that are gone, claims that nobody holds. Reads only, page by page, beside a running server:
//! each statement sees one state of the database.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::int;
use crate::error::Result;
use crate::store::db::{Row, Type, Value};
use crate::store::{Store, outbox};

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

    /// Something of a record that is not there.
    fn of_none(table: &str, id: Uuid) -> Self {
        let what = format!("a row of `{table}` is of a record that is not there");
        Contradiction { record_id: Some(id), key: None, what }
    }
}

impl Store {
    /// Rows of the outbox, the ledger, dead letters and changes whose record is not there.
    pub async fn phantoms(&self) -> Result<Vec<Contradiction>> {
        let nil = Value::Uuid(Uuid::nil());
        let mut found = self.unrecorded().await?;
        for (table, order, first) in [
            ("dead_letter", &["id"][..], vec![Value::Int(-1)]),
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
                        found.push(Contradiction::of_none(table, row.uuid(ints)?));
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
        let end = format!(
            "select id from (select id from dead_letter where id > $1 order by id limit {PAGE}) as page \
             order by id desc limit 1"
        );
        let mut found = self.overtaken().await?;
        let mut after = -1;
        while let Some(last) = self.db.query(&end, &[after.into()]).await?.first() {
            for row in self.db.query(&letters, &[after.into()]).await? {
                if row.bool(4)? {
                    let at = row.opt_text(3)?.map(|name| format!(" at plugin `{name}`")).unwrap_or_default();
                    let what = format!("a revision after {} is settled while it waits{at}", row.i64(2)?);
                    found.push(Contradiction::of_key(row.text(1)?, what));
                }
            }
            after = last.i64(0)?;
        }
        Ok(found)
    }

    /// Records of the outbox that are not there.
    async fn unrecorded(&self) -> Result<Vec<Contradiction>> {
        let (mut found, mut after) = (Vec::new(), -1);
        while let Some((last, ids)) = self.outbox_page(after).await? {
            let sql = "select u.id from u left join record r on r.id = u.id where r.id is null";
            for row in self.db.query_many(&[("id", Type::Uuid)], ids, sql).await? {
                found.push(Contradiction::of_none("outbox", row.uuid(0)?));
            }
            after = last;
        }
        Ok(found)
    }

    /// Keys of which a later revision is settled while an earlier one is in the outbox.
    async fn overtaken(&self) -> Result<Vec<Contradiction>> {
        let sql = format!(
            "select r.key, r.rev from u join record r on r.id = u.id join outbox o on {} where exists \
             (select 1 from record n join ledger l on l.record_id = n.id where n.key = r.key and n.rev > r.rev)",
            outbox::holds(self.db.dialect())
        );
        let (mut found, mut after) = (Vec::new(), -1);
        while let Some((last, ids)) = self.outbox_page(after).await? {
            let rows = self.db.query_many(&[("id", Type::Uuid)], ids, &sql).await?;
            let mut keys: BTreeMap<&str, i64> = BTreeMap::new();
            for row in &rows {
                let (key, revision) = (row.text(0)?, row.i64(1)?);
                keys.entry(key).and_modify(|known| *known = revision.min(*known)).or_insert(revision);
            }
            for (key, revision) in keys {
                let what = format!("a revision after {revision} is settled while it waits");
                found.push(Contradiction::of_key(key, what));
            }
            after = last;
        }
        Ok(found)
    }

    /// The records in the rows of the outbox after one, as rows of a statement, and the last of these rows.
    async fn outbox_page(&self, after: i64) -> Result<Option<(i64, Vec<Vec<Value>>)>> {
        let max = PAGE / outbox::RECORDS_MAX;
        let sql = format!("select id, records from outbox where id > $1 order by id limit {max}");
        let (mut last, mut ids) = (None, Vec::new());
        for row in self.db.query(&sql, &[after.into()]).await? {
            last = Some(row.i64(0)?);
            ids.extend(outbox::entries(row.bytes(1)?)?.into_iter().map(|(id, _)| vec![Value::Uuid(id)]));
        }
        Ok(last.map(|last| (last, ids)))
    }

    /// Keys that have given out more or fewer revisions than there are records of them. Of one revision there is no
    /// head that would tell.
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

    /// Which of these records their key's head does not know; the first of a key needs none.
    pub async fn headless(&self, ids: &[Uuid]) -> Result<Vec<Uuid>> {
        let (list, params) = super::ids(ids);
        let sql = format!(
            "select r.id from record r left join head h on h.key = r.key where r.id in ({list}) \
             and coalesce(h.rev, 1) < r.rev"
        );
        self.db.query(&sql, &params).await?.iter().map(|row: &Row| row.uuid(0)).collect()
    }

    /// Partitions whose claimed records in the outbox are not those between settled and claimed.
    pub async fn miscounted(&self) -> Result<Vec<Contradiction>> {
        let sql = format!(
            "select a.pseq - a.settled, {} from partition a where a.p = $1",
            [
                "o.pseq > a.settled and o.pseq + o.n - 1 <= a.pseq",
                "o.pseq <= a.settled or o.pseq + o.n - 1 > a.pseq"
            ]
            .map(|which| {
                format!(
                    "(select cast(coalesce(sum(octet_length(o.records) / {}), 0) as bigint) from outbox o \
                         where o.partition = a.p and ({which}))",
                    outbox::ENTRY
                )
            })
            .join(", ")
        );
        let mut found = Vec::new();
        for p in 0..self.partitions() {
            for row in self.db.query(&sql, &[int(p)]).await? {
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
