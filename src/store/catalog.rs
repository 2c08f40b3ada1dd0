//! Collections and their published shapes: stored versions, and each node's cache of them.

use std::sync::Arc;

use crate::{error::Result, query::Collection};

/// All collections at one moment; immutable.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Raised by every published version of any collection.
    pub version: i64,
    /// By field name.
    pub collections: std::collections::BTreeMap<String, Arc<Collection>>,
}

/// This node's current catalog.
#[derive(Clone)]
pub struct Cache;

impl Cache {
    /// The catalog of this database.
    pub(super) async fn open(_db: super::db::Db) -> Result<Self> {
        Ok(Cache)
    }

    /// The catalog now: one atomic load.
    pub fn load(&self) -> Arc<Catalog> {
        todo!()
    }
    /// Reads what is newer from the database.
    pub async fn refresh(&self) -> Result<Arc<Catalog>> {
        todo!()
    }
}
