//! The fields that lead from rows of one collection to rows of another: a row, or a page of rows with arguments of its
//! own. They are there for whom both ends are shown plainly. Must not know how they are answered.

use super::collection::page;
use super::model::{Field, Model, TypeRef};
use super::names::Names;
use crate::publishing::{Visible, leads};
use crate::query::Collection;
use crate::shape::Relation;

/// Adds the fields of all relations among these collections, whose own types are there already.
pub(super) fn add(model: &mut Model, visible: &[Visible]) {
    for from in visible {
        for relation in from.0.shape.relations() {
            if let Some(to) = leads(from, relation, visible) {
                let field = field(model, relation, &from.0, &to.0);
                model.add_field(&from.0.type_name, field);
            }
        }
    }
}

fn field(model: &Model, relation: &Relation, from: &Collection, to: &Collection) -> Field {
    let names = Names::of(to);
    let (here, there) = (path(from, relation.field), path(to, relation.other_field));
    if relation.many {
        let text = format!(
            "The rows of `{}` whose `{there}` is this row's `{here}`, as they are when this row has been read.",
            names.field
        );
        let ty = TypeRef::named(names.derived("Connection")).required();
        return page(model, names, Field::new(relation.name.as_str(), ty, text));
    }
    let text = format!(
        "The row of `{}` whose `{there}` is this row's `{here}`, as it is when this row has been read; of several the \
         first that came.",
        names.field
    );
    Field::new(relation.name.as_str(), TypeRef::named(names.ty), text)
}

/// The published name of an end, nested ones by dots.
fn path(collection: &Collection, field: u32) -> String {
    collection.end_names(field).unwrap_or_default().join(".")
}
