//! GraphQL over HTTP: which media type and status an answer has, and what a cross-site page cannot do.

use serde_json::{Value, json};

use super::node::Node;

const QUERY: &str = "{__typename}";

#[tokio::test(flavor = "multi_thread")]
async fn the_accept_header_chooses_the_media_type() {
    let node = Node::start().await;
    let cases = [
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        ("application/graphql-response+json", "application/graphql-response+json; charset=utf-8"),
        (
            "application/graphql-response+json, application/json;q=0.9",
            "application/graphql-response+json; charset=utf-8",
        ),
    ];
    for (accept, expected) in cases {
        let request = node.post("/graphql").header("accept", accept).json(&json!({"query": QUERY}));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], expected, "{accept}");
        assert_eq!(answer.status(), 200);
    }
    let answer = node.post("/graphql").header("accept", "text/html").json(&json!({"query": QUERY}));
    assert_eq!(answer.send().await.unwrap().status(), 406);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_the_media_type_can_say() {
    let node = Node::start().await;
    for query in ["{", "{nothing}", "query($x: Int!) { __typename @include(if: $x) }"] {
        for (accept, status) in [("application/json", 200), ("application/graphql-response+json", 400)] {
            let request = node.post("/graphql").header("accept", accept).json(&json!({"query": query}));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), status, "{accept} {query}");
            let body: Value = answer.json().await.unwrap();
            assert!(body.get("data").is_none(), "{body}");
            assert!(!body["errors"][0]["extensions"]["requestId"].is_null(), "{body}");
        }
    }
    for body in ["", "{", "[]", "{}", r#"{"query":7}"#, r#"{"query":"{a}","variables":[]}"#] {
        let request = node.post("/graphql").header("content-type", "application/json").body(body);
        assert_eq!(request.send().await.unwrap().status(), 400, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cross_site_page_cannot_run_a_mutation() {
    let node = Node::start().await;
    let mutation = concat!(
        r#"{"query":"mutation{retract(input:{category:\"a\",subcategory:\"b\","#,
        r#"sourceName:\"c\",sourceUid:\"d\"}){id}}"}"#
    );
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
    {
        let request = node.post("/graphql").bearer_auth(node.admin()).header("content-type", content_type);
        assert_eq!(request.body(mutation).send().await.unwrap().status(), 415, "{content_type}");
    }
    let answer = node.post("/graphql").bearer_auth(node.admin()).body(mutation).send().await.unwrap();
    assert_eq!(answer.status(), 415);
    let path = "/graphql?query=mutation%7Bredrive(id:1)%7Bredriven%7D%7D";
    let answer = node.get(path).bearer_auth(node.admin()).send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");
    assert_eq!(node.get("/graphql?query=%7B__typename%7D").send().await.unwrap().status(), 200);
    let answer = node.client.put(format!("{}/graphql", node.url)).send().await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_bounded() {
    let node = Node::with(|config| config.graphql.body_bytes_max = 1_000).await;
    let body = json!({"query": QUERY, "padding": "x".repeat(1_000)}).to_string();
    let request = node.post("/graphql").header("content-type", "application/json");
    let answer = request.body(body.clone()).send().await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"], "TOO_LARGE");
    let chunks = futures_util::stream::iter(vec![Ok::<_, std::io::Error>(body)]);
    let request = node.post("/graphql").header("content-type", "application/json");
    let answer = request.body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap();
    assert_eq!(answer.status(), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_may_be_in_work_are_told_to_wait() {
    let node = Node::with(|config| config.server.requests_max = 1).await;
    // A request whose body never ends stays in work. One that comes while another is asking is refused itself: then
    // the next one takes its place.
    let stuck = async {
        loop {
            let endless = futures_util::stream::pending::<Result<String, std::io::Error>>();
            let post = node.post("/source/a/b/c/d").bearer_auth(node.admin());
            post.body(reqwest::Body::wrap_stream(endless)).send().await.unwrap();
        }
    };
    let asking = async {
        loop {
            let answer = node.get("/graphql?query=%7B__typename%7D").send().await.unwrap();
            if answer.status() != 200 {
                return answer;
            }
        }
    };
    let both = async {
        tokio::select! { answer = asking => answer, () = stuck => unreachable!() }
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), both).await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["code"], "BACKPRESSURE", "{body}");
    assert_eq!(node.get("/healthz").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_can_be_had_as_text() {
    let node = Node::start().await;
    let answer = node.get("/graphql/schema").bearer_auth(node.admin()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("type Mutation"));
}
