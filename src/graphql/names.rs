//! Names that derive from a collection's two names: root fields and types. The only place that makes them.

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

    /// A derived type, such as `OrderClothingConnection` for `Connection`.
    pub(super) fn derived(self, suffix: &str) -> String {
        format!("{}{suffix}", self.ty)
    }
}

/// Suffix of the lookup field.
pub(super) const BY_KEY: &str = "ByKey";
/// Suffix of the aggregate field.
pub(super) const AGGREGATE: &str = "Aggregate";

/// Whether a root field that begins with a collection's name and ends so belongs to the collection.
pub(super) fn is_root_suffix(rest: &str) -> bool {
    [BY_KEY, AGGREGATE].contains(&rest)
}
