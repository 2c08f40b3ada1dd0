//! The exported JSON Schema, checked by a validator that is not ours.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{document_strategy, limits, merged, tight};
use crate::record::Json;
use crate::shape::*;

/// The paths at which a document is not valid.
fn faults(schema: &Value, document: &Value) -> Vec<String> {
    let validator = jsonschema::options().should_validate_formats(true).build(schema).unwrap();
    validator.iter_errors(document).map(|error| error.instance_path().as_str().to_owned()).collect()
}

/// The document as a validator reads it: numbers that no float holds are made to.
fn readable(document: &Json) -> Value {
    match document {
        Json::Null => Value::Null,
        Json::Bool(value) => json!(value),
        Json::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(f64::MAX)),
        Json::String(text) => json!(text),
        Json::Array(items) => items.iter().map(readable).collect(),
        Json::Object(members) => members.iter().map(|(key, value)| (key.clone(), readable(value))).collect(),
    }
}

pub(super) fn fits_or_is_rescued(published: &Published, source: &Json) {
    let rescued = conform(published, source).rescued;
    let rescued: HashSet<&str> = rescued.iter().map(|misfit| misfit.path.as_str()).collect();
    let schema = published.json_schema("row", &|_| Seen::Plainly);
    for fault in faults(&schema, &readable(source)) {
        assert!(rescued.contains(&*fault), "{fault}: {schema:#} {source:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_document_is_valid_or_what_is_not_is_rescued(
        documents in prop::collection::vec(document_strategy(), 1..6), bounded in any::<bool>(),
    ) {
        let limits = if bounded { tight() } else { limits() };
        let (mut shape, mut published) = (Shape::default(), Published::default());
        for source in &documents {
            shape.merge(&Structure::derive(source, &limits));
            published = shape.publish(&published, &limits).unwrap_or(published);
            fits_or_is_rescued(&published, source);
        }
        documents.iter().for_each(|source| fits_or_is_rescued(&published, source));
        if let Some(published) = shape.publish(&Published::default(), &limits) {
            documents.iter().for_each(|source| fits_or_is_rescued(&published, source));
        }
    }

    #[test]
    fn any_order_and_any_shards_give_the_same_schema(
        documents in prop::collection::vec(document_strategy(), 2..7), cut in any::<prop::sample::Index>(),
    ) {
        let structures: Vec<_> = documents.iter().map(|d| Structure::derive(d, &limits())).collect();
        let schema = |shape: &Shape| {
            let published = shape.publish(&Published::default(), &limits()).unwrap_or_default();
            published.json_schema("row", &|_| Seen::Plainly)
        };
        let (left, right) = structures.split_at(cut.index(structures.len()));
        let mut sharded = merged(right.iter().rev());
        sharded.merge_shape(&merged(left));
        prop_assert_eq!(schema(&sharded), schema(&merged(&structures)));
    }
}

#[test]
fn a_schema_says_what_fits_and_of_hidden_fields_nothing() {
    let text = r#"{"no":1,"big":3000000000,"at":"2026-11-22T21:21:19Z","a b":{"mail":"ada@example.org"},"l":[[0.5]]}"#;
    let mut shape = Shape::default();
    shape.merge(&Structure::derive(&Json::try_from(text).unwrap(), &limits()));
    let published = shape.publish(&Published::default(), &limits()).unwrap();
    let schema =
        published.json_schema("rows", &|field| if field.name == "at" { Seen::Not } else { Seen::Plainly });
    assert_eq!(
        schema,
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$comment": "version 1 of the published shape",
            "title": "rows",
            "type": "object",
            "properties": {
                "no": {"title": "no", "type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX},
                "big": {"title": "big", "type": ["integer", "null"], "minimum": i64::MIN, "maximum": i64::MAX},
                "a b": {"title": "aB", "type": ["object", "null"], "properties": {
                    "mail": {"title": "mail", "type": ["string", "number", "boolean", "null"], "x-tags": ["pii.email"]},
                }},
                "l": {"title": "l", "type": ["array", "null"],
                    "items": {"type": ["array", "null"], "items": {"type": ["number", "null"]}}},
            },
        })
    );
    let all = published.json_schema("rows", &|_| Seen::Plainly);
    assert_eq!(all.pointer("/properties/at/format"), Some(&json!("date-time")));
    let odd = json!({"no": 1.5, "big": 1e19, "at": "soon", "a b": [], "l": [["x"], null], "more": true});
    let mut found = faults(&all, &odd);
    found.sort();
    assert_eq!(found, ["/a b", "/at", "/big", "/l/0/0", "/no"]);
    assert_eq!(faults(&all, &json!([])), [""]);
}

#[test]
fn values_of_enums_are_told_to_whom_they_are_shown() {
    let text = r#"{"state":"in-progress","codes":["5","true","x"],"n":1}"#;
    let mut shape = Shape::default();
    shape.merge(&Structure::derive(&Json::try_from(text).unwrap(), &limits()));
    let mut published = shape.publish(&Published::default(), &limits()).unwrap();
    for (path, values) in
        [("/state", vec!["in-progress", "done"]), ("/codes", vec!["5", "true", "x"]), ("/n", vec!["1"])]
    {
        let values = values.into_iter().map(str::to_owned).collect();
        published.at_path_mut(path).unwrap().decide(&Wish { values: Some(values), ..Wish::default() });
    }
    assert_eq!(published.find(&["n"]).unwrap().enumeration(), None, "only texts are enums");
    let schema = published.json_schema("rows", &|_| Seen::Plainly);
    assert_eq!(schema.pointer("/properties/state/enum"), Some(&json!(["done", "in-progress", null])));
    for source in [r#"{"state":"done","codes":[5,true,"x",null]}"#, r#"{"state":null,"codes":null}"#] {
        let source = Json::try_from(source).unwrap();
        assert_eq!(faults(&schema, &readable(&source)), [""; 0]);
        assert_eq!(conform(&published, &source).rescued, []);
    }
    let odd = Json::try_from(r#"{"state":"IN_PROGRESS","codes":["x",6,false]}"#).unwrap();
    let found = faults(&schema, &readable(&odd));
    assert_eq!(found.iter().collect::<HashSet<_>>().len(), 3, "{found:?}");
    let Conformed { cells, rescued, .. } = conform(&published, &odd);
    assert_eq!(rescued.len(), 3, "{rescued:?}");
    assert!(cells.contains(&Cell::Text("[\"x\",null,null]".into())), "{cells:?}");
    fits_or_is_rescued(&published, &odd);
    let partly = published.json_schema("rows", &|_| Seen::Partly).to_string();
    assert!(!partly.contains("in-progress"), "{partly}");
}
