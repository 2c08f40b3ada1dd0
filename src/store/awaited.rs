//! Whether what a read waits for has happened, as the database tells at this moment. Must not wait itself.

use super::db::{Dialect, Type, Value};
use super::{Store, outbox};
use crate::error::Result;
use crate::query::Awaited;

/// How far what is awaited is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// All of it has happened.
    All,
    /// Some of it has not happened yet.
    NotYet,
    /// A record waits for a person, or behind one that does.
    Parked,
}

/// What has left the outbox is settled, but for what waits at a plugin; both are written by one transaction.
fn records(dialect: Dialect) -> String {
    format!(
        "select case when exists (select 1 from dead_letter d where d.record_id = u.id \
         and (d.state = 'parked' or d.state = 'queued' and exists (select 1 from dead_letter h \
         where h.plugin_id = d.plugin_id and h.generation = d.generation and h.key = d.key and h.rev < d.rev \
         and h.state = 'parked'))) then 2 \
         when exists (select 1 from record r join outbox o on {} where r.id = u.id) \
         or exists (select 1 from dead_letter d where d.record_id = u.id) then 1 else 0 end from u",
        outbox::holds(dialect)
    )
}

const POSITIONS: &str = "select case when exists (select 1 from collection_pos c \
     where c.collection_id = u.id and c.pos >= u.pos) then 0 else 1 end from u";

impl Store {
    /// How far what is awaited is. A record that is not there is none that waits: it was durable before its receipt.
    pub async fn reached(&self, awaited: &Awaited) -> Result<Reached> {
        let ids = awaited.records.iter().map(|id| vec![Value::Uuid(*id)]).collect();
        let records = self.farthest(&[("id", Type::Uuid)], ids, &records(self.db.dialect())).await?;
        let positions = awaited.positions.iter().map(|(id, pos)| vec![(*id).into(), (*pos).into()]).collect();
        let positions = self.farthest(&[("id", Type::Int), ("pos", Type::Int)], positions, POSITIONS).await?;
        Ok(match records.max(positions) {
            0 => Reached::All,
            1 => Reached::NotYet,
            _ => Reached::Parked,
        })
    }

    /// What is farthest from having happened of these.
    async fn farthest(&self, columns: &[(&str, Type)], rows: Vec<Vec<Value>>, sql: &str) -> Result<i64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let found = self.db.query_many(columns, rows, sql).await?;
        found.iter().try_fold(0, |farthest, row| Ok(row.i64(0)?.max(farthest)))
    }
}
