//! Databases from before something was kept are brought up to date with what it would have been.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{World, effect, field, leaf, with_roles, worlds};
use crate::policy::Scoped;
use crate::publishing::Root;
use crate::query::{Query, compile};
use crate::record::{Json, Signer};
use crate::store::Store;
use crate::store::db::Value as Stored;
use crate::telemetry::Clock;

/// Position and kind of every change of a collection, with what was before and after.
type Told = Vec<(i64, &'static str, Option<String>, Option<String>)>;

async fn told(store: &Store, query: &Scoped<Query>) -> Told {
    let (changes, _) = store.tail(query.get().collection().id, 0, 100, usize::MAX).await.unwrap();
    let mut told = Vec::new();
    for tailed in changes {
        let opened = query.open(tailed.change, query.get().filter(), Default::default());
        let (op, change) = opened.told().unwrap();
        let text = |image: Option<std::sync::Arc<Json>>| image.map(|image| image.to_text());
        told.push((change.pos, op, text(change.before), text(change.after)));
    }
    told
}

#[tokio::test]
async fn what_changes_have_left_is_told_wherever_it_is_kept() {
    for world in worlds("kept_before").await {
        let big = 9_007_199_254_740_993_i64;
        let document = |n: i64| json!({"n": n, "s": "\u{e9}\"", "list": [n, null], "at": {"big": big}});
        world
            .apply(&[effect("web", "a", 1, Some(&document(1))), effect("web", "b", 1, Some(&document(2)))])
            .await;
        world.apply(&[effect("web", "a", 2, Some(&document(3)))]).await;
        world
            .apply(&[effect("web", "a", 3, Some(&document(4))), effect("web", "a", 4, Some(&document(5)))])
            .await;
        world.apply(&[effect("web", "b", 2, None)]).await;
        world.apply(&[effect("web", "b", 3, Some(&json!({"n": 6, "late": true})))]).await;
        let (collection, scope) = world.collection(&with_roles(&["admin"]));
        let asked = field("shopOrder", json!({}), vec![leaf("op")]);
        let query =
            compile(&collection, Root::Changes, &asked, &world.config.graphql, &Signer::new(b"secret"));
        let query = scope.apply(query.unwrap()).unwrap();
        let now = told(&world.store, &query).await;
        let numbers = |image: &Option<String>| {
            image.as_ref().map(|image| serde_json::from_str::<Value>(image).unwrap()["n"].clone())
        };
        let seen: Vec<_> =
            now.iter().map(|(_, op, before, after)| (*op, numbers(before), numbers(after))).collect();
        let n = |n: i64| Some(json!(n));
        let expected = [
            ("UPSERT", None, n(1)),
            ("UPSERT", None, n(2)),
            ("UPSERT", n(1), n(3)),
            ("UPSERT", n(3), n(4)),
            ("UPSERT", n(4), n(5)),
            ("DELETE", n(2), None),
            ("UPSERT", None, n(6)),
        ];
        assert_eq!(seen, expected);
        assert_eq!(now[0].3, now[2].2);
        assert_eq!(now[3].3, now[4].2);

        // As they were kept before.
        let mut tx = world.store.db.begin().await.unwrap();
        let plain = tx.query("select count(*) from change where after is not null", &[]).await.unwrap();
        assert_eq!(plain[0].i64(0).unwrap(), 0);
        for (pos, _, _, after) in &now {
            let params = [(*pos).into(), Stored::opt_text(after.as_deref())];
            tx.execute("update change set after = $2 where pos = $1", &params).await.unwrap();
        }
        tx.execute("drop index change_next", &[]).await.unwrap();
        tx.execute("delete from seaql_migrations where version = 'm0019_left'", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let World { store, publishing, config, _dir } = world;
        drop((store, publishing));
        let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        assert_eq!(told(&store, &query).await, now);

        // What comes now goes on from there.
        let mut tx = store.db.begin().await.unwrap();
        let next = [effect("web", "a", 5, Some(&document(7))), effect("web", "b", 4, None)];
        store.apply(&mut tx, &next).await.unwrap();
        tx.commit().await.unwrap();
        let then = told(&store, &query).await;
        assert_eq!(then[..now.len()], now);
        assert_eq!((&then[7].2, &then[8].2), (&now[4].3, &now[6].3));
        assert_eq!((numbers(&then[7].3), numbers(&then[8].3)), (n(7), None));
    }
}

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
