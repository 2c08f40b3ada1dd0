//! The types of maps: a list of entries, which can be asked by key. Must not know what stands under the keys.

use super::model::{Field, Input, Kind, Model, Type, TypeRef};
use crate::shape::Kind as Shaped;

/// Adds the type `name` of a map's entries, whose values are of type `ty` and kind `value`; the type of the map.
pub(super) fn add(model: &mut Model, name: String, ty: TypeRef, value: &Shaped) -> TypeRef {
    let members = vec![
        Field::new("key", TypeRef::named("String").required(), "The key, as the source has it."),
        with_keys(Field::new("value", ty, "What stands under the key."), value),
    ];
    model.insert(Type::new(name.as_str(), "An entry of a map in a row.", Kind::Object(members)));
    TypeRef::named(name).required().list()
}

/// With the arguments that a map has, also one in lists.
pub(super) fn with_keys(field: Field, mut kind: &Shaped) -> Field {
    while let Shaped::List(item) = kind {
        kind = item;
    }
    if !matches!(kind, Shaped::Map(_)) {
        return field;
    }
    let keys = TypeRef::named("String").required().list();
    field
        .argument(Input::new(
            "keys",
            keys,
            "Only the entries with these keys; one that is not there is left out.",
        ))
        .argument(Input::new("first", TypeRef::named("Int"), "This many entries from the start."))
}
