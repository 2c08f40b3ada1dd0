//! Contracts in force, and what an actor under one of them may read: what the policies allow it, less whatever the
//! contract does not promise. The only place where both meet; must not let a contract add anything.

use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::{Weighter, sync::Cache};

use super::engine::{Action, Engine, ScopeKey};
use super::fields::{children, strictest};
use super::filter;
use super::scope::{Access, Scope};
use crate::contract::{Agreed, Contract, Contracts, Narrowed, narrow};
use crate::error::{Error, Result};
use crate::query::{Cast, Collection, Mask};
use crate::record::{Actor, Bound};
use crate::shape::{Field, Kind, Scalar};

/// A collection with what an actor may see of it.
pub type View = (Arc<Collection>, Arc<Scope>);

/// About what a field of a collection takes.
const FIELD_BYTES: usize = 256;
/// How many views the cache makes room for at first.
const VIEWS_GUESS: usize = 256;

/// The contracts in force, replaceable while the system runs, and the views under them.
pub(super) struct Held {
    current: ArcSwap<Current>,
    views: Cache<ViewKey, Option<View>, Bytes>,
}

#[derive(Default)]
struct Current {
    /// Raised by every change.
    serial: u64,
    contracts: Arc<Contracts>,
}

/// What a view depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ViewKey {
    scope: ScopeKey,
    bound: Bound,
    serial: u64,
}

/// Weighs views by the memory that they take, roughly.
#[derive(Clone)]
struct Bytes;

impl Weighter<ViewKey, Option<View>> for Bytes {
    fn weight(&self, _: &ViewKey, view: &Option<View>) -> u64 {
        let bytes = view
            .as_ref()
            .map_or(0, |(collection, scope)| scope.bytes() + collection.shape.fields().count() * FIELD_BYTES);
        (size_of::<ViewKey>() + bytes) as u64
    }
}

impl Held {
    pub(super) fn new(bytes_max: usize) -> Self {
        let views = Cache::with_weighter(VIEWS_GUESS, bytes_max as u64, Bytes);
        Held { current: ArcSwap::default(), views }
    }

    pub(super) fn serial(&self) -> u64 {
        self.current.load().serial
    }

    /// What is left of a scope under a contract; none when that does not name the collection or does not fit it.
    pub(super) fn view(
        &self,
        bound: &Bound,
        key: ScopeKey,
        collection: &Collection,
        scope: &Scope,
    ) -> Option<View> {
        let current = self.current.load();
        let agreed = current.contracts.get(&bound.name, bound.version)?;
        let key = ViewKey { scope: key, bound: bound.clone(), serial: current.serial };
        if let Some(view) = self.views.get(&key) {
            return view;
        }
        let view = narrowed(agreed, collection, scope);
        self.views.insert(key, view.clone());
        view
    }
}

fn narrowed(agreed: &Agreed, collection: &Collection, scope: &Scope) -> Option<View> {
    let contract = &agreed.contract;
    let terms = contract.collections.get(&collection.field_name)?;
    let pinned = agreed.pinned.get(&collection.field_name).map(Arc::as_ref);
    match narrow(collection, contract, terms, pinned) {
        Ok(narrowed) => {
            let scope = less(scope, &narrowed)?;
            Some((narrowed.collection, Arc::new(scope)))
        }
        Err(error) => {
            let (contract, collection) = (contract.label(), &collection.field_name);
            tracing::error!(contract, %collection, reason = error.message(),
                "a contract does not fit its collection any more; nothing of it is shown");
            None
        }
    }
}

/// A scope without what the contract does not name; none when nothing is left.
fn less(scope: &Scope, narrowed: &Narrowed) -> Option<Scope> {
    let mut fields = scope.fields.clone();
    for (id, access) in &mut fields {
        *access = match (narrowed.fields.get(id), &*access) {
            (None, _) | (_, Access::Hidden) => Access::Hidden,
            (Some((agreed, scalar)), access) => masked(access, agreed.as_ref(), *scalar),
        };
    }
    objects(&narrowed.collection.shape.fields, &mut fields);
    if fields.values().all(|access| *access == Access::Hidden) {
        return None;
    }
    let shape = &narrowed.collection.shape;
    let casts = narrowed.collection.narrow.as_ref().map(|narrow| narrow.casts.iter());
    // What the database can narrow is compared as it is shown.
    let compared = |id: u32, cast: &Cast| {
        let single = shape.field(id).is_some_and(|field| matches!(field.kind, Kind::Scalar(_)));
        single && cast.narrowing().is_some()
    };
    let casts = casts.into_iter().flatten().filter(|(id, cast)| !compared(**id, cast)).map(|(id, _)| *id);
    let mut conditional = scope.conditional.clone();
    conditional.retain(|id, _| narrowed.fields.contains_key(id));
    Some(Scope {
        rows: filter::and([scope.rows.clone(), narrowed.rows.clone()]),
        fields,
        conditional,
        rest: if narrowed.rest { scope.rest.clone() } else { Access::Hidden },
        // It has texts of any field, of those too that are not in the contract.
        rescued: Access::Hidden,
        cast: casts.collect(),
    })
}

/// The strictest of what both ask for.
fn masked(access: &Access, agreed: Option<&Mask>, scalar: Scalar) -> Access {
    let own = if let Access::Masked(mask) = access { Some(mask) } else { None };
    strictest(own.into_iter().chain(agreed).cloned(), scalar).map_or(Access::Visible, Access::Masked)
}

/// Hides objects in which nothing is left to be seen; says whether anything on this level is.
fn objects(kept: &[Field], fields: &mut std::collections::BTreeMap<u32, Access>) -> bool {
    let mut any = false;
    for field in kept {
        let below = children(&field.kind).is_none_or(|children| objects(children, fields));
        let access = fields.entry(field.id).or_insert(Access::Hidden);
        match access {
            _ if !below => *access = Access::Hidden,
            // Masks are for what is in it: these have got them already.
            Access::Masked(_) if field.kind.maps() == 0 && children(&field.kind).is_some() => {
                *access = Access::Visible;
            }
            _ => {}
        }
        any |= *access != Access::Hidden;
    }
    any
}

/// The actor under this contract.
fn under(actor: &Actor, agreed: &Agreed) -> Arc<Actor> {
    let Contract { name, version, limits, .. } = &agreed.contract;
    let bound = Bound {
        name: name.clone(),
        version: *version,
        depth_max: limits.depth_max,
        cost_max: limits.cost_max,
        concurrent_max: limits.concurrent_max,
    };
    Arc::new(Actor { contract: Some(bound), ..actor.clone() })
}

/// What a pledge is to, and what is asked for within it; a version of its own leaves no choice.
fn pledged<'a>(contracts: &'a Contracts, pledge: &Bound, wanted: Option<&str>) -> Option<&'a Arc<Agreed>> {
    let own = if pledge.version == 0 {
        contracts.newest(&pledge.name)
    } else {
        contracts.get(&pledge.name, pledge.version)
    };
    let Some(wanted) = wanted.filter(|wanted| *wanted != pledge.name) else { return own };
    let asked = contracts.named(wanted).filter(|asked| asked.contract.name == pledge.name)?;
    (pledge.version == 0 || asked.contract.version == pledge.version).then_some(asked)
}

fn not_in_force(pledge: &Bound) -> Error {
    let name = &pledge.name;
    let label = if pledge.version == 0 { name.clone() } else { format!("{name}@{}", pledge.version) };
    Error::not_found(format!(
        "you read under the contract `{label}` and no other, and it is not in force as you ask for it; leave the \
         header `Wellspring-Contract` out, or ask an administrator"
    ))
}

impl Engine {
    /// Puts these contracts in force instead of those that were. Scopes and views of before are not used any more.
    pub fn agree(&self, contracts: Contracts) {
        let serial = self.bound.serial() + 1;
        self.bound.current.store(Arc::new(Current { serial, contracts: contracts.into() }));
    }

    /// The contracts in force.
    pub fn contracts(&self) -> Arc<Contracts> {
        self.bound.current.load().contracts.clone()
    }

    /// Whether an actor is bound by a contract, whatever it asks for.
    pub(super) fn is_bound(&self, actor: &Actor) -> bool {
        let current = self.bound.current.load();
        current.contracts.of(actor).next().is_some() && self.allow(actor, Action::Administer).is_err()
    }

    /// The actor under the contract that it asks for, `name` or `name@version`, or by which it is bound anyway. Who may
    /// administer is bound by none that it does not ask for, and may try any. Who has a contract already, by an API
    /// key, has that one and no other, whatever its claims and roles.
    ///
    /// # Errors
    /// `NOT_FOUND` for a contract that is not there for this actor, `BAD_REQUEST` when it has several and does not say
    /// which.
    pub fn bind(&self, actor: Arc<Actor>, wanted: Option<&str>) -> Result<Arc<Actor>> {
        let current = self.bound.current.load();
        let contracts = &current.contracts;
        if let Some(pledge) = &actor.contract {
            let agreed = pledged(contracts, pledge, wanted).ok_or_else(|| not_in_force(pledge))?;
            return Ok(under(&actor, agreed));
        }
        if let Some(wanted) = wanted {
            let found = contracts.named(wanted);
            let administers = || self.allow(&actor, Action::Administer).is_ok();
            let found = found.filter(|agreed| agreed.contract.has(&actor) || administers());
            let agreed = found.ok_or_else(|| self.unknown(&actor, wanted))?;
            return Ok(under(&actor, agreed));
        }
        let own: Vec<&Arc<Agreed>> = contracts.of(&actor).collect();
        let Some((first, others)) = own.split_first() else { return Ok(actor) };
        if self.allow(&actor, Action::Administer).is_ok() {
            return Ok(actor);
        }
        if !others.is_empty() {
            let names: Vec<_> = own.iter().map(|one| one.contract.name.as_str()).collect();
            let text = format!(
                "you have several contracts: say which by the header `Wellspring-Contract`, one of `{}`",
                names.join("`, `")
            );
            return Err(Error::bad_request(text));
        }
        Ok(under(&actor, first))
    }

    fn unknown(&self, actor: &Actor, wanted: &str) -> Error {
        let short: String = wanted.chars().take(100).collect();
        let contracts = self.contracts();
        let own: Vec<_> = contracts.of(actor).map(|agreed| agreed.contract.label()).collect();
        let hint = match own.as_slice() {
            [] => "; leave the header out".to_owned(),
            own => format!("; yours are `{}`", own.join("`, `")),
        };
        Error::not_found(format!("there is no contract `{short}` for you{hint}"))
    }
}
