//! What stewards decide about fields holds whatever comes later, for everybody, and is written down.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend};

async fn decided(app: &TestApp, roles: &[&str], mut input: Value) -> Value {
    input["collection"] = json!("aB");
    let query =
        "mutation($input: DecideFieldInput!) { decideField(input: $input) { collection version changed } }";
    let token = app.token("steward", json!({"sub": "stella", "roles": roles}));
    app.ask(&token, query, json!({"input": input})).await
}

async fn decide(app: &TestApp, roles: &[&str], input: Value) -> Value {
    let mut answer = decided(app, roles, input).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["decideField"].take()
}

const MAIL: &str = "ada@example.org";

async fn people(backend: crate::support::Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    app.source("a/b/c/1", &json!({"mail": MAIL, "code": "zqcode", "who": {"name": "zqname"}})).await;
    app.settled().await;
    app
}

on_every_backend! {
    async fn tags_decide_who_sees_what_and_stay(backend) {
        let app = people(backend).await;
        let consumer = app.token("consumer", json!({}));
        let rows = "{ aB(orderBy: [{_record: {sourceUid: ASC}}]) { nodes { mail code } } }";
        let seen = async || app.data_as(&consumer, rows).await.to_string();
        assert!(seen().await.contains("zqcode") && !seen().await.contains(MAIL));
        decide(&app, &["steward"], json!({"path": "/code", "tags": ["pii.code", "odd"]})).await;
        assert!(!seen().await.contains("zqcode"));
        // Who sees masked values cannot unmask them.
        let answer = decided(&app, &["steward"], json!({"path": "/mail", "tags": ["contact"]})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
        assert!(!seen().await.contains(MAIL));
        decide(&app, &["steward", "pii"], json!({"path": "/mail", "tags": ["contact"]})).await;
        assert!(seen().await.contains(MAIL));
        app.source("a/b/c/2", &json!({"mail": "bob@example.org", "late": "eve@example.org"})).await;
        app.settled().await;
        let fields = "{ collection(name: \"aB\") { shape { fields { path tags } } } }";
        let told = app.data_until(fields, |data| data.to_string().contains("/late")).await;
        let told = told["collection"]["shape"]["fields"].as_array().unwrap().clone();
        let tags = |path: &str| told.iter().find(|field| field["path"] == path).unwrap()["tags"].clone();
        assert_eq!((tags("/mail"), tags("/code")), (json!(["contact"]), json!(["odd", "pii.code"])));
        assert_eq!(tags("/late"), json!(["pii.email"]));
        assert!(seen().await.contains("bob@example.org"));
    }

    async fn what_is_hidden_is_for_stewards_with_all_that_is_in_it(backend) {
        let app = people(backend).await;
        let (consumer, steward) = (app.token("consumer", json!({})), app.token("steward", json!({})));
        let rows = "{ aB { nodes { who { name } } } }";
        assert!(app.data_as(&consumer, rows).await.to_string().contains("zqname"));
        let mut live = app.subscribe(&consumer, "subscription { aB { node { who { name } } } }").await;
        decide(&app, &["steward"], json!({"path": "/who", "hidden": true})).await;
        app.source("a/b/c/2", &json!({"who": {"name": "zqsecond", "young": "zqyoung"}})).await;
        let ended = live.receive().await.to_string();
        assert!(ended.contains("BAD_REQUEST") && !ended.contains("zqsecond"), "{ended}");
        app.settled().await;
        let young = "{ aB { nodes { who { young } } } }";
        app.data_until_as(&steward, young, |data| data.to_string().contains("zqyoung")).await;
        for query in [rows, young, "{ aB(where: {who: {isNull: false}}) { totalCount } }"] {
            assert_eq!(app.codes(&consumer, query).await, ["BAD_REQUEST"], "{query}");
        }
        let shape = "{ collections { shape { fields { path hidden } } versions { changes { path } } }
            __schema { types { name } } }";
        let told = app.data_as(&consumer, shape).await.to_string();
        assert!(!told.contains("/who") && !told.contains("Who"), "{told}");
        assert!(app.data_as(&steward, shape).await.to_string().contains(r#"{"hidden":true,"path":"/who"}"#));
        decide(&app, &["steward"], json!({"path": "/who", "hidden": false})).await;
        assert!(app.data_as(&consumer, young).await.to_string().contains("zqyoung"));
    }

    async fn descriptions_are_told_and_decisions_written_down(backend) {
        let app = people(backend).await;
        let consumer = app.token("consumer", json!({}));
        let text = "Who \"asks\".";
        let first = decide(&app, &["steward"], json!({"path": "/mail", "description": text})).await;
        assert_eq!(first["changed"], true);
        let same = decide(&app, &["steward"], json!({"path": "/mail", "description": text})).await;
        assert_eq!((&same["changed"], &same["version"]), (&json!(false), &first["version"]));
        let told = "{ __type(name: \"AB\") { fields { name description } }
            collection(name: \"aB\") { shape { fields { path description } } versions { changes { change to } } } }";
        let told = app.data_as(&consumer, told).await;
        let fields = told["__type"]["fields"].as_array().unwrap();
        let mail = fields.iter().find(|field| field["name"] == "mail").unwrap()["description"].as_str().unwrap();
        assert!(mail.starts_with("Who") && mail.contains("`/mail` (pii.email); masked"), "{mail}");
        let listed = json!({"path": "/mail", "description": text});
        assert!(told["collection"]["shape"]["fields"].as_array().unwrap().contains(&listed), "{told}");
        let change = json!({"change": "DESCRIBED", "to": text});
        assert_eq!(told["collection"]["versions"][0]["changes"], json!([change]));

        for (input, code) in [
            (json!({"path": "/nobody", "hidden": true}), "NOT_FOUND"),
            (json!({"path": "", "hidden": true}), "NOT_FOUND"),
            (json!({"path": "/mail", "tags": ["Not a tag"]}), "BAD_REQUEST"),
            (json!({"path": "/mail", "tags": ["a..b"]}), "BAD_REQUEST"),
            (json!({"path": "/mail", "tags": (0..33).map(|n| format!("t{n}")).collect::<Vec<_>>()}), "BAD_REQUEST"),
            (json!({"path": "/mail", "description": "x".repeat(2_001)}), "BAD_REQUEST"),
        ] {
            let answer = decided(&app, &["steward"], input.clone()).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{input}");
        }
        let answer = decided(&app, &["consumer", "pii"], json!({"path": "/mail", "hidden": true})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");

        decide(&app, &["steward"], json!({"path": "/mail", "hidden": true})).await;
        let log = "{ shapeDecisions(collection: \"aB\") { version subject kind paths before after } }";
        let log = app.data(log).await;
        let state = |description: Option<&str>, hidden: bool| {
            json!({"name": "mail", "aliases": [], "description": description, "tags": ["pii.email"],
                "hidden": hidden, "deprecated": null})
        };
        let (described, hidden, bare) = (state(Some(text), false), state(Some(text), true), state(None, false));
        let version = first["version"].as_i64().unwrap();
        let entry = |version: i64, before: &Value, after: &Value| {
            json!({"version": version, "subject": "stella", "kind": "FIELD", "paths": ["/mail"],
                "before": before, "after": after})
        };
        let expected = json!([entry(version + 1, &described, &hidden), entry(version, &bare, &described)]);
        assert_eq!(log["shapeDecisions"], expected);
    }
}
