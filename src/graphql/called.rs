//! The names by which clients may call a field, each with why it is to be used no longer. Must not know types.

use super::collection::printable;
use super::model::{EnumValue, Field, Input, TypeRef};
use crate::shape::Field as Shaped;

/// A name of a field.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// The name; of a leaf that is grouped by, flattened.
    pub(super) name: String,
    /// Why it is to be used no longer.
    pub(super) deprecated: Option<String>,
    /// It is not the present name, or not below the present names.
    pub(super) is_alias: bool,
}

/// The names of a field, the present one first.
pub(super) fn called(field: &Shaped) -> impl Iterator<Item = Called> {
    field.names().map(|name| {
        let is_alias = name != field.name;
        let why = field.decided.deprecated.as_deref().map(printable);
        let renamed = || format!("renamed to `{}`", field.name);
        Called { name: name.to_owned(), deprecated: if is_alias { Some(renamed()) } else { why }, is_alias }
    })
}

/// The flattened names of a field behind those of what it stands in.
pub(super) fn flattened(above: &[Called], field: &Shaped) -> Vec<Called> {
    if above.is_empty() {
        return called(field).collect();
    }
    let below = |above: &Called| {
        let (above, deprecated, is_alias) = (above.name.clone(), above.deprecated.clone(), above.is_alias);
        called(field).map(move |own| Called {
            name: format!("{above}_{}", own.name),
            deprecated: deprecated.clone().or(own.deprecated),
            is_alias: is_alias || own.is_alias,
        })
    };
    above.iter().flat_map(below).collect()
}

impl Called {
    /// A field of an object that is called so.
    pub(super) fn field(self, ty: TypeRef, description: String) -> Field {
        let Called { name, deprecated, is_alias } = self;
        Field { deprecated, is_alias, ..Field::new(name, ty, description) }
    }

    /// A member of an input object that is called so.
    pub(super) fn input(self, ty: TypeRef, description: String) -> Input {
        Input { deprecated: self.deprecated, ..Input::new(self.name, ty, description) }
    }

    /// A value of an enum that is called so.
    pub(super) fn value(self, description: String) -> EnumValue {
        EnumValue { name: self.name.into(), description: Some(description), deprecated: self.deprecated }
    }
}
