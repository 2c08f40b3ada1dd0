//! Sourcing: takes documents of any shape, translates them to JSON, derives their metadata and has them stored.
//! Must not know HTTP or GraphQL.

mod prepare;
mod queue;
mod writer;

pub use writer::Writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use uuid::Uuid;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::policy::{self, Action};
use crate::query::{Awaited, write::instant};
use crate::record::{Actor, Draft, Envelope, Limits, Receipt, Source};
use crate::shape::Known;
use crate::store::Store;
use crate::store::db::Dialect;
use crate::telemetry::Clock;

use prepare::{Bounds, Ids};
use queue::Queue;

/// Records of a batch that are queued together.
const TOGETHER: usize = 256;

/// Bytes of a batch after which its records are queued.
const TOGETHER_BYTES: usize = 4 * 1024 * 1024;

/// How often the backlog is looked at, in microseconds.
const BACKLOG_EVERY_US: i64 = 250_000;

/// One document to take in.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it comes from.
    pub source: Source,
    /// The uid within the source; `None` takes the idempotency key, or else the record's id.
    pub source_uid: Option<String>,
    /// JSON text; a document that is not an object becomes `{"value": …}`.
    pub body: Bytes,
    /// As what it was sent, before translation.
    pub content_type: String,
    /// Makes a repeated request the same record.
    pub idempotency_key: Option<String>,
    /// Refuse unless the key's current revision is this.
    pub if_revision: Option<i64>,
    /// When it happened by the source's word, Unix microseconds.
    pub occurred_at: Option<i64>,
    /// Tags, meta data, usage agreements, lineage, trace context.
    pub envelope: Envelope,
}

/// A tombstone to take in.
#[derive(Clone, Debug)]
pub struct Retraction {
    /// Where it comes from.
    pub source: Source,
    /// The uid within the source.
    pub source_uid: String,
    /// Makes a repeated request the same record.
    pub idempotency_key: Option<String>,
    /// Refuse unless the key's current revision is this.
    pub if_revision: Option<i64>,
    /// The rest of the envelope.
    pub envelope: Envelope,
}

/// The sourcing service; cheap to clone.
#[derive(Clone)]
pub struct Sourcing(Arc<Inner>);

struct Inner {
    store: Store,
    policy: Arc<policy::Engine>,
    bounds: Bounds,
    clock: Clock,
    ids: Ids,
    queue: Queue,
    backlog: Backlog,
}

/// How many records wait to be provisioned, as it was a moment ago.
struct Backlog {
    max: i64,
    count: AtomicI64,
    looked_at: AtomicI64,
}

impl Sourcing {
    /// The service and the writer's loop, which the caller runs until it ends.
    pub fn new(
        store: Store,
        policy: Arc<policy::Engine>,
        config: &config::Config,
        clock: Clock,
    ) -> (Self, Writer) {
        let sourcing = &config.sourcing;
        let lanes = lanes(&store);
        let patience = Duration::from_millis(config.server.request_timeout_ms);
        let (queue, receivers) = Queue::new(sourcing, lanes, patience);
        let writer = Writer::new(store.clone(), receivers, sourcing);
        let bounds = Bounds {
            bytes_max: sourcing.record_bytes_max,
            limits: Limits { depth_max: sourcing.depth_max, values_max: sourcing.values_max },
            known: Known::new(&config.shape),
            refusals_max: config.shape.refusals_max,
        };
        let backlog = Backlog {
            max: sourcing.backlog_max,
            count: AtomicI64::new(0),
            looked_at: AtomicI64::new(i64::MIN / 2),
        };
        let inner = Inner { store, policy, bounds, clock, ids: Ids::new(), queue, backlog };
        (Sourcing(Arc::new(inner)), writer)
    }

    /// Whether this actor may send to this source: asked before a body is read, and again for what it holds.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn may_source(&self, actor: &Actor, source: &Source) -> Result<()> {
        self.0.policy.allow_source(actor, Action::Source, source)
    }

    /// Takes one document in; returns after the commit.
    ///
    /// # Errors
    /// `BAD_REQUEST`, `TOO_LARGE`, `FORBIDDEN`, `CONFLICT`, `BACKPRESSURE`, `UNAVAILABLE`.
    pub async fn source(&self, actor: &Actor, input: Input) -> Result<Receipt> {
        self.0.policy.allow_source(actor, Action::Source, &input.source)?;
        self.0.check_backlog().await?;
        let draft = self.0.draft(actor, input).await?;
        one(self.0.queue.send(draft)?).await
    }

    /// Takes many in; each succeeds or fails alone. Answers stand in the order of the inputs.
    ///
    /// Where there is no room it waits; so a bulk load is as fast as its records are stored.
    pub async fn source_many(&self, actor: &Actor, inputs: Vec<Input>) -> Vec<Result<Receipt>> {
        let mut bulk = Bulk::new(&self.0, inputs.len());
        let mut allowed: Option<(Source, bool)> = None;
        for (index, input) in inputs.into_iter().enumerate() {
            let same = allowed.as_ref().is_some_and(|(source, allowed)| *allowed && *source == input.source);
            if !same {
                let decision = self.0.policy.allow_source(actor, Action::Source, &input.source);
                allowed = Some((input.source.clone(), decision.is_ok()));
                if let Err(error) = decision {
                    bulk.refuse(index, error);
                    continue;
                }
            }
            let ready = match self.0.check_backlog().await {
                Ok(()) => self.0.draft(actor, input).await,
                Err(error) => Err(error),
            };
            match ready {
                Ok(draft) => bulk.add(index, draft).await,
                Err(error) => bulk.refuse(index, error),
            }
            if index % 32 == 31 {
                // Looking at documents takes long enough to let others have their turn.
                tokio::task::yield_now().await;
            }
        }
        bulk.finish().await
    }

    /// Takes a tombstone in.
    ///
    /// # Errors
    /// As [`Sourcing::source`].
    pub async fn retract(&self, actor: &Actor, retraction: Retraction) -> Result<Receipt> {
        self.0.policy.allow_source(actor, Action::Retract, &retraction.source)?;
        self.0.check_backlog().await?;
        let now = self.0.clock.now_us();
        let draft = prepare::tombstone(actor, retraction, self.0.ids.next(now), now)?;
        one(self.0.queue.send(draft)?).await
    }

    /// The record's way so far, with times, as the GraphQL type `Receipt` has it; for its author, stewards and admins.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such record within the caller's scope.
    pub async fn receipt(&self, actor: &Actor, id: Uuid) -> Result<serde_json::Value> {
        let way = self.0.store.way(id).await?;
        let own = |author: &str| author == actor.subject && *actor != Actor::anonymous();
        let may = |source: &Source| self.0.policy.allow_source(actor, Action::Steward, source).is_ok();
        let way = way.filter(|way| own(&way.author) || may(&way.source));
        let way = way.ok_or_else(|| Error::not_found("there is no such receipt for you; check its id"))?;
        let key = match own(&way.author) {
            true => way.key.to_string(),
            false => {
                let catalog = self.0.store.catalog.load();
                let collection = catalog.fed_by(&way.source.category, &way.source.subcategory);
                let of = (&catalog.collections, collection.map(Arc::as_ref));
                let signer = self.0.store.signer();
                self.0.policy.shown_key(actor, of, way.key.as_str(), signer)?
            }
        };
        let steps = way.steps.iter().map(|step| {
            json!({
                "plugin": step.plugin,
                "version": step.version,
                "outcome": step.outcome,
                "settledAt": step.settled_at().and_then(instant),
                "code": step.code,
                "at": instant(step.at),
            })
        });
        let steps: Vec<_> = steps.collect();
        Ok(json!({
            "id": way.id,
            "key": key,
            "revision": way.revision,
            "duplicate": false,
            "status": way.status,
            "cursor": Awaited::record(way.id, self.0.store.signer()),
            "ingestedAt": instant(way.ingested_at),
            "publishedAt": way.published_at.and_then(instant),
            "provisionedAt": way.provisioned_at.and_then(instant),
            "steps": steps,
        }))
    }
}

/// How many commits can be in work at once: PostgreSQL takes the next while one waits for its disk.
fn lanes(store: &Store) -> usize {
    match store.db.dialect() {
        Dialect::Sqlite => 1,
        Dialect::Postgres => 2,
    }
}

async fn one(answer: queue::Answer) -> Result<Receipt> {
    let mut receipts = answer.await.map_err(|_| queue::stopped())?;
    receipts.pop().unwrap_or_else(|| Err(queue::stopped()))
}

impl Inner {
    async fn draft(&self, actor: &Actor, input: Input) -> Result<Draft> {
        let Source { category, subcategory, .. } = &input.source;
        let feeds = self.store.catalog.load().rejecting(category, subcategory).cloned();
        let looked = if input.body.len() > prepare::LARGE {
            let (body, source, bounds) = (input.body.clone(), input.source.clone(), self.bounds.clone());
            tokio::task::spawn_blocking(move || prepare::look(&body, &source, &bounds, feeds.as_deref()))
                .await
                .map_err(Error::internal)??
        } else {
            prepare::look(&input.body, &input.source, &self.bounds, feeds.as_deref())?
        };
        let now = self.clock.now_us();
        prepare::draft(actor, input, looked, self.ids.next(now), now)
    }

    async fn check_backlog(&self) -> Result<()> {
        let (backlog, now) = (&self.backlog, self.clock.now_us());
        let last = backlog.looked_at.load(Ordering::Relaxed);
        let due = now < last || now.saturating_sub(last) >= BACKLOG_EVERY_US;
        let mine =
            || backlog.looked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if due && mine() {
            // A database that does not answer is told by the commit.
            if let Ok(count) = self.store.backlog().await {
                backlog.count.store(count, Ordering::Relaxed);
            }
        }
        if backlog.count.load(Ordering::Relaxed) < backlog.max {
            return Ok(());
        }
        let text = "too many records wait to be provisioned; send it again later";
        Err(Error::new(Code::Backpressure, text).retry_after_ms(2_000))
    }
}

/// A batch on its way into the queue.
struct Bulk<'a> {
    inner: &'a Inner,
    results: Vec<Option<Result<Receipt>>>,
    lanes: Vec<Group>,
    waiting: Vec<(Vec<usize>, queue::Answer)>,
}

#[derive(Default)]
struct Group {
    indexes: Vec<usize>,
    drafts: Vec<Draft>,
    bytes: usize,
}

impl<'a> Bulk<'a> {
    fn new(inner: &'a Inner, count: usize) -> Self {
        let results = std::iter::repeat_with(|| None).take(count).collect();
        let lanes = std::iter::repeat_with(Group::default).take(inner.queue.lanes()).collect();
        Bulk { inner, results, lanes, waiting: Vec::new() }
    }

    fn refuse(&mut self, index: usize, error: Error) {
        if let Some(result) = self.results.get_mut(index) {
            *result = Some(Err(error));
        }
    }

    async fn add(&mut self, index: usize, draft: Draft) {
        let lane = self.inner.queue.lane(&draft);
        let Some(group) = self.lanes.get_mut(lane) else { return };
        group.bytes = group.bytes.saturating_add(draft.body.len());
        group.indexes.push(index);
        group.drafts.push(draft);
        if group.drafts.len() >= TOGETHER || group.bytes >= TOGETHER_BYTES {
            self.send(lane).await;
        }
    }

    async fn send(&mut self, lane: usize) {
        let Some(group) = self.lanes.get_mut(lane).map(std::mem::take) else { return };
        if group.drafts.is_empty() {
            return;
        }
        match self.inner.queue.send_many(lane, group.drafts).await {
            Ok(answer) => self.waiting.push((group.indexes, answer)),
            Err(error) => self.fail(&group.indexes, &error),
        }
    }

    fn fail(&mut self, indexes: &[usize], error: &Error) {
        for index in indexes {
            let again = Error::new(error.code(), error.message());
            self.refuse(*index, again.retry_after_ms(error.retry_after().unwrap_or(1_000)));
        }
    }

    async fn finish(mut self) -> Vec<Result<Receipt>> {
        for lane in 0..self.lanes.len() {
            self.send(lane).await;
        }
        for (indexes, answer) in std::mem::take(&mut self.waiting) {
            let Ok(receipts) = answer.await else {
                self.fail(&indexes, &queue::stopped());
                continue;
            };
            for (index, receipt) in indexes.into_iter().zip(receipts) {
                if let Some(result) = self.results.get_mut(index) {
                    *result = Some(receipt);
                }
            }
        }
        self.results.into_iter().map(|result| result.unwrap_or_else(|| Err(queue::stopped()))).collect()
    }
}

#[cfg(test)]
mod tests;
