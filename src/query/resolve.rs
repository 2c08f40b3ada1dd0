//! Finding fields of a collection by their published names.

use std::collections::BTreeSet;

use crate::config;
use crate::query::{Cast, Collection, ColumnRef, FieldRef};
use crate::shape::{Enumeration, Field, Kind, Published, Scalar};

/// The member of a row that holds its envelope.
pub const RECORD: &str = "_record";

/// A member of `_record` that has a column.
#[derive(Debug, PartialEq)]
pub struct Member {
    /// A field's id, from the end of all numbers: whoever decides about fields by their ids decides about it, too.
    pub id: u32,
    /// Its published name.
    pub name: &'static str,
    /// Where it is.
    pub column: ColumnRef,
    /// Its type; of a list, that of its items.
    pub scalar: Scalar,
    /// Whether it is a list.
    pub list: bool,
}

/// The members of `_record` that have a column of their own; others are [`TOLD`](crate::query::TOLD), and `rescued` is
/// neither.
pub static ENVELOPE: [Member; 9] = [
    member(0, "id", ColumnRef::RecordId, Scalar::Uuid, false),
    member(1, "key", ColumnRef::Key, Scalar::String, false),
    member(2, "revision", ColumnRef::Revision, Scalar::Int, false),
    member(3, "sourceName", ColumnRef::SourceName, Scalar::String, false),
    member(4, "sourceUid", ColumnRef::SourceUid, Scalar::String, false),
    member(5, "author", ColumnRef::Author, Scalar::String, false),
    member(6, "ingestedAt", ColumnRef::IngestedAt, Scalar::DateTime, false),
    member(7, "occurredAt", ColumnRef::OccurredAt, Scalar::DateTime, false),
    member(8, "purposes", ColumnRef::Purposes, Scalar::String, true),
];

const fn member(place: u32, name: &'static str, column: ColumnRef, scalar: Scalar, list: bool) -> Member {
    Member { id: u32::MAX - place, name, column, scalar, list }
}

/// The member of `_record` with this name that has a column.
pub fn envelope(name: &str) -> Option<&'static Member> {
    ENVELOPE.iter().find(|member| member.name == name)
}

impl Collection {
    /// What a path of published names leads to; the envelope's fields stand under `_record`. `None` when
    /// there is no such field or it stands within a list. A nested object gives its presence.
    pub fn field(&self, path: &[&str]) -> Option<FieldRef> {
        self.field_with(path, &mut BTreeSet::new())
    }

    /// [`Collection::field`], adding the field's id and those of what it is nested in.
    pub fn field_with(&self, path: &[&str], ids: &mut BTreeSet<u32>) -> Option<FieldRef> {
        if let [RECORD, name] = path {
            let member = envelope(name)?;
            ids.insert(member.id);
            let (column, scalar) = (member.column.clone(), member.scalar);
            let path = path.iter().map(|name| (*name).to_owned()).collect();
            return Some(FieldRef { column, scalar, list: member.list, path });
        }
        let (last, above) = path.split_last()?;
        let mut fields = self.shape.fields.as_slice();
        let mut stored = Vec::with_capacity(path.len());
        for name in above {
            let field = named(fields, name)?;
            ids.insert(field.id);
            stored.push(field.stored().to_owned());
            fields = match &field.kind {
                Kind::Object(children) => children,
                _ => return None,
            };
        }
        let field = named(fields, last)?;
        ids.insert(field.id);
        stored.push(field.stored().to_owned());
        let (mut column, scalar, list) = column(field);
        if let Some(narrowing) = self.cast(field.id).filter(|_| !list).and_then(|cast| cast.narrowing()) {
            column = ColumnRef::Narrowed(field.id, narrowing);
        }
        Some(FieldRef { column, scalar, list, path: stored.into() })
    }

    /// The texts that this field of the collection may have, if it is an enum.
    pub fn enumeration(&self, field: &FieldRef) -> Option<&Enumeration> {
        match field.column.own() {
            ColumnRef::Field(id) | ColumnRef::Item(_, id) => self.shape.field(*id)?.enumeration(),
            _ => None,
        }
    }
}

impl Collection {
    /// How values of the field with this id are brought into the type that a contract keeps, when they are.
    pub fn cast(&self, id: u32) -> Option<Cast> {
        self.narrow.as_ref()?.casts.get(&id).copied()
    }

    /// The most rows of a page: what the configuration and its contract allow.
    pub fn page_max(&self, limits: &config::Graphql) -> usize {
        let agreed = self.narrow.as_ref().and_then(|narrow| narrow.page_max);
        agreed.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX).min(limits.page_max)
    }

    /// The column of the field with this id, when it can be an end of a relation: of one scalar, not within a list. The
    /// ids of the field and of what it is nested in are added to `ids`.
    pub fn end(&self, id: u32, ids: &mut BTreeSet<u32>) -> Option<FieldRef> {
        let names = self.end_names(id)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let field = self.field_with(&names, ids);
        field.filter(|field| {
            let text = !matches!(field.column, ColumnRef::RecordId | ColumnRef::Presence(_));
            text && !field.list && field.scalar.joins(field.scalar)
        })
    }

    /// The published names from the row's root of the field or member of `_record` with this id.
    pub fn end_names(&self, id: u32) -> Option<Vec<String>> {
        if let Some(member) = ENVELOPE.iter().find(|member| member.id == id) {
            return Some(vec![RECORD.to_owned(), member.name.to_owned()]);
        }
        let (mut names, id) = (None, self.shape.current(id));
        walk(&self.shape, &mut |above, field| {
            if field.id == id {
                let all = above.iter().copied().chain([field.name.as_str()]);
                names = Some(all.map(str::to_owned).collect());
            }
        });
        names
    }
}

/// The field that answers to this name.
pub(super) fn named<'a>(fields: &'a [Field], name: &str) -> Option<&'a Field> {
    fields.iter().find(|field| field.answers_to(name))
}

/// Column, scalar and whether it is a list.
pub(super) fn column(field: &Field) -> (ColumnRef, Scalar, bool) {
    if let Kind::Object(_) = field.kind {
        return (ColumnRef::Presence(field.id), Scalar::Boolean, false);
    }
    let (scalar, list) = scalar_of(&field.kind);
    (ColumnRef::Field(field.id), scalar, list)
}

/// The scalar of a kind that is held as a whole, of a list that of its items, and whether it is a list.
pub(super) fn scalar_of(kind: &Kind) -> (Scalar, bool) {
    match kind {
        Kind::Scalar(scalar) => (*scalar, false),
        Kind::Object(_) | Kind::Packed(_) | Kind::Map(_) => (Scalar::Json, false),
        Kind::List(item) => match **item {
            Kind::Scalar(scalar) => (scalar, true),
            _ => (Scalar::Json, true),
        },
    }
}

/// The column of the field with this id; `None` when it stands in the text of another's.
pub fn column_of(shape: &Published, id: u32) -> Option<FieldRef> {
    fn below<'a>(fields: &'a [Field], id: u32, names: &mut Vec<&'a str>) -> Option<&'a Field> {
        for field in fields {
            names.push(field.stored());
            if field.id == id {
                return Some(field);
            }
            if let Kind::Object(children) = &field.kind
                && let Some(found) = below(children, id, names)
            {
                return Some(found);
            }
            names.pop();
        }
        None
    }
    let mut names = Vec::new();
    let (column, scalar, list) = column(below(&shape.fields, id, &mut names)?);
    let path = names.into_iter().map(str::to_owned).collect();
    Some(FieldRef { column, scalar, list, path })
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
