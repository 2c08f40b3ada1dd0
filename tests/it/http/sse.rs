//! Results as server-sent events, one connection per operation.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use super::node::Node;

/// Reads the stream's text until it has `what`, or it ends.
async fn read_until(response: reqwest::Response, what: &str) -> String {
    let mut text = String::new();
    let mut chunks = response.bytes_stream();
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
            if text.contains(what) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("nothing more came");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_one_event_and_the_end() {
    let node = Node::start().await;
    let request = node.post("/graphql").header("accept", "text/event-stream");
    let answer = request.json(&json!({"query": "{__typename}"})).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = answer.text().await.unwrap();
    assert_eq!(
        text,
        "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\nevent: complete\ndata: \n\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_refused_says_so_in_an_event() {
    let node = Node::start().await;
    let request = node.get("/graphql?query=%7Bnothing%7D").header("accept", "text/event-stream");
    let text = request.send().await.unwrap().text().await.unwrap();
    assert!(text.starts_with("event: next\ndata: {\"errors\":"), "{text}");
    assert!(text.ends_with("event: complete\ndata: \n\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_delivers_what_is_sourced_and_shows_that_it_lives() {
    let node = Node::with(|config| config.subscriptions.keepalive_ms = 20).await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let query = "subscription { gardenPlant(snapshot: true) { op node { name } } }";
    let request = node.post("/graphql").bearer_auth(node.admin()).header("accept", "text/event-stream");
    let answer = request.json(&json!({"query": query})).send().await.unwrap();
    let reading = tokio::spawn(read_until(answer, "Fig"));
    node.source("garden/plant/greenhouse/2", &json!({"name": "Fig"})).await;
    let text = reading.await.unwrap();
    assert!(text.contains(r#""op":"CAUGHT_UP""#) && text.contains("Fern"), "{text}");
    let request = node.post("/graphql").bearer_auth(node.admin()).header("accept", "text/event-stream");
    let answer = request.json(&json!({"query": query})).send().await.unwrap();
    assert!(read_until(answer, "\n\n:\n\n").await.contains("\n\n:\n\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_ends_open_streams() {
    let node = Node::start().await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let query = "subscription { gardenPlant(snapshot: true) { op } }";
    let request = node.post("/graphql").bearer_auth(node.admin()).header("accept", "text/event-stream");
    let answer = request.json(&json!({"query": query})).send().await.unwrap();
    let mut chunks = answer.bytes_stream();
    chunks.next().await.unwrap().unwrap();
    assert_eq!(node.metrics.subscriptions(), 1);
    tokio::time::timeout(Duration::from_secs(8), node.stop())
        .await
        .expect("the stream held the node up")
        .unwrap();
}
