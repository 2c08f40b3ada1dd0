//! Names that derive from a collection's two names: root fields and types. The only place that makes them.

use crate::query::Collection;
use crate::shape::TYPE_SUFFIXES;

/// Root fields and types of one collection, from its field name (`orderClothing`) and type name
/// (`OrderClothing`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Names<'a> {
    /// `orderClothing`
    pub(super) field: &'a str,
    /// `OrderClothing`
    pub(super) ty: &'a str,
}

impl<'a> Names<'a> {
    /// Those of a collection.
    pub(super) fn of(collection: &'a Collection) -> Self {
        Names { field: &collection.field_name, ty: &collection.type_name }
    }

    /// Whether the name of a type is one of this collection's own.
    pub(super) fn is_type(self, name: &str) -> bool {
        name.strip_prefix(self.ty).is_some_and(|rest| rest.is_empty() || TYPE_SUFFIXES.contains(&rest))
    }

    /// The lookup field.
    pub(super) fn by_key(self) -> String {
        format!("{}{BY_KEY}", self.field)
    }

    /// The aggregate field.
    pub(super) fn aggregate_field(self) -> String {
        format!("{}{AGGREGATE}", self.field)
    }

    /// A derived type, such as `OrderClothingConnection` for `Connection`.
    pub(super) fn derived(self, suffix: &str) -> String {
        format!("{}{suffix}", self.ty)
    }
}

/// Suffix of the lookup field.
pub(super) const BY_KEY: &str = "ByKey";
/// Suffix of the aggregate field.
pub(super) const AGGREGATE: &str = "Aggregate";

/// The type of a nested object: parent type and field in PascalCase.
pub(super) fn nested(parent: &str, field: &str) -> String {
    let mut chars = field.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    parent.chars().chain(first).chain(chars).collect()
}

/// Whether a root field that begins with a collection's name and ends so belongs to the collection.
pub(super) fn is_root_suffix(rest: &str) -> bool {
    [BY_KEY, AGGREGATE].contains(&rest)
}
