//! What the log over the outbox must do of the trait's promises: everything but appending and consumers, since what
//! the relay has claimed is in it already, and each node reads all of it.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;
use wellspring::config::Config;
use wellspring::policy::Engine;
use wellspring::provisioning::Provisioning;
use wellspring::record::{Actor, Envelope, Signer, Source};
use wellspring::sourcing::{Input, Sourcing};
use wellspring::store::Store;
use wellspring::stream::{Append, Delivery, Log, Stream};
use wellspring::telemetry::Clock;

use crate::support::{fresh_database, on_backends, soon};

/// A database whose outbox fills at will.
struct Outbox {
    store: Store,
    sourcing: Sourcing,
    relay: Provisioning,
    _writer: tokio::task::JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Outbox {
    async fn on(backend: crate::support::Backend) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.data = directory.path().into();
        config.store.partitions = 1;
        if backend != crate::support::Backend::Embedded {
            config.store.database_url = Some(fresh_database().await);
            config.store.connections_max = 8;
        }
        let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        let policy = std::sync::Arc::new(Engine::load(&config.policy, directory.path()).unwrap());
        let (sourcing, writer) = Sourcing::new(store.clone(), policy.clone(), &config, Clock::system());
        let relay = Provisioning::new(store.clone(), policy, &config, Clock::system()).unwrap();
        let _writer = tokio::spawn(writer.run());
        Outbox { store, sourcing, relay, _writer, _directory: directory }
    }

    /// So many records more, not claimed.
    async fn fill(&self, count: u32) {
        let input = |n: u32| Input {
            source: Source::new("load", "test", "it").unwrap(),
            source_uid: Some(n.to_string()),
            body: "{}".into(),
            content_type: "application/json".into(),
            idempotency_key: None,
            if_revision: None,
            occurred_at: None,
            envelope: Envelope::default(),
        };
        let actor = Actor {
            subject: "root".into(),
            roles: vec!["admin".into()],
            claims: Default::default(),
            contract: None,
            key: None,
        };
        for receipt in self.sourcing.source_many(&actor, (0..count).map(input).collect()).await {
            receipt.unwrap();
        }
    }

    /// So many records more, claimed.
    async fn claim(&self, count: u32) {
        self.fill(count).await;
        self.relay.relay_step().await.unwrap();
    }
}

fn numbers(deliveries: &[Delivery]) -> Vec<i64> {
    assert!(deliveries.iter().all(|delivery| delivery.partition == 0));
    deliveries.iter().map(|delivery| delivery.entry.pseq).collect()
}

const NOW: Duration = Duration::ZERO;

on_backends! { [embedded Embedded, postgres Postgres]
    async fn what_is_claimed_is_read_once_in_order_and_then_acknowledged(backend) {
        let outbox = Outbox::on(backend).await;
        let log = Log::new(outbox.store.clone());
        assert!(!log.wants_append());
        assert_eq!(log.append(0, &[], Some(7)).await.unwrap(), Append::Done, "there is nothing to append");
        assert_eq!(log.last(0).await.unwrap(), Some(0));
        assert_eq!(log.last(9).await.unwrap(), None, "there is no such partition");
        outbox.fill(5).await;
        assert_eq!(log.read(&[0], 10, NOW).await.unwrap(), [], "what is not claimed has no order yet");
        outbox.relay.relay_step().await.unwrap();
        assert_eq!(log.last(0).await.unwrap(), Some(5));

        let first = log.read(&[0], 3, NOW).await.unwrap();
        assert_eq!(numbers(&first), [1, 2, 3]);
        let rest = log.read(&[0], 10, NOW).await.unwrap();
        assert_eq!(numbers(&rest), [4, 5]);
        let entries = || first.iter().chain(&rest).map(|delivery| &delivery.entry);
        assert!(entries().all(|entry| entry.hook == "sourced"));
        let ids: BTreeSet<Uuid> = entries().map(|entry| entry.record_id).collect();
        let records = outbox.store.records(&ids.into_iter().collect::<Vec<_>>()).await.unwrap();
        let uids: BTreeSet<String> = records.into_iter().map(|record| record.draft.source_uid).collect();
        assert_eq!(uids, (0..5).map(|n| n.to_string()).collect(), "each entry names its record");
        assert_eq!(log.read(&[0], 10, NOW).await.unwrap(), []);
        assert_eq!(log.read(&[], 10, NOW).await.unwrap(), []);

        assert_eq!(numbers(&log.reclaim(0, NOW, 2).await.unwrap()), [1, 2], "read and not settled");
        log.acknowledge(0, &[1, 2, 3, 4, 5], 5).await.unwrap();
        outbox.claim(1).await;
        assert_eq!(numbers(&log.read(&[0], 10, NOW).await.unwrap()), [6]);
        log.health().await.unwrap();
    }
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn another_node_and_one_that_lost_its_place_read_all_that_is_not_settled(backend) {
        let outbox = Outbox::on(backend).await;
        let (log, other) = (Log::new(outbox.store.clone()), Log::new(outbox.store.clone()));
        outbox.claim(4).await;
        assert_eq!(numbers(&log.read(&[0], 10, NOW).await.unwrap()), [1, 2, 3, 4]);
        assert_eq!(other.reclaim(0, NOW, 10).await.unwrap(), [], "it has read nothing");
        assert_eq!(numbers(&other.read(&[0], 10, NOW).await.unwrap()), [1, 2, 3, 4]);
        log.discard(0).await.unwrap();
        assert_eq!(numbers(&log.read(&[0], 10, NOW).await.unwrap()), [1, 2, 3, 4]);
        // An acknowledgement says how far everything is settled, by whomever: what is behind it is not read again.
        let late = Log::new(outbox.store.clone());
        late.acknowledge(0, &[], 3).await.unwrap();
        assert_eq!(numbers(&late.read(&[0], 10, NOW).await.unwrap()), [4]);
    }
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn a_waiting_read_wakes_at_a_claim(backend) {
        let outbox = Outbox::on(backend).await;
        let log = Log::new(outbox.store.clone());
        let waiting = async { log.read(&[0], 10, Duration::from_secs(600)).await.unwrap() };
        let (read, ()) = soon("the claim wakes the read", async {
            tokio::join!(waiting, outbox.claim(2))
        })
        .await;
        assert_eq!(numbers(&read), [1, 2]);
    }
}
