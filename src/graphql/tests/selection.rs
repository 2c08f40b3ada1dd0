//! Field collection: fragments, conditions, merging, projection. What graphql-js says of the same documents
//! is written beside them.

use serde_json::json;

use super::{compiled, model_of, orders};
use crate::graphql::collection::Shown;
use crate::graphql::introspect;
use crate::graphql::model::TypeRef;
use crate::graphql::plan::Node;
use crate::graphql::project::project;
use crate::query::Selected;

fn outline(nodes: &[Node]) -> String {
    let mut out = String::new();
    for node in nodes {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&node.key);
        if node.key != node.name {
            out.push(':');
            out.push_str(&node.name);
        }
        if !node.children.is_empty() {
            out.push_str(&format!("{{{}}}", outline(&node.children)));
        }
    }
    out
}

fn selection(text: &str, variables: &str) -> String {
    outline(&compiled(text, variables).unwrap().0)
}

fn refused(text: &str, variables: &str) -> String {
    compiled(text, variables).err().unwrap()
}

#[test]
fn fields_keep_the_documents_order_and_their_aliases() {
    assert_eq!(
        selection("{ b: orderClothing { totalCount nodes { total } } __typename lag { outbox } }", "{}"),
        "b:orderClothing{totalCount nodes{total}} __typename lag{outbox}"
    );
}

#[test]
fn equal_keys_are_merged_at_every_level() {
    let text = "{ orderClothing { nodes { total } ...F nodes { customer { name } } } }
        fragment F on OrderClothingConnection { totalCount nodes { status customer { email name } total } }";
    assert_eq!(selection(text, "{}"), "orderClothing{nodes{total status customer{email name}} totalCount}");
}

#[test]
fn a_fragment_counts_once_in_a_selection() {
    let text = "{ ...F ... on Query { ...F lag { pending } } ...F } fragment F on Query { lag { outbox } }";
    assert_eq!(selection(text, "{}"), "lag{outbox pending}");
}

#[test]
fn skip_and_include_hold_for_fields_and_fragments() {
    let text = "query($a: Boolean!, $b: Boolean = false) {
        one: lag @skip(if: $a) { outbox }
        two: lag @include(if: $a) { outbox }
        ... @include(if: $b) { three: lag { outbox } }
        ...F @skip(if: $b)
        both: lag @skip(if: false) @include(if: false) { outbox }
    } fragment F on Query { four: lag { outbox } }";
    assert_eq!(selection(text, r#"{"a": true}"#), "two:lag{outbox} four:lag{outbox}");
    assert_eq!(selection(text, r#"{"a": false, "b": true}"#), "one:lag{outbox} three:lag{outbox}");
    assert!(refused(text, "{}").contains("`$a`"));
    assert!(refused(text, r#"{"a": 1}"#).contains("`$a`"));
}

#[test]
fn one_key_for_two_things_is_refused_at_every_level() {
    for text in [
        "{ a: lag { outbox } a: plugins { name } }",
        "{ lag { a: outbox } lag { a: pending } }",
        "{ a: orderClothing(first: 1) { totalCount } a: orderClothing(first: 2) { totalCount } }",
        "{ a: orderClothing(first: 1) { totalCount } ... on Query { a: orderClothing { totalCount } } }",
    ] {
        assert!(refused(text, "{}").contains("two different fields"), "{text}");
    }
    let same = "{ a: orderClothing(first: 1, after: \"x\") { totalCount }
        a: orderClothing(after: \"x\", first: 1) { totalCount } }";
    assert_eq!(selection(same, "{}"), "a:orderClothing{totalCount}");
}

#[test]
fn publishing_gets_arguments_with_variables_and_defaults_in() {
    let text = "query($n: Int, $w: OrderClothingFilter!) {
        orderClothing(first: $n, where: {and: [$w, {total: {gt: 1}}]}) { nodes { __typename a: total } } }";
    let (nodes, variables) = compiled(text, r#"{"w": {"status": {"in": "open"}}}"#).unwrap();
    let selected = nodes[0].selected(&variables).unwrap();
    let argument =
        |name: &str| selected.arguments.iter().find(|(given, _)| given == name).map(|(_, v)| v.to_text());
    assert_eq!(argument("first"), None);
    assert_eq!(
        argument("where").as_deref(),
        Some(r#"{"and":[{"status":{"in":["open"]}},{"total":{"gt":1}}]}"#)
    );
    let row: &Selected = &selected.children[0];
    assert_eq!((&*row.children[0].name, row.children[0].arguments.len()), ("__typename", 0));
    assert_eq!((&*row.children[1].response_key, &*row.children[1].name), ("a", "total"));
    let (nodes, variables) = compiled("subscription { orderClothing { op } }", "{}").unwrap();
    assert_eq!(nodes[0].selected(&variables).unwrap().arguments[0].1.to_text(), "false");
}

#[test]
fn values_are_projected_by_the_selection() {
    let text =
        "{ deadLetters { __typename no: id id attempts at code } lag { outbox partitions { settled } } }";
    let (nodes, _) = compiled(text, "{}").unwrap();
    let model = model_of(&[orders()], &|_| Shown::Visible);
    let written = |node: &Node, value: &serde_json::Value| {
        let mut out = Vec::new();
        project(&model, &node.ty, &value.clone().into(), &node.children, &mut out)
            .map(|()| String::from_utf8(out).unwrap())
    };
    let letters = json!([{ "id": 7, "attempts": 3, "at": "2026-11-22T21:21:19.000000Z", "more": 1 }]);
    assert_eq!(
        written(&nodes[0], &letters).unwrap(),
        concat!(
            r#"[{"__typename":"DeadLetter","no":"7","id":"7","attempts":3,"#,
            r#""at":"2026-11-22T21:21:19.000000Z","code":null}]"#
        )
    );
    let lag = json!({ "outbox": 9_007_199_254_740_993_i64, "partitions": [{ "settled": "5" }] });
    assert_eq!(
        written(&nodes[1], &lag).unwrap(),
        r#"{"outbox":"9007199254740993","partitions":[{"settled":"5"}]}"#
    );
    for wrong in [json!({}), json!(null), json!({ "outbox": 1, "partitions": null }), json!([])] {
        assert!(written(&nodes[1], &wrong).is_err(), "{wrong}");
    }
    let mut out = Vec::new();
    project(&model, &TypeRef::named("JSON"), &json!({"a": [1, "x"]}).into(), &[], &mut out).unwrap();
    assert_eq!(out, br#"{"a":[1,"x"]}"#);
}

#[test]
fn introspection_that_multiplies_is_refused() {
    let limits = crate::config::Graphql::default();
    let check = |text: &str| introspect::affordable(&compiled(text, "{}").unwrap().0, &limits);
    check(
        "{ __schema { types { ...T fields { args { type { ofType { name } } } } } } }
        fragment T on __Type { name inputFields { name } }",
    )
    .unwrap();
    let nested = "{ __schema { types { fields { type { fields { name } } } } } }";
    assert!(check(nested).is_err());
    let by_fragments = "{ __schema { ...S } } fragment S on __Schema { types { ...T } }
        fragment T on __Type { fields { type { ...U } } } fragment U on __Type { fields { name } }";
    assert!(check(by_fragments).is_err());
    let aliases: String = (0..40).map(|n| format!("t{n}: types {{ name }} ")).collect();
    assert!(check(&format!("{{ __schema {{ {aliases} }} }}")).is_err());
}
