//! Conditions for operators: as SQL with its constants, and whether they hold for one row. Gives no row out.

use super::planned;
use super::sql::Sql;
use crate::error::{Code, Error, Result};
use crate::query::{Collection, Filter};
use crate::store::Store;
use crate::store::db::{Dialect, Value};

/// The most conditions that one statement asks.
const CONDITIONS_MAX: usize = 100;

impl Store {
    /// The name of the database's kind, and a condition as its SQL with the constants that are bound.
    ///
    /// # Errors
    /// None but `INTERNAL`.
    pub fn condition_sql(
        &self,
        collection: &Collection,
        filter: &Filter,
    ) -> Result<(&'static str, String, Vec<String>)> {
        let dialect = self.db.dialect();
        let mut sql = Sql::new(dialect, collection);
        let text = sql.condition(filter, false)?;
        let name = match dialect {
            Dialect::Sqlite => "SQLite",
            Dialect::Postgres => "PostgreSQL",
        };
        Ok((name, text, sql.params.iter().map(shown).collect()))
    }

    /// Which of these conditions hold for the row with this key, or the one whose source calls it so; none when there
    /// is no such row.
    ///
    /// # Errors
    /// `CONFLICT` when several sources call a row so.
    pub async fn holding(
        &self,
        collection: &Collection,
        key: &str,
        conditions: &[Filter],
    ) -> Result<Option<Vec<bool>>> {
        let mut held = Vec::with_capacity(conditions.len());
        let chunks = conditions.chunks(CONDITIONS_MAX);
        for chunk in chunks.chain(conditions.is_empty().then_some(conditions)) {
            let mut sql = Sql::new(self.db.dialect(), collection);
            let mut columns = vec!["1".to_owned()];
            for condition in chunk {
                columns.push(sql.condition(condition, true)?);
            }
            let key = sql.param(key.into());
            let (columns, table) = (columns.join(", "), planned(collection));
            let text =
                format!("select {columns} from {table} where key = {key} or source_uid = {key} limit 2");
            let rows = self.db.query(&text, &sql.params).await?;
            let row = match rows.as_slice() {
                [] => return Ok(None),
                [row] => row,
                _ => {
                    let text = "several sources have a row with this id; give its whole key, `_record.key`";
                    return Err(Error::new(Code::Conflict, text));
                }
            };
            for place in 1..=chunk.len() {
                held.push(row.bool(place)?);
            }
        }
        Ok(Some(held))
    }
}

/// A bound value as a person reads it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null(_) => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::Uuid(id) => format!("'{id}'"),
        Value::List(_, values) => {
            format!("array[{}]", values.iter().map(shown).collect::<Vec<_>>().join(","))
        }
    }
}
