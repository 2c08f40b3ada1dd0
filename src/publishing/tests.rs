//! Publishing over a real database: SQLite always, PostgreSQL when the machine has it. Without it, and with
//! `WELLSPRING_REQUIRE_SERVICES` set, the tests fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

mod asked;
mod differential;
mod export;
mod figures;
mod groups;
mod lineage;
mod lists;
mod live;
mod locks;
mod nodes;
mod noted;
mod places;
mod related;
mod room;
mod rules;
mod spread;
mod upgrade;
mod words;

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::error::Code;
use crate::provisioning::tests::postgres;
use crate::record::{Draft, Envelope, Json, Record, Source};
use crate::shape::Structure;
use crate::store::rows::RowEffect;
use crate::telemetry::Clock;

pub(super) struct World {
    pub(super) store: Store,
    pub(super) publishing: Publishing,
    pub(super) config: config::Config,
    _dir: tempfile::TempDir,
}

/// A world on each database that is at hand; `schema` keeps tests on one PostgreSQL apart.
pub(super) async fn worlds(schema: &str) -> Vec<World> {
    let mut worlds = vec![world(None).await];
    if let Some(url) = postgres() {
        let plain = config::Store { database_url: Some(url.clone()), ..Default::default() };
        let db = crate::store::db::Db::open(&plain).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        tx.execute(&format!("create schema {schema}"), &[]).await.unwrap();
        tx.commit().await.unwrap();
        worlds.push(world(Some(format!("{url}&options=-c%20search_path%3D{schema}"))).await);
    }
    worlds
}

async fn world(database_url: Option<String>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config::Config::default();
    config.store.data = dir.path().into();
    config.store.database_url = database_url;
    config.shape.exposure = config::Exposure::Open;
    let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
    let policy = Arc::new(policy::Engine::load(&config.policy, dir.path()).unwrap());
    let publishing = Publishing::new(store.clone(), policy, &config, b"secret");
    World { store, publishing, config, _dir: dir }
}

impl World {
    pub(super) async fn apply(&self, effects: &[RowEffect]) {
        let mut tx = self.store.db.begin().await.unwrap();
        let applied = self.store.apply(&mut tx, effects).await.unwrap();
        applied.announce(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        self.store.committed(&applied).await.unwrap();
    }

    pub(super) fn collection(&self, actor: &Actor) -> crate::publishing::Visible {
        self.publishing.visible(actor).unwrap().into_iter().next().unwrap()
    }

    pub(super) async fn ask(&self, actor: &Actor, root: Root, field: &Selected) -> Result<Value> {
        let from = self.collection(actor);
        let mut out = Vec::new();
        self.publishing.read(&from, &[], root, field, &Budget::new(1 << 30), &mut out).await?;
        Ok(serde_json::from_slice(&out).unwrap())
    }
}

pub(super) fn actor(roles: &[&str]) -> Actor {
    Actor {
        subject: "ann".into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        ..Actor::anonymous()
    }
}

pub(super) fn with_roles(roles: &[&str]) -> Actor {
    let mut actor = actor(roles);
    actor.claims.insert("roles".into(), json!(roles));
    actor.claims.insert("subject".into(), json!("ann"));
    actor
}

pub(super) fn effect(source: &str, uid: &str, revision: i64, document: Option<&Value>) -> RowEffect {
    effect_of("order", source, uid, revision, document)
}

pub(super) fn effect_of(
    subcategory: &str,
    source: &str,
    uid: &str,
    revision: i64,
    document: Option<&Value>,
) -> RowEffect {
    let document = document.map(|document| Json::try_from(document.to_string().as_str()).unwrap());
    effect_exact((subcategory, source, uid), revision, document)
}

/// The same of a document with numbers that `Value` has not.
pub(super) fn effect_exact(
    (subcategory, source, uid): (&str, &str, &str),
    revision: i64,
    document: Option<Json>,
) -> RowEffect {
    let document = document.map(Arc::new);
    let structure = document.as_ref().map(|document| {
        let structure = Structure::derive(document, &config::Shape::default());
        (structure.fingerprint(), structure.to_text().into())
    });
    let source = Source::new("shop", subcategory, source).unwrap();
    let key = source.key(uid).unwrap();
    let draft = Draft {
        id: Uuid::now_v7(),
        source,
        source_uid: uid.into(),
        author: "ann".into(),
        idempotency_key: None,
        if_revision: None,
        content_type: "application/json".into(),
        body: bytes::Bytes::new(),
        payload_hash: [0; 32],
        occurred_at: None,
        ingested_at: 1_795_382_479_000_000,
        structure,
        deleted: document.is_none(),
        causation_id: None,
        hops: 0,
        envelope: Envelope::default(),
    };
    RowEffect { record: Arc::new(Record { draft, key, revision, partition: 0 }), document }
}

pub(super) fn field(name: &str, arguments: Value, children: Vec<Selected>) -> Selected {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Selected {
        response_key: name.into(),
        name: name.into(),
        arguments: arguments.into_iter().map(|(name, value)| (name, Json::from(value))).collect(),
        children: children.into(),
    }
}

pub(super) fn leaf(name: &str) -> Selected {
    field(name, json!({}), Vec::new())
}

pub(super) fn some(name: &str, children: &[&str]) -> Selected {
    field(name, json!({}), children.iter().map(|child| leaf(child)).collect())
}

#[tokio::test]
async fn a_first_document_is_a_typed_collection_at_once() {
    for world in worlds("first").await {
        let admin = with_roles(&["admin"]);
        let order = json!({"orderNo": "A1", "total": 12.5, "quantity": 2, "paid": true,
            "customer": {"name": "Ann", "email": "ann@example.org"}, "tags": ["x", "y"],
            "items": [{"sku": "s1", "qty": 1}, {"sku": "s2", "qty": 2}]});
        world.apply(&[effect("web", "1", 1, Some(&order))]).await;
        let asked = field(
            "shopOrder",
            json!({}),
            vec![
                field(
                    "nodes",
                    json!({}),
                    vec![
                        leaf("orderNo"),
                        leaf("total"),
                        leaf("quantity"),
                        leaf("paid"),
                        some("customer", &["name", "email"]),
                        leaf("tags"),
                        some("items", &["qty"]),
                        some("_record", &["key", "revision", "sourceUid", "ingestedAt"]),
                    ],
                ),
                leaf("totalCount"),
                some("pageInfo", &["hasNextPage", "hasPreviousPage"]),
            ],
        );
        let answer = world.ask(&admin, Root::List, &asked).await.unwrap();
        assert_eq!(
            answer,
            json!({
                "nodes": [{"orderNo": "A1", "total": 12.5, "quantity": 2, "paid": true,
                    "customer": {"name": "Ann", "email": "ann@example.org"}, "tags": ["x", "y"],
                    "items": [{"qty": 1}, {"qty": 2}],
                    "_record": {"key": "shop~order~web~1", "revision": 1, "sourceUid": "1",
                        "ingestedAt": "2026-11-22T21:21:19.000000Z"}}],
                "totalCount": 1,
                "pageInfo": {"hasNextPage": false, "hasPreviousPage": false}
            })
        );
        let consumer = with_roles(&["consumer"]);
        let masked = world.ask(&consumer, Root::List, &asked).await.unwrap();
        let email = masked["nodes"][0]["customer"]["email"].as_str().unwrap();
        assert_eq!(email.len(), 32, "{email}");
        let guess = field(
            "shopOrder",
            json!({"where": {"customer": {"email": {"eq": "ann@example.org"}}}}),
            vec![leaf("totalCount")],
        );
        assert_eq!(world.ask(&consumer, Root::List, &guess).await.unwrap_err().code(), Code::BadRequest);
        assert!(world.publishing.visible(&Actor::anonymous()).unwrap().is_empty());
    }
}

#[tokio::test]
async fn shapes_grow_while_rows_stay() {
    for world in worlds("grow").await {
        let admin = with_roles(&["admin"]);
        world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1})))]).await;
        world
            .apply(&[
                effect("web", "2", 1, Some(&json!({"n": 2.5, "giftWrap": true}))),
                effect("web", "3", 1, Some(&json!({"n": "3 pcs"}))),
            ])
            .await;
        let asked = field(
            "shopOrder",
            json!({"orderBy": [{"_record": {"key": "ASC"}}]}),
            vec![field("nodes", json!({}), vec![leaf("n"), leaf("giftWrap"), some("_record", &["rescued"])])],
        );
        let nodes = world.ask(&admin, Root::List, &asked).await.unwrap()["nodes"].clone();
        assert_eq!(nodes[0], json!({"n": 1, "giftWrap": null, "_record": {"rescued": null}}));
        assert_eq!(nodes[1]["n"], json!(2.5));
        assert_eq!(nodes[1]["giftWrap"], json!(true));
        assert_eq!(nodes[2]["n"], json!(null));
        assert!(nodes[2]["_record"]["rescued"].to_string().contains("3 pcs"), "{nodes}");
    }
}

#[tokio::test]
async fn older_revisions_change_nothing_and_tombstones_delete() {
    for world in worlds("revisions").await {
        let admin = with_roles(&["admin"]);
        world.apply(&[effect("web", "1", 2, Some(&json!({"n": 2})))]).await;
        world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1})))]).await;
        let by_key = field("shopOrderByKey", json!({"sourceUid": "1"}), vec![leaf("n")]);
        assert_eq!(world.ask(&admin, Root::ByKey, &by_key).await.unwrap(), json!({"n": 2}));
        world.apply(&[effect("app", "1", 1, Some(&json!({"n": 7})))]).await;
        assert_eq!(world.ask(&admin, Root::ByKey, &by_key).await.unwrap_err().code(), Code::Conflict);
        let named = field("shopOrderByKey", json!({"sourceUid": "1", "sourceName": "app"}), vec![leaf("n")]);
        assert_eq!(world.ask(&admin, Root::ByKey, &named).await.unwrap(), json!({"n": 7}));
        world.apply(&[effect("web", "1", 3, None), effect("web", "1", 4, Some(&json!({"n": 4})))]).await;
        world.apply(&[effect("app", "1", 2, None)]).await;
        assert_eq!(world.ask(&admin, Root::ByKey, &by_key).await.unwrap(), json!({"n": 4}));
        assert_eq!(world.ask(&admin, Root::ByKey, &named).await.unwrap(), json!(null));
        let (collection, _) = world.collection(&admin);
        assert_eq!(world.store.position(collection.id).await.unwrap(), 5);
    }
}

#[tokio::test]
async fn figures_of_groups() {
    for world in worlds("figures").await {
        let admin = with_roles(&["admin"]);
        let rows = [("a", 1, 1.5), ("a", 3, 2.5), ("b", 10, 0.5)];
        let effects: Vec<RowEffect> = rows
            .iter()
            .enumerate()
            .map(|(index, (status, n, x))| {
                effect("web", &index.to_string(), 1, Some(&json!({"status": status, "n": n, "at": {"x": x}})))
            })
            .collect();
        world.apply(&effects).await;
        let asked = field(
            "shopOrderAggregate",
            json!({"groupBy": ["status"]}),
            vec![
                some("group", &["status", "n"]),
                leaf("count"),
                some("sum", &["n", "at_x"]),
                some("avg", &["n"]),
                some("min", &["status", "at_x"]),
                some("max", &["n"]),
                some("countDistinct", &["status"]),
            ],
        );
        assert_eq!(
            world.ask(&admin, Root::Aggregate, &asked).await.unwrap(),
            json!([
                {"group": {"status": "a", "n": null}, "count": 2, "sum": {"n": "4", "at_x": 4}, "avg": {"n": 2},
                 "min": {"status": "a", "at_x": 1.5}, "max": {"n": 3}, "countDistinct": {"status": 1}},
                {"group": {"status": "b", "n": null}, "count": 1,
             "sum": {"n": "10", "at_x": 0.5}, "avg": {"n": 10},
                 "min": {"status": "b", "at_x": 0.5}, "max": {"n": 10}, "countDistinct": {"status": 1}},
            ])
        );
        let all = field(
            "shopOrderAggregate",
            json!({"where": {"n": {"gt": 100}}}),
            vec![leaf("count"), some("sum", &["n"])],
        );
        let none = json!([{"count": 0, "sum": {"n": null}}]);
        assert_eq!(world.ask(&admin, Root::Aggregate, &all).await.unwrap(), none);
    }
}

#[tokio::test]
async fn what_was_published_since_is_new_whoever_has_read_it() {
    for world in worlds("since").await {
        let known = world.publishing.version();
        // The tail of this node, say, reads it before the one who asks does.
        world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1})))]).await;
        assert!(world.publishing.refresh(known).await);
        assert!(!world.publishing.refresh(world.publishing.version()).await);
    }
}

#[tokio::test]
async fn however_many_ask_for_what_is_new_nobody_queues_behind_them() {
    for world in worlds("crowd").await {
        let before = world.store.catalog.begun();
        let busy = world.store.catalog.busy().await;
        let mut crowd = futures_util::future::join_all((0..20).map(|_| world.publishing.refresh(0)));
        assert!(futures_util::poll!(&mut crowd).is_pending());
        drop(busy);
        crowd.await;
        assert_eq!(world.store.catalog.begun() - before, 1, "reads for all who asked meanwhile");
    }
}

#[tokio::test]
async fn arguments_that_do_not_fit_are_said_so() {
    let world = worlds("faults").await.remove(0);
    let admin = with_roles(&["admin"]);
    world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1, "s": "x", "l": ["a"]})))]).await;
    for (arguments, code) in [
        (json!({"first": 1, "last": 1}), Code::BadRequest),
        (json!({"first": -1}), Code::BadRequest),
        (json!({"first": 1001}), Code::TooComplex),
        (json!({"after": "x"}), Code::BadRequest),
        (json!({"after": "x", "last": 1}), Code::BadRequest),
        (json!({"where": {"n": {"eq": null}}}), Code::BadRequest),
        (json!({"where": {"n": {"like": "1"}}}), Code::BadRequest),
        (json!({"where": {"s": {"like": "\\"}}}), Code::BadRequest),
        (json!({"where": {"nope": {"eq": 1}}}), Code::BadRequest),
        (json!({"where": {"l": {"eq": "a"}}}), Code::BadRequest),
        (json!({"where": {"n": {"in": vec![1; 3000]}}}), Code::TooComplex),
        (json!({"orderBy": [{"l": "ASC"}]}), Code::BadRequest),
        (json!({"orderBy": [{"n": "ASC", "s": "ASC"}]}), Code::BadRequest),
    ] {
        let asked = field("shopOrder", arguments.clone(), vec![leaf("totalCount")]);
        let refused = world.ask(&admin, Root::List, &asked).await;
        assert_eq!(refused.err().map(|error| error.code()), Some(code), "{arguments}");
    }
}
