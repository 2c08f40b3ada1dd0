//! Databases from before something was kept are brought up to date with what it would have been.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{World, effect, with_roles, worlds};
use crate::record::Signer;
use crate::store::Store;
use crate::telemetry::Clock;

#[tokio::test]
async fn types_that_were_published_without_a_name_get_it_once() {
    for world in worlds("upgrade").await {
        let document = json!({"item": {"sku": "a"}});
        world.apply(&[effect("web", "1", 1, Some(&document))]).await;
        let document = json!({"item": {"maker": {"name": "b"}}});
        world.apply(&[effect("web", "2", 1, Some(&document))]).await;
        let (named, _) = world.collection(&with_roles(&["admin"]));
        let names: BTreeMap<_, _> = named.shape.type_names.clone();
        assert_eq!(names.values().collect::<Vec<_>>(), ["ShopOrderItem", "ShopOrderItemMaker"]);
        let mut tx = world.store.db.begin().await.unwrap();
        let taken = tx.query("select name from type_name order by name", &[]).await.unwrap();
        let taken: Vec<String> = taken.iter().map(|row| row.text(0).unwrap().to_owned()).collect();
        assert!(
            taken.contains(&"ShopOrderItemMakerFilter".to_owned())
                && taken.contains(&"ShopOrderEdge".to_owned())
        );
        let versions = tx.query("select version, published from shape_version", &[]).await.unwrap();
        for row in &versions {
            let mut published: Value = serde_json::from_str(row.text(1).unwrap()).unwrap();
            published.as_object_mut().unwrap().remove("type_names").unwrap();
            let params = [row.i64(0).unwrap().into(), published.to_string().into()];
            tx.execute("update shape_version set published = $2 where version = $1", &params).await.unwrap();
        }
        tx.execute("drop table type_name", &[]).await.unwrap();
        tx.execute("delete from seaql_migrations where version = 'm0005_type_names'", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let World { store, publishing, config, _dir } = world;
        drop((store, publishing));
        let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        assert_eq!(store.catalog.load().by_id(named.id).unwrap().shape, named.shape);
        let again = store.db.query("select name from type_name order by name", &[]).await.unwrap();
        assert_eq!(again.iter().map(|row| row.text(0).unwrap().to_owned()).collect::<Vec<_>>(), taken);
    }
}
