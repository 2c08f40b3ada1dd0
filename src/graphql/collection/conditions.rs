//! What a collection's rows are chosen and ordered by: the input types of `where` and `orderBy`, with what an actor may
//! compare. What is masked or hidden stands in none of them. Must not know how conditions are decided.

use super::{Build, Shown, printable, scalar_name};
use crate::graphql::called::called;
use crate::graphql::enums;
use crate::graphql::model::{Field, Input, Kind, Model, Type, TypeRef};
use crate::graphql::names::Names;
use crate::shape::{Field as Shaped, Kind as ShapedKind, Scalar};

impl Build<'_> {
    /// The input type `suffix` of `_record` with what this actor may compare; none when that is nothing.
    fn record_input(&mut self, suffix: &str) -> Option<TypeRef> {
        let usable = |name: &str| self.member(name) == Shown::Visible;
        let Some(Kind::Input(fields)) = self.model.get(suffix).map(|ty| &ty.kind) else { return None };
        if fields.iter().all(|field| usable(&field.name)) {
            return Some(TypeRef::named(suffix));
        }
        let fields = fields.iter().filter(|field| usable(&field.name)).cloned().collect();
        self.input(self.names.derived(suffix), "What of the envelope you may use.", fields)
    }

    /// The filter of an object; none when nothing of it can be filtered.
    pub(super) fn filter(
        &mut self,
        fields: &[Shaped],
        ty: &str,
        above: Shown,
        root: bool,
    ) -> Option<TypeRef> {
        let name = format!("{ty}Filter");
        let mut inputs = Vec::new();
        for field in fields {
            let shown = self.shown(field, above);
            if shown != Shown::Visible {
                continue;
            }
            let ty = match &field.kind {
                ShapedKind::Scalar(Scalar::Json) | ShapedKind::Packed(_) => {
                    Some(TypeRef::named("PresenceFilter"))
                }
                ShapedKind::Map(_) => Some(TypeRef::named("MapFilter")),
                ShapedKind::Scalar(scalar) => {
                    let own = enums::add_filter(self.model, self.types, field, shown);
                    Some(TypeRef::named(own.unwrap_or_else(|| format!("{}Filter", scalar_name(*scalar)))))
                }
                ShapedKind::List(item) => Some(TypeRef::named(match &**item {
                    ShapedKind::Scalar(scalar) if *scalar != Scalar::Json => {
                        let own = enums::add_filter(self.model, self.types, field, shown);
                        own.unwrap_or_else(|| format!("{}ListFilter", scalar_name(*scalar)))
                    }
                    _ => "PresenceFilter".to_owned(),
                })),
                ShapedKind::Object(children) => {
                    self.types.get(&field.id).and_then(|ty| self.filter(children, ty, shown, false))
                }
            };
            if let Some(ty) = ty {
                let text = format!("Condition on `{}`.", printable(&field.path));
                inputs.extend(called(field).map(|name| name.input(ty.clone(), text.clone())));
            }
        }
        if root {
            let this = || TypeRef::named(name.as_str());
            let meta = self.record_input("RecordMetaFilter");
            inputs.extend(meta.map(|ty| Input::new("_record", ty, "Condition on the record's envelope.")));
            inputs.extend([
                Input::new("and", this().required().list(), "All of these hold."),
                Input::new("or", this().required().list(), "At least one of these holds."),
                Input::new("not", this(), "This does not hold."),
            ]);
        }
        self.input(name, "Conditions; all that are given must hold.", inputs)
    }

    /// The order of an object; none when nothing of it can be ordered.
    pub(super) fn order(&mut self, fields: &[Shaped], ty: &str, above: Shown, root: bool) -> Option<TypeRef> {
        let mut inputs = Vec::new();
        for field in fields {
            let shown = self.shown(field, above);
            if shown != Shown::Visible {
                continue;
            }
            let ty = match &field.kind {
                ShapedKind::Scalar(Scalar::Json)
                | ShapedKind::List(_)
                | ShapedKind::Packed(_)
                | ShapedKind::Map(_) => None,
                ShapedKind::Scalar(_) => Some(TypeRef::named("SortOrder")),
                ShapedKind::Object(children) => {
                    self.types.get(&field.id).and_then(|ty| self.order(children, ty, shown, false))
                }
            };
            if let Some(ty) = ty {
                let text = format!("Order by `{}`.", printable(&field.path));
                inputs.extend(called(field).map(|name| name.input(ty.clone(), text.clone())));
            }
        }
        if root {
            let meta = self.record_input("RecordMetaOrder");
            inputs.extend(meta.map(|ty| Input::new("_record", ty, "Order by the record's envelope.")));
        }
        self.input(format!("{ty}Order"), "What rows are ordered by; one field each.", inputs)
    }

    fn input(&mut self, name: String, description: &str, inputs: Vec<Input>) -> Option<TypeRef> {
        if inputs.is_empty() {
            return None;
        }
        self.model.insert(Type::new(name.as_str(), description, Kind::Input(inputs)));
        Some(TypeRef::named(name))
    }
}

pub(super) fn filter(names: Names<'_>) -> Input {
    let ty = TypeRef::named(names.derived("Filter"));
    Input::new("where", ty, "Only rows for which this holds.")
}

/// A field of a connection with its arguments; the types of the collection's filter and order are there already.
pub(in crate::graphql) fn page(model: &Model, names: Names<'_>, field: Field) -> Field {
    let (int, text) = (|| TypeRef::named("Int"), || TypeRef::named("String"));
    let (mut field, order) = (field.argument(filter(names)), names.derived("Order"));
    if model.get(&order).is_some() {
        let order = TypeRef::named(order).required().list();
        field = field.argument(Input::new("orderBy", order, "In this order."));
    }
    field
        .argument(Input::new("first", int(), "This many rows from the start."))
        .argument(Input::new("after", text(), "From behind this cursor on."))
        .argument(Input::new("last", int(), "This many rows from the end."))
        .argument(Input::new("before", text(), "Up to before this cursor."))
}
