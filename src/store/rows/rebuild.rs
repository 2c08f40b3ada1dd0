//! Going over the rows of a collection once more, so that all of them are as its shape would have them now: when fields
//! get another type, or there are some that older rows have not got. It goes on beside everything else, batch by batch;
//! how far it is stands in the database, so that another node can go on. Must not know plugins.

use super::publish::Cover;
use super::{Applied, RowEffect, prepare, table};
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::shape::{Published, Shape};
use crate::store::Store;
use crate::store::db::{Dialect, Row, Tx, Value};
use crate::store::log::BODY_BYTES;
use crate::store::wake::{Topic, announce};

/// How far it is with one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The collection.
    pub collection_id: i64,
    /// The build of it.
    pub generation: i64,
    /// `running`; then `cleaning`, which looks through `rescued` once more; then `done`.
    pub state: String,
    /// How many rows it has gone over.
    pub done: i64,
    /// About how many there are; not known at first.
    pub total: Option<i64>,
    /// Raised whenever it begins anew.
    round: i64,
    /// The last row that it has gone over.
    row_id: i64,
    /// The last row that it has to go over: later ones are as they should be.
    upto: i64,
}

/// A row that is to be gone over.
#[derive(Clone, Debug)]
pub struct Due {
    /// The row's number.
    pub row_id: i64,
    /// The record that it comes from.
    pub record_id: uuid::Uuid,
    /// How large its document is.
    pub bytes: i64,
}

const COLUMNS: &str = "collection_id, generation, state, done, total, round, row_id, upto";

/// Begins to go over all rows of a collection, in the transaction that publishes the shape that they are to have; when
/// that goes on already, it begins anew. Takes every partition from its worker, so that whatever is written later is
/// written by this shape: call it last, before what happened is announced.
///
/// # Errors
/// `UNAVAILABLE` when another transaction stands in the way for too long.
pub(in crate::store) async fn start(store: &Store, tx: &mut Tx, collection: &Collection) -> Result<()> {
    store.barrier(tx).await?;
    begin(store, tx, collection, "running").await?;
    announce(tx, Topic::Stream).await
}

async fn begin(store: &Store, tx: &mut Tx, collection: &Collection, state: &str) -> Result<()> {
    let sql = format!("select coalesce(max(row_id), 0) from {}", table(collection));
    let upto = tx.query(&sql, &[]).await?.first().map_or(Ok(0), |row| row.i64(0))?;
    let sql = "insert into rebuild (collection_id, generation, state, round, row_id, upto, done, at) \
               values ($1, $2, $3, 1, 0, $4, 0, $5) on conflict (collection_id) do update set \
               generation = excluded.generation, state = excluded.state, round = rebuild.round + 1, row_id = 0, \
               upto = excluded.upto, done = 0, total = null, at = excluded.at";
    let now = store.clock.now_us();
    let params = [collection.id.into(), collection.generation.into(), state.into(), upto.into(), now.into()];
    tx.execute(sql, &params).await.map(drop)
}

impl Store {
    /// Collections whose rows are gone over now, at most `max`.
    pub async fn rebuilds(&self, max: usize) -> Result<Vec<Rebuild>> {
        let sql =
            format!("select {COLUMNS} from rebuild where state <> 'done' order by collection_id limit {max}");
        self.db.query(&sql, &[]).await?.iter().map(rebuild).collect()
    }

    /// How far it is with this collection, or was at last.
    pub async fn rebuild_of(&self, collection_id: i64) -> Result<Option<Rebuild>> {
        let sql = format!("select {COLUMNS} from rebuild where collection_id = $1");
        self.db.query(&sql, &[collection_id.into()]).await?.first().map(rebuild).transpose()
    }

    /// The next rows, at most `max`; none when it has gone over all of them.
    pub async fn rows_due(&self, job: &Rebuild, collection: &Collection, max: usize) -> Result<Vec<Due>> {
        let (table, clean) = (table(collection), only(job));
        let params = [job.row_id.into(), job.upto.into()];
        if job.total.is_none() {
            let sql = format!("select count(*) from {table} c where c.row_id > $1 and c.row_id <= $2{clean}");
            let total = self.db.query(&sql, &params).await?.first().map_or(Ok(0), |row| row.i64(0))?;
            let mut tx = self.db.begin().await?;
            let sql = "update rebuild set total = $3 where collection_id = $1 and round = $2";
            tx.execute(sql, &[job.collection_id.into(), job.round.into(), total.into()]).await?;
            tx.commit().await?;
        }
        let sql = format!(
            "select c.row_id, c.record_id, coalesce({BODY_BYTES}, 0) from {table} c \
             left join record r on r.id = c.record_id where c.row_id > $1 and c.row_id <= $2{clean} \
             order by c.row_id limit {max}"
        );
        let due = |row: &Row| Ok(Due { row_id: row.i64(0)?, record_id: row.uuid(1)?, bytes: row.i64(2)? });
        self.db.query(&sql, &params).await?.iter().map(due).collect()
    }

    /// Brings rows into the form that the collection's shape gives them now, where they still come from these records,
    /// and notes that it has gone over `count` of them up to the row `last`. What is to be seen of a row and has
    /// changed is told as a change. `false` when another node was faster, or it has begun anew: nothing is written.
    pub async fn conform_again(
        &self,
        (job, collection): (&Rebuild, &Collection),
        effects: &[RowEffect],
        last: i64,
        count: usize,
    ) -> Result<bool> {
        let (mut tx, mut applied) = (self.db.begin().await?, Applied::default());
        let sql = "update rebuild set row_id = $4, done = done + $5 \
                   where collection_id = $1 and round = $2 and row_id = $3";
        let count = i64::try_from(count).map_err(Error::internal)?;
        let mut params = job.place().to_vec();
        params.extend([last.into(), count.into()]);
        if tx.execute(sql, &params).await? == 0 {
            return Ok(false);
        }
        // The table before the position, as all who write to it; whoever waits for the position has written no row.
        if tx.dialect() == Dialect::Postgres {
            tx.execute(&format!("lock table {} in row exclusive mode", table(collection)), &[]).await?;
        }
        let sql = "update collection_pos set pos = pos where collection_id = $1 returning pos";
        let position = tx.query(sql, &[collection.id.into()]).await?;
        let position =
            position.first().ok_or_else(|| Error::internal("a collection has no position"))?.i64(0)?;
        let now = Cover { store: self, tx: &mut tx, applied: &mut applied }.current(collection).await?;
        if now.generation == collection.generation {
            let effects: Vec<&RowEffect> = effects.iter().collect();
            let kept = self.catalog.limits().changes_kept_max;
            let at = (self.clock.now_us(), kept);
            let kind = (collection.category.as_str(), collection.subcategory.as_str());
            let written = prepare::again(&mut tx, &now, effects, position, at).await;
            if written.map_err(|error| self.refused(error, [kind].into_iter()))? {
                applied.changed.push(collection.id);
            }
        }
        self.publish_decided(tx, &applied).await?;
        Ok(true)
    }

    /// Ends it: what was built takes its place, for all nodes at once, and `rescued` is looked through once more.
    pub async fn end_rebuild(&self, job: &Rebuild, collection: &Collection) -> Result<()> {
        let (mut tx, mut applied) = (self.db.begin().await?, Applied::default());
        let sql = "update rebuild set state = 'done' where collection_id = $1 and round = $2 and row_id = $3";
        if tx.execute(sql, &job.place()).await? == 0 {
            return Ok(());
        }
        let swap = |shape: &mut Published, _: &Shape| {
            shape.swap();
            Ok(())
        };
        let kind = (collection.category.as_str(), collection.subcategory.as_str());
        let mut cover = Cover { store: self, tx: &mut tx, applied: &mut applied };
        let swapped = cover.revise(kind, "all rows have the types that were decided", None, swap).await?;
        if !applied.published {
            return tx.commit().await;
        }
        self.barrier(&mut tx).await?;
        begin(self, &mut tx, &swapped, "cleaning").await?;
        announce(&mut tx, Topic::Stream).await?;
        self.publish_decided(tx, &applied).await
    }
}

impl Rebuild {
    fn place(&self) -> [Value; 3] {
        [self.collection_id.into(), self.round.into(), self.row_id.into()]
    }
}

/// What was rescued may fit now; other rows are as they should be.
fn only(job: &Rebuild) -> &'static str {
    if job.state == "cleaning" { " and c.rescued is not null" } else { "" }
}

fn rebuild(row: &Row) -> Result<Rebuild> {
    Ok(Rebuild {
        collection_id: row.i64(0)?,
        generation: row.i64(1)?,
        state: row.text(2)?.to_owned(),
        done: row.i64(3)?,
        total: row.opt_i64(4)?,
        round: row.i64(5)?,
        row_id: row.i64(6)?,
        upto: row.i64(7)?,
    })
}
