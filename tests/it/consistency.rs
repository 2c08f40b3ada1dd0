//! Reading what one has written, on any node: by the cursor of a receipt or of a change, by argument, header and URL.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::parked::one_hop_too_far;
use crate::support::{TestApp, on_backends, on_every_backend};

/// What is written and read at once, so often on each backend.
const ROUNDS: usize = 60;
/// The same on two nodes.
const ROUNDS_APART: usize = 1_000;

fn cursor(receipt: &Value) -> &str {
    receipt["cursor"].as_str().unwrap()
}

/// A query as admin with a header.
fn headed(app: &TestApp, cursors: &str, query: &str) -> RequestBuilder {
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
    request.header("wellspring-min-cursor", cursors).json(&json!({"query": query}))
}

async fn answer(request: RequestBuilder) -> Value {
    request.send().await.unwrap().json().await.unwrap()
}

async fn by_url(app: &TestApp, collection: &str, cursor: &str) -> Value {
    let url = format!("{}/data/{collection}?fields=n&minCursor={cursor}", app.url);
    answer(app.client.get(url).bearer_auth(app.admin())).await
}

fn code(answer: &Value) -> &str {
    let code = [&answer["errors"][0]["extensions"]["code"], &answer["error"]["code"]];
    code.iter().find_map(|code| code.as_str()).unwrap_or("none")
}

/// One row by each root field, on `reader`, as it must be right after `n` was written on `writer`.
async fn written_is_read(writer: &TestApp, reader: &TestApp, n: usize) {
    let receipt = writer.source("a/b/c/1", &json!({"n": n})).await;
    let at = cursor(&receipt);
    let queries = [
        (format!("{{ aB(minCursor: \"{at}\") {{ nodes {{ n }} }} }}"), json!({"aB": {"nodes": [{"n": n}]}})),
        (
            format!("{{ aBByKey(sourceUid: \"1\", minCursor: \"{at}\") {{ n }} }}"),
            json!({"aBByKey": {"n": n}}),
        ),
        (
            format!("{{ aBAggregate(minCursor: \"{at}\") {{ max {{ n }} }} }}"),
            json!({"aBAggregate": [{"max": {"n": n}}]}),
        ),
    ];
    let (query, expected) = &queries[n % queries.len()];
    assert_eq!(&reader.data(query).await, expected, "{query}");
}

on_every_backend! {
    async fn who_has_written_reads_it_at_once(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"n": 0})).await;
        app.settled().await;
        for n in 1..=ROUNDS {
            written_is_read(&app, &app, n).await;
        }
        let receipt = app.source("a/b/c/1", &json!({"n": -1})).await;
        assert_eq!(by_url(&app, "aB", cursor(&receipt)).await, json!([{"n": -1}]));
        let retract = "mutation { retract(input: {category: \"a\", subcategory: \"b\", sourceName: \"c\", \
                       sourceUid: \"1\"}) { id cursor } }";
        let gone = app.ask(&app.token("source", json!({})), retract, json!({})).await["data"]["retract"].take();
        let query = format!("{{ aB(minCursor: \"{}\") {{ totalCount }} }}", cursor(&gone));
        assert_eq!(app.data(&query).await, json!({"aB": {"totalCount": 0}}));
        // What it stands for does not change, wherever it is asked for.
        let again = app.data(&format!("{{ receipt(id: {}) {{ cursor }} }}", gone["id"])).await;
        assert_eq!(again["receipt"]["cursor"], gone["cursor"]);
    }

    async fn a_header_waits_before_the_collection_is_looked_for(backend) {
        let app = TestApp::start(backend).await;
        for n in 0..8 {
            let receipt = app.source(&format!("new/k{n}/c/1"), &json!({"n": n})).await;
            let query = format!("{{ newK{n} {{ nodes {{ n }} }} }}");
            let answer = answer(headed(&app, cursor(&receipt), &query)).await;
            assert_eq!(answer["data"][format!("newK{n}")]["nodes"], json!([{"n": n}]), "{answer}");
            let receipt = app.source(&format!("new/u{n}/c/1"), &json!({"n": n})).await;
            assert_eq!(by_url(&app, &format!("newU{n}"), cursor(&receipt)).await, json!([{"n": n}]));
        }
        let receipts = [app.source("a/b/c/1", &json!({"n": 1})).await, app.source("a/d/c/1", &json!({"n": 2})).await];
        let both = format!("{}, {}", cursor(&receipts[0]), cursor(&receipts[1]));
        let answer = answer(headed(&app, &both, "{ aB { nodes { n } } aD { nodes { n } } }")).await;
        assert_eq!(answer["data"], json!({"aB": {"nodes": [{"n": 1}]}, "aD": {"nodes": [{"n": 2}]}}), "{answer}");
    }

    async fn a_batch_is_waited_for_by_its_receipts(backend) {
        let app = TestApp::start(backend).await;
        let lines: String = (0..40).map(|n| format!("{{\"id\":\"{n}\",\"n\":{n}}}\n")).collect();
        let (_, batch) = app.post("a/b/c?key=/id", "application/x-ndjson", lines, &[]).await;
        let cursors: Vec<&str> = batch["receipts"].as_array().unwrap().iter().map(cursor).collect();
        let answer = answer(headed(&app, &cursors.join(","), "{ aB { totalCount } }")).await;
        assert_eq!(answer["data"]["aB"]["totalCount"], 40, "{answer}");
    }

    async fn the_cursor_of_a_change_is_waited_for_too(backend) {
        let app = TestApp::start(backend).await;
        let receipt = app.source("a/b/c/1", &json!({"n": 1})).await;
        let query = "{ aB { pageInfo { cursor } } }";
        let page = answer(headed(&app, cursor(&receipt), query)).await["data"]["aB"]["pageInfo"]["cursor"].take();
        let at = page.as_str().unwrap();
        let query = format!("{{ aB(minCursor: \"{at}\") {{ nodes {{ n }} }} }}");
        assert_eq!(app.data(&query).await, json!({"aB": {"nodes": [{"n": 1}]}}));
        let page = app.data("{ aB { pageInfo { endCursor } } }").await["aB"]["pageInfo"]["endCursor"].take();
        let id = receipt["id"].as_str().unwrap();
        for wrong in [page.as_str().unwrap(), id, "", "nonsense", &format!("{at},")] {
            let query = format!("{{ aB(minCursor: \"{wrong}\") {{ nodes {{ n }} }} }}");
            assert_eq!(app.codes(&app.admin(), &query).await, ["BAD_REQUEST"], "{wrong}");
            assert_eq!(code(&answer(headed(&app, wrong, "{ aB { totalCount } }")).await), "BAD_REQUEST", "{wrong}");
            assert_eq!(code(&by_url(&app, "aB", wrong).await), "BAD_REQUEST", "{wrong}");
        }
        let many = vec![at; 101].join(",");
        assert_eq!(code(&by_url(&app, "aB", &many).await), "TOO_COMPLEX");
    }

    async fn a_parked_record_ends_the_wait(backend) {
        let app = TestApp::start_with(backend, |config| {
            one_hop_too_far(config);
            config.provisioning.hops_max = 0;
            // Longer than the test may take.
            config.consistency.wait_ms = 300_000;
            config.server.request_timeout_ms = 600_000;
        })
        .await;
        let parked = app.source("order/clothing/shop/1", &json!({"lane": 1})).await;
        let behind = app.source("order/clothing/shop/1", &json!({"lane": 2})).await;
        for receipt in [&parked, &behind] {
            let answer = answer(headed(&app, cursor(receipt), "{ __typename }")).await;
            assert_eq!(code(&answer), "UNPROCESSABLE", "{answer}");
            assert!(answer.to_string().contains("receipt(id)"), "{answer}");
        }
    }

    async fn a_wait_is_bounded_in_time_and_number(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.server.roles = vec!["api".into(), "relay".into()];
            config.consistency.wait_ms = 50;
        })
        .await;
        let receipt = app.source("a/b/c/1", &json!({"n": 1})).await;
        let answered = answer(headed(&app, cursor(&receipt), "{ __typename }")).await;
        assert_eq!(code(&answered), "TIMEOUT", "{answered}");
        assert!(answered.to_string().contains("consistency.wait_ms"), "{answered}");
        let app = app.restart_with(|config| config.consistency.waits_max = 0).await;
        let answered = answer(headed(&app, cursor(&receipt), "{ __typename }")).await;
        assert_eq!(code(&answered), "BACKPRESSURE", "{answered}");
        let app = app.restart_with(|config| config.server.roles.push("worker".into())).await;
        app.settled().await;
        let answered = answer(headed(&app, cursor(&receipt), "{ aB { nodes { n } } }")).await;
        assert_eq!(answered["data"]["aB"]["nodes"], json!([{"n": 1}]), "what has happened needs no wait");
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn what_one_node_has_written_another_reads_at_once(backend) {
        let writer = TestApp::start(backend).await;
        let reader = writer.beside().await;
        writer.source("a/b/c/1", &json!({"n": 0})).await;
        writer.settled().await;
        reader.settled().await;
        for n in 1..=ROUNDS_APART {
            written_is_read(&writer, &reader, n).await;
        }
    }
}
