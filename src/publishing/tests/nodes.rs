//! Two nodes on one database, one of which has not heard yet what the other has published.

use serde_json::json;

use super::{World, effect, field, with_roles, worlds};
use crate::publishing::Root;
use crate::record::Signer;
use crate::store::Store;
use crate::store::rows::RowEffect;
use crate::telemetry::Clock;

async fn apply(store: &Store, effect: RowEffect) {
    let mut tx = store.db.begin().await.unwrap();
    let applied = store.apply(&mut tx, &[effect]).await.unwrap();
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
