//! Maps: their keys are values of the field itself, whatever is shown of what stands under them.

use std::sync::Arc;

use serde_json::json;

use super::{actor, engine, field, orders};
use crate::policy::{Access, Scope};
use crate::query::Mask;
use crate::shape::{Kind, Published, Scalar};

fn of(rules: &str) -> Option<Arc<Scope>> {
    let value = Kind::Object(vec![
        field(3, "price", Kind::Scalar(Scalar::Int), &[]),
        field(4, "mail", Kind::Scalar(Scalar::String), &["pii.email"]),
    ]);
    let fields = vec![
        field(1, "n", Kind::Scalar(Scalar::Int), &[]),
        field(2, "m", Kind::Map(Box::new(value)), &[]),
        field(5, "r", Kind::List(Box::new(Kind::Map(Box::new(Kind::Scalar(Scalar::Float))))), &[]),
    ];
    let shape = Arc::new(Published { version: 1, last_field_id: 5, fields, ..Published::default() });
    let collection = crate::query::Collection { shape, ..orders() };
    let text = format!("allow(_, \"read\", _: Row);\n{rules}");
    engine(&text).scope(&actor("u1", &[], json!({})), &Default::default(), &collection).unwrap()
}

#[test]
fn keys_are_asked_for_themselves() {
    let all = of("allow_field(_, \"read\", _, _);").unwrap();
    assert!((1..=5).all(|id| all.access(id) == &Access::Visible));
    // Neither without the other: values would be told by keys that are hidden, or keys without what they are of.
    let within = of(r#"allow_field(_, "read", _, f: Field) if f.name in ["n", "m.price"];"#).unwrap();
    assert_eq!(within.access(2), &Access::Hidden);
    let keys = of(r#"allow_field(_, "read", _, f: Field) if f.name in ["n", "m"];"#).unwrap();
    assert_eq!(keys.access(2), &Access::Hidden);
    let some = of(r#"allow_field(_, "read", _, f: Field) if f.name in ["m", "m.price"];"#).unwrap();
    let seen: Vec<_> = (2..=5).map(|id| some.access(id) == &Access::Visible).collect();
    assert_eq!(seen, [true, true, false, false]);
}

#[test]
fn masks_hide_keys_or_what_is_under_them() {
    let masked = |rule: &str| of(&format!("allow_field(_, \"read\", _, _);\n{rule}")).unwrap();
    let whole = masked(r#"mask_field(_, _, f: Field, "hash") if f.name = "m";"#);
    assert!((2..=4).all(|id| whole.access(id) == &Access::Masked(Mask::Hash)));
    assert_eq!(whole.access(5), &Access::Visible);
    let within = masked(r#"mask_field(_, _, f: Field, "hash") if "pii" in f.tags;"#);
    assert_eq!((within.access(2), within.access(3)), (&Access::Visible, &Access::Visible));
    assert_eq!(within.access(4), &Access::Masked(Mask::Hash));
}

#[test]
fn a_map_may_be_there_in_some_rows() {
    let some = of("allow_field(_, \"read\", _, f: Field) if f.name = \"n\";\n\
         allow_field(_, \"read\", row: Row, f: Field) if f.name in [\"m\", \"m.price\", \"r\"] and row.n = 1;")
    .unwrap();
    assert!([2, 3, 5].into_iter().all(|id| some.condition(id).is_some()));
    assert!(some.condition(1).is_none());
}
