//! Other types for published fields. A column of the new type is built beside the old one, by whatever is written and
//! by going over the rows that are there; when all have it, it takes the field's place. Until then nobody sees it. Must
//! not judge who may retype, nor go over rows.

use serde::{Deserialize, Serialize};

use super::structure::{Kinds, NUMBERS, Node};
use super::{Field, Kind, Published, Scalar, Shape, type_of};
use crate::config;
use crate::record::{Json, Limits, parse};

/// A field that is getting another type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Building {
    /// The field.
    pub field: u32,
    /// The id that it gets.
    pub id: u32,
    /// The field whose column holds its values: itself, or the list or packed object that it stands in.
    pub column: u32,
    /// The id that this one gets.
    pub column_id: u32,
    /// What the field holds then.
    pub kind: Kind,
    /// Kinds of numbers that are known and have not kept the steward from this type.
    known: Option<Kinds>,
}

/// An id that a field had before it was retyped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// That id; the column of this name, if any, is of no use.
    pub id: u32,
    /// The id that it got.
    pub by: u32,
}

impl Published {
    /// Begins to give the field at this path another type, such as `Int`, or `[Int]` for a list.
    ///
    /// # Errors
    /// Why it cannot have the type, for people.
    pub fn retype(&mut self, path: &str, ty: &str, limits: &config::Shape) -> Result<(), String> {
        let Some((column, field)) = holder(&self.fields, path, None) else { return Ok(()) };
        let kind = like(&field.kind, ty)?;
        let (field, column) = (field.id, column.id);
        if self.building.iter().any(|other| other.column == column) {
            return Err(
                "it, or what it stands in, is getting another type now; `rebuild` tells how far that is"
                    .into(),
            );
        }
        if self.field(field).is_some_and(|field| field.kind == kind) {
            return Ok(());
        }
        if self.columns().len() + self.retired.len() >= limits.columns_max {
            return Err(format!("there is no column left: `shape.columns_max` is {}", limits.columns_max));
        }
        let id = self.last_field_id + 1;
        let column_id = if field == column { id } else { id + 1 };
        self.last_field_id = column_id;
        self.building.push(Building { field, id, column, column_id, kind, known: None });
        Ok(())
    }

    /// Notes what is known of fields that begin to get another type: it alone does not widen that later.
    pub fn note_known(&mut self, shape: &Shape) {
        let mut building = std::mem::take(&mut self.building);
        for one in building.iter_mut().filter(|one| one.known.is_none()) {
            one.known = Some(node_of(&self.fields, &shape.root, one.field).map_or(0, numbers));
        }
        self.building = building;
    }

    /// The fields that are built, each with the type that it will have, and the keys that lead to it.
    pub fn built(&self) -> impl Iterator<Item = (Vec<&str>, Field)> {
        self.building.iter().filter_map(|one| {
            let mut keys = Vec::new();
            let field = at_column(&self.fields, one.column, &mut keys)?;
            Some((keys, one.of(field)))
        })
    }

    /// Puts what is built in its place.
    pub fn swap(&mut self) {
        let swapped = std::mem::take(&mut self.building);
        for one in &swapped {
            let Some(field) = in_place(&mut self.fields, one.column) else { continue };
            *field = one.of(field);
            self.retired.push(Retired { id: one.field, by: one.id });
            if one.column != one.field {
                self.retired.push(Retired { id: one.column, by: one.column_id });
            }
            if let Some(name) = self.type_names.remove(&one.column) {
                self.type_names.insert(one.column_id, name);
            }
        }
        self.unions_mut(&mut |_, union| union.follow(&swapped));
    }

    /// The id that the field with this id had before it was retyped.
    pub fn id_before(&self, id: u32) -> Option<u32> {
        self.retired.iter().find(|retired| retired.by == id).map(|retired| retired.id)
    }
}

impl Building {
    /// The column's field as it is to be.
    fn of(&self, column: &Field) -> Field {
        let mut field = column.clone();
        if let Some(target) = with_id(&mut field, self.field) {
            target.id = self.id;
            target.kind = self.kind.clone();
            let decided = &mut target.decided;
            decided.stored = Some(stored(self.id));
            decided.retyped = Some(self.known.unwrap_or(0));
            decided.values = decided.values.accept(&[]);
        }
        if field.id != self.column_id {
            field.id = self.column_id;
            field.decided.stored = Some(stored(self.column_id));
        }
        field
    }
}

/// No name of a field: what was stored before stays apart.
fn stored(id: u32) -> String {
    format!("~{id}")
}

fn with_id(field: &mut Field, id: u32) -> Option<&mut Field> {
    if field.id == id {
        return Some(field);
    }
    field.children_mut()?.iter_mut().find_map(|child| with_id(child, id))
}

/// The field at a path, and the one whose column holds it.
fn holder<'a>(fields: &'a [Field], path: &str, within: Option<&'a Field>) -> Option<(&'a Field, &'a Field)> {
    for field in fields {
        if field.path == path {
            return Some((within.unwrap_or(field), field));
        }
        if path.strip_prefix(&*field.path).is_some_and(|rest| rest.starts_with('/')) {
            let within = match field.kind {
                Kind::Object(_) => within,
                _ => within.or(Some(field)),
            };
            return holder(field.children(), path, within);
        }
    }
    None
}

/// The field with this id that has a column, and the keys of the objects that it stands in, with its own.
fn at_column<'a>(fields: &'a [Field], id: u32, keys: &mut Vec<&'a str>) -> Option<&'a Field> {
    for field in fields {
        keys.push(&field.key);
        if field.id == id {
            return Some(field);
        }
        if let Kind::Object(children) = &field.kind
            && let Some(found) = at_column(children, id, keys)
        {
            return Some(found);
        }
        keys.pop();
    }
    None
}

fn in_place(fields: &mut [Field], id: u32) -> Option<&mut Field> {
    for field in fields {
        if field.id == id {
            return Some(field);
        }
        if let Kind::Object(children) = &mut field.kind
            && let Some(found) = in_place(children, id)
        {
            return Some(found);
        }
    }
    None
}

/// The kind that a type's name asks for: a scalar for a scalar, in as many lists.
fn like(kind: &Kind, ty: &str) -> Result<Kind, String> {
    let other = |kind: &Kind| {
        format!("`{}` cannot become that: only scalars, and lists of them, become others", type_of(kind))
    };
    match (kind, ty.strip_prefix('[').and_then(|ty| ty.strip_suffix(']'))) {
        (Kind::List(item), Some(ty)) => Ok(Kind::List(Box::new(like(item, ty)?))),
        (Kind::Scalar(_), None) => {
            let names: Vec<&str> = Scalar::ALL.iter().map(|scalar| scalar.name()).collect();
            let found = Scalar::ALL.iter().find(|scalar| scalar.name() == ty);
            let unknown = || format!("there is no such type; it can be one of {}", names.join(", "));
            found.map(|scalar| Kind::Scalar(*scalar)).ok_or_else(unknown)
        }
        (kind, _) => Err(other(kind)),
    }
}

fn node_of<'a>(fields: &[Field], node: &'a Node, id: u32) -> Option<&'a Node> {
    for field in fields {
        let Some(mut member) = node.members.get(field.key.as_str()) else { continue };
        if field.id == id {
            return Some(member);
        }
        while let Some(items) = member.items.as_deref().filter(|_| matches!(field.kind, Kind::List(_))) {
            member = items;
        }
        if let Some(found) = node_of(field.children(), member, id) {
            return Some(found);
        }
    }
    None
}

/// The kinds of numbers of a location and of the items in it.
fn numbers(node: &Node) -> Kinds {
    node.kinds & NUMBERS | node.items.as_deref().map_or(0, numbers)
}

/// A value as a field takes it that a steward has retyped: a text that is one number, or `true` or `false`, counts as
/// that where the type is such. `None` leaves it as it is.
pub(super) fn read(value: &Json, scalar: Scalar) -> Option<Json> {
    let Json::String(text) = value else { return None };
    let parsed = match scalar {
        Scalar::Boolean | Scalar::Int | Scalar::BigInt | Scalar::Float => {
            parse(text.as_bytes(), Limits::ACCEPTED).ok()?
        }
        _ => return None,
    };
    let fits = match &parsed {
        Json::Bool(_) => scalar == Scalar::Boolean,
        Json::Number(_) => scalar != Scalar::Boolean,
        _ => false,
    };
    fits.then_some(parsed)
}

#[cfg(test)]
mod tests;
