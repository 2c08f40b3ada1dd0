//! Contracts that keep the version of a shape: its fields and types, whatever becomes of the collection.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::contracts::{applied, apply, consumer, graphql, rest, shop};
use crate::support::{Backend, Subscription, TestApp, on_every_backend};

async fn item(app: &TestApp, uid: &str, (whole, big, text): (&str, &str, &str)) {
    let document = format!(r#"{{"whole": {whole}, "big": {big}, "text": "{text}"}}"#);
    app.source(&format!("shop/item/web/{uid}"), &serde_json::from_str(&document).unwrap()).await;
}

/// Items whose numbers were whole when two contracts were agreed, `nulls` and `drops`, and are floats now: of what is
/// beyond 32 bits, has a fraction or is too great nothing fits.
async fn items(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    for (uid, row) in [("1", ("10", "20", "a")), ("2", ("11", "9000000000", "b"))] {
        item(&app, uid, row).await;
        app.settled().await;
    }
    // Another node than the one that answers may have published it.
    let query = "{ collection(name: \"shopItem\") { shape { version fields { name type } } } }";
    let shape =
        app.data_until(query, |data| data["collection"]["shape"].to_string().contains("BigInt")).await;
    let pin = |name: &str, misfit: &str| {
        format!(
            r#"
name = "{name}"
version = 1
consumers = [{{ claim = "client", value = "acme" }}]
[collections.shopItem]
fields = ["whole", "big", "text"]
shape_version = {}
misfits = {{ whole = "{misfit}", big = "{misfit}" }}
"#,
            shape["collection"]["shape"]["version"]
        )
    };
    applied(&app, &pin("nulls", "null")).await;
    applied(&app, &pin("drops", "drop_row")).await;
    let texts = pin("texts", "null").replace("big =", "text =").replace("\"null\" }", "\"drop_row\" }");
    let answer = apply(&app, &texts).await;
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("is no number"), "{answer}");
    for (uid, whole, big) in
        [("3", "10.5", "7.25"), ("4", "-3.0", "1e300"), ("5", "3e9", "-5"), ("6", "null", "6")]
    {
        item(&app, uid, (whole, big, uid)).await;
        // Rows that are equal stand in the order in which they were written; partitions write as they come.
        app.settled().await;
    }
    app
}

/// `data` of an answer without errors.
async fn under(app: &TestApp, contract: &str, query: &str) -> Value {
    let mut answer = graphql(app, contract, query).await;
    assert!(answer.get("errors").is_none(), "{contract}: {query}: {answer}");
    answer["data"].take()
}

on_every_backend! {
    async fn a_pinned_version_keeps_its_types(backend) {
        let app = shop(backend).await;
        let pinned = |version: u32, misfit: &str| format!(r#"
name = "pin"
version = {version}
consumers = [{{ claim = "client", value = "acme" }}]
[collections.shopOrder]
fields = ["total", "placed"]
shape_version = 1
misfits = {{ total = "{misfit}" }}
"#);
        let shape = app.data("{ collection(name: \"shopOrder\") { shape { version } } }").await;
        let first = shape["collection"]["shape"]["version"].to_string();
        let text = |version, misfit| {
            pinned(version, misfit).replace("shape_version = 1", &format!("shape_version = {first}"))
        };
        applied(&app, &text(1, "null")).await;
        applied(&app, &text(2, "error")).await;
        app.source("shop/order/web/5", &json!({"total": 5.5, "region": "north", "placed": "soon", "late": 1})).await;
        app.source("shop/order/web/6", &json!({"total": 6, "region": "north", "placed": "2026-11-23"})).await;
        app.settled().await;
        let token = consumer(&app);
        let (_, sdl) = rest(&app, &token, "/graphql/schema", Some("pin@1")).await;
        assert!(sdl.contains("total: Int") && sdl.contains("placed: Date") && !sdl.contains("late"), "{sdl}");
        let (_, csv) = rest(&app, &token, "/data/shopOrder.csv", Some("pin@1")).await;
        let mut lines: Vec<&str> = csv.lines().skip(1).collect();
        lines.sort_unstable();
        assert_eq!(lines, [",", "2026-11-22,10", "2026-11-22,20", "2026-11-22,30", "2026-11-22,40", "2026-11-23,6"]);
        let (status, answer) = rest(&app, &token, "/data/shopOrder.csv", Some("pin@2")).await;
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && answer.contains("does not fit"), "{answer}");
        let told = app.data("{ contracts { version drifts { path text broken } } }").await;
        let drifts = told["contracts"][0]["drifts"].to_string();
        assert!(drifts.contains("/total") && drifts.contains("widened from Int to Float"), "{drifts}");
    }

    async fn numbers_are_compared_as_the_pinned_version_has_them(backend) {
        let app = items(backend).await;
        let texts = async |contract: &str, arguments: &str| -> String {
            let data = under(&app, contract, &format!("{{ shopItem({arguments}) {{ nodes {{ text }} }} }}")).await;
            let nodes = data["shopItem"]["nodes"].as_array().unwrap().clone();
            nodes.iter().map(|node| node["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
        };
        for (arguments, nulls, drops) in [
            ("orderBy: [{whole: ASC}]", "4 a b 3 5 6", "a b 6"),
            ("orderBy: [{whole: DESC_NULLS_FIRST}]", "3 5 6 b a 4", "6 b a"),
            ("where: {whole: {gt: 10}}", "b", "b"),
            ("where: {whole: {isNull: true}}", "3 5 6", "6"),
            ("where: {not: {whole: {lt: 11}}}", "b 3 5 6", "b 6"),
            ("where: {big: {in: [\"9000000000\", \"-5\"]}}", "b 5", "b"),
            ("orderBy: [{big: ASC}]", "5 6 a b 3 4", "6 a b"),
        ] {
            assert_eq!(texts("nulls", arguments).await, nulls, "{arguments}");
            assert_eq!(texts("drops", arguments).await, drops, "{arguments}");
        }
        let figures = "{ shopItemAggregate { count sum { whole big } min { whole } max { big } \
            countDistinct { whole } } }";
        assert_eq!(under(&app, "nulls", figures).await["shopItemAggregate"][0], json!({
            "count": 6, "sum": {"whole": "18", "big": "9000000021"}, "min": {"whole": -3},
            "max": {"big": "9000000000"}, "countDistinct": {"whole": 3},
        }));
        assert_eq!(under(&app, "drops", figures).await["shopItemAggregate"][0], json!({
            "count": 3, "sum": {"whole": "21", "big": "9000000026"}, "min": {"whole": 10},
            "max": {"big": "9000000000"}, "countDistinct": {"whole": 2},
        }));
        let groups = "{ shopItemAggregate(groupBy: [whole]) { group { whole } count } }";
        let groups = under(&app, "nulls", groups).await;
        assert_eq!(groups["shopItemAggregate"].as_array().unwrap().last().unwrap(),
            &json!({"group": {"whole": null}, "count": 3}));
    }

    async fn pages_and_events_go_by_the_numbers_of_the_pinned_version(backend) {
        let app = items(backend).await;
        // Pages go on where they ended, also among what does not fit.
        let mut seen = Vec::new();
        let mut after = String::new();
        for _ in 0..6 {
            let page = under(&app, "nulls", &format!("{{ shopItem(first: 1, orderBy: [{{whole: ASC}}]{after}) \
                {{ nodes {{ text whole }} pageInfo {{ endCursor }} }} }}")).await;
            seen.push(page["shopItem"]["nodes"][0]["text"].as_str().unwrap().to_owned());
            after = format!(", after: {}", page["shopItem"]["pageInfo"]["endCursor"]);
        }
        assert_eq!(seen.join(" "), "4 a b 3 5 6");
        let query = "subscription { shopItem(where: {whole: {gt: 10}}) { op node { text whole } } }";
        let mut live = Subscription::open_under(&app.url, &consumer(&app), Some("drops"), query).await;
        for (uid, whole) in [("7", "12.5"), ("8", "12.0"), ("2", "11.5")] {
            item(&app, uid, (whole, "1", uid)).await;
            app.settled().await;
        }
        assert_eq!(live.next().await, json!({"op": "UPSERT", "node": {"text": "8", "whole": 12}}));
        assert_eq!(live.next().await, json!({"op": "LEFT_SCOPE", "node": null}));
    }

    async fn all_fields_of_a_version_are_those_that_it_had(backend) {
        let app = shop(backend).await;
        let shape = app.data("{ collection(name: \"shopOrder\") { shape { version } } }").await;
        let contract = |name: &str, pinned: &str| format!(r#"
name = "{name}"
version = 1
consumers = [{{ claim = "client", value = "acme" }}]
[collections.shopOrder]
fields = ["*"]
{pinned}
"#);
        let version = format!("shape_version = {}", shape["collection"]["shape"]["version"]);
        applied(&app, &contract("kept", &version)).await;
        applied(&app, &contract("open", "")).await;
        app.source("shop/order/web/5", &json!({"late": 1, "customer": {"name": "Eve", "lateToo": 2}})).await;
        app.settled().await;
        let (_, kept) = rest(&app, &consumer(&app), "/graphql/schema", Some("kept")).await;
        let (_, open) = rest(&app, &consumer(&app), "/graphql/schema", Some("open")).await;
        assert!(kept.contains("placed: Date") && !kept.contains("late"), "{kept}");
        assert!(open.contains("late: Int") && open.contains("lateToo: Int"), "{open}");
    }

    async fn what_a_steward_has_retyped_is_given_as_it_was_and_not_compared(backend) {
        let app = shop(backend).await;
        let shape = app.data("{ collection(name: \"shopOrder\") { shape { version } } }").await;
        let pinned = |name: &str, misfit: &str| format!(r#"
name = "{name}"
version = 1
consumers = [{{ claim = "client", value = "acme" }}]
[collections.shopOrder]
fields = ["total", "placed"]
shape_version = {}
misfits = {{ total = "{misfit}" }}
"#, shape["collection"]["shape"]["version"]);
        applied(&app, &pinned("nulls", "null")).await;
        applied(&app, &pinned("drops", "drop_row")).await;
        let decide = "mutation($input: DecideFieldInput!) { decideField(input: $input) { changed } }";
        for path in ["/placed", "/total"] {
            let input = json!({"input": {"collection": "shopOrder", "path": path, "type": "String"}});
            let answer = app.ask(&app.admin(), decide, input).await;
            assert!(answer.get("errors").is_none(), "{answer}");
        }
        let fields = "{ collection(name: \"shopOrder\") { shape { fields { path type } } rebuild { state } } }";
        app.data_until(fields, |data| {
            let fields = data["collection"]["shape"]["fields"].as_array().unwrap();
            let is_text = |path: &str| fields.iter().any(|one| one["path"] == path && one["type"] == "String");
            is_text("/placed") && is_text("/total")
        }).await;
        app.source("shop/order/web/5", &json!({"total": "5", "placed": "soon"})).await;
        app.settled().await;
        let nodes = under(&app, "nulls", "{ shopOrder { nodes { total placed } } }").await;
        let nodes = nodes["shopOrder"]["nodes"].as_array().unwrap().clone();
        assert_eq!(nodes.len(), 5);
        assert_eq!((&nodes[0], &nodes[4]), (
            &json!({"total": 10, "placed": "2026-11-22"}), &json!({"total": 5, "placed": null}),
        ));
        for query in [
            "{ shopOrder(where: {placed: {gt: \"2026-01-01\"}}) { totalCount } }",
            "{ shopOrder(where: {total: {gt: 5}}) { totalCount } }",
            "{ shopOrder(orderBy: [{total: ASC}]) { totalCount } }",
            "{ shopOrderAggregate { max { total } } }",
            "{ shopOrderAggregate(groupBy: [placed]) { count } }",
        ] {
            let answer = graphql(&app, "nulls", query).await;
            assert!(answer["errors"].is_array() && answer["data"].is_null(), "{query}: {answer}");
        }
        // No database can tell whether a text is such a number, so that nothing is shown where rows depend on it.
        let answer = graphql(&app, "drops", "{ shopOrder { totalCount } }").await;
        assert!(answer["errors"].is_array() && answer["data"].is_null(), "{answer}");
        let told = app.data("{ contracts { name drifts { text broken } } }").await;
        let drops = told["contracts"].as_array().unwrap().iter().find(|one| one["name"] == "drops").unwrap();
        assert!(drops["drifts"].to_string().contains("rows can be dropped"), "{told}");
        assert_eq!(drops["drifts"][0]["broken"], true);
    }
}
