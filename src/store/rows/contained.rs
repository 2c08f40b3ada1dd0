//! Counts of how the values of columns relate, for stewards who look for relations. No value leaves the store. Must not
//! judge who may know.

use super::planned;
use super::sql::column;
use crate::error::Result;
use crate::query::{Collection, FieldRef};
use crate::shape::SqlType;
use crate::store::Store;
use crate::store::db::Dialect;

/// A column whose values are counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// The collection.
    pub collection: &'a Collection,
    /// One of its columns.
    pub field: &'a FieldRef,
}

/// The values of one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// How many rows were looked at.
    pub rows: u64,
    /// How many of them have a value.
    pub filled: u64,
    /// How many distinct values they have.
    pub distinct: u64,
}

impl Values {
    /// Whether each value stands in one row, as far as there is more than one.
    pub fn are_unique(&self) -> bool {
        self.distinct >= 2 && self.distinct == self.filled
    }
}

impl Counted<'_> {
    /// Its values, as texts when they are to be compared with texts.
    fn values(&self, as_text: bool, rows_max: usize, dialect: Dialect) -> String {
        let name = column(dialect, &self.field.column);
        let value = match dialect {
            _ if !as_text || self.field.scalar.sql() == SqlType::Text => name,
            Dialect::Postgres => format!("cast({name} as text) collate \"C\""),
            Dialect::Sqlite => format!("cast({name} as text)"),
        };
        format!("select {value} as v from {} limit {rows_max}", planned(self.collection))
    }
}

impl Store {
    /// Counts a column's values in up to `rows_max` rows.
    ///
    /// # Errors
    /// `TIMEOUT` when that takes longer than a statement may.
    pub async fn count_values(&self, of: Counted<'_>, rows_max: usize) -> Result<Values> {
        let values = of.values(false, rows_max, self.db.dialect());
        let sql = format!("select count(*), count(v), count(distinct v) from ({values}) t");
        let mut counted = [0; 3];
        self.counts(&sql, &mut counted).await?;
        let [rows, filled, distinct] = counted;
        Ok(Values { rows, filled, distinct })
    }

    /// How many distinct values a column has, and how many of them another has, too; in up to `rows_max` rows of each.
    ///
    /// # Errors
    /// As [`Store::count_values`].
    pub async fn count_contained(
        &self,
        of: Counted<'_>,
        within: Counted<'_>,
        rows_max: usize,
    ) -> Result<(u64, u64)> {
        let dialect = self.db.dialect();
        let as_text = of.field.scalar.sql() != within.field.scalar.sql();
        let [of, within] = [of, within].map(|side| side.values(as_text, rows_max, dialect));
        let distinct = |values: &str| format!("select distinct v from ({values}) t where v is not null");
        let sql = format!(
            "select count(*), count(k.v) from ({}) d left join ({}) k on k.v = d.v",
            distinct(&of),
            distinct(&within)
        );
        let mut counted = [0; 2];
        self.counts(&sql, &mut counted).await?;
        Ok((counted[0], counted[1]))
    }

    async fn counts(&self, sql: &str, counted: &mut [u64]) -> Result<()> {
        let mut each = |row: &crate::store::db::RowRef<'_>| {
            for (index, count) in counted.iter_mut().enumerate() {
                *count = u64::try_from(row.i64(index)?.unwrap_or_default()).unwrap_or_default();
            }
            Ok(())
        };
        self.db.read_large(sql, &[], &mut each).await
    }
}
