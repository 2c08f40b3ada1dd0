//! Large rows: an answer has a bound in bytes and says so; what streams takes smaller steps instead.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends};

/// Ten rows of 20 KB, where an answer may have 100 KB and a step of a subscription 50 KB.
async fn large(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        config.graphql.answer_bytes_max = 100_000;
        config.subscriptions.batch_bytes_max = 50_000;
    })
    .await;
    for n in 0..10 {
        let text = "x".repeat(20_000);
        app.source(&format!("a/b/c/{n}"), &json!({"n": n, "text": text, "l": [{"text": text}]})).await;
    }
    app.settled().await;
    app
}

fn numbers(rows: &[Value]) -> Vec<i64> {
    let mut numbers: Vec<i64> = rows.iter().map(|row| row["node"]["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn an_answer_is_bounded_in_bytes_and_a_stream_takes_smaller_steps(backend) {
        let app = large(backend).await;
        let admin = app.admin();
        let read = app.data("{ aB(first: 4) { nodes { n text } } }").await;
        assert_eq!(read["aB"]["nodes"].as_array().unwrap().len(), 4);
        let many: String = (0..8).map(|n| format!("a{n}: text ")).collect();
        let roots: String = (0..3).map(|n| format!("r{n}: aB(first: 2) {{ nodes {{ text }} }} ")).collect();
        for query in [
            "{ aB(first: 6) { nodes { n text } } }".to_owned(),
            "{ aB(first: 6) { edges { cursor node { text } } } }".to_owned(),
            format!("{{ aB(first: 1) {{ nodes {{ {many} }} }} }}"),
            format!("{{ aB(first: 1) {{ nodes {{ l {{ {many} }} }} }} }}"),
            format!("{{ aBByKey(sourceUid: \"1\") {{ {many} }} }}"),
            "{ aBAggregate(groupBy: [n]) { max { text } } }".to_owned(),
            format!("{{ {roots} }}"),
            "{ records(first: 10) { dataObj } }".to_owned(),
        ] {
            let codes = app.codes(&admin, &query).await;
            assert!(!codes.is_empty() && codes.iter().all(|code| code == "TOO_COMPLEX"), "{query}: {codes:?}");
        }
        let raw = app.data("{ records(first: 10) { id payloadHash } one: records(first: 1) { dataObj } }").await;
        assert_eq!(raw["records"].as_array().unwrap().len(), 10);
        assert_eq!(raw["one"][0]["dataObj"]["text"].as_str().unwrap().len(), 20_000);
        // An export gives all of it, in smaller pages.
        let url = format!("{}/data/aB.ndjson?fields=n,text", app.url);
        let rows = app.client.get(url).bearer_auth(&admin).send().await.unwrap().text().await.unwrap();
        assert_eq!(rows.lines().count(), 10, "{} bytes", rows.len());
        // So does a subscription, from a snapshot and from what was missed.
        let query = "subscription { aB(snapshot: true) { op node { n text } } }";
        let mut live = app.subscribe(&admin, query).await;
        assert_eq!(numbers(&live.until_op("CAUGHT_UP").await), (0..10).collect::<Vec<_>>());
        let read = app.data("{ aB(first: 0) { pageInfo { cursor } } }").await;
        for n in 0..10 {
            app.source(&format!("a/b/c/{n}"), &json!({"n": n + 10, "text": "y".repeat(20_000)})).await;
        }
        app.settled().await;
        let cursor = &read["aB"]["pageInfo"]["cursor"];
        let query = format!("subscription {{ aB(after: {cursor}) {{ op node {{ n text }} }} }}");
        let mut missed = app.subscribe(&admin, &query).await;
        assert_eq!(numbers(&missed.until_op("CAUGHT_UP").await), (10..20).collect::<Vec<_>>());
        let mut heard = Vec::new();
        for _ in 0..10 {
            heard.push(live.next().await);
        }
        assert_eq!(numbers(&heard), (10..20).collect::<Vec<_>>());
    }
}
