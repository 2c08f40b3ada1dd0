//! Two nodes on one database, one of which has not heard yet what the other has published.

use std::sync::Arc;

use serde_json::json;

use super::{World, effect, effect_of, field, with_roles, worlds};
use crate::publishing::Root;
use crate::record::Signer;
use crate::store::Store;
use crate::store::ledger::{Role, hold};
use crate::store::rows::RowEffect;
use crate::telemetry::Clock;

async fn apply(store: &Store, effect: RowEffect) {
    let mut tx = store.db.begin().await.unwrap();
    let applied = store.apply(&mut tx, &[effect]).await.unwrap();
    applied.announce(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    store.committed(&applied).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_writes_a_field_that_another_has_just_published() {
    for world in worlds("nodes").await {
        let World { store, config, .. } = &world;
        // SQLite has one node.
        if config.store.database_url.is_none() {
            continue;
        }
        apply(store, effect("web", "1", 1, Some(&json!({"n": 1})))).await;
        let other = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        apply(store, effect("web", "2", 1, Some(&json!({"n": 1, "late": 2})))).await;
        // Its structure is new, but nothing of it is to be published.
        apply(&other, effect("web", "3", 1, Some(&json!({"n": 1, "late": 3, "none": null})))).await;
        apply(&other, effect("web", "4", 1, Some(&json!({"n": 1, "late": 4, "none": null})))).await;
        let fields = vec![field("nodes", json!({}), vec![field("late", json!({}), vec![])])];
        let asked = field("shopOrder", json!({}), fields);
        let rows = world.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap();
        let late = [json!(null), json!(2), json!(3), json!(4)].map(|late| json!({"late": late}));
        assert_eq!(rows, json!({"nodes": late}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_has_let_go_is_written_and_what_is_held_back_locks_nothing() {
    for world in worlds("held").await {
        let World { store, config, publishing, .. } = &world;
        // SQLite has one node.
        if config.store.database_url.is_none() {
            continue;
        }
        let admin = with_roles(&["admin"]);
        apply(store, effect("web", "1", 1, Some(&json!({"n": 1})))).await;
        publishing.set_mode(&admin, "shopOrder", "", Some(crate::config::Mode::Review)).await.unwrap();
        let other = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        let late = |n: i64| effect("web", &n.to_string(), 1, Some(&json!({"n": 1, "late": n})));
        apply(&other, late(2)).await;
        let mut tx = store.db.begin().await.unwrap();
        tx.query("select id from collection for update", &[]).await.unwrap();
        apply(&other, late(3)).await;
        tx.commit().await.unwrap();
        publishing.accept_fields(&admin, "shopOrder", &["/late".to_owned()].into()).await.unwrap();
        // It has heard of nothing.
        assert_eq!(other.catalog.load().collections["shopOrder"].shape.version, 2);
        apply(&other, late(4)).await;
        let fields = vec![field("nodes", json!({}), vec![field("late", json!({}), vec![])])];
        let rows = world.ask(&admin, Root::List, &field("shopOrder", json!({}), fields)).await.unwrap();
        let late = [json!(null), json!(null), json!(null), json!(4)].map(|late| json!({"late": late}));
        assert_eq!(rows, json!({"nodes": late}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalog_takes_what_has_changed_and_shares_the_rest() {
    for world in worlds("sharing").await {
        let store = &world.store;
        for kind in ["order", "coat", "shoe"] {
            apply(store, effect_of(kind, "web", "1", 1, Some(&json!({"n": 1})))).await;
        }
        let before = store.catalog.load();
        apply(store, effect_of("coat", "web", "2", 1, Some(&json!({"n": 1, "late": 2})))).await;
        let after = store.catalog.load();
        let same = ["shopOrder", "shopCoat", "shopShoe"]
            .map(|name| Arc::ptr_eq(&before.collections[name], &after.collections[name]));
        assert_eq!((same, after.version - before.version), ([true, false, true], 1));
        for collection in after.collections.values() {
            assert_eq!(after.by_id(collection.id), Some(collection));
            assert_eq!(after.fed_by("shop", &collection.subcategory), Some(collection));
        }
        assert!(after.fed_by("shop", "hat").is_none() && after.by_id(i64::MAX).is_none());
        // What no event tells of is found by a look at all.
        let mut tx = store.db.begin().await.unwrap();
        let id = after.collections["shopShoe"].id;
        tx.execute("update collection set generation = 7 where id = $1", &[id.into()]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.catalog.refresh().await.unwrap().by_id(id).unwrap().generation, 1);
        assert_eq!(store.catalog.reconcile().await.unwrap().by_id(id).unwrap().generation, 7);
        assert_eq!(store.catalog.load().version, after.version + 1);
    }
}

/// Waits until a question to the database has an answer.
pub(super) async fn until(store: &Store, question: &str) {
    while store.db.query(question, &[]).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_written_anew_in_peace() {
    for world in worlds("rewriting").await {
        let store = &world.store;
        // SQLite writes nothing anew.
        if world.config.store.database_url.is_none() {
            continue;
        }
        apply(store, effect("web", "1", 1, Some(&json!({"n": 1})))).await;
        let mut tx = store.db.begin().await.unwrap();
        for sql in [
            "create table gate (n bigint)",
            "create function wait() returns event_trigger language plpgsql as $$ begin \
             if current_schema() = 'rewriting' then \
             if current_setting('statement_timeout') <> '0' then raise exception 'it may be ended'; end if; \
             perform pg_advisory_xact_lock(4711); \
             while not exists (select 1 from gate) loop perform pg_sleep(0.01); end loop; \
             end if; end $$",
            "create event trigger wait on table_rewrite execute function wait()",
        ] {
            tx.execute(sql, &[]).await.unwrap();
        }
        tx.commit().await.unwrap();
        let now = store.clock.now_us();
        let fence = store.take(Role::Worker, &[0], "this", 1, true, now).await.unwrap()[0].1;
        let other = Store::open(&world.config.store, Signer::new(b"key"), Clock::system()).await.unwrap();

        let mut tx = store.db.begin().await.unwrap();
        let wider = [effect("web", "2", 1, Some(&json!({"n": 1.5})))];
        let mut taking = None;
        let judge = async {
            until(store, "select 1 from pg_locks where locktype = 'advisory' and objid = 4711").await;
            let take =
                async move { other.take(Role::Worker, &[0], "other", 1, false, now + 60_000_000).await };
            let taken = taking.insert(tokio::spawn(take));
            let waits = "select 1 from pg_stat_activity where wait_event_type = 'Lock' \
                         and query like 'update partition set worker_owner%'";
            while !taken.is_finished() && store.db.query(waits, &[]).await.unwrap().is_empty() {}
            let mut tx = store.db.begin().await.unwrap();
            tx.execute("insert into gate values (1)", &[]).await.unwrap();
            tx.commit().await.unwrap();
        };
        let (applied, ()) = tokio::join!(store.apply(&mut tx, &wider), judge);
        applied.unwrap();
        assert!(hold(&mut tx, 0, fence).await.unwrap(), "the partition was taken");
        let bound = tx.query("select current_setting('statement_timeout')", &[]).await.unwrap();
        assert_eq!(bound[0].text(0).unwrap(), "15s");
        tx.execute("drop event trigger wait", &[]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(taking.unwrap().await.unwrap().unwrap(), [(0, fence + 1)]);
    }
}
