//! Issuers of tokens beside the server: whose tokens are taken, whom they speak for, and how their keys change.

mod forged;
mod readme;
mod rotation;
mod server;
mod signer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Map, Value, json};
use wellspring::config::{Algorithm, Config, Issuer};
use wellspring::telemetry::Clock;

use super::node::Node;
use signer::Signer;

const ISSUER: &str = "https://id.example.com/realms/shop";
const AUDIENCE: &str = "wellspring";

/// The issuer of these tests, with further options.
fn issuer(more: Value) -> Issuer {
    let mut all = json!({"issuer": ISSUER, "audiences": [AUDIENCE], "roles": ["consumer", "steward"]});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(all).unwrap()
}

/// The text of a list of keys.
fn set(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

fn now() -> i64 {
    Clock::system().now_us() / 1_000_000
}

/// Claims that are in order but for these; null takes one away.
fn claims(more: Value) -> Map<String, Value> {
    let mut all = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now() + 600});
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    all.as_object().unwrap().clone()
}

/// A clock that a test puts forward.
#[derive(Clone, Default)]
struct Later(Arc<AtomicI64>);

impl Later {
    fn clock(&self) -> Clock {
        let (system, ahead) = (Clock::system(), self.0.clone());
        Clock::from_fn(move || system.now_us() + ahead.load(Ordering::Relaxed))
    }

    fn seconds(&self, more: i64) {
        self.0.fetch_add(more * 1_000_000, Ordering::Relaxed);
    }
}

/// The status that a question with this token gets, and what is said.
async fn ask(node: &Node, token: &str) -> (u16, Value) {
    let request = node.post("/graphql").bearer_auth(token).json(&json!({"query": "{ __typename }"}));
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A node that takes tokens of these keys, which are in a file.
async fn node(
    signers: &[&Signer],
    more: Value,
    change: impl FnOnce(&mut Config),
) -> (Node, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, set(signers)).unwrap();
    let node = Node::with(|config| {
        let mut one = issuer(more);
        one.jwks_file = Some(file);
        config.auth.issuers = vec![one];
        change(config);
    })
    .await;
    (node, directory)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_algorithm_is_taken_from_its_key() {
    let secret = Signer::secret("s", &[7; 32]);
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d"), secret];
    let all: Vec<&Signer> = signers.iter().collect();
    let more = json!({"algorithms": ["HS256", "RS256", "ES256", "EdDSA"]});
    let (node, _directory) = node(&all, more, |_| ()).await;
    for signer in &signers {
        let (status, answer) = ask(&node, &signer.sign(&claims(json!({})))).await;
        assert_eq!(status, 200, "{}: {answer}", signer.kid());
    }
    for good in [
        json!({"aud": ["other", AUDIENCE]}),
        json!({"exp": now() as f64 + 60.5}),
        json!({"nbf": now() + 20}),
        json!({"exp": now() - 20}),
        json!({"roles": ["admin"]}),
    ] {
        assert_eq!(ask(&node, &signers[2].sign(&claims(good.clone()))).await.0, 200, "{good}");
    }
    for header in [json!({"typ": "at+jwt"}), json!({"typ": "jwt"}), json!({"x5t": "abc", "other": 1})] {
        let mut all = json!({"alg": "EdDSA", "kid": "d"});
        all.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        assert_eq!(ask(&node, &signers[2].sign_with(&all, &claims(json!({})))).await.0, 200, "{header}");
    }
    // Tokens of the server's own key, also those that name an issuer nobody knows.
    assert_eq!(ask(&node, &node.admin()).await.0, 200);
    assert_eq!(ask(&node, &node.token(json!({"sub": "a", "iss": "mine"}))).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_key_id_is_of_an_only_key() {
    let signer = Signer::ec("e");
    let (node, _directory) = node(&[&signer], json!({}), |_| ()).await;
    assert_eq!(ask(&node, &signer.sign_with(&json!({"alg": "ES256"}), &claims(json!({})))).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_it_speaks_for_is_what_the_configuration_lets_it_say() {
    let signer = Signer::ed("d");
    let more = json!({
        "roles": ["consumer"],
        "roles_from": "/realm_access/roles",
        "subject_prefix": "id|",
        "claims": {"region": "/https:~1~1example.com~1claims/region"},
    });
    let (node, _directory) = node(&[&signer], more, |config| {
        let policies = config.store.data.join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        let rules = "allow(user: User, \"read\", row: ShopOrder) if \"consumer\" in user.roles \
                and row.region = user.region;\n\
            allow_field(user: User, \"read\", _: Row, _: Field) if \"consumer\" in user.roles;\n\
            allow(user: User, \"source\", _: Source) if \"admin\" in user.roles;\n\
            allow(user: User, \"administer\", _: Source) if \"admin\" in user.roles;\n";
        std::fs::write(policies.join("rules.polar"), rules).unwrap();
    })
    .await;
    for (uid, region) in [("1", "north"), ("2", "south")] {
        node.source(&format!("shop/order/web/{uid}"), &json!({"region": region})).await;
    }
    let token = signer.sign(&claims(json!({
        "roles": ["admin"], "region": "south", "categories": ["shop"],
        "realm_access": {"roles": ["admin", "consumer"]},
        "https://example.com/claims": {"region": "north"},
    })));
    let rows = crate::support::eventually("the row of the north", async || {
        let query = json!({"query": "{ shopOrder { nodes { region } } }"});
        let answer = node.post("/graphql").bearer_auth(&token).json(&query).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        if answer["data"].is_null() { Err(answer) } else { Ok(answer["data"]["shopOrder"]["nodes"].clone()) }
    })
    .await;
    assert_eq!(rows, json!([{"region": "north"}]));
    let sent =
        node.post("/source/shop/order/web/3").bearer_auth(&token).json(&json!({})).send().await.unwrap();
    assert_eq!(sent.status(), 403);
    let told: Value = sent.json().await.unwrap();
    assert!(told["error"]["message"].as_str().unwrap().contains("`id|ann`"), "{told}");
    let lacking = signer.sign(&claims(json!({"realm_access": {"roles": ["consumer"]}})));
    let (status, told) = ask(&node, &lacking).await;
    assert_eq!(status, 401);
    assert!(told.to_string().contains("lacks"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_does_not_start_with_a_file_of_keys_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [("absent.json", None), ("broken.json", Some("{")), ("large.json", Some("x"))] {
        let file = directory.path().join(file);
        if let Some(text) = text {
            std::fs::write(&file, text.repeat(300_000)).unwrap();
        }
        let mut config = Config::default();
        config.store.data = directory.path().join("data");
        config.server.listen = "127.0.0.1:0".into();
        config.auth.issuers =
            vec![Issuer { jwks_file: Some(file), ..issuer(json!({"algorithms": [Algorithm::RS256]})) }];
        let error = wellspring::app::App::build(config, Clock::system()).await.err().expect("it is refused");
        assert!(error.message().contains(ISSUER) && error.message().contains(".json`: it "), "{error}");
    }
}
