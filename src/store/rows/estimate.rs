//! About how many rows there are, where counting them would take as long as there are many. The database's statistics
//! are of all rows, so they are told only to who may see all of them.

use std::sync::Arc;

use serde_json::Value as Json;

use super::planned;
use super::read::check_shape;
use super::sql::Sql;
use crate::error::{Error, Result};
use crate::policy::Scoped;
use crate::query::{CountField, Filter, Query, write};
use crate::store::Store;
use crate::store::db::Dialect;

/// How far a count is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountKind {
    Exact,
    Estimate,
    AtLeast,
}

impl CountKind {
    /// Appends the count, all but the bracket at its end.
    pub(super) fn write(self, count: i64, fields: &[(Arc<str>, CountField)], out: &mut Vec<u8>) {
        for (index, (key, field)) in fields.iter().enumerate() {
            write::member(key, index == 0, out);
            match field {
                CountField::Typename => write::text("CountEstimate", out),
                CountField::Count => write::text(&count.to_string(), out),
                CountField::Kind => write::text(
                    match self {
                        CountKind::Exact => "EXACT",
                        CountKind::Estimate => "ESTIMATE",
                        CountKind::AtLeast => "AT_LEAST",
                    },
                    out,
                ),
            }
        }
        if fields.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

impl Store {
    /// About how many rows a query has in all; none where that is not known, or would tell of rows that its asker may
    /// not see.
    ///
    /// # Errors
    /// A stale one when the shape is newer than the query's.
    pub(super) async fn estimate(&self, query: &Scoped<Query>) -> Result<Option<i64>> {
        let (collection, filter) = (query.get().collection(), query.get().filter());
        if !query.scope().is_whole() {
            return Ok(None);
        }
        let mut sql = Sql::new(self.db.dialect(), collection);
        let (condition, table) = (sql.condition(filter, false)?, planned(collection));
        // Related rows have scopes of their own.
        if !sql.related.is_empty() {
            return Ok(None);
        }
        let about = match self.db.dialect() {
            Dialect::Postgres => {
                let text = format!("explain (format json) select 1 from {table} where {condition}");
                let rows = self.db.query(&text, &sql.params).await?;
                let plan = rows.first().map_or(Ok("null"), |row| row.text(0))?;
                let plan: Json = serde_json::from_str(plan).map_err(Error::internal)?;
                plan.pointer("/0/Plan/Plan Rows").and_then(Json::as_f64).map(whole)
            }
            // It has no statistics, but rows are numbered as they come.
            Dialect::Sqlite if *filter == Filter::Const(true) => {
                let rows = self.db.query(&format!("select max(row_id) from {table}"), &[]).await?;
                rows.first().map_or(Ok(None), |row| row.opt_i64(0))?
            }
            Dialect::Sqlite => None,
        };
        // What the conditions name may be hidden by now.
        let sql = "select shape_version from collection where id = $1";
        let found = self.db.query(sql, &[collection.id.into()]).await?;
        check_shape(collection, found.first().map(|row| row.i64(0)).transpose()?)?;
        Ok(about)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "an estimate that is too large is as large as can be")]
fn whole(about: f64) -> i64 {
    about as i64
}
