//! Sourcing: takes documents of any shape, translates them to JSON, derives their metadata and has them stored.
//! Must not know HTTP or GraphQL.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    config,
    error::Result,
    policy,
    record::{Actor, Envelope, Receipt, Source},
    store::Store,
    telemetry::Clock,
};

/// One document to take in.
#[derive(Clone, Debug)]
pub struct Input {
    /// Where it comes from.
    pub source: Source,
    /// The uid within the source; `None` takes the record's id.
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
pub struct Sourcing;

impl Sourcing {
    /// The service and the writer's loop, which the caller runs until it ends.
    pub fn new(
        _store: Store,
        _policy: Arc<policy::Engine>,
        _config: &config::Config,
        _clock: Clock,
    ) -> (Self, Writer) {
        todo!()
    }

    /// Takes one document in; returns after the commit.
    ///
    /// # Errors
    /// `BAD_REQUEST`, `TOO_LARGE`, `FORBIDDEN`, `CONFLICT`, `BACKPRESSURE`, `UNAVAILABLE`.
    pub async fn source(&self, _actor: &Actor, _input: Input) -> Result<Receipt> {
        todo!()
    }

    /// Takes many in; each succeeds or fails alone. Answers stand in the order of the inputs.
    pub async fn source_many(&self, _actor: &Actor, _inputs: Vec<Input>) -> Vec<Result<Receipt>> {
        todo!()
    }

    /// Takes a tombstone in.
    pub async fn retract(&self, _actor: &Actor, _retraction: Retraction) -> Result<Receipt> {
        todo!()
    }

    /// The record's way so far, with times, as the GraphQL type `Receipt` has it; for its author, stewards and admins.
    pub async fn receipt(&self, _actor: &Actor, _id: Uuid) -> Result<serde_json::Value> {
        todo!()
    }
}

/// The store's only writer of records: commits concurrent requests in groups.
pub struct Writer;

impl Writer {
    /// Runs until every [`Sourcing`] is dropped.
    pub async fn run(self) {
        todo!()
    }
}
