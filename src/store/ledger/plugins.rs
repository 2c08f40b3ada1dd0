//! Plugins as the database knows them, and the barrier at which it changes which of them are asked.
//!
//! The barrier takes every partition from its worker in the transaction of the change. Whoever settles after it has
//! taken the lease after it, and reads this table before it works: so no record is settled by a node that does not
//! know of a plugin that is enabled, or asks one that is not.

use uuid::Uuid;

use super::oldest;
use crate::error::{Code, Error, Result};
use crate::store::Store;
use crate::store::db::{Dialect, Row, Tx, Value};
use crate::store::wake::{Topic, announce};

/// Records that are on their way into the log when a plugin ends were taken in at most this long before.
const STRAGGLERS_US: i64 = 60_000_000;
/// How far ahead of this node's clock other nodes' clocks may be.
const AHEAD_MS: i64 = 86_400_000;

/// A plugin as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its number in the ledger.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The version that settles now.
    pub version: i64,
    /// `enabled`, `disabled`, or `removed` from the configuration.
    pub state: String,
    /// Records taken in before this (Unix microseconds) belong to it only by replay.
    pub enabled_from: i64,
    /// When it was enabled before: from, until, in Unix microseconds.
    pub past: Vec<(i64, i64)>,
}

impl Registered {
    /// Whether it is asked about what is taken in now.
    pub fn is_enabled(&self) -> bool {
        self.state == "enabled"
    }

    /// Whether it is asked about records that were taken in then, Unix microseconds.
    pub fn owns(&self, ingested_at: i64) -> bool {
        let past = self.past.iter().any(|(from, until)| (*from..*until).contains(&ingested_at));
        past || (self.is_enabled() && ingested_at >= self.enabled_from)
    }
}

const COLUMNS: &str = "id, name, version, state, enabled_from, past";

impl Store {
    /// All plugins that were ever registered.
    pub async fn registered(&self) -> Result<Vec<Registered>> {
        let sql = format!("select {COLUMNS} from plugin order by id");
        self.db.query(&sql, &[]).await?.iter().map(registered).collect()
    }

    /// The number and the beginning of a plugin, registering it at its first start. `always` makes every record its
    /// own; else only those taken in from now on, or all when there are none yet. One that was removed begins again;
    /// one that a person has disabled does not.
    pub async fn register(&self, name: &str, version: i64, always: bool) -> Result<Registered> {
        let mut tx = self.db.begin().await?;
        let mut found = named(&mut tx, name).await?;
        if found.as_ref().is_none_or(|plugin| plugin.state == "removed") {
            self.barrier(&mut tx).await?;
            found = named(&mut tx, name).await?;
        }
        let mut plugin = match found {
            Some(plugin) if plugin.state == "removed" => self.begin_again(&mut tx, plugin).await?,
            Some(plugin) => plugin,
            None => {
                let none = tx.query("select 1 from record limit 1", &[]).await?.is_empty();
                let from = if always || none { 0 } else { self.unsettled_from(&mut tx).await? };
                let sql =
                    "insert into plugin (name, version, state, enabled_from) values ($1, $2, 'enabled', $3)";
                let params = [Value::Text(name.into()), Value::Int(version), Value::Int(from)];
                tx.execute(sql, &params).await?;
                let made = named(&mut tx, name).await?;
                made.ok_or_else(|| Error::internal("a plugin was not registered"))?
            }
        };
        if plugin.version < version {
            let sql = "update plugin set version = $1 where id = $2";
            tx.execute(sql, &[Value::Int(version), Value::Int(plugin.id)]).await?;
            plugin.version = version;
        }
        tx.commit().await?;
        Ok(plugin)
    }

    /// Has a plugin begin again, with the records that are taken in from now on.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of this name.
    pub async fn enable(&self, name: &str) -> Result<Registered> {
        let mut tx = self.db.begin().await?;
        self.barrier(&mut tx).await?;
        let mut plugin = named(&mut tx, name).await?.ok_or_else(|| unknown(name))?;
        if !plugin.is_enabled() {
            plugin = self.begin_again(&mut tx, plugin).await?;
        }
        self.changed(tx).await?;
        Ok(plugin)
    }

    /// Ends a plugin: no node asks it about any record that is not settled yet. `state` is `disabled` or `removed`.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of this name.
    pub async fn disable(&self, name: &str, state: &str) -> Result<Registered> {
        let mut tx = self.db.begin().await?;
        self.barrier(&mut tx).await?;
        let mut plugin = named(&mut tx, name).await?.ok_or_else(|| unknown(name))?;
        if plugin.is_enabled() {
            // What is still to be settled, or on its way here, must not stay the plugin's: nobody would ask it.
            let rows = tx.query(&oldest(tx.dialect()), &[]).await?;
            let oldest = rows.first().map_or(Ok(None), |row| row.opt_i64(0))?.unwrap_or(i64::MAX);
            let until = oldest.min(self.clock.now_us()).saturating_sub(STRAGGLERS_US);
            if until > plugin.enabled_from {
                plugin.past.push((plugin.enabled_from, until));
            }
        }
        plugin.state = state.to_owned();
        update(&mut tx, &plugin).await?;
        self.changed(tx).await?;
        Ok(plugin)
    }

    async fn changed(&self, mut tx: Tx) -> Result<()> {
        announce(&mut tx, Topic::Stream).await?;
        tx.commit().await?;
        self.wake.notify(Topic::Stream);
        Ok(())
    }

    async fn begin_again(&self, tx: &mut Tx, mut plugin: Registered) -> Result<Registered> {
        plugin.state = "enabled".into();
        plugin.enabled_from = self.unsettled_from(tx).await?;
        update(tx, &plugin).await?;
        Ok(plugin)
    }

    /// Takes every partition from its worker; what is being settled under the old fences ends before, or not at all.
    pub(in crate::store) async fn barrier(&self, tx: &mut Tx) -> Result<()> {
        if self.db.dialect() == Dialect::Postgres {
            // The whole table, and from those, too, who hold rows and are about to write them: else it would wait for
            // somebody who waits for it.
            tx.execute("lock table partition in exclusive mode", &[]).await?;
        }
        let sql = "update partition set worker_owner = null, worker_fence = worker_fence + 1";
        tx.execute(sql, &[]).await.map(drop)
    }

    /// A time from which on nothing that was taken in is settled, behind the barrier: now, or later where a node whose
    /// clock is ahead has made ids.
    async fn unsettled_from(&self, tx: &mut Tx) -> Result<i64> {
        let now = self.clock.now_us();
        let id = |ms: i64| Value::Uuid(Uuid::from_u128(u128::try_from(ms).unwrap_or(0) << 80));
        let sql = "select coalesce(max(ingested_at), 0) from record where id >= $1 and id < $2";
        let rows = tx.query(sql, &[id(now / 1_000), id(now / 1_000 + AHEAD_MS)]).await?;
        let newest = rows.first().map_or(Ok(0), |row| row.i64(0))?;
        Ok(now.max(newest.saturating_add(1)))
    }
}

async fn named(tx: &mut Tx, name: &str) -> Result<Option<Registered>> {
    let sql = format!("select {COLUMNS} from plugin where name = $1 order by id limit 1");
    let rows = tx.query(&sql, &[Value::Text(name.into())]).await?;
    rows.first().map(registered).transpose()
}

async fn update(tx: &mut Tx, plugin: &Registered) -> Result<()> {
    let sql = "update plugin set state = $1, enabled_from = $2, past = $3 where id = $4";
    let past = serde_json::to_string(&plugin.past).map_err(Error::internal)?;
    let params = [
        Value::Text(plugin.state.clone()),
        Value::Int(plugin.enabled_from),
        Value::Text(past),
        Value::Int(plugin.id),
    ];
    tx.execute(sql, &params).await.map(drop)
}

fn unknown(name: &str) -> Error {
    let name: String = name.chars().take(100).collect();
    Error::new(Code::NotFound, format!("there is no plugin `{name}`; `plugins` lists them"))
}

fn registered(row: &Row) -> Result<Registered> {
    Ok(Registered {
        id: row.i64(0)?,
        name: row.text(1)?.to_owned(),
        version: row.i64(2)?,
        state: row.text(3)?.to_owned(),
        enabled_from: row.i64(4)?,
        past: serde_json::from_str(row.text(5)?).map_err(Error::internal)?,
    })
}
