//! What is ready of a document for those who see the same: its collections as they see them, the slice of the schema
//! and the compiled operation, found by one key instead of by way of policies and fingerprints. Must not know rows.

use std::sync::{Arc, Weak};

use quick_cache::{Weighter, sync::Cache};

use super::prepare::{Compiled, Slice};
use crate::publishing::Visible;
use crate::record::Json;

/// What is ready of one operation.
pub(super) struct Ready {
    /// The slice and the plan belong to the caches that bound them: when they have gone there, nothing is ready.
    slice: Weak<Slice>,
    compiled: Weak<Compiled>,
    /// The collections that it names, with those that relations of them lead to.
    collections: Arc<[Visible]>,
    /// The names of relations that the document does not follow: variables which have one lead to other collections.
    unfollowed: Vec<String>,
}

/// The same, taken out of the cache.
pub(super) type Found = (Arc<Slice>, Arc<Compiled>, Arc<[Visible]>);

impl Ready {
    /// What was found for a document whose fields are `named`.
    pub(super) fn new((slice, compiled, collections): &Found, named: impl Fn(&str) -> bool) -> Self {
        let relations = collections.iter().flat_map(|(collection, _)| collection.shape.relations());
        let unfollowed =
            relations.map(|relation| &relation.name).filter(|name| !named(name)).cloned().collect();
        let (slice, compiled) = (Arc::downgrade(slice), Arc::downgrade(compiled));
        Ready { slice, compiled, collections: collections.clone(), unfollowed }
    }

    /// Whether these variables lead to collections that are not among its own.
    pub(super) fn is_left_by(&self, variables: &[(String, Json)]) -> bool {
        self.unfollowed.iter().any(|name| given(variables, name))
    }

    fn found(&self) -> Option<Found> {
        Some((self.slice.upgrade()?, self.compiled.upgrade()?, self.collections.clone()))
    }
}

/// Whether a member of the variables has this name.
pub(super) fn given(variables: &[(String, Json)], wanted: &str) -> bool {
    let mut found = false;
    variables.iter().for_each(|(_, value)| value.names(&mut |name| found |= name == wanted));
    found
}

/// Weighs by about how much memory the scopes take, which may be nobody else's any more.
#[derive(Clone)]
struct Size;

impl Weighter<Vec<u8>, Arc<Ready>> for Size {
    fn weight(&self, key: &Vec<u8>, ready: &Arc<Ready>) -> u64 {
        let scopes: usize = ready.collections.iter().map(|(_, scope)| scope.bytes()).sum();
        (size_of::<Ready>() + key.len() + scopes) as u64
    }
}

/// What is ready.
pub(super) struct Kept(Cache<Vec<u8>, Arc<Ready>, Size>);

impl Kept {
    /// Nothing yet; so many operations that take so many bytes at most.
    pub(super) fn new(count: usize, bytes: u64) -> Self {
        Kept(Cache::with_weighter(count, bytes, Size))
    }

    /// What is ready under this key, where these variables stay with it.
    pub(super) fn get(&self, key: &[u8], variables: &[(String, Json)]) -> Option<Found> {
        self.0.get(key).filter(|ready| !ready.is_left_by(variables))?.found()
    }

    /// From now on this is ready.
    pub(super) fn put(&self, key: Vec<u8>, ready: Ready) {
        self.0.insert(key, Arc::new(ready));
    }
}

/// The key of an operation for those who see the same: what decides that, the document's number, the operation's name.
pub(super) fn key(standing: &[u8], document: u64, operation: Option<&str>) -> Vec<u8> {
    let operation = operation.unwrap_or_default().as_bytes();
    let mut key = Vec::with_capacity(standing.len() + operation.len() + 16);
    key.extend_from_slice(&document.to_le_bytes());
    key.extend_from_slice(&operation.len().to_le_bytes());
    key.extend_from_slice(operation);
    key.extend_from_slice(standing);
    key
}
