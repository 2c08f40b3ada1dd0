//! Rows of collections: effects in (one transaction with ledger and changes), scoped queries out, changes tailed
//! sealed.

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    error::Result,
    record::{Json, Record},
    store::db::Tx,
};

/// What a plugin decided for the row of its record's own key.
#[derive(Clone, Debug)]
pub struct RowEffect {
    /// The record: key, revision, source, author and times come from it; its `draft.structure` describes `document`
    /// unless the plugin changed it.
    pub record: Arc<Record>,
    /// `None` deletes the row.
    pub document: Option<Arc<Json>>,
}

/// What applying effects did; give it to [`Store::committed`](crate::store::Store) after the commit.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Collections that have new changes.
    pub changed: Vec<i64>,
    /// Whether a shape was published or a collection made.
    pub published: bool,
    /// Records that had misfits, with the `rescued` JSON text.
    pub rescued: Vec<(Uuid, String)>,
}

impl crate::store::Store {
    /// Applies row effects in the caller's transaction: merges structures, publishes what they uncover (versions,
    /// fields, columns), upserts rows where the revision is newer, writes changes at dense positions.
    ///
    /// The effects of one call must stand in the order of their partition.
    pub async fn apply(&self, _tx: &mut Tx, _effects: &[RowEffect]) -> Result<Applied> {
        todo!()
    }

    /// After the commit of a transaction with [`Store::apply`]: refreshes the catalog and wakes tails.
    pub async fn committed(&self, _applied: &Applied) -> Result<()> {
        todo!()
    }
}
