//! Plugins: provisioning steps that choose their records by metadata and decide effects. Pure: no I/O, no clock.
//! Adding one is one file, its `mod` line and one entry in [`all`].

mod mask;
mod materialize;

#[cfg(test)]
mod tests;

pub use mask::Mask;
pub use materialize::Materialize;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::Config;
use crate::error::{Code, Error, Result as Fallible};
use crate::record::{Draft, Json, Record};

/// Where in its way a record stands when plugins look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// It has been sourced.
    Sourced,
}

impl Hook {
    /// Its name, as the store and the stream keep it.
    pub fn as_str(self) -> &'static str {
        match self {
            Hook::Sourced => "sourced",
        }
    }

    /// The hook of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == "sourced").then_some(Hook::Sourced)
    }
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
    /// Emit a derived record. The worker gives it its deterministic id and the time it was taken in.
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

/// Every plugin of this configuration, in order. `mask_key` makes hashes that are equal within one database only.
///
/// # Errors
/// `BAD_REQUEST` that names the plugin whose options cannot be used, `CONFLICT` when two have one name.
pub fn all(config: &Config, mask_key: &[u8]) -> Fallible<Vec<Arc<dyn Plugin>>> {
    let mut plugins: Vec<Arc<dyn Plugin>> = vec![Arc::new(Materialize)];
    for mask in &config.provisioning.masks {
        plugins.push(Arc::new(Mask::new(mask, config, mask_key)?));
    }
    mask::refuse_cycles(&config.provisioning.masks)?;
    refuse_equal_names(&plugins)?;
    Ok(plugins)
}

/// Names are part of the ledger: two plugins of one name would settle for each other.
///
/// # Errors
/// `CONFLICT` that names it.
pub fn refuse_equal_names(plugins: &[Arc<dyn Plugin>]) -> Fallible<()> {
    let mut names = BTreeSet::new();
    match plugins.iter().find(|plugin| !names.insert(plugin.name().to_owned())) {
        Some(twice) => {
            let text = format!("two plugins are called `{}`; give one another name", twice.name());
            Err(Error::new(Code::Conflict, text))
        }
        None => Ok(()),
    }
}
