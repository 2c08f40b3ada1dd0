//! The management part: whatever `schema.graphql` promises, a node with data answers; field by field.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wellspring::config::MaskPlugin;

use crate::support::{TestApp, on_every_backend};

const INTROSPECTION: &str = "{ __schema { queryType { name } types { name kind fields { name
    args { name type { kind ofType { name } } defaultValue }
    type { name ofType { name ofType { name ofType { name } } } } } } } }";

/// The schema's object types by name: their fields, as introspection tells them.
fn objects(data: &Value) -> BTreeMap<String, Vec<Value>> {
    let types = data["__schema"]["types"].as_array().unwrap().iter();
    let objects = types.filter(|kind| kind["kind"] == "OBJECT");
    objects
        .map(|kind| (kind["name"].as_str().unwrap().into(), kind["fields"].as_array().unwrap().clone()))
        .collect()
}

/// The name of a type, without lists and non-nulls.
fn inner(kind: &Value) -> &str {
    match kind["name"].as_str() {
        Some(name) => name,
        None => inner(&kind["ofType"]),
    }
}

/// A selection of everything below a type; it nests no type in itself.
fn everything(objects: &BTreeMap<String, Vec<Value>>, name: &str, above: &[&str]) -> String {
    let Some(fields) = objects.get(name).filter(|_| !name.starts_with("__")) else { return String::new() };
    let above = &[above, &[name]].concat()[..];
    let fields = fields.iter().filter(|field| !above.contains(&inner(&field["type"])));
    let fields = fields.map(|field| {
        format!("{} {}", field["name"].as_str().unwrap(), everything(objects, inner(&field["type"]), above))
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(" "))
}

on_every_backend! {
    async fn every_field_of_every_question_is_answered(backend) {
        // Every copy is one hop too far: there is a dead letter too.
        let app = TestApp::start_with(backend, |config| {
            config.provisioning.hops_max = 0;
            config.advisor.period_ms = 100;
            (config.advisor.spent_min_ms, config.advisor.rows_min, config.advisor.share_max) = (0, 0, 100);
            config.provisioning.masks = vec![MaskPlugin {
                name: "copy".into(),
                category: "order".into(),
                subcategory: "clothing".into(),
                to_subcategory: "masked".into(),
                fields: vec!["/total".into()],
                mask: "null".into(),
            }];
        })
        .await;
        let objects = objects(&app.data(INTROSPECTION).await);
        let receipt = app.source("order/clothing/shop/1", &json!({"total": 1, "list": [{"a": "b"}]})).await;
        for uid in ["1", "2"] {
            app.source(&format!("order/returned/shop/r{uid}"), &json!({"order": uid, "at": uid})).await;
            app.source(&format!("order/list/shop/{uid}"), &json!({"total": 1})).await;
        }
        let letter = "{ deadLetters { id } collections { name } }";
        let some = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
        app.data_until(letter, |data| some(&data["deadLetters"]) && some(&data["collections"])).await;

        let kept = "mutation { classifyFields(input: {collection: \"orderClothing\", classified: false}) { changed } }";
        assert_eq!(app.data(kept).await["classifyFields"]["changed"], 2);

        app.settled().await;
        let relation = "mutation { acceptRelation(input: {from: {collection: \"orderReturned\", path: \"/order\"},
            to: {collection: \"orderList\", path: \"_record.sourceUid\"}}) { id } }";
        app.data(relation).await;

        let text = "name = 'acme'\nversion = 1\nconsumers = [{claim = 'client', value = 'acme'}]\n\
            [collections.orderList]\nfields = ['total']";
        let applied = "mutation($text: String!) { applyContract(input: {text: $text}) { applied } }";
        let answer = app.ask(&app.admin(), applied, json!({"text": text})).await;
        assert_eq!(answer["data"]["applyContract"]["applied"], true, "{answer}");
        let bound = app.token("consumer", json!({"client": "acme"}));

        let key = "mutation { createApiKey(input: {name: \"k\", subject: \"s\", roles: []}) { apiKey { id } } }";
        assert!(app.data(key).await["createApiKey"]["apiKey"]["id"].is_string());

        app.data("{ orderList(where: {total: {eq: 1}}) { totalCount } }").await;
        let roots = &objects["Query"];
        assert!(roots.len() >= 9, "{roots:?}");
        for root in roots {
            let name = root["name"].as_str().unwrap();
            let arguments = root["args"].as_array().unwrap().iter();
            let arguments: Vec<String> = arguments
                .filter(|it| it["type"]["kind"] == "NON_NULL")
                .map(|it| match (name, it["name"].as_str().unwrap()) {
                    ("record" | "receipt", "id") => format!("id: {}", receipt["id"]),
                    ("collection", "name") => "name: \"orderClothing\"".into(),
                    ("shapeDecisions" | "shapeDiff", "collection") => "collection: \"orderClothing\"".into(),
                    ("keyCandidates", "collection") => "collection: \"orderList\"".into(),
                    ("explain", "query") => "query: \"{ orderList { totalCount } }\"".into(),
                    (_, other) => panic!("say here with which `{other}` to ask for `{name}`"),
                })
                .collect();
            let mut arguments = arguments.join(", ");
            if !arguments.is_empty() {
                arguments = format!("({arguments})");
            }
            let query = format!("{{ {name}{arguments} {} }}", everything(&objects, inner(&root["type"]), &[]));
            // Statistics are written every few seconds.
            let token = if name == "contract" { bound.clone() } else { app.admin() };
            app.data_until_as(&token, &query, |answer| answer[name].is_object() || some(&answer[name])).await;
        }
    }
}
