//! GraphQL: guard, schema slices, validation, our own executor. async-graphql parses and validates; collection fields
//! are answered by publishing. Must not know SQL, Oso or HTTP.

mod answer;
mod called;
mod coerce;
mod collection;
mod cost;
mod describe;
mod documents;
mod enums;
mod execute;
mod explain;
mod faults;
mod fingerprint;
mod guard;
mod introspect;
mod json_schema;
mod literals;
mod manage;
mod maps;
mod model;
mod names;
mod operation;
mod past;
mod plan;
mod prepare;
mod project;
mod reach;
mod ready;
mod relation;
mod rules;
mod schema;
mod sdl;
mod subscribe;
mod table;
mod unions;
mod words;
mod working;
#[cfg(test)]
mod tests;

pub use documents::{Asked, Trusted};
pub use json_schema::{Changes, Described, SCHEMAS, Tables};
pub use sdl::sdl;
pub use table::{Ask, Past, Table};

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::config;
use crate::contract;
use crate::error::Code;
use crate::policy;
use crate::provisioning::Provisioning;
use crate::publishing::{Ended, Path, Publishing};
use crate::query::{Budget, Root};
use crate::record::{Actor, Json};
use crate::sourcing::Sourcing;

use answer::Fault;
use async_graphql::parser::types::OperationType;
use documents::Documents;
use execute::Execution;
use introspect::Whole;
use prepare::{Prepared, Preparer, Transport, Wanted};
use working::{Place, Working};

/// A request whose document is known.
#[derive(Clone, Debug)]
struct Request {
    /// The document's text.
    query: Arc<str>,
    /// Which operation of it.
    operation_name: Option<String>,
    /// Variables, exact: number texts survive into `data: JSON!`.
    variables: Vec<(String, Json)>,
}

/// Who asks, and how.
#[derive(Clone, Debug)]
pub struct Context {
    /// The verified actor.
    pub actor: Arc<Actor>,
    /// In the log and in every error's `extensions.requestId`.
    pub request_id: String,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// Whether a mutation may run (false for GET).
    pub mutations: bool,
    /// On which way it is asked.
    pub transport: contract::Transport,
    /// In which format the answer goes out.
    pub format: contract::Format,
}

impl Context {
    /// By which way a collection is read that a root field asks for.
    fn path(&self, root: Root) -> Path {
        if self.transport == contract::Transport::Rest { Path::Rest } else { Path::Root(root) }
    }

    /// The most rows times fields of a document: what the configuration and the actor's contract allow.
    fn cost_max(&self, limits: &config::Graphql) -> u64 {
        let agreed = self.actor.contract.as_ref().and_then(|bound| bound.cost_max);
        agreed.unwrap_or(u64::MAX).min(limits.cost_max)
    }

    /// The most requests of the actor that are in work at once.
    fn concurrent_max(&self, limits: &config::Graphql) -> usize {
        let agreed = self.actor.contract.as_ref().and_then(|bound| bound.concurrent_max);
        agreed.map_or(usize::MAX, |most| most as usize).min(limits.concurrent_max)
    }
}

/// An answer, ready to send.
#[derive(Clone, Debug)]
pub struct Response {
    /// The JSON bytes.
    pub body: Vec<u8>,
    /// Failed before execution: `errors` without `data`; the code decides the HTTP status.
    pub request_error: Option<Code>,
    /// The worst of all its errors, those of single fields too.
    pub fault: Option<Code>,
    /// Planned for a shape that has changed since.
    stale: bool,
}

/// How often a query is planned anew while its collections' shapes keep changing; each time has the newest one.
const REPLANS_MAX: usize = 4;

/// The services that answer fields.
struct Services {
    sourcing: Sourcing,
    provisioning: Provisioning,
    publishing: Publishing,
    config: Arc<config::Config>,
}

struct Inner {
    services: Services,
    preparer: Arc<Preparer>,
    whole: Arc<Whole>,
    documents: Documents,
    working: Working,
}

/// The GraphQL engine; cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// The engine.
    pub fn new(
        sourcing: Sourcing,
        provisioning: Provisioning,
        publishing: Publishing,
        config: Arc<config::Config>,
    ) -> Self {
        let preparer = Arc::new(Preparer::new(config.clone()));
        let schemas = config.graphql.schemas_bytes_max;
        let all = publishing.clone();
        let visible = Box::new(move |actor: &Actor| all.visible(actor));
        let whole = Arc::new(Whole::new(visible, preparer.clone(), schemas));
        let (documents, working) = (Documents::new(&config.graphql), Working::default());
        let services = Services { sourcing, provisioning, publishing, config };
        Engine { inner: Arc::new(Inner { services, preparer, whole, documents, working }) }
    }

    /// From now on these are the trusted documents.
    pub fn trust(&self, trusted: Trusted) {
        self.inner.documents.trust(trusted);
    }

    /// The request with its document, and a place in work for it.
    fn admit(&self, context: &Context, asked: Asked) -> Result<(Request, Place<'_>), Response> {
        let Inner { services, documents, working, .. } = &*self.inner;
        let place = working.enter(&context.actor, context.concurrent_max(&services.config.graphql));
        let exempt = || services.publishing.administers(&context.actor);
        let admitted = place.and_then(|place| Ok((documents.named(asked, exempt)?, place)));
        admitted.map_err(|error| answer::refusal(context, &[Fault::of(context, error)]))
    }

    /// Runs a query or mutation. Never panics, never fails: errors are in the response.
    pub async fn execute(&self, context: Context, asked: Asked) -> Response {
        let (request, _place) = match self.admit(&context, asked) {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal,
        };
        match self.prepare(&context, &request, Transport::Single).await {
            Ok(prepared) => self.fresh(&context, &request, &prepared).await,
            Err(faults) => answer::refusal(&context, &faults),
        }
    }

    /// Runs an operation; a query anew as long as a shape changes between planning and reading.
    async fn fresh(&self, context: &Context, request: &Request, prepared: &Prepared) -> Response {
        let mut response = self.run(context, prepared).await;
        for _ in 0..REPLANS_MAX {
            if !response.stale || prepared.kind != OperationType::Query {
                break;
            }
            let publishing = &self.inner.services.publishing;
            publishing.refresh(publishing.version()).await;
            response = match Box::pin(self.prepare(context, request, Transport::Single)).await {
                Ok(prepared) => self.run(context, &prepared).await,
                Err(faults) => answer::refusal(context, &faults),
            };
        }
        response
    }

    /// Opens a subscription (or runs a query or mutation as a stream of one). `Err` is a request error, each
    /// item a complete response.
    pub async fn subscribe(
        &self,
        context: Context,
        asked: Asked,
    ) -> Result<BoxStream<'static, Response>, Response> {
        let (request, _place) = self.admit(&context, asked)?;
        let prepared = self
            .prepare(&context, &request, Transport::Stream)
            .await
            .map_err(|faults| answer::refusal(&context, &faults))?;
        if prepared.kind == OperationType::Subscription {
            return subscribe::open(&self.inner.services, context, &prepared).await;
        }
        let response = self.fresh(&context, &request, &prepared).await;
        match response.request_error {
            Some(_) => Err(response),
            None => Ok(stream::iter([response]).boxed()),
        }
    }

    /// The actor under its contract: [`policy::Engine::bind`](crate::policy::Engine::bind).
    ///
    /// # Errors
    /// `NOT_FOUND`, `BAD_REQUEST`
    pub fn bind(&self, actor: Arc<Actor>, wanted: Option<&str>) -> crate::error::Result<Arc<Actor>> {
        self.inner.services.publishing.bind(actor, wanted)
    }

    /// Waits for what must have happened before something is read:
    /// [`Publishing::wait_for`](crate::publishing::Publishing::wait_for).
    ///
    /// # Errors
    /// `BAD_REQUEST`, `TOO_COMPLEX`, `UNPROCESSABLE`, `TIMEOUT`, `BACKPRESSURE`
    pub async fn wait_for(&self, cursors: &str) -> crate::error::Result<()> {
        self.inner.services.publishing.wait_for(cursors).await
    }

    /// The contracts in force.
    pub fn contracts(&self) -> Arc<crate::contract::Contracts> {
        self.inner.services.publishing.contracts_in_force()
    }

    /// The SDL of what this actor can see; for nobody in particular, the management part.
    ///
    /// # Errors
    /// None but `INTERNAL`.
    pub async fn sdl(&self, actor: Option<&Actor>) -> crate::error::Result<String> {
        match actor {
            None => Ok(MANAGEMENT_SDL.to_owned()),
            Some(actor) => self.inner.whole.read(actor, |model| Ok(sdl::print(model))).await,
        }
    }

    async fn prepare(
        &self,
        context: &Context,
        request: &Request,
        transport: Transport,
    ) -> Result<Prepared, Vec<Fault>> {
        let inner = &self.inner;
        let publishing = &inner.services.publishing;
        let visible = |wanted: Wanted<'_>| match wanted {
            Wanted::Like(name) => {
                let alike = publishing.visible_like(&context.actor, |field| names::likeness(name, field));
                alike.map(|alike| alike.into_iter().collect())
            }
            Wanted::Named(names) => {
                publishing.visible_among(&context.actor, names.iter().map(String::as_str))
            }
        };
        // From before: it may be renewed while the document is prepared.
        let known = publishing.version();
        let standing = || publishing.standing(&context.actor).ok();
        let prepared = inner.preparer.prepare(context, request, transport, standing(), visible).await;
        // Another node may have published the collection a moment ago, and the hint not be here yet: what names things
        // that are not known is tried once more when the catalog turns out to be older than the database.
        if prepared.as_ref().is_err_and(|faults| faults.iter().any(Fault::is_stale))
            && context.actor.subject != Actor::anonymous().subject
            && publishing.refresh(known).await
        {
            let prepared = inner.preparer.prepare(context, request, transport, standing(), visible);
            let prepared = Box::pin(prepared).await;
            return self.admitted(context, self.noted(context, request, prepared)?);
        }
        self.admitted(context, self.noted(context, request, prepared)?)
    }

    /// Asks the policies whether this may be asked in this way.
    fn admitted(&self, context: &Context, prepared: Prepared) -> Result<Prepared, Vec<Fault>> {
        let services = &self.inner.services;
        let page = cost::page(&prepared.nodes, &prepared.variables, &services.config.graphql);
        let asked = policy::Request {
            transport: context.transport.as_str(),
            format: context.format.as_str(),
            operation: match prepared.kind {
                OperationType::Query => "query",
                OperationType::Mutation => "mutation",
                OperationType::Subscription => "subscription",
            },
            page: i64::try_from(page).unwrap_or(i64::MAX),
            depth: i64::try_from(prepared.depth).unwrap_or(i64::MAX),
            contract: context.actor.contract.as_ref().map(|bound| bound.name.clone()),
        };
        let Err(error) = services.publishing.allow_request(&context.actor, &asked) else {
            return Ok(prepared);
        };
        for (collection, _) in prepared.collections.iter() {
            let (actor, request, path) = (&context.actor, &context.request_id, context.path(Root::List));
            services.publishing.note(actor, request, collection.id, path, Ended::Denied);
        }
        Err(vec![Fault::of(context, error)])
    }

    /// Notes the collections that a document which cannot be answered names, and its actor must not see.
    fn noted<T>(
        &self,
        context: &Context,
        request: &Request,
        prepared: Result<T, Vec<Fault>>,
    ) -> Result<T, Vec<Fault>> {
        if prepared.is_err() {
            let names = self.inner.preparer.named(&request.query);
            let names = names.iter().map(String::as_str);
            let publishing = &self.inner.services.publishing;
            publishing.note_denied(&context.actor, &context.request_id, context.path(Root::List), names);
        }
        prepared
    }

    /// Notes that rows of a collection were given out, page after page, by one request.
    pub fn note_export(&self, context: &Context, table: &Table, rows: usize) {
        let publishing = &self.inner.services.publishing;
        let (actor, request) = (&context.actor, &context.request_id);
        publishing.note(actor, request, table.collection_id(), Path::Rest, Ended::With(rows));
    }

    async fn run(&self, context: &Context, prepared: &Prepared) -> Response {
        let inner = &*self.inner;
        let (services, whole) = (&inner.services, &inner.whole);
        let budget = Budget::new(services.config.graphql.answer_bytes_max);
        Execution { engine: self, services, whole, context, prepared, budget }.run().await
    }
}

/// The management part as `schema.graphql` has it.
pub const MANAGEMENT_SDL: &str = model::SDL;
