//! Going over rows that are there once more: their records are decided again by the plugins that have settled them, and
//! their rows get what the shape of now makes of that. One batch a step, beside all other work; a collection is gone
//! over by the node that works on one certain partition. Must not settle anything.

use std::collections::HashMap;
use std::sync::Arc;

use super::Inner;
use super::decide::{Item, decide_all};
use super::lease::Leases;
use crate::error::Result;
use crate::plugin::Hook;
use crate::store::ledger::fitting;
use crate::store::rows::{Rebuild, RowEffect};

/// Collections that are looked at in one step.
const AT_ONCE: usize = 64;

impl Inner {
    /// One batch of one collection that this node is to go over; how many rows, `None` when there is no such one.
    pub(super) async fn rebuild_step(&self, leases: &Leases) -> Result<Option<usize>> {
        let store = &self.parts.store;
        let jobs = store.rebuilds(AT_ONCE).await?;
        let mine = |job: &&Rebuild| {
            let partition = job.collection_id.rem_euclid(i64::from(store.partitions().max(1)));
            u32::try_from(partition).is_ok_and(|p| leases.fence(p).is_some())
        };
        match jobs.iter().find(mine) {
            Some(job) => self.go_over(job).await.map(Some),
            None => Ok(None),
        }
    }

    async fn go_over(&self, job: &Rebuild) -> Result<usize> {
        let (store, bounds) = (&self.parts.store, &self.parts.config.provisioning);
        let mut catalog = store.catalog.load();
        if catalog.by_id(job.collection_id).is_none() {
            catalog = store.catalog.refresh().await?;
        }
        let Some(collection) = catalog.by_id(job.collection_id) else { return Ok(0) };
        let mut rows = store.rows_due(job, collection, bounds.rebuild_rows_max.max(1)).await?;
        let bytes_max = i64::try_from(bounds.batch_bytes_max).unwrap_or(i64::MAX);
        rows.truncate(fitting(rows.iter().map(|row| row.bytes), bytes_max));
        let Some(last) = rows.last().map(|row| row.row_id) else {
            store.end_rebuild(job, collection).await?;
            return Ok(0);
        };
        let ids: Vec<_> = rows.iter().map(|row| row.record_id).collect();
        let records = store.records(&ids).await?;
        if records.len() < ids.len() {
            tracing::warn!(collection = %collection.field_name, rows = ids.len() - records.len(),
                "their records are not there; they stay as they are");
        }
        let effects = self.decided_again(records.into_iter().map(Arc::new).collect()).await?;
        let written = store.conform_again((job, collection), &effects, last, rows.len()).await?;
        Ok(if written { rows.len() } else { 0 })
    }

    /// What the plugins say of the rows of these records.
    async fn decided_again(&self, records: Vec<Arc<crate::record::Record>>) -> Result<Vec<RowEffect>> {
        let items =
            records.into_iter().map(|record| Item { pseq: 0, hook: Hook::Sourced, record, claimed_at: None });
        let known = self.plugins().await?.known;
        let thoughts = decide_all(items.collect(), known, self.hops_max()).await?;
        let mut effects = HashMap::new();
        for thought in thoughts {
            let mut decided = thought.decisions.into_iter().filter_map(|decision| decision.result.ok()?.row);
            match decided.next() {
                Some(row) => drop(effects.insert(row.record.draft.id, row)),
                None => tracing::warn!(record = %thought.item.record.draft.id,
                    "no plugin decides its row any more; it stays as it is"),
            }
        }
        Ok(effects.into_values().collect())
    }
}
