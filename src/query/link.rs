//! Where a relation leads from a row, as conditions and orders follow it. Must not judge who may.

use std::fmt;

use super::{Collection, ColumnRef, FieldRef, Filter};
use crate::shape::Relation;

/// A relation of one collection to another, by the columns of both.
#[derive(Clone, PartialEq)]
pub struct Link {
    /// The column of the row that it leads from.
    pub from: FieldRef,
    /// The number of the other collection.
    pub collection: i64,
    /// The build of the other collection.
    pub generation: i64,
    /// The version of the shape that the other collection had: a statement that is older notices itself.
    pub version: u32,
    /// The column of the other collection's rows.
    pub to: FieldRef,
    /// Whether it leads to all rows with that value, or to the first that came of them.
    pub many: bool,
    /// Which of the rows there are for the one who follows, as a condition on such a row: of others nothing is known,
    /// not even that they come first.
    pub rows: Filter,
}

impl Link {
    /// Where the relation leads from rows of `from`; none when an end of it is no such column any more, or values of
    /// them are never equal.
    pub fn new(from: &Collection, relation: &Relation, to: &Collection) -> Option<Self> {
        let end = |of: &Collection, id: u32| of.end(id, &mut Default::default());
        let (one, other) = (end(from, relation.field)?, end(to, relation.other_field)?);
        one.scalar.joins(other.scalar).then(|| Link {
            from: one,
            collection: to.id,
            generation: to.generation,
            version: to.shape.version,
            to: other,
            many: relation.many,
            rows: Filter::Const(true),
        })
    }

    /// Only these rows.
    #[must_use]
    pub fn of_rows(self, rows: Filter) -> Self {
        Link { rows, ..self }
    }
}

/// Without the version: what a filter says does not differ by it.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { from, collection, generation, version: _, to, many, rows } = self;
        let mut tuple = f.debug_tuple("Link");
        tuple.field(from).field(collection).field(generation).field(to).field(many).field(rows).finish()
    }
}

impl ColumnRef {
    /// The column itself, whichever row it is of.
    pub fn own(&self) -> &ColumnRef {
        match self {
            ColumnRef::Of(_, own) => own.own(),
            own => own,
        }
    }
}

impl Filter {
    /// What it says of a row, of the related row with this number.
    #[must_use]
    pub fn of_related(mut self, number: u32) -> Self {
        self.fields(&mut |field| {
            if !matches!(field.column, ColumnRef::Item(..) | ColumnRef::EntryKey(_) | ColumnRef::Of(..)) {
                *field = field.clone().of_related(number);
            }
        });
        self
    }
}

impl FieldRef {
    /// The same of the related row with this number.
    #[must_use]
    pub fn of_related(self, number: u32) -> Self {
        FieldRef { column: ColumnRef::Of(number, Box::new(self.column)), ..self }
    }
}
