//! The application: opens what a node needs, wires the services together, runs their loops and stops them in
//! order. The only place that spawns tasks. Must not hold business rules.

pub mod demo;
mod documents;
mod files;
mod issuers;
mod policies;
mod signal;

pub use signal::stop_signal;

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    task::{JoinError, JoinSet},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::graphql;
use crate::http::{
    self, Ready, Services,
    auth::{Auth, Keys},
};
use crate::policy;
use crate::provisioning::Provisioning;
use crate::publishing::Publishing;
use crate::sourcing::{Sourcing, Writer};
use crate::store::Store;
use crate::telemetry::{Clock, Metrics};

/// A node, built and bound but not yet running.
pub struct App {
    config: Arc<Config>,
    keys: Keys,
    address: SocketAddr,
    listener: TcpListener,
    services: Services,
    writer: Writer,
    policy: Arc<policy::Engine>,
    publishing: Publishing,
    readers: Vec<issuers::Reader>,
    trusted: Option<documents::Reader>,
}

/// Tells the parts of a node when to end: first the door, then what still works for it.
#[derive(Clone)]
struct Stop {
    /// Streams and sockets end, nothing new is accepted.
    door: CancellationToken,
    /// Relay, worker and watchers end.
    loops: CancellationToken,
}

impl App {
    /// Opens the data directory, the key, the database and the policies, and binds the listener.
    ///
    /// # Errors
    /// `BAD_REQUEST` and `UNPROCESSABLE` for what the operator must mend, `CONFLICT` when another server or key owns
    /// the data, `UNAVAILABLE` when a service does not answer.
    pub async fn build(config: Config, clock: Clock) -> Result<Self> {
        let config = Arc::new(config);
        let data = &config.store.data;
        make_directory(data)?;
        let keys = Keys::read_or_create(&config.key_file(), &config.auth)?;
        let policy = Arc::new(policy::Engine::load(&config.policy, data)?);
        let listener = bind(&config.server.listen).await?;
        let address = listener.local_addr().map_err(Error::internal)?;
        let metrics = Metrics::new();
        let store = Store::open(&config.store, keys.signer(), clock.clone()).await?;
        let store = store.with_metrics(metrics.clone());
        let auth = Auth::new(keys.clone(), &config.auth, store.clone(), clock.clone());
        let readers = match config.has_role("api") {
            true => issuers::readers(&auth, &config.auth, &clock).await?,
            false => Vec::new(),
        };
        let (sourcing, writer) = Sourcing::new(store.clone(), policy.clone(), &config, clock.clone());
        let writer = writer.with_metrics(metrics.clone());
        let provisioning = Provisioning::new(store.clone(), policy.clone(), &config, clock.clone())?
            .with_metrics(metrics.clone());
        provisioning.prepare().await?;
        let secret = store.signer().mark(&[b"wellspring mask key"]);
        let publishing = Publishing::new(store.clone(), policy.clone(), &config, &secret);
        // Nobody is served as if there were none.
        publishing.renew_contracts().await?;
        tell_exposure(&config);
        let released = publishing.classify_by_rules().await?;
        if released > 0 {
            tracing::info!(fields = released, "fields were classified by the rules of the configuration");
        }
        let engine =
            graphql::Engine::new(sourcing.clone(), provisioning.clone(), publishing.clone(), config.clone());
        let trusted = documents::reader(&config.graphql, &engine).await?;
        let services = Services {
            config: config.clone(),
            clock,
            metrics,
            auth,
            engine,
            sourcing,
            provisioning,
            store,
            ready: Ready::default(),
            stopping: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        Ok(App { config, keys, address, listener, services, writer, policy, publishing, readers, trusted })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The signing key, to make tokens with.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What the node counts.
    pub fn metrics(&self) -> &Metrics {
        &self.services.metrics
    }

    /// The flag behind `/readyz`. [`App::run_until`] sets it at once, [`App::run_unready`] leaves it to the
    /// caller.
    pub fn ready(&self) -> &Ready {
        &self.services.ready
    }

    /// Runs until `stop`, then ends within the grace time: the door first, then the loops, the writer last.
    ///
    /// # Errors
    /// `INTERNAL` when a part ends that must not.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> Result<()> {
        self.services.ready.set();
        self.run_unready(stop).await
    }

    /// As [`App::run_until`], but `/readyz` says no until the caller sets [`App::ready`].
    ///
    /// # Errors
    /// `INTERNAL` when a part ends that must not.
    pub async fn run_unready(self, stop: impl Future<Output = ()>) -> Result<()> {
        let App { config, listener, services, writer, policy, publishing, readers, trusted, .. } = self;
        let stopping = Stop { door: services.stopping.clone(), loops: CancellationToken::new() };
        let grace = Duration::from_millis(config.server.shutdown_grace_ms);
        let mut parts = Parts::default();
        parts.loops("writer", writer.run());
        if config.has_role("relay") {
            let relay = services.provisioning.clone().run_relay(stopping.loops.clone());
            parts.loops("relay", relay);
        }
        if config.has_role("worker") {
            let worker = services.provisioning.clone().run_worker(stopping.loops.clone());
            parts.loops("worker", worker);
            parts.loops("statistics", services.provisioning.clone().run_statistics(stopping.loops.clone()));
        }
        parts.loops("tail", publishing.clone().run_tail(stopping.loops.clone()));
        let reads = publishing.clone().run_reads(services.metrics.clone(), stopping.loops.clone());
        parts.loops("audit log", reads);
        parts.loops("advisor", publishing.clone().run_advisor(stopping.loops.clone()));
        let watched = (services.store.clone(), publishing.clone());
        let watch = policies::watch(policy, watched, services.metrics.clone(), stopping.loops.clone());
        parts.loops("policy watch", watch);
        if let Some(reader) = trusted {
            parts.loops("trusted documents", documents::watch(reader, stopping.loops.clone()));
        }
        for reader in readers {
            parts.loops("keys of an issuer", reader.run(stopping.loops.clone()));
        }
        for work in services.store.background(&stopping.loops) {
            // Some of it has nothing to do with some databases and ends at once.
            let stop = stopping.loops.clone();
            parts.loops("store's background", async move {
                work.await;
                stop.cancelled().await;
            });
        }
        parts.spawn("door", http::serve(listener, services));
        let ended = tokio::select! {
            () = stop => Ok(()),
            ended = parts.next() => Err(ended),
        };
        tracing::info!("stopping");
        let drained = tokio::time::timeout(grace, parts.drain(stopping)).await;
        if drained.is_err() {
            tracing::warn!(grace_ms = config.server.shutdown_grace_ms, "not everything ended in time");
        }
        ended.map_err(|name| {
            Error::new(Code::Internal, format!("the {name} ended by itself; the log has the cause"))
        })
    }
}

/// Says who sees a new field.
fn tell_exposure(config: &Config) {
    if config.is_guarded() {
        let meaning = "new fields and collections are for stewards only, until `shape.classify`, \
                       `shape.classify_tags` or the mutation `classifyFields` classifies them";
        tracing::info!(exposure = "guarded", "{meaning}");
    } else {
        let meaning = "whoever may read a collection sees its new fields at once; \
                       `shape.exposure = \"guarded\"` keeps them for stewards first";
        tracing::info!(exposure = "open", "{meaning}");
    }
}

/// The running parts of a node, by name.
#[derive(Default)]
struct Parts(JoinSet<(&'static str, Result<()>)>);

impl Parts {
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = Result<()>> + Send + 'static) {
        self.0.spawn(async move { (name, part.await) });
    }

    /// A part that cannot fail, only end.
    fn loops(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            part.await;
            (name, Ok(()))
        });
    }

    /// Waits for the next part to end and gives its name.
    async fn next(&mut self) -> &'static str {
        match self.0.join_next().await {
            Some(Ok((name, result))) => {
                if let Err(error) = result {
                    tracing::error!(part = name, %error, "a part of the node failed");
                }
                name
            }
            Some(Err(error)) => {
                log_panic(&error);
                "task"
            }
            None => "node",
        }
    }

    /// Ends everything in order: what comes in, what is in work, then the loops.
    async fn drain(&mut self, stop: Stop) {
        stop.door.cancel();
        let mut loops_told = false;
        while !self.0.is_empty() {
            if self.next().await == "door" || !loops_told {
                stop.loops.cancel();
                loops_told = true;
            }
        }
    }
}

fn log_panic(error: &JoinError) {
    tracing::error!(%error, "a part of the node broke");
}

/// Makes the data directory when it is not there, for its owner only: the database in it has everybody's data.
fn make_directory(data: &Path) -> Result<()> {
    let mut directory = std::fs::DirBuilder::new();
    directory.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory.create(data).map_err(|error| {
        let data = data.display();
        Error::bad_request(format!(
            "the data directory `{data}` cannot be made ({error}); check `store.data`"
        ))
    })
}

async fn bind(listen: &str) -> Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| {
        Error::bad_request(format!("cannot listen on `{listen}` ({error}); free it or set `server.listen`"))
    })
}
