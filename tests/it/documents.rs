//! Documents that requests name without their text, and how many requests of one actor are in work at once.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{TestApp, eventually, on_backends, on_every_backend};

const DOCUMENT: &str = "query A { aB { nodes { n } } } query B { aBAggregate { count } }";
/// Of [`DOCUMENT`], by `sha256sum`.
const HASH: &str = "6bfa24ddd6ebb49bac8bf17e6894c8efb682b51507cd985d2f3bac18c92833e2";

async fn send(app: &TestApp, token: &str, body: &Value) -> (StatusCode, Value) {
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(token).json(body);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

on_every_backend! {
    async fn a_document_is_sent_once_and_then_named(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/s/1", &json!({"n": 1})).await;
        app.settled().await;
        let token = app.admin();
        let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": HASH}});
        let named = json!({"extensions": extensions, "operationName": "A"});
        let (_, answer) = send(&app, &token, &named).await;
        assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND");
        let whole = json!({"query": DOCUMENT, "extensions": extensions, "operationName": "B"});
        assert_eq!(send(&app, &token, &whole).await.1["data"]["aBAggregate"][0]["count"], 1);
        let rows = json!({"data": {"aB": {"nodes": [{"n": 1}]}}});
        assert_eq!(send(&app, &token, &named).await.1, rows);
        // Caches can keep what has a URL.
        let url = format!("{}/graphql", app.url);
        let query = [("extensions", extensions.to_string()), ("operationName", "A".to_owned())];
        let response = app.client.get(url).bearer_auth(&token).query(&query).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap(), rows);
        // Who may not see what it names sees nothing of it.
        let stranger = app.token("nobody", json!({}));
        assert!(send(&app, &stranger, &named).await.1.get("data").is_none());
    }

    async fn what_is_not_trusted_is_not_executed(backend) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), json!({"o1": DOCUMENT}).to_string()).unwrap();
        let app = TestApp::start_with(backend, |config| {
            config.graphql.trusted_documents = Some(file.path().to_owned());
            config.graphql.trusted_only = true;
        })
        .await;
        app.source("a/b/s/1", &json!({"n": 1})).await;
        app.settled().await;
        let reader = app.token("consumer", json!({}));
        let named = json!({"documentId": "o1", "operationName": "A"});
        let (status, answer) = send(&app, &reader, &named).await;
        assert_eq!((status, answer.get("errors")), (StatusCode::OK, None), "{answer}");
        let other = json!({"query": "{ aB { nodes { n } } }"});
        let (status, answer) = send(&app, &reader, &other).await;
        assert_eq!((status, &answer["errors"][0]["extensions"]["code"]), (StatusCode::FORBIDDEN, &json!("FORBIDDEN")));
        let (_, whole) = send(&app, &app.admin(), &other).await;
        assert!(whole.get("errors").is_none(), "{whole}");
        let text = "{ aB { nodes { n } } }";
        std::fs::write(file.path(), json!({"o1": DOCUMENT, "o2": text}).to_string()).unwrap();
        eventually("the file's documents", async || {
            let (_, answer) = send(&app, &reader, &json!({"documentId": "o2"})).await;
            if answer.get("errors").is_none() { Ok(()) } else { Err(answer) }
        })
        .await;
    }
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn an_actor_has_so_many_requests_in_work(backend) {
        let app = TestApp::start_with(backend, |config| config.graphql.concurrent_max = 1).await;
        app.source("a/b/s/1", &json!({"n": 1})).await;
        app.settled().await;
        let [ann, bob] = ["ann", "bob"].map(|name| app.token("admin", json!({"sub": name})));
        let query = "subscription { aB(snapshot: true) { op } }";
        let mut open = app.subscribe(&ann, query).await;
        assert_eq!(open.next().await["op"], "UPSERT");
        let ask = async |token: &str| app.ask(token, "{ aB { nodes { n } } }", json!({})).await;
        assert!(ask(&ann).await.get("errors").is_none(), "an open subscription is no request in work");
        let asked = (0..40).map(|_| ask(&ann));
        let answers = futures_util::future::join_all(asked).await;
        let refused = answers.iter().filter(|answer| answer.get("errors").is_some());
        let codes: Vec<&Value> = refused.map(|answer| &answer["errors"][0]["extensions"]["code"]).collect();
        assert!(codes.iter().all(|code| *code == "RATE_LIMITED"), "{codes:?}");
        assert!(codes.len() < 40);
        assert!(ask(&bob).await.get("errors").is_none());
        assert!(ask(&ann).await.get("errors").is_none(), "places are given back");
    }
}
