//! Publishing: reads collections and tails their changes, only ever through a query that policy has scoped.
//! Must not know HTTP or GraphQL documents.

mod advisor;
mod api_keys;
mod candidates;
mod compare;
mod contracts;
mod decide;
mod enums;
mod events;
mod explain;
mod export;
mod history;
mod judge;
mod manage;
mod modes;
mod reads;
mod related;
mod relations;
mod subscribe;
mod tail;
mod unions;
mod wait;

use std::ops::Bound;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

pub use crate::query::Root;
pub use api_keys::NewKey;
pub use contracts::Seen;
pub use decide::Classify;
pub use events::Events;
pub use export::{Export, Step};
pub use manage::Asked;
pub use reads::{Ended, Path};
pub use related::{leads, reach};
pub use relations::{Accept, End};
pub use unions::AcceptUnion;

use crate::config;
use crate::error::Result;
use crate::policy;
use crate::query::{Ask, Budget, Collection, Selected, compile_beyond, is_marked};
use crate::record::{Actor, Signer};
use crate::store::Store;
use related::{Around, Tree};

/// A collection with what an actor may see of it.
pub type Visible = policy::View;

/// A collection that was read, by which way, and how many rows or groups were given out of it.
pub type Touched = (i64, Path, usize);

/// The publishing service; cheap to clone.
#[derive(Clone)]
pub struct Publishing(Arc<Inner>);

struct Inner {
    store: Store,
    policy: Arc<policy::Engine>,
    limits: config::Graphql,
    shape: config::Shape,
    contracts: config::Contracts,
    auth: config::Auth,
    relations: config::Relations,
    reads: config::Reads,
    notes: reads::Notes,
    advisor: config::Advisor,
    /// Whether new fields are kept for stewards.
    guarded: bool,
    consistency: config::Consistency,
    statistics: config::Statistics,
    subscriptions: config::Subscriptions,
    signer: Signer,
    hubs: tail::Hubs,
    /// One permit for each open subscription.
    open: Arc<Semaphore>,
    /// One permit for each read that waits for what it is to see.
    waits: Semaphore,
}

impl Publishing {
    /// The service. `secret` is the signing key: cursors are signed and values hashed with keys derived from
    /// it.
    pub fn new(store: Store, policy: Arc<policy::Engine>, config: &config::Config, secret: &[u8]) -> Self {
        store.catalog.set_limits(config);
        let open = config.subscriptions.open_max.min(Semaphore::MAX_PERMITS);
        Publishing(Arc::new(Inner {
            store,
            policy,
            limits: config.graphql.clone(),
            shape: config.shape.clone(),
            contracts: config.contracts.clone(),
            auth: config.auth.clone(),
            relations: config.relations.clone(),
            reads: config.reads.clone(),
            notes: reads::Notes::default(),
            advisor: config.advisor.clone(),
            guarded: config.is_guarded(),
            consistency: config.consistency.clone(),
            statistics: config.statistics.clone(),
            subscriptions: config.subscriptions.clone(),
            signer: Signer::new(secret),
            hubs: tail::Hubs::new(&config.subscriptions),
            open: Arc::new(Semaphore::new(open)),
            waits: Semaphore::new(config.consistency.waits_max.min(Semaphore::MAX_PERMITS)),
        }))
    }

    /// The collections that exist for this actor, each with what it may see of it, by field name.
    pub fn visible(&self, actor: &Actor) -> Result<Vec<Visible>> {
        let catalog = self.0.store.catalog.load();
        self.scopes(actor, &catalog.collections, catalog.collections.values())
    }

    /// As [`Publishing::visible`], at most so many of those behind a field name.
    pub fn visible_after(&self, actor: &Actor, after: Option<&str>, first: usize) -> Result<Vec<Visible>> {
        let catalog = self.0.store.catalog.load();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let viewer = self.0.policy.viewer(actor, &catalog.collections)?;
        let mut visible = Vec::new();
        for (_, collection) in catalog.collections.range::<str, _>((from, Bound::Unbounded)) {
            if visible.len() >= first {
                break;
            }
            visible.extend(viewer.view(collection)?);
        }
        Ok(visible)
    }

    /// As [`Publishing::visible`], of those with these field names only: a scope that is not known yet takes time to
    /// compile.
    pub fn visible_among<'a>(
        &self,
        actor: &Actor,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Visible>> {
        let catalog = self.0.store.catalog.load();
        let named = names.into_iter().filter_map(|name| catalog.collections.get(name));
        self.scopes(actor, &catalog.collections, named)
    }

    /// Of the collections that exist for this actor the one whose field name is most alike; one that is not alike when
    /// there is none. `likeness` is more than 0 of what is alike.
    pub fn visible_like(&self, actor: &Actor, likeness: impl Fn(&str) -> f64) -> Result<Option<Visible>> {
        let catalog = self.0.store.catalog.load();
        let mut ranked: Vec<(f64, &Arc<Collection>)> =
            catalog.collections.values().map(|one| (likeness(&one.field_name), one)).collect();
        ranked.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let viewer = self.0.policy.viewer(actor, &catalog.collections)?;
        for (_, collection) in ranked {
            if let Some(view) = viewer.view(collection)? {
                return Ok(Some(view));
            }
        }
        Ok(None)
    }

    fn scopes<'a>(
        &self,
        actor: &Actor,
        all: &policy::Collections,
        wanted: impl Iterator<Item = &'a Arc<Collection>>,
    ) -> Result<Vec<Visible>> {
        let mut visible = Vec::new();
        let viewer = self.0.policy.viewer(actor, all)?;
        for collection in wanted {
            visible.extend(viewer.view(collection)?);
        }
        Ok(visible)
    }

    /// What decides what an actor sees of the collections that there are: who has the same sees the same.
    pub fn standing(&self, actor: &Actor) -> Result<Vec<u8>> {
        let mut standing = self.version().to_le_bytes().to_vec();
        self.0.policy.standing(actor, &mut standing)?;
        Ok(standing)
    }

    /// Whether an actor may ask in this way: [`policy::Engine::allow_request`].
    ///
    /// # Errors
    /// `FORBIDDEN`
    pub fn allow_request(&self, actor: &Actor, request: &policy::Request) -> Result<()> {
        self.0.policy.allow_request(actor, request)
    }

    /// Whether an actor may administer.
    pub fn administers(&self, actor: &Actor) -> bool {
        self.0.policy.allow(actor, policy::Action::Administer).is_ok()
    }

    /// What this node knows of collections: raised by each published version.
    pub fn version(&self) -> i64 {
        self.0.store.catalog.load().version
    }

    /// Reads what other nodes have published; whether there is now more than at `version`. A database that is away has
    /// nothing new.
    pub async fn refresh(&self, version: i64) -> bool {
        if let Err(error) = self.0.store.catalog.refresh().await {
            tracing::debug!(%error, "the catalog was not refreshed");
        }
        self.version() != version
    }

    /// Answers one root field of `from`: appends its JSON value to `out`. The selection has been validated against the
    /// schema slice; arguments are coerced; relations are followed among `visible`, each level as it is when the one
    /// above has been read. With `minCursor` it waits for what that names first. What is appended is taken from
    /// `budget`. Returns what was read. On an error nothing has been appended.
    pub async fn read(
        &self,
        from: &Visible,
        visible: &[Visible],
        root: Root,
        field: &Selected,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Touched>> {
        if let Some(cursor) = field.text("minCursor")? {
            Box::pin(self.wait_for(cursor)).await?;
        }
        let tree = self.scoped(from, visible, root, field)?;
        if tree.query.get().as_of().is_some() && judge::follows(&tree.query) {
            let text = "which rows you may see depends on related rows, so `asOf` cannot be asked";
            return Err(crate::error::Error::bad_request(text));
        }
        let start = out.len();
        let fetched = match tree.query.get().ask() {
            Ask::History(asked) => Box::pin(self.history(&tree.query, asked, budget, out)).await,
            _ => self.0.store.fetch(&tree.query, &self.0.signer, budget, out).await,
        };
        let read = match fetched {
            Ok(rows) if is_marked(out.get(start..).unwrap_or_default()) => {
                let mut answer = out.split_off(start);
                let filled = self.filled(&tree, &mut [&mut answer], budget).await;
                out.append(&mut answer);
                filled.map(|()| rows)
            }
            read => read,
        };
        if read.is_err() {
            out.truncate(start);
        }
        let mut touched = vec![(from.0.id, Path::Root(root), read?)];
        tree.touched(&mut touched);
        Ok(touched)
    }

    /// Opens a subscription; each item is the JSON value of the root field. The actor's scope is asked again
    /// for every shape version and policy version. The last item of a subscription that cannot go on is an
    /// error.
    pub async fn subscribe(
        &self,
        actor: Arc<Actor>,
        collection: &Collection,
        field: Selected,
    ) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
        subscribe::open(self.clone(), actor, collection, field).await
    }

    fn scoped(&self, from: &Visible, visible: &[Visible], root: Root, field: &Selected) -> Result<Tree> {
        let with = (&self.0.limits, &self.0.signer);
        self.tree(from, visible, compile_beyond(&from.0, root, field, &Around(visible), with)?)
    }
}

/// A user's text, cut for a message.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
