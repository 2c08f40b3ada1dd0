//! A streaming replica of PostgreSQL: whether it is near enough to be read, by the places in the write-ahead log that
//! the database has written and the replica has replayed. Must not decide what is read there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::postgres::Postgres;
use super::{Row, RowRef, Value};
use crate::config;
use crate::error::{Error, Result};

/// How often its place is looked at, at least.
const LOOK: Duration = Duration::from_millis(200);

/// What can be seen is before this, also where commits do not wait until the log is written.
const WRITTEN: &str = "select cast(pg_current_wal_insert_lsn() - '0/0'::pg_lsn as bigint)";

const REPLAYED: &str =
    "select pg_is_in_recovery(), cast(coalesce(pg_last_wal_replay_lsn() - '0/0'::pg_lsn, 0) as bigint)";

/// The replica of a database.
pub(super) struct Replica {
    url: String,
    config: config::Store,
    lag_max: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<Arc<Postgres>>,
    /// How far it has come.
    replayed: i64,
    /// A place that it had not come to yet, and when the database had come just so far.
    awaited: Option<(i64, Instant)>,
    /// When all was written that it is known to have.
    seen: Option<Instant>,
    /// Before it has come here it is not read.
    required: i64,
    /// Whether it was said to be read.
    said: bool,
}

impl State {
    fn near(&self, lag_max: Duration) -> bool {
        self.replayed >= self.required && self.seen.is_some_and(|seen| seen.elapsed() <= lag_max)
    }
}

/// The replica while it may be read.
pub struct Near(Arc<Postgres>);

impl Near {
    /// Runs one reading statement there and hands each row to `each`, stopping at its first error.
    ///
    /// # Errors
    /// Those of the replica, which says nothing about the database.
    pub async fn read(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        self.0.read(sql, params, each).await
    }
}

impl Replica {
    pub(super) fn new(url: String, config: config::Store) -> Self {
        let lag_max = Duration::from_millis(config.replica_lag_max_ms);
        Replica { url, config, lag_max, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It, while it may be read.
    pub(super) fn near(&self) -> Option<Near> {
        let state = self.state();
        state.open.clone().filter(|_| state.near(self.lag_max)).map(Near)
    }

    /// Keeps it from being read until it has come to where the database is now.
    pub(super) async fn require_all(&self, database: &Postgres) -> Result<()> {
        let written = one(database, WRITTEN).await?.i64(0)?;
        let mut state = self.state();
        state.required = state.required.max(written);
        Ok(())
    }

    /// Looks after it until `stop`.
    pub(super) async fn follow(&self, database: &Postgres, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let looked = self.look(database).await;
            self.tell(looked.err());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK.min(self.lag_max / 4)) => {}
            }
        }
    }

    /// Notes that it was looked at, and says whether it is read when that is another than before.
    fn tell(&self, failed: Option<Error>) {
        let mut state = self.state();
        if failed.is_some() {
            state.seen = None;
        }
        let near = state.near(self.lag_max);
        match (near, std::mem::replace(&mut state.said, near)) {
            (true, false) => tracing::info!("the replica is near enough and is read"),
            (false, true) => {
                let error = failed.map(|error| error.to_string());
                tracing::warn!(error, "the replica is away or behind; the database is read instead");
            }
            _ => {}
        }
    }

    async fn look(&self, database: &Postgres) -> Result<()> {
        let open = self.state().open.clone();
        let replica = match open {
            Some(replica) => replica,
            None => {
                let replica = Arc::new(Postgres::open(&self.url, &self.config).await?);
                self.state().open = Some(replica.clone());
                replica
            }
        };
        let at = Instant::now();
        let written = one(database, WRITTEN).await?.i64(0)?;
        let row = one(&replica, REPLAYED).await?;
        if !row.bool(0)? {
            // What is written there from now on is another history.
            return Err(Error::internal("`store.replica_url` is no replica (any more)"));
        }
        let replayed = row.i64(1)?;
        let mut state = self.state();
        state.replayed = replayed;
        if let Some((_, since)) = state.awaited.filter(|(place, _)| replayed >= *place) {
            (state.seen, state.awaited) = (Some(since), None);
        }
        if replayed >= written {
            (state.seen, state.awaited) = (Some(at), None);
        } else if state.awaited.is_none() {
            state.awaited = Some((written, at));
        }
        Ok(())
    }
}

async fn one(postgres: &Postgres, sql: &str) -> Result<Row> {
    let mut found = None;
    let mut each = |row: &RowRef<'_>| {
        found = Some(row.to_row()?);
        Ok(())
    };
    postgres.read(sql, &[], &mut each).await?;
    found.ok_or_else(|| Error::internal("the server has not said where it is"))
}
