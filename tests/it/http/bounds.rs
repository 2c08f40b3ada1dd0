//! What one request, and all of them together, may have: permission before the body, time, bytes.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use futures_util::{StreamExt, stream};
use reqwest::{Body, Response};
use serde_json::{Value, json};
use wellspring::telemetry::Clock;

use super::node::{Node, code};
use crate::support::{eventually, soon};

/// A body that says this and then never ends.
fn endless(begin: String) -> Body {
    let begin = stream::iter([Ok::<_, std::io::Error>(begin)]);
    Body::wrap_stream(begin.chain(stream::pending()))
}

const ROUTES: [&str; 2] = ["/source/a/b/c/d", "/source/a/b/c"];

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_send_is_told_before_the_body_is_read() {
    // Nothing but a refusal can be answered to a body that never ends.
    let node = Node::with(|config| config.server.request_timeout_ms = 3_600_000).await;
    let consumer = node.token(json!({"sub": "carl", "roles": ["consumer"]}));
    for route in ROUTES {
        for token in [None, Some(&consumer)] {
            let request =
                node.post(route).header("content-type", "application/json").body(endless("[".into()));
            let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
            let answer = soon("a refusal", request.send()).await.unwrap();
            assert_eq!(code(answer).await, (403, "FORBIDDEN".into()), "{route}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_being_read_share_a_room() {
    let node = Node::with(|config| {
        config.server.request_timeout_ms = 3_600_000;
        config.server.bodies_bytes_max = 10_000;
        config.sourcing.record_bytes_max = 10_000;
        config.graphql.body_bytes_max = 10_000;
    })
    .await;
    let text = format!("[{{\"id\":1,\"text\":\"{}\"}}", "x".repeat(4_970));
    let asked = |route: &'static str| {
        let request = node.post(route).bearer_auth(node.admin()).header("content-type", "application/json");
        request.body(format!("{text}{}]", " ".repeat(1_000)))
    };
    for (stuck, asking) in [(ROUTES[0], ROUTES[1]), (ROUTES[1], ROUTES[0]), (ROUTES[1], "/graphql")] {
        // What never ends holds its bytes. When it comes while another is asking it is refused itself, and tries again.
        let held = async {
            loop {
                let request =
                    node.post(stuck).bearer_auth(node.admin()).body(endless(text.replace('}', " ")));
                request.header("content-type", "application/json").send().await.unwrap();
            }
        };
        let refused = eventually("a body that has no room", async || {
            let answer = asked(asking).send().await.unwrap();
            if answer.status() == 429 { Ok(answer) } else { Err(answer.status()) }
        });
        let answer = tokio::select! { answer = refused => answer, () = held => unreachable!() };
        assert_eq!(answer.headers()["retry-after"], "1", "{stuck} {asking}");
        let body: Value = answer.json().await.unwrap();
        assert!(body.to_string().contains("BACKPRESSURE"), "{stuck} {asking}: {body}");
        // The one that held the room has been given up: it is free again.
        eventually("room for a body", async || {
            let answer = asked(ROUTES[1]).send().await.unwrap();
            if answer.status() == 202 { Ok(()) } else { Err(answer.status()) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_no_more_room_than_its_documents() {
    let node = Node::with(|config| {
        config.server.bodies_bytes_max = 2_000;
        config.sourcing.record_bytes_max = 2_000;
        config.graphql.body_bytes_max = 2_000;
    })
    .await;
    // Ten times the room in sum, and one document that is larger than any may be, which is refused alone.
    let line = |n: usize, bytes: usize| format!("{{\"id\":{n},\"text\":\"{}\"}}\n", "x".repeat(bytes));
    let pieces: Vec<String> = (0..40).map(|n| line(n, if n == 20 { 9_000 } else { 500 })).collect();
    let all = pieces.concat().into_bytes();
    let small = all.chunks(100).map(<[u8]>::to_vec).map(Ok::<_, std::io::Error>);
    let body = Body::wrap_stream(stream::iter(small.collect::<Vec<_>>()));
    let request = node.post("/source/a/b/c?key=/id").bearer_auth(node.admin());
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["accepted"], &answer["rejectedTotal"]), (&json!(39), &json!(1)), "{answer}");
    assert_eq!(answer["rejected"][0]["code"], "TOO_LARGE", "{answer}");
}

async fn timed_out(answer: Response) {
    assert_eq!(answer.status(), 504);
    let body: Value = answer.json().await.unwrap();
    let error = if body["error"].is_null() { &body["errors"][0]["extensions"] } else { &body["error"] };
    assert_eq!(error["code"], "TIMEOUT", "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_given_up() {
    let node = Node::with(|config| config.server.request_timeout_ms = 200).await;
    for route in [ROUTES[0], ROUTES[1], "/graphql"] {
        let request = node.post(route).bearer_auth(node.admin()).header("content-type", "application/json");
        let answer = soon("a time-out", request.body(endless("[{},".into())).send()).await.unwrap();
        timed_out(answer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_come_to_an_end_is_given_up() {
    let node = Node::with(|config| config.server.request_timeout_ms = 300).await;
    let document = json!({"query": concat!(
        r#"mutation{source(input:{category:"a",subcategory:"b",sourceName:"c",sourceUid:"d","#,
        r#"data:{x:1}}){id}}"#
    )});
    let holder = node.hold_database();
    for accept in ["application/json", "text/event-stream"] {
        let request = node.post("/graphql").bearer_auth(node.admin()).header("accept", accept);
        timed_out(soon("a time-out", request.json(&document).send()).await.unwrap()).await;
    }
    drop(holder);
    // The database writes again, and so it is answered in time.
    eventually("an answer", async || {
        let answer = node.graphql(document["query"].as_str().unwrap()).await;
        if answer["errors"].is_null() { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn event_streams_are_bounded_in_number_and_by_their_token() {
    let node = Node::with(|config| {
        config.subscriptions.open_max = 1;
        config.auth.leeway_s = 0;
    })
    .await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let open = async |token: String| {
        let query = json!({"query": "subscription { gardenPlant(snapshot: true) { op } }"});
        let request = node.post("/graphql").bearer_auth(token).header("accept", "text/event-stream");
        request.json(&query).send().await.unwrap()
    };
    let seconds = Clock::system().now_us() / 1_000_000;
    let first = open(node.token(json!({"sub": "a", "roles": ["admin"], "exp": seconds + 4}))).await;
    assert_eq!(first.status(), 200);
    let second = open(node.admin()).await;
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    let text = soon("the end of the stream, with the token's", first.text()).await.unwrap();
    assert!(text.contains("CAUGHT_UP") && !text.contains("complete"), "{text}");
    eventually("room for the next", async || {
        let answer = open(node.admin()).await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.status()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_ends_with_its_token() {
    let ahead_us = Arc::new(AtomicI64::new(0));
    let (system, offset) = (Clock::system(), ahead_us.clone());
    let clock = Clock::from_fn(move || system.now_us() + offset.load(Ordering::Relaxed));
    let node = Node::with_clock(clock, |config| {
        (config.graphql.page_max, config.graphql.page_default) = (1, 1);
    })
    .await;
    // More than the buffers between the node and a client that does not read can hold.
    for n in 0..24 {
        node.source(&format!("big/text/test/{n}"), &json!({"text": "x".repeat(1_000_000)})).await;
    }
    node.until("{ bigText { totalCount } }", |a| a["data"]["bigText"]["totalCount"] == 24).await;
    let answer = node.get("/data/bigText.ndjson").bearer_auth(node.admin()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut chunks = answer.bytes_stream();
    soon("the first rows", chunks.next()).await.unwrap().unwrap();
    // Ten minutes are the token's life; an export may take an hour.
    ahead_us.store(11 * 60 * 1_000_000, Ordering::Relaxed);
    let broken = soon("the end", chunks.any(|chunk| std::future::ready(chunk.is_err()))).await;
    assert!(broken, "a part must not look like the whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_with_its_token() {
    let ahead_us = Arc::new(AtomicI64::new(0));
    let (system, offset) = (Clock::system(), ahead_us.clone());
    let clock = Clock::from_fn(move || system.now_us() + offset.load(Ordering::Relaxed));
    let node = Node::with_clock(clock, |_| ()).await;
    // What comes first is good; when the rest comes ten minutes have passed, which are the token's life.
    let (late, rest) = tokio::sync::oneshot::channel();
    let rest = async { Ok::<_, std::io::Error>(rest.await.unwrap()) };
    let body = stream::iter([Ok("{\"n\":1}\n")]).chain(stream::once(rest)).chain(stream::pending());
    let request =
        node.post(ROUTES[1]).bearer_auth(node.admin()).header("content-type", "application/x-ndjson");
    let ten_minutes_later = async {
        eventually("the batch is in work", async || {
            let text = node.metrics.render();
            if text.contains("wellspring_requests_open 1") { Ok(()) } else { Err(text) }
        })
        .await;
        ahead_us.store(11 * 60 * 1_000_000, Ordering::Relaxed);
        late.send("{\"n\":2}\n").unwrap();
    };
    let answer = soon("the end", request.body(Body::wrap_stream(body)).send());
    let (answer, ()) = tokio::join!(answer, ten_minutes_later);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 401);
    let answer: Value = answer.json().await.unwrap();
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("expired") && message.contains("of the first"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_socket_does_not_pass_a_bad_token() {
    let node = Node::start().await;
    for (method, path) in
        [("GET", "/graphql/schema"), ("POST", "/graphql"), ("GET", "/data/x"), ("POST", ROUTES[0])]
    {
        let method = method.parse().unwrap();
        let request = node.client.request(method, format!("{}{path}", node.url)).bearer_auth("nonsense");
        let answer =
            request.header("upgrade", "websocket").header("connection", "upgrade").send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
}
