//! What changes have left: a change keeps the image from before only, as what it left is the image before the next
//! change of its row, or the row itself while there is none. Changes of before keep both. Read in one statement with
//! the changes, so that nothing comes between. Whoever reads has the rows sealed.

use super::image::{Images, selected};
use super::{columns, planned};
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::shape::Column;
use crate::store::db::{Dialect, Row, Value};

/// Where a statement about changes has `op` and the image that a change left.
const OP: usize = 4;
const AFTER: usize = 6;

/// The columns of the rows of a collection that changes may have left as they are.
pub(in crate::store) struct Left<'a> {
    collection: &'a Collection,
    columns: Vec<Column>,
    dialect: Dialect,
}

/// Makes images of what [`Left::columns`] has read.
pub(in crate::store) struct Completed<'a>(Images<'a>);

impl<'a> Left<'a> {
    pub(in crate::store) fn of(collection: &'a Collection, dialect: Dialect) -> Self {
        Left { collection, columns: columns(&collection.shape, dialect), dialect }
    }

    /// What a change `c` left, as far as changes tell it.
    pub(in crate::store) fn image(&self) -> String {
        format!(
            "coalesce(c.after, (select n.before from change n where n.collection_id = {} and n.prev = c.pos))",
            self.collection.id
        )
    }

    /// The columns of the row, from [`Left::join`].
    pub(in crate::store) fn columns(&self) -> String {
        selected(&self.columns, "r.")
    }

    /// Joins the row that a change `c` left, if it is still that. It must be said to PostgreSQL that one change after
    /// the other is looked at: it may take it for cheaper to read all rows.
    pub(in crate::store) fn join(&self) -> String {
        let (table, there) =
            (planned(self.collection), "c.after is null and r.key = c.key and r.pos = c.pos");
        match self.dialect {
            Dialect::Sqlite => format!("left join {table} r on {there}"),
            Dialect::Postgres => {
                format!("left join lateral (select r.* from {table} r where {there} limit 1) r on true")
            }
        }
    }

    pub(in crate::store) fn completed(&self) -> Completed<'_> {
        Completed(Images::new(&self.collection.shape, &self.columns))
    }
}

impl Completed<'_> {
    /// Puts the image in its place, where the row is what the change left; the row's columns begin at `from`.
    ///
    /// # Errors
    /// `INTERNAL` when there is neither a later change nor the row.
    pub(in crate::store) fn complete(&self, row: &mut Row, from: usize) -> Result<()> {
        if row.text(OP)? == "delete" || row.opt_text(AFTER)?.is_some() {
            return Ok(());
        }
        if row.opt_text(from)?.is_none() {
            return Err(Error::internal("what a change has left is neither in a later one nor in its row"));
        }
        let (_, image) = self.0.read(row, from)?;
        let after = row.0.get_mut(AFTER).ok_or_else(|| Error::internal("a change has no such column"))?;
        *after = Value::Text(image);
        Ok(())
    }
}
