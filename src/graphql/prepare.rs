//! From a request to something that can be executed: guard, parser, the slice of the schema that the document
//! names, validation, variables, plan. What does not depend on variables is cached; every cache is bounded.
//! Must not execute anything.

use std::collections::{BTreeSet, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::dynamic::Schema;
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use futures_util::FutureExt;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::answer::Fault;
use super::coerce::{self, Variables};
use super::collection::{self, Shown};
use super::cost::{rows, weight};
use super::fingerprint::fingerprint;
use super::model::{Model, TypeRef};
use super::names;
use super::operation::{allowed, choose, too_deep};
use super::plan::{self, Misplaced, Node};
use super::reach::{self, Mentioned, ROOTS, member_names, root};
use super::ready::{self, Ready, given};
use super::schema;
use super::{Context, Request, faults, guard, relation, rules};
use crate::config;
use crate::error::{Code, Error, Result};
use crate::policy::{Access, Scope};
use crate::publishing::{Visible, reach as related};

/// Says of which collections an actor's view is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Of the one that has a root field most like this name.
    Like(&'a str),
    /// Of those with these field names.
    Named(&'a BTreeSet<String>),
}

/// A parsed document that has passed the guard.
pub(super) struct Document {
    id: u64,
    parsed: ExecutableDocument,
    /// The length of its text.
    bytes: usize,
    /// The names of collections that it may be about.
    collections: BTreeSet<String>,
    /// What it names of the management part.
    mentioned: Mentioned,
    /// The names of all its fields, and of members of their arguments.
    fields: HashSet<String>,
    /// How many fields stand inside each other.
    depth: usize,
}

/// The management part and some collections, for validation and coercion.
pub(super) struct Slice {
    id: u64,
    /// The types; those of the management part are shared by all slices.
    pub(super) model: Model,
    /// What validates.
    schema: Schema,
    /// How many fields and values that has.
    members: usize,
}

impl Slice {
    /// How many fields and values it has.
    pub(super) fn members(&self) -> usize {
        self.members
    }
}

/// A valid operation. Holds neither its document nor its slice: whoever finds it has them, and they would outlive the
/// caches that bound them.
pub(super) struct Compiled {
    /// Whether its selection depends on variables.
    conditional: bool,
    nodes: Arc<[Node]>,
    /// About how much memory it takes.
    bytes: u64,
}

/// An operation with its variables, ready to be executed.
pub(super) struct Prepared {
    /// What it is.
    pub(super) kind: OperationType,
    /// What it was validated against.
    pub(super) slice: Arc<Slice>,
    /// Its merged selection.
    pub(super) nodes: Arc<[Node]>,
    /// Its coerced variables.
    pub(super) variables: Variables,
    /// The collections that it names.
    pub(super) collections: Arc<[Visible]>,
    /// How many fields stand inside each other in its document.
    pub(super) depth: usize,
}

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// One answer.
    Single,
    /// A stream of answers.
    Stream,
}

/// Weighs what is cached by about how much memory it takes: a single document can have a megabyte, a single slice
/// thousands of fields.
#[derive(Clone)]
struct Size;

impl Weighter<String, Arc<Document>> for Size {
    fn weight(&self, text: &String, _: &Arc<Document>) -> u64 {
        text.len() as u64 + 1
    }
}

impl Weighter<PlanKey, Arc<Compiled>> for Size {
    fn weight(&self, _: &PlanKey, compiled: &Arc<Compiled>) -> u64 {
        compiled.bytes
    }
}

impl Weighter<Vec<u8>, Arc<Slice>> for Size {
    fn weight(&self, _: &Vec<u8>, slice: &Arc<Slice>) -> u64 {
        slice.members() as u64
    }
}

type PlanKey = (u64, Option<String>, u64);

/// The caches.
pub(super) struct Preparer {
    config: Arc<config::Config>,
    management: Model,
    /// What is there of it under a contract.
    bare: Model,
    ids: AtomicU64,
    documents: Cache<String, Arc<Document>, Size>,
    slices: Cache<Vec<u8>, Arc<Slice>, Size>,
    plans: Cache<PlanKey, Arc<Compiled>, Size>,
    ready: ready::Kept,
}

/// The mean sizes that are reckoned with when the caches are bounded: of a document's text, of what it is compiled to,
/// and of a slice in fields and values.
const DOCUMENT_BYTES: u64 = 4_096;
const PLAN_BYTES: u64 = 16_384;
const SLICE_MEMBERS: u64 = 1_024;
/// How many unknown names of one document are compared with those of all collections.
const HINTS_MAX: usize = 3;
/// About what one field of a selection takes.
const NODE_BYTES: u64 = 256;

impl Preparer {
    /// Empty caches. The management part is part of the binary; a test says that it is a schema.
    pub(super) fn new(config: Arc<config::Config>) -> Self {
        let limits = &config.graphql;
        let of = |count: usize, size: u64| (count as u64).saturating_mul(size);
        let documents = of(limits.documents_max, DOCUMENT_BYTES);
        let plans = of(limits.documents_max, PLAN_BYTES);
        let slices = of(limits.slices_max, SLICE_MEMBERS);
        Preparer {
            management: Model::management().unwrap_or_default(),
            bare: Model::under_contract().unwrap_or_default(),
            ids: AtomicU64::new(0),
            documents: Cache::with_weighter(limits.documents_max, documents, Size),
            slices: Cache::with_weighter(limits.slices_max, slices, Size),
            plans: Cache::with_weighter(limits.documents_max, plans, Size),
            ready: ready::Kept::new(limits.documents_max, plans),
            config,
        }
    }

    /// How many documents, plans and slices are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> [usize; 3] {
        [self.documents.len(), self.plans.len(), self.slices.len()]
    }

    /// The names of the collections that a document may be about, when it is known.
    pub(super) fn named(&self, text: &str) -> BTreeSet<String> {
        self.documents.get(text).map(|document| document.collections.clone()).unwrap_or_default()
    }

    fn limits(&self) -> &config::Graphql {
        &self.config.graphql
    }

    /// Everything before execution. `visible` gives the actor's view of collections; it is asked for those that the
    /// document names, and for those whose name is like one that is not known and deserves a hint. Who has the same
    /// `standing` is given the same views, and is not asked about again while they are kept; without one, always.
    pub(super) async fn prepare(
        &self,
        context: &Context,
        request: &Request,
        transport: Transport,
        standing: Option<Vec<u8>>,
        visible: impl Fn(Wanted<'_>) -> Result<Vec<Visible>>,
    ) -> std::result::Result<Prepared, Vec<Fault>> {
        let one = |error| vec![Fault::of(context, error)];
        let document = self.document(context, &request.query)?;
        let name = request.operation_name.as_deref().filter(|name| !name.is_empty());
        let agreed = context.actor.contract.as_ref().and_then(|bound| bound.depth_max);
        if let Some(max) = agreed.filter(|max| document.depth > *max as usize) {
            return Err(one(too_deep(max)));
        }
        let operation = choose(&document.parsed, name).map_err(one)?;
        allowed(operation.ty, context, transport).map_err(one)?;
        let key = standing.map(|standing| ready::key(&standing, document.id, name));
        let found = key.as_deref().and_then(|key| self.ready.get(key, &request.variables));
        let (slice, compiled, collections) = match found {
            Some(found) => found,
            None => {
                let asked = (context, request, &*document, name);
                let found = Box::pin(self.found(asked, visible)).await?;
                let ready = Ready::new(&found, |name| document.fields.contains(name));
                if let Some(key) = key.filter(|_| !ready.is_left_by(&request.variables)) {
                    self.ready.put(key, ready);
                }
                found
            }
        };
        let variables = coerce::variables(&slice.model, operation, &request.variables).map_err(one)?;
        let nodes = if compiled.conditional {
            plan::compile(&slice.model, &document.parsed, operation, root(operation.ty), &variables)
                .map_err(|error| vec![Fault::at(context, error)])?
                .into()
        } else {
            compiled.nodes.clone()
        };
        self.affordable(&nodes, &variables, context.cost_max(self.limits()))
            .map_err(|error| vec![Fault::at(context, error)])?;
        Ok(Prepared { kind: operation.ty, slice, nodes, variables, collections, depth: document.depth })
    }

    /// What a document comes to for an actor, by way of its views.
    async fn found(
        &self,
        (context, request, document, name): (&Context, &Request, &Document, Option<&str>),
        visible: impl Fn(Wanted<'_>) -> Result<Vec<Visible>>,
    ) -> std::result::Result<ready::Found, Vec<Fault>> {
        let one = |error| vec![Fault::of(context, error)];
        let collections = visible(Wanted::Named(&document.collections))
            .and_then(|named| {
                let mentioned =
                    |name: &str| document.fields.contains(name) || given(&request.variables, name);
                related(named, mentioned, |others| visible(Wanted::Named(others)))
            })
            .map_err(one)?;
        let bound = context.actor.contract.is_some();
        let slice = self.slice(&collections, &document.mentioned, bound).map_err(one)?;
        let key = (document.id, name.map(str::to_owned), slice.id);
        let compiled = match self.plans.get(&key) {
            Some(compiled) => compiled,
            None => {
                let compiled = self.compile(context, document, name, &slice, &visible).await?;
                self.plans.insert(key, compiled.clone());
                compiled
            }
        };
        Ok((slice, compiled, collections.into()))
    }

    fn document(&self, context: &Context, text: &str) -> std::result::Result<Arc<Document>, Vec<Fault>> {
        if let Some(document) = self.documents.get(text) {
            return Ok(document);
        }
        let one = |error| vec![Fault::of(context, error)];
        let readable = guard::scan(text, self.limits()).map_err(one)?;
        let parsed = readable.parse().map_err(|error| vec![faults::syntax(&error)])?;
        let depth = guard::measure(&parsed, self.limits())
            .and_then(|depth| rules::check(&parsed).map(|()| depth))
            .map_err(|error| vec![Fault::at(context, error)])?;
        let (mut roots, mut fields) = (HashSet::new(), HashSet::new());
        for (_, operation) in parsed.operations.iter() {
            mention(&operation.node.selection_set.node, &mut roots);
            below(&operation.node.selection_set.node, &mut fields);
            let variables = operation.node.variable_definitions.iter();
            let defaults = variables.filter_map(|variable| variable.node.default_value.as_ref());
            defaults.for_each(|value| member_names(&value.node.clone().into_value(), &mut fields));
        }
        for fragment in parsed.fragments.values() {
            below(&fragment.node.selection_set.node, &mut fields);
            if ROOTS.contains(&fragment.node.type_condition.node.on.node.as_str()) {
                mention(&fragment.node.selection_set.node, &mut roots);
            }
        }
        let mentioned = Mentioned::new(&self.management, &parsed, roots.iter().copied());
        let ours =
            |name: &str| ["Query", "Mutation"].iter().any(|root| self.management.field(root, name).is_some());
        let collections = roots.into_iter().filter(|name| !ours(name)).flat_map(names::collections);
        let collections = collections.map(str::to_owned).collect();
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let document =
            Arc::new(Document { id, bytes: text.len(), collections, mentioned, fields, depth, parsed });
        self.documents.insert(text.to_owned(), document.clone());
        Ok(document)
    }

    /// The schema for these collections, as far as a document that mentions this can reach it.
    fn slice(&self, collections: &[Visible], mentioned: &Mentioned, bound: bool) -> Result<Arc<Slice>> {
        let mut key = visibility(collections, bound);
        mentioned.fingerprint(&mut key);
        self.slices.get_or_insert_with(&key, || {
            let model = self.model(collections, bound);
            let part = reach::part(&model, self.base(bound), mentioned);
            let schema = schema::register(&part, self.limits().nesting_max)?;
            let members = part.members();
            Ok(Arc::new(Slice { members, id: self.ids.fetch_add(1, Ordering::Relaxed), model, schema }))
        })
    }

    fn base(&self, bound: bool) -> &Model {
        if bound { &self.bare } else { &self.management }
    }

    /// The management part with these collections and the relations among them; under a contract (`bound`) of the
    /// management part only what these reach.
    pub(super) fn model(&self, collections: &[Visible], bound: bool) -> Model {
        let mut model = self.unrelated(collections, bound);
        relation::add(&mut model, collections);
        if bound { reach::reachable(&model) } else { model }
    }

    /// As [`Preparer::model`], each collection for itself.
    pub(super) fn unrelated(&self, collections: &[Visible], bound: bool) -> Model {
        let mut model = self.base(bound).clone();
        for (collection, scope) in collections {
            collection::add(&mut model, collection, &|id| shown(scope, id));
        }
        model
    }

    async fn compile(
        &self,
        context: &Context,
        document: &Document,
        name: Option<&str>,
        slice: &Slice,
        visible: &impl Fn(Wanted<'_>) -> Result<Vec<Visible>>,
    ) -> std::result::Result<Arc<Compiled>, Vec<Fault>> {
        let one = |error| vec![Fault::of(context, error)];
        let operation = choose(&document.parsed, name).map_err(one)?;
        known_types(&slice.model, &document.parsed)?;
        let mut request = async_graphql::Request::new(String::new());
        request.set_parsed_query(document.parsed.clone());
        request.operation_name = name.map(str::to_owned);
        // A rule that panics must not take the request's connection with it.
        let answer = AssertUnwindSafe(slice.schema.execute(request)).catch_unwind().await;
        let answer = answer.map_err(|_| one(Error::internal("a rule of validation panicked")))?;
        let conditional = !plan::conditions(&document.parsed, operation).is_empty();
        let compile = || {
            plan::compile(&slice.model, &document.parsed, operation, root(operation.ty), &Variables::new())
                .map_err(|error| vec![Fault::at(context, error)])
        };
        let mut errors: Vec<_> = answer.errors.iter().filter(|error| !faults::is_ours(error)).collect();
        // Two rules may find the same.
        errors.dedup_by(|a, b| a.message == b.message && a.locations == b.locations);
        if !errors.is_empty() {
            if !conditional && errors.iter().all(|error| faults::is_worded_better(error)) {
                compile()?;
            }
            let (mut told, mut looked) = (Vec::new(), 0);
            for error in errors.into_iter().take(self.limits().errors_max) {
                let root = faults::unknown_root(error).filter(|_| looked < HINTS_MAX);
                looked += usize::from(root.is_some());
                let alike = root.map(|name| visible(Wanted::Like(name))).transpose().map_err(one)?;
                told.push(faults::invalid(error, &slice.model, alike.as_deref()));
            }
            return Err(told);
        }
        let nodes = if conditional { Vec::new() } else { compile()? };
        let fields: usize = nodes.iter().map(Node::size).sum();
        // Constants come from the text.
        let bytes = (document.bytes as u64).saturating_add(NODE_BYTES.saturating_mul(fields as u64 + 1));
        Ok(Arc::new(Compiled { conditional, nodes: nodes.into(), bytes }))
    }

    /// Rows asked for times fields selected.
    fn affordable(&self, nodes: &[Node], variables: &Variables, cost_max: u64) -> Result<(), Misplaced> {
        let limits = self.limits();
        let mut cost = 0_u64;
        for node in nodes {
            let rows = rows(node, variables, limits);
            cost = cost.saturating_add(weight(node, rows, variables, limits));
            if cost > cost_max {
                let bound = cost_max;
                let text = format!(
                    "rows times fields come to more than `graphql.cost_max`, which is {bound}: ask for fewer"
                );
                return Err(Misplaced {
                    error: Error::new(Code::TooComplex, text),
                    locations: vec![node.pos],
                });
            }
        }
        Ok(())
    }
}

/// How a scope shows a field. One that is shown in some rows only must not be guessed by conditions in the
/// others.
fn shown(scope: &Scope, id: u32) -> Shown {
    match scope.access(id) {
        Access::Hidden => Shown::Hidden,
        Access::Visible if scope.comparable(id) => Shown::Visible,
        Access::Visible | Access::Masked(_) => Shown::Masked,
    }
}

/// What two actors share when their schemas are equal: whether they are under a contract (`bound`), collections,
/// shapes, and which field is shown how.
pub(super) fn visibility(collections: &[Visible], bound: bool) -> Vec<u8> {
    let mut key = vec![u8::from(bound)];
    for (collection, scope) in collections {
        fingerprint(collection, &|id| shown(scope, id), &mut key);
    }
    key
}

/// The names of the fields at the top of a set; those of fragments are found at the fragments.
fn mention<'a>(set: &'a SelectionSet, names: &mut HashSet<&'a str>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                names.insert(field.node.name.node.as_str());
            }
            Selection::InlineFragment(inline) => mention(&inline.node.selection_set.node, names),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// The names of all fields in a set, and of members of their arguments, at whatever depth; those of fragments are found
/// at the fragments.
fn below(set: &SelectionSet, names: &mut HashSet<String>) {
    for item in &set.items {
        match &item.node {
            Selection::Field(field) => {
                names.insert(field.node.name.node.to_string());
                for (_, value) in &field.node.arguments {
                    member_names(&value.node, names);
                }
                below(&field.node.selection_set.node, names);
            }
            Selection::InlineFragment(inline) => below(&inline.node.selection_set.node, names),
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Refuses unknown types of variables, at which a rule of validation would panic.
fn known_types(model: &Model, document: &ExecutableDocument) -> std::result::Result<(), Vec<Fault>> {
    for (_, operation) in document.operations.iter() {
        for definition in &operation.node.variable_definitions {
            let ty = TypeRef::from_parsed(&definition.node.var_type.node);
            let name = ty.name();
            let built_in = matches!(name, "Int" | "Float" | "String" | "Boolean" | "ID");
            if !built_in && model.get(name).is_none() {
                let text = format!("unknown type `{}`", coerce::short(name));
                return Err(vec![Fault::invalid(text, vec![definition.pos]).perhaps_stale()]);
            }
        }
    }
    Ok(())
}
