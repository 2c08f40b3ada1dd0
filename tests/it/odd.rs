//! Odd and bad input: each is a typed error or kept data, never a panic, a hang or a lost record.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend};

on_every_backend! {
    async fn what_is_no_record_is_refused_by_name(backend) {
        let app = TestApp::start_with(backend, |config| config.sourcing.record_bytes_max = 10_000).await;
        let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let large = json!({"x": "y".repeat(20_000)}).to_string();
        for (body, status, code) in [
            ("{nonsense", 400, "BAD_REQUEST"),
            ("", 400, "BAD_REQUEST"),
            ("{\"a\": 01}", 400, "BAD_REQUEST"),
            ("{\"a\": \"\\ud800\"}", 400, "BAD_REQUEST"),
            (deep.as_str(), 413, "TOO_LARGE"),
            (large.as_str(), 413, "TOO_LARGE"),
        ] {
            let (got, answer) = app.post("a/b/c/1", "application/json", body.to_owned(), &[]).await;
            let start: String = body.chars().take(30).collect();
            assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{start}: {answer}");
        }
        let (status, _) = app.post("a/b/c/1", "application/octet-stream", "x", &[]).await;
        assert_eq!(status, 415);
        app.source("a/b/c/1", &json!({"fine": true})).await;
        app.data_until("{ aB { nodes { fine } } }", |data| data["aB"]["nodes"] == json!([{"fine": true}])).await;
    }

    async fn odd_documents_are_kept_exactly(backend) {
        let app = TestApp::start(backend).await;
        let odd = [
            r#"{"big": 1e400, "long": 123456789012345678901234567890, "zero": -0, "one": 1.0}"#,
            r#"{"a": 1, "a": 2, "a\u0000b": 3, "": 4, "__proto": 5, "ключ": 6, "$ref": 7, "and": 8, "_record": 9}"#,
            r#"{"US Gross": 10, "us gross": 11, "usGross": 12, "1st": 13}"#,
            r#"{"mixed": [1, "two", null, {"three": 3}], "empty": {}, "none": [], "nul": "x\u0000y"}"#,
            r#"{"mixed": {"now": "an object"}, "emoji": "🜚", "a": {"b": {"c": {"d": {"e": 1}}}}}"#,
            r#""only a text""#,
            "[1, 2, 3]",
            "null",
        ];
        for (n, body) in odd.iter().enumerate() {
            let path = format!("odd/one/s/{n}");
            let (status, answer) = app.post(&path, "application/json", (*body).to_owned(), &[]).await;
            assert_eq!(status, 202, "{body}: {answer}");
        }
        app.settled().await;
        let letters = app.data("{ deadLetters { key reason } }").await;
        assert_eq!(letters["deadLetters"], json!([]));
        let rows = app.data("{ oddOne(first: 100) { totalCount nodes { _record { sourceUid rescued } } } }").await;
        assert_eq!(rows["oddOne"]["totalCount"], odd.len());
        let names = app.data(r#"{ collection(name: "oddOne") { shape { fields { path name type } } } }"#).await;
        let fields = names["collection"]["shape"]["fields"].as_array().unwrap();
        let mut seen: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        seen.sort_unstable();
        let count = seen.len();
        seen.dedup();
        assert_eq!(seen.len(), count, "names are given once: {names}");
        // Every published field can be asked for.
        let tops = fields.iter().filter(|field| !field["name"].as_str().unwrap().contains('.'));
        let scalars = ["String", "Int", "BigInt", "Float", "Boolean", "DateTime", "Date", "UUID", "JSON"];
        let plain = |field: &Value| field["type"].as_str().unwrap().trim_matches(['[', ']', '!']).to_owned();
        let tops = tops.filter(|field| scalars.contains(&plain(field).as_str()));
        let tops: Vec<&str> = tops.map(|field| field["name"].as_str().unwrap()).collect();
        app.data(&format!("{{ oddOne {{ nodes {{ {} }} }} }}", tops.join(" "))).await;
    }

    async fn what_nests_exactly_as_deep_as_it_may_becomes_a_row(backend) {
        let app = TestApp::start(backend).await;
        let depth = app.config().sourcing.depth_max;
        let list = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let object = format!("{{\"v\":{}}}", list(depth - 1));
        // What is not an object gets one around it, which counts.
        for (uid, body, status) in [
            ("1", object.clone(), 202),
            ("2", list(depth - 1), 202),
            ("3", list(depth), 413),
            ("4", format!("{{\"v\":{}}}", list(depth)), 413),
        ] {
            let (answered, answer) =
                app.post(&format!("deep/one/s/{uid}"), "application/json", body, &[]).await;
            assert_eq!(answered, status, "{uid}: {answer}");
        }
        app.settled().await;
        let data = app.data("{ deadLetters { reason } deepOne { totalCount } records { dataObj } }").await;
        assert_eq!((&data["deadLetters"], &data["deepOne"]["totalCount"]), (&json!([]), &json!(2)));
        assert_eq!(data["records"][1]["dataObj"].to_string(), object);
        assert_eq!(data["records"][0]["dataObj"].to_string(), format!("{{\"value\":{}}}", list(depth - 1)));
    }

    async fn ten_thousand_keys_fold_into_the_rest(backend) {
        let app = TestApp::start(backend).await;
        let wide: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(n))).collect();
        app.source("wide/one/s/1", &Value::Object(wide)).await;
        app.source("wide/one/s/2", &json!({"k1": 1, "other": "x"})).await;
        app.settled().await;
        assert_eq!(app.data("{ deadLetters { reason } }").await["deadLetters"], json!([]));
        let row = app.data(r#"{ wideOneByKey(sourceUid: "1") { k1 _rest } }"#).await;
        assert_eq!(row["wideOneByKey"]["k1"], 1);
        assert!(row["wideOneByKey"]["_rest"].as_object().is_some_and(|rest| rest.len() > 1_000));
    }

    async fn unknown_names_and_wrong_tokens_are_said(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"v": 1})).await;
        app.settled().await;
        let admin = app.admin();
        for query in ["{ nothingHere { v } }", "{ aB { nodes { w } } }", "{ aB(first: -1) { nodes { v } } }",
            "{ aB(first: 100000) { nodes { v } } }", "{ aB(after: \"%%\") { nodes { v } } }", "{", "query { aB"] {
            let answer = app.ask(&admin, query, json!({})).await;
            assert!(answer["errors"][0]["message"].is_string(), "{query}: {answer}");
            assert!(answer["errors"][0]["extensions"]["code"].is_string(), "{query}: {answer}");
        }
        let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth("wrong");
        let response = request.json(&json!({"query": "{ __typename }"})).send().await.unwrap();
        assert_eq!(response.status(), 401);
        let request = app.client.post(format!("{}/source/a/b/c/1", app.url)).bearer_auth("wrong");
        assert_eq!(request.json(&json!({})).send().await.unwrap().status(), 401);
    }
}
