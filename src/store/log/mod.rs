//! The raw log: records, revisions, idempotency and the outbox. Closed to publishing's consumers, graphql and http:
//! only sourcing, provisioning and publishing's scoped raw reads come here.

mod append;
mod pack;
mod read;

pub use append::{Appended, genesis};
pub(super) use read::BODY_BYTES;
pub use read::{Step, Way};

use std::hash::RandomState;
use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::record::Source;

/// What this node knows to be committed and never changed, so that it need not be looked up or written again.
#[derive(Clone)]
pub(super) struct Seen {
    sources: Arc<Cache<Source, i64>>,
    /// Of each fingerprint, what tells the text that the database has from others: by a key of this process, as
    /// somebody may have searched for texts that have the same fingerprint.
    structures: Arc<Cache<i64, u64>>,
    telling: RandomState,
}

impl Default for Seen {
    fn default() -> Self {
        Seen {
            sources: Arc::new(Cache::new(4_096)),
            structures: Arc::new(Cache::new(16_384)),
            telling: RandomState::new(),
        }
    }
}

#[cfg(test)]
mod tests;
