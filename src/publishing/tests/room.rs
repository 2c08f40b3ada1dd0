//! Tables and columns of SQLite that are there before a record needs them, and those of databases made before.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{World, effect, effect_of, field, with_roles, world};
use crate::publishing::Root;

impl World {
    /// The version of the database's schema: another one when a table or column has come.
    async fn schema(&self) -> i64 {
        let rows =
            self.store.db.query("select schema_version from pragma_schema_version", &[]).await.unwrap();
        rows[0].i64(0).unwrap()
    }

    async fn rows(&self, arguments: Value, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|name| field(name, json!({}), vec![])).collect();
        let asked = field("shopOrder", arguments, vec![field("nodes", json!({}), fields)]);
        self.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap()["nodes"].clone()
    }
}

/// A document with this many fields that are new, from a number on.
fn with_new(from: usize, count: usize) -> Value {
    let members = (from..from + count).map(|n| (format!("new{n}"), json!(n)));
    Value::Object(std::iter::once(("n".to_owned(), json!(1))).chain(members).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_takes_room_that_was_made_before() {
    let (world, mut looked) = (world(None).await, HashMap::new());
    world.store.make_room(&mut looked).await.unwrap();
    let made = world.schema().await;
    world.store.make_room(&mut looked).await.unwrap();
    assert_eq!(world.schema().await, made, "there is enough");
    let first = json!({"n": 1, "at": {"x": 1.5, "y": 2}, "list": [1]});
    world.apply(&[effect("web", "1", 1, Some(&first))]).await;
    let second = json!({"n": 9_007_199_254_740_993_i64, "at": {"x": 2, "late": true}, "o": {"p": "q"}});
    world.apply(&[effect("web", "2", 1, Some(&second))]).await;
    for n in 0..7 {
        let document = json!({ format!("only{n}"): n });
        world.apply(&[effect_of(&format!("with{n}"), "web", "1", 1, Some(&document))]).await;
    }
    assert_eq!(world.schema().await, made, "no record waited for a table or column");
    let rows = world.rows(json!({"where": {"at": {"late": {"eq": true}}}}), &["n"]).await;
    assert_eq!(rows, json!([{"n": "9007199254740993"}]));
    let all = vec![field("n", json!({}), vec![]), field("o", json!({}), vec![field("p", json!({}), vec![])])];
    let asked = field("shopOrder", json!({"orderBy": [{"n": "ASC"}]}), vec![field("nodes", json!({}), all)]);
    let rows = world.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap();
    let expected = json!([{"n": "1", "o": null}, {"n": "9007199254740993", "o": {"p": "q"}}]);
    assert_eq!(rows, json!({ "nodes": expected }));
    // Seven of eight tables are used up.
    world.store.make_room(&mut looked).await.unwrap();
    let more = world.schema().await;
    assert!(more > made);
    world.apply(&[effect_of("with", "web", "1", 1, Some(&first))]).await;
    assert_eq!(world.schema().await, more);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_needs_more_than_there_is_gets_it_at_once() {
    let (world, mut looked) = (world(None).await, HashMap::new());
    world.apply(&[effect("web", "1", 1, Some(&with_new(0, 40)))]).await;
    let made = world.schema().await;
    world.apply(&[effect("web", "2", 1, Some(&with_new(40, 100)))]).await;
    assert_eq!(world.schema().await, made + 1, "all columns at once");
    // Nine of the sixteen that came with them: less than half are left.
    world.apply(&[effect("web", "3", 1, Some(&with_new(140, 9)))]).await;
    assert_eq!(world.schema().await, made + 1);
    world.store.make_room(&mut looked).await.unwrap();
    let wider = world.schema().await;
    world.apply(&[effect("web", "4", 1, Some(&with_new(149, 16)))]).await;
    assert_eq!(world.schema().await, wider);
    let rows = world
        .rows(json!({"orderBy": [{"new160": "ASC"}, {"new145": "ASC"}]}), &["new5", "new145", "new160"])
        .await;
    let row =
        |first: Value, second: Value, third: Value| json!({"new5": first, "new145": second, "new160": third});
    assert_eq!(rows[0], row(json!(null), json!(null), json!(160)));
    assert_eq!(rows[1], row(json!(null), json!(145), json!(null)));
    assert_eq!(rows.as_array().unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_columns_have_types_goes_on() {
    let (world, mut looked) = (world(None).await, HashMap::new());
    world.apply(&[effect("web", "1", 1, Some(&json!({"n": 1, "text": "a"})))]).await;
    let mut tx = world.store.db.begin().await.unwrap();
    for statement in [
        "alter table c_1_g1 rename to gone",
        "create table c_1_g1 (row_id integer primary key autoincrement, key text not null unique, \
         rev integer not null, pos integer not null, record_id blob not null, source_name text not null, \
         source_uid text not null, author text not null, ingested_at text not null, occurred_at text, \
         purposes text, rescued text, rest text, f1 integer, f2 text)",
        "insert into c_1_g1 select row_id, key, rev, pos, record_id, source_name, source_uid, author, ingested_at, \
         occurred_at, purposes, rescued, rest, f1, f2 from gone",
        "drop table gone",
    ] {
        tx.execute(statement, &[]).await.unwrap();
    }
    tx.commit().await.unwrap();
    world.apply(&[effect("web", "2", 1, Some(&json!({"n": 2.5, "late": 3.0, "text": 7})))]).await;
    world.store.make_room(&mut looked).await.unwrap();
    let made = world.schema().await;
    world.apply(&[effect("web", "1", 2, Some(&json!({"n": 3, "o": {"p": true}})))]).await;
    assert_eq!(world.schema().await, made);
    let rows = world
        .rows(json!({"where": {"n": {"gte": 2.5}}, "orderBy": [{"n": "DESC"}]}), &["n", "late", "text"])
        .await;
    assert_eq!(rows, json!([{"n": 3, "late": null, "text": null}, {"n": 2.5, "late": 3, "text": "7"}]));
}
