//! Whether an index leads to rows by a column. Only then they are looked up key by key: without one each key would be a
//! scan of the whole table. Must not make indexes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::table;
use crate::error::Result;
use crate::query::Collection;
use crate::store::Store;

/// How many columns are known to be led to; beyond that they are looked up anew.
const KNOWN_MAX: usize = 4_096;

/// What of PostgreSQL's indexes is whole, in use and begins with the column.
const LED: &str = "select 1 from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] \
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
    /// Whether one leads to the collection's rows by this column, on PostgreSQL.
    pub(super) async fn is_led(&self, collection: &Collection, column: &str) -> Result<bool> {
        let place = (table(collection), column.to_owned());
        let known = || self.led.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&place) {
            return Ok(true);
        }
        let found = self.db.query(LED, &[place.0.as_str().into(), column.into()]).await?;
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
