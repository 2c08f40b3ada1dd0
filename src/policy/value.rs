//! What a variable can be bound to while a policy is solved: ground values of the actor, and the parts of a row that
//! is not known yet. Also every comparison of a part of the row, as a filter. Pure.
//!
//! Missing and null are equal to nothing but the literal `nil`, so that a claim that is not there can never meet a
//! field that is null.

use std::{cmp::Ordering, collections::BTreeMap, rc::Rc};

use crate::policy::request::Request;
use crate::query::{Collection, ColumnRef, Comparison, FieldRef, Filter, Link, Literal, Operand, envelope};
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

/// A part of the row that has a column, or stands in an item of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column<'a> {
    pub(super) field: FieldRef,
    /// What has no value to compare: JSON, maps, and lists of what is no scalar.
    pub(super) opaque: bool,
    /// Of a list, what its items are.
    pub(super) items: Option<&'a Kind>,
}

/// Where a path of names begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Row,
    /// An item, by its number.
    Item(u32),
    /// A related row, by its number.
    Related(u32),
}

/// A relation from the row, or from one that is related to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Relation<'a> {
    pub(super) name: &'a str,
    pub(super) link: Link,
    /// Where it leads to.
    pub(super) collection: &'a Collection,
    /// How many relations lead there from the row.
    pub(super) depth: usize,
}

/// A row to which relations lead, by the number of the condition that it is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Related<'a> {
    pub(super) number: u32,
    pub(super) collection: &'a Collection,
    pub(super) depth: usize,
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
    Request(&'a Request),
    Row,
    /// `_record` of the row, or of a related one.
    Envelope(Option<Rc<Related<'a>>>),
    /// Where a relation leads to, before anything is asked of it.
    Relation(Rc<Relation<'a>>),
    /// A related row.
    Related(Rc<Related<'a>>),
    /// A nested object of the row: its presence column and its fields.
    Object(Rc<Column<'a>>, &'a [Field]),
    Column(Rc<Column<'a>>),
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
            Value::Request(_) => "a request",
            Value::Row => "the row",
            Value::Envelope(_) | Value::Object(..) => "an object of the row",
            Value::Relation(relation) if relation.link.many => "related rows",
            Value::Relation(_) | Value::Related(_) => "a related row",
            Value::Column(_) => "a field of the row",
        }
    }

    /// Whether it has members and is no value itself.
    pub(super) fn is_described(&self) -> bool {
        matches!(
            self,
            Value::User
                | Value::Row
                | Value::Field(_)
                | Value::Source(_)
                | Value::Request(_)
                | Value::Relation(_)
                | Value::Related(_)
        )
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

/// The kind of the items of a list of the envelope.
static TEXTS: Kind = Kind::Scalar(Scalar::String);

impl<'a> Column<'a> {
    /// A published field below `above`: the names from where its path begins.
    pub(super) fn of(field: &'a Field, above: &[String], root: Root) -> Self {
        let path: Vec<String> =
            above.iter().map(String::as_str).chain([field.stored()]).map(str::to_owned).collect();
        let column = match (&field.kind, root) {
            (kind, Root::Item(number)) => Column::held(kind, ColumnRef::Item(number, field.id), path),
            (Kind::Object(_), _) => {
                let (column, scalar) = (ColumnRef::Presence(field.id), Scalar::Boolean);
                let field = FieldRef { column, scalar, list: false, path: path.into() };
                Column { field, opaque: false, items: None }
            }
            (kind, _) => Column::held(kind, ColumnRef::Field(field.id), path),
        };
        column.below(root)
    }

    /// A member of `_record`.
    pub(super) fn envelope(field: FieldRef, root: Root) -> Self {
        let items = field.list.then_some(&TEXTS);
        Column { field, opaque: false, items }.below(root)
    }

    /// The same, of a related row when the path begins there.
    fn below(self, root: Root) -> Self {
        match root {
            Root::Related(number) => Column { field: self.field.of_related(number), ..self },
            Root::Row | Root::Item(_) => self,
        }
    }

    /// What is of this kind and stands in a column of its own, or in an item.
    fn held(kind: &'a Kind, column: ColumnRef, path: Vec<String>) -> Self {
        let (scalar, items) = match kind {
            Kind::Scalar(scalar) => (*scalar, None),
            Kind::Object(_) | Kind::Packed(_) | Kind::Map(_) => (Scalar::Json, None),
            Kind::List(items) => match items.as_ref() {
                Kind::Scalar(scalar) => (*scalar, Some(items.as_ref())),
                _ => (Scalar::Json, Some(items.as_ref())),
            },
        };
        let opaque = scalar == Scalar::Json && !matches!(kind, Kind::Scalar(_));
        let list = items.is_some();
        Column { field: FieldRef { column, scalar, list, path: path.into() }, opaque, items }
    }

    /// An item of this list under a number of its own; none when this is no list.
    pub(super) fn item(&self, number: u32) -> Option<Value<'a>> {
        let id = match self.field.column.own() {
            ColumnRef::Field(id) | ColumnRef::Item(_, id) => *id,
            _ => envelope("purposes").map_or(0, |member| member.id),
        };
        let kind = self.items?;
        let column = Rc::new(Column::held(kind, ColumnRef::Item(number, id), Vec::new()));
        Some(match kind {
            Kind::Object(fields) => Value::Object(column, fields),
            _ => Value::Column(column),
        })
    }

    /// Where its path begins.
    pub(super) fn root(&self) -> Root {
        match self.field.column {
            ColumnRef::Item(number, _) => Root::Item(number),
            ColumnRef::Of(number, _) => Root::Related(number),
            _ => Root::Row,
        }
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        self.field.name()
    }
}

/// A field of the row compared with a ground value.
pub(super) fn column_value(column: &Column<'_>, op: Comparison, value: &Value<'_>) -> Verdict {
    let field = &column.field;
    if matches!(value, Value::Missing) {
        return Verdict::Known(false);
    }
    if field.list {
        let name = column.name();
        return Verdict::Clash(format!("`{name}` is a list; use `x in row.{name}`"));
    }
    if column.opaque {
        return Verdict::Clash(format!("`{}` is no plain value; compare what is in it", column.name()));
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
                format!("`{}` is {:?}, the other side is {}", column.name(), field.scalar, value.kind());
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
pub(super) fn column_column(a: &Column<'_>, op: Comparison, b: &Column<'_>) -> Verdict {
    let text = |column: &Column<'_>| match column.field.scalar {
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
        let (left, right) = (a.name(), b.name());
        return Verdict::Clash(format!("`{left}` and `{right}` have types that are not compared"));
    }
    match Filter::compare_fields(a.field.clone(), op, b.field.clone()) {
        Ok(filter) => Verdict::When(filter),
        Err(e) => Verdict::Clash(e.message().to_owned()),
    }
}

/// A text of the row that begins so. What is missing begins with nothing, and nothing with what is missing.
pub(super) fn column_begins(column: &Column<'_>, prefix: &Value<'_>) -> Verdict {
    if column.field.scalar != Scalar::String || column.field.list {
        let kind = if column.field.list { "a list".to_owned() } else { format!("{:?}", column.field.scalar) };
        return Verdict::Clash(format!("`{}` is {kind}; only a String has `starts_with`", column.name()));
    }
    match prefix {
        Value::Missing | Value::Nil => Verdict::Known(false),
        Value::Text(prefix) => match Filter::begins(column.field.clone(), prefix) {
            Ok(filter) => Verdict::When(filter),
            Err(e) => Verdict::Clash(e.message().to_owned()),
        },
        other => Verdict::Clash(format!("`{}` cannot begin with {}", column.name(), other.kind())),
    }
}

/// A ground value in a list of the row.
pub(super) fn list_has(list: &Column<'_>, item: &Value<'_>) -> Verdict {
    let field = &list.field;
    if matches!(item, Value::Missing | Value::Nil) {
        return Verdict::Known(false);
    }
    if !field.list || list.opaque {
        return Verdict::Clash(format!("`{}` is not a list of plain values", list.name()));
    }
    match literal(field, item) {
        Ok(Some(literal)) => Verdict::When(Filter::Contains(field.clone(), literal)),
        Ok(None) => Verdict::Known(false),
        Err(reason) => Verdict::Clash(reason),
    }
}

/// A field's value in a list of ground values: one `In`. The flag says that some items had another type.
pub(super) fn column_in(column: &Column<'_>, items: &[Value<'_>]) -> (Filter, Option<String>) {
    let mut seen = std::collections::HashSet::new();
    let mut literals = Vec::new();
    let mut clash = (column.field.list || column.opaque).then(|| format!("`{}` is a list", column.name()));
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
    let item = Column { field: FieldRef { list: false, ..field.clone() }, opaque: false, items: None };
    match column_value(&item, Comparison::Eq, value) {
        Verdict::When(Filter::Compare(_, _, Operand::Literal(literal))) => Ok(Some(literal)),
        Verdict::Clash(reason) => Err(reason),
        _ => Ok(None),
    }
}
