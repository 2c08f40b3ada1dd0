//! Objects whose keys are data: asked by key, never ten thousand fields, and kept from who may not see keys or values.

use serde_json::{Value, json};
use wellspring::config::Exposure;

use crate::support::{TestApp, on_every_backend};

/// What of a day has a rate for each currency, and a price with its maker for each article.
fn day(n: usize) -> Value {
    json!({
        "day": n,
        "rates": {"EUR": 1.5 + n as f64, "USD": 1, "CHF": 0.5},
        "articles": {format!("0c6e2b9a-7b1d-4a7f-9c57-{n:012}"): {"price": n, "maker": format!("m{n}@example.org")}},
        "visits": {"2026-11-22": {"10001": n}, "2026-11-23": {}},
    })
}

async fn said(app: &TestApp, token: &str, path: &str) -> (u16, String) {
    let request = app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(token);
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

on_every_backend! {
    async fn a_map_is_asked_by_key(backend) {
        let app = TestApp::start(backend).await;
        for n in 0..3 {
            app.source(&format!("fx/day/bank/{n}"), &day(n)).await;
        }
        app.settled().await;
        let data = app.data(r#"{ fxDay(where: {rates: {hasKey: "EUR"}}, orderBy: [{day: ASC}], first: 1) {
            totalCount nodes { rates { key value }
            two: rates(keys: ["USD", "EUR", "QQQ"]) { __typename key } one: rates(first: 1) { value }
            articles { key value { price maker __typename } }
            visits(keys: ["2026-11-22"]) { key value(keys: ["10001"]) { __typename key value } } } } }"#).await;
        let (entry, id) = ("FxDayRatesEntry", "0c6e2b9a-7b1d-4a7f-9c57-000000000000");
        let article = json!({"price": 0, "maker": "m0@example.org", "__typename": "FxDayArticles"});
        assert_eq!(data["fxDay"], json!({"totalCount": 3, "nodes": [{
            "rates": [{"key": "CHF", "value": 0.5}, {"key": "EUR", "value": 1.5}, {"key": "USD", "value": 1}],
            "two": [{"__typename": entry, "key": "EUR"}, {"__typename": entry, "key": "USD"}],
            "one": [{"value": 0.5}],
            "articles": [{"key": id, "value": article}],
            "visits": [{"key": "2026-11-22", "value": [
                {"__typename": "FxDayVisitsEntryEntry", "key": "10001", "value": 0}]}],
        }]}));
        let second = json!({"articles": {"hasKey": "0c6e2b9a-7b1d-4a7f-9c57-000000000002"}});
        let query = "query($where: FxDayFilter) { fxDay(where: $where) { nodes { day } } }";
        let found = app.ask(&app.admin(), query, json!({"where": second})).await;
        assert_eq!(found["data"]["fxDay"]["nodes"], json!([{"day": 2}]));
        let found = app.data("{ fxDay(where: {rates: {isNull: true}}) { totalCount } }").await;
        assert_eq!(found["fxDay"]["totalCount"], 0);
        for wrong in [
            r#"{ fxDay { nodes { rates(key: "EUR") { key } } } }"#,
            "{ fxDay { nodes { rates(first: -1) { key } } } }",
            "{ fxDay { nodes { rates } } }",
            "{ fxDay(orderBy: [{rates: ASC}]) { nodes { day } } }",
        ] {
            assert_eq!(app.codes(&app.admin(), wrong).await, ["BAD_REQUEST"], "{wrong}");
        }
        // However many keys come, the fields stay the same, and what does not fit is told with its path.
        let mut odd = day(3);
        let many = (0..2_000).map(|n| (format!("R{n}"), json!(n)));
        odd["rates"] = many.collect::<serde_json::Map<_, _>>().into();
        odd["rates"]["bad"] = json!("x");
        app.source("fx/day/bank/3", &odd).await;
        app.settled().await;
        let data = app.data(r#"{ fxDay(where: {day: {eq: 3}}) { nodes {
            rates(keys: ["R7", "bad"]) { key value } _record { rescued } } }
            collection(name: "fxDay") { jsonSchema shape { version fields { path type count } } } }"#).await;
        let row = &data["fxDay"]["nodes"][0];
        assert_eq!(row["rates"], json!([{"key": "R7", "value": 7}, {"key": "bad", "value": null}]));
        assert_eq!(row["_record"]["rescued"][0]["path"], "/rates/bad");
        let shape = &data["collection"]["shape"];
        let fields: Vec<_> = shape["fields"].as_array().unwrap().iter()
            .map(|field| format!("{} {} {}", field["path"], field["type"], field["count"]).replace('"', ""))
            .collect();
        assert_eq!(fields, [
            "/articles {Object} 4", "/articles/~*/maker String 4", "/articles/~*/price Int 4",
            "/day Int 4", "/rates {Float} 4", "/visits {{Int}} 4",
        ]);
        assert_eq!(shape["version"], 1);
        let schema = &data["collection"]["jsonSchema"]["properties"];
        assert_eq!(schema["rates"]["additionalProperties"]["type"], json!(["number", "null"]));
        assert_eq!(schema["articles"]["additionalProperties"]["properties"]["price"]["title"], "price");
    }

    async fn a_map_goes_out_in_every_form_and_its_changes_are_told(backend) {
        let app = TestApp::start(backend).await;
        app.source("fx/day/bank/0", &day(0)).await;
        app.settled().await;
        let admin = app.admin();
        let (status, text) = said(&app, &admin, "fxDay.ndjson?fields=day,rates").await;
        let line = r#"{"day":0,"rates":[{"key":"CHF","value":0.5},{"key":"EUR","value":1.5},{"key":"USD","value":1}]}"#;
        assert_eq!((status, text.trim()), (200, line));
        let (status, text) = said(&app, &admin, "fxDay.csv?fields=day,rates").await;
        assert_eq!(status, 200);
        assert!(text.starts_with("day,rates\r\n0,\"[{\"\"key\"\":\"\"CHF\"\",\"\"value\"\":0.5}"), "{text}");
        let (status, _) = said(&app, &admin, r#"fxDay?where={"rates":{"hasKey":"USD"}}"#).await;
        assert_eq!(status, 200);
        let query = r#"subscription { fxDay(snapshot: true, where: {rates: {hasKey: "EUR"}}) { op
            node { rates(keys: ["EUR"]) { value } } before { rates(keys: ["EUR", "USD"]) { key value } } } }"#;
        let mut changes = app.subscribe(&admin, query).await;
        changes.until_op("CAUGHT_UP").await;
        app.source("fx/day/bank/0", &json!({"day": 0, "rates": {"EUR": 9}})).await;
        let change = changes.next_where(|change| change["op"] == "UPSERT").await;
        assert_eq!(change["node"]["rates"], json!([{"value": 9}]));
        let before = json!([{"key": "EUR", "value": 1.5}, {"key": "USD", "value": 1}]);
        assert_eq!(change["before"]["rates"], before);
    }

    async fn what_may_not_be_seen_is_not_seen_in_a_map(backend) {
        let app = TestApp::start(backend).await;
        app.source("fx/day/bank/0", &day(0)).await;
        let people = json!({"n": 0, "scores": {"ada@example.org": 3}, "notes": {"2026-11-22": "call +49 30 901820"}});
        app.source("fx/people/bank/0", &people).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({}));
        // Values of personal data are masked within; keys of personal data hide their map.
        let query = "{ fxDay { nodes { articles { key value { price maker } } } }
            fxPeople { nodes { n scores { key value } } } }";
        let data = app.data_as(&consumer, query).await;
        let article = &data["fxDay"]["nodes"][0]["articles"][0];
        assert_eq!((&article["value"]["price"], article["key"].is_string()), (&json!(0), true));
        let maker = article["value"]["maker"].as_str().unwrap();
        assert!(maker.len() == 32 && !maker.contains('@'), "{maker}");
        assert_eq!(data["fxPeople"]["nodes"], json!([{"n": 0, "scores": null}]));
        for guess in [
            r#"{ fxPeople(where: {scores: {hasKey: "ada@example.org"}}) { totalCount } }"#,
            "{ fxPeople(where: {scores: {isNull: false}}) { totalCount } }",
        ] {
            assert_eq!(app.codes(&consumer, guess).await, ["BAD_REQUEST"], "{guess}");
        }
        let (_, text) = said(&app, &consumer, "fxPeople.ndjson").await;
        assert!(text.contains("\"scores\":null") && !text.contains("ada@"), "{text}");
        let (_, text) = said(&app, &consumer, "fxDay.ndjson").await;
        assert!(!text.contains("m0@example.org"), "{text}");
        let query = "subscription { fxPeople(snapshot: true) { op
            node { scores { key } } before { scores { key } } } }";
        let mut changes = app.subscribe(&consumer, query).await;
        let held = changes.until_op("CAUGHT_UP").await;
        assert_eq!(held[0]["node"], json!({"scores": null}));
        app.source("fx/people/bank/0", &json!({"n": 1, "scores": {"eve@example.org": 4}})).await;
        let change = changes.next().await;
        assert_eq!(change, json!({"op": "UPSERT", "node": {"scores": null}, "before": {"scores": null}}));
        // Who may see personal data sees it.
        let pii = app.token("consumer", json!({"roles": ["consumer", "pii"]}));
        let data = app.data_as(&pii, "{ fxPeople { nodes { scores { key value } } } }").await;
        assert_eq!(data["fxPeople"]["nodes"][0]["scores"], json!([{"key": "eve@example.org", "value": 4}]));
    }

    async fn a_map_that_turns_out_to_hold_personal_keys_is_masked_at_once(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/s/0", &json!({"n": 0, "m": {"2026-11-22": 1}})).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({}));
        let query = "{ aB(orderBy: [{n: ASC}]) { nodes { m { key } } } }";
        let data = app.data_as(&consumer, query).await;
        assert_eq!(data["aB"]["nodes"], json!([{"m": [{"key": "2026-11-22"}]}]));
        app.source("a/b/s/1", &json!({"n": 1, "m": {"ada@example.org": 1}})).await;
        app.settled().await;
        let data = app.data_as(&consumer, query).await;
        assert_eq!(data["aB"]["nodes"], json!([{"m": null}, {"m": null}]));
    }

    async fn a_map_waits_for_its_classification_like_any_field(backend) {
        let app = TestApp::start_with(backend, |config| config.shape.exposure = Exposure::Guarded).await;
        app.source("fx/day/bank/0", &day(0)).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({}));
        let classify = async |paths: Value| {
            let query = "mutation($paths: [String!]) { classifyFields(input: {collection: \"fxDay\", paths: $paths}) {
                unclassified } }";
            let answer = app.ask(&app.admin(), query, json!({"paths": paths})).await;
            answer["data"]["classifyFields"]["unclassified"].clone()
        };
        // What is in the map is known, but not its keys.
        assert_eq!(classify(json!(["/day", "/articles/~*/price"])).await, 4);
        assert_eq!(app.codes(&consumer, "{ fxDay { nodes { articles { key } } } }").await, ["BAD_REQUEST"]);
        assert_eq!(app.codes(&consumer, "{ fxDay { nodes { rates { value } } } }").await, ["BAD_REQUEST"]);
        assert_eq!(classify(json!(["/articles", "/rates"])).await, 1);
        let query = "{ fxDay { nodes { rates(first: 1) { key } articles { value { price } } } } }";
        let data = app.data_as(&consumer, query).await;
        let row = json!({"rates": [{"key": "CHF"}], "articles": [{"value": {"price": 0}}]});
        assert_eq!(data["fxDay"]["nodes"], json!([row]));
        // A member that is new in its values waits, and takes nothing else with it.
        let mut more = day(0);
        more["articles"]["0c6e2b9a-7b1d-4a7f-9c57-000000000000"]["secret"] = json!("x");
        app.source("fx/day/bank/0", &more).await;
        app.settled().await;
        let data = app.data_as(&consumer, "{ fxDay { nodes { articles { value { price } } } } }").await;
        assert_eq!(data["fxDay"]["nodes"][0]["articles"], json!([{"value": {"price": 0}}]));
        let query = "{ fxDay { nodes { articles { value { secret } } } } }";
        assert_eq!(app.codes(&consumer, query).await, ["BAD_REQUEST"]);
        assert_eq!(app.data(query).await["fxDay"]["nodes"][0]["articles"][0]["value"]["secret"], "x");
    }

    async fn no_key_is_too_odd_and_no_map_too_large(backend) {
        let app = TestApp::start(backend).await;
        let odd = ["", "a\"b\\c", "\u{1}\n\t", "\u{0}", "é😀", "__proto__", "~*", "a/b", "2026-11-22", "{}],"];
        let mut keys: serde_json::Map<String, Value> = odd.iter().map(|key| ((*key).to_owned(), json!(1))).collect();
        keys.extend([("k".repeat(5_000), json!(2)), ("2026-11-23".to_owned(), json!(3))]);
        let days = |n: usize| format!("{:04}-{:02}-{:02}", 1000 + n / 336, n / 28 % 12 + 1, n % 28 + 1);
        let many: serde_json::Map<_, _> = (0..50_000).map(|n| (days(n), json!({"v": n}))).collect();
        let deep = (0..40).fold(json!(7), |inner, n| json!({days(n): inner}));
        app.source("a/b/s/0", &json!({"m": {"2026-11-22": 0}})).await;
        app.settled().await;
        app.source("a/b/s/1", &json!({"m": keys, "many": many, "deep": deep})).await;
        app.settled().await;
        let query = "query($keys: [String!], $key: String) { aB(where: {m: {hasKey: $key}}) { nodes {
            m(keys: $keys) { key } many(first: 2) { key value { v } } deep { key } _record { rescued } } } }";
        for key in odd.iter().filter(|key| !key.contains('\0')) {
            let answer = app.ask(&app.admin(), query, json!({"keys": [key, "none"], "key": key})).await;
            let row = &answer["data"]["aB"]["nodes"].as_array().unwrap().last().unwrap();
            assert_eq!(row["m"], json!([{"key": key}]), "{key:?} {answer}");
        }
        let answer = app.ask(&app.admin(), query, json!({"keys": ["k".repeat(5_000)], "key": "k".repeat(5_000)})).await;
        let row = &answer["data"]["aB"]["nodes"][0];
        assert_eq!(row["m"].as_array().map(Vec::len), Some(1));
        let first = [0, 1].map(|n| json!({"key": days(n), "value": {"v": n}}));
        assert_eq!((&row["many"], row["deep"].as_array().map(Vec::len)), (&json!(first), Some(1)));
        assert_eq!(row["_record"]["rescued"][0]["path"], "/m/\0");
        let shape = app.data("{ collection(name: \"aB\") { shape { version fields { path type } } } }").await;
        let fields = shape["collection"]["shape"]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), 4, "{fields:?}");
    }
}
