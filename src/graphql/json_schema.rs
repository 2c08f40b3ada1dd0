//! Collections as tables in words of JSON Schema (draft 2020-12): what a row may hold, by what rows are chosen and
//! ordered, of the same model that the GraphQL schema of the same actor is of. Must not know paths or media types.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::model::{Field, Input, Kind, Model, TypeRef};
use super::names::Names;
use super::prepare::{Preparer, visibility};
use super::{Engine, table};
use crate::error::{Error, Result};
use crate::publishing::Visible;
use crate::record::Actor;

/// Where a document keeps its schemas, as references name it.
pub const SCHEMAS: &str = "#/components/schemas/";

/// The collections that an actor sees.
pub struct Tables {
    preparer: Arc<Preparer>,
    visible: Vec<Visible>,
    bound: bool,
}

/// A collection as a table.
#[derive(Debug)]
pub struct Described {
    /// By which name it is read.
    pub name: String,
    /// Of what its rows are.
    pub description: String,
    /// The name of the schema of a row.
    pub row: String,
    /// The name of the schema of a filter, when there is something to compare.
    pub filter: Option<String>,
    /// What can be selected: names joined by dots, objects and what is in them.
    pub fields: Vec<String>,
    /// The leaves of a row of which nothing is selected, in order, likewise; a list is one.
    pub columns: Vec<String>,
    /// What rows can be ordered by, likewise.
    pub order: Vec<String>,
    /// What is told of the changes of a row; none when rows cannot be named.
    pub history: Option<Changes>,
    /// Schemas by their names: of the row, of the filter and of what is in them. Those of the envelope and of
    /// comparisons come with every collection, and are the same.
    pub schemas: BTreeMap<String, Value>,
}

/// The changes of a row as a table.
#[derive(Debug)]
pub struct Changes {
    /// The name of the schema of a change.
    pub row: String,
    /// What can be selected of one, as of rows.
    pub fields: Vec<String>,
    /// The leaves of one of which nothing is selected, likewise.
    pub columns: Vec<String>,
    /// Whether a source can be named.
    pub source: bool,
}

impl Engine {
    /// The collections of these names that the actor sees; all, without names. Takes time where scopes are not known.
    ///
    /// # Errors
    /// `NOT_FOUND` for a name that is none of these.
    pub fn tables(&self, actor: &Actor, names: &[String]) -> Result<Tables> {
        let publishing = &self.inner.services.publishing;
        let visible = if names.is_empty() {
            publishing.visible(actor)?
        } else {
            publishing.visible_among(actor, names.iter().map(String::as_str))?
        };
        let known = |name: &&String| visible.iter().any(|(collection, _)| collection.field_name == **name);
        if let Some(unknown) = names.iter().find(|name| !known(name)) {
            let name: String = unknown.chars().take(100).collect();
            return Err(Error::not_found(format!("there is no collection `{name}` for you")));
        }
        Ok(Tables { preparer: self.inner.preparer.clone(), visible, bound: actor.contract.is_some() })
    }
}

impl Tables {
    /// The same for those who see the same, and for nobody else.
    pub fn key(&self) -> Vec<u8> {
        visibility(&self.visible, self.bound)
    }

    /// The collections, each described when it is asked for: there may be thousands.
    pub fn iter(&self) -> impl Iterator<Item = Described> {
        self.visible.iter().map(|visible| {
            let model = self.preparer.unrelated(std::slice::from_ref(visible), self.bound);
            described(&model, Names::of(&visible.0))
        })
    }

    /// The schema of a type of the management part, with these of its fields.
    pub fn managed(&self, name: &str, fields: &[&str]) -> BTreeMap<String, Value> {
        let (mut schemas, model) = (BTreeMap::new(), self.preparer.unrelated(&[], false));
        let chosen = model.fields(name).iter().filter(|field| fields.contains(&&*field.name));
        object(&model, name, chosen, &mut schemas);
        schemas
    }
}

fn described(model: &Model, names: Names<'_>) -> Described {
    let row = names.ty.to_owned();
    let mut schemas = BTreeMap::new();
    collect(model, &row, &mut schemas);
    if let Some(properties) =
        schemas.get_mut(&row).and_then(|row| row.get_mut("properties")).and_then(Value::as_object_mut)
    {
        let text = "The place of the row, for `after`; only when it is named in `fields`.";
        properties.insert("_cursor".into(), json!({"type": "string", "description": text}));
    }
    let filter = names.derived("Filter");
    let filter = model.get(&filter).is_some().then_some(filter);
    filter.iter().for_each(|filter| collect(model, filter, &mut schemas));
    let (mut fields, mut order) = (vec!["_cursor".to_owned()], Vec::new());
    selectable(model, &row, "", &mut fields);
    ordered(model, &names.derived("Order"), "", &mut order);
    let description = model.get(&row).and_then(|ty| ty.description.clone()).unwrap_or_default();
    let columns = table::columns(model, &row);
    let history = changes(model, names, &mut schemas);
    let name = names.field.to_owned();
    Described { name, description, row, filter, fields, columns, order, history, schemas }
}

fn changes(model: &Model, names: Names<'_>, schemas: &mut BTreeMap<String, Value>) -> Option<Changes> {
    let source = table::history_takes_source(model, names, None).ok()?;
    let row = names.derived("HistoryEntry");
    collect(model, &row, schemas);
    let mut fields = Vec::new();
    selectable(model, &row, "", &mut fields);
    Some(Changes { columns: table::history_columns(model, names), row, fields, source })
}

/// What can be named below a type.
fn selectable(model: &Model, ty: &str, above: &str, out: &mut Vec<String>) {
    for field in model.fields(ty).iter().filter(|field| table::is_selectable(model, field)) {
        let name = format!("{above}{}", field.name);
        let below = format!("{name}.");
        out.push(name);
        selectable(model, field.ty.name(), &below, out);
    }
}

/// What can be ordered by below an input type.
fn ordered(model: &Model, ty: &str, above: &str, out: &mut Vec<String>) {
    let Some(Kind::Input(inputs)) = model.get(ty).map(|ty| &ty.kind) else { return };
    for input in inputs {
        let name = format!("{above}{}", input.name);
        match model.get(input.ty.name()).map(|ty| &ty.kind) {
            Some(Kind::Input(_)) => ordered(model, input.ty.name(), &format!("{name}."), out),
            _ => out.push(name),
        }
    }
}

/// Adds the schema of a type with those of what is in it; a scalar stands where it is used.
fn collect(model: &Model, name: &str, out: &mut BTreeMap<String, Value>) {
    if out.contains_key(name) {
        return;
    }
    let Some(ty) = model.get(name) else { return };
    match &ty.kind {
        Kind::Scalar | Kind::Union(_) => {}
        Kind::Enum(values) => {
            let names: Vec<&str> = values.iter().map(|value| &*value.name).collect();
            out.insert(
                name.to_owned(),
                described_as(json!({"type": "string", "enum": names}), &ty.description),
            );
        }
        Kind::Object(fields) => {
            let fields = fields.iter().filter(|field| table::is_selectable(model, field));
            object(model, name, fields, out);
        }
        Kind::Input(inputs) => input(model, name, inputs, out),
    }
}

/// A member of an object: its name and type, what is said of it, and whether it is on its way out.
type Member<'a> = (&'a str, &'a TypeRef, &'a Option<String>, bool);

/// Adds the schema of an object of these fields. Which of them there are is what a request selects.
fn object<'a>(
    model: &'a Model,
    name: &str,
    fields: impl Iterator<Item = &'a Field>,
    out: &mut BTreeMap<String, Value>,
) {
    let of = |field: &'a Field| -> Member<'a> {
        (&field.name, &field.ty, &field.description, field.deprecated.is_some())
    };
    members(model, (name, written), fields.map(of), out);
}

fn input<'a>(model: &'a Model, name: &str, inputs: &'a [Input], out: &mut BTreeMap<String, Value>) {
    let of = |input: &'a Input| -> Member<'a> {
        (&input.name, &input.ty, &input.description, input.deprecated.is_some())
    };
    members(model, (name, given), inputs.iter().map(of), out);
}

/// Adds the schema of an object of these members, each in the form that values of its type have.
fn members<'a>(
    model: &'a Model,
    (name, form): (&str, fn(&Model, &TypeRef) -> Value),
    all: impl Iterator<Item = Member<'a>>,
    out: &mut BTreeMap<String, Value>,
) {
    // Before its members: they may be of this type.
    out.insert(name.to_owned(), Value::Null);
    let mut properties = Map::new();
    for (member, ty, description, deprecated) in all {
        collect(model, ty.name(), out);
        let mut schema = described_as(form(model, ty), description);
        if let (true, Some(told)) = (deprecated, schema.as_object_mut()) {
            told.insert("deprecated".into(), true.into());
        }
        properties.insert(member.to_owned(), schema);
    }
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    let description = model.get(name).and_then(|ty| ty.description.clone());
    out.insert(name.to_owned(), described_as(schema, &description));
}

fn described_as(mut schema: Value, description: &Option<String>) -> Value {
    if let (Some(text), Some(members)) = (description, schema.as_object_mut()) {
        members.insert("description".into(), text.as_str().into());
    }
    schema
}

/// What is written for a type, as JSON; `xml` says how lists are as XML.
fn written(model: &Model, ty: &TypeRef) -> Value {
    match ty {
        TypeRef::NonNull(inner) => match &**inner {
            TypeRef::Named(name) => named(model, name, output),
            other => list(model, other, "array".into()),
        },
        TypeRef::Named(name) => or_null(named(model, name, output)),
        list_of => list(model, list_of, json!(["array", "null"])),
    }
}

fn list(model: &Model, ty: &TypeRef, kind: Value) -> Value {
    let TypeRef::List(item) = ty else { return json!({}) };
    let mut items = written(model, item);
    if let Some(members) = items.as_object_mut() {
        // A list in a list is an element of this name, too.
        let xml = members.entry("xml").or_insert_with(|| json!({}));
        xml.as_object_mut().map(|xml| xml.insert("name".into(), "item".into()));
    }
    json!({"type": kind, "items": items, "xml": {"wrapped": true}})
}

/// What is understood for a type, as JSON: one item stands for a list of it.
fn given(model: &Model, ty: &TypeRef) -> Value {
    match ty {
        TypeRef::NonNull(inner) => match &**inner {
            TypeRef::Named(name) => named(model, name, understood),
            other => given(model, other),
        },
        TypeRef::Named(name) => or_null(named(model, name, understood)),
        TypeRef::List(item) => {
            let item = given(model, item);
            json!({"anyOf": [{"type": ["array", "null"], "items": item}, item]})
        }
    }
}

fn named(model: &Model, name: &str, scalar: fn(&str) -> Value) -> Value {
    match model.get(name).map(|ty| &ty.kind) {
        Some(Kind::Scalar) | None => scalar(name),
        Some(_) => json!({"$ref": format!("{SCHEMAS}{name}")}),
    }
}

fn or_null(mut schema: Value) -> Value {
    let Some(members) = schema.as_object_mut() else { return schema };
    if members.contains_key("$ref") {
        return json!({"anyOf": [schema, {"type": "null"}]});
    }
    match members.get_mut("type") {
        // Anything may be null.
        None => {}
        Some(Value::Array(types)) => types.push("null".into()),
        Some(ty) => *ty = json!([ty.take(), "null"]),
    }
    schema
}

/// The whole numbers of a `BigInt`, which is a string on the wire.
const WHOLE: &str = "^-?[0-9]+$";

fn output(scalar: &str) -> Value {
    match scalar {
        "Boolean" => json!({"type": "boolean"}),
        "Int" => json!({"type": "integer", "format": "int32"}),
        "Float" => json!({"type": "number", "format": "double"}),
        "BigInt" => json!({"type": "string", "format": "int64", "pattern": WHOLE}),
        "DateTime" => json!({"type": "string", "format": "date-time"}),
        "Date" => json!({"type": "string", "format": "date"}),
        "UUID" => json!({"type": "string", "format": "uuid"}),
        "JSON" => json!({}),
        _ => json!({"type": "string"}),
    }
}

fn understood(scalar: &str) -> Value {
    match scalar {
        "Int" => json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
        "BigInt" => json!({"type": ["string", "integer"], "pattern": WHOLE}),
        "ID" => json!({"type": ["string", "integer"]}),
        other => output(other),
    }
}
