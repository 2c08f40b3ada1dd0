//! Whether an index leads to rows by a column. Only then they are looked up key by key: without one each key would be a
//! scan of the whole table. Must not make indexes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::table;
use crate::error::Result;
use crate::query::Collection;
use crate::store::Store;
use crate::store::db::Dialect;

/// How many columns are known to be led to; beyond that they are looked up anew.
const KNOWN_MAX: usize = 4_096;

/// What of SQLite's indexes is of all rows and begins with the column.
const LED_SQLITE: &str = "select 1 from pragma_index_list($1) i, pragma_index_info(i.name) c \
     where i.partial = 0 and c.seqno = 0 and c.name = $2 limit 1";

/// What of PostgreSQL's indexes is whole, in use and begins with the column.
const LED_POSTGRES: &str = "select 1 from pg_index i \
     join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
     where i.indrelid = to_regclass($1) and i.indisvalid and i.indpred is null and a.attname = $2 limit 1";

/// Tables with the columns that an index is known to lead by; clones share it.
#[derive(Clone, Default)]
pub(in crate::store) struct Led(Arc<Mutex<HashSet<(String, String)>>>);

impl Led {
    /// Looks anew: an index may be gone.
    pub(in crate::store) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Store {
    /// Whether one leads to the collection's rows by this column.
    pub(super) async fn is_led(&self, collection: &Collection, column: &str) -> Result<bool> {
        let place = (table(collection), column.to_owned());
        let known = || self.led.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&place) {
            return Ok(true);
        }
        let led = match self.db.dialect() {
            Dialect::Postgres => LED_POSTGRES,
            Dialect::Sqlite => LED_SQLITE,
        };
        let found = self.db.query(led, &[place.0.as_str().into(), column.into()]).await?;
        if found.is_empty() {
            return Ok(false);
        }
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(place);
        Ok(true)
    }
}
