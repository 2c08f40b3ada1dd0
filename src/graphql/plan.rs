//! Field collection: an operation's selections with fragments merged in, `@skip` and `@include` applied,
//! equal response keys made one, and arguments checked. What the executor walks. Must not know how fields are
//! answered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_graphql::Pos;
use async_graphql::Positioned;
use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
};
use async_graphql_value::{Name, Value};

use super::coerce::{Member, Variables, short};
use super::describe;
use super::literals::{self, Declared, Literals};
use super::model::{Model, TypeRef};
use crate::error::{Error, Result};
use crate::query::Selected;
use crate::record::Json;

/// One field of the merged selection.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Its key in the response.
    pub(super) key: Arc<str>,
    /// Its name; `__typename` included.
    pub(super) name: Arc<str>,
    /// Where it stands first in the document.
    pub(super) pos: Pos,
    /// Its type.
    pub(super) ty: TypeRef,
    /// The type that it is a field of.
    pub(super) parent: Arc<str>,
    /// Its arguments.
    pub(super) arguments: Vec<Member>,
    /// Whether it gives pages of rows, so that it takes an argument `first`.
    pub(super) paged: bool,
    /// The selection below it; of a union, one for each of its types, by the type's name.
    pub(super) children: Vec<Node>,
    /// The same as publishing reads it, where no variables are in it: made once for all requests.
    fixed: Option<Arc<[Selected]>>,
}

impl Node {
    /// How many fields it comes to, itself included.
    pub(super) fn size(&self) -> usize {
        self.children.iter().map(Node::size).sum::<usize>() + 1
    }

    /// The arguments with the variables put in.
    ///
    /// # Errors
    /// `BAD_REQUEST` when a variable is null where null is refused.
    pub(super) fn filled(&self, variables: &Variables) -> Result<Vec<(String, Json)>> {
        let mut filled = Vec::with_capacity(self.arguments.len());
        for (name, template, default) in &self.arguments {
            if let Some(value) = template.fill(variables)?.or_else(|| default.clone()) {
                filled.push((name.to_string(), value));
            }
        }
        Ok(filled)
    }

    /// The field as publishing reads it.
    ///
    /// # Errors
    /// As [`Node::filled`].
    pub(super) fn selected(&self, variables: &Variables) -> Result<Selected> {
        let children = match &self.fixed {
            Some(fixed) => fixed.clone(),
            None => self.children.iter().map(|child| child.selected(variables)).collect::<Result<_>>()?,
        };
        let arguments = self.filled(variables)?;
        Ok(Selected { response_key: self.key.clone(), name: self.name.clone(), arguments, children })
    }

    /// With what is fixed below it.
    fn fixed(self) -> Self {
        let open = |child: &Node| {
            let is_fixed = |(_, template, _): &Member| template.constant().is_some();
            (!child.children.is_empty() && child.fixed.is_none()) || !child.arguments.iter().all(is_fixed)
        };
        if self.children.iter().any(open) {
            return self;
        }
        let none = Variables::new();
        let fixed = self.children.iter().map(|child| child.selected(&none)).collect::<Result<_>>().ok();
        Node { fixed, ..self }
    }
}

/// An error with its place in the document.
pub(super) struct Misplaced {
    /// What is wrong.
    pub(super) error: Error,
    /// Where.
    pub(super) locations: Vec<Pos>,
}

impl From<Error> for Misplaced {
    /// An error of the whole document.
    fn from(error: Error) -> Self {
        Misplaced { error, locations: Vec::new() }
    }
}

/// The variables that `@skip` and `@include` depend on.
pub(super) fn conditions(document: &ExecutableDocument, operation: &OperationDefinition) -> Vec<Arc<str>> {
    let mut found = Vec::new();
    condition_names(&operation.selection_set.node, &mut found);
    for fragment in document.fragments.values() {
        condition_names(&fragment.node.selection_set.node, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

fn condition_names(set: &SelectionSet, found: &mut Vec<Arc<str>>) {
    for item in &set.items {
        for directive in item.node.directives() {
            if let Some(Value::Variable(name)) = directive.node.get_argument("if").map(|value| &value.node) {
                found.push(name.as_str().into());
            }
        }
        match &item.node {
            Selection::Field(field) => condition_names(&field.node.selection_set.node, found),
            Selection::InlineFragment(inline) => condition_names(&inline.node.selection_set.node, found),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Collects the fields of an operation whose root type is `root`. The document has been validated.
///
/// # Errors
/// `BAD_REQUEST` for arguments of a wrong type and for equal keys that ask for different things.
pub(super) fn compile(
    model: &Model,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    root: &str,
    variables: &Variables,
) -> Result<Vec<Node>, Misplaced> {
    let declared = literals::declared(operation);
    let collector = Collector { model, declared: &declared, fragments: &document.fragments, variables };
    collector.nodes(root, &[&operation.selection_set.node])
}

struct Collector<'a> {
    model: &'a Model,
    declared: &'a Declared,
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    variables: &'a Variables,
}

/// Fields with one response key, in the order of their first.
struct Group<'a> {
    key: &'a str,
    fields: Vec<&'a Positioned<Field>>,
}

#[derive(Default)]
struct Groups<'a> {
    in_order: Vec<Group<'a>>,
    by_key: HashMap<&'a str, usize>,
    spread: HashSet<&'a str>,
}

impl<'a> Groups<'a> {
    fn add(&mut self, field: &'a Positioned<Field>) {
        let key = field.node.response_key().node.as_str();
        match self.by_key.get(key).and_then(|index| self.in_order.get_mut(*index)) {
            Some(group) => group.fields.push(field),
            None => {
                self.by_key.insert(key, self.in_order.len());
                self.in_order.push(Group { key, fields: vec![field] });
            }
        }
    }
}

impl<'a> Collector<'a> {
    fn nodes(&self, parent: &str, sets: &[&'a SelectionSet]) -> Result<Vec<Node>, Misplaced> {
        let mut groups = Groups::default();
        for set in sets {
            self.collect(parent, set, &mut groups)?;
        }
        groups.in_order.iter().map(|group| self.node(parent, group)).collect()
    }

    fn collect(&self, parent: &str, set: &'a SelectionSet, groups: &mut Groups<'a>) -> Result<(), Misplaced> {
        for item in &set.items {
            if self.skipped(item.node.directives())? {
                continue;
            }
            match &item.node {
                Selection::Field(field) => groups.add(field),
                Selection::InlineFragment(inline) => {
                    let on = inline.node.type_condition.as_ref().map(|condition| &condition.node.on.node);
                    if on.is_none_or(|on| self.applies(on, parent)) {
                        self.collect(parent, &inline.node.selection_set.node, groups)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    let Some(fragment) = self.fragments.get(name) else { continue };
                    if self.applies(&fragment.node.type_condition.node.on.node, parent)
                        && groups.spread.insert(name)
                    {
                        self.collect(parent, &fragment.node.selection_set.node, groups)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether what is on a type holds for this type of an object: its own, or a union that it is one of.
    fn applies(&self, condition: &Name, parent: &str) -> bool {
        let within = |types: &[Arc<str>]| types.iter().any(|of| **of == *parent);
        condition.as_str() == parent
            || (parent == INTROSPECTION && condition.starts_with("__"))
            || self.model.possible(condition).is_some_and(within)
    }

    fn skipped(&self, directives: &[Positioned<Directive>]) -> Result<bool, Misplaced> {
        for directive in directives {
            let skip = match directive.node.name.node.as_str() {
                "skip" => true,
                "include" => false,
                name => {
                    let text = format!("unknown directive `@{}`", short(name));
                    return Err(Misplaced {
                        error: Error::bad_request(text),
                        locations: vec![directive.pos],
                    });
                }
            };
            let condition = directive.node.get_argument("if").map(|value| &value.node);
            let met = match condition {
                Some(Value::Boolean(value)) => *value,
                Some(Value::Variable(name)) => match self.variables.get(name.as_str()) {
                    Some(Json::Bool(value)) => *value,
                    _ => return Err(no_condition(directive, &format!("the variable `${name}`"))),
                },
                _ => return Err(no_condition(directive, "its argument `if`")),
            };
            if met == skip {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn node(&self, parent: &str, group: &Group<'a>) -> Result<Node, Misplaced> {
        let Some((first, others)) = group.fields.split_first() else {
            return Err(Error::internal("a group without fields").into());
        };
        for other in others {
            agree(group.key, first, other)?;
        }
        let at = |error| Misplaced { error, locations: vec![first.pos] };
        let name = first.node.name.node.as_str();
        let introspected = describe::arguments(name);
        let (ty, defined) = match (name, self.model.field(parent, name)) {
            (_, Some(field)) => (field.ty.clone(), field.arguments.as_slice()),
            // No rule of validation looks at it.
            ("__typename", _) if first.node.arguments.is_empty() => {
                (TypeRef::named("String").required(), [].as_slice())
            }
            ("__typename", _) => return Err(at(Error::bad_request("`__typename` takes no arguments"))),
            // Introspection is answered elsewhere: its types are not in the model.
            ("__schema" | "__type", _) => (TypeRef::named(INTROSPECTION), introspected.as_slice()),
            _ if parent == INTROSPECTION => (TypeRef::named(INTROSPECTION), introspected.as_slice()),
            _ => return Err(at(Error::bad_request(format!("unknown field `{name}` on `{parent}`")))),
        };
        let check = Literals { model: self.model, declared: self.declared };
        let arguments = check.arguments(defined, &first.node.arguments).map_err(at)?;
        let below: Vec<&SelectionSet> =
            group.fields.iter().map(|field| &field.node.selection_set.node).collect();
        let children = match self.model.possible(ty.name()) {
            Some(types) => {
                types.iter().map(|of| self.case(of, &ty, first.pos, &below)).collect::<Result<_, _>>()?
            }
            None => self.nodes_below(ty.name(), &below)?,
        };
        // A list is what the row itself holds, however much of it is asked for.
        let list = matches!(ty.nullable(), TypeRef::List(_));
        let paged = !list && defined.iter().any(|argument| &*argument.name == "first");
        let (key, name) = (group.key.into(), name.into());
        let (pos, parent) = (first.pos, parent.into());
        Ok(Node { key, name, pos, ty, parent, arguments, paged, children, fixed: None }.fixed())
    }

    /// What is selected of a union when it is of one of its types.
    fn case(
        &self,
        of: &Arc<str>,
        union: &TypeRef,
        pos: Pos,
        sets: &[&'a SelectionSet],
    ) -> Result<Node, Misplaced> {
        let (key, name, parent) = (of.clone(), of.clone(), union.name().into());
        let (ty, children) = (TypeRef::named(of.clone()), self.nodes(of, sets)?);
        let arguments = Vec::new();
        Ok(Node { key, name, pos, ty, parent, arguments, paged: false, children, fixed: None }.fixed())
    }

    fn nodes_below(&self, parent: &str, sets: &[&'a SelectionSet]) -> Result<Vec<Node>, Misplaced> {
        if sets.iter().all(|set| set.items.is_empty()) {
            return Ok(Vec::new());
        }
        self.nodes(parent, sets)
    }
}

/// What all types of introspection are to the model, which has none of them.
pub(super) const INTROSPECTION: &str = "__Introspection";

fn no_condition(directive: &Positioned<Directive>, what: &str) -> Misplaced {
    let text = format!("`@{}` needs true or false: give {what} a value", directive.node.name.node);
    Misplaced { error: Error::bad_request(text), locations: vec![directive.pos] }
}

/// Fields with one response key must be one field with the same arguments.
pub(super) fn agree(
    key: &str,
    first: &Positioned<Field>,
    other: &Positioned<Field>,
) -> Result<(), Misplaced> {
    let same_arguments = first.node.arguments.len() == other.node.arguments.len()
        && first.node.arguments.iter().all(|(name, value)| {
            other.node.get_argument(&name.node).is_some_and(|other| other.node == value.node)
        });
    if first.node.name.node == other.node.name.node && same_arguments {
        return Ok(());
    }
    let text = format!("`{key}` stands for two different fields; give one of them an alias");
    Err(Misplaced { error: Error::bad_request(text), locations: vec![first.pos, other.pos] })
}
