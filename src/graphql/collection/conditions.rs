//! What a collection's rows are chosen and ordered by: the input types of `where` and `orderBy`, with what an actor may
//! compare. What is masked or hidden stands in none of them. Must not know how conditions are decided.

use super::{Build, Shown, printable, scalar_name};
use crate::graphql::called::called;
use crate::graphql::enums;
use crate::graphql::model::{Field, Input, Kind, Model, Type, TypeRef};
use crate::graphql::names::Names;
use crate::shape::{Field as Shaped, Kind as ShapedKind, Scalar, entry_type};

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
        place: Place,
    ) -> Option<TypeRef> {
        let name = format!("{ty}Filter");
        let mut inputs = Vec::new();
        for field in fields {
            let shown = self.shown(field, above);
            // What is given out in another type is compared in that only where the database holds it in a column.
            let cast = self.narrow.is_some_and(|narrow| narrow.casts.contains_key(&field.id));
            if shown != Shown::Visible || cast && place.is_text() {
                continue;
            }
            if let Some(ty) = self.condition((field, 0), &field.kind, shown, place.is_text()) {
                let text = format!("Condition on `{}`.", printable(&field.path));
                inputs.extend(called(field).map(|name| name.input(ty.clone(), text.clone())));
            }
        }
        if place == Place::Row {
            let meta = self.record_input("RecordMetaFilter");
            inputs.extend(meta.map(|ty| Input::new("_record", ty, "Condition on the record's envelope.")));
        }
        if place == Place::Row || place == Place::Item && !inputs.is_empty() {
            inputs.extend(joining(&name));
        }
        self.input(name, "Conditions; all that are given must hold.", inputs)
    }

    /// The type of conditions on a field, or on what is in it below so many maps, in the text of a column or not; none
    /// when nothing of it can be asked.
    fn condition(
        &mut self,
        (field, maps): (&Shaped, usize),
        kind: &ShapedKind,
        shown: Shown,
        text: bool,
    ) -> Option<TypeRef> {
        let named = |name: String| Some(TypeRef::named(name));
        match kind {
            ShapedKind::Packed(_) if !text => Some(TypeRef::named("PresenceFilter")),
            ShapedKind::Scalar(Scalar::Json) if !text => Some(TypeRef::named("JSONFilter")),
            ShapedKind::Scalar(Scalar::Json) => Some(TypeRef::named("PresenceFilter")),
            ShapedKind::Scalar(scalar) => {
                let own = enums::add_filter(self.model, self.types, field, shown);
                named(own.unwrap_or_else(|| format!("{}Filter", scalar_name(*scalar))))
            }
            ShapedKind::Object(children) | ShapedKind::Packed(children) => {
                let ty = self.types.get(&field.id)?;
                let place = if text { Place::Text } else { Place::Columns };
                self.filter(children, ty, shown, place)
            }
            ShapedKind::List(_) if field.is_position() => Some(TypeRef::named("PointListFilter")),
            ShapedKind::List(item) => match &**item {
                ShapedKind::Scalar(scalar) if *scalar != Scalar::Json => {
                    let own = enums::add_list_filter(self.model, self.types, field, shown);
                    named(own.unwrap_or_else(|| format!("{}ListFilter", scalar_name(*scalar))))
                }
                ShapedKind::Object(children) | ShapedKind::Packed(children) => {
                    let ty = self.types.get(&field.id)?;
                    match self.filter(children, ty, shown, Place::Item) {
                        Some(item) => self.input(
                            format!("{ty}ListFilter"),
                            "Conditions on a list; all that are given must hold.",
                            of_items(&item, "item", Vec::new()),
                        ),
                        None => Some(TypeRef::named("ListFilter")),
                    }
                }
                _ => Some(TypeRef::named("ListFilter")),
            },
            ShapedKind::Map(value) => {
                let ty = entry_type(self.types.get(&field.id)?, maps + 1);
                let value = self.value((field, maps + 1), value, shown);
                let name = format!("{ty}Filter");
                let mut inputs =
                    vec![Input::new("key", TypeRef::named("StringFilter"), "Condition on the key.")];
                inputs.extend(
                    value.map(|value| Input::new("value", value, "Condition on what stands under the key.")),
                );
                inputs.extend(joining(&name));
                let entry =
                    self.input(name, "Conditions on an entry; all that are given must hold.", inputs)?;
                let key = Input::new("hasKey", TypeRef::named("String"), "The map has this key.");
                self.input(
                    format!("{ty}ListFilter"),
                    "Conditions on a map; all that are given must hold.",
                    of_items(&entry, "entry", vec![key]),
                )
            }
        }
    }

    /// The type of conditions on the values of a map.
    fn value(&mut self, of: (&Shaped, usize), kind: &ShapedKind, shown: Shown) -> Option<TypeRef> {
        match kind {
            ShapedKind::Object(children) | ShapedKind::Packed(children) => {
                let ty = self.types.get(&of.0.id)?;
                self.filter(children, ty, shown, Place::Item)
            }
            kind => self.condition(of, kind, shown, true),
        }
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

/// Where the members of an object stand that are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// They are the row's.
    Row,
    /// In columns.
    Columns,
    /// They are those of an item of a list, or of a value of a map.
    Item,
    /// Below those, in the text of a column.
    Text,
}

impl Place {
    fn is_text(self) -> bool {
        matches!(self, Place::Item | Place::Text)
    }
}

/// What joins conditions of the input type `name`.
fn joining(name: &str) -> [Input; 3] {
    let this = || TypeRef::named(name);
    [
        Input::new("and", this().required().list(), "All of these hold."),
        Input::new("or", this().required().list(), "At least one of these holds."),
        Input::new("not", this(), "This does not hold."),
    ]
}

/// What can be asked of a list or map whose items are asked about by the type `item`; `word` names one.
pub(in crate::graphql) fn of_items(item: &TypeRef, word: &str, more: Vec<Input>) -> Vec<Input> {
    let one = |name: &str, text: String| Input::new(name, item.clone(), text);
    let mut inputs = vec![
        one("some", format!("There is an {word} for which this holds.")),
        one("every", format!("It is not null, and this holds for every {word}; also when there are none.")),
        one("none", format!("It is not null, and there is no {word} for which this holds.")),
        Input::new("length", TypeRef::named("LengthFilter"), "How many it has; of null none of this holds."),
    ];
    inputs.extend(more);
    let null = "Null or absent, or with false neither.";
    inputs.push(Input::new("isNull", TypeRef::named("Boolean"), null));
    inputs
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
