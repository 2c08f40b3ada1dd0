//! Collections and their published shapes: stored versions, and each node's cache of them. Must not publish
//! anything itself: [`rows`](super::rows) does, in the transaction of the effects that uncover something new.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Store;
use super::db::{Db, Row};
use crate::config;
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::shape::{Published, Shape};

/// The most structures of one collection that a node remembers as merged.
const MERGED_MAX: usize = 65_536;

/// All collections at one moment; immutable.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Raised by every published version of any collection.
    pub version: i64,
    /// By field name.
    pub collections: BTreeMap<String, Arc<Collection>>,
    /// Those that may refuse documents.
    rejecting: Vec<Arc<Collection>>,
}

impl Catalog {
    /// The collection that a category and subcategory feed.
    pub fn fed_by(&self, category: &str, subcategory: &str) -> Option<&Arc<Collection>> {
        self.collections
            .values()
            .find(|collection| collection.category == category && collection.subcategory == subcategory)
    }

    /// The collection that a category and subcategory feed, if it may refuse documents.
    pub fn rejecting(&self, category: &str, subcategory: &str) -> Option<&Arc<Collection>> {
        let mut all = self.rejecting.iter();
        all.find(|collection| collection.category == category && collection.subcategory == subcategory)
    }

    /// The collection with this number.
    pub fn by_id(&self, id: i64) -> Option<&Arc<Collection>> {
        self.collections.values().find(|collection| collection.id == id)
    }
}

/// Bounds that the writing side of collections keeps.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of what is published.
    pub shape: config::Shape,
    /// How many changes of a collection are kept.
    pub changes_kept_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        let changes_kept_max = config::Store::default().changes_kept_max;
        Limits { shape: config::Shape::default(), changes_kept_max }
    }
}

/// What a node knows of a collection's merged shape; only ever a hint, the database has the truth.
#[derive(Default)]
struct Merged {
    /// The version that publishes all of it: no use for who still works with an older one.
    version: u32,
    shape: Option<Arc<Shape>>,
    /// Structures that change nothing when merged into it.
    covered: HashSet<i64>,
}

struct Inner {
    db: Db,
    current: ArcSwap<Catalog>,
    limits: ArcSwap<Limits>,
    merged: Mutex<HashMap<i64, Merged>>,
    /// How many refreshes have begun.
    begun: AtomicU64,
    /// The last one that succeeded; held by the one at work.
    refreshing: tokio::sync::Mutex<u64>,
}

/// This node's current catalog; cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

impl Cache {
    /// Reads the catalog of a migrated database.
    pub(super) async fn open(db: Db) -> Result<Self> {
        let cache = Cache(Arc::new(Inner {
            db,
            current: ArcSwap::default(),
            limits: ArcSwap::default(),
            merged: Mutex::default(),
            begun: AtomicU64::new(0),
            refreshing: tokio::sync::Mutex::default(),
        }));
        cache.refresh().await?;
        Ok(cache)
    }

    /// The catalog now: one atomic load.
    pub fn load(&self) -> Arc<Catalog> {
        self.0.current.load_full()
    }

    /// Takes the bounds from the configuration.
    pub fn set_limits(&self, config: &config::Config) {
        self.0.limits.store(Arc::new(Limits {
            shape: config.shape.clone(),
            changes_kept_max: config.store.changes_kept_max,
        }));
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        self.0.limits.load_full()
    }

    /// Reads what is newer from the database. Whoever asks while another is at work waits for the next one together
    /// with all others that do, so that however many ask, nobody waits for more than two.
    pub async fn refresh(&self) -> Result<Arc<Catalog>> {
        let asked = self.0.begun.load(Ordering::SeqCst);
        let mut succeeded = self.0.refreshing.lock().await;
        if *succeeded > asked {
            return Ok(self.load());
        }
        let number = self.0.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let catalog = self.read().await?;
        *succeeded = number;
        Ok(catalog)
    }

    /// How many refreshes have begun.
    #[cfg(test)]
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(Ordering::SeqCst)
    }

    /// As if one were at work, until this is dropped.
    #[cfg(test)]
    pub(crate) async fn busy(&self) -> impl Drop + '_ {
        self.0.refreshing.lock().await
    }

    async fn read(&self) -> Result<Arc<Catalog>> {
        let known = self.load();
        let rows = self.0.db.query(LIST, &[]).await?;
        let mut version = 0;
        let mut collections = BTreeMap::new();
        let mut changed = rows.len() != known.collections.len();
        for row in &rows {
            let (generation, shape_version) = (row.i64(5)?, row.i64(6)?);
            version += generation + shape_version + 1;
            let field_name = row.text(3)?.to_owned();
            let same = known
                .collections
                .get(&field_name)
                .filter(|old| old.generation == generation && i64::from(old.shape.version) == shape_version);
            let collection = match same {
                Some(old) => old.clone(),
                None => {
                    changed = true;
                    Arc::new(self.collection(row).await?)
                }
            };
            collections.insert(field_name, collection);
        }
        if !changed {
            return Ok(known);
        }
        let rejecting =
            collections.values().filter(|collection| collection.shape.rejects()).cloned().collect();
        let catalog = Arc::new(Catalog { version, collections, rejecting });
        self.0.current.store(catalog.clone());
        Ok(catalog)
    }

    async fn collection(&self, row: &Row) -> Result<Collection> {
        let id = row.i64(0)?;
        let params = [id.into(), row.i64(6)?.into()];
        let shapes = self.0.db.query(PUBLISHED, &params).await?;
        let shape = shapes.first().map(|shape| published(shape.text(0)?)).transpose()?;
        from_row(row, Arc::new(shape.unwrap_or_default()))
    }

    /// Whether these structures change nothing, as far as this node remembers, and `known` publishes them.
    pub(super) fn covers(&self, known: &Collection, mut fingerprints: impl Iterator<Item = i64>) -> bool {
        self.published_by(known, |merged| {
            fingerprints.all(|fingerprint| merged.covered.contains(&fingerprint)).then_some(())
        })
        .is_some()
    }

    /// The merged shape as this node last saw it, if `known` publishes it.
    pub(super) fn merged(&self, known: &Collection) -> Option<Arc<Shape>> {
        self.published_by(known, |merged| merged.shape.clone())
    }

    fn published_by<T>(&self, known: &Collection, ask: impl FnOnce(&Merged) -> Option<T>) -> Option<T> {
        let merged = self.0.merged.lock().unwrap_or_else(PoisonError::into_inner);
        merged.get(&known.id).filter(|merged| merged.version <= known.shape.version).and_then(ask)
    }

    /// Remembers a committed shape, the version that publishes it, and structures that it covers.
    pub(super) fn remember(&self, id: i64, version: u32, shape: &Arc<Shape>, fingerprints: &[i64]) {
        let mut merged = self.0.merged.lock().unwrap_or_else(PoisonError::into_inner);
        let merged = merged.entry(id).or_default();
        if merged.covered.len() + fingerprints.len() > MERGED_MAX {
            merged.covered.clear();
        }
        merged.covered.extend(fingerprints);
        if version >= merged.version {
            (merged.version, merged.shape) = (version, Some(shape.clone()));
        }
    }
}

/// One published version of a collection.
#[derive(Clone, Debug)]
pub struct Version {
    /// What it published.
    pub published: Published,
    /// Why it was published.
    pub cause: String,
    /// When, Unix microseconds.
    pub at: i64,
}

impl Store {
    /// The last `max` versions of a collection, the newest first; version 0, which publishes nothing, is the oldest.
    pub async fn versions(&self, collection_id: i64, max: usize) -> Result<Vec<Version>> {
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let rows = self.db.query(VERSIONS, &[collection_id.into(), limit.into()]).await?;
        let version = |row: &Row| {
            Ok(Version {
                published: published(row.text(0)?)?,
                cause: row.text(1)?.to_owned(),
                at: row.i64(2)?,
            })
        };
        rows.iter().map(version).collect()
    }
}

const VERSIONS: &str = "select published, cause, at from shape_version where collection_id = $1 \
     order by version desc limit $2";
const LIST: &str = "select id, category, subcategory, field_name, type_name, generation, shape_version \
     from collection order by id";
const PUBLISHED: &str = "select published from shape_version where collection_id = $1 and version = $2";

/// A collection from a row of [`LIST`]'s columns.
pub(super) fn from_row(row: &Row, shape: Arc<Published>) -> Result<Collection> {
    Ok(Collection {
        id: row.i64(0)?,
        category: row.text(1)?.to_owned(),
        subcategory: row.text(2)?.to_owned(),
        field_name: row.text(3)?.to_owned(),
        type_name: row.text(4)?.to_owned(),
        generation: row.i64(5)?,
        shape,
    })
}

/// A published shape from its stored text.
pub(super) fn published(text: &str) -> Result<Published> {
    serde_json::from_str(text).map_err(Error::internal)
}
