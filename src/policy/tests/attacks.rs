//! Text and claims that mean harm: nothing may crash, stall or open a door. Test threads have small stacks, as the
//! server's have.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::config;
use crate::policy::Engine;
use crate::policy::tests::{actor, engine, field, refused, scope, short};
use crate::query::{Collection, Filter};
use crate::shape::{Kind, Published, Scalar};

const FIELDS: &str = "allow_field(_, _, _, _);\n";

#[test]
fn nesting_and_size_are_refused_before_the_parser() {
    let not = |n: usize| {
        format!("{FIELDS}allow(_, \"read\", row: Row) if {}row.a = 1{};", "not (".repeat(n), ")".repeat(n))
    };
    assert!(refused(&not(5_000)).contains("`policy.nesting_max`"));
    assert!(refused(&not(70)).contains("`policy.nesting_max`"));
    engine(&not(40));
    for (open, close) in [("(", ")"), ("[", "]"), ("{a: ", "}")] {
        let text = format!(
            "{FIELDS}allow(_, \"read\", row) if row.a = {}1{};",
            open.repeat(5_000),
            close.repeat(5_000)
        );
        assert!(refused(&text).contains("`policy.nesting_max`"), "{open}");
    }
    assert!(refused(&"#".repeat(300_000)).contains("`policy.bytes_max`"));
    for step in [".a", " + 1", " - 1", " * 1"] {
        let text = format!("{FIELDS}allow(u, \"read\", _) if u.a{} = 1;", step.repeat(20_000));
        assert!(refused(&text).contains("operators"), "{step}");
    }
    let long = format!("{FIELDS}allow(u, \"read\", _) if u.a = 1{};", " and u.a = 1".repeat(10_000));
    assert!(refused(&long).contains("operators"));
    // Within the bounds nothing is deep enough to hurt.
    engine(&format!("{FIELDS}allow(u, \"read\", _) if u.a{} = 1;", ".b".repeat(390)));
    engine(&format!("{FIELDS}allow(u, \"read\", _) if u.a{} = 1;", " + 1".repeat(390)));
    engine(&format!("{FIELDS}allow(u, \"read\", _) if u.a = 1{};", " and u.a = 1".repeat(120)));
}

#[test]
fn brackets_in_strings_and_comments_do_not_count() {
    engine(&format!(
        "{FIELDS}# {}\nallow(_, \"read\", row) if row.a = \"{}\\\"((\";",
        "(".repeat(500),
        "[".repeat(500)
    ));
    assert!(refused("allow(_, \"read\", \"unclosed").contains("p.polar:1:"));
    assert!(refused("allow(\u{0}_, \"read\", _);").contains("p.polar:1:"));
    refused("é");
}

#[test]
fn recursion_ends() {
    assert!(
        refused(&format!("{FIELDS}allow(_, \"read\", r) if f(r);\nf(x) if f(x);")).contains("never ends")
    );
    let started = Instant::now();
    for rules in [
        "f(x) if g(x);\ng(x) if f(x);",
        "f(x) if g(x);\ng(x) if f(x) or f(x);",
        "f(x) if not g(x);\ng(x) if not f(x);",
        "f(x) if f(y) and y = x;\nf(_) if f(1);",
        "f(x) if f([x]);",
        "f(x) if f([x, x]) and f([x, 1]);",
        "f(_) if x = [x] and x = [1];",
        "f(_) if x = [y] and y = {a: x} and x = y;",
        "f(_) if not (x = [x] and y = [y] and x = y);",
    ] {
        let text = format!("{FIELDS}allow(u, \"read\", _) if f(u.a);\n{rules}");
        // Refused at load, or nothing shown.
        if let Ok(engine) = Engine::from_texts(&config::Policy::default(), &[("p.polar", text.as_str())]) {
            assert!(scope(&engine, &actor("u", &[], json!({"a": 1}))).is_none(), "{rules}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn a_thousand_claims_fold() {
    let groups: Vec<String> = (0..1_000).map(|n| format!("g{n}")).collect();
    let who = actor("u", &[], json!({"groups": groups}));
    let engine = engine(&format!(
        "{FIELDS}allow(u, \"read\", row: OrderClothing) if row.region in u.groups or (g in u.groups and g = row.owner);"
    ));
    let started = Instant::now();
    let scope = scope(&engine, &who).unwrap();
    let Filter::Or(parts) = scope.rows() else { panic!("{}", short(scope.rows())) };
    let sizes: Vec<usize> =
        parts.iter().map(|part| if let Filter::In(_, items) = part { items.len() } else { 0 }).collect();
    assert_eq!(sizes, [1_000, 1_000]);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn alternatives_do_not_multiply() {
    let either = "(row.paid or row.amount = 1)";
    let condition = [either; 30].join(" and ");
    let engine = engine(&format!("{FIELDS}allow(_, \"read\", row: OrderClothing) if {condition};"));
    assert_eq!(
        short(scope(&engine, &actor("u", &[], json!({}))).unwrap().rows()),
        "(paid = true or amount = 1)"
    );
}

#[test]
fn more_work_than_the_budget_shows_nothing() {
    let text = format!(
        "{FIELDS}allow(u, \"read\", _: Row) if \
         a in u.l and b in u.l and c in u.l and d in u.l and a = b and c = d and a = 0;"
    );
    let config = config::Policy { steps_max: 5_000, ..Default::default() };
    let engine = Engine::from_texts(&config, &[("p.polar", &text)]).unwrap();
    let numbers: Vec<usize> = (1..200).collect();
    assert!(scope(&engine, &actor("u", &[], json!({"l": numbers}))).is_none());
}

#[test]
fn one_budget_is_for_all_fields_of_a_collection() {
    let fields: Vec<_> =
        (1..3_000).map(|id| field(id, &format!("f{id}"), Kind::Scalar(Scalar::String), &[])).collect();
    let wide = Collection {
        shape: Arc::new(Published { version: 1, fields, ..Published::default() }),
        ..crate::policy::tests::orders()
    };
    let config = config::Policy { steps_max: 2_000, ..Default::default() };
    let seen = |condition: &str, collection: &Collection| {
        let text = format!("allow(_, \"read\", _: Row);\nallow_field(_, _, _, f: Field) if {condition};");
        let engine = Engine::from_texts(&config, &[("p.polar", &text)]).unwrap();
        engine.scope(&actor("u", &[], json!({})), &Default::default(), collection).unwrap().is_some()
    };
    // Fields that no rule tells apart are decided once.
    assert!(seen("f.classified and not \"pii\" in f.tags", &wide));
    assert!(seen("not f.name = \"f1\"", &crate::policy::tests::orders()));
    assert!(!seen("not f.name = \"f1\"", &wide), "each costs little, and all together too much");
}

/// Each solution holds the conditions that stand before it: they are paid for by their size.
#[test]
fn large_conditions_are_paid_for_wherever_they_are_copied() {
    let numbers: Vec<String> = (0..1_000).map(|n| format!("g{n}")).collect();
    let who = actor("u", &[], json!({"l": numbers}));
    let seen = |condition: &str| {
        let config = config::Policy { steps_max: 200_000, ..Default::default() };
        let text = format!("{FIELDS}allow(u, \"read\", row: OrderClothing) if {condition};");
        scope(&Engine::from_texts(&config, &[("p.polar", &text)]).unwrap(), &who).is_some()
    };
    assert!(seen("g in u.l and g = row.owner"));
    assert!(!seen("row.region in u.l and g in u.l and g = row.owner"));
}
