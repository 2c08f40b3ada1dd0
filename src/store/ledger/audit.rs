//! What the ledger tells people: lag, and the pages that `verify` walks. Reads only, but for the database's identity.

use std::collections::HashSet;

use uuid::Uuid;

use super::effects::{SETTLED, Settled, settled_row};
use super::{GENERATION, fitting, ids, oldest};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::db::Value;
use crate::store::log::BODY_BYTES;
use crate::store::outbox;

/// How far everything is.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    /// Records in the outbox that the relay has not claimed.
    pub unclaimed: i64,
    /// When the oldest unsettled record was taken in, Unix microseconds.
    pub oldest: Option<i64>,
    /// Number, claimed and settled of each partition.
    pub partitions: Vec<(i64, i64, i64)>,
}

impl Store {
    /// A short text that no other database has; made once. It keeps databases apart that share one Redis.
    pub async fn identity(&self) -> Result<String> {
        let mut tx = self.db.begin().await?;
        let made = format!("{:08x}", rand::random::<u32>());
        let sql = "insert into meta (name, value) values ('identity', $1) on conflict (name) do nothing";
        tx.execute(sql, &[Value::Text(made)]).await?;
        let rows = tx.query("select value from meta where name = 'identity'", &[]).await?;
        tx.commit().await?;
        let row = rows.first().ok_or_else(|| Error::internal("the database's identity was not stored"))?;
        Ok(row.text(0)?.to_owned())
    }

    /// How far everything is.
    pub async fn lag(&self) -> Result<Lag> {
        // In the order of a record's way: the other way round one that is claimed between the two is in neither.
        let sql = "select cast(coalesce(sum(n), 0) as bigint) from outbox where pseq is null";
        let rows = self.db.query(sql, &[]).await?;
        let unclaimed = rows.first().map_or(Ok(0), |row| row.i64(0))?;
        let rows = self.db.query("select p, pseq, settled from partition order by p", &[]).await?;
        let partitions =
            rows.iter().map(|row| Ok((row.i64(0)?, row.i64(1)?, row.i64(2)?))).collect::<Result<_>>()?;
        let rows = self.db.query(&oldest(self.db.dialect()), &[]).await?;
        let oldest = rows.first().map_or(Ok(None), |row| row.opt_i64(0))?;
        Ok(Lag { unclaimed, oldest, partitions })
    }

    /// Ids of records after one, in order; so many that their documents are no larger than `bytes_max` together.
    pub async fn record_ids(&self, after: Uuid, max: usize, bytes_max: i64) -> Result<Vec<Uuid>> {
        let sql =
            format!("select r.id, {BODY_BYTES} from record r where r.id > $1 order by r.id limit {max}");
        let rows = self.db.query(&sql, &[Value::Uuid(after)]).await?;
        let sizes = rows.iter().map(|row| row.i64(1)).collect::<Result<Vec<_>>>()?;
        let fits = fitting(sizes.into_iter(), bytes_max);
        rows.iter().take(fits).map(|row| row.uuid(0)).collect()
    }

    /// Which of these records are not settled yet.
    pub async fn pending_of(&self, records: &[Uuid]) -> Result<HashSet<Uuid>> {
        let (list, params) = ids(records);
        let holds = outbox::holds(self.db.dialect());
        let sql = format!("select r.id from record r join outbox o on {holds} where r.id in ({list})");
        self.db.query(&sql, &params).await?.iter().map(|row| row.uuid(0)).collect()
    }

    /// The ledger rows of these records, and their genesis markers.
    pub async fn chains_of(&self, records: &[Uuid]) -> Result<(Vec<(Uuid, Vec<u8>)>, Vec<Settled>)> {
        let (list, params) = ids(records);
        let sql = format!("select id, genesis from record where id in ({list})");
        let rows = self.db.query(&sql, &params).await?;
        let genesis =
            rows.iter().map(|row| Ok((row.uuid(0)?, row.bytes(1)?.to_vec()))).collect::<Result<_>>()?;
        let sql = format!(
            "select {SETTLED} from ledger l where l.generation = {GENERATION} and l.record_id in ({list})"
        );
        let rows = self.db.query(&sql, &params).await?;
        Ok((genesis, rows.iter().map(settled_row).collect::<Result<_>>()?))
    }
}
