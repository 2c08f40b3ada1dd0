//! Who is believed.

use serde_json::{Value, json};

use super::node::{Node, code};

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_401_with_a_challenge_everywhere() {
    let node = Node::start().await;
    let expired = node.token(json!({"sub": "a", "exp": 1_000}));
    for token in ["nonsense", "a.b.c", expired.as_str()] {
        let answer = node.post("/source/a/b/c/d").bearer_auth(token).json(&json!({})).send().await.unwrap();
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
        assert_eq!(code(answer).await, (401, "UNAUTHENTICATED".into()));
        let answer = node.post("/graphql").bearer_auth(token).json(&json!({"query": "{__typename}"}));
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{body}");
    }
    let answer = node.post("/graphql").header("authorization", "Basic YTpi").send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let answer = node.get("/healthz").bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_a_schema_without_collections() {
    let node = Node::start().await;
    let answer = node.post("/graphql").json(&json!({"query": "{__typename}"})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({"data": {"__typename": "Query"}}));
    let answer =
        node.post("/graphql").json(&json!({"query": "{ someOrder { totalCount } }"})).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("check the token"), "{answer}");
    let answer = node.post("/source/a/b/c/d").json(&json!({"x": 1})).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "FORBIDDEN");
    assert!(answer["error"]["message"].as_str().unwrap().contains("send a token"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request() {
    let node = Node::start().await;
    let answer = node.get("/nowhere").header("x-request-id", "mine").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "mine");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["requestId"], "mine");
    let answer = node.get("/healthz").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"].len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_that_does_not_exist_is_not_ignored() {
    let node = Node::start().await;
    let answer = node.get("/graphql?query=%7B__typename%7D").header("wellspring-contract", "x@1");
    assert_eq!(answer.send().await.unwrap().status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_typed_errors() {
    let node = Node::start().await;
    let answer = node.post("/source/a/b").send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "NOT_FOUND");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("`/source/{category}/{subcategory}/{source_name}`"), "{message}");
    let answer = node.get("/source/a/b/c/d").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(code(answer).await, (405, "BAD_REQUEST".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_how_it_is_and_what_it_counts() {
    let node = Node::start().await;
    assert_eq!(node.get("/healthz").send().await.unwrap().status(), 200);
    let answer = node.get("/readyz").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["status"], "ok");
    let text = node.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"wellspring_requests_total{route="/readyz",code="200"} 1"#), "{text}");
    node.stop().await.unwrap();
}
