//! The fields that lead from rows of one collection to rows of another: a row, or a page of rows with arguments of its
//! own; and the conditions and orders that follow them. They are there for whom both ends are shown plainly. Must not
//! know how they are answered.

use super::collection::page;
use super::model::{Field, Input, Kind, Model, Type, TypeRef};
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
                conditions(model, relation, Names::of(&from.0), Names::of(&to.0));
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

/// Adds what conditions and orders of rows say of those that a relation leads to.
fn conditions(model: &mut Model, relation: &Relation, from: Names<'_>, to: Names<'_>) {
    let (filter, order) = (TypeRef::named(to.derived("Filter")), to.derived("Order"));
    let (name, rows) = (relation.name.as_str(), format!("rows of `{}` that you see", to.field));
    if !relation.many {
        let text =
            format!("Condition on the first that came of the {rows}; it does not hold when there is none.");
        model.add_input(&from.derived("Filter"), Input::new(name, filter, text));
        let text = format!("Order by the first that came of the {rows}; null when there is none.");
        if model.get(&order).is_some() {
            model.add_input(&from.derived("Order"), Input::new(name, TypeRef::named(order), text));
        }
        return;
    }
    let ty = TypeRef::named(to.derived("ListFilter"));
    model.add_input(&from.derived("Filter"), Input::new(name, ty, format!("Condition on the {rows}.")));
    let one = |name: &str, text: &str| Input::new(name, filter.clone(), text);
    let inputs = vec![
        one("some", "There is a row for which this holds."),
        one("every", "This holds for every row; also when there are none."),
        one("none", "There is no row for which this holds."),
    ];
    let text =
        "Conditions on related rows, of which only those that you see count; all that are given must hold.";
    model.insert(Type::new(to.derived("ListFilter"), text, Kind::Input(inputs)));
}

/// The published name of an end, nested ones by dots.
fn path(collection: &Collection, field: u32) -> String {
    collection.end_names(field).unwrap_or_default().join(".")
}
