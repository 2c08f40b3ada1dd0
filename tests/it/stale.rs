//! A node that has not heard of a change of shape yet: what it planned for the old one is planned anew, and never
//! answered in the old one's types, nor shown as the old one's tags let it be.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};
use wellspring::{
    format,
    graphql::{self, Asked, Context, Engine},
    policy,
    provisioning::Provisioning,
    publishing::{Publishing, Step},
    record::Actor,
    sourcing::Sourcing,
    store::Store,
    telemetry::Clock,
};

use crate::support::{TestApp, on_every_backend};

/// The reading half of a node that hears nothing: its catalog is as old as itself until it looks.
struct Deaf {
    engine: Engine,
    publishing: Publishing,
}

impl Deaf {
    async fn beside(app: &TestApp) -> Self {
        let (config, clock) = (app.config().clone(), Clock::system());
        let store = Store::open_read_only(&config.store, app.keys().signer(), clock.clone()).await.unwrap();
        let policy = Arc::new(policy::Engine::load(&config.policy, &config.store.data).unwrap());
        let (sourcing, _) = Sourcing::new(store.clone(), policy.clone(), &config, clock.clone());
        let provisioning = Provisioning::new(store.clone(), policy.clone(), &config, clock.clone()).unwrap();
        let publishing = Publishing::new(store, policy, &config, b"secret");
        let engine = Engine::new(sourcing, provisioning, publishing.clone(), Arc::new(config));
        Deaf { engine, publishing }
    }

    fn request(role: &str, query: &str) -> (Context, Asked) {
        let roles = vec![role.to_owned()];
        let claims = json!({"roles": roles, "subject": "ann"}).as_object().unwrap().clone();
        let actor = Actor { subject: "ann".into(), roles, claims, contract: None, key: None };
        let context = Context {
            actor: actor.into(),
            request_id: "r".into(),
            traceparent: None,
            mutations: true,
            transport: wellspring::contract::Transport::Http,
            format: wellspring::contract::Format::Json,
        };
        let asked = Asked { query: Some(query.into()), ..Asked::default() };
        (context, asked)
    }

    async fn ask(&self, query: &str) -> Value {
        self.ask_as("admin", query).await
    }

    async fn ask_as(&self, role: &str, query: &str) -> Value {
        let (context, request) = Self::request(role, query);
        serde_json::from_slice(&self.engine.execute(context, request).await.body).unwrap()
    }

    async fn subscribe(&self, role: &str, query: &str) -> BoxStream<'static, graphql::Response> {
        let (context, request) = Self::request(role, query);
        self.engine.subscribe(context, request).await.unwrap()
    }

    /// A page by REST, and the whole answer as text.
    async fn export(&self, role: &str) -> String {
        let (context, _) = Self::request(role, "");
        let ask = graphql::Ask { fields: vec!["contact".into()], ..Default::default() };
        let mut table = self.engine.table(&context, "aB", ask).await.unwrap();
        let (mut writer, mut out) = (format::by_name("ndjson").unwrap().writer(table.columns()), Vec::new());
        let step = Step { rows_max: 10, bytes_max: 1_000_000 };
        let read = self.engine.page(&context, &mut table, step, &mut *writer, &mut out).await;
        format!("{read:?} {}", String::from_utf8(out).unwrap())
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
        let mut changes =
            deaf[3].subscribe("admin", "subscription { aB(snapshot: true) { op node { n x } } }").await;
        let mut seen = Vec::new();
        for _ in 0..2 {
            let item: Value = serde_json::from_slice(&changes.next().await.unwrap().body).unwrap();
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

    async fn personal_data_is_masked_before_a_node_has_heard_of_its_tag(backend) {
        const MAIL: &str = "ann@example.org";
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"n": 1, "contact": "at the desk"})).await;
        app.settled().await;
        // Each node is asked once: it knows what is new from then on.
        let queries = [
            "{ aB { nodes { contact } } }",
            "{ aB { totalCount edges { node { contact } } pageInfo { cursor } } }",
            "{ aBByKey(sourceUid: \"2\") { contact } }",
            "{ aBAggregate { max { contact } } }",
            "{ aBAggregate(groupBy: [contact]) { group { contact } } }",
            "{ aB(orderBy: [{contact: DESC}]) { nodes { n } pageInfo { endCursor } } }",
            "{ aB(where: {contact: {startsWith: \"ann@\"}}) { totalCount } }",
            "{ aB(where: {contact: {startsWith: \"bob@\"}}) { nodes { n } } }",
        ];
        let mut deaf = Vec::new();
        for query in queries {
            let one = Deaf::beside(&app).await;
            let before = one.ask_as("consumer", query).await;
            assert_eq!(before["errors"], Value::Null, "{query}: {before}");
            deaf.push((one, query));
        }
        let rest = Deaf::beside(&app).await;
        assert!(rest.export("consumer").await.contains("at the desk"));
        let (live, missed) = (Deaf::beside(&app).await, Deaf::beside(&app).await);
        let read = missed.ask_as("consumer", "{ aB { pageInfo { cursor } } }").await;
        let cursor = read["data"]["aB"]["pageInfo"]["cursor"].clone();
        let mut heard = live.subscribe("consumer", "subscription { aB { node { contact } } }").await;
        // It is open for what comes from here on.
        let opened = tokio::select! {
            biased;
            item = heard.next() => item,
            stepped = live.publishing.tail_step() => { stepped.unwrap(); None }
        };
        assert!(opened.is_none());

        app.source("a/b/c/2", &json!({"n": 2, "contact": MAIL})).await;
        app.settled().await;
        for (one, query) in &deaf {
            let answer = one.ask_as("consumer", query).await.to_string();
            assert!(!answer.contains(MAIL), "{query}: {answer}");
            let asks_by_it = query.contains("where") || query.contains("orderBy") || query.contains("max")
                || query.contains("groupBy");
            assert_eq!(answer.contains("BAD_REQUEST"), asks_by_it, "{query}: {answer}");
        }
        let page = rest.export("consumer").await;
        assert!(page.starts_with("Ok") && !page.contains(MAIL), "{page}");
        live.publishing.tail_step().await.unwrap();
        let after = format!("subscription {{ aB(after: {cursor}) {{ node {{ contact }} }} }}");
        let mut resumed = missed.subscribe("consumer", &after).await;
        for stream in [&mut heard, &mut resumed] {
            let item = String::from_utf8(stream.next().await.unwrap().body).unwrap();
            assert!(item.contains("contact") && !item.contains(MAIL), "{item}");
        }
    }
}
