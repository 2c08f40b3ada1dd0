//! Odd and bad input: each is a typed error or kept data, never a panic, a hang or a lost record.

use serde_json::{Value, json};
use wellspring::record;

use crate::support::{TestApp, on_every_backend};

/// What a refused document is answered with: status, code and a part of the text that says what to do.
const REFUSED: &[(&str, &str, u16, &str, &str)] = &[
    ("application/json", "{nonsense", 400, "BAD_REQUEST", "not valid JSON"),
    ("application/json", "", 400, "BAD_REQUEST", "the body is empty; send one JSON document"),
    ("application/json", "{\"a\": 01}", 400, "BAD_REQUEST", "not valid JSON"),
    ("application/json", "{\"a\": \"\\ud800\"}", 400, "BAD_REQUEST", "not valid JSON"),
    ("application/json", "{\"a\": 1} {\"a\": 2}", 400, "BAD_REQUEST", "not valid JSON"),
    ("application/json", "{\"a\": NaN}", 400, "BAD_REQUEST", "not valid JSON"),
    ("text/csv", "a\n1\n2\n", 400, "BAD_REQUEST", "send them to the batch route"),
    ("text/csv", "a\n", 400, "BAD_REQUEST", "the body holds no document; send one"),
    ("application/xml", "<a>1</a>", 415, "BAD_REQUEST", "to one of `application/json`"),
    ("text/xml; charset=utf-8", "<a>1</a>", 415, "BAD_REQUEST", "`text/csv`"),
    ("application/octet-stream", "x", 415, "BAD_REQUEST", "`application/x-ndjson`"),
];

on_every_backend! {
    async fn what_is_no_record_is_refused_by_name(backend) {
        let app = TestApp::start_with(backend, |config| config.sourcing.record_bytes_max = 10_000).await;
        let list = format!("{}1{}", "[".repeat(200), "]".repeat(200));
        let deep = format!(r#"{{"a":{list}}}"#);
        let large = json!({"x": "y".repeat(20_000)}).to_string();
        let long = [
            ("application/json", deep.as_str(), 413, "TOO_LARGE", "nests deeper than 100"),
            // What it becomes is one level deeper than it is.
            ("application/json", list.as_str(), 413, "TOO_LARGE", "nests deeper than 99"),
            ("application/json", large.as_str(), 413, "TOO_LARGE", "`sourcing.record_bytes_max`"),
        ];
        for (media_type, body, status, code, says) in REFUSED.iter().chain(&long) {
            let (got, answer) = app.post("a/b/c/1", media_type, (*body).to_owned(), &[]).await;
            let start: String = body.chars().take(30).collect();
            assert_eq!((got, &answer["error"]["code"]), (*status, &json!(code)), "{start}: {answer}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(says), "{start}: {answer}");
        }
        let (status, answer) = app.post("a/b/c", "application/xml", "<a>1</a>", &[]).await;
        assert_eq!((status, &answer["error"]["code"]), (415, &json!("BAD_REQUEST")), "{answer}");
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
            "{ \"spaced\" :\t1.50 ,\n\"tiny\":1e-400, \"\u{202e}\u{200b}\u{feff}\": \"\\ud83d\\ude00\\/\"}",
            "{\"e\u{301}\": 1, \"\u{e9}\": 2, \"\\u00e9\": 3, \" \": 4, \"__typename\": 5}",
            r#""only a text""#,
            "[1, 2, 3]",
            "null",
        ];
        for (n, body) in odd.iter().enumerate() {
            let path = format!("odd/one/s/{n}");
            let (status, answer) = app.post(&path, "application/json", (*body).to_owned(), &[]).await;
            assert_eq!(status, 202, "{body}: {answer}");
            // Every key in its place, also one that comes again, and every digit, whatever a library makes of it.
            let id = answer["id"].as_str().unwrap();
            let query = format!("{{ record(id: \"{id}\") {{ dataObj }} }}");
            let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
            let told = request.json(&json!({"query": query})).send().await.unwrap().text().await.unwrap();
            let exact = |text: &str| record::parse(text.as_bytes(), record::Limits::default()).unwrap();
            let told = exact(&told);
            let kept = ["data", "record", "dataObj"].iter().try_fold(&told, |value, name| value.get(name));
            let sent =
                if body.starts_with('{') { exact(body) } else { exact(&format!("{{\"value\":{body}}}")) };
            assert_eq!(kept, Some(&sent), "{body}");
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
        for (query, says) in [
            ("{ aC { nodes { v } } }", "aC"),
            ("{ aB { nodes { w } } }", "w"),
            ("{ aB(first: -1) { nodes { v } } }", "first"),
            ("{ aB(first: 100000) { nodes { v } } }", "1000"),
            ("{ aB(after: \"%%\") { nodes { v } } }", "cursor"),
            ("subscription { aB(after: \"%%\") { op } }", ""),
            ("{", ""),
            ("query { aB", ""),
        ] {
            let answer = app.ask(&admin, query, json!({})).await;
            let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty() && message.contains(says), "{query}: {answer}");
            let code = if says == "1000" { "TOO_COMPLEX" } else { "BAD_REQUEST" };
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{query}: {answer}");
        }
        let sign = |claims: Value| app.keys().sign(claims.as_object().unwrap()).unwrap();
        let expired = sign(json!({"sub": "x", "roles": ["admin"], "exp": 1_000_000_000}));
        let forged = format!("{}x", admin.trim_end_matches(|c: char| c != '.'));
        for token in ["wrong", "", expired.as_str(), forged.as_str()] {
            let graphql = app.client.post(format!("{}/graphql", app.url)).json(&json!({"query": "{ __typename }"}));
            let source = app.client.post(format!("{}/source/a/b/c/1", app.url)).json(&json!({}));
            let batch = app.client.post(format!("{}/source/a/b/c", app.url)).json(&json!([]));
            let data = app.client.get(format!("{}/data/aB.json", app.url));
            for request in [graphql, source, batch, data] {
                let answer = request.bearer_auth(token).send().await.unwrap();
                assert_eq!(answer.status(), 401, "{token}");
                let answer: Value = answer.json().await.unwrap();
                let error = answer.get("error").unwrap_or(&answer["errors"][0]);
                assert!(error["message"].as_str().is_some_and(|text| text.len() > 10), "{answer}");
            }
        }
        for (path, status, code) in [
            ("aC.json", 404, "NOT_FOUND"),
            ("aB.json?after=%25%25", 400, "BAD_REQUEST"),
            ("aB.pdf", 404, "NOT_FOUND"),
        ] {
            let request = app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(&admin);
            let answer = request.send().await.unwrap();
            let got = answer.status();
            let answer: Value = answer.json().await.unwrap();
            assert_eq!((got.as_u16(), &answer["error"]["code"]), (status, &json!(code)), "{path}: {answer}");
        }
    }
}
