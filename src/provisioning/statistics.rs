//! What this node gathers about the values of the rows that it has settled: taken in after the commit, held in memory,
//! written now and then and at the end. A crash loses what was not written yet, which are statistics, never data. Must
//! not delay an effect, nor fail one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Inner, Provisioning};
use crate::config;
use crate::error::Result;
use crate::query::Collection;
use crate::shape::{Statistics, ValueHasher};
use crate::store::rows::RowEffect;

/// What is gathered.
pub(super) struct Gathered {
    hasher: ValueHasher,
    held: Mutex<Held>,
    /// Only one writes at a time, so that whoever has written at the end knows that all is written.
    writing: tokio::sync::Mutex<()>,
    full: Notify,
}

#[derive(Default)]
struct Held {
    by_collection: HashMap<i64, Part>,
    /// Fields that `by_collection` has something of.
    fields: usize,
    /// About how many records the database has statistics of, as this node last saw it.
    covered: HashMap<i64, u64>,
}

#[derive(Default)]
struct Part {
    statistics: Statistics,
    records: u64,
}

impl Gathered {
    pub(super) fn new(hasher: ValueHasher) -> Self {
        Gathered {
            hasher,
            held: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            full: Notify::new(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Whether a record is taken in: all are at first, of later ones those that their hash chooses, the same ones on
    /// every node.
    fn wants(&self, collection_id: i64, record: u64, limits: &config::Statistics) -> bool {
        let written = self.covered.get(&collection_id).copied().unwrap_or_default();
        let gathered = self.by_collection.get(&collection_id).map_or(0, |part| part.records);
        let chosen = || record.checked_rem(limits.one_in) == Some(0);
        self.fields < limits.held_max && (written + gathered < limits.records_max || chosen())
    }

    fn take(
        &mut self,
        collection: &Collection,
        effect: &RowEffect,
        hasher: &ValueHasher,
        limits: &config::Statistics,
    ) {
        let Some(document) = &effect.document else { return };
        let record = hasher.record(effect.record.draft.id.as_bytes());
        let wanted = self.wants(collection.id, record, limits);
        // Also without a record of its own it is written: a field may have been tagged as personal just now.
        let part = self.by_collection.entry(collection.id).or_default();
        if wanted {
            let before = part.statistics.len();
            part.statistics.observe(&collection.shape, record, document, hasher, limits);
            part.records += 1;
            self.fields += part.statistics.len() - before;
        }
    }

    fn merge(&mut self, id: i64, part: &Part, limits: &config::Statistics) {
        let ours = self.by_collection.entry(id).or_default();
        let before = ours.statistics.len();
        ours.statistics.merge(&part.statistics, limits);
        ours.records += part.records;
        self.fields += ours.statistics.len() - before;
    }
}

impl Provisioning {
    /// Writes what this node gathers until `stop`. What is gathered later the worker writes when it ends.
    pub async fn run_statistics(self, stop: CancellationToken) {
        let inner = &self.inner;
        let pause = Duration::from_millis(inner.parts.config.statistics.flush_ms.max(1));
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = inner.gathered.full.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            if !inner.write_statistics().await {
                // What is held stays held; it is tried again, but not at once.
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

impl Inner {
    /// Takes in the values of rows that are committed to these collections.
    pub(super) fn gather(&self, rows: &[RowEffect], collections: &[Arc<Collection>]) {
        let limits = &self.parts.config.statistics;
        let by_kind: HashMap<_, _> =
            collections.iter().map(|one| ((one.category.as_str(), one.subcategory.as_str()), one)).collect();
        let mut held = self.gathered.held();
        for effect in rows {
            let source = &effect.record.draft.source;
            let kind = (source.category.as_str(), source.subcategory.as_str());
            if let Some(collection) = by_kind.get(&kind) {
                held.take(collection, effect, &self.gathered.hasher, limits);
            }
        }
        if held.fields >= limits.held_max {
            self.gathered.full.notify_one();
        }
    }

    /// Writes what is held, one transaction a collection; `false` when something could not be written and is held on.
    pub(super) async fn write_statistics(&self) -> bool {
        let _one = self.gathered.writing.lock().await;
        let parts = {
            let mut held = self.gathered.held();
            held.fields = 0;
            std::mem::take(&mut held.by_collection)
        };
        let mut all = true;
        for (id, part) in parts {
            if let Err(error) = self.write_part(id, &part).await {
                if all {
                    tracing::warn!(%error, cause = ?error.cause(), "statistics of values are not written yet");
                }
                all = false;
                self.gathered.held().merge(id, &part, &self.parts.config.statistics);
            }
        }
        all
    }

    async fn write_part(&self, id: i64, part: &Part) -> Result<()> {
        let (store, limits) = (&self.parts.store, &self.parts.config.statistics);
        let mut catalog = store.catalog.load();
        if catalog.by_id(id).is_none() {
            // Another partition or node may have made it just now.
            catalog = store.catalog.refresh().await?;
        }
        let Some(collection) = catalog.by_id(id) else { return Ok(()) };
        let covered = store.add_statistics(id, &part.statistics, &collection.shape, limits).await?;
        self.gathered.held().covered.insert(id, covered);
        Ok(())
    }
}
