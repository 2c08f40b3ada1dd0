//! Every kind of damage is found and named by `verify`, and a database without any is sound.

use uuid::Uuid;

use super::{Bench, drain, hide};
use crate::config::{self, Config};
use crate::provisioning::{Finding, Provisioning, Report, verify};
use crate::store::db::{Db, Dialect, Value};
use crate::store::ledger::{Letter, park};

/// One key with two revisions and one with one, all settled.
async fn settled(bench: &Bench) -> Provisioning {
    let node = bench.built_in();
    drain(&node).await;
    for uid in ["a", "b", "b"] {
        bench.document(uid, Some("{\"v\":1}")).await;
    }
    drain(&node).await;
    let report = report(bench).await;
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.records, report.settled), (3, 3));
    node
}

async fn report(bench: &Bench) -> Report {
    verify(&bench.store, &bench.config).await.unwrap()
}

fn says(findings: &[Finding], word: &str) {
    assert!(findings.iter().any(|finding| finding.what.contains(word)), "{findings:?} lack {word}");
}

fn letter(record_id: Uuid, rev: i64) -> Letter {
    Letter {
        id: 0,
        plugin_id: 1,
        partition: 0,
        key: "t~t~t~b".into(),
        rev,
        record_id,
        hook: "sourced".into(),
        code: "X".into(),
        reason: "x".into(),
        attempts: 1,
        state: "parked".into(),
        due: 0,
        history: "[]".into(),
        at: 0,
    }
}

async fn first_of_b(bench: &Bench) -> Uuid {
    let sql = "select id from record where key = 't~t~t~b' and rev = 1";
    bench.store.db.query(sql, &[]).await.unwrap()[0].uuid(0).unwrap()
}

async fn add_letter(bench: &Bench, letter: Letter) {
    let mut tx = bench.store.db.begin().await.unwrap();
    park(&mut tx, &[letter]).await.unwrap();
    tx.commit().await.unwrap();
}

fn with_mask(config: &Config) -> Config {
    let mut config = config.clone();
    config.provisioning.masks = vec![hide("/v", "null")];
    config
}

on_both_databases! {
    async fn effects_of_records_that_are_not_there(bench) {
        settled(&bench).await;
        bench.execute("delete from record where key = 't~t~t~a'", &[]).await;
        let found = report(&bench).await;
        says(&found.phantoms, "`ledger`");
        says(&found.phantoms, "`change`");
        bench.execute("delete from record where key = 't~t~t~b' and rev = 2", &[]).await;
        let found = report(&bench).await;
        says(&found.unaccounted, "2 revisions were given out, 1 records");
        assert!(!found.is_sound());
    }

    async fn outbox_rows_and_letters_of_records_that_are_not_there(bench) {
        settled(&bench).await;
        add_letter(&bench, letter(Uuid::from_u128(1), 9)).await;
        bench.document("c", Some("{}")).await;
        let other = [Uuid::from_u128(2).as_bytes().as_slice(), &[0; 4]].concat();
        bench.execute("update outbox set records = $1", &[Value::Bytes(other)]).await;
        let found = report(&bench).await;
        says(&found.phantoms, "`dead_letter`");
        says(&found.phantoms, "`outbox`");
        says(&found.unaccounted, "neither settled nor parked");
        assert!(!found.is_sound());
    }

    async fn a_revision_that_is_settled_above_a_parked_one(bench) {
        settled(&bench).await;
        add_letter(&bench, letter(first_of_b(&bench).await, 1)).await;
        let found = report(&bench).await;
        says(&found.disordered, "after 1 is settled while it waits at plugin `materialize`");
        assert!(!found.is_sound());
    }

    async fn a_revision_that_is_settled_above_a_pending_one(bench) {
        settled(&bench).await;
        let first = first_of_b(&bench).await;
        let sql = "insert into outbox (id, partition, n, records) overriding system value values (9999, 0, 1, $1)";
        let sql = match bench.store.db.dialect() {
            Dialect::Postgres => sql.to_owned(),
            Dialect::Sqlite => sql.replace("overriding system value ", ""),
        };
        let entry = [first.as_bytes().as_slice(), &[0; 4]].concat();
        bench.execute(&sql, &[Value::Bytes(entry)]).await;
        bench.execute("update record set outbox_id = 9999 where id = $1", &[Value::Uuid(first)]).await;
        let found = report(&bench).await;
        says(&found.disordered, "after 1 is settled while it waits");
        assert!(!found.is_sound());
    }

    async fn a_revision_that_no_head_has_given_out(bench) {
        settled(&bench).await;
        bench.execute("update head set rev = 1 where key = 't~t~t~b'", &[]).await;
        let found = report(&bench).await;
        says(&found.unaccounted, "has not given out its revision");
        says(&found.unaccounted, "1 revisions were given out, 2 records");
        assert!(!found.is_sound());
    }

    async fn a_claim_that_is_gone(bench) {
        let node = settled(&bench).await;
        bench.document("c", Some("{}")).await;
        node.relay_step().await.unwrap();
        let found = report(&bench).await;
        assert!(found.is_sound() && found.pending == 1, "{found:?}");
        bench.execute("delete from outbox", &[]).await;
        let found = report(&bench).await;
        says(&found.unaccounted, "1 records are claimed and not settled, the outbox has 0");
        says(&found.unaccounted, "neither settled nor parked");
    }

    async fn a_claim_that_is_settled_and_still_there(bench) {
        let node = settled(&bench).await;
        bench.document("c", Some("{}")).await;
        node.relay_step().await.unwrap();
        bench.execute("update partition set settled = pseq", &[]).await;
        let found = report(&bench).await;
        says(&found.unaccounted, "and 1 outside its range");
        assert!(!found.is_sound());
    }

    async fn a_plugin_that_the_configuration_lacks(bench) {
        let mut bench = bench;
        let without = bench.config.clone();
        bench.config = with_mask(&without);
        settled_with_copies(&bench).await;
        let found = verify(&bench.store, &without).await.unwrap();
        let [hide] = &found.unchecked[..] else { panic!("{found:?}") };
        assert_eq!((hide.plugin.as_str(), hide.state.as_str(), hide.records), ("hide", "enabled", 2));
        assert!(!found.is_sound(), "nobody can tell");
        bench.advance(120_000_000);
        bench.store.disable("hide", "disabled").await.unwrap();
        let found = verify(&bench.store, &without).await.unwrap();
        assert_eq!(found.unchecked[0].state, "disabled");
        assert!(found.is_sound(), "it was ended, which is told: {found:?}");
    }
}

#[tokio::test]
async fn a_page_of_records_is_bounded_in_bytes() {
    let bench = Bench::new(1).await;
    for uid in ["a", "b", "c"] {
        bench.document(uid, Some("{\"v\":\"0123456789\"}")).await;
    }
    for (bytes_max, count) in [(1, 1), (35, 1), (36, 2), (1_000, 3)] {
        let page = bench.store.record_ids(Uuid::nil(), 10, bytes_max).await.unwrap();
        assert_eq!(page.len(), count, "{bytes_max}");
    }
}

async fn settled_with_copies(bench: &Bench) {
    let node = bench.built_in();
    drain(&node).await;
    bench.document("a", Some("{\"v\":1}")).await;
    drain(&node).await;
    let report = report(bench).await;
    assert!(report.is_sound() && report.unchecked.is_empty(), "{report:?}");
    assert_eq!(report.records, 2);
}

#[tokio::test]
async fn rows_of_the_outbox_are_those_of_before_on_postgres() {
    let Some(url) = super::postgres() else {
        println!("skipped: PostgreSQL is not installed");
        return;
    };
    let open = async |url: String| {
        Db::open(&config::Store { database_url: Some(url), ..Default::default() }).await.unwrap()
    };
    let mut tx = open(url.clone()).await.begin().await.unwrap();
    tx.execute("create schema outbox_before", &[]).await.unwrap();
    tx.commit().await.unwrap();
    let db = open(format!("{url}&options=-c%20search_path%3Doutbox_before")).await;
    crate::store::rows_of_the_outbox_are_those_of_before(db).await;
}
