//! The latest rows of a collection as documents of published names, to measure what they are like; no policy looks at
//! them, so what is told of them is for whom statistics are.

use super::image::cells;
use super::planned;
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::record::{Json, Limits, parse};
use crate::shape::document;
use crate::store::Store;
use crate::store::db::RowRef;

impl Store {
    /// Hands the latest rows to `each`, at most so many of them and until they have so many bytes together.
    pub async fn sample(
        &self,
        collection: &Collection,
        (rows_max, bytes_max): (usize, usize),
        each: &mut (dyn FnMut(&Json) + Send),
    ) -> Result<()> {
        let columns = super::columns(&collection.shape, self.db.dialect());
        if columns.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let (names, table) = (names.join(", "), planned(collection));
        let sql = format!("select {names} from {table} order by row_id desc limit {rows_max}");
        let (mut bytes, mut full) = (0, false);
        let mut take = |row: &RowRef<'_>| {
            let text = document(&collection.shape, &cells(&row.to_row()?, 0, &columns));
            bytes += text.len();
            full = bytes > bytes_max;
            if full {
                return Err(Error::internal("the sample is full"));
            }
            each(&parse(text.as_bytes(), Limits::ACCEPTED).map_err(Error::internal)?);
            Ok(())
        };
        match self.db.read_large(&sql, &[], &mut take).await {
            Err(_) if full => Ok(()),
            read => read,
        }
    }
}
