//! The types of enums: one for each field whose texts a steward has accepted, with the inputs that compare it. Only for
//! whom the field is shown as it is: the values say what rows hold. To others it is a `String`.

use std::collections::BTreeMap;

use super::collection::{Shown, of_items, printable};
use super::model::{EnumValue, Input, Kind, Model, Type, TypeRef};
use crate::shape::Field;

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

/// Adds what compares the field, or an item of it, with its enum's values, and tells its name.
pub(super) fn add_filter(
    model: &mut Model,
    types: &BTreeMap<u32, String>,
    field: &Field,
    shown: Shown,
) -> Option<String> {
    let own = own(types, field, shown)?;
    let one = || TypeRef::named(own);
    let some = || one().required().list();
    let inputs = vec![
        Input::new("eq", one(), "Equal."),
        Input::new("ne", one(), "Not equal, and not null."),
        Input::new("in", some(), "One of these."),
        Input::new("notIn", some(), "None of these, and not null."),
        Input::new("isNull", TypeRef::named("Boolean"), "Null or absent, or with false neither."),
    ];
    Some(conditions(model, format!("{own}Filter"), field, inputs))
}

/// Adds what looks for its enum's values in the field, a list, and tells its name.
pub(super) fn add_list_filter(
    model: &mut Model,
    types: &BTreeMap<u32, String>,
    field: &Field,
    shown: Shown,
) -> Option<String> {
    let own = own(types, field, shown)?;
    let item = TypeRef::named(add_filter(model, types, field, shown)?);
    let has = Input::new("contains", TypeRef::named(own), "The list has this item.");
    Some(conditions(model, format!("{own}ListFilter"), field, of_items(&item, "item", vec![has])))
}

fn conditions(model: &mut Model, name: String, field: &Field, inputs: Vec<Input>) -> String {
    let text = format!("Conditions on `{}`.", printable(&field.path));
    model.insert(Type::new(name.as_str(), text, Kind::Input(inputs)));
    name
}
