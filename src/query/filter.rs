//! Filters: how they are made from plain values. What they say of a row is told by `memory`, and by the store as SQL.

mod area;
mod like;
mod memory;
mod path;
mod search;
mod words;

pub use area::{Area, HAIR, haversine_max};
pub use like::like;
use memory::{Value, constant, holds};
pub use path::{JsonPath, NUMBER_SIGNS_MAX, PathTest, Step};
pub use search::{Search, Term};
pub use words::words;

use crate::error::{Error, Result};
use crate::query::{ColumnRef, Comparison, FieldRef, Filter, Literal, Operand};
use crate::record::Json;
use crate::shape::Scalar;

/// What can be compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Bool,
    Number,
    Text,
    Opaque,
}

fn class(scalar: Scalar) -> Class {
    match scalar {
        Scalar::Boolean => Class::Bool,
        Scalar::Int | Scalar::BigInt | Scalar::Float => Class::Number,
        Scalar::String | Scalar::DateTime | Scalar::Date | Scalar::Uuid => Class::Text,
        Scalar::Json => Class::Opaque,
    }
}

impl FieldRef {
    /// Names joined by dots, for messages.
    pub fn name(&self) -> String {
        if self.path.is_empty() { "the item".to_owned() } else { self.path.join(".") }
    }

    fn single(&self) -> Result<()> {
        if self.list || class(self.scalar) == Class::Opaque {
            return Err(Error::bad_request(format!(
                "`{}` is a list or JSON and cannot be compared; use `isNull`, or `some` on a list",
                self.name()
            )));
        }
        Ok(())
    }
}

/// FNV-1a: the same on every node and after every restart.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl Filter {
    /// A number that is the same for equal filters, on every node; it stands in cursors.
    pub fn fingerprint(&self) -> u64 {
        fnv(format!("{self:?}").as_bytes())
    }

    /// `field` compared with a constant, which is brought into the form of the field's type first.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the constant is not of the field's type, or the type has no such comparison.
    pub fn compare(field: FieldRef, comparison: Comparison, constant: &Json) -> Result<Self> {
        field.single()?;
        if field.scalar == Scalar::Boolean && comparison != Comparison::Eq {
            return Err(Error::bad_request(format!(
                "`{}` is a Boolean and has no order; use `eq`",
                field.name()
            )));
        }
        if let (Scalar::Int | Scalar::BigInt, Json::Number(text)) = (field.scalar, constant)
            && text.parse::<i64>().is_err()
        {
            return whole(field, comparison, text);
        }
        let literal = literal(&field, constant)?;
        Ok(Filter::Compare(Operand::Field(field), comparison, Operand::Literal(literal)))
    }

    /// Not equal, and not null.
    ///
    /// # Errors
    /// As [`Filter::compare`].
    pub fn differs(field: FieldRef, constant: &Json) -> Result<Self> {
        let equal = Filter::compare(field.clone(), Comparison::Eq, constant)?;
        Ok(Filter::And(vec![equal.opposite(), Filter::IsNull(field).opposite()]))
    }

    /// Two fields of one type class compared.
    ///
    /// # Errors
    /// `BAD_REQUEST` when they cannot be compared.
    pub fn compare_fields(left: FieldRef, comparison: Comparison, right: FieldRef) -> Result<Self> {
        left.single()?;
        right.single()?;
        let ids = [&left, &right].map(|field| *field.column.own() == ColumnRef::RecordId);
        let ordered = class(left.scalar) != Class::Bool || comparison == Comparison::Eq;
        if class(left.scalar) != class(right.scalar) || ids[0] != ids[1] || !ordered {
            return Err(Error::bad_request(format!(
                "`{}` and `{}` cannot be compared like that: their types differ or have no order",
                left.name(),
                right.name()
            )));
        }
        Ok(Filter::Compare(Operand::Field(left), comparison, Operand::Field(right)))
    }

    /// The field's value is one of these; constants that its type cannot hold match nothing.
    ///
    /// # Errors
    /// As [`Filter::compare`].
    pub fn one_of(field: FieldRef, constants: &[Json]) -> Result<Self> {
        field.single()?;
        let mut literals = Vec::with_capacity(constants.len());
        for constant in constants {
            let equal = Filter::compare(field.clone(), Comparison::Eq, constant)?;
            if let Filter::Compare(_, _, Operand::Literal(literal)) = equal {
                literals.push(literal);
            }
        }
        Ok(if literals.is_empty() { Filter::Const(false) } else { Filter::In(field, literals) })
    }

    /// SQL LIKE on a text field.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the field is no text, or the pattern ends in a lone `\`.
    pub fn matches(field: FieldRef, pattern: &str) -> Result<Self> {
        textual(&field, pattern)?;
        ends_alone(pattern)?;
        Ok(Filter::Like(field, pattern.to_owned()))
    }

    /// Text that has these words.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the field is no text.
    pub fn searches(field: FieldRef, search: Search) -> Result<Self> {
        textual(&field, search.text())?;
        Ok(Filter::Search(field, search))
    }

    /// Text that begins so.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the field is no text.
    pub fn begins(field: FieldRef, prefix: &str) -> Result<Self> {
        textual(&field, prefix)?;
        Ok(Filter::StartsWith(field, prefix.to_owned()))
    }

    /// A list of scalars has this item.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the field is no list of scalars, or the item not of their type.
    pub fn has(field: FieldRef, item: &Json) -> Result<Self> {
        if !field.list || class(field.scalar) == Class::Opaque {
            return Err(Error::bad_request(format!("`{}` is not a list of scalars; use `eq`", field.name())));
        }
        let literal = literal(&field, item)?;
        Ok(Filter::Contains(field, literal))
    }

    /// A map has this key.
    ///
    /// # Errors
    /// `BAD_REQUEST` when the field is no map, or the key has what no key of a row has.
    pub fn has_key(field: FieldRef, key: &str) -> Result<Self> {
        if field.list || class(field.scalar) != Class::Opaque {
            return Err(Error::bad_request(format!("`{}` is not a map; use `eq`", field.name())));
        }
        no_nul(key)?;
        Ok(Filter::HasKey(field, key.to_owned()))
    }

    /// Whether it asks for related rows, so that only the store can tell whether it holds.
    pub fn follows(&self) -> bool {
        match self {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().any(Filter::follows),
            Filter::Not(inner) | Filter::SomeItem(_, _, inner) => inner.follows(),
            Filter::Related(..) => true,
            _ => false,
        }
    }

    /// Calls `each` with every field that it looks at, of the row, of items and of related rows.
    pub fn fields(&mut self, each: &mut dyn FnMut(&mut FieldRef)) {
        match self {
            Filter::Const(_) => {}
            Filter::And(parts) | Filter::Or(parts) => parts.iter_mut().for_each(|part| part.fields(each)),
            Filter::Not(inner) => inner.fields(each),
            Filter::Compare(left, _, right) => {
                for operand in [left, right] {
                    if let Operand::Field(field) = operand {
                        each(field);
                    }
                }
            }
            Filter::In(field, _)
            | Filter::IsNull(field)
            | Filter::Like(field, _)
            | Filter::StartsWith(field, _)
            | Filter::Search(field, _)
            | Filter::Contains(field, _)
            | Filter::HasKey(field, _)
            | Filter::Length(field, ..)
            | Filter::Place(field, _)
            | Filter::At(field, ..) => each(field),
            Filter::SomeItem(list, _, when) => {
                each(list);
                when.fields(each);
            }
            Filter::Related(link, _, when) => {
                each(&mut link.from);
                when.fields(each);
            }
        }
    }

    /// The plain opposite, without needless nesting.
    pub fn opposite(self) -> Self {
        match self {
            Filter::Const(holds) => Filter::Const(!holds),
            Filter::Not(inner) => *inner,
            other => Filter::Not(Box::new(other)),
        }
    }

    /// All of them, without needless nesting.
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Self {
        let mut all = Vec::new();
        for filter in filters {
            match filter {
                Filter::Const(true) => {}
                Filter::Const(false) => return Filter::Const(false),
                Filter::And(inner) => all.extend(inner),
                other => all.push(other),
            }
        }
        match all.len() {
            0 => Filter::Const(true),
            1 => all.pop().unwrap_or(Filter::Const(true)),
            _ => Filter::And(all),
        }
    }

    /// At least one of them, without needless nesting.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Self {
        let mut any = Vec::new();
        for filter in filters {
            match filter {
                Filter::Const(false) => {}
                Filter::Const(true) => return Filter::Const(true),
                Filter::Or(inner) => any.extend(inner),
                other => any.push(other),
            }
        }
        match any.len() {
            0 => Filter::Const(false),
            1 => any.pop().unwrap_or(Filter::Const(false)),
            _ => Filter::Or(any),
        }
    }
}

fn textual(field: &FieldRef, text: &str) -> Result<()> {
    if field.list || field.scalar != Scalar::String {
        return Err(Error::bad_request(format!(
            "`{}` is not a String; use `eq`, `lt` or `gt`",
            field.name()
        )));
    }
    no_nul(text)
}

fn no_nul(text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::bad_request("a text to compare with must not contain NUL"));
    }
    Ok(())
}

/// Refuses a pattern whose last character takes one that is not there as it is.
fn ends_alone(pattern: &str) -> Result<()> {
    if pattern.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1 {
        return Err(Error::bad_request("a `like` pattern must not end in a single `\\`; write `\\\\`"));
    }
    Ok(())
}

/// A whole-number field compared with a number that is not a 64-bit whole one.
fn whole(field: FieldRef, comparison: Comparison, text: &str) -> Result<Filter> {
    let number: f64 = text.parse().unwrap_or(f64::NAN);
    if number.is_nan() {
        return Err(mistyped(&field, "a number"));
    }
    if comparison == Comparison::Eq {
        if number.fract() == 0.0
            && let Some(exact) = exact(number)
        {
            return Ok(compared(field, comparison, exact));
        }
        return Ok(Filter::Const(false));
    }
    let below = matches!(comparison, Comparison::Lt | Comparison::Lte);
    // Beyond 64 bits all values, or none, are on the asked side.
    let Some(floor) = exact(number.floor()) else {
        let all = (number > 0.0) == below;
        return Ok(if all { Filter::IsNull(field).opposite() } else { Filter::Const(false) });
    };
    let comparison = match (number.fract() == 0.0, below) {
        (true, _) => comparison,
        (false, true) => Comparison::Lte,
        (false, false) => Comparison::Gt,
    };
    Ok(compared(field, comparison, floor))
}

fn compared(field: FieldRef, comparison: Comparison, number: i64) -> Filter {
    Filter::Compare(Operand::Field(field), comparison, Operand::Literal(Literal::Int(number)))
}

/// A whole float as an integer.
fn exact(number: f64) -> Option<i64> {
    // -2^63 and 2^63 are exact floats; what is between them fits.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    #[allow(clippy::cast_possible_truncation, reason = "the range has been checked")]
    fits.then_some(number as i64)
}

fn mistyped(field: &FieldRef, wanted: &str) -> Error {
    Error::bad_request(format!("`{}` is compared with {wanted}", field.name()))
}

/// A constant in the form of the field's type.
fn literal(field: &FieldRef, constant: &Json) -> Result<Literal> {
    let wrong = |wanted: &str| mistyped(field, wanted);
    Ok(match (field.scalar, constant) {
        (_, Json::Null) => {
            return Err(Error::bad_request(format!(
                "`{}` cannot be compared with null; use `isNull`",
                field.name()
            )));
        }
        (Scalar::Boolean, Json::Bool(value)) => Literal::Bool(*value),
        (Scalar::Boolean, _) => return Err(wrong("a Boolean")),
        (Scalar::Int | Scalar::BigInt, Json::Number(text)) => {
            let text = text.as_ref();
            let whole = text
                .parse()
                .ok()
                .or_else(|| text.parse::<f64>().ok().filter(|number| number.fract() == 0.0).and_then(exact));
            Literal::Int(whole.ok_or_else(|| wrong("a whole number of up to 64 bits"))?)
        }
        (Scalar::Int | Scalar::BigInt, Json::String(text)) => {
            Literal::Int(text.parse().map_err(|_| wrong("a whole number of up to 64 bits"))?)
        }
        (Scalar::Float, Json::Number(text)) => {
            let number: f64 = text.parse().map_err(|_| wrong("a number"))?;
            if !number.is_finite() {
                return Err(wrong("a finite number"));
            }
            Literal::Float(number)
        }
        (Scalar::Int | Scalar::BigInt | Scalar::Float, _) => return Err(wrong("a number")),
        (Scalar::String, Json::String(text)) => {
            no_nul(text)?;
            Literal::Text(text.clone())
        }
        (Scalar::DateTime, Json::String(text)) => Literal::Text(
            date_time(text).ok_or_else(|| wrong("an RFC 3339 time such as `2026-11-22T21:21:19Z`"))?,
        ),
        (Scalar::Date, Json::String(text)) => {
            let date: jiff::civil::Date = text.parse().map_err(|_| wrong("a date such as `2026-11-22`"))?;
            Literal::Text(date.to_string())
        }
        (Scalar::Uuid, Json::String(text)) => {
            Literal::Text(uuid::Uuid::parse_str(text).map_err(|_| wrong("a UUID"))?.hyphenated().to_string())
        }
        (Scalar::String | Scalar::DateTime | Scalar::Date | Scalar::Uuid, _) => return Err(wrong("a text")),
        (Scalar::Json, _) => return Err(wrong("nothing: JSON has no comparison")),
    })
}

/// An instant in stored form: UTC, six digits of a second, so that text order is time order.
fn date_time(text: &str) -> Option<String> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    let micros = instant.as_microsecond();
    // Floor, as the stored form truncates.
    let floored = if instant.subsec_nanosecond() % 1_000 < 0 { micros - 1 } else { micros };
    crate::query::write::instant(floored)
}

#[cfg(test)]
mod tests;
