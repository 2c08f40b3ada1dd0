//! The stream over the outbox itself: what the relay has claimed is already in order in the database, so nothing is
//! appended, and a read takes the claimed rows behind this node's cursor. Must not claim or settle anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Append, Delivery, Entry, Stream};
use crate::error::Result;
use crate::store::Store;
use crate::store::db::Value;
use crate::store::ledger::Claimed;
use crate::store::wake::Topic;

/// The log over the outbox.
pub struct Log {
    store: Store,
    /// The last number read, by partition. A hint: the worker skips what is settled and sweeps up what was missed.
    cursors: Mutex<BTreeMap<u32, i64>>,
}

impl Log {
    /// The log of this store's outbox.
    pub fn new(store: Store) -> Self {
        Log { store, cursors: Mutex::new(BTreeMap::new()) }
    }

    fn cursor(&self, partition: u32) -> i64 {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied().unwrap_or(0)
    }

    fn advance(&self, partition: u32, pseq: i64) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let cursor = cursors.entry(partition).or_insert(0);
        *cursor = pseq.max(*cursor);
    }

    async fn claimed(&self, ranges: &[(u32, i64, i64)], max: usize) -> Result<Vec<Delivery>> {
        let found = self.store.claimed_first(ranges, max).await?;
        let delivery = |(partition, one): (u32, Claimed)| {
            let entry = Entry { pseq: one.pseq, record_id: one.record_id, hook: one.hook };
            Delivery { partition, entry }
        };
        Ok(found.into_iter().map(delivery).collect())
    }

    async fn read_new(&self, partitions: &[u32], max: usize) -> Result<Vec<Delivery>> {
        let ranges: Vec<_> = partitions.iter().map(|p| (*p, self.cursor(*p), i64::MAX)).collect();
        let found = self.claimed(&ranges, max.max(1)).await?;
        found.iter().for_each(|delivery| self.advance(delivery.partition, delivery.entry.pseq));
        Ok(found)
    }
}

impl Stream for Log {
    fn kind(&self) -> &'static str {
        "log"
    }

    fn wants_append(&self) -> bool {
        false
    }

    fn append<'a>(
        &'a self,
        _partition: u32,
        _entries: &'a [Entry],
        _expected: Option<i64>,
    ) -> BoxFuture<'a, Result<Append>> {
        Box::pin(async { Ok(Append::Done) })
    }

    fn last(&self, partition: u32) -> BoxFuture<'_, Result<Option<i64>>> {
        Box::pin(async move {
            let sql = "select p.pseq from partition p where p.p = $1";
            let rows = self.store.db.query(sql, &[Value::Int(i64::from(partition))]).await?;
            rows.first().map(|row| row.i64(0)).transpose()
        })
    }

    fn read<'a>(
        &'a self,
        partitions: &'a [u32],
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        Box::pin(async move {
            if partitions.is_empty() {
                return Ok(Vec::new());
            }
            // Watch before looking: what is claimed in between must wake this read.
            let mut wake = self.store.wake.subscribe(Topic::Stream);
            let found = self.read_new(partitions, max).await?;
            if !found.is_empty() || wait.is_zero() {
                return Ok(found);
            }
            match tokio::time::timeout(wait, wake.changed()).await {
                Ok(Ok(())) => self.read_new(partitions, max).await,
                _ => Ok(Vec::new()),
            }
        })
    }

    fn reclaim(&self, partition: u32, _idle: Duration, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        Box::pin(async move { self.claimed(&[(partition, 0, self.cursor(partition))], max.max(1)).await })
    }

    fn acknowledge<'a>(
        &'a self,
        partition: u32,
        _pseqs: &'a [i64],
        settled: i64,
    ) -> BoxFuture<'a, Result<()>> {
        self.advance(partition, settled);
        Box::pin(async { Ok(()) })
    }

    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<()>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.store.ping().await })
    }
}
