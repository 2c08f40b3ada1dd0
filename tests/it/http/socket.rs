//! `graphql-transport-ws` to the letter: each close code, and the life of an operation.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::node::Node;
use crate::support::eventually;

type Stream = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// What the other side did next.
#[derive(Debug, PartialEq)]
enum Heard {
    Message(Value),
    Closed(u16),
}

struct Client(Stream);

impl Client {
    async fn connect(node: &Node, protocol: &str, headers: &[(&'static str, String)]) -> Self {
        let url = format!("{}/graphql", node.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        Client(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    async fn open(node: &Node) -> Self {
        Self::connect(node, "graphql-transport-ws", &[]).await
    }

    /// Connected and acknowledged as admin.
    async fn admin(node: &Node) -> Self {
        let mut client = Self::open(node).await;
        let authorization = format!("Bearer {}", node.admin());
        client.say(json!({"type": "connection_init", "payload": {"authorization": authorization}})).await;
        assert_eq!(client.hear().await, Heard::Message(json!({"type": "connection_ack"})));
        client
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn subscribe(&mut self, id: &str, query: &str) {
        self.say(json!({"id": id, "type": "subscribe", "payload": {"query": query}})).await;
    }

    async fn hear(&mut self) -> Heard {
        let hearing = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Heard::Message(serde_json::from_str(text.as_str()).unwrap());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Heard::Closed(frame.map_or(1005, |frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return Heard::Closed(1006),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), hearing).await.expect("silence")
    }

    async fn hear_kind(&mut self, kind: &str) -> Value {
        match self.hear().await {
            Heard::Message(message) if message["type"] == kind => message,
            other => panic!("expected `{kind}`, heard {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_close_code() {
    let node = Node::start().await;
    let init = || json!({"type": "connection_init"});
    let subscribe =
        |id: &str| json!({"id": id, "type": "subscribe", "payload": {"query": "subscription{x}"}});
    let cases: Vec<(&str, Vec<Value>, u16)> = vec![
        ("subscribe before init", vec![subscribe("1")], 4401),
        ("init twice", vec![init(), init()], 4429),
        ("unknown type", vec![init(), json!({"type": "start"})], 4400),
        ("no type", vec![init(), json!({"id": "1"})], 4400),
        ("not an object", vec![json!([1])], 4400),
        ("a list of the right values", vec![json!(["connection_init"])], 4400),
        ("a list that subscribes", vec![init(), json!(["subscribe", "1", {"query": "{__typename}"}])], 4400),
        ("a long id", vec![init(), subscribe(&"x".repeat(257))], 4400),
        ("a long id to complete", vec![init(), json!({"type": "complete", "id": "x".repeat(257)})], 4400),
        ("no id", vec![init(), json!({"type": "subscribe", "payload": {"query": "{a}"}})], 4400),
        (
            "id not a text",
            vec![init(), json!({"id": 1, "type": "subscribe", "payload": {"query": "{a}"}})],
            4400,
        ),
        ("empty id", vec![init(), subscribe("")], 4400),
        ("no query", vec![init(), json!({"id": "1", "type": "subscribe", "payload": {}})], 4400),
        ("init payload", vec![json!({"type": "connection_init", "payload": [1]})], 4400),
        ("init payload as a list", vec![json!({"type": "connection_init", "payload": [null, null]})], 4400),
        ("init payload as a text", vec![json!({"type": "connection_init", "payload": "x"})], 4400),
        (
            "bad token",
            vec![json!({"type": "connection_init", "payload": {"authorization": "Bearer x"}})],
            4403,
        ),
        ("contract", vec![json!({"type": "connection_init", "payload": {"contract": "x"}})], 4403),
        ("long text", vec![json!({"type": "é".repeat(500)})], 4400),
    ];
    for (case, messages, expected) in cases {
        let mut client = Client::open(&node).await;
        for message in messages {
            client.say(message).await;
        }
        let closed = loop {
            match client.hear().await {
                Heard::Closed(code) => break code,
                Heard::Message(_) => {}
            }
        };
        assert_eq!(closed, expected, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_in_use_is_4409() {
    let node = Node::start().await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let mut client = Client::admin(&node).await;
    client.subscribe("1", "subscription { gardenPlant { op } }").await;
    client.subscribe("1", "subscription { gardenPlant { op } }").await;
    assert_eq!(client.hear().await, Heard::Closed(4409));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_before_init_is_4408_and_no_subprotocol_is_refused() {
    let node = Node::with(|config| config.subscriptions.init_timeout_ms = 50).await;
    assert_eq!(Client::open(&node).await.hear().await, Heard::Closed(4408));
    let answer = node.get("/graphql").header("upgrade", "websocket").header("connection", "upgrade");
    let answer =
        answer.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(answer.send().await.unwrap().status(), 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_the_header_counts_and_a_bad_one_is_4403() {
    let node = Node::start().await;
    let good = [("authorization", format!("Bearer {}", node.admin()))];
    let mut client = Client::connect(&node, "graphql-transport-ws", &good).await;
    client.say(json!({"type": "connection_init"})).await;
    client.hear_kind("connection_ack").await;
    client.subscribe("1", "{ plugins { name } }").await;
    let next = client.hear_kind("next").await;
    assert!(next["payload"]["errors"].is_null(), "{next}");
    let bad = [("authorization", "Bearer nonsense".to_owned())];
    let mut client = Client::connect(&node, "graphql-transport-ws", &bad).await;
    assert_eq!(client.hear().await, Heard::Closed(4403));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_when_its_token_does() {
    let node = Node::with(|config| config.auth.leeway_s = 0).await;
    let now = wellspring::telemetry::Clock::system().now_us() / 1_000_000;
    let token = node.token(json!({"sub": "a", "exp": now + 2}));
    let mut client = Client::open(&node).await;
    client
        .say(json!({"type": "connection_init", "payload": {"authorization": format!("Bearer {token}")}}))
        .await;
    client.hear_kind("connection_ack").await;
    assert_eq!(client.hear().await, Heard::Closed(4403));
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_yield_and_end_without_an_echo() {
    let node = Node::start().await;
    let mut client = Client::admin(&node).await;
    client.say(json!({"type": "ping", "payload": {"n": 1}})).await;
    assert_eq!(client.hear().await, Heard::Message(json!({"type": "pong", "payload": {"n": 1}})));
    client.subscribe("a", "{ __typename }").await;
    let next = client.hear_kind("next").await;
    assert_eq!(next, json!({"id": "a", "type": "next", "payload": {"data": {"__typename": "Query"}}}));
    assert_eq!(client.hear_kind("complete").await["id"], "a");
    client.subscribe("a", "{ nothing }").await;
    let error = client.hear_kind("error").await;
    assert_eq!(error["id"], "a");
    assert!(error["payload"][0]["message"].as_str().unwrap().contains("nothing"), "{error}");
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    client.subscribe("s", "subscription { gardenPlant(snapshot: true) { op node { name } } }").await;
    let next = client.hear_kind("next").await;
    assert_eq!(next["payload"]["data"]["gardenPlant"]["node"]["name"], "Fern", "{next}");
    assert_eq!(client.hear_kind("next").await["payload"]["data"]["gardenPlant"]["op"], "CAUGHT_UP");
    node.source("garden/plant/greenhouse/2", &json!({"name": "Fig"})).await;
    let next = client.hear_kind("next").await;
    assert_eq!(next["payload"]["data"]["gardenPlant"]["node"]["name"], "Fig", "{next}");
    client.say(json!({"id": "s", "type": "complete"})).await;
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await, Heard::Message(json!({"type": "pong"})), "no echo, nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_bounded() {
    let node = Node::with(|config| {
        config.subscriptions.per_socket_max = 1;
        config.subscriptions.message_bytes_max = 2_000;
    })
    .await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let mut client = Client::admin(&node).await;
    client.subscribe("1", "subscription { gardenPlant { op } }").await;
    client.subscribe("2", "subscription { gardenPlant { op } }").await;
    let error = client.hear_kind("error").await;
    assert_eq!(error["id"], "2");
    assert_eq!(error["payload"][0]["extensions"]["code"], "RATE_LIMITED", "{error}");
    client.subscribe("3", &"x".repeat(3_000)).await;
    assert_eq!(client.hear().await, Heard::Closed(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_does_not_come_to_an_end_is_given_up_alone() {
    let node = Node::with(|config| config.server.request_timeout_ms = 300).await;
    let holder = node.hold_database();
    let mut client = Client::admin(&node).await;
    let mutation = "mutation { source(input: {category: \"a\", subcategory: \"b\", sourceName: \"c\", \
        sourceUid: \"d\", data: {x: 1}}) { id } }";
    client.subscribe("1", mutation).await;
    let error = client.hear_kind("error").await;
    assert_eq!(error["id"], "1");
    assert_eq!(error["payload"][0]["extensions"]["code"], "TIMEOUT", "{error}");
    drop(holder);
    client.subscribe("2", "{ __typename }").await;
    assert_eq!(client.hear_kind("next").await["id"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_counts_among_the_requests_until_it_is_open() {
    let node = Node::with(|config| config.server.requests_max = 1).await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let mut client = Client::admin(&node).await;
    // Open, it takes no place any more.
    client.subscribe("open", "subscription { gardenPlant(snapshot: true) { op } }").await;
    while client.hear_kind("next").await["payload"]["data"]["gardenPlant"]["op"] != "CAUGHT_UP" {}
    assert_eq!(node.get("/graphql?query=%7B__typename%7D").send().await.unwrap().status(), 200);

    // A request whose body never ends takes the only place.
    let endless = futures_util::stream::pending::<Result<String, std::io::Error>>();
    let stuck =
        node.post("/source/a/b/c/d").bearer_auth(node.admin()).body(reqwest::Body::wrap_stream(endless));
    let stuck = tokio::spawn(stuck.send());
    eventually("a request in work", async || {
        let text = node.metrics.render();
        if text.contains("wellspring_requests_open 1") { Ok(()) } else { Err(text) }
    })
    .await;
    client.subscribe("2", "{ __typename }").await;
    let error = client.hear_kind("error").await;
    assert_eq!(
        (&error["id"], &error["payload"][0]["extensions"]["code"]),
        (&json!("2"), &json!("BACKPRESSURE"))
    );
    stuck.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_much_fails_alone() {
    let node = Node::start().await;
    let mut client = Client::admin(&node).await;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let message = format!(
        "{{\"id\":\"1\",\"type\":\"subscribe\",\"payload\":{{\"query\":\"query($v: JSON) {{ __typename }}\",\
         \"variables\":{{\"v\":{deep}}}}}}}"
    );
    client.0.send(Message::text(message)).await.unwrap();
    let error = client.hear_kind("error").await;
    assert_eq!(error["id"], "1");
    assert_eq!(error["payload"][0]["extensions"]["code"], "TOO_LARGE", "{error}");
    client.subscribe("1", "{ __typename }").await;
    client.hear_kind("next").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_only_so_many_subscriptions() {
    let node = Node::with(|config| config.subscriptions.open_max = 1).await;
    node.source("garden/plant/greenhouse/1", &json!({"name": "Fern"})).await;
    node.until("{ gardenPlant { nodes { name } } }", |a| {
        a["data"]["gardenPlant"]["nodes"][0]["name"] == "Fern"
    })
    .await;
    let (mut one, mut other) = (Client::admin(&node).await, Client::admin(&node).await);
    let query = "subscription { gardenPlant(snapshot: true) { op } }";
    one.subscribe("1", query).await;
    one.hear_kind("next").await;
    other.subscribe("1", query).await;
    let error = other.hear_kind("error").await;
    assert_eq!(error["payload"][0]["extensions"]["code"], "BACKPRESSURE", "{error}");
    one.say(json!({"id": "1", "type": "complete"})).await;
    eventually("room for another", async || {
        other.subscribe("1", query).await;
        match other.hear().await {
            Heard::Message(message) if message["type"] == "next" => Ok(()),
            heard => Err(heard),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_goodbye() {
    let node = Node::start().await;
    let mut client = Client::admin(&node).await;
    let stopping = tokio::spawn(node.stop());
    assert_eq!(client.hear().await, Heard::Closed(1001));
    drop(client);
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_answered() {
    let node = Node::start().await;
    let mut client = Client::admin(&node).await;
    client.subscribe("1", "{ __typename }").await;
    client.hear_kind("next").await;
    client.hear_kind("complete").await;
    client.0.close(None).await.unwrap();
    assert_eq!(client.hear().await, Heard::Closed(1005), "the close frame comes back");
}
