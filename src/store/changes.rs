//! Changes of collections, tailed. They leave sealed: only a scope opens them.

use std::sync::Arc;

use super::Store;
use super::db::{Row, RowRef, Value};
use super::rows::Left;
use crate::error::{Code, Error, Result};
use crate::policy::Sealed;
use crate::query::{Change, ChangeOp};
use crate::record::{Json, Limits, parse};

/// A change on its way to its subscribers: its place can be seen, nothing else.
#[derive(Clone, Debug)]
pub struct Tailed {
    /// Its position.
    pub pos: i64,
    /// The build that it belongs to.
    pub generation: i64,
    /// The length of its images' texts.
    pub bytes: usize,
    /// The change.
    pub change: Sealed<Change>,
}

/// How often changes are read anew because a newer shape was published meanwhile.
const SHAPES_MAX: usize = 8;

const KEPT: &str = "select (select pos from collection_pos where collection_id = $1), \
     (select min(pos) from change where collection_id = $1)";

impl Store {
    /// The changes of a collection behind the position `after`, in order, without a gap. This node's catalog has their
    /// shape by then: a scope asked for afterwards knows every field in them. They end with the `max`th, or with the
    /// one whose images reach `bytes_max`; the answer says whether there may be more.
    ///
    /// # Errors
    /// `CURSOR_TOO_OLD` when changes between are no longer kept.
    pub async fn tail(
        &self,
        collection_id: i64,
        after: i64,
        max: usize,
        bytes_max: usize,
    ) -> Result<(Vec<Tailed>, bool)> {
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let params = [collection_id.into(), after.into(), limit.into()];
        let mut known = self.catalog.load();
        for _ in 0..SHAPES_MAX {
            let Some(collection) = known.by_id(collection_id) else {
                known = self.catalog.refresh().await?;
                continue;
            };
            let left = Left::of(collection, self.db.dialect());
            let (rows, full) = self.images(&tail(&left), &params, &left, bytes_max).await?;
            // What is read by an older shape than there is lacks something, in the rows and in who may see it.
            let version = i64::from(collection.shape.version);
            if rows.first().map_or(Ok(version), |row| row.i64(8))? != version {
                known = self.catalog.refresh().await?;
                continue;
            }
            let changes: Vec<Tailed> =
                rows.iter().map(|row| change(collection_id, row)).collect::<Result<_>>()?;
            if changes.first().is_some_and(|first| first.pos != after + 1) {
                return Err(too_old());
            }
            let more = full || changes.len() == max;
            return Ok((changes, more));
        }
        Err(Error::stale("the shape is newer whenever changes are read"))
    }

    /// The rows of a statement about changes up to the one whose images reach `bytes_max`, with what they have left;
    /// the columns of that begin at 9. Whether that has cut them.
    pub(super) async fn images(
        &self,
        sql: &str,
        params: &[Value],
        left: &Left<'_>,
        bytes_max: usize,
    ) -> Result<(Vec<Row>, bool)> {
        let (mut rows, mut bytes, mut full) = (Vec::new(), 0, false);
        let completed = left.completed();
        let mut each = |row: &RowRef<'_>| {
            if bytes >= bytes_max {
                full = true;
                return Err(Error::internal("the batch is full"));
            }
            let mut row = row.to_row()?;
            completed.complete(&mut row, 9)?;
            row.0.truncate(9);
            bytes += image_bytes(&row)?;
            rows.push(row);
            Ok(())
        };
        match self.db.read_each(sql, params, &mut each).await {
            Err(_) if full => {}
            read => read?,
        }
        Ok((rows, full))
    }

    /// Whether a subscription can go on behind the position `after`.
    ///
    /// # Errors
    /// `CURSOR_TOO_OLD` when it cannot.
    pub async fn resumable(&self, collection_id: i64, after: i64) -> Result<()> {
        let rows = self.db.query(KEPT, &[collection_id.into()]).await?;
        let row = rows.first().ok_or_else(too_old)?;
        let (head, kept) = (row.opt_i64(0)?.unwrap_or_default(), row.opt_i64(1)?);
        let held = after == head || (after < head && kept.is_some_and(|kept| kept <= after + 1));
        if held { Ok(()) } else { Err(too_old()) }
    }
}

/// The changes of the collection `$1` behind `$2`, at most `$3`, with what they have left.
fn tail(left: &Left<'_>) -> String {
    format!(
        "select c.pos, c.generation, c.key, c.rev, c.op, c.before, {}, c.at, \
         (select shape_version from collection where id = $1), {} from change c {} \
         where c.collection_id = $1 and c.pos > $2 order by c.pos limit $3",
        left.image(),
        left.columns(),
        left.join()
    )
}

fn too_old() -> Error {
    Error::new(
        Code::CursorTooOld,
        "the changes behind this cursor are no longer kept; start again with `snapshot: true`",
    )
}

/// A change from the columns pos, generation, key, rev, op, before, after and at.
pub(super) fn change(collection_id: i64, row: &Row) -> Result<Tailed> {
    let (pos, generation) = (row.i64(0)?, row.i64(1)?);
    let change = Change {
        collection_id,
        pos,
        generation,
        key: row.text(2)?.to_owned(),
        revision: row.i64(3)?,
        op: if row.text(4)? == "delete" { ChangeOp::Delete } else { ChangeOp::Upsert },
        before: row.opt_text(5)?.map(image).transpose()?,
        after: row.opt_text(6)?.map(image).transpose()?,
        at: row.i64(7)?,
    };
    Ok(Tailed { pos, generation, bytes: image_bytes(row)?, change: Sealed::new(change) })
}

/// How long the texts of its images are.
fn image_bytes(row: &Row) -> Result<usize> {
    Ok([row.opt_text(5)?, row.opt_text(6)?].into_iter().flatten().map(str::len).sum())
}

/// An image as the store itself has written it: bounded when it came in.
fn image(text: &str) -> Result<Arc<Json>> {
    parse(text.as_bytes(), Limits::ACCEPTED).map(Arc::new).map_err(|error| Error::internal(error.to_string()))
}
