//! Writes a value of the management part by a selection: every field in the selection's order, every scalar
//! in its type's form. Must not know where values come from.

use super::model::{Kind, Model, TypeRef};
use super::plan::Node;
use crate::error::{Error, Result};
use crate::record::{Json, write_string};

/// Appends `value` of type `ty`, with the fields of `nodes` when it is an object.
///
/// # Errors
/// `INTERNAL` when the value is not of the type.
pub(super) fn project(
    model: &Model,
    ty: &TypeRef,
    value: &Json,
    nodes: &[Node],
    out: &mut Vec<u8>,
) -> Result<()> {
    match (ty, value) {
        (TypeRef::NonNull(_), Json::Null) => Err(misfit(ty, value)),
        (TypeRef::NonNull(inner), value) => project(model, inner, value, nodes, out),
        (_, Json::Null) => {
            out.extend_from_slice(b"null");
            Ok(())
        }
        (TypeRef::List(inner), Json::Array(items)) => {
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

fn object(model: &Model, name: &str, value: &Json, nodes: &[Node], out: &mut Vec<u8>) -> Result<()> {
    if !matches!(value, Json::Object(_)) {
        return Err(misfit(&TypeRef::named(name), value));
    }
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
            let member = value.get(&node.name).unwrap_or(&Json::Null);
            project(model, &node.ty, member, &node.children, out)?;
        }
    }
    out.push(b'}');
    Ok(())
}

fn scalar(name: &str, value: &Json, out: &mut Vec<u8>) -> Option<()> {
    match (name, value) {
        // Exact: numbers as they were written, members in their order, every one of them.
        ("JSON", value) => value.write(out),
        ("Int", Json::Number(number)) => {
            number.parse::<i32>().ok()?;
            out.extend_from_slice(number.as_bytes());
        }
        ("Float", Json::Number(number)) => out.extend_from_slice(number.as_bytes()),
        ("Boolean", value @ Json::Bool(_)) => value.write(out),
        ("BigInt" | "ID", Json::Number(number)) => write_string(number, out),
        ("Int" | "Float" | "Boolean", _) => return None,
        (_, Json::String(text)) => write_string(text, out),
        _ => return None,
    }
    Some(())
}

fn misfit(ty: &TypeRef, value: &Json) -> Error {
    Error::internal(format!("a service gave {value} for the type {ty}"))
}
