//! Introspection: answered by async-graphql on the whole schema of the actor, which is built when it is first
//! asked for and kept for all actors that see the same. Must not know rows.

use std::sync::Arc;

use async_graphql::dynamic::Schema;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, InlineFragment, OperationDefinition, Selection, SelectionSet,
};
use async_graphql::{Positioned, Value};
use quick_cache::sync::Cache;

use super::guard;
use super::plan::Node;
use super::prepare::{Prepared, Preparer, visibility};
use super::schema::{self, Purpose};
use crate::config;
use crate::error::{Error, Result};
use crate::publishing::Visible;
use crate::record::Json;

/// Lists that can be nested by way of types and fields; each level multiplies the answer.
const NESTING: [&str; 5] = ["types", "fields", "inputFields", "interfaces", "possibleTypes"];
/// All lists.
const LISTS: [&str; 4] = ["args", "enumValues", "directives", "locations"];

/// Whether a root field is introspection.
pub(super) fn is_introspection(node: &Node) -> bool {
    matches!(&*node.name, "__schema" | "__type")
}

/// Refuses introspection whose answer grows with a power of the schema.
///
/// # Errors
/// `TOO_COMPLEX`
pub(super) fn affordable(nodes: &[Node], limits: &config::Graphql) -> Result<()> {
    let mut lists = 0;
    for node in nodes.iter().filter(|node| is_introspection(node)) {
        lists += 1 + count(node, 0, limits.introspection_nesting_max)?;
    }
    if lists > limits.introspection_lists_max {
        let bound = limits.introspection_lists_max;
        return Err(guard::too_complex("introspection_lists_max", bound, "lists in its introspection"));
    }
    Ok(())
}

fn count(node: &Node, level: usize, level_max: usize) -> Result<usize> {
    let mut lists = 0;
    for child in &node.children {
        let nests = NESTING.contains(&&*child.name);
        let level = level + usize::from(nests);
        if level > level_max {
            let what = "lists inside each other in its introspection";
            return Err(guard::too_complex("introspection_nesting_max", level_max, what));
        }
        lists += usize::from(nests || LISTS.contains(&&*child.name)) + count(child, level, level_max)?;
    }
    Ok(lists)
}

/// Whole schemas by what is visible.
pub(super) struct Introspection {
    schemas: Cache<Vec<u8>, Arc<Schema>>,
}

impl Introspection {
    pub(super) fn new(schemas_max: usize) -> Self {
        Introspection { schemas: Cache::new(schemas_max) }
    }

    /// Answers the introspection fields of an operation; a JSON object by response key.
    ///
    /// # Errors
    /// `INTERNAL` when async-graphql fails.
    pub(super) async fn answer(
        &self,
        preparer: &Preparer,
        prepared: &Prepared,
        visible: &[Visible],
        recursion_max: usize,
    ) -> Result<serde_json::Value> {
        let schema = self.schemas.get_or_insert_with(&visibility(visible), || {
            let model = preparer.model(visible);
            schema::register(&model, Purpose::Introspect, recursion_max).map(Arc::new)
        })?;
        let mut request = async_graphql::Request::new(String::new());
        request.set_parsed_query(only_introspection(prepared.document(), prepared.operation()?));
        for (name, value) in &prepared.variables {
            request.variables.insert(async_graphql::Name::new(name), constant(value));
        }
        let answer = schema.execute(request).await;
        match answer.errors.first() {
            Some(error) => Err(Error::internal(error.message.clone())),
            None => answer.data.into_json().map_err(Error::internal),
        }
    }
}

fn constant(value: &Json) -> Value {
    Value::from_json(value.to_value()).unwrap_or_default()
}

/// The operation without its other root fields.
fn only_introspection(document: &ExecutableDocument, operation: &OperationDefinition) -> ExecutableDocument {
    let mut operation = operation.clone();
    operation.selection_set.node = reduced(&operation.selection_set.node, document);
    let pos = operation.selection_set.pos;
    ExecutableDocument {
        operations: DocumentOperations::Single(Positioned::new(operation, pos)),
        fragments: document.fragments.clone(),
    }
}

/// Root fields other than introspection are left out; fragments at the root are put in place.
fn reduced(set: &SelectionSet, document: &ExecutableDocument) -> SelectionSet {
    let mut items = Vec::new();
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                if matches!(field.node.name.node.as_str(), "__schema" | "__type") {
                    items.push(item.clone());
                }
            }
            Selection::InlineFragment(inline) => {
                let mut inline = inline.clone();
                inline.node.selection_set.node = reduced(&inline.node.selection_set.node, document);
                items.push(Positioned::new(Selection::InlineFragment(inline), item.pos));
            }
            Selection::FragmentSpread(spread) => {
                let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node) else {
                    continue;
                };
                let set = &fragment.node.selection_set;
                let inline = InlineFragment {
                    type_condition: Some(fragment.node.type_condition.clone()),
                    directives: spread.node.directives.clone(),
                    selection_set: Positioned::new(reduced(&set.node, document), set.pos),
                };
                let inline = Selection::InlineFragment(Positioned::new(inline, item.pos));
                items.push(Positioned::new(inline, item.pos));
            }
        }
    }
    SelectionSet { items }
}
