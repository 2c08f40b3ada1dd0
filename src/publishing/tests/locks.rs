//! Transactions that take the same rows of PostgreSQL take them in one order: collections, their tables, their
//! positions, partitions, and last the position of events. Here two of them meet at the one moment at which another
//! order would have each wait for the other, and the database end one.

use serde_json::json;
use uuid::Uuid;

use super::nodes::until;
use super::{World, effect, worlds};
use crate::config;
use crate::shape::Published;
use crate::store::events::tell_parked;
use crate::store::ledger::{Letter, Role, hold};
use crate::store::rows::Decision;

/// Somebody waits for a row of a partition.
const ROW_AWAITED: &str =
    "select 1 from pg_locks where relation = 'partition'::regclass and locktype = 'tuple'";
/// A barrier is at the partitions, whether it waits for them or has them.
const BARRIER: &str = "select 1 from pg_locks where relation = 'partition'::regclass and locktype = 'relation' \
     and mode in ('ShareRowExclusiveLock', 'ExclusiveLock')";

#[tokio::test(flavor = "multi_thread")]
async fn a_barrier_waits_for_who_is_about_to_take_partitions() {
    for World { store, config, .. } in worlds("barrier").await {
        // SQLite has one writer.
        if config.store.database_url.is_none() {
            continue;
        }
        store.register("copy", 1, true).await.unwrap();
        let mut tx = store.db.begin().await.unwrap();
        tx.query("select p from partition where p = 3 for update", &[]).await.unwrap();
        let (other, now) = (store.clone(), store.clock.now_us());
        let taking =
            tokio::spawn(
                async move { other.take(Role::Worker, &[0, 1, 2, 3], "this", 60_000, true, now).await },
            );
        until(&store, ROW_AWAITED).await;
        let other = store.clone();
        let disabling = tokio::spawn(async move { other.disable("copy", "disabled").await });
        until(&store, BARRIER).await;
        tx.commit().await.unwrap();
        assert_eq!(taking.await.unwrap().unwrap().len(), 4);
        assert_eq!(disabling.await.unwrap().unwrap().state, "disabled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_partition_finds_the_position_of_events_free() {
    for world in worlds("parking").await {
        let World { store, config, .. } = &world;
        if config.store.database_url.is_none() {
            continue;
        }
        world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1})))]).await;
        let plugin_id = store.register("copy", 1, true).await.unwrap().id;
        let now = store.clock.now_us();
        let fence = store.take(Role::Worker, &[0], "this", 60_000, true, now).await.unwrap()[0].1;
        let mut tx = store.db.begin().await.unwrap();
        assert!(hold(&mut tx, 0, fence).await.unwrap());
        let other = store.clone();
        let deciding = tokio::spawn(async move {
            let collection = other.catalog.load().collections["shopOrder"].clone();
            let (before, after) = (json!(["Int"]), json!(["String"]));
            let decision = Decision { paths: vec!["/n".to_owned()], before, after };
            let retype = |shape: &mut Published| {
                shape.retype("/n", "String", &config::Shape::default()).unwrap();
                Ok(decision)
            };
            other.decide(&collection, "stella", ("RETYPED", "decided"), None, retype).await
        });
        until(store, BARRIER).await;
        let letter = Letter {
            id: 0,
            plugin_id,
            partition: 0,
            key: "shop~order~web~1".to_owned(),
            rev: 1,
            record_id: Uuid::nil(),
            hook: String::new(),
            code: "INTERNAL".to_owned(),
            reason: String::new(),
            attempts: 1,
            state: "parked".to_owned(),
            due: now,
            history: "[]".to_owned(),
            at: now,
        };
        assert!(tell_parked(&mut tx, &[letter], now, &config::Provisioning::default()).await.unwrap());
        tx.commit().await.unwrap();
        let (revised, decided) = deciding.await.unwrap().unwrap();
        assert!(decided.is_some() && revised.shape.version == 2, "{revised:?}");
    }
}
