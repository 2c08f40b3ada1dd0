//! Collections and their published shapes: stored versions, and each node's cache of them. Must not publish
//! anything itself: [`rows`](super::rows) does, in the transaction of the effects that uncover something new.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::Store;
use super::db::{Db, Row, Type};
use super::events;
use crate::config;
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::shape::{Published, Shape};

/// The most structures of one collection that a node remembers as merged.
const MERGED_MAX: usize = 65_536;

/// Collections read at once.
const READ_MAX: usize = 128;

/// All collections at one moment; immutable.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Raised on this node whenever a collection is new or has changed: what is kept for one is good for no other.
    pub version: i64,
    /// By field name.
    pub collections: BTreeMap<Arc<str>, Arc<Collection>>,
    /// The same, by number.
    by_id: Vec<Arc<Collection>>,
    /// The same, by what feeds them.
    by_kind: Vec<Arc<Collection>>,
    /// Those that may refuse documents.
    rejecting: Vec<Arc<Collection>>,
}

fn version(collection: &Collection) -> (i64, i64) {
    (collection.generation, i64::from(collection.shape.version))
}

fn kind(collection: &Collection) -> (&str, &str) {
    (&collection.category, &collection.subcategory)
}

impl Catalog {
    /// The collection that a category and subcategory feed.
    pub fn fed_by(&self, category: &str, subcategory: &str) -> Option<&Arc<Collection>> {
        let place = self.by_kind.binary_search_by(|one| kind(one).cmp(&(category, subcategory)));
        self.by_kind.get(place.ok()?)
    }

    /// The collection that a category and subcategory feed, if it may refuse documents.
    pub fn rejecting(&self, category: &str, subcategory: &str) -> Option<&Arc<Collection>> {
        let mut all = self.rejecting.iter();
        all.find(|collection| collection.category == category && collection.subcategory == subcategory)
    }

    /// All of them, by their numbers.
    pub(super) fn all(&self) -> &[Arc<Collection>] {
        &self.by_id
    }

    /// The collection with this number.
    pub fn by_id(&self, id: i64) -> Option<&Arc<Collection>> {
        self.by_id.get(self.by_id.binary_search_by_key(&id, |one| one.id).ok()?)
    }

    /// This one with collections that are new or have changed. What has not is shared, not copied.
    fn with(&self, changed: Vec<Arc<Collection>>) -> Catalog {
        let mut next = self.clone();
        for collection in changed {
            next.version += 1;
            next.collections.insert(collection.field_name.as_str().into(), collection.clone());
            put(&mut next.by_id, &collection, |a, b| a.id.cmp(&b.id));
            put(&mut next.by_kind, &collection, |a, b| kind(a).cmp(&kind(b)));
            next.rejecting.retain(|one| one.id != collection.id);
            if collection.shape.rejects() {
                next.rejecting.push(collection);
            }
        }
        next
    }
}

/// Puts a collection in its place, instead of the one that has the same.
fn put(
    sorted: &mut Vec<Arc<Collection>>,
    collection: &Arc<Collection>,
    order: impl Fn(&Collection, &Collection) -> Ordering,
) {
    match sorted.binary_search_by(|one| order(one, collection)) {
        Ok(place) => {
            if let Some(known) = sorted.get_mut(place) {
                *known = collection.clone();
            }
        }
        Err(place) => sorted.insert(place, collection.clone()),
    }
}

/// Bounds that the writing side of collections keeps.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of what is published.
    pub shape: config::Shape,
    /// How many changes of a collection are kept.
    pub changes_kept_max: i64,
    /// How many changes a read may undo.
    pub as_of_changes_max: i64,
    /// The most tables that SQLite has ready for collections to come.
    pub spare_tables_max: i64,
    /// How many columns of a table SQLite has ready for fields to come.
    pub spare_columns: u32,
}

impl Limits {
    fn new(config: &config::Config) -> Self {
        let config::Store { changes_kept_max, spare_tables_max, spare_columns, .. } = config.store;
        Limits {
            shape: config.shape.clone(),
            changes_kept_max,
            as_of_changes_max: config.consistency.as_of_changes_max,
            spare_tables_max: spare_tables_max.into(),
            spare_columns,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new(&config::Config::default())
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
    /// The position of the last event that is known of; -1 before the first refresh.
    head: AtomicI64,
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
            head: AtomicI64::new(-1),
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
        self.0.limits.store(Arc::new(Limits::new(config)));
    }

    pub(super) fn limits(&self) -> Arc<Limits> {
        self.0.limits.load_full()
    }

    /// Reads what is newer from the database, as the events tell. Whoever asks while another is at work waits for the
    /// next one together with all others that do, so that however many ask, nobody waits for more than two.
    pub async fn refresh(&self) -> Result<Arc<Catalog>> {
        self.refreshed(false).await
    }

    /// As [`Cache::refresh`], but compares with all collections that there are, whatever events tell.
    pub async fn reconcile(&self) -> Result<Arc<Catalog>> {
        self.refreshed(true).await
    }

    async fn refreshed(&self, whole: bool) -> Result<Arc<Catalog>> {
        let asked = self.0.begun.load(SeqCst);
        let mut succeeded = self.0.refreshing.lock().await;
        if *succeeded > asked && !whole {
            return Ok(self.load());
        }
        let number = self.0.begun.fetch_add(1, SeqCst) + 1;
        let catalog = self.read(whole).await?;
        *succeeded = number;
        Ok(catalog)
    }

    /// How many refreshes have begun.
    #[cfg(test)]
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.load(SeqCst)
    }

    /// As if one were at work, until this is dropped.
    #[cfg(test)]
    pub(crate) async fn busy(&self) -> impl Drop + '_ {
        self.0.refreshing.lock().await
    }

    async fn read(&self, whole: bool) -> Result<Arc<Catalog>> {
        let (known, mut head) = (self.load(), self.0.head.load(SeqCst));
        let mut changed = BTreeSet::new();
        if whole || head < 0 {
            // First, so that whatever comes meanwhile is looked for again.
            let now = self.0.db.query(events::HEAD, &[]).await?;
            head = now.first().map_or(Ok(0), |row| row.i64(0))?;
            for row in &self.0.db.query(VERSIONS_NOW, &[]).await? {
                let (id, now) = (row.i64(0)?, (row.i64(1)?, row.i64(2)?));
                if known.by_id(id).is_none_or(|one| version(one) != now) {
                    changed.insert(id);
                }
            }
        } else {
            for row in &self.0.db.query(events::SINCE, &[head.into()]).await? {
                head = head.max(row.i64(0)?);
                changed.insert(row.i64(1)?);
            }
        }
        let mut read = Vec::with_capacity(changed.len());
        let rows: Vec<_> = changed.into_iter().map(|id| vec![id.into()]).collect();
        for ids in rows.chunks(READ_MAX) {
            for row in &self.0.db.query_many(&[("id", Type::Int)], ids.to_vec(), COLLECTIONS).await? {
                let shape = Arc::new(published(row.text(7)?)?);
                read.push(Arc::new(from_row(row, shape)?));
            }
        }
        read.retain(|one| known.by_id(one.id).is_none_or(|known| version(known) != version(one)));
        let catalog = if read.is_empty() { known } else { Arc::new(known.with(read)) };
        self.0.current.store(catalog.clone());
        self.0.head.store(head, SeqCst);
        Ok(catalog)
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

impl Store {
    /// What a version of a collection published; `None` when there is no such version.
    pub async fn published(&self, collection_id: i64, version: i64) -> Result<Option<Published>> {
        let sql = "select published from shape_version where collection_id = $1 and version = $2";
        let rows = self.db.query(sql, &[collection_id.into(), version.into()]).await?;
        rows.first().map(|row| published(row.text(0)?)).transpose()
    }
}

const VERSIONS: &str = "select published, cause, at from shape_version where collection_id = $1 \
     order by version desc limit $2";
const VERSIONS_NOW: &str = "select id, generation, shape_version from collection";
const COLLECTIONS: &str = "select c.id, c.category, c.subcategory, c.field_name, c.type_name, c.generation, \
     c.shape_version, v.published from u join collection c on c.id = u.id \
     join shape_version v on v.collection_id = c.id and v.version = c.shape_version";

/// A collection from a row that begins with the columns of [`COLLECTIONS`].
pub(super) fn from_row(row: &Row, shape: Arc<Published>) -> Result<Collection> {
    Ok(Collection {
        id: row.i64(0)?,
        category: row.text(1)?.to_owned(),
        subcategory: row.text(2)?.to_owned(),
        field_name: row.text(3)?.to_owned(),
        type_name: row.text(4)?.to_owned(),
        generation: row.i64(5)?,
        shape,
        narrow: None,
    })
}

/// A published shape from its stored text.
pub(super) fn published(text: &str) -> Result<Published> {
    serde_json::from_str(text).map_err(Error::internal)
}
