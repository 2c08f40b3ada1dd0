//! GraphQL against a running node: what the executor promises beyond single fields. Order and merging of
//! answers, null and errors, introspection within one's scope.

use serde_json::{Value, json};
use wellspring::config::Config;

use crate::support::{Backend, TestApp};

pub const ROWS: &str = "{ gardenPlant { totalCount } }";

/// A node with three plants.
async fn garden() -> TestApp {
    garden_with(|_| {}).await
}

/// A node with three plants and options of its own.
pub async fn garden_with(change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(Backend::Embedded, change).await;
    for (uid, name, height) in [("1", "Fern", 31.5), ("2", "Fig", 120.0), ("3", "Moss", 2.25)] {
        let plant =
            json!({"name": name, "height": height, "where": {"bed": "north", "row": 3}, "tags": ["green"]});
        app.source(&format!("garden/plant/greenhouse/{uid}"), &plant).await;
    }
    app.data_until(ROWS, |data| data["gardenPlant"]["totalCount"] == 3).await;
    app
}

/// The answer's text: the order of its members is part of what is promised.
async fn text(app: &TestApp, query: &str) -> String {
    let body = json!({ "query": query });
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin()).json(&body);
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_stand_in_the_documents_order() {
    let app = garden().await;
    let query = "
        query Mixed { z: __typename b: gardenPlant(orderBy: {height: ASC}, first: 2) { ...Page }
            __schema { queryType { name } } ...More a: gardenPlantByKey(sourceUid: \"2\") { name __typename } }
        fragment More on Query { lag { __typename } b: gardenPlant(first: 2, orderBy: {height: ASC}) { totalCount } }
        fragment Page on GardenPlantConnection { nodes { h: height where { bed __typename } } __typename }";
    let expected = concat!(
        r#"{"data":{"z":"Query","b":{"nodes":[{"h":2.25,"where":{"bed":"north","__typename":"GardenPlantWhere"}},"#,
        r#"{"h":31.5,"where":{"bed":"north","__typename":"GardenPlantWhere"}}],"#,
        r#""__typename":"GardenPlantConnection","totalCount":3},"__schema":{"queryType":{"name":"Query"}},"#,
        r#""lag":{"__typename":"Lag"},"a":{"name":"Fig","__typename":"GardenPlant"}}}"#
    );
    assert_eq!(text(&app, query).await, expected);
    // The same from the caches.
    assert_eq!(text(&app, query).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_document_gives_each_request_its_own_variables() {
    let app = garden().await;
    let query = "query($n: Int, $named: Boolean!, $where: GardenPlantFilter) {
        gardenPlant(first: $n, where: $where, orderBy: {height: ASC}) { nodes { height name @include(if: $named) } } }";
    let admin = app.admin();
    for (variables, expected) in [
        (json!({"n": 1, "named": true}), json!([{"height": 2.25, "name": "Moss"}])),
        (json!({"n": 1, "named": false}), json!([{"height": 2.25}])),
        (
            json!({"named": true, "where": {"or": [{"height": {"gt": 100}}, {"name": {"in": "Fern"}}]}}),
            json!([{"height": 31.5, "name": "Fern"}, {"height": 120, "name": "Fig"}]),
        ),
    ] {
        let answer = app.ask(&admin, query, variables).await;
        let nodes = &answer["data"]["gardenPlant"]["nodes"];
        let same = |a: &Value, b: &Value| a.to_string().replace(".0", "") == b.to_string().replace(".0", "");
        assert!(same(nodes, &expected), "{answer}");
    }
    let answer = app.ask(&admin, query, json!({"named": 1})).await;
    assert!(
        answer.get("data").is_none() && answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST",
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn null_goes_up_to_the_nearest_place_that_may_be_null() {
    let app = garden().await;
    let answer = app
        .ask(&app.admin(), "{ ok: __typename bad: collection(name: \"gardenPlan\") { name } }", json!({}))
        .await;
    assert_eq!(answer["data"], json!({"ok": "Query", "bad": null}));
    let error = &answer["errors"][0];
    assert_eq!(error["path"], json!(["bad"]));
    assert_eq!(error["locations"], json!([{"line": 1, "column": 18}]));
    assert_eq!(error["extensions"]["code"], "NOT_FOUND");
    assert!(error["message"].as_str().unwrap().contains("did you mean `gardenPlant`?"), "{answer}");
    let query = "{ ok: __typename gardenPlant(after: \"nonsense\") { totalCount } }";
    let answer = app.ask(&app.admin(), query, json!({})).await;
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["gardenPlant"]));
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mutations_fields_run_in_order_and_stop_at_a_failure() {
    let app = garden().await;
    let sent = |uid: &str, rest: &str| {
        format!(
            "s{uid}: source(input: {{category: \"garden\", subcategory: \"plant\", sourceName: \"greenhouse\",
                sourceUid: \"{uid}\", data: {{name: \"N{uid}\"}} {rest}}})
                {{ revision duplicate status steps {{ plugin }} }}"
        )
    };
    let query = format!("mutation {{ {} {} {} }}", sent("7", ""), sent("8", ""), sent("9", ""));
    let answer = app.ask(&app.admin(), &query, json!({})).await;
    assert_eq!(answer["data"]["s9"]["revision"], 1, "{answer}");
    let query =
        format!("mutation {{ {} {} {} }}", sent("10", ""), sent("7", "ifRevision: 5"), sent("11", ""));
    let answer = app.ask(&app.admin(), &query, json!({})).await;
    assert_eq!(answer["data"], Value::Null);
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "CONFLICT", "{answer}");
    app.settled().await;
    let rows = app
        .data("{ gardenPlant(where: {_record: {sourceUid: {in: [\"10\", \"11\"]}}}) { nodes { name } } }")
        .await;
    assert_eq!(rows["gardenPlant"]["nodes"], json!([{"name": "N10"}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_many_fail_alone_and_keep_their_numbers() {
    let app = TestApp::start(Backend::Embedded).await;
    let query = "mutation($documents: [SourceDocumentInput!]!) {
        sourceMany(input: {category: \"a\", subcategory: \"b\", sourceName: \"c\", documents: $documents}) {
            accepted rejected { index code message } receipts { key revision } } }";
    let body = r#"{"query": QUERY, "variables": {"documents": [
        {"sourceUid": "1", "data": {"big": 12345678901234567890123, "exact": 1.10}},
        {"sourceUid": "2", "data": {}, "occurredAt": "yesterday"},
        {"sourceUid": "3", "data": [1, 2]}]}}"#;
    let body = body.replace("QUERY", &json!(query).to_string());
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
    let request = request.header("content-type", "application/json").body(body);
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let many = &answer["data"]["sourceMany"];
    assert_eq!(many["accepted"], 2, "{answer}");
    assert_eq!(
        (&many["rejected"][0]["index"], &many["rejected"][0]["code"]),
        (&json!(1), &json!("BAD_REQUEST"))
    );
    assert_eq!(many["receipts"][1]["key"], "a~b~c~3");
    let records = text(&app, "{ records { sourceUid } }").await;
    assert!(records.contains("\"sourceUid\":\"3\""), "{records}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_may_not_see_reads_like_what_does_not_exist() {
    let app = garden().await;
    let nobody = app.token("nobody", json!({}));
    for (hidden, missing) in [
        ("{ gardenPlant { totalCount } }", "{ gardenPlont { totalCount } }"),
        (
            "{ gardenPlantByKey(sourceUid: \"1\") { name } }",
            "{ gardenPlontByKey(sourceUid: \"1\") { name } }",
        ),
        ("query($w: GardenPlantFilter) { __typename }", "query($w: GardenPlontFilter) { __typename }"),
        (
            "query($w: [GardenPlantFilter!] = []) { __typename }",
            "query($w: [GardenPlontFilter!] = []) { __typename }",
        ),
        ("{ ...F } fragment F on GardenPlant { name }", "{ ...F } fragment F on GardenPlont { name }"),
        ("{ __type(name: \"GardenPlant\") { name } }", "{ __type(name: \"GardenPlont\") { name } }"),
        ("{ collection(name: \"gardenPlant\") { name } }", "{ collection(name: \"gardenPlont\") { name } }"),
    ] {
        let said = async |query: &str| {
            let mut answer = app.ask(&nobody, query, json!({})).await;
            for error in answer["errors"].as_array_mut().into_iter().flatten() {
                error["extensions"]["requestId"] = Value::Null;
            }
            answer.to_string().replace("Plont", "Plant")
        };
        assert_eq!(said(hidden).await, said(missing).await);
    }
    let schema = "{ __schema { types { name } queryType { fields { name } } } }";
    assert!(!app.data_as(&nobody, schema).await.to_string().contains("arden"));
    let mine = app.data(schema).await.to_string();
    assert!(mine.contains("GardenPlantAggregate") && mine.contains("gardenPlantByKey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typing_error_is_answered_with_the_nearest_name() {
    let app = garden().await;
    for (query, hint) in [
        ("{ gardenPlants { totalCount } }", "did you mean `gardenPlant`?"),
        ("{ collection(name: \"gardenPlants\") { name } }", "did you mean `gardenPlant`?"),
        ("{ gardenPlant { nodes { nam } } }", "did you mean `name`?"),
        ("{ gardenPlant(where: {heigt: {gt: 1}}) { totalCount } }", "did you mean `height`?"),
    ] {
        let answer = app.ask(&app.admin(), query, json!({})).await;
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(hint), "{answer}");
        assert!(answer.get("data").is_none_or(|data| *data == json!({"collection": null})), "{answer}");
    }
    for (token, hinted) in [(app.admin(), true), (app.token("nobody", json!({})), false)] {
        let request = app.client.get(format!("{}/data/gardenPlants.json", app.url)).bearer_auth(&token);
        let answer = request.send().await.unwrap().text().await.unwrap();
        assert!(answer.contains("NOT_FOUND") && answer.contains("`gardenPlants`"), "{answer}");
        let subscription = json!({"query": "subscription { gardenPlants { op } }"});
        let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(&token);
        let request = request.header("accept", "text/event-stream").json(&subscription);
        let told = request.send().await.unwrap().text().await.unwrap();
        assert!(told.contains("unknown field `gardenPlants` on `Subscription`"), "{told}");
        for text in [answer, told] {
            assert_eq!(text.contains("did you mean `gardenPlant`?"), hinted, "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_none_are_typed_errors() {
    let app = garden().await;
    for query in [
        "",
        "{",
        "{ a(x: \"\"\"",
        "\u{0}",
        "{ é }",
        "query",
        "{ a(x: 1e400) }",
        "{ __typename } { __typename }",
        "query A { __typename } query A { __typename }",
        "fragment F on Query { lag { outbox } }",
        "query($x: [Nope!] = [1]) { __typename }",
        "{ gardenPlant(first: 99999999999) { totalCount } }",
        "{ gardenPlant(where: 5) { totalCount } }",
        "{ gardenPlant }",
        "{ __typename @nope }",
        "{ __typename(a: 1) }",
        "query($x: Int, $x: Int) { __typename @skip(if: $x) }",
        "subscription { gardenPlant { op } }",
    ] {
        let answer = app.ask(&app.admin(), query, json!({})).await;
        assert!(answer.get("data").is_none(), "{query}: {answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{query}: {answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().len() < 500, "{query}: {answer}");
    }
    let long = format!("{{ {} }}", "x".repeat(500_000));
    let answer = app.ask(&app.admin(), &long, json!({})).await;
    assert!(answer.to_string().len() < 2_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_has_one_root_field_which_may_stand_in_a_fragment() {
    let app = garden().await;
    let query = "subscription { ...F } fragment F on Subscription {
        changed: gardenPlant(snapshot: true, where: {height: {gt: 100}}) { op node { name } } }";
    let mut changes = app.subscribe(&app.admin(), query).await;
    let first = changes.next().await;
    assert_eq!(first, json!({"node": {"name": "Fig"}, "op": "UPSERT"}));
    let two = "subscription { gardenPlant { op } other: gardenPlant { op } }";
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
    let request = request.header("accept", "text/event-stream").json(&json!({ "query": two }));
    let answer = request.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("exactly one root field"), "{answer}");
    app.source("garden/plant/greenhouse/4", &json!({"name": "Oak", "height": 900.5})).await;
    changes.next_where(|change| change.to_string().contains("Oak")).await;
}

/// The type of `item` in a row of `shopOrder`, as each way to ask says it; they must all say the same.
async fn type_of_item(app: &TestApp, token: &str, other: &str) -> String {
    let alone = "{ shopOrder { nodes { item { __typename } } } }".to_owned();
    let both = format!("{{ shopOrder {{ nodes {{ item {{ __typename }} }} }} {other} {{ totalCount }} }}");
    let mut said = Vec::new();
    for query in [alone, both] {
        let data = app.data_as(token, &query).await;
        said.push(data["shopOrder"]["nodes"][0]["item"]["__typename"].as_str().unwrap().to_owned());
    }
    let fields = "{ __type(name: \"ShopOrder\") { fields { name type { name } } } }";
    let fields = app.data_as(token, fields).await;
    let fields = fields["__type"]["fields"].as_array().unwrap();
    let item = fields.iter().find(|field| field["name"] == "item").unwrap();
    said.push(item["type"]["name"].as_str().unwrap().to_owned());
    let name = said[0].clone();
    assert!(said.iter().all(|said| *said == name), "{said:?}");
    // As the condition of a fragment, and as the beginning of its filter's name.
    let query = format!(
        "query($w: {name}Filter) {{
            shopOrder(where: {{item: $w}}) {{ nodes {{ item {{ ... on {name} {{ sku }} }} }} }} }}"
    );
    let data = app.data_as(token, &query).await;
    assert_eq!(data["shopOrder"]["nodes"][0]["item"]["sku"], "a");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_nested_object_has_one_name_whatever_else_there_is() {
    let order = ("shop/order/web/1", json!({"item": {"sku": "a", "pull_request": {"n": 1}}}));
    let item = ("shop/order_item/web/1", json!({"sku": "b"}));
    for (pair, nested, other) in [
        ([&order, &item], "ShopOrderItem", "shopOrderItem2"),
        ([&item, &order], "ShopOrderItem2", "shopOrderItem"),
    ] {
        let mut app = TestApp::start(Backend::Embedded).await;
        for (path, document) in pair {
            app.source(path, document).await;
            app.settled().await;
            if *path == order.0 {
                assert_eq!(type_of_item(&app, &app.admin(), "lag: shopOrder").await, nested);
            }
        }
        for again in [false, true] {
            for token in [app.admin(), app.token("consumer", json!({}))] {
                assert_eq!(type_of_item(&app, &token, other).await, nested);
            }
            let query = "{ shopOrder { nodes { item { pull_request { __typename } } } } }";
            let data = app.data(query).await;
            let ty = &data["shopOrder"]["nodes"][0]["item"]["pull_request"]["__typename"];
            assert_eq!(*ty, format!("{nested}PullRequest"));
            if !again {
                app = app.restart().await;
            }
        }
    }
}
