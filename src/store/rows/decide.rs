//! What is published by decision, not because a record uncovered it: fields classified by hand or by rules. Must not
//! judge who may decide.

use super::publish::Cover;
use super::{Applied, Looked, rebuild};
use crate::error::{Error, Result};
use crate::query::Collection;
use crate::shape::{Published, Shape, What, diff};
use crate::store::Store;
use crate::store::db::{Row, Tx, Value};
use crate::store::events::EventKind;

/// What a decision has changed.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The fields, by their paths.
    pub paths: Vec<String>,
    /// How it was before, of each of the fields.
    pub before: serde_json::Value,
    /// How it is then.
    pub after: serde_json::Value,
}

/// A decision that was made.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Rising in the order in which they were made.
    pub id: i64,
    /// The version of the shape that it made.
    pub version: i64,
    /// When, Unix microseconds.
    pub at: i64,
    /// Who decided.
    pub subject: String,
    /// What kind of decision it is.
    pub what: String,
    /// Paths of the fields that it changed, as a JSON list.
    pub paths: serde_json::Value,
    /// How it was before, of each of the fields.
    pub before: serde_json::Value,
    /// How it is since then.
    pub after: serde_json::Value,
}

impl Store {
    /// Publishes what `change` makes of a collection's shape, for this cause, and writes down who decided what, in one
    /// transaction. Returns the collection as it is then, and the decision if it has changed anything. All nodes notice
    /// it as they do every published version; when fields or types come by it, all rows are gone over. `looked` is how
    /// far the rows have been looked through for what it excludes.
    ///
    /// # Errors
    /// Those of `change`, and `UNAVAILABLE` when another transaction stands in the way for too long.
    pub async fn decide(
        &self,
        collection: &Collection,
        subject: &str,
        (what, cause): (&str, &str),
        looked: Option<Looked>,
        change: impl FnOnce(&mut Published) -> Result<Decision>,
    ) -> Result<(Collection, Option<Decision>)> {
        self.decide_by_seen(collection, subject, (what, cause), looked, |shape, _| change(shape)).await
    }

    /// As [`Store::decide`], by all that was seen of the collection's documents: fields may be new and types wider
    /// then.
    ///
    /// # Errors
    /// Those of [`Store::decide`].
    pub async fn decide_by_seen(
        &self,
        collection: &Collection,
        subject: &str,
        (what, cause): (&str, &str),
        looked: Option<Looked>,
        change: impl FnOnce(&mut Published, &Shape) -> Result<Decision>,
    ) -> Result<(Collection, Option<Decision>)> {
        let (mut tx, mut applied) = (self.db.begin().await?, Applied::default());
        let mut cover = Cover { store: self, tx: &mut tx, applied: &mut applied };
        let kind = (collection.category.as_str(), collection.subcategory.as_str());
        let (mut decision, mut grown) = (None, false);
        let change = |published: &mut Published, seen: &Shape| {
            let before = published.clone();
            decision = Some(change(published, seen)?);
            // Fields and types that a decision gives are for rows that are there, too.
            let is_growth = |what| matches!(what, What::Added(_) | What::Widened(..) | What::Retyping(..));
            grown = diff(&before, published).into_iter().any(|one| is_growth(one.what));
            Ok(())
        };
        let revised = cover.revise(kind, cause, looked, change).await?;
        decision = decision.filter(|_| applied.published);
        if let Some(decision) = &decision {
            self.write_down(&mut tx, &revised, (subject, what), decision).await?;
            for one in &mut applied.happened {
                (one.kind, one.subject) = (EventKind::Decided, Some(subject.to_owned()));
            }
        }
        if grown {
            rebuild::start(self, &mut tx, &revised).await?;
        }
        self.publish_decided(tx, &applied).await?;
        Ok((revised, decision))
    }

    /// Classifies, in all collections, what the rules of this node's configuration say, and sets the modes that they
    /// say: they may be newer than the fields. Returns how many fields were classified.
    pub async fn classify_by_rules(&self) -> Result<usize> {
        let rules = self.catalog.limits().shape.clone();
        let mut released = 0;
        for collection in self.catalog.load().collections.values() {
            let mut tried = Published::clone(&collection.shape);
            tried.release(&collection.field_name, &rules);
            tried.rule(&collection.field_name, &rules);
            if tried == *collection.shape {
                continue;
            }
            let (mut tx, mut applied) = (self.db.begin().await?, Applied::default());
            let mut cover = Cover { store: self, tx: &mut tx, applied: &mut applied };
            let kind = (collection.category.as_str(), collection.subcategory.as_str());
            let release = |shape: &mut Published, seen: &Shape| {
                released += shape.release(&collection.field_name, &rules).len();
                shape.rule(&collection.field_name, &rules);
                shape.catch_up(seen, &rules);
                Ok(())
            };
            cover.revise(kind, "decided by the configuration", None, release).await?;
            self.publish_decided(tx, &applied).await?;
        }
        Ok(released)
    }

    pub(super) async fn publish_decided(&self, mut tx: Tx, applied: &Applied) -> Result<()> {
        applied.announce(&mut tx).await?;
        tx.commit().await?;
        self.committed(applied).await
    }

    pub(super) async fn write_down(
        &self,
        tx: &mut Tx,
        collection: &Collection,
        (subject, what): (&str, &str),
        decision: &Decision,
    ) -> Result<()> {
        let params = [
            collection.id.into(),
            collection.shape.version.into(),
            self.clock.now_us().into(),
            subject.into(),
            what.into(),
            serde_json::to_string(&decision.paths).map_err(Error::internal)?.into(),
            decision.before.to_string().into(),
            decision.after.to_string().into(),
        ];
        let sql = "insert into decision (collection_id, version, at, subject, what, paths, before, after) \
                   values ($1, $2, $3, $4, $5, $6, $7, $8)";
        tx.execute(sql, &params).await.map(drop)
    }

    /// Decisions about a collection, the newest first; only those before the one with the id `before`.
    pub async fn decisions(
        &self,
        collection_id: i64,
        first: usize,
        before: Option<i64>,
    ) -> Result<Vec<Decided>> {
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        let params = [collection_id.into(), before.unwrap_or(i64::MAX).into(), first.into()];
        self.db.query(DECISIONS, &params).await?.iter().map(decided).collect()
    }

    /// What a collection's documents have shown so far, published or held back.
    pub async fn seen(&self, collection: &Collection) -> Result<Shape> {
        let sql = "select v.shape from collection c join shape_version v on v.collection_id = c.id \
                   and v.version = c.shape_version where c.id = $1";
        let rows = self.db.query(sql, &[collection.id.into()]).await?;
        rows.first().map_or_else(|| Ok(Shape::default()), |row| Shape::from_text(row.text(0)?))
    }

    /// The highest number that a field had in this version of a collection's shape; `None` when there is no such
    /// version.
    pub async fn last_field_id(&self, collection_id: i64, version: i64) -> Result<Option<u32>> {
        let sql = "select published from shape_version where collection_id = $1 and version = $2";
        let rows = self.db.query(sql, &[collection_id.into(), Value::Int(version)]).await?;
        let last = |row: &Row| Ok(crate::store::catalog::published(row.text(0)?)?.last_field_id);
        rows.first().map(last).transpose()
    }
}

const DECISIONS: &str = "select id, version, at, subject, what, paths, before, after from decision \
     where collection_id = $1 and id < $2 order by id desc limit $3";

fn decided(row: &Row) -> Result<Decided> {
    let json = |index| serde_json::from_str(row.text(index)?).map_err(Error::internal);
    Ok(Decided {
        id: row.i64(0)?,
        version: row.i64(1)?,
        at: row.i64(2)?,
        subject: row.text(3)?.to_owned(),
        what: row.text(4)?.to_owned(),
        paths: json(5)?,
        before: json(6)?,
        after: json(7)?,
    })
}
