//! What is counted, for `/metrics`. One registry per node, made by the application and passed in beside the
//! clock; a clone counts into the same registry. Must not decide anything.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Counts by one label.
type ByOne = Family<[(&'static str, String); 1], Counter>;
/// Counts by two labels.
type ByTwo = Family<[(&'static str, String); 2], Counter>;
/// Gauges by one label.
type Level = Family<[(&'static str, String); 1], Gauge>;
/// Durations by one label.
type Durations = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// Everything that is counted; cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    requests: ByTwo,
    request_seconds: Durations,
    requests_open: Gauge,
    connections_open: Gauge,
    sourced: ByOne,
    commits: Counter,
    commit_records: Histogram,
    settled: ByOne,
    settle_seconds: Durations,
    dead_letters: Counter,
    parked: Gauge,
    subscriptions_open: Gauge,
    sockets_open: Gauge,
    events_sent: Counter,
    outbox_pending: Gauge,
    outbox_oldest_seconds: Gauge<f64, AtomicU64>,
    lag: Level,
    stream_errors: Counter,
    stream_up: Gauge,
    policy_loads: ByOne,
    reads_lost: ByOne,
    row_statements: Counter,
}

/// Seconds from 100 µs to about 50 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.5, 15))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A registry with every count at zero.
    pub fn new() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("wellspring"),
            requests: ByTwo::default(),
            request_seconds: Durations::new_with_constructor(seconds),
            requests_open: Gauge::default(),
            connections_open: Gauge::default(),
            sourced: ByOne::default(),
            commits: Counter::default(),
            commit_records: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            settled: ByOne::default(),
            settle_seconds: Durations::new_with_constructor(seconds),
            dead_letters: Counter::default(),
            parked: Gauge::default(),
            subscriptions_open: Gauge::default(),
            sockets_open: Gauge::default(),
            events_sent: Counter::default(),
            outbox_pending: Gauge::default(),
            outbox_oldest_seconds: Gauge::default(),
            lag: Level::default(),
            stream_errors: Counter::default(),
            stream_up: Gauge::default(),
            policy_loads: ByOne::default(),
            reads_lost: ByOne::default(),
            row_statements: Counter::default(),
        };
        inner.register();
        Metrics(Arc::new(inner))
    }

    /// One answered request: the route's pattern, the status or error code, how long it took.
    pub fn record_request(&self, route: &str, code: &str, ms: f64) {
        self.0.requests.get_or_create(&[("route", route.into()), ("code", code.into())]).inc();
        self.0.request_seconds.get_or_create(&[("route", route.into())]).observe(ms / 1_000.0);
    }

    /// Documents sent by sources: `outcome` is `accepted`, `duplicate` or an error code.
    pub fn record_sourced(&self, outcome: &str, count: u64) {
        self.0.sourced.get_or_create(&[("outcome", outcome.into())]).inc_by(count);
    }

    /// One commit of the store's writer with so many records.
    pub fn record_commit(&self, records: usize) {
        self.0.commits.inc();
        self.0.commit_records.observe(u32::try_from(records).map_or(f64::MAX, f64::from));
    }

    /// One record settled by provisioning, and how long after it was taken in.
    pub fn record_settled(&self, outcome: &str, ms: f64) {
        let labels = [("outcome", outcome.into())];
        self.0.settled.get_or_create(&labels).inc();
        self.0.settle_seconds.get_or_create(&labels).observe(ms / 1_000.0);
    }

    /// One record parked for a person: not one that is tried again by itself, nor one that queues behind it.
    pub fn record_dead_letter(&self) {
        self.0.dead_letters.inc();
    }

    /// How many records wait now: parked, to be tried again, or queued behind one.
    pub fn set_parked(&self, count: i64) {
        self.0.parked.set(count);
    }

    /// How many outbox rows still have to reach the stream, and the age of the oldest.
    pub fn set_outbox(&self, pending: i64, oldest_seconds: f64) {
        self.0.outbox_pending.set(pending);
        self.0.outbox_oldest_seconds.set(oldest_seconds);
    }

    /// How many entries a stage is behind: `relay`, `worker`, …
    pub fn set_lag(&self, stage: &str, entries: i64) {
        self.0.lag.get_or_create(&[("stage", stage.into())]).set(entries);
    }

    /// One failed call of the stream's service.
    pub fn record_stream_error(&self) {
        self.0.stream_errors.inc();
    }

    /// Whether the stream's service answers.
    pub fn set_stream_up(&self, up: bool) {
        self.0.stream_up.set(i64::from(up));
    }

    /// One try to load policies: `loaded` or `refused`.
    pub fn record_policy_load(&self, outcome: &str) {
        self.0.policy_loads.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// So many reads that the audit log had no room for: `outcome` is `allowed` or `denied`.
    pub fn record_reads_lost(&self, outcome: &str, count: u64) {
        self.0.reads_lost.get_or_create(&[("outcome", outcome.into())]).inc_by(count);
    }

    /// One statement that reads rows of a collection, or what their records tell.
    pub fn record_row_statement(&self) {
        self.0.row_statements.inc();
    }

    /// One event sent to a subscriber.
    pub fn record_event(&self) {
        self.0.events_sent.inc();
    }

    /// One open subscription, until the guard is dropped.
    pub fn subscription_open(&self) -> Open {
        Open::new(&self.0.subscriptions_open)
    }

    /// One open socket, until the guard is dropped.
    pub fn socket_open(&self) -> Open {
        Open::new(&self.0.sockets_open)
    }

    /// One request in work, until the guard is dropped.
    pub fn request_open(&self) -> Open {
        Open::new(&self.0.requests_open)
    }

    /// One open connection, until the guard is dropped.
    pub fn connection_open(&self) -> Open {
        Open::new(&self.0.connections_open)
    }

    /// How many subscriptions are open.
    pub fn subscriptions(&self) -> i64 {
        self.0.subscriptions_open.get()
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.0.registry).is_err() {
            text.clear();
        }
        text
    }
}

impl Inner {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Answered requests by route and code", self.requests.clone());
        r.register("request_seconds", "Time to answer by route", self.request_seconds.clone());
        r.register("requests_open", "Requests in work", self.requests_open.clone());
        r.register("connections_open", "Open connections", self.connections_open.clone());
        r.register("records_sourced", "Documents sent by sources, by outcome", self.sourced.clone());
        r.register("commits", "Commits of the store's writer", self.commits.clone());
        r.register("commit_records", "Records in one commit", self.commit_records.clone());
        r.register("records_settled", "Records settled by provisioning, by outcome", self.settled.clone());
        r.register("settle_seconds", "Time from taking in to settled", self.settle_seconds.clone());
        r.register("dead_letters", "Records parked for a person since the start", self.dead_letters.clone());
        r.register(
            "dead_letters_parked",
            "Records that wait at a plugin now, followers and those tried again included",
            self.parked.clone(),
        );
        r.register("subscriptions_open", "Open subscriptions", self.subscriptions_open.clone());
        r.register("sockets_open", "Open WebSockets", self.sockets_open.clone());
        r.register("events_sent", "Events sent to subscribers", self.events_sent.clone());
        r.register("outbox_pending", "Outbox rows to be relayed", self.outbox_pending.clone());
        r.register(
            "outbox_oldest_seconds",
            "Age of the oldest outbox row",
            self.outbox_oldest_seconds.clone(),
        );
        r.register("lag_entries", "Entries that a stage is behind", self.lag.clone());
        r.register("stream_errors", "Failed calls of the stream's service", self.stream_errors.clone());
        r.register("stream_up", "Whether the stream's service answers", self.stream_up.clone());
        r.register("policy_loads", "Tries to load policies, by outcome", self.policy_loads.clone());
        r.register(
            "reads_lost",
            "Reads that the audit log had no room for, by outcome",
            self.reads_lost.clone(),
        );
        r.register(
            "row_statements",
            "SQL statements that read rows of collections, or what their records tell",
            self.row_statements.clone(),
        );
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts one thing as open for as long as it lives.
#[derive(Debug)]
pub struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_in_the_text() {
        let metrics = Metrics::new();
        metrics.record_request("/graphql", "200", 1.5);
        metrics.record_sourced("accepted", 3);
        metrics.record_settled("done", 12.0);
        let open = metrics.subscription_open();
        let text = metrics.render();
        assert!(text.contains(r#"wellspring_requests_total{route="/graphql",code="200"} 1"#), "{text}");
        assert!(text.contains(r#"wellspring_records_sourced_total{outcome="accepted"} 3"#), "{text}");
        assert!(text.contains("wellspring_subscriptions_open 1"), "{text}");
        drop(open);
        assert_eq!(metrics.subscriptions(), 0);
    }
}
