//! What is kept: the raw log with its outbox and ledger, the catalog of shapes, the rows of collections and their
//! changes. Must not decide who may see what: rows leave only for a `Scoped` query, changes only `Sealed`.

pub mod advice;
pub mod api_keys;
pub mod awaited;
pub mod catalog;
pub mod changes;
pub mod contracts;
pub mod db;
pub mod events;
pub mod ledger;
pub mod lineage;
pub mod log;
mod migrate;
mod outbox;
pub mod reads;
pub mod rows;
mod statistics;
pub mod wake;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::Signer;
use crate::telemetry::{Clock, Metrics};

use db::{Dialect, Type, Value};
#[cfg(test)]
pub(crate) use migrate::tests::rows_of_the_outbox_are_those_of_before;

/// What the tables mean; raised when a new program can no longer read what an old one wrote.
const FORMAT: &str = "1";

/// What who only reads is told where there is no database.
const NOTHING_YET: &str = "there is no Wellspring database here yet; `wellspring serve` makes one";

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// The database under it.
    pub(crate) db: db::Db,
    /// Wake-up hints.
    pub wake: wake::Wake,
    /// Collections as they are now on this node.
    pub catalog: catalog::Cache,
    /// API keys as they are now, as this node knows them.
    pub(crate) api_keys: api_keys::Cache,
    /// The time on this node.
    pub(crate) clock: Clock,
    signer: Signer,
    partitions: u32,
    seen: log::Seen,
    /// What is noted of reads.
    pub(crate) watch: advice::Watch,
    /// Where statements that read rows are noted, for who asks what they do.
    recorder: Option<Arc<rows::Recorder>>,
    led: rows::Led,
    metrics: Metrics,
}

impl Store {
    /// Opens the database, migrates it and loads the catalog. Its caller then runs [`Store::background`].
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be reached, `CONFLICT` when it belongs to another signing key or version, or
    /// another server owns its directory.
    pub async fn open(config: &config::Store, signer: Signer, clock: Clock) -> Result<Self> {
        let db = db::Db::open(config).await?;
        migrate::run(&db).await?;
        let partitions = own(&db, &signer.fingerprint(), config.partitions).await?;
        Self::with(db, signer, clock, partitions).await
    }

    /// Opens a database that exists for reading only, without locking its directory.
    ///
    /// # Errors
    /// As [`Store::open`]; `NOT_FOUND` when there is no database yet, `CONFLICT` when its schema is an older one.
    pub async fn open_read_only(config: &config::Store, signer: Signer, clock: Clock) -> Result<Self> {
        let db = db::Db::open_read_only(config).await?;
        migrate::check(&db).await?;
        let meta = Meta::read(&db).await?.ok_or_else(|| Error::not_found(NOTHING_YET))?;
        meta.check(&signer.fingerprint())?;
        let partitions = meta.partitions;
        Self::with(db, signer, clock, partitions).await
    }

    async fn with(db: db::Db, signer: Signer, clock: Clock, partitions: u32) -> Result<Self> {
        let catalog = catalog::Cache::open(db.clone()).await?;
        let (wake, seen) = (wake::Wake::default(), log::Seen::default());
        let api_keys = api_keys::Cache::default();
        let (watch, recorder, led) = (advice::Watch::default(), None, rows::Led::default());
        let metrics = Metrics::new();
        Ok(Store {
            db,
            wake,
            catalog,
            api_keys,
            clock,
            signer,
            partitions,
            seen,
            watch,
            recorder,
            led,
            metrics,
        })
    }

    /// Counts statements that read rows where these are.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Store { metrics, ..self }
    }

    /// What must run beside the store until `stop`: hearing other nodes, looking after the replica, making room for
    /// what will be published, and looking after API keys.
    pub fn background(&self, stop: &CancellationToken) -> Vec<BoxFuture<'static, ()>> {
        vec![
            Box::pin(wake::listen(self.db.clone(), self.wake.clone(), stop.clone())),
            Box::pin(self.db.clone().follow(stop.clone())),
            Box::pin(rows::make_room(self.clone(), stop.clone())),
            Box::pin(api_keys::watch(self.clone(), stop.clone())),
        ]
    }

    /// Whether it is the embedded database, which one process has for itself.
    pub fn is_embedded(&self) -> bool {
        self.db.dialect() == db::Dialect::Sqlite
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.db.query("select 1", &[]).await.map(drop)
    }

    /// How many partitions order the keys of this database; never changes.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The database's signing key.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// Ends the process when the configured crash point is this one; for fault tests.
    pub fn crash_point(&self, point: &str) {
        self.db.crash_point(point);
    }
}

/// What a database says of itself.
struct Meta {
    fingerprint: String,
    format: String,
    partitions: u32,
}

impl Meta {
    /// `None` when the database is new.
    async fn read(db: &db::Db) -> Result<Option<Self>> {
        let rows = db.query("select name, value from meta", &[]).await?;
        let find = |name: &str| {
            let row = rows.iter().find(|row| row.text(0).is_ok_and(|found| found == name));
            row.and_then(|row| row.text(1).ok()).map(str::to_owned)
        };
        let (Some(fingerprint), Some(format), Some(partitions)) =
            (find("key_fingerprint"), find("format"), find("partitions"))
        else {
            return Ok(None);
        };
        let partitions = partitions.parse().map_err(Error::internal)?;
        Ok(Some(Meta { fingerprint, format, partitions }))
    }

    fn check(&self, fingerprint: &str) -> Result<()> {
        let conflict = |text: String| Err(Error::new(Code::Conflict, text));
        if self.format != FORMAT {
            return conflict(format!(
                "the database has format `{}`, this version reads `{FORMAT}`; use the version that made it",
                self.format
            ));
        }
        if self.fingerprint != fingerprint {
            return conflict(format!(
                "the database belongs to the signing key `{}`, this node has `{fingerprint}`; \
                 set `auth.key_file` to the key that all its nodes share",
                self.fingerprint
            ));
        }
        Ok(())
    }
}

/// Checks that the database is this key's, or makes it so when it is new; returns its number of partitions.
async fn own(db: &db::Db, fingerprint: &str, partitions: u32) -> Result<u32> {
    if let Some(meta) = Meta::read(db).await? {
        meta.check(fingerprint)?;
        return Ok(meta.partitions);
    }
    let default = if db.dialect() == Dialect::Postgres { 8 } else { 1 };
    let partitions = if partitions == 0 { default } else { partitions.min(4_096) };
    let mut tx = db.begin().await?;
    let facts = [
        ("key_fingerprint", fingerprint.to_owned()),
        ("format", FORMAT.to_owned()),
        ("partitions", partitions.to_string()),
    ];
    let rows = facts.map(|(name, value)| vec![name.into(), value.into()]).into();
    let columns = [("name", Type::Text), ("value", Type::Text)];
    // Another node may have come first: then all of its facts hold, and none of these.
    let made = tx.insert_many("meta", &columns, rows, "on conflict (name) do nothing").await?;
    if made == 3 {
        let rows = (0..partitions).map(|p| vec![Value::from(p)]).collect();
        tx.insert_many("partition", &[("p", Type::Int)], rows, "").await?;
        tx.commit().await?;
        return Ok(partitions);
    }
    drop(tx);
    let meta =
        Meta::read(db).await?.ok_or_else(|| Error::internal("a new database has half of its facts"))?;
    meta.check(fingerprint)?;
    Ok(meta.partitions)
}

#[cfg(test)]
mod tests;
