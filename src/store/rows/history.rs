//! The changes of one row, back from the last. Each knows the one before it, the row itself knows its last; only where
//! a row was gone an index leads on. They leave sealed.

use super::read::check_shape;
use super::{Left, planned};
use crate::error::{Code, Error, Result};
use crate::query::Collection;
use crate::record::{Key, Source};
use crate::store::Store;
use crate::store::changes::{Tailed, change};
use crate::store::db::Value;

/// The most sources of a collection among which a uid is looked for.
const SOURCES_MAX: usize = 100;

/// Which changes of a row.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The row's key.
    pub key: &'a str,
    /// Older than the one at this position, which is the row's; from the last one on without.
    pub before: Option<i64>,
    /// The most changes.
    pub max: usize,
    /// They end with the one whose images reach this many bytes.
    pub bytes_max: usize,
}

impl Store {
    /// The keys that a uid has in a collection: of the named source, or of all that feed it.
    ///
    /// # Errors
    /// `BAD_REQUEST` when there cannot be such a key, or there are too many sources to look.
    pub async fn keys(&self, collection: &Collection, source: Option<&str>, uid: &str) -> Result<Vec<Key>> {
        let (category, subcategory) = (collection.category.as_str(), collection.subcategory.as_str());
        if let Some(name) = source {
            return Ok(vec![Source::new(category, subcategory, name)?.key(uid)?]);
        }
        let sql = format!(
            "select source_name from source where category = $1 and subcategory = $2 order by 1 limit {}",
            SOURCES_MAX + 1
        );
        let rows = self.db.query(&sql, &[category.into(), subcategory.into()]).await?;
        if rows.len() > SOURCES_MAX {
            return Err(Error::bad_request(
                "too many sources feed this collection; say which by `sourceName`",
            ));
        }
        rows.iter().map(|row| Source::new(category, subcategory, row.text(0)?)?.key(uid)).collect()
    }

    /// Changes of a row, the newest first; whether there may be more.
    ///
    /// # Errors
    /// `CURSOR_TOO_OLD` when the one they are to be older than is no longer kept; a stale one when the shape is newer
    /// than the collection.
    pub async fn past(&self, collection: &Collection, past: Past<'_>) -> Result<(Vec<Tailed>, bool)> {
        let skipped = usize::from(past.before.is_some());
        let params = [collection.id.into(), past.key.into(), Value::opt_int(past.before)];
        // A contract's collection lacks fields that its own condition asks about.
        let known = self.catalog.load();
        let whole =
            known.by_id(collection.id).filter(|whole| whole.shape.version == collection.shape.version);
        let whole =
            whole.ok_or_else(|| Error::stale("the shape is newer than what the past was asked with"))?;
        let left = Left::of(whole, self.db.dialect());
        let statement = statement(collection, &left, past.max.saturating_add(skipped));
        let (rows, full) = self.images(&statement, &params, &left, past.bytes_max).await?;
        let version = match rows.first() {
            Some(row) => row.i64(8)?,
            None => {
                let sql = "select shape_version from collection where id = $1";
                let found = self.db.query(sql, &[collection.id.into()]).await?;
                found.first().map_or(Ok(0), |row| row.i64(0))?
            }
        };
        check_shape(collection, Some(version))?;
        if rows.len() < skipped {
            let text = "the changes behind this cursor are no longer kept; ask without it for those that are";
            return Err(Error::new(Code::CursorTooOld, text));
        }
        let more = full || rows.len() == past.max.saturating_add(skipped);
        let changes = rows.iter().skip(skipped).map(|row| change(collection.id, row));
        Ok((changes.collect::<Result<_>>()?, more))
    }
}

/// Follows a row's changes back from its last, or from the one at `$3`. The limit stands within: whoever orders reads
/// all first.
fn statement(collection: &Collection, left: &Left<'_>, limit: usize) -> String {
    let columns = "pos, generation, key, rev, op, before, after, at, prev";
    let own = columns.split(", ").map(|column| format!("c.{column}")).collect::<Vec<_>>().join(", ");
    let gone =
        "select max(d.pos) from change d where d.key = $2 and d.op = 'delete' and d.collection_id = $1";
    format!(
        "with recursive h ({columns}) as (\
         select {own} from change c where c.collection_id = $1 and c.key = $2 and c.pos = coalesce($3, \
         (select r.pos from {table} r where r.key = $2), ({gone})) \
         union all select {own} from h join change c on c.collection_id = $1 and c.key = $2 \
         and c.pos = case when h.before is null then ({gone} and d.pos < h.pos) else h.prev end) \
         select c.pos, c.generation, c.key, c.rev, c.op, c.before, {image}, c.at, \
         (select shape_version from collection where id = $1), {row} from (select * from h limit {limit}) c {join} \
         order by c.pos desc",
        table = planned(collection),
        image = left.image(),
        row = left.columns(),
        join = left.join()
    )
}
