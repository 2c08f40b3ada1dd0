//! Who may see and do what: Polar rules in, one engine-neutral filter out. The only maker of [`Scoped`] and the only
//! opener of [`Sealed`]. Must not touch the store.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config,
    error::Result,
    query::{Collection, Filter},
    record::{Actor, Json, Source},
};

/// What is done, beside reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send records.
    Source,
    /// Send tombstones.
    Retract,
    /// Change shapes, redrive, see raw records of a source.
    Steward,
    /// Everything else.
    Administer,
}

/// How one field is shown to one actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// As it is; may be filtered, sorted and grouped.
    Visible,
    /// Replaced; may not be filtered, sorted, grouped or aggregated.
    Masked(crate::query::Mask),
    /// Not there at all.
    Hidden,
}

/// What one actor may read of one collection. Immutable, cached by policy version, claims and shape version.
#[derive(Clone, Debug)]
pub struct Scope {
    rows: Filter,
    fields: BTreeMap<u32, Access>,
    conditional: BTreeMap<u32, Filter>,
    fingerprint: u64,
}

impl Scope {
    /// Which rows.
    pub fn rows(&self) -> &Filter {
        &self.rows
    }
    /// How the field with this id is shown; nested objects and lists have ids too. Unknown is hidden.
    pub fn access(&self, field_id: u32) -> &Access {
        self.fields.get(&field_id).unwrap_or(&Access::Hidden)
    }
    /// For fields whose access depends on the row: shown only where this holds, else null.
    pub fn condition(&self, field_id: u32) -> Option<&Filter> {
        self.conditional.get(&field_id)
    }
    /// Equal for scopes that show the same rows, fields and masks.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Something that the policy has scoped; only this module makes one.
#[derive(Clone, Debug)]
pub struct Scoped<T> {
    inner: T,
    scope: Arc<Scope>,
}

impl<T> Scoped<T> {
    /// What was scoped.
    pub fn get(&self) -> &T {
        &self.inner
    }
    /// The scope.
    pub fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }
}

/// Something that left the store but may be seen only through a scope.
#[derive(Clone, Debug)]
pub struct Sealed<T>(T);

impl<T> Sealed<T> {
    /// Seals it; for the store.
    pub fn new(inner: T) -> Self {
        Sealed(inner)
    }
}

/// The policies in force, replaceable while the system runs.
pub struct Engine;

impl Engine {
    /// Reads, checks and compiles the policy files of the configured directory, or the embedded base.
    ///
    /// # Errors
    /// `UNPROCESSABLE` with file, line, column and caret.
    pub fn load(_config: &config::Policy, _data: &std::path::Path) -> Result<Self> {
        todo!()
    }

    /// What `actor` may read of `collection`; `None` when nothing: then the collection does not exist for it.
    pub fn scope(&self, _actor: &Actor, _collection: &Collection) -> Result<Option<Arc<Scope>>> {
        todo!()
    }

    /// Whether `actor` may do `action` to `source`.
    ///
    /// # Errors
    /// `FORBIDDEN` that says which permission is missing.
    pub fn allow_source(&self, _actor: &Actor, _action: Action, _source: &Source) -> Result<()> {
        todo!()
    }

    /// Whether `actor` may do `action` to the system.
    pub fn allow(&self, _actor: &Actor, _action: Action) -> Result<()> {
        todo!()
    }
}
