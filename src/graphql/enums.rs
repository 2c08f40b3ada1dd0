//! The types of enums: one for each field whose texts a steward has accepted, with the inputs that compare it. Only for
//! whom the field is shown as it is: the values say what rows hold. To others it is a `String`.

use std::collections::BTreeMap;

use super::collection::{Shown, printable};
use super::model::{EnumValue, Input, Kind, Model, Type, TypeRef};
use crate::shape::{Field, Kind as FieldKind};

/// The name of the field's enum, of those in `types`; `None` when it is none to whom it is shown so.
pub(super) fn own<'a>(types: &'a BTreeMap<u32, String>, field: &Field, shown: Shown) -> Option<&'a str> {
    field.enumeration().filter(|_| shown == Shown::Visible)?;
    types.get(&field.id).map(String::as_str)
}

/// Adds the field's enum, and tells its name.
pub(super) fn add<'a>(
    model: &mut Model,
    types: &'a BTreeMap<u32, String>,
    field: &Field,
    shown: Shown,
) -> Option<&'a str> {
    let name = own(types, field, shown)?;
    let path = printable(&field.path);
    let values = field.enumeration()?.values().map(|named| EnumValue {
        name: named.name.as_str().into(),
        description: Some(format!("`{}`", printable(&named.value))),
        deprecated: None,
    });
    model.insert(Type::new(name, format!("What `{path}` may be."), Kind::Enum(values.collect())));
    Some(name)
}

/// Adds what compares the field with its enum's values, and tells its name; of a list, what looks for them in it.
pub(super) fn add_filter(
    model: &mut Model,
    types: &BTreeMap<u32, String>,
    field: &Field,
    shown: Shown,
) -> Option<String> {
    let own = own(types, field, shown)?;
    let one = || TypeRef::named(own);
    let some = || one().required().list();
    let null = Input::new("isNull", TypeRef::named("Boolean"), "Null or absent, or with false neither.");
    let (suffix, inputs) = match field.kind {
        FieldKind::List(_) => {
            ("ListFilter", vec![Input::new("contains", one(), "The list has this item."), null])
        }
        _ => {
            let inputs = vec![
                Input::new("eq", one(), "Equal."),
                Input::new("ne", one(), "Not equal, and not null."),
                Input::new("in", some(), "One of these."),
                Input::new("notIn", some(), "None of these, and not null."),
                null,
            ];
            ("Filter", inputs)
        }
    };
    let name = format!("{own}{suffix}");
    let text = format!("Conditions on `{}`.", printable(&field.path));
    model.insert(Type::new(name.as_str(), text, Kind::Input(inputs)));
    Some(name)
}
