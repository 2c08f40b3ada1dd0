//! A node that has not heard of a change of shape yet: what it planned for the old one is planned anew, and never
//! answered in the old one's types.

use std::sync::Arc;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use wellspring::{
    graphql::{Context, Engine, Request},
    policy,
    provisioning::Provisioning,
    publishing::Publishing,
    record::Actor,
    sourcing::Sourcing,
    store::Store,
    telemetry::Clock,
};

use crate::support::{TestApp, on_every_backend};

/// The reading half of a node that hears nothing: its catalog is as old as itself until it looks.
struct Deaf(Engine);

impl Deaf {
    async fn beside(app: &TestApp) -> Self {
        let (config, clock) = (app.config().clone(), Clock::system());
        let store = Store::open_read_only(&config.store, app.keys().signer(), clock.clone()).await.unwrap();
        let policy = Arc::new(policy::Engine::load(&config.policy, &config.store.data).unwrap());
        let (sourcing, _) = Sourcing::new(store.clone(), policy.clone(), &config, clock.clone());
        let provisioning = Provisioning::new(store.clone(), policy.clone(), &config, clock.clone()).unwrap();
        let publishing = Publishing::new(store, policy, &config, b"secret", clock);
        Deaf(Engine::new(sourcing, provisioning, publishing, Arc::new(config)))
    }

    fn request(query: &str) -> (Context, Request) {
        let roles = vec!["admin".to_owned()];
        let claims = json!({"roles": roles, "subject": "ann"}).as_object().unwrap().clone();
        let actor = Actor { subject: "ann".into(), roles, claims };
        let context = Context { actor, request_id: "r".into(), traceparent: None, mutations: true };
        let request = Request { query: query.into(), operation_name: None, variables: Vec::new() };
        (context, request)
    }

    async fn ask(&self, query: &str) -> Value {
        let (context, request) = Self::request(query);
        serde_json::from_slice(&self.0.execute(context, request).await.body).unwrap()
    }
}

const ROWS: &str = "{ aB(orderBy: [{_record: {key: ASC}}]) { nodes { n x l } } }";

async fn first(app: &TestApp) {
    app.source("a/b/c/1", &json!({"n": 1, "x": 1, "l": [1], "o": {"n": 1}})).await;
    app.settled().await;
}

async fn widened(app: &TestApp) {
    app.source("a/b/c/2", &json!({"n": 3_000_000_000_i64, "x": 1.5, "l": [2.5], "late": true})).await;
    app.settled().await;
}

on_every_backend! {
    async fn a_query_is_planned_anew_when_numbers_have_been_widened(backend) {
        let app = TestApp::start(backend).await;
        first(&app).await;
        let old = json!({"nodes": [{"n": 1, "x": 1, "l": [1]}]});
        let new = json!({"nodes": [{"n": "1", "x": 1, "l": [1]}, {"n": "3000000000", "x": 1.5, "l": [2.5]}]});
        let mut deaf = Vec::new();
        for _ in 0..4 {
            let one = Deaf::beside(&app).await;
            // Prepared and planned before, as on a node that has been asked for long.
            assert_eq!(one.ask(ROWS).await, json!({"data": {"aB": old}}));
            deaf.push(one);
        }
        widened(&app).await;
        assert_eq!(deaf[0].ask(ROWS).await, json!({"data": {"aB": new}}));
        for (one, field, value) in [(&deaf[1], "n", json!("3000000000")), (&deaf[2], "x", json!(1.5))] {
            let query = format!("{{ aBByKey(sourceUid: \"2\") {{ {field} }} }}");
            assert_eq!(one.ask(&query).await, json!({"data": {"aBByKey": {field: value}}}), "{field}");
        }
        let (context, request) =
            Deaf::request("subscription { aB(snapshot: true) { op node { n x } } }");
        let mut changes = deaf[3].0.subscribe(context, request).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let item: Value = serde_json::from_slice(&changes.next().await.unwrap()).unwrap();
            seen.push(item["data"]["aB"]["node"].to_string());
        }
        seen.sort_unstable();
        assert_eq!(seen, [r#"{"n":"1","x":1}"#, r#"{"n":"3000000000","x":1.5}"#]);
    }

    async fn a_name_that_another_node_published_is_found_and_a_wrong_one_is_not(backend) {
        let app = TestApp::start(backend).await;
        first(&app).await;
        let deaf = Deaf::beside(&app).await;
        widened(&app).await;
        let late = deaf.ask("{ aB(where: {late: {eq: true}}) { nodes { late } } }").await;
        assert_eq!(late, json!({"data": {"aB": {"nodes": [{"late": true}]}}}));
        let wrong = deaf.ask("{ aB { nodes { never } } }").await;
        assert_eq!(wrong["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{wrong}");
    }
}
