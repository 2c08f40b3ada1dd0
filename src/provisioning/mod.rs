//! Provisioning: the relay moves outbox rows to the stream, the worker lets plugins decide and commits their effects
//! once. `step() -> Outcome` functions and thin loops. Must not know HTTP or GraphQL.
//!
//! A record's way through here: `relay` gives its outbox row a number and appends it; `worker` takes what the stream
//! delivers and loads the records; `decide` asks the plugins; `plan` turns answers into one transaction's writes;
//! `settle` commits them under the partition's fence. What fails waits in `retry`, its key's followers behind it.

mod decide;
mod lease;
mod marker;
mod plan;
mod rebuild;
mod relay;
mod report;
mod retry;
mod settle;
mod statistics;
mod verify;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::store::ledger::Which;
pub use verify::{Finding, Report, Unchecked, verify};

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::plugin::{self, Plugin};
use crate::policy;
use crate::shape::ValueHasher;
use crate::store::Store;
use crate::store::db::Dialect;
use crate::store::wake::Topic;
use crate::stream::{Log, Redis, Stream};
use crate::telemetry::{Clock, Metrics};

use decide::Known;

/// The plugin that owns every record.
const MATERIALIZE: &str = "materialize";

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
pub struct Provisioning {
    inner: Arc<Inner>,
}

/// What the service is made of; a clone shares it.
#[derive(Clone)]
struct Parts {
    store: Store,
    policy: Arc<policy::Engine>,
    config: Arc<Config>,
    clock: Clock,
    metrics: Metrics,
    plugins: Vec<Arc<dyn Plugin>>,
    stream: Option<Arc<dyn Stream>>,
}

/// The service's state.
struct Inner {
    parts: Parts,
    /// Unique to this process: owner of its leases, consumer of the stream.
    node: String,
    ready: OnceCell<Ready>,
    relay: Mutex<relay::State>,
    worker: Mutex<worker::State>,
    gathered: statistics::Gathered,
    /// Whether appending to the stream fails, and reading from it: the one may while the other does not.
    stream_away: [AtomicBool; 2],
}

/// What the stream's service was asked to do.
#[derive(Clone, Copy, Debug)]
enum Way {
    Append,
    Read,
}

/// What is known once the database has been asked.
struct Ready {
    plugins: RwLock<Plugins>,
    stream: Arc<dyn Stream>,
}

/// What the database said about plugins when this node last took leases.
#[derive(Clone)]
struct Plugins {
    /// Those that this node has.
    known: Arc<[Known]>,
    /// Enabled ones that it lacks: while there are any it settles nothing.
    missing: Vec<String>,
}

impl Provisioning {
    /// The service. Connects to nothing yet: a stream that is away is retried by the loops.
    ///
    /// # Errors
    /// `BAD_REQUEST` when a plugin's options cannot be used or the stream's URL cannot be understood.
    pub fn new(store: Store, policy: Arc<policy::Engine>, config: &Config, clock: Clock) -> Result<Self> {
        let mask_key = store.signer().mark(&[b"wellspring mask key"]);
        let plugins = plugin::all(config, &mask_key)?;
        if let Some(url) = &config.stream.redis_url {
            Redis::new(url, "", "", &config.stream)?;
        }
        let (config, metrics) = (Arc::new(config.clone()), Metrics::new());
        let parts = Parts { store, policy, config, clock, metrics, plugins, stream: None };
        Ok(Self::assemble(parts))
    }

    /// The service with these plugins beside its own.
    ///
    /// # Errors
    /// `CONFLICT` when two plugins have one name.
    pub fn with_plugins(self, extra: Vec<Arc<dyn Plugin>>) -> Result<Self> {
        let mut parts = self.inner.parts.clone();
        parts.plugins.extend(extra);
        plugin::refuse_equal_names(&parts.plugins)?;
        Ok(Self::assemble(parts))
    }

    /// The service over this stream instead of the configured one.
    pub fn with_stream(self, stream: Arc<dyn Stream>) -> Self {
        Self::assemble(Parts { stream: Some(stream), ..self.inner.parts.clone() })
    }

    /// The service counting here.
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self::assemble(Parts { metrics, ..self.inner.parts.clone() })
    }

    fn assemble(parts: Parts) -> Self {
        let node = format!("{:016x}", rand::random::<u64>());
        let inner = Inner {
            ready: OnceCell::new(),
            relay: Mutex::new(relay::State::new(&node)),
            worker: Mutex::new(worker::State::new(&node)),
            gathered: statistics::Gathered::new(ValueHasher::new(parts.store.signer())),
            stream_away: Default::default(),
            node,
            parts,
        };
        Provisioning { inner: Arc::new(inner) }
    }

    /// Registers the plugins and refuses a stream that is set up so that it must not be used. One that does not
    /// answer is only reported: the loops go on trying.
    ///
    /// # Errors
    /// `CONFLICT` when the stream's service evicts keys or is too old, `UNAVAILABLE` when the database is away.
    pub async fn prepare(&self) -> Result<()> {
        let ready = self.inner.ready().await?;
        match ready.stream.health().await {
            Err(error) if error.code() == crate::error::Code::Unavailable => {
                self.inner.stream_answered(Way::Append, Some(error));
                Ok(())
            }
            checked => checked,
        }
    }

    /// One step of the relay over all partitions that this node owns or can own.
    pub async fn relay_step(&self) -> Result<Outcome> {
        self.inner.step_relay().await
    }

    /// One step of the worker over all partitions that this node owns or can own.
    pub async fn worker_step(&self) -> Result<Outcome> {
        self.inner.step_worker(Duration::ZERO, &CancellationToken::new()).await
    }

    /// Steps the relay until `stop`, waiting for wake-ups; then gives its leases back.
    pub async fn run_relay(self, stop: CancellationToken) {
        let inner = &self.inner;
        let poll = Duration::from_millis(inner.parts.config.stream.poll_ms.max(1));
        let mut wake = inner.parts.store.wake.subscribe(Topic::Outbox);
        let mut pause = Pause::new(inner);
        while !stop.is_cancelled() {
            wake.mark_unchanged();
            let wait = match inner.step_relay().await {
                Ok(Outcome::Progress(_)) => {
                    pause.reset();
                    continue;
                }
                Ok(Outcome::Idle) => {
                    pause.reset();
                    poll
                }
                Err(error) => pause.after("relay", &error),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                _ = wake.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        let given = inner.relay.lock().await.leases().give_back(inner).await;
        if let Err(error) = given {
            tracing::warn!(%error, "the relay's leases were not given back; they end by themselves");
        }
    }

    /// Steps the worker until `stop`, then gives its leases back and writes what it has gathered.
    pub async fn run_worker(self, stop: CancellationToken) {
        let inner = &self.inner;
        let poll = Duration::from_millis(inner.parts.config.stream.poll_ms.max(1));
        let mut pause = Pause::new(inner);
        while !stop.is_cancelled() {
            // Only what waits in a step is cut short by `stop`: what is being settled ends first, within the grace
            // period, with all that is told after its commit.
            match inner.step_worker(poll, &stop).await {
                Ok(_) => pause.reset(),
                Err(error) => {
                    let wait = pause.after("worker", &error);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
        let given = inner.worker.lock().await.leases().give_back(inner).await;
        if let Err(error) = given {
            tracing::warn!(%error, "the worker's leases were not given back; they end by themselves");
        }
        inner.write_statistics().await;
    }
}

impl Inner {
    /// Plugins with their numbers, and the stream; asked for once.
    async fn ready(&self) -> Result<&Ready> {
        self.ready.get_or_try_init(|| self.make_ready()).await
    }

    async fn make_ready(&self) -> Result<Ready> {
        let parts = &self.parts;
        for plugin in &parts.plugins {
            let version = i64::from(plugin.version());
            parts.store.register(plugin.name(), version, plugin.name() == MATERIALIZE).await?;
        }
        let mut plugins = self.look_at_plugins().await?;
        if parts.store.db.dialect() == Dialect::Sqlite && !plugins.missing.is_empty() {
            // The only process of its database: nobody else has what its configuration lacks.
            for name in &plugins.missing {
                parts.store.disable(name, "removed").await?;
                tracing::warn!(
                    plugin = name,
                    "is not configured any more: it is not asked until it is again"
                );
            }
            plugins = self.look_at_plugins().await?;
        }
        let stream: Arc<dyn Stream> = match (&parts.stream, &parts.config.stream.redis_url) {
            (Some(stream), _) => Arc::clone(stream),
            (None, None) => Arc::new(Log::new(parts.store.clone())),
            (None, Some(url)) => {
                let database = parts.store.identity().await?;
                Arc::new(Redis::new(url, &database, &self.node, &parts.config.stream)?)
            }
        };
        Ok(Ready { plugins: RwLock::new(plugins), stream })
    }

    /// This node's plugins as the database has them now, and the enabled ones that it lacks.
    async fn look_at_plugins(&self) -> Result<Plugins> {
        let rows = self.parts.store.registered().await?;
        let of = |name: &str| self.parts.plugins.iter().find(|plugin| plugin.name() == name);
        let missing = rows.iter().filter(|row| row.is_enabled() && of(&row.name).is_none());
        let missing = missing.map(|row| row.name.clone()).collect();
        let known = self.parts.plugins.iter().filter_map(|plugin| {
            let row = rows.iter().find(|row| row.name == plugin.name())?;
            Some(Known { plugin: Arc::clone(plugin), id: row.id, owner: Some(Arc::new(row.clone())) })
        });
        Ok(Plugins { known: known.collect(), missing })
    }

    /// Looks at the plugins anew; `false` when an enabled one is missing here, which is said once.
    async fn has_all_plugins(&self) -> Result<bool> {
        let ready = self.ready().await?;
        let plugins = self.look_at_plugins().await?;
        let (has_all, now) = (plugins.missing.is_empty(), plugins.missing.clone());
        let before = {
            let mut kept = ready.plugins.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *kept, plugins).missing
        };
        if !has_all && before != now {
            tracing::error!(
                plugins = ?now,
                "enabled, but not configured here: this node settles nothing; configure them, or use `disablePlugin`"
            );
        }
        Ok(has_all)
    }

    /// The plugins as this node last knew them.
    async fn plugins(&self) -> Result<Plugins> {
        let ready = self.ready().await?;
        Ok(ready.plugins.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn hops_max(&self) -> i32 {
        self.parts.config.provisioning.hops_max
    }

    /// Counts how the stream's service answered, each way by itself; one line when it goes away, one when it is back.
    fn stream_answered(&self, way: Way, failure: Option<Error>) {
        let away = failure.is_some();
        let [append, read] = &self.stream_away;
        let (this, other) = match way {
            Way::Append => (append, read),
            Way::Read => (read, append),
        };
        let was_away = this.swap(away, Ordering::Relaxed);
        self.parts.metrics.set_stream_up(!away && !other.load(Ordering::Relaxed));
        match failure {
            Some(error) => {
                self.parts.metrics.record_stream_error();
                if !was_away {
                    tracing::warn!(?way, %error, cause = ?error.cause(), "the stream is away; going on without it");
                }
            }
            None if was_away => tracing::info!(?way, "the stream is back"),
            None => {}
        }
    }
}

/// Pauses between failing steps: doubling, bounded, spread so that nodes do not come in step.
struct Pause {
    last: Duration,
    max: Duration,
}

impl Pause {
    fn new(inner: &Inner) -> Self {
        let max = Duration::from_millis(inner.parts.config.stream.backoff_max_ms.max(1));
        Pause { last: Duration::ZERO, max }
    }

    fn reset(&mut self) {
        self.last = Duration::ZERO;
    }

    fn after(&mut self, who: &str, error: &Error) -> Duration {
        if self.last.is_zero() {
            tracing::warn!(who, %error, cause = ?error.cause(), "a step failed; trying again");
        }
        self.last = (self.last * 2).clamp(Duration::from_millis(50).min(self.max), self.max);
        self.last.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }
}
