//! Names that derive from a collection's two names: root fields and types. The only place that makes them.

use super::coerce;
use crate::query::Collection;

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

    /// The lookup field.
    pub(super) fn by_key(self) -> String {
        format!("{}{BY_KEY}", self.field)
    }

    /// The aggregate field.
    pub(super) fn aggregate_field(self) -> String {
        format!("{}{AGGREGATE}", self.field)
    }

    /// The field of a row's changes.
    pub(super) fn history_field(self) -> String {
        format!("{}{HISTORY}", self.field)
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
/// Suffix of the field of a row's changes, and of its type.
pub(super) const HISTORY: &str = "History";

/// The names of collections that may have a root field of this name.
pub(super) fn collections(root: &str) -> impl Iterator<Item = &str> {
    let derived = [BY_KEY, AGGREGATE, HISTORY].into_iter().filter_map(|suffix| root.strip_suffix(suffix));
    std::iter::once(root).chain(derived)
}

/// How much a name is like that of a root field of this collection.
pub(super) fn likeness(name: &str, field: &str) -> f64 {
    let roots =
        ["", BY_KEY, AGGREGATE, HISTORY].map(|suffix| coerce::likeness(name, &format!("{field}{suffix}")));
    roots.into_iter().fold(0.0, f64::max)
}
