//! `explain`: what a query does, told to who may know it.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend, write_policies};

const EXPLAIN: &str = "query($query: String!, $variables: JSON, $name: String) {
    explain(query: $query, variables: $variables, operationName: $name) {
        path collection sql constants scope rules { at rule when } indexes plan rows timeMs } }";

/// A clerk who looks after the collections, too: some rows of one, some fields of the other.
const CLERKS: &str = r#"allow(user: User, "source", _: Source) if "source" in user.roles;
allow(user: User, _, _) if "admin" in user.roles;
allow_field(user: User, "read", _: Row, _: Field) if "admin" in user.roles;
allow(user: User, "steward", _: Source) if "clerk" in user.roles;
allow(user: User, "read", order: ShopOrder) if "clerk" in user.roles and order.region = user.region;
allow(user: User, "read", _: ShopPaint) if "clerk" in user.roles;
allow(user: User, "read", _: ShopPlain) if "clerk" in user.roles or "reader" in user.roles;
allow_field(user: User, "read", _: ShopOrder, _: Field) if "clerk" in user.roles;
allow_field(user: User, "read", _: ShopPlain, _: Field) if "clerk" in user.roles or "reader" in user.roles;
allow_field(user: User, "read", _: ShopPaint, field: Field) if "clerk" in user.roles and field.name = "hue";
"#;

async fn shop(backend: Backend) -> TestApp {
    let app =
        TestApp::start_with(backend, |config| write_policies(config, &[("clerks.polar", CLERKS)])).await;
    for (no, region) in [("1", "eu"), ("2", "eu"), ("3", "zqus")] {
        app.source(&format!("shop/order/web/{no}"), &json!({"region": region, "note": format!("zq{no}")}))
            .await;
        app.source(&format!("shop/paint/web/{no}"), &json!({"hue": no, "secret": format!("zq{no}")})).await;
        app.source(&format!("shop/plain/web/{no}"), &json!({"n": 1, "order": no})).await;
    }
    app.settled().await;
    app
}

async fn explain(app: &TestApp, token: &str, query: &str, variables: Value) -> Value {
    app.ask(token, EXPLAIN, json!({"query": query, "variables": variables, "name": null})).await
}

/// What is told of the only level of a query.
async fn one(app: &TestApp, token: &str, query: &str) -> Value {
    let mut answer = explain(app, token, query, Value::Null).await;
    assert_eq!(answer["data"]["explain"].as_array().map(Vec::len), Some(1), "{answer}");
    answer["data"]["explain"][0].take()
}

fn index_of(told: &Value, part: &str) -> bool {
    told["indexes"].as_array().unwrap().iter().any(|name| name.as_str().unwrap().contains(part))
}

on_every_backend! {
    async fn each_root_and_each_relation_below_is_told(backend) {
        let app = shop(backend).await;
        let input = json!({"from": {"collection": "shopPlain", "path": "/order"},
            "to": {"collection": "shopOrder", "path": "_record.sourceUid"}, "name": "about"});
        let accept = "mutation($input: AcceptRelationInput!) { acceptRelation(input: $input) { name } }";
        let accepted = app.ask(&app.admin(), accept, json!({"input": input})).await;
        assert_eq!(accepted["data"]["acceptRelation"]["name"], "about", "{accepted}");
        let query = "query one($n: Int!) { all: shopPlain(where: {n: {eq: $n}}) { nodes { n to: about { region } } }
            __typename shopPaintAggregate(groupBy: [hue]) { count } collections { name } }
            query two { shopOrder { totalCount } }";
        let asked = json!({"query": query, "variables": {"n": 1}, "name": "one"});
        let mut answer = app.ask(&app.admin(), EXPLAIN, asked).await;
        let told = answer["data"]["explain"].take();
        let told = told.as_array().unwrap_or_else(|| panic!("{answer}"));
        let paths: Vec<&Value> = told.iter().map(|level| &level["path"]).collect();
        assert_eq!(paths, [&json!(["all"]), &json!(["all", "to"]), &json!(["shopPaintAggregate"])]);
        let names: Vec<&Value> = told.iter().map(|level| &level["collection"]).collect();
        assert_eq!(names, ["shopPlain", "shopOrder", "shopPaint"]);
        assert!(told.iter().all(|level| level["rows"] == 3 && level["timeMs"].as_f64().unwrap() > 0.0), "{told:?}");
        let first = &told[0];
        assert!(first["sql"].as_str().unwrap().contains("$1") && first["constants"] == json!(["1"]), "{first}");
        assert_eq!((&first["scope"], &first["rules"][0]["at"]), (&json!("true"), &json!("clerks.polar:2")));
        assert!(first["plan"].is_array(), "{first}");
        if backend != Backend::Embedded {
            assert_eq!(first["plan"][0]["Plan"]["Actual Rows"].as_f64(), Some(3.0), "{first}");
        }
    }

    async fn the_scope_and_the_indexes_are_told(backend) {
        let app = shop(backend).await;
        let by_key = one(&app, &app.admin(), "{ shopPlainByKey(sourceUid: \"1\") { n } }").await;
        assert_eq!(by_key["rows"], 1);
        assert!(backend != Backend::Embedded || index_of(&by_key, "c_"), "{by_key}");
        let clerk = app.token("clerk", json!({"region": "eu"}));
        let told = one(&app, &clerk, "{ shopOrder(where: {note: {ne: \"x\"}}) { nodes { note } } }").await;
        assert_eq!((&told["scope"], &told["rows"]), (&json!("region = 'eu'"), &json!(2)), "{told}");
        assert_eq!(told["constants"], json!(["'eu'", "'x'"]));
        let rule = &told["rules"][0];
        assert_eq!((&rule["at"], &rule["when"]), (&json!("clerks.polar:5"), &json!("region = 'eu'")));
        // What the plan counts is not all theirs.
        assert_eq!(told["plan"], Value::Null);
        let told = one(&app, &clerk, "{ shopPlain { nodes { n } } }").await;
        assert!(told["plan"].is_array(), "{told}");
    }

    async fn nobody_is_told_more_than_is_theirs(backend) {
        let app = shop(backend).await;
        let clerk = app.token("clerk", json!({"region": "eu"}));
        for query in [
            "{ shopPaint(orderBy: [{hue: ASC}]) { nodes { hue } totalCount } }",
            "{ shopPaintAggregate(groupBy: [hue]) { group { hue } count } }",
        ] {
            let told = one(&app, &clerk, query).await;
            let hidden = ["sql", "scope", "plan"].map(|name| told[name].clone());
            assert_eq!(hidden, [Value::Null, Value::Null, Value::Null], "{told}");
            assert_eq!((&told["constants"], &told["rules"], &told["rows"]), (&json!([]), &json!([]), &json!(3)));
        }
        for query in [
            "{ shopOrder { nodes { note region } } }",
            "{ shopPaint { nodes { hue } } }",
            "{ shopOrderAggregate(groupBy: [region]) { group { region } count } }",
        ] {
            let answer = explain(&app, &clerk, query, Value::Null).await;
            assert!(answer.get("errors").is_none() && !answer.to_string().contains("zq"), "{answer}");
        }
        // A field that is hidden is none, here as elsewhere.
        let refused = |answer: Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned();
        let query = "{ shopPaint(where: {secret: {eq: \"zq1\"}}) { nodes { hue } } }";
        assert_eq!(refused(explain(&app, &clerk, query, Value::Null).await), "BAD_REQUEST");
        let reader = app.token("reader", json!({}));
        let query = "{ shopPlain { nodes { n } } }";
        assert_eq!(refused(explain(&app, &reader, query, Value::Null).await), "FORBIDDEN");
        assert_eq!(refused(explain(&app, "", query, Value::Null).await), "UNAUTHENTICATED");
    }

    async fn what_is_no_query_of_rows_is_refused_in_words(backend) {
        let app = shop(backend).await;
        for (query, says) in [
            ("mutation { retract(input: {category: \"shop\", subcategory: \"plain\", sourceName: \"web\", \
              sourceUid: \"1\"}) { id } }", "only queries"),
            ("{ shopPlainHistory(sourceUid: \"1\") { nodes { op } } }", "no history"),
            ("{ nothing { n } }", "nothing"),
            ("{ shopPlain(", "expected"),
        ] {
            let answer = explain(&app, &app.admin(), query, Value::Null).await;
            let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(message.contains(says), "{query}: {answer}");
        }
        let answer = explain(&app, &app.admin(), "{ shopPlain { totalCount } }", json!([1])).await;
        assert_eq!(answer["errors"][0]["message"], "`variables` must be an object");
        let left = app.data("{ shopPlain { totalCount } explain(query: \"{ __typename }\") { rows } }").await;
        assert_eq!(left, json!({"shopPlain": {"totalCount": 3}, "explain": []}));
        // It is noted that rows were looked at.
        let noted = "{ decisions(subject: \"admin\", collection: \"shopPaint\") { path rows } }";
        one(&app, &app.admin(), "{ shopPaint { nodes { hue } } }").await;
        app.data_until(noted, |data| data["decisions"] == json!([{"path": "QUERY", "rows": 0}])).await;
    }
}
