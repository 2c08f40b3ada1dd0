//! Field access, masks, conditions, and what only a scope can do.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;

use crate::config;
use crate::policy::tests::{actor, engine, orders, scope, short};
use crate::policy::{Access, Engine, Opened, Scope, Sealed};
use crate::query::{Change, ChangeOp, ColumnsUsed, Comparison, Filter, Mask, Unit};
use crate::record::{Json, Limits, parse};

fn of(text: &str, roles: &[&str]) -> Option<Arc<Scope>> {
    scope(&engine(text), &actor("u1", roles, json!({"region": "eu"})))
}

const ALL: &str = "allow(_, \"read\", _: Row);\n";

#[test]
fn no_rule_is_hidden_and_no_field_is_no_scope() {
    assert!(of(ALL, &[]).is_none());
    let some = of(
        &format!("{ALL}allow_field(_, \"read\", _, f: Field) if f.name in [\"region\", \"customer.email\"];"),
        &[],
    )
    .unwrap();
    assert_eq!(some.access(1), &Access::Visible);
    assert_eq!(some.access(2), &Access::Hidden);
    assert_eq!(some.access(10), &Access::Visible, "an object with a visible field");
    assert_eq!(some.access(11), &Access::Visible);
    assert_eq!(some.access(12), &Access::Hidden);
    assert_eq!(some.access(20), &Access::Hidden);
    assert_eq!(some.access(404), &Access::Hidden);
}

#[test]
fn facts_about_fields() {
    for (condition, visible) in [
        (r#""pii" in f.tags"#, vec![10, 11, 20, 22]),
        (r#""pii.email" in f.tags and f.path = "/email""#, vec![10, 11, 20, 22]),
        (r#"f.name = "items.sku""#, vec![20, 21]),
        (r#""customer" in f.parents"#, vec![10, 11, 12]),
        (r#""geo" in f.tags and f.classified"#, vec![10, 12]),
    ] {
        let scope = of(&format!("{ALL}allow_field(_, \"read\", _, f: Field) if {condition};"), &[]).unwrap();
        let seen: Vec<u32> = (0..40).filter(|id| scope.access(*id) != &Access::Hidden).collect();
        assert_eq!(seen, visible, "{condition}");
    }
}

#[test]
fn masks_and_the_strictest_of_them() {
    let masked = |rules: &str, id: u32| {
        let text = format!("{ALL}allow_field(_, _, _, _);\n{rules}");
        of(&text, &[]).unwrap().access(id).clone()
    };
    for (mask, expected) in [
        (r#""null""#, Mask::Null),
        (r#""hash""#, Mask::Hash),
        ("{keep_first: 2}", Mask::KeepFirst(2)),
        ("{keep_last: 4}", Mask::KeepLast(4)),
        ("{round: 100}", Mask::Round(100.0)),
        ("{round: 0.5}", Mask::Round(0.5)),
        (r#"{truncate: "month"}"#, Mask::Truncate(Unit::Month)),
    ] {
        let rule = format!("mask_field(_, _, f: Field, {mask}) if f.name = \"region\";");
        assert_eq!(masked(&rule, 1), Access::Masked(expected), "{mask}");
        assert_eq!(masked(&rule, 2), Access::Visible);
    }
    for (masks, expected) in [
        ([r#""null""#, r#""hash""#], Mask::Null),
        (["{keep_last: 4}", r#""hash""#], Mask::Hash),
        (["{keep_last: 4}", "{keep_last: 2}"], Mask::KeepLast(2)),
        (["{round: 10}", "{round: 100}"], Mask::Round(100.0)),
        ([r#"{truncate: "day"}"#, r#"{truncate: "year"}"#], Mask::Truncate(Unit::Year)),
        (["{keep_first: 3}", "{keep_last: 3}"], Mask::KeepLast(3)),
    ] {
        for order in [[0, 1], [1, 0]] {
            let rules =
                order.map(|i| format!("mask_field(_, _, f: Field, {}) if f.name = \"region\";\n", masks[i]));
            assert_eq!(masked(&rules.concat(), 1), Access::Masked(expected.clone()), "{masks:?}");
        }
    }
    let object = r#"mask_field(_, _, f: Field, "null") if f.name = "customer";"#;
    assert_eq!(masked(object, 11), Access::Masked(Mask::Null), "a mask on an object masks what is in it");
    let by_row = r#"mask_field(_, row: Row, f: Field, "hash") if f.name = "region" and row.paid;"#;
    assert_eq!(
        masked(by_row, 1),
        Access::Masked(Mask::Hash),
        "a mask that depends on the row masks every row"
    );
    let undecided = r#"mask_field(_, row: Row, f: Field, "hash") if f.name = "region" and row.absent = 1;"#;
    assert_eq!(masked(undecided, 1), Access::Hidden, "what cannot be decided is hidden");
    let claimed = r#"mask_field(user: User, _: Row, f: Field, user.region) if f.name = "region";"#;
    assert_eq!(masked(claimed, 1), Access::Hidden, "a mask that does not exist hides");
}

#[test]
fn a_field_can_depend_on_the_row() {
    let text = format!(
        "{ALL}allow_field(user, \"read\", row: OrderClothing, f: Field) if \
         f.name = \"amount\" and row.owner = user.subject;\n\
         allow_field(_, \"read\", _, f: Field) if f.name = \"region\";"
    );
    let scope = of(&text, &[]).unwrap();
    assert_eq!(scope.access(2), &Access::Visible);
    assert_eq!(short(scope.condition(2).unwrap()), "owner = 'u1'");
    assert!(scope.condition(1).is_none());
    assert!(scope.comparable(1) && !scope.comparable(2));
}

#[test]
fn actors_share_a_scope_when_the_policy_cannot_tell_them_apart() {
    let engine = engine(&format!("{ALL}allow_field(user, _, _, _) if user.region = \"eu\";"));
    let of = |subject: &str, claims| scope(&engine, &actor(subject, &[], claims));
    let a = of("a", json!({"region": "eu", "exp": 1})).unwrap();
    let b = of("b", json!({"region": "eu", "exp": 2})).unwrap();
    assert!(Arc::ptr_eq(&a, &b));
    assert!(of("c", json!({"region": "us"})).is_none());
    assert!(of("d", json!({})).is_none());
}

#[test]
fn scopes_are_kept_by_their_size() {
    let text = format!("{ALL}allow_field(user, _, row: OrderClothing, _) if row.owner in user.list;");
    let kept = |bytes: usize, items: usize| {
        let config = config::Policy { scopes_bytes_max: bytes, ..Default::default() };
        let engine = Engine::from_texts(&config, &[("p.polar", &text)]).unwrap();
        let who = actor("a", &[], json!({"list": (0..items).map(|n| n.to_string()).collect::<Vec<_>>()}));
        Arc::ptr_eq(&scope(&engine, &who).unwrap(), &scope(&engine, &who).unwrap())
    };
    assert!(kept(64 * 1024 * 1024, 1_000));
    assert!(kept(1024 * 1024, 2));
    assert!(!kept(1024 * 1024, 1_000), "a condition of a thousand constants for each field");
}

struct Asked(BTreeSet<u32>, BTreeSet<u32>);

impl ColumnsUsed for Asked {
    fn compared(&self) -> &BTreeSet<u32> {
        &self.0
    }
    fn shown(&self) -> &BTreeSet<u32> {
        &self.1
    }
}

#[test]
fn only_plainly_visible_fields_can_be_asked_about() {
    let text = format!(
        "{ALL}allow_field(user, \"read\", row: OrderClothing, f: Field) if \
         f.name = \"amount\" and row.owner = user.subject;\n\
         allow_field(_, \"read\", _, f: Field) if f.name in [\"region\", \"owner\"];\n\
         mask_field(_, _, f: Field, \"hash\") if f.name = \"owner\";"
    );
    let scope = of(&text, &[]).unwrap();
    let ask = |compared: &[u32], shown: &[u32]| {
        scope.apply(Asked(compared.iter().copied().collect(), shown.iter().copied().collect())).map(drop)
    };
    assert!(ask(&[1], &[1, 2, 5]).is_ok());
    let texts: BTreeSet<String> = [(&[5][..], &[][..]), (&[2], &[]), (&[3], &[]), (&[404], &[]), (&[], &[3])]
        .into_iter()
        .map(|(compared, shown)| ask(compared, shown).unwrap_err().to_string())
        .collect();
    assert_eq!(texts.len(), 1, "masked, conditional, hidden and unknown fields sound the same: {texts:?}");
}

fn json_of(text: &str) -> Json {
    parse(text.as_bytes(), Limits { depth_max: 10, values_max: 100 }).unwrap()
}

#[test]
fn a_change_opens_only_as_far_as_it_is_seen() {
    let text =
        "allow(user, \"read\", row: OrderClothing) if row.region = user.region;\nallow_field(_, _, _, _);";
    let scope = of(text, &[]).unwrap();
    let scoped = scope.apply(Asked(BTreeSet::from([2]), BTreeSet::new())).unwrap();
    let wanted =
        Filter::compare(orders().field(&["amount"]).unwrap(), Comparison::Gt, &Json::Number("5".into()))
            .unwrap();
    let open = |before: Option<&str>, after: Option<&str>| {
        let image = |text: Option<&str>| text.map(json_of);
        let op = if after.is_some() { ChangeOp::Upsert } else { ChangeOp::Delete };
        let change = Change {
            collection_id: 1,
            pos: 1,
            generation: 1,
            key: "k".into(),
            revision: 1,
            op,
            before: image(before).map(std::sync::Arc::new),
            after: image(after).map(std::sync::Arc::new),
            at: 0,
        };
        match scoped.open(Sealed::new(change), &wanted, Default::default()) {
            Opened::Upsert(c) => format!("upsert {} {}", c.before.is_some(), c.after.is_some()),
            Opened::Delete(c) => format!("delete {} {}", c.before.is_some(), c.after.is_some()),
            Opened::LeftScope(c) => format!("left {} {}", c.before.is_some(), c.after.is_some()),
            Opened::Nothing => "nothing".to_owned(),
        }
    };
    let (seen, other, small) = (
        Some(r#"{"region":"eu","amount":9}"#),
        Some(r#"{"region":"us","amount":9}"#),
        Some(r#"{"region":"eu","amount":1}"#),
    );
    for (before, after, expected) in [
        (None, seen, "upsert false true"),
        (seen, seen, "upsert true true"),
        (other, seen, "upsert false true"),
        (small, seen, "upsert false true"),
        (seen, other, "left true false"),
        (seen, small, "left true false"),
        (seen, None, "delete true false"),
        (other, None, "nothing"),
        (other, other, "nothing"),
        (None, other, "nothing"),
        (small, None, "nothing"),
        (None, None, "nothing"),
    ] {
        assert_eq!(open(before, after), expected, "{before:?} {after:?}");
    }
}
