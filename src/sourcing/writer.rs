//! The writer: takes what waits in the queue, commits it together, answers after the commit. There is no timer: an
//! idle system commits at once, a busy one fills its batches while the last commit waits for the disk.

use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::{Draft, Receipt};
use crate::store::{Store, db};
use crate::telemetry::Metrics;

use super::queue::Job;

/// How often a batch is tried that others come before.
const TRIES_MAX: usize = 5;

/// The store's only writer of sourced records: commits concurrent requests in groups.
pub struct Writer {
    store: Store,
    lanes: Vec<mpsc::UnboundedReceiver<Job>>,
    records_max: usize,
    bytes_max: usize,
    metrics: Option<Metrics>,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        lanes: Vec<mpsc::UnboundedReceiver<Job>>,
        config: &config::Sourcing,
    ) -> Self {
        let (records_max, bytes_max) = (config.commit_records_max.max(1), config.commit_bytes_max);
        Writer { store, lanes, records_max, bytes_max, metrics: None }
    }

    /// Counts commits and records in these metrics.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Runs until every [`Sourcing`](super::Sourcing) is dropped.
    pub async fn run(mut self) {
        let lanes = std::mem::take(&mut self.lanes);
        join_all(lanes.into_iter().map(|lane| self.run_lane(lane))).await;
    }

    async fn run_lane(&self, mut lane: mpsc::UnboundedReceiver<Job>) {
        let mut next = None;
        loop {
            let Some(first) = (match next.take() {
                Some(job) => Some(job),
                None => lane.recv().await,
            }) else {
                return;
            };
            let (mut records, mut bytes) = (first.drafts.len(), first.bytes);
            let mut jobs = vec![first];
            while let Ok(job) = lane.try_recv() {
                records += job.drafts.len();
                bytes = bytes.saturating_add(job.bytes);
                if records > self.records_max || bytes > self.bytes_max {
                    next = Some(job);
                    break;
                }
                jobs.push(job);
            }
            self.work(jobs).await;
        }
    }

    /// Commits the drafts of these jobs together and answers them.
    async fn work(&self, jobs: Vec<Job>) {
        let (mut drafts, mut replies) = (Vec::new(), Vec::with_capacity(jobs.len()));
        for mut job in jobs {
            let count = job.drafts.len();
            drafts.append(&mut job.drafts);
            replies.push((job, count));
        }
        let mut receipts = self.store_all(&drafts).await.into_iter();
        for (job, count) in replies {
            // Whoever asked may have gone away; the record is stored all the same.
            drop(job.reply.send(receipts.by_ref().take(count).collect()));
        }
    }

    /// Stores all drafts, in order; when a batch fails for what is in it, its halves are tried, so that one bad record
    /// fails alone.
    async fn store_all(&self, drafts: &[Draft]) -> Vec<Result<Receipt>> {
        let mut receipts = Vec::with_capacity(drafts.len());
        let mut parts = vec![drafts];
        while let Some(part) = parts.pop() {
            match self.store_part(part).await {
                Ok(done) => receipts.extend(done),
                Err(error) if error.code() == Code::Internal && part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => {
                    tracing::warn!(records = part.len(), %error, cause = ?error.cause(), "records were not stored");
                    let again = || Err(Error::new(error.code(), error.message()).retry_after_ms(1_000));
                    receipts.extend(part.iter().map(|_| again()));
                }
            }
        }
        self.count(&receipts);
        receipts
    }

    async fn store_part(&self, drafts: &[Draft]) -> Result<Vec<Result<Receipt>>> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_part(drafts).await {
                // Another node has stored a record with the same idempotency key, or the first of a key, meanwhile:
                // now it is found, but there may be more of them.
                Err(Failed::Before(error)) if db::is_unique_violation(&error) && tries < TRIES_MAX => {}
                // A connection that was lost before the commit has stored nothing.
                Err(Failed::Before(error)) if error.code() == Code::Unavailable && tries == 1 => {}
                other => break other,
            }
        }
        .map_err(|failed| match failed {
            Failed::Before(error) => error,
            Failed::Commit(error) if error.code() == Code::Internal => error,
            Failed::Commit(error) => Error::unavailable(
                "it is not known whether the record was stored; send it again with the same idempotency key",
                error,
            ),
        })
    }

    async fn try_part(&self, drafts: &[Draft]) -> Result<Vec<Result<Receipt>>, Failed> {
        let mut tx = self.store.db.begin().await.map_err(Failed::Before)?;
        let appended = self.store.append(&mut tx, drafts).await.map_err(Failed::Before)?;
        self.store.crash_point("before-commit");
        tx.commit().await.map_err(Failed::Commit)?;
        self.store.crash_point("after-commit");
        self.store.appended(&appended);
        Ok(appended.receipts)
    }

    fn count(&self, receipts: &[Result<Receipt>]) {
        let Some(metrics) = &self.metrics else { return };
        metrics.record_commit(receipts.len());
        let mut counts = std::collections::BTreeMap::new();
        for receipt in receipts {
            let outcome = match receipt {
                Ok(receipt) if receipt.duplicate => "duplicate",
                Ok(_) => "accepted",
                Err(error) => error.code().as_str(),
            };
            *counts.entry(outcome).or_insert(0_u64) += 1;
        }
        counts.into_iter().for_each(|(outcome, count)| metrics.record_sourced(outcome, count));
    }
}

/// When a transaction failed: only before its commit is it certain that it stored nothing.
enum Failed {
    Before(Error),
    Commit(Error),
}
