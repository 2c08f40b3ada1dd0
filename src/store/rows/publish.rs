//! What a batch's documents look like: structures merged into their collection's shape, and whatever that
//! uncovers published, in the caller's transaction. Documents of known structure cost one look into a set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Applied, Learned, Looked, RowEffect, ddl, texts};
use crate::error::{Code, Error, Result};
use crate::query::Collection;
use crate::shape::{
    FIELD_SUFFIXES, Field, Published, Shape, Structure, collection_names, name_types, names_wanted,
    own_types, types_wanted,
};
use crate::store::Store;
use crate::store::catalog;
use crate::store::db::{Dialect, Tx, Type};
use crate::store::events::{EventKind, Happened};

/// Effects on one collection, in the order of their partition.
pub(super) struct Batch<'a> {
    pub(super) collection: Arc<Collection>,
    pub(super) effects: Vec<&'a RowEffect>,
}

/// Sorts effects by collection and makes sure that every collection is there and covers its documents.
pub(super) async fn batches<'a>(
    store: &Store,
    tx: &mut Tx,
    effects: &'a [RowEffect],
    applied: &mut Applied,
) -> Result<Vec<Batch<'a>>> {
    let mut groups: BTreeMap<(&str, &str), Vec<&RowEffect>> = BTreeMap::new();
    for effect in effects {
        let source = &effect.record.draft.source;
        groups.entry((&source.category, &source.subcategory)).or_default().push(effect);
    }
    let catalog = store.catalog.load();
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|(kind, effects)| (catalog.fed_by(kind.0, kind.1).cloned(), kind, effects))
        .collect();
    // Those that are new come last, in the order of their names.
    groups.sort_by_key(|(known, _, _)| known.as_ref().map_or(i64::MAX, |known| known.id));
    let mut batches = Vec::with_capacity(groups.len());
    for (known, kind, effects) in groups {
        if let Some(known) = &known
            && store.catalog.covers(known, fingerprints(&effects))
            && covers_envelopes(&known.shape, &effects)
            && is_current(tx, known).await?
        {
            batches.push(Batch { collection: known.clone(), effects });
            continue;
        }
        let mut cover = Cover { store, tx: &mut *tx, applied: &mut *applied };
        if let Some(collection) = cover.cover(known, kind, &effects).await? {
            batches.push(Batch { collection, effects });
        }
    }
    batches.sort_by_key(|batch| batch.collection.id);
    Ok(batches)
}

/// The structures that the effects name; -1 stands for one that has to be derived and is never covered.
fn fingerprints<'a>(effects: &'a [&RowEffect]) -> impl Iterator<Item = i64> + 'a {
    effects
        .iter()
        .filter(|effect| effect.document.is_some())
        .map(|effect| effect.record.draft.structure.as_ref().map_or(-1, |(fingerprint, _)| *fingerprint))
}

/// What of a record's envelope may be personal data.
fn envelope(effect: &RowEffect) -> [(&'static str, &str); 3] {
    let draft = &effect.record.draft;
    let (name, uid) = (&draft.source.source_name, &draft.source_uid);
    [("sourceName", name), ("sourceUid", uid), ("author", &draft.author)]
}

/// What the effects that write rows have in their envelopes.
fn envelopes<'a>(effects: &'a [&RowEffect]) -> impl Iterator<Item = (&'static str, &'a str)> {
    effects.iter().filter(|effect| effect.document.is_some()).flat_map(|effect| envelope(effect))
}

/// Whether the collection is published as this node knows it. Of what nothing is held back, any version will do that
/// covers the documents; else a later one may have let go what this one holds.
async fn is_current(tx: &mut Tx, known: &Collection) -> Result<bool> {
    if !known.shape.holds() {
        return Ok(true);
    }
    let rows = tx.query("select shape_version from collection where id = $1", &[known.id.into()]).await?;
    let current = rows.first().map(|row| row.i64(0)).transpose()?;
    Ok(current == Some(known.shape.version.into()))
}

fn covers_envelopes(shape: &Published, effects: &[&RowEffect]) -> bool {
    envelopes(effects).all(|(name, value)| shape.covers_envelope(name, value))
}

/// A collection as the database has it.
struct State {
    collection: Collection,
    /// What the shape column holds.
    text: String,
    shape: Arc<Shape>,
    /// It was made just now and has no table yet.
    fresh: bool,
}

pub(super) struct Cover<'a> {
    pub(super) store: &'a Store,
    pub(super) tx: &'a mut Tx,
    pub(super) applied: &'a mut Applied,
}

impl Cover<'_> {
    /// The collection, covering the documents of these effects. `None` when it does not exist and nothing is
    /// written.
    async fn cover(
        &mut self,
        known: Option<Arc<Collection>>,
        kind: (&str, &str),
        effects: &[&RowEffect],
    ) -> Result<Option<Arc<Collection>>> {
        let structures = self.structures(known.as_deref(), effects)?;
        if let Some(known) = known.as_ref().filter(|known| !known.shape.holds())
            && let Some(shape) = self.store.catalog.merged(known)
            && covers_envelopes(&known.shape, effects)
            && let Some(covered) = covering(&shape, &structures)
        {
            self.store.catalog.remember(known.id, known.shape.version, &shape, &covered);
            return Ok(Some(known.clone()));
        }
        let state = match self.load(kind, false).await? {
            Some(state) => state,
            None if structures.is_empty() => return Ok(None),
            None => return self.create(kind, &structures, effects).await.map(Some),
        };
        if covers_envelopes(&state.collection.shape, effects)
            && let Some(covered) = covering(&state.shape, &structures)
        {
            let State { collection, shape, .. } = state;
            self.store.catalog.remember(collection.id, collection.shape.version, &shape, &covered);
            return Ok(Some(Arc::new(collection)));
        }
        let state = match self.tx.dialect() {
            Dialect::Sqlite => state,
            Dialect::Postgres => {
                self.load(kind, true).await?.ok_or_else(|| Error::internal("a collection is gone"))?
            }
        };
        self.publish(state, &structures, effects).await.map(Some)
    }

    /// The distinct structures that this node does not remember as covered.
    fn structures(
        &self,
        known: Option<&Collection>,
        effects: &[&RowEffect],
    ) -> Result<BTreeMap<i64, Structure>> {
        let limits = self.store.catalog.limits();
        let mut structures = BTreeMap::new();
        for effect in effects {
            let Some(document) = &effect.document else { continue };
            let structure = match &effect.record.draft.structure {
                Some((fingerprint, _)) if structures.contains_key(fingerprint) => continue,
                Some((fingerprint, _))
                    if known.is_some_and(|known| {
                        self.store.catalog.covers(known, std::iter::once(*fingerprint))
                    }) =>
                {
                    continue;
                }
                Some((fingerprint, text)) if !text.is_empty() => {
                    structures.insert(*fingerprint, Structure::from_text(text)?);
                    continue;
                }
                _ => Structure::derive(document, &limits.shape),
            };
            structures.insert(structure.fingerprint(), structure);
        }
        Ok(structures)
    }

    async fn load(&mut self, kind: (&str, &str), lock: bool) -> Result<Option<State>> {
        let params = [kind.0.into(), kind.1.into()];
        if lock {
            let sql = "select id from collection where category = $1 and subcategory = $2 for update";
            self.tx.query(sql, &params).await?;
        }
        let rows = self.tx.query(LOAD, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let text = row.text(7)?.to_owned();
        let shape = Arc::new(catalog::published(row.text(8)?)?);
        let merged = Arc::new(Shape::from_text(&text)?);
        Ok(Some(State { collection: catalog::from_row(row, shape)?, text, shape: merged, fresh: false }))
    }

    /// Makes the collection and publishes what the first documents show.
    async fn create(
        &mut self,
        kind: (&str, &str),
        structures: &BTreeMap<i64, Structure>,
        effects: &[&RowEffect],
    ) -> Result<Arc<Collection>> {
        let now = self.store.clock.now_us();
        // Another node may take the name, or make the collection, at the same moment.
        for _ in 0..NAME_TRIES {
            let taken = self.taken(&names_wanted(kind.0, kind.1)).await?;
            let (field_name, type_name) = collection_names(kind.0, kind.1, &|name| taken.contains(name));
            let params = [
                kind.0.into(),
                kind.1.into(),
                field_name.as_str().into(),
                type_name.as_str().into(),
                now.into(),
            ];
            let rows = self.tx.query(CREATE, &params).await?;
            if let Some(row) = rows.first() {
                let id = row.i64(0)?;
                self.claim(id, own_types(&type_name)).await?;
                let shape = Arc::new(self.unseen(&field_name));
                let text = Shape::default().to_text();
                self.tx
                    .execute("insert into collection_pos (collection_id, pos) values ($1, 0)", &[id.into()])
                    .await?;
                let sql = "insert into generation (collection_id, n, state, shape_version) \
                           values ($1, 1, 'live', 0)";
                self.tx.execute(sql, &[id.into()]).await?;
                self.version(id, &shape, &text, "first seen").await?;
                let collection = Collection {
                    id,
                    category: kind.0.to_owned(),
                    subcategory: kind.1.to_owned(),
                    field_name,
                    type_name,
                    generation: 1,
                    shape,
                    narrow: None,
                };
                let state = State { collection, text, shape: Arc::default(), fresh: true };
                return self.publish(state, structures, effects).await;
            }
            if let Some(state) = self.load(kind, true).await? {
                return self.publish(state, structures, effects).await;
            }
        }
        Err(Error::new(Code::Unavailable, "a new collection's name was taken meanwhile; try again"))
    }

    /// What is published of a collection before its first record: nothing, in guarded mode kept from consumers.
    fn unseen(&self, field_name: &str) -> Published {
        let rules = &self.store.catalog.limits().shape;
        let mut unseen = Published { unclassified: self.guarded(), ..Published::default() };
        unseen.release(field_name, rules);
        unseen.rule(field_name, rules);
        unseen
    }

    fn guarded(&self) -> bool {
        self.store.catalog.limits().shape.is_guarded(self.tx.dialect() == Dialect::Postgres)
    }

    /// Names of root fields and types that have been given, with those that derive from them, as far as they begin with
    /// one of these or such a name derives from them.
    async fn taken(&mut self, beginnings: &[String]) -> Result<BTreeSet<String>> {
        let mut taken = BTreeSet::new();
        for from in beginnings {
            // No name has a character behind `~`.
            let range = [from.as_str().into(), format!("{from}~").into()];
            let sql = "select field_name from collection where field_name >= $1 and field_name < $2";
            let mut fields = self.tx.query(sql, &range).await?;
            for suffix in FIELD_SUFFIXES {
                if let Some(field) = from.strip_suffix(suffix) {
                    let sql = "select field_name from collection where field_name = $1";
                    fields.extend(self.tx.query(sql, &[field.into()]).await?);
                }
            }
            for row in fields {
                let field = row.text(0)?;
                taken.insert(field.to_owned());
                taken.extend(FIELD_SUFFIXES.iter().map(|suffix| format!("{field}{suffix}")));
            }
            let sql = "select name from type_name where name >= $1 and name < $2";
            for row in self.tx.query(sql, &range).await? {
                taken.insert(row.text(0)?.to_owned());
            }
        }
        Ok(taken)
    }

    /// Takes names of types for a collection, for ever.
    async fn claim(&mut self, id: i64, names: impl Iterator<Item = String>) -> Result<()> {
        let rows: Vec<Vec<_>> = names.map(|name| vec![name.into(), id.into()]).collect();
        let all = rows.len() as u64;
        let columns = [("name", Type::Text), ("collection_id", Type::Int)];
        if self.tx.insert_many("type_name", &columns, rows, "on conflict do nothing").await? == all {
            return Ok(());
        }
        Err(Error::new(Code::Unavailable, "the name of a type was taken meanwhile; try again"))
    }

    /// Names the types of objects that are published for the first time.
    async fn name_types(&mut self, collection: &Collection, next: &mut Published) -> Result<()> {
        let mut named = next.clone();
        if name_types(&mut named, &collection.type_name, &|_| false).is_empty() {
            return Ok(());
        }
        let taken = self.taken(&[types_wanted(&collection.type_name).to_owned()]).await?;
        let new = name_types(next, &collection.type_name, &|name| taken.contains(name));
        self.claim(collection.id, new.into_iter()).await
    }

    /// Merges the structures, and publishes what they uncover. The collection's row is locked.
    async fn publish(
        &mut self,
        mut state: State,
        structures: &BTreeMap<i64, Structure>,
        effects: &[&RowEffect],
    ) -> Result<Arc<Collection>> {
        let id = state.collection.id;
        let previous = state.collection.shape.clone();
        let mut merged = Shape::clone(&state.shape);
        structures.values().for_each(|structure| merged.merge(structure));
        let text = merged.to_text();
        let limits = self.store.catalog.limits();
        let tagged = !covers_envelopes(&previous, effects);
        let next = merged.publish(&previous, &limits.shape);
        if let Some(mut next) = next.or_else(|| tagged.then(|| Published::clone(&previous))) {
            envelopes(effects).for_each(|(name, value)| next.tag_envelope(name, value));
            let field_name = &state.collection.field_name;
            let kept = next.guard(&previous, field_name, self.guarded(), &limits.shape);
            if kept > 0 {
                tracing::info!(collection = %field_name, fields = kept,
                    "new fields are for stewards only, until they are classified");
            }
            self.name_types(&state.collection, &mut next).await?;
            state.collection.shape = Arc::new(self.follow(id, &previous, next, &text, "uncovered").await?);
            self.happened(EventKind::ShapeChanged, &state.collection);
        } else if text != state.text {
            let sql = "update shape_version set shape = $3 where collection_id = $1 and version = $2";
            self.tx.execute(sql, &[id.into(), previous.version.into(), text.into()]).await?;
        }
        let spare = limits.spare_columns;
        if state.fresh {
            ddl::create(self.tx, &state.collection, spare).await?;
            self.applied.published = true;
            // Whatever its first records have uncovered is part of that.
            self.applied.happened.retain(|one| one.collection_id != id);
            self.happened(EventKind::CollectionPublished, &state.collection);
        } else {
            ddl::widen(self.tx, &state.collection, (&previous, spare), &self.applied.partitions).await?;
        }
        self.applied.learned.push(Learned {
            collection_id: id,
            version: state.collection.shape.version,
            shape: Arc::new(merged),
            fingerprints: structures.keys().copied().collect(),
        });
        Ok(Arc::new(state.collection))
    }

    /// Publishes what follows the last version. The old one keeps what it published; what was merged, `text`, goes on
    /// with the new one. The collection's row is locked.
    async fn follow(
        &mut self,
        id: i64,
        previous: &Published,
        mut next: Published,
        text: &str,
        cause: &str,
    ) -> Result<Published> {
        next.version = previous.version + 1;
        let published = serde_json::to_string(&next).map_err(Error::internal)?;
        let params = [
            id.into(),
            previous.version.into(),
            next.version.into(),
            text.into(),
            published.into(),
            cause.into(),
            self.store.clock.now_us().into(),
        ];
        let swapped = if self.tx.dialect() == Dialect::Postgres {
            // In one round trip: records of many collections may each uncover something.
            self.tx.execute(&format!("with f as ({FORGET}), n as ({VERSION}) {SWAP}"), &params).await?
        } else {
            let [id, previous, next, text, published, cause, at] = params;
            self.tx.execute(FORGET, &[id.clone(), previous.clone()]).await?;
            let new = [id.clone(), previous.clone(), next.clone(), text, published, cause, at];
            self.tx.execute(VERSION, &new).await?;
            self.tx.execute(SWAP, &[id, previous, next]).await?
        };
        if swapped != 1 {
            let text = "the collection was published meanwhile; try again";
            return Err(Error::new(Code::Unavailable, text));
        }
        self.applied.published = true;
        Ok(next)
    }

    /// Refuses enums that rows have other texts than; those that they had until now need no look.
    async fn check_enums(
        &mut self,
        collection: &Collection,
        next: &Published,
        looked: Option<Looked>,
    ) -> Result<()> {
        for field in next.fields().filter(|field| field.enumeration().is_some()) {
            let before = collection.shape.field(field.id).and_then(Field::enumeration);
            if before != field.enumeration() {
                texts::check(self.tx, collection, field, looked).await?;
            }
        }
        Ok(())
    }

    /// Publishes what `change` makes of the last version and all that was seen, if it makes anything else of it: the
    /// collection as it is then. `looked` is how far its rows have been looked through for what the change excludes.
    pub(super) async fn revise(
        &mut self,
        kind: (&str, &str),
        cause: &str,
        looked: Option<Looked>,
        change: impl FnOnce(&mut Published, &Shape) -> Result<()>,
    ) -> Result<Collection> {
        let state = self.load(kind, self.tx.dialect() == Dialect::Postgres).await?;
        let State { mut collection, text, shape, .. } =
            state.ok_or_else(|| Error::internal("a collection is gone"))?;
        let previous = collection.shape.clone();
        let mut next = Published::clone(&previous);
        change(&mut next, &shape)?;
        next.note_known(&shape);
        if next != *previous {
            self.check_enums(&collection, &next, looked).await?;
            if next.last_field_id > previous.last_field_id {
                let rules = &self.store.catalog.limits().shape;
                next.guard(&previous, &collection.field_name, self.guarded(), rules);
            }
            self.name_types(&collection, &mut next).await?;
            collection.shape = Arc::new(self.follow(collection.id, &previous, next, &text, cause).await?);
            self.happened(EventKind::ShapeChanged, &collection);
            let spare = self.store.catalog.limits().spare_columns;
            ddl::widen(self.tx, &collection, (&previous, spare), &self.applied.partitions).await?;
        }
        Ok(collection)
    }

    /// The collection as the database has it now.
    pub(super) async fn current(&mut self, collection: &Collection) -> Result<Collection> {
        let kind = (collection.category.as_str(), collection.subcategory.as_str());
        let state = self.load(kind, false).await?;
        Ok(state.ok_or_else(|| Error::internal("a collection is gone"))?.collection)
    }

    fn happened(&mut self, kind: EventKind, collection: &Collection) {
        let (collection_id, version) = (collection.id, i64::from(collection.shape.version));
        let at = self.store.clock.now_us();
        self.applied.happened.push(Happened {
            at,
            kind,
            collection_id,
            version,
            subject: None,
            notice: None,
        });
    }

    async fn version(&mut self, id: i64, published: &Published, shape: &str, cause: &str) -> Result<()> {
        let text = serde_json::to_string(published).map_err(Error::internal)?;
        let now = self.store.clock.now_us();
        let params =
            [id.into(), published.version.into(), shape.into(), text.into(), cause.into(), now.into()];
        let sql = "insert into shape_version (collection_id, version, shape, published, cause, at) \
                   values ($1, $2, $3, $4, $5, $6)";
        self.tx.execute(sql, &params).await.map(drop)
    }
}

/// The fingerprints, when merging all of these changes nothing.
fn covering(shape: &Shape, structures: &BTreeMap<i64, Structure>) -> Option<Vec<i64>> {
    let mut merged = shape.clone();
    structures.values().for_each(|structure| merged.merge(structure));
    (merged == *shape).then(|| structures.keys().copied().collect())
}

const NAME_TRIES: usize = 8;

const LOAD: &str = "select c.id, c.category, c.subcategory, c.field_name, c.type_name, c.generation, \
     c.shape_version, v.shape, v.published from collection c \
     join shape_version v on v.collection_id = c.id and v.version = c.shape_version \
     where c.category = $1 and c.subcategory = $2";

const CREATE: &str = "insert into collection (category, subcategory, field_name, type_name, generation, \
     shape_version, created_at) values ($1, $2, $3, $4, 1, 0, $5) on conflict do nothing returning id";

// Parameters of a collection's next version: its number, the versions before and after, what was seen, what is
// published, why and when.
const FORGET: &str = "update shape_version set shape = '' where collection_id = $1 and version = $2";
const VERSION: &str = "insert into shape_version (collection_id, version, shape, published, cause, at) \
     values ($1, $3, $4, $5, $6, $7)";
const SWAP: &str = "update collection set shape_version = $3 where id = $1 and shape_version = $2";
