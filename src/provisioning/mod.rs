//! Provisioning: the relay moves outbox rows to the stream, the worker lets plugins decide and commits their effects
//! once. `step() -> Outcome` functions and thin loops. Must not know HTTP or GraphQL.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{config, error::Result, policy, record::Actor, store::Store, telemetry::Clock};

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something: step again at once.
    Progress(usize),
    /// Nothing to do: wait for a wake-up.
    Idle,
}

/// The provisioning service; cheap to clone.
#[derive(Clone)]
pub struct Provisioning;

impl Provisioning {
    /// The service. Connects to nothing yet: a stream that is away is retried by the loops.
    pub fn new(
        _store: Store,
        _policy: Arc<policy::Engine>,
        _config: &config::Config,
        _clock: Clock,
    ) -> Result<Self> {
        todo!()
    }

    /// One step of the relay over all partitions that this node owns or can own.
    pub async fn relay_step(&self) -> Result<Outcome> {
        todo!()
    }

    /// One step of the worker over all partitions that this node owns or can own.
    pub async fn worker_step(&self) -> Result<Outcome> {
        todo!()
    }

    /// Steps the relay until `stop`, waiting for wake-ups.
    pub async fn run_relay(self, _stop: CancellationToken) {
        todo!()
    }

    /// Steps the worker until `stop`, then gives its leases back.
    pub async fn run_worker(self, _stop: CancellationToken) {
        todo!()
    }

    /// Parked records as the GraphQL type `DeadLetter` has them, newest first; stewards and admins.
    pub async fn dead_letters(&self, _actor: &Actor, _first: usize) -> Result<serde_json::Value> {
        todo!()
    }

    /// Puts a dead letter's key back to work, in order; returns how many records were put back.
    pub async fn redrive(&self, _actor: &Actor, _id: i64) -> Result<i64> {
        todo!()
    }

    /// Plugins as the GraphQL type `Plugin` has them.
    pub async fn plugins(&self, _actor: &Actor) -> Result<serde_json::Value> {
        todo!()
    }

    /// Outbox, stream and worker lag as the GraphQL type `Lag` has it.
    pub async fn lag(&self, _actor: &Actor) -> Result<serde_json::Value> {
        todo!()
    }

    /// Whether the stream's service answers; the log always does.
    pub async fn stream_ready(&self) -> bool {
        todo!()
    }
}
