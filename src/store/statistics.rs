//! Statistics of values as the database has them: what nodes have gathered, merged by one of them at a time. Must not
//! decide what is gathered, nor who may know.

use std::collections::BTreeMap;

use crate::config;
use crate::error::Result;
use crate::shape::{Published, Statistics};
use crate::store::Store;
use crate::store::db::{Dialect, Row, Type};

const COLUMNS: [(&str, Type); 3] =
    [("collection_id", Type::Int), ("field_id", Type::Int), ("state", Type::Text)];
/// The row that whoever merges holds, which there is from the first time on.
const FIRST: &str =
    "insert into statistic (collection_id, field_id, state) values ($1, 0, '{}') on conflict do nothing";
const HOLD: &str = "select field_id from statistic where collection_id = $1 and field_id = 0 for update";
const READ: &str = "select field_id, state from statistic where collection_id = $1 order by field_id";
const WRITE: &str = "on conflict (collection_id, field_id) do update set state = excluded.state";

impl Store {
    /// Merges what was gathered into what is kept of a collection, and returns about how many records that covers now.
    /// Of fields that `published` has tagged as personal data no value stays.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away or busy: nothing was written, and trying again later does no harm.
    pub async fn add_statistics(
        &self,
        collection_id: i64,
        gathered: &Statistics,
        published: &Published,
        limits: &config::Statistics,
    ) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        tx.execute(FIRST, &[collection_id.into()]).await?;
        if tx.dialect() == Dialect::Postgres {
            tx.query(HOLD, &[collection_id.into()]).await?;
        }
        let (mut merged, mut kept) = (Statistics::default(), BTreeMap::new());
        for row in tx.query(READ, &[collection_id.into()]).await? {
            let id = take(&mut merged, &row)?;
            kept.insert(id, row);
        }
        merged.merge(gathered, limits);
        merged.withhold(published);
        let mut rows = Vec::new();
        for (id, text) in merged.to_texts()? {
            let same = kept.get(&id).is_some_and(|row| row.text(1).is_ok_and(|kept| kept == text));
            if !same {
                rows.push(vec![collection_id.into(), id.into(), text.into()]);
            }
        }
        tx.insert_many("statistic", &COLUMNS, rows, WRITE).await?;
        tx.commit().await?;
        Ok(merged.records())
    }

    /// What is kept of a collection.
    pub async fn statistics(&self, collection_id: i64) -> Result<Statistics> {
        let mut statistics = Statistics::default();
        let mut each = |row: &crate::store::db::RowRef<'_>| take(&mut statistics, &row.to_row()?).map(drop);
        self.db.read_large(READ, &[collection_id.into()], &mut each).await?;
        Ok(statistics)
    }
}

fn take(statistics: &mut Statistics, row: &Row) -> Result<u32> {
    let id = u32::try_from(row.i64(0)?).map_err(crate::error::Error::internal)?;
    statistics.add_text(id, row.text(1)?)?;
    Ok(id)
}
