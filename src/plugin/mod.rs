//! Plugins: provisioning steps that choose their records by metadata and decide effects. Pure: no I/O, no clock.
//! Adding one is one file, its `mod` line and one entry in [`all`].

use std::sync::Arc;

use crate::record::{Draft, Json, Record};

/// Where in its way a record stands when plugins look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// It has been sourced.
    Sourced,
}

/// What plugins see of a record.
pub struct Subject<'a> {
    /// The record.
    pub record: &'a Arc<Record>,
    /// Its document; `None` for a tombstone.
    pub document: Option<&'a Arc<Json>>,
    /// Where it stands.
    pub hook: Hook,
}

/// What a plugin decides.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Upsert the row of the record's own key with this document.
    Upsert(Arc<Json>),
    /// Delete the row of the record's own key.
    Delete,
    /// Emit a derived record; its id must be deterministic.
    Emit(Box<Draft>),
    /// Add tags to the record.
    Tag(Vec<String>),
}

/// Why a plugin could not decide.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For people.
    pub reason: String,
    /// Trying again can help.
    pub transient: bool,
}

/// A provisioning step.
pub trait Plugin: Send + Sync {
    /// Part of the ledger; never reused for something else.
    fn name(&self) -> &str;
    /// Raised when the decision changes.
    fn version(&self) -> i32;
    /// Whether it cares about records like this; looks at metadata only.
    fn matches(&self, subject: &Subject<'_>) -> bool;
    /// Decides. Pure: the same subject gives the same effects.
    fn decide(&self, subject: &Subject<'_>) -> Result<Vec<Effect>, Failure>;
}
