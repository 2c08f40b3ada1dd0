//! What a document can reach: the part of a schema that it is validated against. The management part is large, and a
//! schema that is registered takes many times what the model does, so that a slice has of it only what its document
//! names. Must not decide what is valid.

use std::collections::{BTreeSet, HashSet};

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql_value::Value;

use super::model::{Field, Input, Kind, Model, Type, TypeRef};

/// The root types.
pub(super) const ROOTS: [&str; 3] = ["Query", "Mutation", "Subscription"];

/// What a document names of the management part, as far as that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mentioned {
    /// Root fields of any operation.
    roots: BTreeSet<String>,
    /// The types of its operations and variables, and those that fragments are on.
    types: BTreeSet<String>,
}

impl Mentioned {
    /// What `document`, with these root fields, names of the management part.
    pub(super) fn new<'a>(
        management: &Model,
        document: &ExecutableDocument,
        roots: impl Iterator<Item = &'a str>,
    ) -> Self {
        let ours = |name: &&str| ROOTS.iter().any(|root| management.field(root, name).is_some());
        let mut types = BTreeSet::new();
        for (_, operation) in document.operations.iter() {
            types.insert(root(operation.node.ty).to_owned());
            for variable in &operation.node.variable_definitions {
                types.insert(TypeRef::from_parsed(&variable.node.var_type.node).name().to_owned());
            }
            conditions(&operation.node.selection_set.node, &mut types);
        }
        for fragment in document.fragments.values() {
            types.insert(fragment.node.type_condition.node.on.node.to_string());
            conditions(&fragment.node.selection_set.node, &mut types);
        }
        types.retain(|name| management.get(name).is_some());
        Mentioned { roots: roots.filter(ours).map(str::to_owned).collect(), types }
    }

    /// Appends what tells it from others.
    pub(super) fn fingerprint(&self, key: &mut Vec<u8>) {
        for names in [&self.roots, &self.types] {
            for name in names {
                key.extend_from_slice(name.as_bytes());
                key.push(0);
            }
            key.push(0);
        }
    }
}

/// The root type of a kind of operation.
pub(super) fn root(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}

/// Adds the names of all members of a value, at whatever depth.
pub(super) fn member_names(value: &Value, names: &mut HashSet<String>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| member_names(item, names)),
        Value::Object(members) => {
            for (name, value) in members {
                names.insert(name.to_string());
                member_names(value, names);
            }
        }
        _ => {}
    }
}

fn conditions(set: &SelectionSet, types: &mut BTreeSet<String>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => conditions(&field.node.selection_set.node, types),
            Selection::InlineFragment(inline) => {
                if let Some(condition) = &inline.node.type_condition {
                    types.insert(condition.node.on.node.to_string());
                }
                conditions(&inline.node.selection_set.node, types);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// The part of `model` that such documents can reach: root fields that are mentioned or not of the management part, and
/// every type below them.
pub(super) fn part(model: &Model, management: &Model, mentioned: &Mentioned) -> Model {
    let wanted = |root: &str, field: &Field| {
        management.field(root, &field.name).is_none() || mentioned.roots.contains(&*field.name)
    };
    closed(model, wanted, &mentioned.types)
}

/// The part of `model` that its root fields can reach.
pub(super) fn reachable(model: &Model) -> Model {
    closed(model, |_, _| true, &BTreeSet::new())
}

/// The root fields that are `wanted`, with these types and every type below.
fn closed(model: &Model, wanted: impl Fn(&str, &Field) -> bool, types: &BTreeSet<String>) -> Model {
    let mut part = Model::default();
    let mut open: Vec<&str> = types.iter().map(String::as_str).collect();
    open.retain(|name| !ROOTS.contains(name));
    for root in ROOTS {
        let Some(Type { description, kind: Kind::Object(fields), .. }) = model.get(root) else { continue };
        let mut kept: Vec<Field> = fields.iter().filter(|field| wanted(root, field)).cloned().collect();
        if kept.is_empty() && root != "Query" && !types.contains(root) {
            continue;
        }
        if kept.is_empty() {
            // No type is without a field.
            kept.extend(fields.first().cloned());
        }
        let kind = Kind::Object(kept);
        part.insert(Type { name: root.into(), description: description.clone(), kind });
        let below = fields.iter().filter(|field| part.field(root, &field.name).is_some());
        below.for_each(|field| below_field(field, &mut open));
    }
    while let Some(name) = open.pop() {
        if part.get(name).is_some() {
            continue;
        }
        part.share(model, name);
        match model.get(name).map(|ty| &ty.kind) {
            Some(Kind::Object(fields)) => fields.iter().for_each(|field| below_field(field, &mut open)),
            Some(Kind::Input(inputs)) => open.extend(inputs.iter().map(|input| input.ty.name())),
            Some(Kind::Union(types)) => open.extend(types.iter().map(|name| &**name)),
            Some(Kind::Enum(_) | Kind::Scalar) | None => {}
        }
    }
    part
}

fn below_field<'a>(field: &'a Field, open: &mut Vec<&'a str>) {
    open.push(field.ty.name());
    open.extend(field.arguments.iter().map(|argument: &Input| argument.ty.name()));
}
