//! Quarantine: what is new is for stewards only, on every path, until it is classified; then it is there at once.

use serde_json::{Map, Value, json};
use wellspring::config::{Classify, Exposure};

use crate::support::{Backend, TestApp, on_backends, on_every_backend};

/// How many fields a source injects.
const INJECTED: usize = 1_000;
/// Begins their names and values.
const MARK: &str = "zqin";

async fn guarded(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| {
        config.shape.exposure = Exposure::Guarded;
        // Room for what is flat and nested, not for the last object, which is packed.
        config.shape.columns_max = 800;
        // What is injected is wide and alike, and not to be a map.
        config.shape.map_keys_min = 1_000;
        config.graphql.fields_max = 10_000;
        config.graphql.cost_max = u64::MAX;
    })
    .await
}

async fn decided(app: &TestApp, role: &str, input: Value) -> Value {
    let query = "mutation($input: ClassifyFieldsInput!) {
        classifyFields(input: $input) { collection version changed unclassified } }";
    app.ask(&app.token(role, json!({"sub": "stella"})), query, json!({"input": input})).await
}

async fn classify(app: &TestApp, input: Value) -> Value {
    let mut answer = decided(app, "steward", input).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["classifyFields"].take()
}

/// A document with a thousand new fields: flat, nested, and in lists.
fn injected() -> Value {
    let mut document = Map::from_iter([("n".to_owned(), json!(2))]);
    for at in 0..INJECTED / 4 {
        let host = if at % 2 == 0 { "@example.org" } else { "" };
        document.insert(format!("{MARK}{at}"), json!(format!("{MARK}{at}{host}")));
    }
    let many = |from: usize| -> Value {
        (from..from + INJECTED / 4).map(|at| (format!("{MARK}{at}"), json!(format!("{MARK}v{at}")))).collect()
    };
    document.insert("o".into(), many(INJECTED / 4));
    document.insert("l".into(), json!([many(INJECTED / 2)]));
    document.insert(format!("{MARK}o"), many(INJECTED * 3 / 4));
    Value::Object(document)
}

/// What a consumer is told on every path that rows, fields and types come out of.
async fn told(app: &TestApp, token: &str) -> Vec<String> {
    let mut told = Vec::new();
    for query in [
        "{ __schema { types { name description fields { name description args { name type { name } } }
            inputFields { name } enumValues { name } } } }",
        "{ collections { name shape { version fields { path name tags } } versions { cause changes { path to } } } }",
        "{ aB { totalCount nodes { n o { k } l { k } _record { key tags shape { version } rescued metaData } } } }",
    ] {
        told.push(app.ask(token, query, json!({})).await.to_string());
    }
    for path in ["aB.json", "aB.csv", "aB.ndjson?fields=n"] {
        let request = app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        told.push(answer.text().await.unwrap());
    }
    told
}

/// Questions that name an injected field somewhere.
fn naming() -> Vec<String> {
    vec![
        format!("{{ aB {{ nodes {{ {MARK}1 }} }} }}"),
        format!("{{ aB {{ nodes {{ {MARK}o {{ {MARK}800 }} }} }} }}"),
        format!("{{ aB {{ nodes {{ l {{ {MARK}500 }} }} }} }}"),
        format!("{{ aB(where: {{{MARK}1: {{isNull: false}}}}) {{ totalCount }} }}"),
        format!("{{ aB(where: {{o: {{{MARK}250: {{isNull: false}}}}}}) {{ totalCount }} }}"),
        format!("{{ aB(orderBy: [{{{MARK}1: ASC}}]) {{ totalCount }} }}"),
        format!("{{ aBAggregate(groupBy: [{MARK}1]) {{ count }} }}"),
        format!("{{ aBAggregate {{ countDistinct {{ {MARK}1 }} }} }}"),
    ]
}

on_every_backend! {
    async fn a_thousand_injected_fields_are_seen_by_no_consumer_until_they_are_classified(backend) {
        let app = guarded(backend).await;
        app.source("a/b/c/1", &json!({"n": 1, "o": {"k": 1}, "l": [{"k": 1}]})).await;
        app.settled().await;
        classify(&app, json!({"collection": "aB"})).await;
        let (consumer, steward) = (app.token("consumer", json!({})), app.token("steward", json!({})));
        let before = "subscription { aB { op cursor node { n o { k } l { k } } before { n } } }";
        let mut live = app.subscribe(&consumer, before).await;
        let cursor = app.data_as(&consumer, "{ aB { pageInfo { cursor } } }").await;
        let cursor = cursor["aB"]["pageInfo"]["cursor"].clone();
        app.source("a/b/c/2", &injected()).await;
        app.settled().await;

        let injected = |data: &Value| {
            let fields = data["collection"]["shape"]["fields"].as_array().unwrap().iter();
            let leaves = fields.filter(|field| field["type"] != "Object" && field["type"] != "[Object]");
            leaves.filter(|field| field["name"].as_str().unwrap().contains(MARK)).count()
        };
        let shape = "{ collection(name: \"aB\") { shape { version fields { path name type classified } } } }";
        let quarantined = app.data_until_as(&steward, shape, |data| injected(data) > 0).await;
        assert_eq!(injected(&quarantined), INJECTED);
        assert_eq!(injected(&app.data_as(&consumer, shape).await), 0);

        let event = live.next_where(|change| change["node"]["n"] == 2).await;
        assert!(!event.to_string().contains(MARK), "{event}");
        let resumed = format!("subscription {{ aB(after: {cursor}) {{ op key node {{ n _record {{ rescued }} }} }} }}");
        let event = app.subscribe(&consumer, &resumed).await.next().await;
        assert!(event["node"]["n"] == 2 && !event.to_string().contains(MARK), "{event}");
        for answer in told(&app, &consumer).await {
            assert!(!answer.contains(MARK), "{answer:.2000}");
        }
        for query in naming() {
            let answer = app.ask(&consumer, &query, json!({})).await;
            assert!(answer["errors"].is_array() && answer["data"].is_null(), "{query}: {answer}");
            app.data_as(&steward, &query).await;
        }
        // What was looked at is classified, what came since is not.
        let version = quarantined["collection"]["shape"]["version"].clone();
        app.source("a/b/c/3", &json!({"n": 3, "late": true})).await;
        app.settled().await;
        let done = classify(&app, json!({"collection": "aB", "version": version})).await;
        assert_eq!((&done["changed"], &done["unclassified"]), (&json!(INJECTED), &json!(1)), "{done}");
        assert_eq!(injected(&app.data_as(&consumer, shape).await), INJECTED);
        let late = format!("{{ aB {{ nodes {{ n {MARK}1 o {{ {MARK}250 }} late }} }} }}");
        assert_eq!(app.codes(&consumer, &late).await, ["BAD_REQUEST"]);
        let row = format!("{{ aBByKey(sourceUid: \"2\") {{ {MARK}0 {MARK}1 o {{ {MARK}250 }} l {{ {MARK}500 }} }} }}");
        let row = app.data_as(&consumer, &row).await;
        assert_eq!(row["aBByKey"]["o"][format!("{MARK}250")], format!("{MARK}v250"));
        // Personal data is masked as ever.
        assert_eq!(row["aBByKey"][format!("{MARK}1")], format!("{MARK}1"));
        let masked = row["aBByKey"][format!("{MARK}0")].as_str().unwrap();
        assert!(!masked.is_empty() && !masked.contains("example.org"), "{row}");
        let history = "{ collection(name: \"aB\") { versions { cause changes { change } } } }";
        let history = app.data_as(&consumer, history).await;
        let last = &history["collection"]["versions"][0];
        assert!(last["cause"] == "classified" && last["changes"][0]["change"] == "CLASSIFIED", "{last}");
    }

    async fn a_new_collection_is_not_there_for_consumers(backend) {
        let app = guarded(backend).await;
        app.source("a/b/c/1", &json!({"n": 1, "m": {"k": "x"}})).await;
        app.source("a/empty/c/1", &json!({})).await;
        app.settled().await;
        let (consumer, steward) = (app.token("consumer", json!({})), app.token("steward", json!({})));
        let seen = async |token: &str| app.data_as(token, "{ collections { name } }").await["collections"].clone();
        assert_eq!(seen(&consumer).await, json!([]));
        assert_eq!(seen(&steward).await.as_array().unwrap().len(), 2);
        for query in ["{ aB { totalCount } }", "{ aEmpty { totalCount } }", "{ collection(name: \"aB\") { name } }"] {
            let answer = app.ask(&consumer, query, json!({})).await;
            assert!(answer["errors"].is_array(), "{query}: {answer}");
        }
        let url = format!("{}/data/aB", app.url);
        assert_eq!(app.client.get(url).bearer_auth(&consumer).send().await.unwrap().status(), 404);
        let all = app.data_as(&steward, "{ aB { nodes { n m { k } _record { key rescued } } } }").await;
        assert_eq!(all["aB"]["nodes"][0]["m"]["k"], "x", "{all}");

        classify(&app, json!({"collection": "aB", "paths": ["/m"]})).await;
        assert_eq!(seen(&consumer).await, json!([{"name": "aB"}]));
        let row = app.data_as(&consumer, "{ aB { nodes { m { k } _record { revision } } } }").await;
        assert_eq!(row["aB"]["nodes"][0], json!({"m": {"k": "x"}, "_record": {"revision": 1}}));
        assert_eq!(app.codes(&consumer, "{ aB { nodes { n } } }").await, ["BAD_REQUEST"]);
        classify(&app, json!({"collection": "aEmpty"})).await;
        assert_eq!(seen(&consumer).await.as_array().unwrap().len(), 2);
    }

    async fn what_is_kept_back_again_is_gone_on_every_node_and_stream(backend) {
        let app = guarded(backend).await;
        app.source("a/b/c/1", &json!({"n": 1, "s": "zqold"})).await;
        app.settled().await;
        classify(&app, json!({"collection": "aB"})).await;
        let consumer = app.token("consumer", json!({}));
        // SQLite has one process.
        let second = if backend == Backend::Embedded { None } else { Some(app.beside().await) };
        let other = second.as_ref().unwrap_or(&app);
        let query = "{ aB { nodes { n s } } }";
        assert!(other.data_as(&consumer, query).await.to_string().contains("zqold"));
        let mut live = other.subscribe(&consumer, "subscription { aB { node { n s } } }").await;
        let mut blind = other.subscribe(&consumer, "subscription { aB { node { n } } }").await;
        let done = classify(&app, json!({"collection": "aB", "paths": ["/s"], "classified": false})).await;
        assert_eq!((&done["changed"], &done["unclassified"]), (&json!(1), &json!(1)));
        let answer = other.ask(&consumer, query, json!({})).await;
        assert!(answer["errors"].is_array() && !answer.to_string().contains("zqold"), "{answer}");
        app.source("a/b/c/2", &json!({"n": 2, "s": "zqnew"})).await;
        assert_eq!(blind.next().await, json!({"node": {"n": 2}}));
        let ended = live.receive().await.to_string();
        assert!(ended.contains("BAD_REQUEST") && !ended.contains("zqnew"), "{ended}");
    }

    async fn stewards_decide_and_it_is_written_down(backend) {
        let app = guarded(backend).await;
        app.source("a/b/c/1", &json!({"n": 1, "m": 2})).await;
        app.settled().await;
        let code = |answer: Value| answer["errors"][0]["extensions"]["code"].as_str().map(str::to_owned);
        for (role, input, refused) in [
            ("consumer", json!({"collection": "aB"}), "FORBIDDEN"),
            ("source", json!({"collection": "aB"}), "FORBIDDEN"),
            ("steward", json!({"collection": "aC"}), "NOT_FOUND"),
            ("steward", json!({"collection": "aB", "paths": ["/n", "/x"]}), "NOT_FOUND"),
            ("steward", json!({"collection": "aB", "version": 99}), "NOT_FOUND"),
        ] {
            let answer = decided(&app, role, input.clone()).await;
            assert_eq!(code(answer).as_deref(), Some(refused), "{role}: {input}");
        }
        let log = "{ shapeDecisions(collection: \"aB\") { id version at subject kind paths before after } }";
        assert_eq!(app.data(log).await["shapeDecisions"], json!([]), "what is refused changes nothing");
        let first = classify(&app, json!({"collection": "aB", "paths": ["/n"]})).await;
        assert_eq!(classify(&app, json!({"collection": "aB", "paths": ["/n"]})).await["version"], first["version"]);
        classify(&app, json!({"collection": "aB", "paths": ["/n"], "classified": false})).await;
        let told = app.data_as(&app.token("steward", json!({})), log).await["shapeDecisions"].clone();
        let told = told.as_array().unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!((&told[0]["kind"], &told[1]["kind"]), (&json!("UNCLASSIFIED"), &json!("CLASSIFIED")));
        for one in told {
            assert_eq!((&one["subject"], &one["paths"]), (&json!("stella"), &json!(["/n"])), "{one}");
            assert!(one["at"].is_string());
        }
        assert_eq!(told[1]["version"], first["version"]);
        assert_eq!((&told[1]["before"], &told[1]["after"]),
            (&json!({"classified": false}), &json!({"classified": true})));
        let older = format!("{{ shapeDecisions(collection: \"aB\", first: 1, after: {}) {{ kind }} }}", told[0]["id"]);
        assert_eq!(app.data(&older).await["shapeDecisions"], json!([{"kind": "CLASSIFIED"}]));
        assert_eq!(app.codes(&app.token("consumer", json!({})), log).await, ["FORBIDDEN"]);
    }

    async fn rules_classify_what_is_new_and_after_a_restart_what_was_kept(backend) {
        let rule = |collection: &str, path: &str| Classify { collection: collection.into(), path: path.into() };
        let app = TestApp::start_with(backend, |config| {
            config.shape.exposure = Exposure::Guarded;
            config.shape.classify = vec![rule("a*", "/n")];
            config.shape.classify_tags = vec!["pii.email".into()];
        })
        .await;
        app.source("a/b/c/1", &json!({"n": 1, "mail": "ada@example.org", "s": "x", "o": {"k": 1}})).await;
        app.settled().await;
        let fields = "{ collection(name: \"aB\") { shape { fields { path } } } }";
        let consumer = app.token("consumer", json!({}));
        let seen = app.data_as(&consumer, fields).await;
        let seen = &seen["collection"]["shape"]["fields"];
        assert_eq!(*seen, json!([{"path": "/mail"}, {"path": "/n"}]));
        let app = app.restart_with(|config| config.shape.classify = vec![rule("aB", "/o/**")]).await;
        let seen = app.data_as(&consumer, fields).await;
        let seen = &seen["collection"]["shape"]["fields"];
        assert_eq!(*seen, json!([{"path": "/mail"}, {"path": "/n"}, {"path": "/o"}, {"path": "/o/k"}]));
    }
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn by_default_only_an_embedded_database_is_open(backend) {
        let app = TestApp::start_with(backend, |config| config.shape.exposure = Exposure::Auto).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        app.settled().await;
        let seen = app.data_as(&app.token("consumer", json!({})), "{ collections { name } }").await;
        let open = backend == Backend::Embedded;
        assert_eq!(seen["collections"].as_array().unwrap().len(), usize::from(open), "{seen}");
    }
}
