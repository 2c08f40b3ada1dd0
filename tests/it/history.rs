//! The history of a row: what it was, from the last change back to where it began, also of rows that are gone.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend};

async fn history(app: &TestApp, arguments: &str) -> Value {
    let query = format!(
        "{{ aBHistory({arguments}) {{ complete endCursor \
         nodes {{ op key at revision cursor node {{ n _record {{ revision }} }} before {{ n }} }} }} }}"
    );
    app.data(&query).await["aBHistory"].take()
}

/// Operation, and the value after and before, of each change.
fn told(history: &Value) -> Vec<(String, Value, Value)> {
    let entries = history["nodes"].as_array().unwrap().iter();
    let text = |entry: &Value| entry["op"].as_str().unwrap().to_owned();
    entries.map(|entry| (text(entry), entry["node"]["n"].clone(), entry["before"]["n"].clone())).collect()
}

fn upsert(after: impl Into<Value>, before: impl Into<Value>) -> (String, Value, Value) {
    ("UPSERT".into(), after.into(), before.into())
}

fn delete(before: impl Into<Value>) -> (String, Value, Value) {
    ("DELETE".into(), Value::Null, before.into())
}

on_every_backend! {
    async fn a_row_tells_what_it_was(backend) {
        let app = TestApp::start(backend).await;
        for n in 1..=3 {
            app.source("a/b/c/1", &json!({"n": n})).await;
            app.source("a/b/c/2", &json!({"n": -n})).await;
            app.settled().await;
        }
        app.retract("a/b/c/1").await;
        app.settled().await;
        let gone = vec![delete(3), upsert(3, 2), upsert(2, 1), upsert(1, Value::Null)];
        let all = history(&app, "sourceUid: \"1\"").await;
        assert_eq!((told(&all), &all["complete"], &all["endCursor"]), (gone.clone(), &json!(true), &Value::Null));
        // Several of one key in one commit, a deletion among them.
        for n in 4..=6 {
            app.source("a/b/c/1", &json!({"n": n})).await;
            if n == 5 {
                app.retract("a/b/c/1").await;
            }
        }
        app.settled().await;
        let now = [vec![upsert(6, Value::Null), delete(5), upsert(5, 4), upsert(4, Value::Null)], gone].concat();
        let all = history(&app, "sourceUid: \"1\", sourceName: \"c\"").await;
        assert_eq!(told(&all), now);
        let times: Vec<&str> = all["nodes"].as_array().unwrap().iter().map(|one| one["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|one, other| one >= other), "{times:?}");
        let first = &all["nodes"][0];
        assert_eq!((&first["key"], &first["revision"]), (&json!("a~b~c~1"), &first["node"]["_record"]["revision"]));
        let mut paged = Vec::new();
        let mut after = String::new();
        loop {
            let page = history(&app, &format!("sourceUid: \"1\", first: 3 {after}")).await;
            paged.extend(told(&page));
            let Some(end) = page["endCursor"].as_str() else {
                assert_eq!(page["complete"], true, "{page}");
                break;
            };
            assert_eq!(page["complete"], false, "{page}");
            after = format!("after: \"{end}\"");
        }
        assert_eq!(paged, now);
        let none = history(&app, "sourceUid: \"3\"").await;
        assert_eq!(none, json!({"complete": false, "endCursor": null, "nodes": []}));
    }

    async fn several_sources_with_one_uid_are_told_apart(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        app.source("a/b/d/1", &json!({"n": 2})).await;
        app.source("a/b/d/2", &json!({"n": 3})).await;
        app.settled().await;
        let query = "{ aBHistory(sourceUid: \"1\") { complete } }";
        assert_eq!(app.codes(&app.admin(), query).await, ["CONFLICT"]);
        let one = history(&app, "sourceUid: \"1\", sourceName: \"d\"").await;
        assert_eq!(told(&one), [upsert(2, Value::Null)]);
        assert_eq!(told(&history(&app, "sourceUid: \"2\"").await), [upsert(3, Value::Null)]);
    }

    async fn what_is_no_longer_kept_is_said(backend) {
        let app = TestApp::start_with(backend, |config| config.store.changes_kept_max = 20).await;
        for n in 1..=20 {
            app.source("a/b/c/1", &json!({"n": n})).await;
        }
        app.settled().await;
        let page = history(&app, "sourceUid: \"1\", first: 5").await;
        let after = page["endCursor"].to_string();
        assert_eq!(told(&page).len(), 5);
        for n in 1..=600 {
            app.source("a/b/c/2", &json!({"n": n})).await;
        }
        app.source("a/b/c/1", &json!({"n": 0})).await;
        app.settled().await;
        let page = history(&app, "sourceUid: \"1\"").await;
        assert_eq!((told(&page), &page["complete"]), (vec![upsert(0, 20)], &json!(false)), "{page}");
        let query = format!("{{ aBHistory(sourceUid: \"1\", after: {after}) {{ complete }} }}");
        assert_eq!(app.codes(&app.admin(), &query).await, ["CURSOR_TOO_OLD"]);
        let page = history(&app, "sourceUid: \"2\", first: 1000").await;
        let (shown, last) = (told(&page).len(), page["complete"].clone());
        assert!((1..600).contains(&shown) && last == json!(false), "{shown} {last}");
    }

    async fn a_field_that_was_retyped_or_renamed_is_told_as_it_is_now(backend) {
        let app = TestApp::start(backend).await;
        for n in [0, 1] {
            app.source("a/b/c/1", &json!({"n": n, "m": n})).await;
            app.settled().await;
        }
        let decide = |what: &str| {
            format!("mutation {{ decideField(input: {{collection: \"aB\", {what}}}) {{ __typename }} }}")
        };
        app.data(&decide("path: \"/n\", type: \"String\"")).await;
        app.data(&decide("path: \"/m\", name: \"renamed\"")).await;
        app.data_until("{ collection(name: \"aB\") { rebuild { state } } }", |data| {
            data["collection"]["rebuild"]["state"] == "DONE"
        })
        .await;
        app.source("a/b/c/1", &json!({"n": 2, "m": 2})).await;
        app.settled().await;
        let query = "{ aBHistory(sourceUid: \"1\") { nodes { node { n renamed } } } }";
        let data = app.data_until(query, |data| data["aBHistory"]["nodes"][0]["node"]["n"] == "2").await;
        // What was the row when the type came has it, what was gone by then has not.
        let mut nodes = data["aBHistory"]["nodes"].as_array().unwrap().iter().rev();
        assert_eq!(nodes.next().unwrap()["node"], json!({"n": null, "renamed": 0}), "{data}");
        assert_eq!(nodes.next().unwrap()["node"], json!({"n": "1", "renamed": 1}), "{data}");
    }
}
