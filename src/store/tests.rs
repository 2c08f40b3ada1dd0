//! Opening a store, on SQLite.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

pub(super) async fn open(data: &std::path::Path) -> Result<Store> {
    let config = config::Store { data: data.into(), ..Default::default() };
    Store::open(&config, Signer::new(b"key"), Clock::system()).await
}

#[tokio::test]
async fn a_database_is_made_once_and_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    assert_eq!(store.partitions(), 1);
    store.ping().await.unwrap();
    drop(store);
    let config = config::Store { data: dir.path().into(), partitions: 4, ..Default::default() };
    let store = Store::open(&config, Signer::new(b"key"), Clock::system()).await.unwrap();
    assert_eq!(store.partitions(), 1, "the number of partitions never changes");
    let seen = Store::open_read_only(&config, Signer::new(b"key"), Clock::system()).await.unwrap();
    assert_eq!(seen.partitions(), 1);
}

#[tokio::test]
async fn a_node_with_another_key_is_refused_with_both_fingerprints() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).await.unwrap());
    let config = config::Store { data: dir.path().into(), ..Default::default() };
    let refused = Store::open(&config, Signer::new(b"other"), Clock::system()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Conflict);
    for key in [b"key".as_slice(), b"other"] {
        assert!(refused.message().contains(&Signer::new(key).fingerprint()), "{refused}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    let mut tx = store.db.begin().await.unwrap();
    tx.execute("insert into seaql_migrations (version, applied_at) values ('m9999_later', 0)", &[])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    drop(store);
    let refused = open(dir.path()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Conflict);
    assert!(refused.message().contains("m9999_later"), "{refused}");
}
