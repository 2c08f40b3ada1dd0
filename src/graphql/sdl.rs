//! Prints a schema model as SDL. The management part comes out as `schema.graphql` stands, which a test
//! compares.

use std::fmt::Write;

use super::collection::{self, Shown};
use super::model::{Field, Input, Kind, Model, Type};
use crate::error::Result;
use crate::query::Collection;
use crate::record::Json;

/// What one collection brings to the schema of somebody who sees all of it: its types, and its root fields as
/// extensions of the types that they stand in.
///
/// # Errors
/// None but `INTERNAL`.
pub fn sdl(collection: &Collection) -> Result<String> {
    let management = Model::management()?;
    let mut model = management.clone();
    collection::add(&mut model, collection, &|_| Shown::Visible);
    let mut out = String::new();
    for ty in model.types() {
        let extends = management.get(&ty.name).is_some();
        let mut ty = ty.clone();
        if extends {
            let Kind::Object(fields) = &mut ty.kind else { continue };
            fields.retain(|field| management.field(&ty.name, &field.name).is_none());
            if fields.is_empty() {
                continue;
            }
            ty.description = None;
        }
        separate(&mut out);
        out.push_str(if extends { "extend " } else { "" });
        print_type(&ty, &mut out);
    }
    Ok(out)
}

/// The whole schema as text.
pub(super) fn print(model: &Model) -> String {
    let mut out = String::new();
    for ty in model.types() {
        separate(&mut out);
        print_type(ty, &mut out);
    }
    out
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

fn print_type(ty: &Type, out: &mut String) {
    describe(ty.description.as_deref(), "", out);
    let name = &ty.name;
    match &ty.kind {
        Kind::Scalar => line(out, format_args!("scalar {name}")),
        Kind::Enum(values) => {
            line(out, format_args!("enum {name} {{"));
            for value in values {
                describe(value.description.as_deref(), "  ", out);
                line(out, format_args!("  {}{}", value.name, Deprecated(&value.deprecated)));
            }
            line(out, format_args!("}}"));
        }
        Kind::Object(fields) => {
            line(out, format_args!("type {name} {{"));
            fields.iter().for_each(|field| print_field(field, out));
            line(out, format_args!("}}"));
        }
        Kind::Union(types) => line(out, format_args!("union {name} = {}", types.join(" | "))),
        Kind::Input(fields) => {
            line(out, format_args!("input {name} {{"));
            for field in fields {
                describe(field.description.as_deref(), "  ", out);
                line(out, format_args!("  {}{}", Declared(field), Deprecated(&field.deprecated)));
            }
            line(out, format_args!("}}"));
        }
    }
}

fn print_field(field: &Field, out: &mut String) {
    describe(field.description.as_deref(), "  ", out);
    let (name, ty, deprecated) = (&field.name, &field.ty, Deprecated(&field.deprecated));
    if field.arguments.is_empty() {
        return line(out, format_args!("  {name}: {ty}{deprecated}"));
    }
    if field.arguments.iter().all(|argument| argument.description.is_none()) {
        let arguments: Vec<String> =
            field.arguments.iter().map(|argument| Declared(argument).to_string()).collect();
        return line(out, format_args!("  {name}({}): {ty}{deprecated}", arguments.join(", ")));
    }
    line(out, format_args!("  {name}("));
    let last = field.arguments.len().saturating_sub(1);
    for (index, argument) in field.arguments.iter().enumerate() {
        describe(argument.description.as_deref(), "    ", out);
        let comma = if index == last { "" } else { "," };
        line(out, format_args!("    {}{comma}", Declared(argument)));
    }
    line(out, format_args!("  ): {ty}{deprecated}"));
}

/// `name: Type = default`.
struct Declared<'a>(&'a Input);

impl std::fmt::Display for Declared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.name, self.0.ty)?;
        match &self.0.default {
            Some(default) => write!(f, " = {}", default_text(default)),
            None => Ok(()),
        }
    }
}

/// ` @deprecated(reason: "…")`, or nothing.
struct Deprecated<'a>(&'a Option<String>);

impl std::fmt::Display for Deprecated<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(reason) => write!(f, " @deprecated(reason: \"{}\")", escaped(reason)),
            None => Ok(()),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Defaults in our schemas are constants without structure.
pub(super) fn default_text(value: &Json) -> String {
    match value {
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => text.to_string(),
        Json::String(text) => text.clone(),
        Json::Null | Json::Array(_) | Json::Object(_) => "null".into(),
    }
}

fn describe(description: Option<&str>, indent: &str, out: &mut String) {
    if let Some(text) = description {
        line(out, format_args!("{indent}\"{}\"", escaped(text)));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
