//! Queue and writer on SQLite; the service as a whole stands in the integration tests.
#![expect(clippy::unwrap_used, reason = "tests")]

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::*;
use crate::record::Signer;

async fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let config = config::Store { data: dir.path().into(), ..Default::default() };
    let store = Store::open(&config, Signer::new(b"key"), Clock::system()).await.unwrap();
    (dir, store)
}

fn queue(config: &config::Sourcing) -> (Queue, Vec<mpsc::UnboundedReceiver<queue::Job>>) {
    Queue::new(config, 1, Duration::from_secs(5))
}

fn draft(uid: &str, body: &str) -> Draft {
    Draft {
        id: Uuid::now_v7(),
        source: Source::new("order", "clothing", "shop").unwrap(),
        source_uid: uid.into(),
        author: "ada".into(),
        idempotency_key: None,
        if_revision: None,
        content_type: "application/json".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        payload_hash: Sha256::digest(body.as_bytes()).into(),
        occurred_at: None,
        ingested_at: 1,
        structure: None,
        deleted: false,
        causation_id: None,
        hops: 0,
        envelope: Envelope::default(),
    }
}

#[tokio::test]
async fn what_waits_together_is_committed_together_and_answered_after_it() {
    let (_dir, store) = open().await;
    let config = config::Sourcing::default();
    let (queue, lanes) = queue(&config);
    let answers: Vec<_> = (0..100).map(|n| queue.send(draft(&(n % 10).to_string(), "{}")).unwrap()).collect();
    let metrics = crate::telemetry::Metrics::new();
    drop(queue);
    let writer = Writer::new(store.clone(), lanes, &config).with_metrics(metrics.clone());
    tokio::spawn(writer.run()).await.unwrap();
    for (n, answer) in (0..).zip(answers) {
        let receipt = one(answer).await.unwrap();
        assert_eq!(receipt.revision, n / 10 + 1);
        assert_eq!(store.records(&[receipt.id]).await.unwrap().len(), 1);
    }
    assert!(metrics.render().contains("wellspring_commits_total 1\n"), "{}", metrics.render());
}

#[tokio::test]
async fn a_full_queue_refuses_one_and_lets_many_wait() {
    let (_dir, store) = open().await;
    let config = config::Sourcing { queue_max: 2, ..Default::default() };
    let (queue, lanes) = queue(&config);
    let first = queue.send(draft("a", "{}")).unwrap();
    let second = queue.send(draft("b", "{}")).unwrap();
    let refused = queue.send(draft("c", "{}")).err().unwrap();
    assert_eq!(refused.code(), Code::Backpressure);
    assert!(refused.retry_after().is_some());
    let bulk = queue.send_many(0, vec![draft("d", "{}"), draft("e", "{}")]).await.unwrap();
    let writer = Writer::new(store, lanes, &config);
    let work = async {
        let waits = queue.send_many(0, vec![draft("f", "{}")]).await.unwrap();
        assert_eq!(waits.await.unwrap().len(), 1);
        assert!(one(first).await.is_ok() && one(second).await.is_ok());
        assert_eq!(bulk.await.unwrap().len(), 2);
        assert!(one(queue.send(draft("c", "{}")).unwrap()).await.is_ok());
        drop(queue);
    };
    tokio::join!(writer.run(), work);
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let config = config::Sourcing { queue_bytes_max: 4096, record_bytes_max: 4096, ..Default::default() };
    let (queue, _lanes) = queue(&config);
    let large = "x".repeat(3_000);
    let _kept = queue.send(draft("a", &large)).unwrap();
    assert_eq!(queue.send(draft("b", &large)).err().unwrap().code(), Code::Backpressure);
}

#[tokio::test]
async fn one_record_that_cannot_be_stored_fails_alone() {
    let (_dir, store) = open().await;
    let mut tx = store.db.begin().await.unwrap();
    let refuse = "create trigger bad before insert on record when new.source_uid = '13' \
                  begin select raise(abort, 'refused'); end";
    tx.execute(refuse, &[]).await.unwrap();
    tx.commit().await.unwrap();
    let config = config::Sourcing::default();
    let (queue, lanes) = queue(&config);
    let drafts = (0..50).map(|n| draft(&n.to_string(), "{}")).collect();
    let answer = queue.send_many(0, drafts).await.unwrap();
    drop(queue);
    Writer::new(store.clone(), lanes, &config).run().await;
    for (n, receipt) in (0..).zip(answer.await.unwrap()) {
        assert_eq!(receipt.as_ref().err().map(Error::code), (n == 13).then_some(Code::Internal));
    }
    let rows = store.db.query("select sum(n) from outbox", &[]).await.unwrap();
    assert_eq!(rows.first().unwrap().i64(0).unwrap(), 49);
}

#[tokio::test]
async fn whoever_waits_for_a_writer_that_is_gone_is_told() {
    let (queue, lanes) = queue(&config::Sourcing::default());
    let waits = queue.send(draft("a", "{}")).unwrap();
    drop(lanes);
    assert_eq!(one(waits).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(queue.send(draft("a", "{}")).err().unwrap().code(), Code::Unavailable);
}
