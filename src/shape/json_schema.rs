//! A published shape as JSON Schema (draft 2020-12) of the documents that sources send. Every document is valid, but
//! for what stands in `rescued`: nothing is required, all may be null, what is not published may be anything.

use serde_json::{Map, Value, json};

use super::{Enumeration, Field, Kind, Published, Scalar};

/// The dialect.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

impl Published {
    /// The schema of the documents, of the fields that are `shown`; values of enums of those that are shown plainly.
    /// Titles are the published names.
    pub fn json_schema(&self, title: &str, shown: &dyn Fn(&Field) -> Seen) -> Value {
        let mut schema = object(&self.fields, shown);
        schema.insert("$schema".into(), DRAFT.into());
        schema.insert("$comment".into(), format!("version {} of the published shape", self.version).into());
        schema.insert("title".into(), title.into());
        // What is sent as something else is kept as the member `value` of an object.
        schema.insert("type".into(), "object".into());
        Value::Object(schema)
    }
}

/// How a field is seen by whom the schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not at all.
    Not,
    /// Masked, or in some rows only.
    Partly,
    /// As it is.
    Plainly,
}

fn object(fields: &[Field], shown: &dyn Fn(&Field) -> Seen) -> Map<String, Value> {
    let fields = fields.iter().map(|field| (field, shown(field))).filter(|(_, seen)| *seen != Seen::Not);
    let properties = fields.map(|(field, seen)| {
        let values = field.enumeration().filter(|_| seen == Seen::Plainly);
        let mut schema = kind(&field.kind, values, shown);
        schema.insert("title".into(), field.name.as_str().into());
        if !field.tags.is_empty() {
            schema.insert("x-tags".into(), json!(field.tags));
        }
        if field.decided.deprecated.is_some() {
            schema.insert("deprecated".into(), true.into());
        }
        (field.key.clone(), Value::Object(schema))
    });
    keywords([("type", json!(["object", "null"])), ("properties", properties.collect())])
}

fn kind(of: &Kind, values: Option<&Enumeration>, shown: &dyn Fn(&Field) -> Seen) -> Map<String, Value> {
    match (of, values) {
        (Kind::Scalar(_), Some(values)) => keywords([("enum", enumerated(values))]),
        (Kind::Scalar(of), None) => scalar(*of),
        (Kind::Object(fields) | Kind::Packed(fields), _) => object(fields, shown),
        (Kind::List(item), values) => {
            let items = Value::Object(kind(item, values, shown));
            keywords([("type", json!(["array", "null"])), ("items", items)])
        }
        (Kind::Map(value), values) => {
            let values = Value::Object(kind(value, values, shown));
            keywords([("type", json!(["object", "null"])), ("additionalProperties", values)])
        }
    }
}

/// The texts that are accepted, the numbers and booleans that become them, and null.
fn enumerated(values: &Enumeration) -> Value {
    let texts = || values.values().map(|named| named.value.as_str());
    let scalars = texts().filter_map(|text| serde_json::from_str::<Value>(text).ok());
    let scalars = scalars.filter(|value| value.is_number() || value.is_boolean());
    texts().map(Value::from).chain(scalars).chain([Value::Null]).collect()
}

/// What becomes a value of this type as it is.
fn scalar(of: Scalar) -> Map<String, Value> {
    let text = |format: &str| keywords([("type", json!(["string", "null"])), ("format", format.into())]);
    match of {
        Scalar::Boolean => keywords([("type", json!(["boolean", "null"]))]),
        Scalar::Int => integer(i32::MIN.into(), i32::MAX.into()),
        Scalar::BigInt => integer(i64::MIN, i64::MAX),
        Scalar::Float => keywords([("type", json!(["number", "null"]))]),
        Scalar::String => keywords([("type", json!(["string", "number", "boolean", "null"]))]),
        Scalar::DateTime => text("date-time"),
        Scalar::Date => text("date"),
        Scalar::Uuid => text("uuid"),
        Scalar::Json => Map::new(),
    }
}

fn integer(minimum: i64, maximum: i64) -> Map<String, Value> {
    keywords([("type", json!(["integer", "null"])), ("minimum", minimum.into()), ("maximum", maximum.into())])
}

fn keywords<const N: usize>(of: [(&str, Value); N]) -> Map<String, Value> {
    of.into_iter().map(|(keyword, value)| (keyword.to_owned(), value)).collect()
}
