//! The types of one collection, as far as one actor may see it. A hidden field is nowhere; a masked one can
//! be selected, but stands in no filter, order, group or aggregate. Must not know rows or policies beyond
//! [`Shown`].

mod conditions;
mod groups;
mod having;

use conditions::{Place, filter};
pub(super) use conditions::{of_items, page};
use groups::Leaf;

use std::collections::BTreeMap;

use super::called::{Called, called};
use super::enums;
use super::maps;
use super::model::{Field, Input, Kind, Model, Type, TypeRef};
use super::names::Names;
use super::past::{as_of, awaiting, history};
use super::unions;
use crate::query::{Collection, Narrow, envelope, told_member};
use crate::record::Json;
use crate::shape::{Field as Shaped, Kind as ShapedKind, Published, Scalar, entry_type};

/// The type of `_record`, and the suffix of the types that show less of it.
const RECORD_META: &str = "RecordMeta";

/// How a field is shown to the actor; the larger, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Shown {
    /// As it is, usable in conditions.
    Visible,
    /// Replaced or only in some rows; of no use in conditions.
    Masked,
    /// Not there.
    Hidden,
}

/// Says how the field with this id is shown.
pub(super) type Visibility<'a> = &'a dyn Fn(u32) -> Shown;

/// Adds everything that `collection` brings to the schema.
pub(super) fn add(model: &mut Model, collection: &Collection, shown: Visibility<'_>) {
    let (names, types) = (Names::of(collection), &collection.shape.type_names);
    let narrow = collection.narrow.as_deref();
    let mut build = Build { model, names, shown, types, narrow, groupable: Vec::new() };
    let row = build.row(&collection.shape, &origin(collection));
    build.collect(&collection.shape.fields, &[], Shown::Visible);
    build.filter(&collection.shape.fields, names.ty, Shown::Visible, Place::Row);
    build.order(&collection.shape.fields, names.ty, Shown::Visible, true);
    build.connection(&row);
    build.aggregate();
    build.roots(collection);
}

fn origin(collection: &Collection) -> String {
    format!("A row of `{}`/`{}`.", printable(&collection.category), printable(&collection.subcategory))
}

/// Text from sources, made fit for a description.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '"' | '\\' | '`') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

struct Build<'a> {
    model: &'a mut Model,
    names: Names<'a>,
    shown: Visibility<'a>,
    /// Types of nested objects by their field's id.
    types: &'a BTreeMap<u32, String>,
    /// How a contract has the collection.
    narrow: Option<&'a Narrow>,
    groupable: Vec<Leaf<'a>>,
}

impl<'a> Build<'a> {
    fn shown(&self, field: &Shaped, parent: Shown) -> Shown {
        (self.shown)(field.id).max(parent)
    }

    /// How a member of `_record` is shown.
    fn member(&self, name: &str) -> Shown {
        let column = envelope(name).map(|member| member.id);
        let bound = self.narrow.is_some();
        let told = || told_member(name).filter(|told| told.classified || bound).map(|told| told.id);
        // A contract has what it names, others have the rest as null.
        let unknown = if bound { Shown::Hidden } else { Shown::Visible };
        column.or_else(told).map_or(unknown, self.shown)
    }

    fn derived(&self, suffix: &str) -> TypeRef {
        TypeRef::named(self.names.derived(suffix))
    }

    /// The row's object type; returns a reference to it.
    fn row(&mut self, shape: &Published, description: &str) -> TypeRef {
        let rest = "What is not published as a field of its own.";
        let envelope = "The envelope of the record that the row comes from.";
        let mut members = Vec::new();
        if self.narrow.is_none_or(|narrow| narrow.record)
            && let Some(ty) = self.record_meta()
        {
            members.push(Field::new("_record", ty.required(), envelope));
        }
        if self.narrow.is_none_or(|narrow| narrow.rest) {
            members.push(Field::new("_rest", TypeRef::named("JSON"), rest));
        }
        let name = self.names.ty.to_owned();
        let mut own = self.members(&shape.fields, Shown::Visible);
        if let Some(union) = shape.own_union() {
            own.extend(unions::add(self.model, union, &shape.fields, &own, (None, self.shown)));
        }
        members.splice(0..0, own);
        self.model.insert(Type::new(name.clone(), description, Kind::Object(members)));
        TypeRef::named(name)
    }

    /// The type of `_record`: that of all collections unless this actor sees less than all of it; none when nothing.
    fn record_meta(&mut self) -> Option<TypeRef> {
        let shown = |field: &Field| self.member(&field.name);
        let fields = self.model.fields(RECORD_META);
        if fields.iter().all(|field| shown(field) == Shown::Visible) {
            return Some(TypeRef::named(RECORD_META));
        }
        let less = |field: &Field| match shown(field) {
            Shown::Visible => Some(field.clone()),
            Shown::Masked => Some(Field { ty: field.ty.nullable().clone(), ..field.clone() }),
            Shown::Hidden => None,
        };
        let fields: Vec<Field> = fields.iter().filter_map(less).collect();
        if fields.is_empty() {
            return None;
        }
        let name = self.names.derived(RECORD_META);
        self.model.insert(Type::new(name.as_str(), "The envelope as you may see it.", Kind::Object(fields)));
        Some(TypeRef::named(name))
    }

    fn members(&mut self, fields: &[Shaped], above: Shown) -> Vec<Field> {
        let mut members = Vec::with_capacity(fields.len());
        for field in fields {
            let shown = self.shown(field, above);
            if shown == Shown::Hidden {
                continue;
            }
            if let Some(ty) = self.output((field, 0), &field.kind, shown) {
                let member = |name: Called| name.field(ty.clone(), described(field, shown));
                members.extend(called(field).map(|name| maps::with_keys(member(name), &field.kind)));
                members.extend(unions::beside(self.model, self.types, field, self.shown));
            }
        }
        members
    }

    /// The type of a field, or of what is in it below so many maps; none when nothing of it is shown.
    fn output(
        &mut self,
        (field, maps): (&Shaped, usize),
        kind: &ShapedKind,
        shown: Shown,
    ) -> Option<TypeRef> {
        match kind {
            ShapedKind::Scalar(scalar) => {
                let own = enums::add(self.model, self.types, field, shown);
                Some(TypeRef::named(own.unwrap_or(scalar_name(*scalar))))
            }
            ShapedKind::List(item) => Some(self.output((field, maps), item, shown)?.list()),
            ShapedKind::Map(value) => {
                let name = entry_type(self.types.get(&field.id)?, maps + 1);
                let ty = self.output((field, maps + 1), value, shown)?;
                Some(maps::add(self.model, name, ty, value))
            }
            ShapedKind::Object(fields) | ShapedKind::Packed(fields) => {
                let name = self.types.get(&field.id)?.as_str();
                let members = self.members(fields, shown);
                if members.is_empty() {
                    return None;
                }
                // Of an item or of a value of a map, not of what it is in.
                let at = fields.first().and_then(|first| first.path.rsplit_once('/')).map(|(at, _)| at);
                let description = format!("What is at `{}` in a row.", printable(at.unwrap_or(&field.path)));
                self.model.insert(Type::new(name, description, Kind::Object(members)));
                Some(TypeRef::named(name))
            }
        }
    }

    fn object(&mut self, suffix: &str, description: &str, fields: Vec<Field>) {
        self.model.insert(Type::new(self.names.derived(suffix), description, Kind::Object(fields)));
    }

    fn connection(&mut self, row: &TypeRef) {
        let edges = self.derived("Edge").required().list().required();
        self.object(
            "Connection",
            "A page of rows.",
            vec![
                Field::new("nodes", row.clone().required().list().required(), "The rows."),
                Field::new("edges", edges, "The rows, each with its cursor."),
                Field::new("pageInfo", TypeRef::named("PageInfo").required(), "Where the page stands."),
                Field::new("totalCount", TypeRef::named("Int").required(), "How many rows there are in all."),
                Field::new(
                    "totalCountEstimate",
                    TypeRef::named("CountEstimate").required(),
                    "The same at little cost, also of many rows; `kind` says how far it is true.",
                ),
            ],
        );
        self.object(
            "Edge",
            "A row with its cursor.",
            vec![
                Field::new("node", row.clone().required(), "The row."),
                Field::new("cursor", TypeRef::named("String").required(), "For `after` and `before`."),
            ],
        );
        let text = || TypeRef::named("String");
        let mut change = vec![
            Field::new("cursor", text().required(), "For `after`, to resume behind it."),
            Field::new("op", TypeRef::named("ChangeOp").required(), "What happened."),
            Field::new("node", row.clone(), "The row as it is now."),
            Field::new("before", row.clone(), "The row as it was before."),
        ];
        if self.member("key") != Shown::Hidden {
            change.insert(2, Field::new("key", text(), "The row's key."));
        }
        self.object("Change", "A change of a row.", change);
    }

    fn roots(&mut self, collection: &Collection) {
        let row = TypeRef::named(self.names.ty);
        let of = format!("`{}`/`{}`", printable(&collection.category), printable(&collection.subcategory));
        let text = || TypeRef::named("String");
        let list =
            Field::new(self.names.field, self.derived("Connection").required(), format!("Rows of {of}."));
        let list = as_of(awaiting(page(self.model, self.names, list)));
        let mut by_key = Field::new(self.names.by_key(), row, format!("One row of {of}."));
        if self.member("sourceName") == Shown::Visible {
            let name = Input::new("sourceName", text(), "Needed when several sources have this uid.");
            by_key = by_key.argument(name);
        }
        // A uid that is not shown cannot be asked for either: an answer would confirm a guess.
        let by_key = (self.member("sourceUid") == Shown::Visible).then(|| {
            let uid = Input::new("sourceUid", text().required(), "The uid that the source gave.");
            as_of(awaiting(by_key.argument(uid)))
        });
        let shown = ["key", "revision", "sourceName"].map(|name| self.member(name));
        let history = by_key.is_some().then(|| history(self.model, self.names, &of, shown));
        let aggregate = awaiting(self.aggregate_field(&of));
        let snapshot =
            Input::new("snapshot", TypeRef::named("Boolean"), "First all rows as they are, then changes.");
        let changes =
            Field::new(self.names.field, self.derived("Change").required(), format!("Changes of {of}."))
                .argument(filter(self.names))
                .argument(Input::new("after", text(), "From behind this cursor on."))
                .argument(snapshot.or(Json::Bool(false)));
        for field in [Some(list), by_key, Some(aggregate), history].into_iter().flatten() {
            self.model.add_field("Query", field);
        }
        self.model.add_field("Subscription", changes);
    }
}

fn scalar_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Boolean => "Boolean",
        Scalar::Int => "Int",
        Scalar::BigInt => "BigInt",
        Scalar::Float => "Float",
        Scalar::String => "String",
        Scalar::DateTime => "DateTime",
        Scalar::Date => "Date",
        Scalar::Uuid => "UUID",
        Scalar::Json => "JSON",
    }
}

fn described(field: &Shaped, shown: Shown) -> String {
    let path = printable(&field.path);
    let masked = if shown == Shown::Masked { "; masked" } else { "" };
    let text = field.decided.description.as_deref().map_or_else(String::new, |text| printable(text) + " ");
    if field.tags.is_empty() {
        return format!("{text}`{path}`{masked}");
    }
    let tags: Vec<&str> = field.tags.iter().map(String::as_str).collect();
    format!("{text}`{path}` ({}){masked}", tags.join(", "))
}
