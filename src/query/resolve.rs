//! Finding fields of a collection by their published names.

use std::collections::BTreeSet;

use crate::query::{Collection, ColumnRef, FieldRef};
use crate::shape::{Field, Kind, Published, Scalar};

/// The member of a row that holds its envelope.
pub const RECORD: &str = "_record";

impl Collection {
    /// What a path of published names leads to; the envelope's fields stand under `_record`. `None` when
    /// there is no such field or it stands within a list. A nested object gives its presence.
    pub fn field(&self, path: &[&str]) -> Option<FieldRef> {
        self.field_with(path, &mut BTreeSet::new())
    }

    /// [`Collection::field`], adding the field's id and those of what it is nested in.
    pub fn field_with(&self, path: &[&str], ids: &mut BTreeSet<u32>) -> Option<FieldRef> {
        let names = || path.iter().map(|name| (*name).to_owned()).collect();
        if let [RECORD, name] = path {
            let (column, scalar) = envelope(name)?;
            return Some(FieldRef { column, scalar, list: false, path: names() });
        }
        let (last, above) = path.split_last()?;
        let mut fields = self.shape.fields.as_slice();
        for name in above {
            let field = named(fields, name)?;
            ids.insert(field.id);
            fields = match &field.kind {
                Kind::Object(children) => children,
                _ => return None,
            };
        }
        let field = named(fields, last)?;
        ids.insert(field.id);
        let (column, scalar, list) = column(field);
        Some(FieldRef { column, scalar, list, path: names() })
    }
}

/// The field with this published name.
pub(super) fn named<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == name)
}

/// Column, scalar and whether it is a list.
pub(super) fn column(field: &Field) -> (ColumnRef, Scalar, bool) {
    match &field.kind {
        Kind::Scalar(scalar) => (ColumnRef::Field(field.id), *scalar, false),
        Kind::Object(_) => (ColumnRef::Presence(field.id), Scalar::Boolean, false),
        Kind::Packed(_) => (ColumnRef::Field(field.id), Scalar::Json, false),
        Kind::List(item) => {
            let scalar = if let Kind::Scalar(scalar) = **item { scalar } else { Scalar::Json };
            (ColumnRef::Field(field.id), scalar, true)
        }
    }
}

/// Column and type of a field of the envelope.
pub(super) fn envelope(name: &str) -> Option<(ColumnRef, Scalar)> {
    Some(match name {
        "id" => (ColumnRef::RecordId, Scalar::Uuid),
        "key" => (ColumnRef::Key, Scalar::String),
        "revision" => (ColumnRef::Revision, Scalar::Int),
        "sourceName" => (ColumnRef::SourceName, Scalar::String),
        "sourceUid" => (ColumnRef::SourceUid, Scalar::String),
        "author" => (ColumnRef::Author, Scalar::String),
        "ingestedAt" => (ColumnRef::IngestedAt, Scalar::DateTime),
        _ => return None,
    })
}

/// Calls `each` with every field and the names of the objects and lists above it.
pub fn walk<'a>(shape: &'a Published, each: &mut dyn FnMut(&[&'a str], &'a Field)) {
    fn below<'a>(fields: &'a [Field], above: &mut Vec<&'a str>, each: &mut dyn FnMut(&[&'a str], &'a Field)) {
        for field in fields {
            each(above, field);
            above.push(&field.name);
            below(field.children(), above, each);
            above.pop();
        }
    }
    below(&shape.fields, &mut Vec::new(), each);
}
