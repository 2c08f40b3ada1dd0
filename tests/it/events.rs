//! What happens to shapes is told to stewards: every version once, in order, on every node, within their scope.

use std::fs;

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Subscription, TestApp, on_backends, on_every_backend, soon};

const ALL: &str = "cursor at kind collection version cause subject changes { path change from to }";

async fn listen(app: &TestApp, arguments: &str) -> Subscription {
    app.subscribe(
        &app.token("steward", json!({})),
        &format!("subscription {{ events{arguments} {{ {ALL} }} }}"),
    )
    .await
}

/// A listener to all that is still to come, which hears by now, and where it is.
async fn hearing(app: &TestApp) -> (Subscription, String) {
    let mut events = listen(app, "").await;
    let first = events.next().await;
    assert_eq!(first["kind"], "CAUGHT_UP", "{first}");
    (events, first["cursor"].as_str().unwrap().to_owned())
}

async fn after(app: &TestApp, cursor: &str, count: usize) -> Vec<Value> {
    let mut events = listen(app, &format!("(after: \"{cursor}\")")).await;
    let mut told = Vec::new();
    for _ in 0..count {
        told.push(events.next().await);
    }
    assert_eq!(events.next().await["kind"], "CAUGHT_UP");
    told
}

async fn decide(app: &TestApp, input: &str) -> Value {
    let token = app.token("steward", json!({"sub": "stella"}));
    let query = format!("mutation {{ decideField(input: {{{input}}}) {{ version }} }}");
    app.data_as(&token, &query).await["decideField"]["version"].clone()
}

on_every_backend! {
    async fn each_version_is_told_once_with_who_or_what_made_it(backend) {
        let app = TestApp::start(backend).await;
        let (mut events, start) = hearing(&app).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        let made = events.next().await;
        assert_eq!(
            (&made["kind"], &made["collection"], &made["version"], &made["subject"]),
            (&json!("COLLECTION_PUBLISHED"), &json!("aB"), &json!(1), &Value::Null)
        );
        assert_eq!(made["changes"], json!([{"path": "/n", "change": "ADDED", "from": null, "to": "Int"}]));
        assert!(made["at"].is_string(), "{made}");
        app.source("a/b/c/2", &json!({"n": 1.5, "late": "x"})).await;
        let changed = events.next().await;
        assert_eq!((&changed["kind"], &changed["version"]), (&json!("SHAPE_CHANGED"), &json!(2)));
        let kinds: Vec<&Value> = changed["changes"].as_array().unwrap().iter().map(|one| &one["change"]).collect();
        assert_eq!(kinds, ["WIDENED", "ADDED"]);
        assert_eq!(decide(&app, "collection: \"aB\", path: \"/n\", description: \"how many\"").await, 3);
        let decided = events.next().await;
        assert_eq!(
            (&decided["kind"], &decided["subject"], &decided["changes"][0]["to"]),
            (&json!("DECIDED"), &json!("stella"), &json!("how many"))
        );
        let told = [made, changed, decided];
        let mut cursor = start;
        for (done, event) in told.iter().enumerate() {
            assert_eq!(after(&app, &cursor, told.len() - done).await, told[done..]);
            cursor = event["cursor"].as_str().unwrap().to_owned();
        }
        assert_eq!(after(&app, &cursor, 0).await, Vec::<Value>::new());
        // What is not asked for is passed over, here and when it goes on.
        app.source("a/c/c/1", &json!({"n": 1})).await;
        let arguments = format!("(after: \"{}\", collection: \"aB\", kinds: [DECIDED, CAUGHT_UP])", told[0]["cursor"]
            .as_str().unwrap());
        let mut chosen = listen(&app, &arguments).await;
        assert_eq!(chosen.next().await, told[2]);
        assert_eq!(chosen.next().await["kind"], "CAUGHT_UP");
        assert_eq!(events.next().await["collection"], "aC");
        decide(&app, "collection: \"aC\", path: \"/n\", description: \"other\"").await;
        decide(&app, "collection: \"aB\", path: \"/n\", description: \"this\"").await;
        assert_eq!(chosen.next().await["changes"][0]["to"], "this");
    }

    async fn events_are_kept_over_a_restart_and_come_as_server_sent_events(backend) {
        let app = TestApp::start(backend).await;
        let (mut events, start) = hearing(&app).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        let made = events.next().await;
        drop(events);
        let app = app.restart().await;
        assert_eq!(after(&app, &start, 1).await, std::slice::from_ref(&made));
        let query = format!("subscription {{ events(after: \"{start}\") {{ kind collection }} }}");
        let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
        let request = request.header("accept", "text/event-stream").json(&json!({"query": query}));
        let mut stream = request.send().await.unwrap().bytes_stream();
        let mut text = String::new();
        while !text.contains("CAUGHT_UP") {
            let part = soon("an event", stream.next()).await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(&part).unwrap());
        }
        let told = "data: {\"data\":{\"events\":{\"kind\":\"COLLECTION_PUBLISHED\",\"collection\":\"aB\"}}}";
        assert!(text.contains(told), "{text}");
    }

    async fn whoever_may_not_steward_is_told_nothing(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        app.settled().await;
        for (role, query, code) in [
            ("consumer", "events { kind }", "FORBIDDEN"),
            ("source", "events(collection: \"aB\") { kind }", "FORBIDDEN"),
            ("consumer", "events(collection: \"nothing\") { kind }", "FORBIDDEN"),
            ("steward", "events(collection: \"nothing\") { kind }", "NOT_FOUND"),
            ("steward", "events(after: \"nothing\") { kind }", "BAD_REQUEST"),
        ] {
            let query = format!("subscription {{ {query} }}");
            let mut refused = app.subscribe(&app.token(role, json!({})), &query).await;
            let message = refused.receive().await;
            assert_eq!(message["payload"][0]["extensions"]["code"], code, "{query}: {message}");
        }
        // Nor by a cursor of something else.
        let rows = app.data("{ aB { pageInfo { cursor } } }").await;
        let cursor = rows["aB"]["pageInfo"]["cursor"].as_str().unwrap();
        let mut refused = listen(&app, &format!("(after: \"{cursor}\")")).await;
        assert_eq!(refused.receive().await["payload"][0]["extensions"]["code"], "BAD_REQUEST");
    }

    async fn what_a_steward_may_not_see_is_not_told(backend) {
        let mut file = std::path::PathBuf::new();
        const RULES: &str = r#"
            allow(user: User, "source", _: Source) if "source" in user.roles;
            allow(user: User, "steward", _: Source) if "steward" in user.roles;
            allow(user: User, _, _) if "admin" in user.roles;
            allow_field(_, "read", _: Row, field: Field) if field.name = "n";
            allow_field(user: User, "read", _: Row, _: Field) if "admin" in user.roles;
            allow(user: User, "read", _: AB) if "steward" in user.roles;
        "#;
        let app = TestApp::start_with(backend, |config| {
            let policies = config.store.data.join("policies");
            fs::create_dir_all(&policies).unwrap();
            file = policies.join("rules.polar");
            fs::write(&file, RULES).unwrap();
        })
        .await;
        let (mut events, start) = hearing(&app).await;
        app.source("a/hidden/c/1", &json!({"zqall": 1})).await;
        app.settled().await;
        app.source("a/b/c/1", &json!({"n": 1, "secret": {"zqnested": "zqvalue"}})).await;
        let made = events.next().await;
        assert_eq!((&made["collection"], made["changes"].as_array().unwrap().len()), (&json!("aB"), 1), "{made}");
        decide(&app, "collection: \"aB\", path: \"/secret\", description: \"zqdescription\"").await;
        decide(&app, "collection: \"aB\", path: \"/secret/zqnested\", tags: [\"zqtag\"]").await;
        let decided = [events.next().await, events.next().await];
        for event in &decided {
            assert_eq!((&event["kind"], &event["subject"]), (&json!("DECIDED"), &json!("stella")));
        }
        let told = format!("{made}{decided:?}{:?}", after(&app, &start, 3).await);
        for hidden in ["zqall", "zqnested", "zqvalue", "zqdescription", "zqtag", "secret"] {
            assert!(!told.contains(hidden), "{told}");
        }
        // Who is no steward any more hears nothing more.
        fs::write(&file, RULES.replace("\"steward\" in", "\"nobody\" in")).unwrap();
        let message = events.receive().await;
        assert_eq!(message["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN", "{message}");
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn two_nodes_tell_the_same_in_the_same_order(backend) {
        let app = TestApp::start(backend).await;
        let beside = app.beside().await;
        let ((mut here, start), (mut there, _)) = (hearing(&app).await, hearing(&beside).await);
        let send = async |node: &TestApp, name: &str| {
            for n in 0..4 {
                let path = format!("a/{name}/c/{n}");
                node.source(&path, &json!({format!("f{n}"): n})).await;
            }
        };
        tokio::join!(
            send(&app, "one"), send(&beside, "two"), send(&app, "three"), send(&beside, "four"), send(&app, "five"),
        );
        app.settled().await;
        // How many versions there are depends on what was settled together.
        let query = "{ collections { name versions { version } } }";
        let count = |data: &Value| -> usize {
            data["collections"].as_array().unwrap().iter().map(|one| one["versions"].as_array().unwrap().len()).sum()
        };
        let all = count(&app.data(query).await);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..all {
            first.push(here.next().await);
            second.push(there.next().await);
        }
        assert_eq!(first, second);
        let version = |one: &Value| format!("{} {}", one["collection"], one["version"]);
        let mut seen: Vec<String> = first.iter().map(version).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
        let mut cursor = start;
        for (done, event) in first.iter().enumerate() {
            assert_eq!(after(&beside, &cursor, all - done).await, first[done..]);
            cursor = event["cursor"].as_str().unwrap().to_owned();
        }
        let version = decide(&beside, "collection: \"aOne\", path: \"/f0\", description: \"x\"").await;
        for events in [&mut here, &mut there] {
            let decided = events.next().await;
            assert_eq!((&decided["kind"], &decided["version"]), (&json!("DECIDED"), &version));
        }
    }
}
