//! Conditions on items of lists, and how texts begin: which filter each becomes, and what is refused at load.

use std::sync::Arc;

use serde_json::json;

use crate::policy::tests::{actor, engine, orders, refused, rows, rows_of, scope};
use crate::query::Filter;
use crate::record::Json;

fn rule(condition: &str) -> String {
    format!(
        "allow_field(_, _, _, _);\n\
         allow(user: User, \"read\", row: OrderClothing) if {condition} and user = user and row = row;\n"
    )
}

#[test]
fn what_is_said_of_an_item_is_said_of_one_and_the_same() {
    for (condition, expected) in [
        (r#"item in row.items and item.sku = "a""#, "some i1 of items: i1.sku = 'a'"),
        (
            r#"item in row.items and item.sku = user.region and item.email != "b""#,
            "some i1 of items: (i1.sku = 'eu' and not i1.email = 'b')",
        ),
        (
            r#"a in row.items and b in row.items and a.sku = "x" and b.sku = "y""#,
            "(some i1 of items: i1.sku = 'x' and some i1 of items: i1.sku = 'y')",
        ),
        (
            "a in row.items and b in row.items and a.sku = b.email",
            "some i2 of items: some i1 of items: i1.email = i2.sku",
        ),
        ("item in row.items and item.sku = row.region", "some i1 of items: region = i1.sku"),
        ("_item in row.items and row.paid", "(some i1 of items: true and paid = true)"),
        (r#"not (item in row.items and item.sku = "a")"#, "not some i1 of items: i1.sku = 'a'"),
        (r#"item in row.items and not item.sku = "a""#, "some i1 of items: not i1.sku = 'a'"),
        (
            r#"forall(item in row.items, item.sku in ["a", "b"])"#,
            "not some i1 of items: not i1.sku in ['a', 'b']",
        ),
        ("item in row.items and item.sku in user.groups", "some i1 of items: i1.sku in ['a', 'b']"),
        ("g in user.groups and item in row.items and item.sku = g", "some i1 of items: i1.sku in ['a', 'b']"),
        (
            r#"item in row.items and (item.sku = "a" or item.email = "b")"#,
            "some i1 of items: (i1.sku = 'a' or i1.email = 'b')",
        ),
        ("item in row.items and item.sku = nil", "some i1 of items: i1.sku is null"),
        ("item in row.items and item = nil", "some i1 of items: i1 is null"),
        ("item in row.items and item.sku = user.absent", "never"),
        (r#"item in row.items and item matches {sku: "a"}"#, "some i1 of items: i1.sku = 'a'"),
        ("t in row.tags and t in user.groups", "some i1 of tags: i1 in ['a', 'b']"),
        (r#"t in row.tags and t > "m""#, "some i1 of tags: i1 > 'm'"),
        ("row.region in row.tags", "some i1 of tags: region = i1"),
        ("nil in row.tags", "some i1 of tags: i1 is null"),
        ("user.absent in row.tags", "never"),
        ("p in row._record.purposes and p in user.groups", "some i1 of _record.purposes: i1 in ['a', 'b']"),
        (
            "item in row.items and t in row.tags and item.sku = t and row.region = t",
            "some i2 of items: some i1 of tags: (i2.sku = i1 and region = i1)",
        ),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn helper_rules_are_about_the_item_that_they_are_given() {
    let text = r#"
        allow(user: User, "read", row: OrderClothing) if item in row.items and mine(user, item) and not bad(item);
        mine(user, item) if item.sku = user.region;
        mine(user, item) if t in user.groups and item.email = t;
        bad(item) if item.sku.starts_with("x");
        allow_field(_, _, _, _);
    "#;
    assert_eq!(
        rows_of(text),
        "some i1 of items: ((i1.sku = 'eu' or i1.email in ['a', 'b']) and not i1.sku starts 'x')"
    );
}

#[test]
fn texts_that_begin_so() {
    for (condition, expected) in [
        (r#"row.region.starts_with("e")"#, "region starts 'e'"),
        (r#"not row.region.starts_with("e")"#, "not region starts 'e'"),
        (r#"row.region.starts_with("e") = false"#, "not region starts 'e'"),
        ("row.region.starts_with(user.team.name)", "region starts 'red'"),
        (r#"row.region.starts_with("50%_\\")"#, r"region starts '50%_\'"),
        (r#"row.customer.country.starts_with("F")"#, "customer.country starts 'F'"),
        (r#"user.region.starts_with("e")"#, "true"),
        (r#"user.region.starts_with("u")"#, "never"),
        (r#"not user.absent.starts_with("u")"#, "true"),
        ("row.region.starts_with(user.absent)", "never"),
        (
            "forall(g in user.groups, row.region.starts_with(g))",
            "not (not region starts 'a' or not region starts 'b')",
        ),
        ("g in user.groups and row.region.starts_with(g)", "(region starts 'a' or region starts 'b')"),
        (r#"t in row.tags and t.starts_with("x")"#, "some i1 of tags: i1 starts 'x'"),
        // Types that do not fit are never true.
        ("row.region.starts_with(user.level)", "never"),
        ("not row.region.starts_with(user.level)", "never"),
        (r#"not user.level.starts_with("x")"#, "never"),
    ] {
        assert_eq!(rows(condition), expected, "{condition}");
    }
}

#[test]
fn what_items_and_texts_cannot_be_asked_is_refused_at_load() {
    for (condition, reason) in [
        ("row.region.starts_with(row.owner)", "not with another field"),
        ("row.region.starts_with(1)", "`starts_with` takes a text"),
        ("row in row.items", "neither rows nor objects"),
        ("{sku: \"a\"} in row.items", "neither rows nor objects"),
        ("item in row.items and item.sku.ends_with(\"a\")", "of methods only `text.starts_with(prefix)`"),
        ("item in row.items and item.sku + 1 = 2", "arithmetic on a field"),
        ("item in row.items and item = {sku: \"a\"}", "whole list or dictionary"),
        ("item in row.items and item matches OrderClothing", "do not test it"),
    ] {
        let text = refused(&rule(condition));
        assert!(text.contains(reason) && text.contains("p.polar:2:"), "{condition}: {text}");
    }
    let wrong = |condition: &str| {
        let found = engine(&rule(condition)).check(&[Arc::new(orders())]).misfits;
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (condition, reason) in [
        (
            "item in row.items and item.skew = \"a\"",
            "`OrderClothing` has no field `items.skew`; did you mean `sku`?",
        ),
        ("item in row.items and item.sku = 1", "`sku` is String"),
        ("not (item in row.items and item.sku = 1)", "`sku` is String"),
        ("forall(item in row.items, item.sku < 1)", "`sku` is String"),
        ("item in row.items and item = \"a\"", "`items` is an object; compare its fields"),
        ("item in row.region and item = \"a\"", "`region` is not a list"),
        ("row.items.sku = \"a\"", "`item in row.items and item.sku = …`"),
        ("\"a\" in row.items", "`items` is not a list of plain values"),
        ("1 in row.tags", "is String"),
        ("row.amount in row.tags", "have types that are not compared"),
        ("item in row.items and item.sku = row.amount", "have types that are not compared"),
        ("row.region = row.amount", "have types that are not compared"),
        ("row.paid < true", "`paid` is a Boolean and has no order"),
        ("row.customer = true", "`customer` is an object"),
        ("row.at.starts_with(\"2026\")", "`at` is DateTime; only a String"),
        ("row.tags.starts_with(\"a\")", "`tags` is a list; only a String"),
        ("row.customer.starts_with(\"a\")", "`customer` is an object"),
    ] {
        let shown = wrong(condition);
        assert!(shown.contains(reason) && shown.contains('^'), "{condition}: {shown}");
    }
    let sound = "item in row.items and item.sku = row.region and item.email.starts_with(user.region)";
    assert_eq!(wrong(sound), "");
}

#[test]
fn items_in_memory() {
    let holds = |condition: &str, row: &str| {
        let who = actor("u", &[], json!({"region": "eu", "groups": ["a", "b"]}));
        let scope = scope(&engine(&rule(condition)), &who);
        let filter = scope.map_or(Filter::Const(false), |scope| scope.rows().clone());
        filter.eval(&Json::try_from(row).unwrap())
    };
    let one = r#"item in row.items and item.sku = "a" and item.email = "m""#;
    assert!(holds(one, r#"{"items":[{"sku":"b"},null,{"sku":"a","email":"m"}]}"#));
    assert!(!holds(one, r#"{"items":[{"sku":"a"},{"sku":"b","email":"m"}]}"#), "not of two items");
    for nothing in [r#"{"items":[]}"#, r#"{"items":null}"#, "{}", r#"{"items":[null]}"#] {
        assert!(!holds(one, nothing), "{nothing}");
    }
    // Of a null everything is null.
    let other = r#"item in row.items and not item.sku = "a""#;
    assert!(holds(other, r#"{"items":[null]}"#) && !holds(other, r#"{"items":[]}"#));
    let every = r#"forall(item in row.items, item.sku = "a")"#;
    assert!(holds(every, "{}") && holds(every, r#"{"items":[{"sku":"a"}]}"#));
    assert!(!holds(every, r#"{"items":[{"sku":"a"},{}]}"#));
    let twice = "a in row.items and b in row.items and a.sku = b.email";
    assert!(holds(twice, r#"{"items":[{"sku":"x"},{"email":"x"}]}"#));
    assert!(!holds(twice, r#"{"items":[{"sku":"x"},{"email":"y"}]}"#));
    let prefix = r#"row.region.starts_with("é")"#;
    assert!(holds(prefix, r#"{"region":"éa"}"#) && !holds(prefix, "{}"));
    // By code point: the same letter made of two is another text.
    assert!(!holds(prefix, "{\"region\":\"e\u{301}a\"}"));
}

/// A thousand claims are one condition on the item.
#[test]
fn a_thousand_claims_are_asked_of_an_item_at_once() {
    let groups: Vec<String> = (0..1_000).map(|n| format!("g{n}")).collect();
    let who = actor("u", &[], json!({"groups": groups}));
    for condition in [
        "item in row.items and item.sku in user.groups",
        "g in user.groups and item in row.items and item.sku = g",
        "item in row.items and g in user.groups and item.sku = g",
    ] {
        let scope = scope(&engine(&rule(condition)), &who).unwrap();
        let Filter::SomeItem(_, 1, when) = scope.rows() else { panic!("{condition}") };
        assert!(matches!(when.as_ref(), Filter::In(_, all) if all.len() == 1_000), "{condition}");
    }
}
