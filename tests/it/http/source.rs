//! The source routes: receipts, idempotency, batches in every format, bounds, and what a bad record does
//! to others.

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::node::{Node, code};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_gets_a_receipt_once() {
    let node = Node::start().await;
    let send = |body: Value| {
        let request = node.post("/source/order/clothing/webshop/o%201~x").bearer_auth(node.admin());
        request.header("idempotency-key", "k1").json(&body).send()
    };
    let first = send(json!({"total": 5})).await.unwrap();
    assert_eq!(first.status(), 202);
    let first: Value = first.json().await.unwrap();
    assert_eq!(first["key"], "order~clothing~webshop~o%201%7Ex", "{first}");
    assert_eq!((&first["revision"], &first["duplicate"]), (&json!(1), &json!(false)), "{first}");
    let again: Value = send(json!({"total": 5})).await.unwrap().json().await.unwrap();
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)), "{again}");
    let other = send(json!({"total": 6})).await.unwrap();
    assert_eq!(code(other).await, (409, "CONFLICT".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_a_typed_error() {
    let node = Node::with(|config| {
        config.sourcing.record_bytes_max = 10_000;
        config.sourcing.batch_bytes_max = 20_000;
    })
    .await;
    let send = |content_type: &'static str, body: Vec<u8>| {
        let request = node.post("/source/a/b/c/d").bearer_auth(node.admin());
        request.header("content-type", content_type).body(body).send()
    };
    let deep = [vec![b'['; 200], vec![b']'; 200]].concat();
    let cases: Vec<(&str, Vec<u8>, u16, &str)> = vec![
        ("application/json", b"{".to_vec(), 400, "BAD_REQUEST"),
        ("application/json", Vec::new(), 400, "BAD_REQUEST"),
        ("application/json", vec![b' '; 10_001], 413, "TOO_LARGE"),
        ("application/json", deep, 413, "TOO_LARGE"),
        ("application/json", b"{\"a\":\"\xff\"}".to_vec(), 400, "BAD_REQUEST"),
        ("image/png", b"x".to_vec(), 415, "BAD_REQUEST"),
    ];
    for (content_type, body, status, expected) in cases {
        let shown = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        assert_eq!(code(send(content_type, body).await.unwrap()).await, (status, expected.into()), "{shown}");
    }
    for (name, values, says) in [
        ("data-usage-agreement", vec!["yes"], "list of objects"),
        ("data-usage-agreement", vec![r#"["billing","www.dua.org",1]"#], "list of objects"),
        ("data-usage-agreement", vec!["[]", "[]"], "twice"),
        ("data-tracker-chain", vec!["a", "b"], "twice"),
        ("idempotency-key", vec!["a", "b"], "twice"),
    ] {
        let mut request = node.post("/source/a/b/c/d").bearer_auth(node.admin()).json(&json!({}));
        for value in &values {
            request = request.header(name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400, "{name} {values:?}");
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains(says), "{answer}");
    }
    let bad_part = node.post("/source/a/b/c/%FF").bearer_auth(node.admin()).json(&json!({}));
    assert_eq!(code(bad_part.send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_documents_are_kept_as_they_were_sent() {
    let node = Node::start().await;
    let odd = r#"{"a\u0000b":1e400,"dup":1,"dup":2,"":null,"🦀":"\ud83d\ude00"}"#;
    let request = node.post("/source/odd/json/test/1").bearer_auth(node.admin());
    let answer = request.header("content-type", "application/json").body(odd).send().await.unwrap();
    assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
    for (uid, body) in [("2", "5"), ("3", "[1,2]"), ("4", "null"), ("5", "\"x\"")] {
        let request = node.post(&format!("/source/odd/json/test/{uid}")).bearer_auth(node.admin());
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_come_in_every_format_and_a_bad_record_fails_alone() {
    let node = Node::start().await;
    let bodies = [
        ("application/json", r#"[{"id":1,"n":1}, {"n":2}, {"id":"x","n":3}]"#),
        ("application/x-ndjson", "{\"id\":1,\"n\":1}\n{\"n\":2}\n{\"id\":\"x\",\"n\":3}\n"),
    ];
    for (content_type, body) in bodies {
        let request = node.post("/source/batch/test/feed?key=/id").bearer_auth(node.admin());
        let answer = request.header("content-type", content_type).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["accepted"], 2, "{content_type} {answer}");
        assert_eq!(answer["rejected"][0]["index"], 1, "{content_type} {answer}");
        assert_eq!(answer["rejected"][0]["code"], "UNPROCESSABLE", "{content_type} {answer}");
        assert_eq!(answer["receipts"][1]["key"], "batch~test~feed~x", "{content_type} {answer}");
    }
    let request = node.post("/source/batch/csv/feed?key=/id").bearer_auth(node.admin());
    let answer = request.header("content-type", "text/csv").body("id,n\n1,2\n3,4\n").send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap()["accepted"], 2);
    let request = node.post("/source/batch/csv/feed?kye=/id").bearer_auth(node.admin());
    assert_eq!(code(request.body("[]").send().await.unwrap()).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_again_repeats_nothing() {
    let node = Node::start().await;
    let send = || {
        let request = node.post("/source/batch/test/feed").bearer_auth(node.admin());
        request.header("idempotency-key", "load-1").json(&json!([{"a": 1}, {"a": 2}])).send()
    };
    let first: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!(first["receipts"][1]["key"], "batch~test~feed~load-1:1", "{first}");
    let again: Value = send().await.unwrap().json().await.unwrap();
    assert_eq!(again["accepted"], 2, "{again}");
    assert!(again["receipts"].as_array().unwrap().iter().all(|r| r["duplicate"] == true), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_streams_through() {
    let node = Node::with(|config| config.sourcing.receipts_listed_max = 5).await;
    let pieces = (0..200).map(|piece| {
        let lines: String = (0..50).map(|n| format!("{{\"id\":\"{piece}-{n}\",\"n\":{n}}}\n")).collect();
        Ok::<_, std::io::Error>(lines)
    });
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
    let request = node.post("/source/batch/large/feed?key=/id").bearer_auth(node.admin());
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["accepted"], 10_000, "{answer}");
    assert_eq!(answer["receipts"].as_array().unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_bounded_by_what_it_becomes() {
    let node = Node::with(|config| {
        config.sourcing.record_bytes_max = 10_000;
        config.sourcing.batch_bytes_max = 20_000;
    })
    .await;
    let send = async |body: String, key: Option<&str>| {
        let mut request = node.post("/source/table/wide/feed").bearer_auth(node.admin());
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.header("content-type", "text/csv").body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    // 2 kB of rows, which become 1 MB.
    let rows = format!("{}\n{}", "n".repeat(1_000), "1\n".repeat(1_000));
    let (status, answer) = send(rows.clone(), None).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!("TOO_LARGE")), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("of the first 20 records 20 were accepted: without an"), "{message}");
    assert!(message.contains("`sourcing.batch_bytes_max`"), "{message}");
    let (_, answer) = send(rows, Some("load")).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("with the same `Idempotency-Key` they are not repeated"), "{message}");
    for (body, says) in [
        (format!("{}\n1\n", "n".repeat(1_025)), "`sourcing.table_name_bytes_max`"),
        (format!("{}\n1\n", ",".repeat(10_000)), "`sourcing.table_columns_max`"),
    ] {
        let (status, answer) = send(body, None).await;
        assert_eq!((status, &answer["rejected"][0]["code"]), (202, &json!("TOO_LARGE")), "{answer}");
        assert!(answer["rejected"][0]["message"].as_str().unwrap().contains(says), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_stalls_says_what_became_of_it() {
    let node = Node::with(|config| config.server.request_timeout_ms = 300).await;
    let begin = futures_util::stream::iter([Ok::<_, std::io::Error>("{\"n\":1}\n{\"n\":2}\n{\"n\"")]);
    let body = reqwest::Body::wrap_stream(begin.chain(futures_util::stream::pending()));
    let request = node.post("/source/batch/stalled/feed").bearer_auth(node.admin());
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 504);
    let answer: Value = answer.json().await.unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("of the first 2 records 2 were accepted: without an"), "{message}");
}
