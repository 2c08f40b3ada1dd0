//! What a variable can be bound to while a policy is solved: ground values of the actor, and the parts of a row that
//! is not known yet. Also every comparison of a part of the row, as a filter. Pure.
//!
//! Missing and null are equal to nothing but the literal `nil`, so that a claim that is not there can never meet a
//! field that is null.

use std::{cmp::Ordering, collections::BTreeMap, rc::Rc, sync::Arc};

use crate::query::{ColumnRef, Comparison, FieldRef, Filter, Literal, Operand};
use crate::record::{Json, Source};
use crate::shape::{Field, Kind, Scalar};

/// The members of an actor or of a claim that is an object.
pub(super) type Claims = serde_json::Map<String, serde_json::Value>;

/// A field of the shape, as `allow_field` and `mask_field` see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FieldFacts {
    /// Every name that it has or ever had, with those of what it stands in: a rule may be older than a renaming.
    pub(super) names: Vec<String>,
    pub(super) path: String,
    pub(super) tags: Vec<String>,
    pub(super) parents: Vec<String>,
    /// Somebody or something has said that it is what it seems.
    pub(super) classified: bool,
    /// It has a published type, or is a known member of the envelope; else it can hold anything.
    pub(super) published: bool,
}

/// A part of the row that has a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) field: FieldRef,
    /// A list of what is no scalar.
    pub(super) opaque: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Var(usize),
    Nil,
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
    /// What a field is or was called: equal to each of these.
    Names(&'a [String]),
    List(Rc<[Value<'a>]>),
    Dict(Rc<[(&'a str, Value<'a>)]>),
    Claims(&'a Claims),
    User,
    /// `None`: the system as a whole.
    Source(Option<&'a Source>),
    Field(&'a FieldFacts),
    Row,
    /// `_record` of the row.
    Envelope,
    /// A nested object of the row: its presence column and its fields.
    Object(Rc<Column>, &'a [Field]),
    Column(Rc<Column>),
}

/// What a comparison comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Known(bool),
    When(Filter),
    /// The types do not fit; says how. Never true, not even under `not`.
    Clash(String),
}

impl<'a> Value<'a> {
    pub(super) fn of_json(value: &'a serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Value::Missing,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Value::Int(n),
                (None, Some(n)) if n.is_finite() => Value::Float(n),
                _ => Value::Missing,
            },
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Value::of_json).collect()),
            serde_json::Value::Object(members) => Value::Claims(members),
        }
    }

    /// For messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Var(_) => "something without a value",
            Value::Nil | Value::Missing => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) | Value::Names(_) => "a text",
            Value::List(_) => "a list",
            Value::Dict(_) | Value::Claims(_) => "an object",
            Value::User => "the user",
            Value::Source(_) => "a source",
            Value::Field(_) => "a field's description",
            Value::Row => "the row",
            Value::Envelope | Value::Object(..) => "an object of the row",
            Value::Column(_) => "a field of the row",
        }
    }

    /// The members of an object of the policy or of the claims, by name.
    pub(super) fn members(&self) -> Option<BTreeMap<&'a str, Value<'a>>> {
        match self {
            Value::Dict(members) => Some(members.iter().cloned().collect()),
            Value::Claims(members) => {
                Some(members.iter().map(|(name, value)| (name.as_str(), Value::of_json(value))).collect())
            }
            _ => None,
        }
    }

    pub(super) fn as_number(&self) -> Option<Number> {
        match self {
            Value::Int(n) => Some(Number::Int(*n)),
            Value::Float(n) => Some(Number::Float(*n)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    /// Exact, also where an integer has no float.
    pub(super) fn compare(self, other: Number) -> Ordering {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a.cmp(&b),
            (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Number::Int(a), Number::Float(b)) => int_with_float(a, b),
            (Number::Float(a), Number::Int(b)) => int_with_float(b, a).reverse(),
        }
    }
}

fn int_with_float(int: i64, float: f64) -> Ordering {
    if float >= 9_223_372_036_854_775_808.0 {
        return Ordering::Less;
    }
    if float < -9_223_372_036_854_775_808.0 {
        return Ordering::Greater;
    }
    let whole = float.floor();
    // In range by the two tests above.
    int.cmp(&(whole as i64)).then(if float > whole { Ordering::Less } else { Ordering::Equal })
}

/// The column that a published field has, for a path that ends at it.
pub(super) fn column(field: &Field, parent: &[String]) -> Column {
    let path = parent.iter().map(String::as_str).chain([field.stored()]);
    let path: Arc<[String]> = path.map(str::to_owned).collect();
    let (column, scalar, list, opaque) = match &field.kind {
        Kind::Scalar(scalar) => (ColumnRef::Field(field.id), *scalar, false, false),
        Kind::Object(_) => (ColumnRef::Presence(field.id), Scalar::Boolean, false, false),
        Kind::Packed(_) | Kind::Map(_) => (ColumnRef::Field(field.id), Scalar::Json, false, true),
        Kind::List(items) => match items.as_ref() {
            Kind::Scalar(scalar) => (ColumnRef::Field(field.id), *scalar, true, *scalar == Scalar::Json),
            _ => (ColumnRef::Field(field.id), Scalar::Json, true, true),
        },
    };
    Column { field: FieldRef { column, scalar, list, path }, opaque }
}

/// A field of the row compared with a ground value.
pub(super) fn column_value(column: &Column, op: Comparison, value: &Value<'_>) -> Verdict {
    let field = &column.field;
    if matches!(value, Value::Missing) {
        return Verdict::Known(false);
    }
    if field.list || column.opaque {
        return Verdict::Clash(format!("`{}` is a list; use `x in row.{}`", field.name(), field.name()));
    }
    let (op, value) = match (field.scalar, value) {
        (Scalar::Float, Value::Int(n)) => match float_bound(op, *n) {
            Some((op, bound)) => (op, &Value::Float(bound)),
            None => return Verdict::Known(false),
        },
        _ => (op, value),
    };
    let constant = match (field.scalar, value) {
        (Scalar::Boolean, Value::Bool(value)) => Json::Bool(*value),
        (Scalar::Int | Scalar::BigInt | Scalar::Float, Value::Int(n)) => Json::Number(n.to_string().into()),
        (Scalar::Int | Scalar::BigInt | Scalar::Float, Value::Float(n)) => {
            Json::Number(format!("{n:?}").into())
        }
        (Scalar::String | Scalar::Date | Scalar::Uuid, Value::Text(text)) => Json::String((*text).to_owned()),
        (Scalar::DateTime, Value::Text(text)) => Json::String(instant(text)),
        _ => {
            let reason =
                format!("`{}` is {:?}, the other side is {}", field.name(), field.scalar, value.kind());
            return Verdict::Clash(reason);
        }
    };
    match Filter::compare(field.clone(), op, &constant) {
        Ok(Filter::Const(value)) => Verdict::Known(value),
        Ok(filter) => Verdict::When(filter),
        Err(e) => Verdict::Clash(e.message().to_owned()),
    }
}

/// A float compared with an integer, as a comparison with a float: not every integer is one. `None`: never.
fn float_bound(op: Comparison, n: i64) -> Option<(Comparison, f64)> {
    #[allow(clippy::cast_precision_loss, reason = "what is lost is looked at")]
    let bound = n as f64;
    let op = match (int_with_float(n, bound), op) {
        (Ordering::Equal, op) => op,
        (_, Comparison::Eq) => return None,
        (Ordering::Less, Comparison::Lt | Comparison::Lte) => Comparison::Lt,
        (Ordering::Less, Comparison::Gt | Comparison::Gte) => Comparison::Gte,
        (Ordering::Greater, Comparison::Lt | Comparison::Lte) => Comparison::Lte,
        (Ordering::Greater, Comparison::Gt | Comparison::Gte) => Comparison::Gt,
    };
    Some((op, bound))
}

/// A time in UTC when no zone is given; a date alone is its midnight.
fn instant(text: &str) -> String {
    match text.parse::<jiff::civil::DateTime>() {
        Ok(local) if text.parse::<jiff::Timestamp>().is_err() => format!("{local}Z"),
        _ => text.to_owned(),
    }
}

/// Two fields of the row.
pub(super) fn column_column(a: &Column, op: Comparison, b: &Column) -> Verdict {
    let text = |column: &Column| match column.field.scalar {
        Scalar::Int | Scalar::BigInt => Some(Scalar::Int),
        Scalar::Json => None,
        other => Some(other),
    };
    let fits = text(a).is_some()
        && text(a) == text(b)
        && !a.field.list
        && !b.field.list
        && (a.field.scalar != Scalar::Boolean || op == Comparison::Eq);
    if !fits {
        let (left, right) = (a.field.name(), b.field.name());
        return Verdict::Clash(format!("`{left}` and `{right}` have types that are not compared"));
    }
    match Filter::fields(a.field.clone(), op, b.field.clone()) {
        Ok(filter) => Verdict::When(filter),
        Err(e) => Verdict::Clash(e.message().to_owned()),
    }
}

/// A ground value in a list of the row.
pub(super) fn list_has(list: &Column, item: &Value<'_>) -> Verdict {
    let field = &list.field;
    if matches!(item, Value::Missing | Value::Nil) {
        return Verdict::Known(false);
    }
    if !field.list || list.opaque {
        return Verdict::Clash(format!("`{}` is not a list of plain values", field.name()));
    }
    match literal(field, item) {
        Ok(Some(literal)) => Verdict::When(Filter::Contains(field.clone(), literal)),
        Ok(None) => Verdict::Known(false),
        Err(reason) => Verdict::Clash(reason),
    }
}

/// A field's value in a list of ground values: one `In`. The flag says that some items had another type.
pub(super) fn column_in(column: &Column, items: &[Value<'_>]) -> (Filter, Option<String>) {
    let mut seen = std::collections::HashSet::new();
    let mut literals = Vec::new();
    let mut clash =
        (column.field.list || column.opaque).then(|| format!("`{}` is a list", column.field.name()));
    for item in items.iter().filter(|item| !matches!(item, Value::Missing)) {
        match literal(&column.field, item) {
            Ok(Some(literal)) if seen.insert(format!("{literal:?}")) => literals.push(literal),
            Ok(_) => {}
            Err(reason) => clash = Some(reason),
        }
    }
    if literals.is_empty() || column.field.list || column.opaque {
        return (Filter::Const(false), clash);
    }
    (Filter::In(column.field.clone(), literals), clash)
}

/// A ground value as a constant of the field's type; `None` when no value of that type equals it.
fn literal(field: &FieldRef, value: &Value<'_>) -> Result<Option<Literal>, String> {
    let item = Column { field: FieldRef { list: false, ..field.clone() }, opaque: false };
    match column_value(&item, Comparison::Eq, value) {
        Verdict::When(Filter::Compare(_, _, Operand::Literal(literal))) => Ok(Some(literal)),
        Verdict::Clash(reason) => Err(reason),
        _ => Ok(None),
    }
}
