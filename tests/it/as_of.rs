//! Rows as they were: what was told at a position is told again of it later, whatever happened since.

use serde_json::{Value, json};

use crate::pages::{CONDITIONS, document, order, whole};
use crate::policy::random::Random;
use crate::support::{TestApp, on_every_backend};

const FIELDS: &str =
    "no word size few yes big inner { deep } list day _record { key revision id rescued } _rest";
const ROWS: usize = 14;

/// A list in an order that leaves nothing to chance.
fn list(condition: &str, order: &str, further: &str) -> String {
    let order = format!(
        "{}{{no: DESC}}]",
        order.trim_end_matches(']').to_owned() + if order == "[]" { "" } else { ", " }
    );
    format!("{{ aB(where: {condition}, orderBy: {order} {further}) {{ totalCount nodes {{ {FIELDS} }} }} }}")
}

/// What a moment was like.
struct Moment {
    cursor: Value,
    told: Vec<(String, String, Value)>,
    by_key: Value,
}

const BY_KEY: &str = "aBByKey(sourceUid: \"3\" AS_OF)";

async fn moment(app: &TestApp, random: &mut Random) -> Moment {
    let cursor = app.data("{ aB { pageInfo { cursor } } }").await["aB"]["pageInfo"]["cursor"].take();
    let mut told = Vec::new();
    for _ in 0..3 {
        let (condition, order) = (CONDITIONS[random.below(8)].to_owned(), order(random));
        let rows = app.data(&list(&condition, &order, "")).await["aB"].take();
        told.push((condition, order, rows));
    }
    let by_key = format!("{{ {} {{ {FIELDS} }} }}", BY_KEY.replace("AS_OF", ""));
    Moment { cursor, told, by_key: app.data(&by_key).await["aBByKey"].take() }
}

async fn write(app: &TestApp, random: &mut Random) {
    let no = random.below(ROWS);
    let path = format!("a/b/c/{no}");
    if random.below(4) == 0 {
        app.retract(&path).await;
    } else {
        app.source(&path, &document(random, no)).await;
    }
}

async fn is_as_it_was(app: &TestApp, moment: &Moment) {
    let as_of = format!(", asOf: {}", moment.cursor);
    for (condition, order, rows) in &moment.told {
        let query = list(condition, order, &as_of);
        assert_eq!(&app.data(&query).await["aB"], rows, "{query}");
    }
    let by_key = format!("{{ {} {{ {FIELDS} }} }}", BY_KEY.replace("AS_OF", &as_of));
    assert_eq!(app.data(&by_key).await["aBByKey"], moment.by_key, "{by_key}");
}

/// The numbers of all rows, page by page.
async fn paged(app: &TestApp, asked: &str, backward: bool, size: usize) -> Vec<Value> {
    let (count, cursor, edge, more) = if backward {
        ("last", "before", "startCursor", "hasPreviousPage")
    } else {
        ("first", "after", "endCursor", "hasNextPage")
    };
    let (mut pages, mut at) = (Vec::new(), String::new());
    loop {
        let query = format!(
            "{{ aB({asked}, {count}: {size}{at}) {{ edges {{ node {{ no }} }} \
             pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }}"
        );
        let page = app.data(&query).await["aB"].take();
        let edges = page["edges"].as_array().unwrap().iter();
        pages.push(edges.map(|edge| edge["node"]["no"].clone()).collect::<Vec<_>>());
        assert!(pages.len() < 100, "pages without end");
        if page["pageInfo"][more] != true {
            break;
        }
        at = format!(", {cursor}: {}", page["pageInfo"][edge]);
    }
    if backward {
        pages.reverse();
    }
    pages.concat()
}

on_every_backend! {
    async fn what_was_told_is_told_again(backend) {
        let app = TestApp::start(backend).await;
        let mut random = Random::new(41);
        // All fields have their types before anything is asked.
        app.source("a/b/c/0", &whole()).await;
        app.settled().await;
        let mut moments = Vec::new();
        for _ in 0..12 {
            for _ in 0..random.below(12) {
                write(&app, &mut random).await;
            }
            app.settled().await;
            moments.push(moment(&app, &mut random).await);
        }
        assert!(moments.iter().any(|moment| moment.by_key.is_null()), "it was gone at some time");
        for moment in &moments {
            is_as_it_was(&app, moment).await;
        }
        // What it is read by is the position that it is of.
        let cursor = &moments[3].cursor;
        let query = format!("{{ aB(asOf: {cursor}) {{ pageInfo {{ cursor }} }} }}");
        assert_eq!(&app.data(&query).await["aB"]["pageInfo"]["cursor"], cursor);
    }

    async fn its_pages_are_one_list_while_rows_come_and_go(backend) {
        let app = TestApp::start(backend).await;
        let mut random = Random::new(43);
        app.source("a/b/c/0", &whole()).await;
        for no in 0..ROWS {
            app.source(&format!("a/b/c/{no}"), &document(&mut random, no)).await;
        }
        app.settled().await;
        let then = moment(&app, &mut random).await;
        let mut others = Random::new(47);
        let disturb = async {
            loop {
                write(&app, &mut others).await;
            }
        };
        let reads = async {
            for _ in 0..12 {
                is_as_it_was(&app, &then).await;
                let asked = format!("orderBy: {}, asOf: {}", order(&mut random), then.cursor);
                let whole = paged(&app, &asked, false, 100).await;
                assert_eq!(whole.len(), ROWS, "{asked}");
                let size = random.below(4) + 1;
                for backward in [false, true] {
                    assert_eq!(paged(&app, &asked, backward, size).await, whole, "{asked} {backward} {size}");
                }
            }
        };
        tokio::select! {
            () = disturb => {}
            () = reads => {}
        }
    }

    async fn what_cannot_be_undone_is_said(backend) {
        let app = TestApp::start_with(backend, |config| config.consistency.as_of_changes_max = 5).await;
        app.source("a/b/c/1", &json!({"n": 1, "m": 1, "to": "x"})).await;
        app.source("d/e/f/x", &json!({"id": "x"})).await;
        app.settled().await;
        let position = async || {
            app.data("{ aB { pageInfo { cursor } } }").await["aB"]["pageInfo"]["cursor"].to_string()
        };
        let old = position().await;
        let asked = |at: &str| format!("{{ aB(asOf: {at}) {{ nodes {{ n }} }} }}");
        for n in 2..=6 {
            app.source("a/b/c/1", &json!({"n": n, "m": 1, "to": "x"})).await;
        }
        app.settled().await;
        assert_eq!(app.data(&asked(&old)).await, json!({"aB": {"nodes": [{"n": 1}]}}));
        let later = position().await;
        app.source("a/b/c/1", &json!({"n": 7, "m": 1, "to": "x"})).await;
        app.settled().await;
        assert_eq!(app.codes(&app.admin(), &asked(&old)).await, ["CURSOR_TOO_OLD"]);
        assert_eq!(app.data(&asked(&later)).await, json!({"aB": {"nodes": [{"n": 6}]}}));
        let relate = "mutation { acceptRelation(input: {from: {collection: \"aB\", path: \"/to\"}, \
                      to: {collection: \"dE\", path: \"/id\"}}) { name } }";
        let name = app.data(relate).await["acceptRelation"]["name"].as_str().unwrap().to_owned();
        let related = format!("{{ aB(asOf: {later}) {{ nodes {{ n {name} {{ id }} }} }} }}");
        assert_eq!(app.codes(&app.admin(), &related).await, ["BAD_REQUEST"]);
        let other = app.data("{ dE { pageInfo { cursor endCursor } } }").await["dE"]["pageInfo"].take();
        for wrong in [other["cursor"].to_string(), other["endCursor"].to_string(), "\"x\"".into()] {
            assert_eq!(app.codes(&app.admin(), &asked(&wrong)).await, ["BAD_REQUEST"], "{wrong}");
        }
        let retype = "mutation { decideField(input: {collection: \"aB\", path: \"/m\", type: \"String\"}) \
                      { __typename } }";
        app.data(retype).await;
        app.data_until("{ aB { nodes { m } } }", |data| data["aB"]["nodes"][0]["m"] == "1").await;
        assert_eq!(app.codes(&app.admin(), &asked(&later)).await, ["CURSOR_TOO_OLD"]);
        let now = position().await;
        app.source("a/b/c/1", &json!({"n": 8, "m": 2, "to": "x"})).await;
        app.settled().await;
        let query = format!("{{ aB(asOf: {now}) {{ nodes {{ n m }} }} }}");
        assert_eq!(app.data(&query).await, json!({"aB": {"nodes": [{"n": 7, "m": "1"}]}}));
    }

    async fn what_is_no_longer_kept_is_said(backend) {
        let app = TestApp::start_with(backend, |config| config.store.changes_kept_max = 300).await;
        app.source("a/b/c/1", &json!({"n": 0})).await;
        app.settled().await;
        let old = app.data("{ aB { pageInfo { cursor } } }").await["aB"]["pageInfo"]["cursor"].to_string();
        let lines: String = (1..700).map(|n| format!("{{\"id\":\"1\",\"n\":{n}}}\n")).collect();
        app.post("a/b/c?key=/id", "application/x-ndjson", lines, &[]).await;
        app.settled().await;
        let query = format!("{{ aB(asOf: {old}) {{ totalCount }} }}");
        assert_eq!(app.codes(&app.admin(), &query).await, ["CURSOR_TOO_OLD"]);
    }
}
