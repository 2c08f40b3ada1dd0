//! Statistics of values: what is told of them, to whom, and that several nodes and a stop keep them whole.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends, on_every_backend};

const ASKED: &str = "{ shape { sampled fields { path minimum maximum lengthMin lengthMax itemsMin itemsMax
    distinct distinctExact values examples } } }";

fn query(collection: &str) -> String {
    format!("{{ collection(name: \"{collection}\") {ASKED} }}")
}

async fn start(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| config.statistics.flush_ms = 20).await
}

/// What is told once statistics of so many records are written.
async fn shape_of(app: &TestApp, collection: &str, records: &str) -> Value {
    let sampled = |data: &Value| data["collection"]["shape"]["sampled"] == records;
    app.data_until(&query(collection), sampled).await["collection"]["shape"].take()
}

fn field<'a>(shape: &'a Value, path: &str) -> &'a Value {
    let fields = shape["fields"].as_array().unwrap();
    fields.iter().find(|field| field["path"] == path).unwrap_or_else(|| panic!("{path} in {shape}"))
}

/// Nothing is told of values.
fn is_silent(field: &Value) -> bool {
    let members = field.as_object().unwrap().iter().filter(|(name, _)| *name != "path");
    members.clone().count() > 0 && members.into_iter().all(|(_, value)| value.is_null())
}

fn order(n: u32) -> Value {
    let state = ["open", "paid", "sent"][n as usize % 3];
    json!({"no": n, "state": state, "mail": format!("p{n}@example.org"), "lines": [{"sku": format!("sku-{n}")}],
        "at": format!("2026-11-22T10:{n:02}:00+01:00"), "region": if n == 0 { "us" } else { "eu" }})
}

async fn orders(app: &TestApp, numbers: std::ops::Range<u32>) {
    let lines: String = numbers.map(|n| order(n).to_string() + "\n").collect();
    app.post("st/order/web?key=/no", "application/x-ndjson", lines, &[]).await;
}

on_every_backend! {
    async fn what_values_are_like_is_told_to_stewards(backend) {
        let app = start(backend).await;
        orders(&app, 0..50).await;
        let shape = shape_of(&app, "stOrder", "50").await;
        let no = field(&shape, "/no");
        assert_eq!((&no["minimum"], &no["maximum"], &no["lengthMin"]), (&json!("0"), &json!("49"), &Value::Null));
        assert_eq!((&no["distinct"], &no["distinctExact"]), (&json!("50"), &json!(true)));
        let state = field(&shape, "/state");
        assert_eq!(state["values"], json!(["open", "paid", "sent"]));
        assert_eq!(state["examples"], json!(["open", "paid", "sent"]));
        assert_eq!((&state["lengthMin"], &state["lengthMax"], &state["minimum"]), (&json!(4), &json!(4), &Value::Null));
        let at = field(&shape, "/at");
        assert_eq!(at["minimum"], "2026-11-22T09:00:00.000000Z");
        assert_eq!(at["maximum"], "2026-11-22T09:49:00.000000Z");
        let lines = field(&shape, "/lines");
        assert_eq!((&lines["itemsMin"], &lines["itemsMax"]), (&json!(1), &json!(1)));
        assert_eq!(field(&shape, "/lines/*/sku")["distinct"], "50");
        // Of personal data no value is told, whoever asks.
        let mail = field(&shape, "/mail");
        assert_eq!((&mail["lengthMin"], &mail["lengthMax"]), (&json!(14), &json!(15)));
        assert!([&mail["values"], &mail["examples"], &mail["minimum"]].iter().all(|told| told.is_null()
            || **told == json!([])), "{mail}");
        assert!(!shape.to_string().contains("example.org"));

        let steward = app.data_as(&app.token("steward", json!({})), &query("stOrder")).await;
        let shape = &steward["collection"]["shape"];
        assert_eq!(field(shape, "/state")["values"], json!(["open", "paid", "sent"]));
        assert!(is_silent(field(shape, "/mail")), "it is masked: {shape}");
        let consumer = app.data_as(&app.token("consumer", json!({})), &query("stOrder")).await;
        let shape = &consumer["collection"]["shape"];
        assert!(shape["sampled"].is_null() && shape["fields"].as_array().unwrap().iter().all(is_silent));
        let schema = app.data("{ __schema { types { name description fields { description } } } }").await.to_string();
        assert!(schema.contains("StOrder") && !schema.contains("sku-"), "values stand in no description");
    }

    async fn what_was_gathered_last_is_written_when_a_node_stops(backend) {
        let app = TestApp::start_with(backend, |config| config.statistics.flush_ms = 3_600_000).await;
        orders(&app, 0..10).await;
        app.settled().await;
        let app = app.restart().await;
        assert_eq!(field(&shape_of(&app, "stOrder", "10").await, "/no")["maximum"], "9");
    }

    /// Statistics are of all rows: who may see only some is told nothing of them.
    async fn who_may_not_see_every_row_is_told_nothing_of_values(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.statistics.flush_ms = 20;
            let policies = config.store.data.join("policies");
            std::fs::create_dir_all(&policies).unwrap();
            let text = "has_role(user: User, role) if role in user.roles;\n\
                has_role(user: User, _) if \"admin\" in user.roles;\n\
                allow(user: User, \"read\", _: Row) if has_role(user, \"admin\");\n\
                allow(user: User, \"read\", row: Row) if row._record.sourceName = user.source;\n\
                allow_field(_: User, \"read\", _: Row, _: Field);\n\
                allow(_: User, \"source\", _: Source);\n";
            std::fs::write(policies.join("own.polar"), text).unwrap();
        })
        .await;
        orders(&app, 0..10).await;
        assert_eq!(field(&shape_of(&app, "stOrder", "10").await, "/no")["maximum"], "9");
        let some = app.token("steward", json!({"source": "web"}));
        let counts = "{ collection(name: \"stOrder\") { shape { counted } } stOrder { totalCount } }";
        let seen = app.data_as(&some, counts).await;
        assert_eq!(seen["collection"]["shape"]["counted"], "10");
        assert_eq!(seen["stOrder"]["totalCount"], 10);
        let shape = app.data_as(&some, &query("stOrder")).await["collection"]["shape"].take();
        assert!(shape["sampled"].is_null() && shape["fields"].as_array().unwrap().iter().all(is_silent), "{shape}");
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn nodes_write_into_one(backend) {
        let one = start(backend).await;
        let two = one.beside().await;
        for n in 0..40 {
            let node = if n % 2 == 0 { &one } else { &two };
            node.source(&format!("st/order/web/{n}"), &order(n)).await;
        }
        let shape = shape_of(&one, "stOrder", "40").await;
        assert_eq!(shape_of(&two, "stOrder", "40").await, shape);
        let no = field(&shape, "/no");
        assert_eq!((&no["minimum"], &no["maximum"], &no["distinct"]), (&json!("0"), &json!("39"), &json!("40")));
        assert_eq!(field(&shape, "/region")["values"], json!(["eu", "us"]));
    }
}
