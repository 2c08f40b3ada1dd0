//! What a filter says of a row in memory: for events, which carry the row as a document. Whatever is changed here must
//! be changed in the store's SQL, too; the differential tests hold the two together. Must not read anything.

use std::cmp::Ordering;

use super::{Class, class, like};
use crate::query::{ColumnRef, Comparison, FieldRef, Filter, Literal, Operand, Plain};
use crate::record::Json;
use crate::shape::Scalar;

/// What a filter looks at: a row, and the items of its lists that are being gone through.
#[derive(Clone, Copy)]
struct At<'a> {
    row: &'a Json,
    item: Option<&'a Within<'a>>,
}

/// An item, by the number of the condition that goes through its list; of a map, the value of an entry.
struct Within<'a> {
    number: u32,
    key: Option<&'a str>,
    item: &'a Json,
    above: Option<&'a Within<'a>>,
}

impl<'a> At<'a> {
    /// The document that the field's path begins at.
    fn root(&self, field: &FieldRef) -> Option<&'a Json> {
        match field.column {
            ColumnRef::Item(number, _) => self.within(number).map(|within| within.item),
            // It is not at hand, or no document.
            ColumnRef::Of(..) | ColumnRef::EntryKey(_) | ColumnRef::Grouped(_) => None,
            _ => Some(self.row),
        }
    }

    fn within(&self, number: u32) -> Option<&'a Within<'a>> {
        let mut within = self.item;
        while let Some(at) = within {
            if at.number == number {
                break;
            }
            within = at.above;
        }
        within
    }
}

impl Filter {
    /// Whether it is known to hold for a row, given as the document of its published names with the member `_record`.
    pub fn eval(&self, row: &Json) -> bool {
        self.decide(row) == Some(true)
    }

    /// The same; none when that depends on related rows, which are not to be seen here.
    pub fn decide(&self, row: &Json) -> Option<bool> {
        self.holds(At { row, item: None })
    }

    fn holds(&self, at: At<'_>) -> Option<bool> {
        Some(match self {
            Filter::Const(holds) => *holds,
            Filter::And(inner) => return all(inner.iter().map(|filter| filter.holds(at))),
            Filter::Or(inner) => return any(inner.iter().map(|filter| filter.holds(at))),
            Filter::Not(inner) => return inner.holds(at).map(|holds| !holds),
            Filter::Compare(left, comparison, right) => {
                holds(*comparison, &operand(left, at), &operand(right, at))
            }
            Filter::In(field, literals) => {
                let value = value(field, at);
                literals.iter().any(|literal| holds(Comparison::Eq, &value, &constant(literal)))
            }
            Filter::IsNull(field) => match (&field.column, value(field, at)) {
                (ColumnRef::Presence(_), value) => matches!(value, Value::Bool(false)),
                (_, value) => matches!(value, Value::Null),
            },
            Filter::Like(field, pattern) => match value(field, at) {
                Value::Text(text) => like(text, pattern),
                _ => false,
            },
            Filter::StartsWith(field, prefix) => match value(field, at) {
                Value::Text(text) => text.starts_with(prefix.as_str()),
                _ => false,
            },
            Filter::Search(field, search) => match value(field, at) {
                Value::Text(text) => search.finds(text),
                _ => false,
            },
            Filter::Contains(field, literal) => match find(field, at) {
                Some(Json::Array(items)) => items
                    .iter()
                    .any(|item| holds(Comparison::Eq, &scalar(field.scalar, item), &constant(literal))),
                _ => false,
            },
            Filter::HasKey(field, key) => match find(field, at) {
                Some(Json::Object(members)) => members.iter().any(|(known, _)| known == key),
                _ => false,
            },
            Filter::Length(list, comparison, length) => {
                let count = items(list, at).map(|items| i64::try_from(items.count()).unwrap_or(i64::MAX));
                count.is_some_and(|count| holds(*comparison, &Value::Int(count), &Value::Int(*length)))
            }
            Filter::Place(field, area) => find(field, at).is_some_and(|value| area.holds(value)),
            Filter::At(field, path, test) => find(field, at).is_some_and(|value| test.holds(path, value)),
            Filter::SomeItem(list, number, when) => match items(list, at) {
                Some(items) => {
                    return any(items.map(|(key, item)| {
                        let within = Within { number: *number, key, item, above: at.item };
                        when.holds(At { row: at.row, item: Some(&within) })
                    }));
                }
                None => false,
            },
            Filter::Related(..) => return None,
        })
    }
}

/// Whether one of them holds; not known as long as none does and one is not known.
fn any(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut found = Some(false);
    for part in parts {
        match part {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

/// Whether all of them hold.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(parts.map(|part| part.map(|holds| !holds))).map(|fails| !fails)
}

pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// There is something, but nothing to compare.
    Opaque,
}

fn operand<'a>(operand: &'a Operand, at: At<'a>) -> Value<'a> {
    match operand {
        Operand::Field(field) => value(field, at),
        Operand::Literal(literal) => constant(literal),
    }
}

pub(super) fn constant(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Float(value) => Value::Float(*value),
        Literal::Text(value) => Value::Text(value),
    }
}

fn find<'a>(field: &FieldRef, at: At<'a>) -> Option<&'a Json> {
    field.path.iter().try_fold(at.root(field)?, |value, name| value.get(name))
}

/// The items of a list, or the entries of a map with their keys; none when it is not there.
fn items<'a>(
    list: &FieldRef,
    at: At<'a>,
) -> Option<impl Iterator<Item = (Option<&'a str>, &'a Json)> + use<'a>> {
    let (items, entries): (&[Json], &[(String, Json)]) = match find(list, at)? {
        Json::Array(items) if list.list => (items, &[]),
        Json::Object(entries) if !list.list => (&[], entries),
        _ => return None,
    };
    let entries = entries.iter().map(|(key, value)| (Some(key.as_str()), value));
    Some(items.iter().map(|item| (None, item)).chain(entries))
}

fn value<'a>(field: &FieldRef, at: At<'a>) -> Value<'a> {
    if let ColumnRef::EntryKey(number) = field.column {
        return at.within(number).and_then(|within| within.key).map_or(Value::Null, Value::Text);
    }
    let found = find(field, at);
    if let ColumnRef::Presence(_) = field.column {
        return Value::Bool(matches!(found, Some(Json::Object(_))));
    }
    match found {
        None | Some(Json::Null) => Value::Null,
        Some(_) if field.list => Value::Opaque,
        Some(found) if let ColumnRef::Narrowed(_, narrowing) = field.column => {
            let held = if narrowing.is_float() { Scalar::Float } else { Scalar::BigInt };
            narrowing.number(Plain::of(Some(found), held)).map_or(Value::Null, Value::Int)
        }
        Some(found) => scalar(field.scalar, found),
    }
}

fn number(scalar: Scalar, text: &str) -> Value<'_> {
    match scalar {
        Scalar::Float => text.parse().map_or(Value::Null, Value::Float),
        _ => text.parse().map_or(Value::Null, Value::Int),
    }
}

fn scalar(scalar: Scalar, value: &Json) -> Value<'_> {
    match (class(scalar), value) {
        (_, Json::Null) => Value::Null,
        (Class::Bool, Json::Bool(value)) => Value::Bool(*value),
        // BigInt is a string in output form; in an image from before it was widened a Float may be one, too.
        (Class::Number, Json::Number(text)) => number(scalar, text),
        (Class::Number, Json::String(text)) => number(scalar, text),
        (Class::Text, Json::String(text)) => Value::Text(text),
        (Class::Opaque, _) => Value::Opaque,
        _ => Value::Null,
    }
}

#[allow(clippy::cast_precision_loss, reason = "both databases compare mixed numbers as floats, too")]
pub(super) fn holds(comparison: Comparison, left: &Value<'_>, right: &Value<'_>) -> bool {
    let ordering = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::Float(right)) => (*left as f64).partial_cmp(right),
        (Value::Float(left), Value::Int(right)) => left.partial_cmp(&(*right as f64)),
        // Bytes of UTF-8 order as code points do.
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        _ => None,
    };
    ordering.is_some_and(|ordering| match comparison {
        Comparison::Eq => ordering == Ordering::Equal,
        Comparison::Lt => ordering == Ordering::Less,
        Comparison::Lte => ordering != Ordering::Greater,
        Comparison::Gt => ordering == Ordering::Greater,
        Comparison::Gte => ordering != Ordering::Less,
    })
}
