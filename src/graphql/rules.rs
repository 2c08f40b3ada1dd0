//! Rules of validation whose errors multiply: by enclosing selections, repeated fields and arguments, or by
//! operations and variables. They run before the library's, which collect every error first, and end at their
//! first. Need no schema; must run behind the guard, which bounds the work.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::types::{
    Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Pos, Positioned};
use async_graphql_value::{Name, Value};

use super::coerce::short;
use super::plan::{Misplaced, agree};
use crate::error::Error;

/// Checks that fields with one response key agree, and that every operation declares the variables that it uses.
///
/// # Errors
/// `BAD_REQUEST`, the first.
pub(super) fn check(document: &ExecutableDocument) -> Result<(), Misplaced> {
    for (_, operation) in document.operations.iter() {
        merges(document, &operation.node.selection_set.node)?;
        declared(document, &operation.node)?;
    }
    document.fragments.values().try_for_each(|fragment| merges(document, &fragment.node.selection_set.node))
}

/// Fields by the type that their innermost fragment is on, and their response key.
type Firsts<'a> = HashMap<(Option<&'a str>, &'a str), &'a Positioned<Field>>;

/// A set with the fragments in it, then the sets within it, as the library does it. What is merged of different
/// fields' sets, or stands behind the name of its own type, is the planner's to compare.
fn merges<'a>(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Result<(), Misplaced> {
    one_set(document, None, set, &mut Firsts::new(), &mut HashSet::new())?;
    set.items.iter().try_for_each(|item| match &item.node {
        Selection::Field(field) => merges(document, &field.node.selection_set.node),
        Selection::InlineFragment(inline) => merges(document, &inline.node.selection_set.node),
        Selection::FragmentSpread(_) => Ok(()),
    })
}

fn one_set<'a>(
    document: &'a ExecutableDocument,
    on: Option<&'a str>,
    set: &'a SelectionSet,
    firsts: &mut Firsts<'a>,
    spread: &mut HashSet<&'a str>,
) -> Result<(), Misplaced> {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                let key = field.node.response_key().node.as_str();
                agree(key, firsts.entry((on, key)).or_insert(field), field)?;
            }
            Selection::InlineFragment(inline) => {
                let on = inline.node.type_condition.as_ref().map(|condition| condition.node.on.node.as_str());
                one_set(document, on, &inline.node.selection_set.node, firsts, spread)?;
            }
            Selection::FragmentSpread(item) => {
                let name = item.node.fragment_name.node.as_str();
                let Some(fragment) = document.fragments.get(name).filter(|_| spread.insert(name)) else {
                    continue;
                };
                let on = Some(fragment.node.type_condition.node.on.node.as_str());
                one_set(document, on, &fragment.node.selection_set.node, firsts, spread)?;
            }
        }
    }
    Ok(())
}

/// Whether every variable in reach of an operation is one of its own.
fn declared(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), Misplaced> {
    let names = operation.variable_definitions.iter().map(|definition| definition.node.name.node.as_str());
    let mut uses = Uses { document, declared: names.collect(), spread: HashSet::new() };
    uses.directives(&operation.directives)?;
    uses.selection(&operation.selection_set.node)
}

struct Uses<'a> {
    document: &'a ExecutableDocument,
    declared: HashSet<&'a str>,
    spread: HashSet<&'a str>,
}

impl<'a> Uses<'a> {
    fn selection(&mut self, set: &'a SelectionSet) -> Result<(), Misplaced> {
        for item in &set.items {
            self.directives(item.node.directives())?;
            match &item.node {
                Selection::Field(field) => {
                    self.arguments(&field.node.arguments)?;
                    self.selection(&field.node.selection_set.node)?;
                }
                Selection::InlineFragment(inline) => self.selection(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(item) => {
                    let name = item.node.fragment_name.node.as_str();
                    let Some(fragment) =
                        self.document.fragments.get(name).filter(|_| self.spread.insert(name))
                    else {
                        continue;
                    };
                    self.directives(&fragment.node.directives)?;
                    self.selection(&fragment.node.selection_set.node)?;
                }
            }
        }
        Ok(())
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<(), Misplaced> {
        directives.iter().try_for_each(|directive| self.arguments(&directive.node.arguments))
    }

    fn arguments(&self, arguments: &[(Positioned<Name>, Positioned<Value>)]) -> Result<(), Misplaced> {
        arguments.iter().try_for_each(|(name, value)| self.value(name.pos, &value.node))
    }

    fn value(&self, pos: Pos, value: &Value) -> Result<(), Misplaced> {
        match value {
            Value::Variable(name) if !self.declared.contains(name.as_str()) => {
                let name = short(name);
                let text = format!("the variable `${name}` is used and not declared; write `(${name}: …)`");
                Err(Misplaced { error: Error::bad_request(text), locations: vec![pos] })
            }
            Value::List(items) => items.iter().try_for_each(|item| self.value(pos, item)),
            Value::Object(members) => members.values().try_for_each(|item| self.value(pos, item)),
            _ => Ok(()),
        }
    }
}
