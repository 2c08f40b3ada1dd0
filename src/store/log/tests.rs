//! The log on SQLite; the integration tests ask PostgreSQL the same.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::*;
use crate::error::{Code, Result};
use crate::record::{Draft, Envelope, Receipt, ReceiptStatus};
use crate::store::Store;
use crate::store::db::Value;
use crate::store::ledger::{Role, Stretch, advance};
use crate::store::outbox;

async fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = crate::store::tests::open(dir.path()).await.unwrap();
    (dir, store)
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
        ingested_at: 17,
        structure: Some((5, "tree".into())),
        deleted: false,
        causation_id: None,
        hops: 0,
        envelope: Envelope { tags: vec!["t".into()], ..Envelope::default() },
    }
}

async fn append(store: &Store, drafts: &[Draft]) -> Vec<Result<Receipt>> {
    let mut tx = store.db.begin().await.unwrap();
    let appended = store.append(&mut tx, drafts).await.unwrap();
    tx.commit().await.unwrap();
    store.appended(&appended);
    appended.receipts
}

async fn count(store: &Store, what: &str) -> i64 {
    let rows = store.db.query(&format!("select count(*) from {what}"), &[]).await.unwrap();
    rows.first().unwrap().i64(0).unwrap()
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_taken_in() {
    let (_dir, store) = open().await;
    let mut sent = draft("7", r#"{"a":1.0}"#);
    sent.occurred_at = Some(-5);
    sent.idempotency_key = Some("once".into());
    let receipt = append(&store, std::slice::from_ref(&sent)).await.remove(0).unwrap();
    assert_eq!(receipt.revision, 1);
    assert!(!receipt.duplicate);
    let found = store.records(&[Uuid::nil(), sent.id]).await.unwrap().remove(0);
    assert_eq!(format!("{:?}", found.draft), format!("{sent:?}"));
    assert_eq!((found.key.as_str(), found.revision), ("order~clothing~shop~7", 1));
    assert_eq!(store.latest(&found.key).await.unwrap().unwrap().draft.id, sent.id);
    assert_eq!(store.recent(Some(&sent.source), 5, None).await.unwrap().len(), 1);
    assert!(store.recent(Some(&sent.source), 5, Some(sent.id)).await.unwrap().is_empty());
    assert_eq!(store.sources().await.unwrap(), [sent.source]);
}

const LONG: &str = r#"{"number":"O-1","status":"open","customer":{"name":"Ann","city":"Lisboa"},"total":5}"#;
const TREE: &str =
    r#"[128,0,0,0,0,{"customer":[128,{"city":[64],"name":[64]}],"number":[64],"status":[64]}]"#;

/// How long the document of each record is as it is kept, and as it is told.
async fn lengths(store: &Store) -> Vec<(i64, Option<i64>, i64)> {
    let sql = format!("select octet_length(r.body), r.body_bytes, {BODY_BYTES} from record r order by r.id");
    let rows = store.db.query(&sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.i64(0).unwrap(), row.opt_i64(1).unwrap(), row.i64(2).unwrap())).collect()
}

#[tokio::test]
async fn documents_are_kept_shorter_and_come_back_as_they_were() {
    let (dir, store) = open().await;
    let shaped = |uid: &str, tree: &str, fingerprint| Draft {
        structure: Some((fingerprint, tree.into())),
        ..draft(uid, LONG)
    };
    let none = Draft { structure: None, ..draft("0", LONG) };
    let drafts = [none, shaped("a", TREE, 6), shaped("b", TREE, 6)];
    append(&store, &drafts).await;
    // Another structure that has the fingerprint of the first.
    append(&store, &[shaped("d", "[128]", 6), shaped("e", TREE, 6)]).await;
    let long = i64::try_from(LONG.len()).unwrap();
    let kept = lengths(&store).await;
    assert!(kept.iter().all(|(_, _, told)| *told == long), "{kept:?}");
    let packed = |at: usize| kept[at].1.is_some() && kept[at].0 * 5 < long * 4;
    assert_eq!([1, 2, 3, 4].map(packed), [true, true, false, true], "{kept:?}");
    // As they were kept before.
    let mut tx = store.db.begin().await.unwrap();
    let params = [drafts[1].id.into(), Value::Bytes(LONG.into())];
    tx.execute("update record set body = $2, body_bytes = null where id = $1", &params).await.unwrap();
    tx.commit().await.unwrap();
    drop(store);
    let store = crate::store::tests::open(dir.path()).await.unwrap();
    let ids: Vec<Uuid> = drafts.iter().map(|draft| draft.id).collect();
    let found = store.records(&ids).await.unwrap();
    assert_eq!(found.len(), 3);
    for record in found {
        assert_eq!(record.draft.body, LONG);
        assert_eq!(store.latest(&record.key).await.unwrap().unwrap().draft.body, LONG);
    }
    // A node that has not seen the structure packs with what the database has.
    append(&store, &[shaped("f", "[128]", 6), shaped("g", TREE, 6)]).await;
    let fresh: Vec<bool> = lengths(&store).await.iter().skip(5).map(|(_, told, _)| told.is_some()).collect();
    assert_eq!(fresh, [false, true]);
}

#[tokio::test]
async fn revisions_of_a_key_are_dense_within_and_across_batches() {
    let (_dir, store) = open().await;
    let revisions = |receipts: Vec<Result<Receipt>>| -> Vec<i64> {
        receipts.into_iter().map(|receipt| receipt.unwrap().revision).collect()
    };
    let first = append(&store, &[draft("b", "1"), draft("a", "1"), draft("b", "2")]).await;
    assert_eq!(revisions(first), [1, 1, 2]);
    assert_eq!(revisions(append(&store, &[draft("b", "3"), draft("b", "3")]).await), [3, 4]);
    let rows = store.db.query("select records from outbox order by id", &[]).await.unwrap();
    let entries = rows.iter().flat_map(|row| outbox::entries(row.bytes(0).unwrap()).unwrap());
    let ids: Vec<Uuid> = entries.map(|(id, _)| id).collect();
    let records = store.records(&ids).await.unwrap();
    let of_b = records.iter().filter(|record| record.draft.source_uid == "b");
    assert_eq!(of_b.map(|record| record.revision).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let heads = store.db.query("select key, rev from head", &[]).await.unwrap();
    let heads: Vec<_> = heads.iter().map(|row| (row.text(0).unwrap(), row.i64(1).unwrap())).collect();
    assert_eq!(heads, [("order~clothing~shop~b", 4)], "a key of one revision has none");
    assert_eq!(append(&store, &[draft("a", "2")]).await.remove(0).unwrap().revision, 2);
}

#[tokio::test]
async fn a_repeated_request_is_the_same_record_and_another_body_is_refused() {
    let (_dir, store) = open().await;
    let with_key = |body| Draft { idempotency_key: Some("k".into()), ..draft("a", body) };
    let receipts = append(&store, &[with_key("1"), with_key("1"), with_key("2"), draft("a", "3")]).await;
    let first = receipts.first().unwrap().as_ref().unwrap().clone();
    let again = receipts.get(1).unwrap().as_ref().unwrap();
    assert_eq!(again, &Receipt { duplicate: true, ..first.clone() });
    assert_eq!(receipts.get(2).unwrap().as_ref().unwrap_err().code(), Code::Conflict);
    assert_eq!(receipts.get(3).unwrap().as_ref().unwrap().revision, 2);

    let later = append(&store, &[with_key("1"), with_key("9")]).await;
    assert_eq!(later.first().unwrap().as_ref().unwrap().id, first.id);
    assert_eq!(later.get(1).unwrap().as_ref().unwrap_err().code(), Code::Conflict);
    assert_eq!(count(&store, "record").await, 2);
    let other = Draft { author: "bob".into(), ..with_key("9") };
    assert_eq!(append(&store, &[other]).await.remove(0).unwrap().revision, 3);
}

#[tokio::test]
async fn a_revision_that_was_not_met_refuses_and_leaves_no_gap() {
    let (_dir, store) = open().await;
    let at = |revision| Draft { if_revision: Some(revision), ..draft("a", "1") };
    assert_eq!(append(&store, &[at(3)]).await.remove(0).unwrap_err().code(), Code::Conflict);
    assert_eq!(count(&store, "head").await, 0);
    let receipts = append(&store, &[at(0), at(0), at(1)]).await;
    let codes: Vec<_> =
        receipts.iter().map(|r| r.as_ref().map(|r| r.revision).map_err(|e| e.code())).collect();
    assert_eq!(codes, [Ok(1), Err(Code::Conflict), Ok(2)]);
    assert_eq!(append(&store, &[at(2)]).await.remove(0).unwrap().revision, 3);
}

#[tokio::test]
async fn a_derived_record_is_written_once() {
    let (_dir, store) = open().await;
    let derived = Draft { causation_id: Some(Uuid::nil()), id: Uuid::from_u128(77), ..draft("a", "1") };
    let receipts = append(&store, &[derived.clone(), derived.clone()]).await;
    assert!(receipts.get(1).unwrap().as_ref().unwrap().duplicate);
    assert!(append(&store, &[derived]).await.remove(0).unwrap().duplicate);
    assert_eq!(count(&store, "record").await, 1);
}

#[tokio::test]
async fn a_key_that_cannot_be_made_fails_alone() {
    let (_dir, store) = open().await;
    let receipts = append(&store, &[draft("", "1"), draft("a", "1")]).await;
    assert_eq!(receipts.first().unwrap().as_ref().unwrap_err().code(), Code::BadRequest);
    assert_eq!(receipts.get(1).unwrap().as_ref().unwrap().revision, 1);
}

#[tokio::test]
async fn a_rolled_back_source_is_not_taken_for_known() {
    let (_dir, store) = open().await;
    let mut tx = store.db.begin().await.unwrap();
    store.append(&mut tx, &[draft("a", "1")]).await.unwrap();
    drop(tx);
    assert_eq!(count(&store, "source").await, 0);
    append(&store, &[draft("a", "1")]).await.remove(0).unwrap();
    assert_eq!((count(&store, "source").await, count(&store, "structure").await), (1, 1));
}

#[tokio::test]
async fn a_records_way_follows_its_outbox_row() {
    let (_dir, store) = open().await;
    let drafts = [draft("c", "1"), draft("b", "1"), draft("a", "1")];
    append(&store, &drafts[..2]).await;
    let fence = store.take(Role::Relay, &[0], "me", 1_000, true, 0).await.unwrap().remove(0).1;
    assert_eq!(store.claim(0, fence, 0, 1).await.unwrap(), Some(2), "a row is claimed whole");
    append(&store, &drafts[2..]).await;
    assert_eq!(store.backlog().await.unwrap(), 3);
    let fence = store.take(Role::Worker, &[0], "me", 1_000, true, 0).await.unwrap().remove(0).1;
    let mut tx = store.db.begin().await.unwrap();
    // It is settled in part.
    assert!(advance(&mut tx, &[Stretch { p: 0, fence, above: 0, upto: 1 }]).await.unwrap());
    tx.commit().await.unwrap();
    let left = store.claimed(0, 1, 9, 9).await.unwrap();
    assert_eq!(left.iter().map(|one| (one.pseq, one.record_id)).collect::<Vec<_>>(), [(2, drafts[1].id)]);
    assert_eq!(store.backlog().await.unwrap(), 2);
    let expected = [ReceiptStatus::Provisioned, ReceiptStatus::Published, ReceiptStatus::Accepted];
    for (draft, expected) in drafts.iter().zip(expected) {
        let way = store.way(draft.id).await.unwrap().unwrap();
        assert_eq!((way.status, way.ingested_at, way.author.as_str()), (expected, 17, "ada"));
    }
    assert!(store.way(Uuid::nil()).await.unwrap().is_none());
}
