//! Trimming: outbox rows that are settled are dropped, but for the last few of each partition.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::Store;
use crate::store::db::Value;

/// Settled rows kept in each partition: receipts tell by them when a record was published.
const KEPT: i64 = 1_000;

/// Rows dropped in one transaction.
const AT_ONCE: i64 = 5_000;

/// How often it is looked for rows to drop.
const PAUSE: Duration = Duration::from_secs(2);

/// Trims until `stop`.
pub(in crate::store) async fn run(store: Store, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        if let Err(error) = store.trim_outbox().await {
            tracing::debug!(%error, "the outbox could not be trimmed now");
        }
    }
}

impl Store {
    /// Drops outbox rows that are settled; returns how many.
    pub async fn trim_outbox(&self) -> Result<u64> {
        let (mut dropped, params) = (0, [Value::Int(KEPT), Value::Int(AT_ONCE)]);
        let old = "select o.id from partition p join outbox o on o.partition = p.p and o.pseq <= p.settled - $1 \
                   limit $2";
        loop {
            // Looked for by a reader first: an idle system writes nothing.
            if self.db.query(&format!("select 1 from ({old}) as old limit 1"), &params).await?.is_empty() {
                return Ok(dropped);
            }
            let mut tx = self.db.begin().await?;
            let sql = format!("delete from outbox where id in ({old})");
            let count = tx.execute(&sql, &params).await?;
            tx.commit().await?;
            dropped += count;
            if count == 0 {
                return Ok(dropped);
            }
        }
    }

    /// How many records wait to be provisioned, at most: settled ones that are not trimmed yet count too.
    pub async fn backlog(&self) -> Result<i64> {
        let sql = "select coalesce((select max(id) from outbox) - (select min(id) from outbox) + 1, 0)";
        let rows = self.db.query(sql, &[]).await?;
        rows.first().map_or(Ok(0), |row| row.i64(0))
    }
}
