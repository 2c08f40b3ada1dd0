//! What is kept: the raw log with its outbox and ledger, the catalog of shapes, the rows of collections and their
//! changes. Must not decide who may see what: rows leave only for a `Scoped` query, changes only `Sealed`.

pub mod catalog;
pub mod db;
pub mod log;
pub mod rows;
pub mod wake;

use crate::{config, error::Result, telemetry::Clock};

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// The database under it.
    pub(crate) db: db::Db,
    /// Wake-up hints.
    pub wake: wake::Wake,
    /// Collections as they are now on this node.
    pub catalog: catalog::Cache,
}

impl Store {
    /// Opens the database, migrates it, loads the catalog, listens for wake-ups of other nodes.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be reached, `CONFLICT` when it belongs to another signing key or version.
    pub async fn open(_config: &config::Store, _key_fingerprint: &str, _clock: Clock) -> Result<Self> {
        todo!()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        todo!()
    }
}
