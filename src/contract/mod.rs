//! Contracts: what one consumer is promised, as data: which collections and fields under which names and types, which
//! rows, masks, formats and limits. A contract only ever narrows what the policies allow. Pure: read from text,
//! checked, compared with another version, and laid over a collection; must not know who asks or how contracts are
//! kept.

mod check;
mod diff;
mod drift;
mod parse;
mod terms;
mod view;

pub use check::check;
pub use diff::{Change, diff};
pub use drift::{Drift, drifts};
pub use parse::parse;
pub use terms::{Block, Consumer, Contract, Format, Freshness, Limits, MaskTerm, Terms, Transport, UnitTerm};
pub use view::{Narrowed, narrow};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::record::Actor;
use crate::shape::Published;

/// A contract in force, with the shapes that it is pinned to, by the names of their collections.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// What was agreed.
    pub contract: Contract,
    /// The shapes of the versions that it names.
    pub pinned: BTreeMap<String, Arc<Published>>,
}

/// All contracts at one moment; immutable.
#[derive(Clone, Debug, Default)]
pub struct Contracts {
    /// By name, and version.
    all: BTreeMap<String, BTreeMap<u32, Arc<Agreed>>>,
}

impl Contracts {
    /// These.
    pub fn new(agreed: impl IntoIterator<Item = Agreed>) -> Self {
        let mut all: BTreeMap<String, BTreeMap<u32, Arc<Agreed>>> = BTreeMap::new();
        for one in agreed {
            let (name, version) = (one.contract.name.clone(), one.contract.version);
            all.entry(name).or_default().insert(version, Arc::new(one));
        }
        Contracts { all }
    }

    /// One version of a contract.
    pub fn get(&self, name: &str, version: u32) -> Option<&Arc<Agreed>> {
        self.all.get(name)?.get(&version)
    }

    /// The newest version of a contract.
    pub fn newest(&self, name: &str) -> Option<&Arc<Agreed>> {
        self.all.get(name)?.last_key_value().map(|(_, agreed)| agreed)
    }

    /// The one that a text names, `name` for the newest version or `name@version`.
    pub fn named(&self, text: &str) -> Option<&Arc<Agreed>> {
        match text.split_once('@') {
            None => self.newest(text),
            Some((name, version)) => self.get(name, version.parse().ok()?),
        }
    }

    /// All, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Agreed>> {
        self.all.values().flat_map(BTreeMap::values)
    }

    /// The newest versions of those contracts that have this actor as a consumer.
    pub fn of<'a>(&'a self, actor: &'a Actor) -> impl Iterator<Item = &'a Arc<Agreed>> {
        let newest = self.all.values().filter_map(|versions| versions.values().next_back());
        newest.filter(|agreed| agreed.contract.has(actor))
    }
}
