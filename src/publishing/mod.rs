//! Publishing: reads collections and tails their changes, only ever through a query that policy has scoped.
//! Must not know HTTP or GraphQL documents.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use uuid::Uuid;

pub use crate::query::Root;

use crate::config;
use crate::error::Result;
use crate::policy::{self, Scope};
use crate::query::{Collection, Selected};
use crate::record::Actor;
use crate::store::Store;
use crate::telemetry::Clock;

/// The publishing service; cheap to clone.
#[derive(Clone)]
pub struct Publishing;

impl Publishing {
    /// The service. `secret` is the signing key: cursors are signed and values hashed with keys derived from it.
    pub fn new(
        _store: Store,
        _policy: Arc<policy::Engine>,
        _config: &config::Config,
        _secret: &[u8],
        _clock: Clock,
    ) -> Self {
        todo!()
    }

    /// The collections that exist for this actor, each with what it may see of it, by field name.
    pub fn visible(&self, _actor: &Actor) -> Result<Vec<(Arc<Collection>, Arc<Scope>)>> {
        todo!()
    }

    /// Answers one root field: appends its JSON value to `out`. The selection has been validated against the schema
    /// slice; arguments are coerced.
    pub async fn read(
        &self,
        _scope: (&Arc<Collection>, &Arc<Scope>),
        _root: Root,
        _field: &Selected,
        _out: &mut Vec<u8>,
    ) -> Result<()> {
        todo!()
    }

    /// Opens a subscription; each item is the JSON value of the root field. The actor's scope is asked again for every
    /// shape version and policy version.
    pub async fn subscribe(
        &self,
        _actor: Actor,
        _collection: Arc<Collection>,
        _field: Selected,
    ) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
        todo!()
    }

    /// One raw record as the GraphQL type `Record` has it; admin, or steward with role `pii`.
    pub async fn record(&self, _actor: &Actor, _id: Uuid) -> Result<serde_json::Value> {
        todo!()
    }

    /// Raw records, newest first; admin, or steward with role `pii`.
    pub async fn records(
        &self,
        _actor: &Actor,
        _source: Option<crate::record::Source>,
        _first: usize,
        _after: Option<Uuid>,
    ) -> Result<serde_json::Value> {
        todo!()
    }

    /// Collections as the GraphQL type `Collection` has them, within the actor's scope.
    pub async fn collections(&self, _actor: &Actor) -> Result<serde_json::Value> {
        todo!()
    }

    /// Sources as the GraphQL type `Source` has them; stewards and admins.
    pub async fn sources(&self, _actor: &Actor) -> Result<serde_json::Value> {
        todo!()
    }
}
