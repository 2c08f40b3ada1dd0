//! The types of unions: one for each object of which a steward has accepted the variants, and one for each variant with
//! the members that it has. The members are the object's own, shown as they are there. Whoever does not see the
//! discriminator as it is has no union, as it would tell.

use std::collections::{BTreeMap, HashSet};

use super::collection::{Shown, Visibility, printable};
use super::model::{Field, Kind, Model, Type, TypeRef};
use crate::shape::{Field as Shaped, Kind as ShapedKind, Union};

/// Adds the union of an object whose fields are `fields` and whose type has these `members`; its field, if there is
/// anything of it. `beside` is the object's field; none for whole rows.
pub(super) fn add(
    model: &mut Model,
    union: &Union,
    fields: &[Shaped],
    members: &[Field],
    (beside, shown): (Option<&Shaped>, Visibility<'_>),
) -> Option<Field> {
    if shown(union.discriminator) != Shown::Visible {
        return None;
    }
    let mut types = Vec::new();
    for case in union.cases() {
        let own = fields.iter().filter(|field| case.fields.contains(&field.id));
        // What stands beside them comes with them.
        let beside = own.clone().filter_map(|field| field.union()).map(|union| union.name.as_str());
        let names: HashSet<&str> = own.flat_map(|field| field.names()).chain(beside).collect();
        let members: Vec<Field> = members.iter().filter(|one| names.contains(&*one.name)).cloned().collect();
        if members.is_empty() {
            continue;
        }
        let text = format!("What comes with `{}`.", printable(&case.value));
        model.insert(Type::new(case.type_name.as_str(), text, Kind::Object(members)));
        types.push(case.type_name.as_str().into());
    }
    if types.is_empty() {
        return None;
    }
    let of = beside.map_or_else(|| "the row".to_owned(), |field| format!("`{}`", printable(&field.path)));
    let text = format!("The variants of {of} that are known.");
    model.insert(Type::new(union.type_name.as_str(), text.as_str(), Kind::Union(types)));
    let mut ty = TypeRef::named(union.type_name.as_str());
    let mut kind = beside.map(|field| &field.kind);
    while let Some(ShapedKind::List(item)) = kind {
        ty = ty.list();
        kind = Some(item);
    }
    let text = format!("{text} Null is another one, or nothing.");
    Some(Field::new(union.name.as_str(), ty, text))
}

/// The field of the union beside an object whose type, of those in `types`, is in the model.
pub(super) fn beside(
    model: &mut Model,
    types: &BTreeMap<u32, String>,
    field: &Shaped,
    shown: Visibility<'_>,
) -> Option<Field> {
    let (union, name) = (field.union()?, types.get(&field.id)?);
    let own = model.fields(name).to_vec();
    add(model, union, field.children(), &own, (Some(field), shown))
}
