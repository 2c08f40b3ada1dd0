//! The door of the program: routes, tokens, transports, the console's files. Must not hold business rules: it
//! turns bytes into calls of the services and their answers into bytes.

mod accept;
mod answer;
pub mod auth;
mod body;
mod close;
mod console;
mod contract;
mod data;
mod door;
mod graphql;
mod health;
mod openapi;
mod payload;
mod serve;
mod socket;
mod source;
mod sse;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::{OriginalUri, State},
    http::StatusCode,
    middleware,
    routing::{get, post},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Config;
use crate::error::Error;
use crate::graphql::Engine;
use crate::provisioning::Provisioning;
use crate::sourcing::Sourcing;
use crate::store::Store;
use crate::telemetry::{Clock, Metrics};

use answer::Refusal;
use auth::Auth;
use body::Room;

pub use serve::serve;

const RECORD_ROUTE: &str = "/source/{category}/{subcategory}/{source_name}/{source_uid}";
const BATCH_ROUTE: &str = "/source/{category}/{subcategory}/{source_name}";
const DATA_ROUTE: &str = "/data/{collection}";
const HISTORY_ROUTE: &str = "/data/{collection}/{history}";
const GRAPHQL_ROUTE: &str = "/graphql";

/// What the routes need.
pub struct Services {
    /// Everything that can be set.
    pub config: Arc<Config>,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
    /// Who is believed.
    pub auth: Auth,
    /// Answers GraphQL.
    pub engine: Engine,
    /// Takes documents in.
    pub sourcing: Sourcing,
    /// Asked for readiness.
    pub provisioning: Provisioning,
    /// Asked for readiness.
    pub store: Store,
    /// Whether `/readyz` may say yes.
    pub ready: Ready,
    /// Cancelled when the node stops: streams and sockets end.
    pub stopping: CancellationToken,
    /// Connections and sockets run here; a graceful stop waits for them.
    pub connections: TaskTracker,
}

/// A flag that the application sets once what it promises is there; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// From now on the node is ready.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The services together with the bounds that all requests share.
struct Inner {
    services: Services,
    requests: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    bodies: Room,
    rates: contract::Rates,
    documents: openapi::Documents,
}

/// State of every handler; cheap to clone.
#[derive(Clone)]
struct Shared(Arc<Inner>);

impl std::ops::Deref for Shared {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.0.services
    }
}

/// All routes of a node: with role `api` everything, else only what says how the node is.
fn router(services: Services) -> Router {
    let api = services.config.has_role("api");
    let requests = Arc::new(Semaphore::new(services.config.server.requests_max));
    let subscriptions = Arc::new(Semaphore::new(services.config.subscriptions.open_max));
    let exports = Arc::new(Semaphore::new(services.config.data.exports_max));
    let bodies = Room::new(services.config.server.bodies_bytes_max);
    let rates = contract::Rates::default();
    let documents = openapi::Documents::new(services.config.data.openapi_kept_bytes_max);
    let shared = Arc::new(Inner { services, requests, subscriptions, exports, bodies, rates, documents });
    let shared = Shared(shared);
    let mut routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics));
    if api {
        routes = routes
            .route("/", get(console::root))
            .route("/favicon.ico", get(console::favicon))
            .route("/graphiql", get(console::page))
            .route("/graphiql/{file}", get(console::file))
            .route(GRAPHQL_ROUTE, get(graphql::get).post(graphql::post))
            .route("/graphql/schema", get(graphql::schema))
            .route(openapi::ROUTE, get(openapi::document).options(data::methods))
            .route(DATA_ROUTE, get(data::rows).options(data::methods))
            .route(HISTORY_ROUTE, get(data::history).options(data::methods))
            .route(RECORD_ROUTE, post(source::record))
            .route(BATCH_ROUTE, post(source::batch));
    }
    routes
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(shared.clone(), door::pass))
        .with_state(shared)
}

async fn nothing_here(State(shared): State<Shared>, OriginalUri(uri): OriginalUri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    let routes = match shared.config.has_role("api") {
        true => {
            [GRAPHQL_ROUTE, "/graphiql", RECORD_ROUTE, BATCH_ROUTE, DATA_ROUTE, openapi::ROUTE].join("`, `")
        }
        false => ["/healthz", "/readyz", "/metrics"].join("`, `"),
    };
    Refusal::new(Error::not_found(format!("there is nothing at `{path}`; there are `{routes}`")))
}

async fn other_method() -> Refusal {
    let message = "this route does not take that method; the `Allow` header names those it takes";
    Refusal::with_status(StatusCode::METHOD_NOT_ALLOWED, message)
}
