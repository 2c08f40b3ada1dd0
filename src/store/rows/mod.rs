//! Rows of collections: effects in (one transaction with ledger and changes), scoped queries out.
//!
//! Everything that may wait for others stands in one order, so that transactions cannot wait for each other
//! in a circle: collections' rows and tables by their numbers, then positions by their collections' numbers, and the
//! position of events last.

mod after;
mod aggregate;
mod area;
mod as_of;
mod contained;
mod ddl;
mod decide;
mod estimate;
mod explain;
mod explained;
mod export;
mod history;
mod image;
mod indexes;
mod items;
mod join;
mod led;
mod linked;
mod list;
mod measure;
mod paged;
mod part;
mod path;
mod prepare;
mod publish;
mod read;
mod rebuild;
mod relate;
mod room;
mod sample;
mod sight;
mod sql;
mod texts;
mod words;

pub(super) use after::Left;
pub use contained::{Counted, Values};
pub use decide::{Decided, Decision};
pub(super) use explained::Recorder;
pub use explained::{Plan, Statement};
pub use export::{Export, ExportPage, Exported};
pub use history::Past;
pub use indexes::{Made, Maker, There, index_bytes, index_name};
pub(super) use led::Led;
pub use read::{EachRow, SnapshotPage};
pub use rebuild::{Due, Rebuild};
pub use relate::Side;
pub(super) use room::run as make_room;
pub use texts::Looked;

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::db::{Dialect, Tx};
use super::events::{self, Happened};
use super::wake::{self, Topic};
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::record::{Json, Record};
use crate::shape::{Column, Published, Shape};

/// What a plugin decided for the row of its record's own key.
#[derive(Clone, Debug)]
pub struct RowEffect {
    /// The record: key, revision, source, author and times come from it. Its `draft.structure` must describe
    /// `document`; `None` has it derived anew, as it must be when a plugin has changed the document.
    pub record: Arc<Record>,
    /// `None` deletes the row.
    pub document: Option<Arc<Json>>,
}

/// How a record's document fitted its collection.
#[derive(Clone, Debug)]
pub struct Conformed {
    /// The record.
    pub record_id: Uuid,
    /// The version of the shape that it was conformed to.
    pub shape_version: i64,
    /// What did not fit, as the JSON text of `rescued`.
    pub rescued: Option<String>,
}

/// What applying effects did; give it to [`Store::committed`](crate::store::Store) after the commit.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Collections that have new changes.
    pub changed: Vec<i64>,
    /// Whether a shape was published or a collection made.
    pub published: bool,
    /// The collections that rows were written to, as the transaction knew them: the catalog may not know them yet.
    pub collections: Vec<Arc<Collection>>,
    /// Records that rows were written from.
    pub conformed: Vec<Conformed>,
    /// The partitions of the records that the transaction is about.
    partitions: BTreeSet<u32>,
    /// Merged shapes and the structures that they cover: true once committed.
    learned: Vec<Learned>,
    /// What is to be told of it.
    happened: Vec<Happened>,
}

#[derive(Clone, Debug)]
struct Learned {
    collection_id: i64,
    /// That publishes the shape.
    version: u32,
    shape: Arc<Shape>,
    fingerprints: Vec<i64>,
}

impl Applied {
    /// Gives what happened its place, and has other nodes look when the transaction is committed. Comes last, behind
    /// the partitions: whoever has the place of an event waits for nobody.
    ///
    /// # Errors
    /// Those of the transaction.
    pub async fn announce(&self, tx: &mut Tx) -> Result<()> {
        events::append(tx, &self.happened).await?;
        let catalog = self.published.then_some(Topic::Catalog);
        let changes = (!self.changed.is_empty()).then_some(Topic::Changes);
        let topics: Vec<Topic> = catalog.into_iter().chain(changes).collect();
        wake::announce_all(tx, &topics).await
    }
}

impl crate::store::Store {
    /// Applies row effects in the caller's transaction: merges structures, publishes what they uncover
    /// (versions, fields, columns), upserts rows where the revision is newer, writes changes at dense
    /// positions.
    ///
    /// The effects of one call must stand in the order of their partition. Positions stay locked until the
    /// caller's commit: call it late, and [`Applied::announce`] last of all.
    ///
    /// # Errors
    /// `UNAVAILABLE` when another transaction stands in the way for too long: roll back and try again.
    pub async fn apply(&self, tx: &mut Tx, effects: &[RowEffect]) -> Result<Applied> {
        let applied = self.applied(tx, effects).await;
        if applied.as_ref().is_err_and(Error::is_stale) {
            // Another node has published: the next try knows it.
            self.catalog.refresh().await?;
        }
        let sources = effects.iter().map(|effect| &effect.record.draft.source);
        applied.map_err(|error| self.refused(error, sources.map(|one| (&*one.category, &*one.subcategory))))
    }

    async fn applied(&self, tx: &mut Tx, effects: &[RowEffect]) -> Result<Applied> {
        let partitions = effects.iter().map(|effect| effect.record.partition).collect();
        let mut applied = Applied { partitions, ..Applied::default() };
        let batches = publish::batches(self, tx, effects, &mut applied).await?;
        if !batches.is_empty() {
            tx.go_by_indexes().await?;
        }
        applied.collections = batches.iter().map(|batch| batch.collection.clone()).collect();
        sight::count(tx, &batches).await?;
        let mut works = Vec::with_capacity(batches.len());
        for batch in &batches {
            let work = prepare::prepare(tx, batch, &mut applied.conformed).await?;
            if !work.changes.is_empty() {
                works.push(work);
            }
        }
        prepare::take_positions(tx, &mut works).await?;
        applied.changed = works.iter().map(|work| work.collection.id).collect();
        for work in &mut works {
            work.write_rows(tx).await?;
        }
        prepare::write_changes(tx, works, self.clock.now_us(), self.catalog.limits().changes_kept_max)
            .await?;
        Ok(applied)
    }

    /// After the commit of a transaction with [`Store::apply`](crate::store::Store::apply): refreshes the
    /// catalog and wakes tails.
    pub async fn committed(&self, applied: &Applied) -> Result<()> {
        if applied.published {
            self.catalog.refresh().await?;
            self.wake.notify(Topic::Catalog);
        }
        for learned in &applied.learned {
            let Learned { collection_id, version, shape, fingerprints } = learned;
            self.catalog.remember(*collection_id, *version, shape, fingerprints);
        }
        if !applied.changed.is_empty() {
            self.wake.notify(Topic::Changes);
        }
        Ok(())
    }
}

/// The table of a collection's rows.
pub(super) fn table(collection: &Collection) -> String {
    format!("c_{}_g{}", collection.id, collection.generation)
}

/// The same, for a statement whose columns depend on the shape: the text differs by its version, so that a statement
/// which was prepared for an older one is not taken again.
pub(super) fn planned(collection: &Collection) -> String {
    versioned(collection.id, collection.generation, collection.shape.version)
}

/// The same of a collection's number, build and version.
fn versioned(id: i64, generation: i64, version: u32) -> String {
    format!("c_{id}_g{generation} /* shape {version} */")
}

/// The columns of a shape, by their names in this database: on SQLite one is there before it is known whether it is an
/// object's, and all have names of one kind.
fn columns(shape: &Published, dialect: Dialect) -> Vec<Column> {
    let mut columns = shape.columns();
    if dialect == Dialect::Sqlite {
        columns.iter_mut().for_each(|column| column.name = format!("f{}", column.field_id));
    }
    columns
}

/// Parameter marks `$from` to `$to - 1`, comma-separated.
fn marks(from: usize, count: usize) -> String {
    let marks: Vec<String> = (from..from + count).map(|n| format!("${n}")).collect();
    marks.join(",")
}
