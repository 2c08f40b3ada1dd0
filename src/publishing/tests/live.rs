//! Subscriptions: snapshot, what was missed, what comes; nothing lost, nothing doubled.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};

use super::{World, effect, effect_of, field, leaf, some, with_roles, worlds};
use crate::config;
use crate::error::{Code, Result};
use crate::publishing::Publishing;
use crate::query::Selected;
use crate::record::Actor;

async fn open(world: &World, actor: &Actor, arguments: Value) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
    let (collection, _) = world.collection(actor);
    let asked = field(
        "shopOrder",
        arguments,
        vec![leaf("op"), leaf("key"), leaf("cursor"), some("node", &["n", "status"]), some("before", &["n"])],
    );
    world.publishing.subscribe(actor.clone().into(), &collection, asked).await
}

async fn next(world: &World, stream: &mut BoxStream<'static, Result<Vec<u8>>>) -> Value {
    world.publishing.tail_step().await.unwrap();
    let item = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await.unwrap();
    serde_json::from_slice(&item.unwrap().unwrap()).unwrap()
}

fn short(change: &Value) -> Value {
    json!([change["op"], change["node"]["n"], change["before"]["n"]])
}

#[tokio::test]
async fn a_snapshot_goes_on_with_what_comes() {
    for world in worlds("live").await {
        let admin = with_roles(&["admin"]);
        for n in 0..3 {
            let order = json!({"n": n, "status": "open"});
            world.apply(&[effect("web", &n.to_string(), 1, Some(&order))]).await;
        }
        let arguments = json!({"snapshot": true, "where": {"status": {"eq": "open"}}});
        let mut stream = open(&world, &admin, arguments).await.unwrap();
        for n in 0..3 {
            assert_eq!(short(&next(&world, &mut stream).await), json!(["UPSERT", n, null]));
        }
        let caught_up = next(&world, &mut stream).await;
        assert_eq!(caught_up["op"], json!("CAUGHT_UP"));
        world.apply(&[effect("web", "0", 2, Some(&json!({"n": 10, "status": "open"})))]).await;
        assert_eq!(short(&next(&world, &mut stream).await), json!(["UPSERT", 10, 0]));
        world.apply(&[effect("web", "0", 3, Some(&json!({"n": 11, "status": "closed"})))]).await;
        assert_eq!(short(&next(&world, &mut stream).await), json!(["LEFT_SCOPE", null, 10]));
        world.apply(&[effect("web", "0", 4, Some(&json!({"n": 12, "status": "closed"})))]).await;
        world.apply(&[effect("web", "1", 2, None)]).await;
        let deleted = next(&world, &mut stream).await;
        assert_eq!(short(&deleted), json!(["DELETE", null, 1]));
        assert_eq!(deleted["key"], json!("shop~order~web~1"));
        // A new shape appears, and the subscription lives on.
        world.apply(&[effect("web", "9", 1, Some(&json!({"n": 1.5, "status": "open", "late": true})))]).await;
        assert_eq!(short(&next(&world, &mut stream).await), json!(["UPSERT", 1.5, null]));
        // Resumed behind CAUGHT_UP: the same changes again.
        let resume = json!({"after": caught_up["cursor"], "where": {"status": {"eq": "open"}}});
        let mut again = open(&world, &admin, resume).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(next(&world, &mut again).await["op"].clone());
        }
        assert_eq!(json!(seen), json!(["UPSERT", "LEFT_SCOPE", "DELETE", "UPSERT", "CAUGHT_UP"]));
    }
}

#[tokio::test]
async fn every_subscriber_sees_every_change_once() {
    for world in worlds("once").await {
        let admin = with_roles(&["admin"]);
        world.apply(&[effect("web", "x", 1, Some(&json!({"n": 0, "status": "open"})))]).await;
        let mut first = open(&world, &admin, json!({})).await.unwrap();
        let mut second = None;
        for n in 1..20 {
            world.apply(&[effect("web", "x", n + 1, Some(&json!({"n": n, "status": "open"})))]).await;
            if n == 5 {
                second = Some((n, open(&world, &admin, json!({})).await.unwrap()));
            }
            if n % 3 == 0 {
                world.publishing.tail_step().await.unwrap();
            }
        }
        for n in 1..20 {
            assert_eq!(next(&world, &mut first).await["node"]["n"], json!(n));
        }
        let (joined, mut second) = second.unwrap();
        for n in joined + 1..20 {
            assert_eq!(next(&world, &mut second).await["node"]["n"], json!(n));
        }
    }
}

#[tokio::test]
async fn a_cursor_whose_changes_are_gone_says_so() {
    for world in worlds("gone").await {
        let admin = with_roles(&["admin"]);
        let mut config = world.config.clone();
        config.store.changes_kept_max = 10;
        world.store.catalog.set_limits(&config);
        world.apply(&[effect("web", "x", 1, Some(&json!({"n": 0, "status": "open"})))]).await;
        let mut stream = open(&world, &admin, json!({"snapshot": true})).await.unwrap();
        next(&world, &mut stream).await;
        let cursor = next(&world, &mut stream).await["cursor"].clone();
        drop(stream);
        let effects: Vec<_> =
            (2..600).map(|n| effect("web", "x", n, Some(&json!({"n": n, "status": "open"})))).collect();
        world.apply(&effects).await;
        let refused = open(&world, &admin, json!({ "after": cursor })).await;
        assert_eq!(refused.err().map(|error| error.code()), Some(Code::CursorTooOld));
        let bad = open(&world, &admin, json!({"after": "nonsense"})).await;
        assert_eq!(bad.err().map(|error| error.code()), Some(Code::BadRequest));
    }
}

/// The same database and policy under other bounds.
fn bounded(world: &World, change: impl FnOnce(&mut config::Config)) -> Publishing {
    let mut config = world.config.clone();
    change(&mut config);
    let policy = Arc::new(crate::policy::Engine::load(&config.policy, &config.store.data).unwrap());
    Publishing::new(world.store.clone(), policy, &config, b"secret")
}

#[tokio::test]
async fn who_reads_slowly_gets_everything_and_little_is_kept_for_it() {
    for world in worlds("slow").await {
        let admin = with_roles(&["admin"]);
        let publishing = bounded(&world, |config| {
            config.subscriptions.buffer_bytes_max = 2_000;
            config.subscriptions.batch_bytes_max = 1_500;
        });
        let order = |n: i64| effect("web", "1", n, Some(&json!({"n": n, "status": "x".repeat(300)})));
        world.apply(&[order(1)]).await;
        let (collection, _) = world.collection(&admin);
        let twice = vec![some("node", &["n", "status"]), leaf("cursor"), some("before", &["status"])];
        let asked = field("shopOrder", json!({}), twice);
        let mut stream = publishing.subscribe(admin.clone().into(), &collection, asked).await.unwrap();
        assert!(futures_util::poll!(stream.next()).is_pending());
        for n in 2..=30 {
            world.apply(&[order(n)]).await;
            publishing.tail_step().await.unwrap();
            assert!(publishing.0.hubs.bytes() <= 2_000);
        }
        assert!(publishing.0.hubs.bytes() > 0, "the last ones are at hand");
        for n in 2..=30 {
            let heard = tokio::time::timeout(std::time::Duration::from_secs(20), stream.next()).await;
            let heard: Value = serde_json::from_slice(&heard.unwrap().unwrap().unwrap()).unwrap();
            assert_eq!(heard["node"]["n"], n);
        }
    }
}

#[tokio::test]
async fn a_change_that_is_selected_too_often_ends_the_subscription_behind_those_before_it() {
    for world in worlds("often").await {
        let admin = with_roles(&["admin"]);
        let publishing = bounded(&world, |config| config.graphql.answer_bytes_max = 20_000);
        let order = |n: i64, size: usize| {
            let order = json!({"n": n, "status": "x".repeat(size), "l": [{"t": "y".repeat(size)}]});
            effect("web", "1", n, Some(&order))
        };
        world.apply(&[order(1, 10)]).await;
        let (collection, _) = world.collection(&admin);
        let named = |name: String, children: Vec<Selected>, field_name: &str| Selected {
            response_key: name.into(),
            ..field(field_name, json!({}), children)
        };
        let texts =
            |name: &str| (0..50).map(|n| named(format!("a{n}"), Vec::new(), name)).collect::<Vec<_>>();
        for selection in [
            vec![named("node".into(), texts("status"), "node")],
            vec![named("node".into(), vec![named("l".into(), texts("t"), "l")], "node")],
            (0..50).map(|n| named(format!("n{n}"), vec![leaf("status")], "node")).collect(),
            (0..50).map(|n| named(format!("b{n}"), vec![leaf("status")], "before")).collect(),
        ] {
            let head = world.store.position(collection.id).await.unwrap();
            let asked = field("shopOrder", json!({}), selection);
            let mut stream = publishing.subscribe(admin.clone().into(), &collection, asked).await.unwrap();
            for (n, size) in [(2, 20), (3, 1_000), (4, 20), (5, 20)] {
                world.apply(&[order(head * 10 + n, size)]).await;
            }
            publishing.tail_step().await.unwrap();
            let mut told = Vec::new();
            while let Some(item) = stream.next().await {
                told.push(item);
            }
            let (last, before) = told.split_last().unwrap();
            assert_eq!(last.as_ref().unwrap_err().code(), Code::TooComplex);
            assert!(!before.is_empty() && before.len() <= 2 && before.iter().all(Result::is_ok));
        }
    }
}

#[tokio::test]
async fn a_collection_that_cannot_be_read_holds_up_no_other() {
    for world in worlds("starved").await {
        let admin = with_roles(&["admin"]);
        let order = |n: i64| effect("web", "1", n, Some(&json!({"n": n, "status": "open"})));
        world.apply(&[effect_of("broken", "web", "1", 1, Some(&json!({"n": 1})))]).await;
        world.apply(&[order(1)]).await;
        let mut streams = Vec::new();
        for (collection, _) in world.publishing.visible(&admin).unwrap() {
            let asked = field(&collection.field_name, json!({}), vec![some("node", &["n"])]);
            streams.push(world.publishing.subscribe(admin.clone().into(), &collection, asked).await.unwrap());
        }
        // Both are heard from here on, the broken one first.
        for stream in &mut streams {
            assert!(futures_util::poll!(stream.next()).is_pending());
        }
        world.publishing.tail_step().await.unwrap();
        world.apply(&[effect_of("broken", "web", "1", 2, Some(&json!({"n": 2}))), order(2)]).await;
        let mut tx = world.store.db.begin().await.unwrap();
        let damage = "update change set after = '{' where key like '%broken%'";
        tx.execute(damage, &[]).await.unwrap();
        tx.commit().await.unwrap();
        assert!(world.publishing.tail_step().await.is_err());
        let heard = tokio::time::timeout(std::time::Duration::from_secs(20), streams[1].next()).await;
        let heard: Value = serde_json::from_slice(&heard.unwrap().unwrap().unwrap()).unwrap();
        assert_eq!(heard, json!({"node": {"n": 2}}));
    }
}

#[tokio::test]
async fn a_subscription_that_was_planned_for_an_older_shape_is_opened_by_the_newest() {
    for world in worlds("planned").await {
        let consumer = with_roles(&["consumer"]);
        world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1, "status": "new"})))]).await;
        let (planned, _) = world.collection(&consumer);
        world.apply(&[effect("web", "1", 2, Some(&json!({"n": 2, "status": "ann@example.org"})))]).await;
        let asked = field("shopOrder", json!({}), vec![some("node", &["n", "status"])]);
        let mut stream = world.publishing.subscribe(consumer.clone().into(), &planned, asked).await.unwrap();
        world.apply(&[effect("web", "1", 3, Some(&json!({"n": 3, "status": "eve@example.org"})))]).await;
        let change = next(&world, &mut stream).await;
        assert_eq!(change["node"]["n"], 3);
        assert!(!change.to_string().contains("example.org"), "{change}");
    }
}
