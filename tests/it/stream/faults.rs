//! Two nodes on one database and one Redis, records streaming in, and Redis flushed, rolled back and stopped
//! meanwhile: in the end everything accepted is settled by every plugin, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use wellspring::config::Config;
use wellspring::policy;
use wellspring::provisioning::{Provisioning, Report, verify};
use wellspring::record::{Actor, Envelope, Signer, Source};
use wellspring::sourcing::{Input, Sourcing};
use wellspring::store::Store;
use wellspring::store::ledger::Role;
use wellspring::telemetry::Clock;

use super::cli;
use crate::support::servers;

/// One node: a store with its background work, a relay and a worker.
struct Node {
    store: Store,
    config: Config,
    sourcing: Sourcing,
    stop: CancellationToken,
    running: tokio::task::JoinSet<()>,
}

impl Node {
    async fn start(config: &Config) -> Self {
        let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        let config = config.clone();
        let engine = Arc::new(policy::Engine::load(&config.policy, &config.store.data).unwrap());
        let (sourcing, writer) = Sourcing::new(store.clone(), Arc::clone(&engine), &config, Clock::system());
        let service = Provisioning::new(store.clone(), engine, &config, Clock::system()).unwrap();
        service.prepare().await.unwrap();
        let (stop, mut running) = (CancellationToken::new(), tokio::task::JoinSet::new());
        for work in store.background(&stop) {
            running.spawn(work);
        }
        running.spawn(writer.run());
        running.spawn(service.clone().run_relay(stop.clone()));
        running.spawn(service.run_worker(stop.clone()));
        Node { store, config, sourcing, stop, running }
    }

    /// Accepts so many records of a few keys.
    async fn source(&self, round: u32, count: u32) {
        let input = |n: u32| Input {
            source: Source::new("load", "test", "it").unwrap(),
            source_uid: Some(format!("{}", n % 9)),
            body: format!("{{\"round\":{round},\"n\":{n}}}").into(),
            content_type: "application/json".into(),
            idempotency_key: None,
            if_revision: None,
            occurred_at: None,
            envelope: Envelope::default(),
        };
        let claims = serde_json::Map::new();
        let actor = Actor { subject: "root".into(), roles: vec!["admin".into()], claims };
        for receipt in self.sourcing.source_many(&actor, (0..count).map(input).collect()).await {
            receipt.unwrap();
        }
    }

    /// Waits until nothing is pending.
    async fn settled(&self, records: u64) -> Report {
        let begun = Instant::now();
        loop {
            let report = verify(&self.store, &self.config).await.unwrap();
            if report.settled == records || begun.elapsed() > Duration::from_secs(60) {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// How many partitions each node's worker has, once two nodes have some.
    async fn shares(&self) -> Vec<usize> {
        let begun = Instant::now();
        loop {
            let all = self.store.partition_states(Role::Worker, 0).await.unwrap();
            let mut shares = BTreeMap::new();
            for owner in all.into_iter().filter_map(|partition| partition.owner) {
                *shares.entry(owner).or_insert(0) += 1;
            }
            let shares: Vec<usize> = shares.into_values().collect();
            if shares == [4, 4] || begun.elapsed() > Duration::from_secs(20) {
                return shares;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn end(mut self) {
        self.stop.cancel();
        drop(self.sourcing);
        while self.running.join_next().await.is_some() {}
    }
}

/// Faults of Redis between rounds of records; returns how many were accepted.
async fn misuse(nodes: &[&Node], redis: &mut servers::Redis) -> u64 {
    let mut accepted = 0;
    let mut copy = Vec::new();
    for round in 0..24 {
        let node = nodes[usize::try_from(round).unwrap() % nodes.len()];
        node.source(round, 50).await;
        accepted += 50;
        match round % 8 {
            1 => drop(cli(&redis.url(), &["FLUSHALL"])),
            2 => copy = snapshot(redis),
            4 => restore(redis, &copy),
            5 => redis.stop(),
            6 => redis.start_again(),
            _ => tokio::task::yield_now().await,
        }
    }
    accepted
}

/// The server's streams as they are now.
fn snapshot(redis: &servers::Redis) -> Vec<String> {
    let keys = String::from_utf8(cli(&redis.url(), &["KEYS", "ws:*"])).unwrap();
    keys.lines().map(str::to_owned).filter(|key| !key.is_empty()).inspect(|key| copy(redis, key)).collect()
}

fn copy(redis: &servers::Redis, key: &str) {
    cli(&redis.url(), &["COPY", key, &format!("copy:{key}"), "REPLACE"]);
}

/// Puts older states back, as a failover to a replica that lags would.
fn restore(redis: &servers::Redis, keys: &[String]) {
    for key in keys {
        cli(&redis.url(), &["COPY", &format!("copy:{key}"), key, "REPLACE"]);
    }
}

fn config(data: &std::path::Path, redis: &servers::Redis) -> Config {
    let mut config = Config::default();
    config.store.data = data.to_owned();
    config.stream.redis_url = Some(redis.url());
    config.stream.poll_ms = 100;
    config.stream.backoff_max_ms = 100;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_embedded_node_goes_through_every_fault_of_redis() {
    let Some(mut redis) = servers::Redis::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(&config(dir.path(), &redis)).await;
    let accepted = misuse(&[&node], &mut redis).await;
    let report = node.settled(accepted).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.settled, report.pending, report.parked), (accepted, 0, 0));
    node.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_postgres_go_through_every_fault_of_redis() {
    let (Some(mut redis), Some(postgres)) = (servers::Redis::start(), servers::Postgres::start()) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), &redis);
    config.store.database_url = Some(postgres.url("postgres"));
    config.stream.lease_ms = 1_000;
    let first = Node::start(&config).await;
    let second = Node::start(&config).await;
    assert_eq!(first.shares().await, [4, 4], "nodes share the partitions");
    let accepted = misuse(&[&first, &second], &mut redis).await;
    // One node goes away; the other takes its partitions over.
    first.end().await;
    second.source(99, 50).await;
    let report = second.settled(accepted + 50).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.settled, report.pending, report.parked), (accepted + 50, 0, 0));
    second.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_alone_carries_records_over_its_outbox() {
    let Some(postgres) = servers::Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.store.data = dir.path().to_owned();
    config.store.database_url = Some(postgres.url("postgres"));
    let node = Node::start(&config).await;
    for round in 0..4 {
        node.source(round, 100).await;
    }
    let report = node.settled(400).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.settled, report.pending, report.parked), (400, 0, 0));
    node.end().await;
}
