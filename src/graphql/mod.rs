//! GraphQL: guard, schema slices, validation, our own executor. async-graphql parses, validates and introspects;
//! collection fields are answered by publishing. Must not know SQL, Oso or HTTP.

mod collection;
mod guard;
mod model;
mod names;
mod schema;
mod sdl;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::stream::BoxStream;

use crate::{
    config,
    provisioning::Provisioning,
    publishing::Publishing,
    record::{Actor, Json},
    sourcing::Sourcing,
};

/// The SDL of the management part, which every schema has.
pub const MANAGEMENT_SDL: &str = include_str!("../../schema.graphql");

/// One request as every transport carries it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The document.
    pub query: String,
    /// Which operation of it.
    pub operation_name: Option<String>,
    /// Variables, exact: number texts survive into `data: JSON!`.
    pub variables: Vec<(String, Json)>,
}

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Context {
    /// The verified actor.
    pub actor: Actor,
    /// In the log and in every error's `extensions.requestId`.
    pub request_id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Whether a mutation may run (false for GET).
    pub mutations: bool,
}

/// An answer, ready to send.
#[derive(Clone, Debug)]
pub struct Response {
    /// The JSON bytes.
    pub body: Vec<u8>,
    /// Failed before execution: `errors` without `data`; the code decides the HTTP status.
    pub request_error: Option<crate::error::Code>,
}

/// The GraphQL engine; cheap to clone.
#[derive(Clone)]
pub struct Engine;

impl Engine {
    /// The engine.
    pub fn new(
        _sourcing: Sourcing,
        _provisioning: Provisioning,
        _publishing: Publishing,
        _config: Arc<config::Config>,
    ) -> Self {
        todo!()
    }

    /// Runs a query or mutation. Never panics, never fails: errors are in the response.
    pub async fn execute(&self, _context: Context, _request: Request) -> Response {
        todo!()
    }

    /// Opens a subscription (or runs a query or mutation as a stream of one). `Err` is a request error, each item a
    /// complete response body.
    pub async fn subscribe(
        &self,
        _context: Context,
        _request: Request,
    ) -> Result<BoxStream<'static, Vec<u8>>, Response> {
        todo!()
    }

    /// The SDL of what this actor can see; for nobody in particular, the management part.
    pub fn sdl(&self, _actor: Option<&Actor>) -> crate::error::Result<String> {
        todo!()
    }
}
