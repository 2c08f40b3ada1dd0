//! What is told of shapes: how often fields were seen, what was published when, and to whom.

use std::fs;

use serde_json::{Value, json};

use crate::{
    cli::{place, run},
    faults::server::Stand,
    support::{Backend, TestApp, eventually, on_every_backend},
};

on_every_backend! {
    async fn how_often_a_field_was_seen_is_counted_exactly(backend) {
        let app = TestApp::start(backend).await;
        let lines: String = (0..40)
            .map(|n| {
                let mut document = json!({"id": n, "at": "2026-11-22T10:00:00Z", "o": {"k": null}});
                if n % 4 == 0 {
                    document["mail"] = json!(format!("a{n}@example.org"));
                    document["o"]["tags"] = json!([{"t": "x"}]);
                }
                document.to_string() + "\n"
            })
            .collect();
        app.post("s/t/u?key=/id", "application/x-ndjson", lines, &[]).await;
        // A key that comes again is one more record; a tombstone has no document.
        app.source("s/t/u/1", &json!({"id": 1})).await;
        app.retract("s/t/u/2").await;
        app.settled().await;
        let query = r#"{ collection(name: "sT") { shape { counted fields {
            path count presence formats evidence { tag count of } firstSeen lastSeen } } } }"#;
        let shape = app.data(query).await["collection"]["shape"].take();
        assert_eq!(shape["counted"], "41");
        let told = |path: &str| {
            let fields = shape["fields"].as_array().unwrap();
            let field = fields.iter().find(|field| field["path"] == path).unwrap_or(&Value::Null);
            assert!(field["firstSeen"].as_str() <= field["lastSeen"].as_str(), "{field}");
            (field["count"].clone(), field["presence"].clone(), field["formats"].clone())
        };
        assert_eq!(told("/id"), (json!("41"), json!(1.0), json!([])));
        assert_eq!(told("/at"), (json!("40"), json!(40.0 / 41.0), json!(["date-time"])));
        assert_eq!(told("/mail"), (json!("10"), json!(10.0 / 41.0), json!(["email"])));
        assert_eq!(told("/o/tags"), (json!("10"), json!(0.25), json!([])));
        assert_eq!(told("/o/tags/*/t"), (json!("10"), json!(1.0), json!([])));
        let mail = shape["fields"].as_array().unwrap().iter().find(|field| field["path"] == "/mail").unwrap();
        assert_eq!(mail["evidence"], json!([{"tag": "pii.email", "count": "10", "of": "10"}]));
        let as_others_see_it = app.data_as(&app.token("consumer", json!({})), query).await;
        let shape = &as_others_see_it["collection"]["shape"];
        assert_eq!(shape["counted"], Value::Null);
        assert!(shape["fields"].as_array().is_some_and(|fields| !fields.is_empty()));
        let nothing = |field: &Value| field["count"].is_null() && field["evidence"].is_null();
        assert!(shape["fields"].as_array().unwrap().iter().all(nothing));
    }

    async fn what_was_published_when_is_told(backend) {
        let app = TestApp::start(backend).await;
        for document in [json!({"n": 1}), json!({"n": 1.5, "who": "ada@example.org"}), json!({"n": 2})] {
            app.source("v/w/x/1", &document).await;
            app.settled().await;
        }
        let query = r#"{ collection(name: "vW") { shape { version } versions {
            version at cause changes { path change from to } } } }"#;
        let mut collection = app.data(query).await["collection"].take();
        assert_eq!(collection["shape"]["version"], 2);
        for version in collection["versions"].as_array_mut().unwrap() {
            assert!(version["at"].take().is_string() && version["cause"].take().is_string());
        }
        let change = |path: &str, change: &str, from: Value, to: &str| {
            json!({"path": path, "change": change, "from": from, "to": to})
        };
        assert_eq!(
            collection["versions"],
            json!([
                {"version": 2, "at": null, "cause": null, "changes": [
                    change("/n", "WIDENED", json!("Int"), "Float"), change("/who", "ADDED", Value::Null, "String"),
                ]},
                {"version": 1, "at": null, "cause": null, "changes": [change("/n", "ADDED", Value::Null, "Int")]},
            ])
        );
    }

    async fn the_widest_row_fits_into_the_database(backend) {
        let app = TestApp::start(backend).await;
        // Texts that are too short to be moved out of the row, and as long as such can be.
        let wide: serde_json::Map<String, Value> =
            (0..600).map(|n| (format!("f{n:03}"), json!(format!("{n:023}")))).collect();
        app.source("s/t/u/1", &Value::Object(wide)).await;
        app.settled().await;
        let data = app.data("{ sT { nodes { f000 f150 _rest } } }").await;
        let row = &data["sT"]["nodes"][0];
        assert_eq!((&row["f000"], &row["f150"]), (&json!(format!("{:023}", 0)), &json!(format!("{:023}", 150))));
        assert_eq!(row["_rest"]["f599"], json!(format!("{:023}", 599)));
    }

    async fn long_names_are_cut_before_they_are_too_long_to_be_kept(backend) {
        let app = TestApp::start(backend).await;
        // No two parts alike, so that nothing can be compressed.
        let key = |seed: u64| {
            let letters = (0..256_u64).scan(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, |state, _| {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                Some(char::from(b'a' + u8::try_from((*state >> 33) % 26).unwrap()))
            });
            letters.collect::<String>()
        };
        let deep = (0..12).fold(json!(1), |inner, n| json!({key(n): inner}));
        app.source("s/t/u/1", &deep).await;
        app.settled().await;
        let data = app.data("{ collection(name: \"sT\") { shape { fields { name type } } } }").await;
        assert_eq!(data["collection"]["shape"]["fields"].as_array().map(Vec::len), Some(12), "{data}");
    }

    async fn a_collection_keeps_off_the_types_of_the_management_part(backend) {
        let app = TestApp::start(backend).await;
        app.source("shape/version/s/1", &json!({"n": 1})).await;
        app.settled().await;
        let query = "{ __type(name: \"ShapeVersion\") { fields { name } } shapeVersion2 { nodes { n } } }";
        let data = app.data(query).await;
        assert_eq!(data["shapeVersion2"]["nodes"], json!([{"n": 1}]));
        assert_eq!(data["__type"]["fields"][0]["name"], "version");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_for_json_schema_and_openapi() {
    let stand = Stand::new(Backend::Embedded);
    let (server, place) = (stand.start(), place());
    let (url, token) = (server.url.as_str(), stand.token());
    fs::write(place.path().join("o.ndjson"), "{\"lane\":\"a\"}\n").unwrap();
    let order = ["source", "o.ndjson", "--category", "order", "--subcategory", "clothing", "--source", "web"];
    let said = run(place.path(), &[&order[..], &["--url", url, "--token", &token]].concat());
    assert_eq!(said.code, 0, "{said:?}");
    let json_schema = |more: &[&str]| {
        run(place.path(), &[&["schema", "--url", url, "--token", &token, "--json-schema"], more].concat())
    };
    let said = eventually("the collection", async || {
        let said = json_schema(&["orderClothing"]);
        if said.code == 0 { Ok(said) } else { Err(said) }
    })
    .await;
    let one: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &one["title"]), (0, &json!("orderClothing")));
    assert_eq!(one["properties"]["lane"]["type"], json!(["string", "number", "boolean", "null"]));
    let all: Value = serde_json::from_str(&json_schema(&[]).out).unwrap();
    assert_eq!(all["orderClothing"], one);
    let said = json_schema(&["orderClothin"]);
    assert!(said.code == 1 && said.err.contains("`orderClothing`"), "{said:?}");
    assert_eq!(run(place.path(), &["schema", "--json-schema"]).code, 2);
    let rest = run(place.path(), &["schema", "--openapi", "--url", url, "--token", &token]);
    let document: Value = serde_json::from_str(&rest.out).unwrap();
    assert_eq!((rest.code, document["paths"].get("/data/orderClothing").is_some()), (0, true));
    assert_eq!(run(place.path(), &["schema", "--openapi"]).code, 2);
}
