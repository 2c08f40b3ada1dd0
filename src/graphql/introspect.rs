//! Introspection, and whatever else is about all that an actor may see: the whole schema is built when it is asked for,
//! off the request path, one at a time, and kept for all actors that see the same as far as there is room. Must not
//! know rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quick_cache::{Weighter, sync::Cache};
use tokio::sync::Semaphore;

use super::describe::Describer;
use super::guard;
use super::model::Model;
use super::plan::Node;
use super::prepare::{Prepared, Preparer, visibility};
use crate::config;
use crate::error::{Error, Result};
use crate::publishing::Visible;
use crate::record::Actor;

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

/// About what a field or value of a schema takes, with its names and description.
const MEMBER_BYTES: u64 = 256;
/// How many schemas the cache makes room for at first.
const SCHEMAS_GUESS: usize = 8;

/// Weighs schemas by about how much memory they take.
#[derive(Clone)]
struct Size;

impl Weighter<Vec<u8>, Arc<Model>> for Size {
    fn weight(&self, key: &Vec<u8>, model: &Arc<Model>) -> u64 {
        key.len() as u64 + bytes(model)
    }
}

fn bytes(model: &Model) -> u64 {
    MEMBER_BYTES * (model.members() as u64 + 1)
}

/// The collections that exist for an actor.
type Visibles = dyn Fn(&Actor) -> Result<Vec<Visible>> + Send + Sync;

/// Whole schemas by what is visible.
pub(super) struct Whole {
    visible: Box<Visibles>,
    preparer: Arc<Preparer>,
    schemas: Cache<Vec<u8>, Arc<Model>, Size>,
    /// Held while one is built and read: however many ask, and go away, they take one thread.
    one: Arc<Semaphore>,
    built: AtomicUsize,
}

impl Whole {
    /// None are built yet; those that are kept take about `bytes_max`.
    pub(super) fn new(visible: Box<Visibles>, preparer: Arc<Preparer>, bytes_max: usize) -> Self {
        let schemas = Cache::with_weighter(SCHEMAS_GUESS, bytes_max as u64, Size);
        Whole { visible, preparer, schemas, one: Arc::new(Semaphore::new(1)), built: AtomicUsize::new(0) }
    }

    /// How many have been built.
    #[cfg(test)]
    pub(super) fn built(&self) -> usize {
        self.built.load(Ordering::Relaxed)
    }

    /// What `read` makes of all that this actor may see. Who asks meanwhile for the same waits, and gets the same.
    ///
    /// # Errors
    /// Those of `read`; `INTERNAL` when it panics.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        actor: &Actor,
        read: impl FnOnce(&Model) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let one = self.one.clone().acquire_owned().await.map_err(Error::internal)?;
        let (this, actor) = (self.clone(), actor.clone());
        let work = move || {
            // Who asked may be gone; the thread is not.
            let _one = one;
            read(&*this.model(&actor)?)
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }

    /// The answers of the fields of introspection among `nodes`, by their response keys.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when they are larger than an answer may be.
    pub(super) async fn answers(
        self: &Arc<Self>,
        actor: &Actor,
        prepared: &Prepared,
        bytes_max: usize,
    ) -> Result<HashMap<Arc<str>, Vec<u8>>> {
        let (nodes, variables) = (prepared.nodes.clone(), prepared.variables.clone());
        let answers = move |model: &Model| {
            let describer = Describer::new(model, &variables, bytes_max)?;
            let asked = nodes.iter().filter(|node| is_introspection(node));
            asked.map(|node| Ok((node.key.clone(), describer.root(node)?))).collect()
        };
        self.read(actor, answers).await
    }

    fn model(&self, actor: &Actor) -> Result<Arc<Model>> {
        let (visible, bound) = ((self.visible)(actor)?, actor.contract.is_some());
        self.schemas.get_or_insert_with(&visibility(&visible, bound), || {
            let built = self.built.fetch_add(1, Ordering::Relaxed) + 1;
            let model = self.preparer.model(&visible, bound);
            let (collections, bytes) = (visible.len(), bytes(&model));
            tracing::debug!(collections, bytes, built, "a whole schema was built");
            Ok(Arc::new(model))
        })
    }
}
