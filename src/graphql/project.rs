//! Writes a value of the management part by a selection: every field in the selection's order, every scalar
//! in its type's form. Must not know where values come from.

use serde_json::Value;

use super::model::{Kind, Model, TypeRef};
use super::plan::Node;
use crate::error::{Error, Result};
use crate::record::write_string;

/// Appends `value` of type `ty`, with the fields of `nodes` when it is an object.
///
/// # Errors
/// `INTERNAL` when the value is not of the type.
pub(super) fn project(
    model: &Model,
    ty: &TypeRef,
    value: &Value,
    nodes: &[Node],
    out: &mut Vec<u8>,
) -> Result<()> {
    match (ty, value) {
        (TypeRef::NonNull(_), Value::Null) => Err(misfit(ty, value)),
        (TypeRef::NonNull(inner), value) => project(model, inner, value, nodes, out),
        (_, Value::Null) => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        (TypeRef::List(inner), Value::Array(items)) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                project(model, inner, item, nodes, out)?;
            }
            out.push(b']');
            Ok(())
        }
        (TypeRef::List(_), _) => Err(misfit(ty, value)),
        (TypeRef::Named(name), value) => match model.get(name).map(|ty| &ty.kind) {
            Some(Kind::Object(_)) => object(model, name, value, nodes, out),
            _ => scalar(name, value, out).ok_or_else(|| misfit(ty, value)),
        },
    }
}

fn object(model: &Model, name: &str, value: &Value, nodes: &[Node], out: &mut Vec<u8>) -> Result<()> {
    let members = value.as_object().ok_or_else(|| misfit(&TypeRef::named(name), value))?;
    out.push(b'{');
    for (index, node) in nodes.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(&node.key, out);
        out.push(b':');
        if &*node.name == "__typename" {
            write_string(name, out);
        } else {
            let member = members.get(&*node.name).unwrap_or(&Value::Null);
            project(model, &node.ty, member, &node.children, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn scalar(name: &str, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match (name, value) {
        ("JSON", value) => out.extend_from_slice(value.to_string().as_bytes()),
        ("Int", Value::Number(number)) => {
            let number = number.as_i64().and_then(|number| i32::try_from(number).ok())?;
            out.extend_from_slice(number.to_string().as_bytes());
        }
        ("Float", Value::Number(number)) => out.extend_from_slice(number.to_string().as_bytes()),
        ("Boolean", Value::Bool(value)) => out.extend_from_slice(value.to_string().as_bytes()),
        ("BigInt" | "ID", Value::Number(number)) => write_string(&number.to_string(), out),
        ("Int" | "Float" | "Boolean", _) => return None,
        (_, Value::String(text)) => write_string(text, out),
        _ => return None,
    }
    Some(())
}

fn misfit(ty: &TypeRef, value: &Value) -> Error {
    Error::internal(format!("a service gave {value} for the type {ty}"))
}
