//! Two databases behind one small interface: PostgreSQL through sqlx, SQLite through rusqlite.
//!
//! SQL is written once, with `$1, $2, …`; where the dialects differ, callers ask [`Db::dialect`]. Nothing here
//! knows a table.

mod arguments;
mod copy;
mod failure;
mod functions;
mod kept;
mod numeric;
mod postgres;
mod replica;
mod scalars;
mod session;
mod sqlite;
mod value;

pub(in crate::store) use copy::COPIED_MIN;
pub use failure::Refusal;
pub use failure::{is_missing_table, is_out_of_range, is_unique_violation, refusal};
pub use replica::Near;
pub use session::Session;
pub use value::{Row, RowRef, Type, Value};

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use crate::config;
use crate::error::{Error, Result};
use crate::telemetry;

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded file.
    Sqlite,
    /// A server.
    Postgres,
}

/// A database; cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    driver: Driver,
    replica: Option<replica::Replica>,
    crash_at: Option<String>,
}

enum Driver {
    Sqlite(Arc<sqlite::Sqlite>),
    Postgres(postgres::Postgres),
}

impl Db {
    /// Opens it; its schema is brought up to date by [`Store::open`](crate::store::Store::open).
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be reached, `CONFLICT` when another server owns the data directory.
    pub async fn open(config: &config::Store) -> Result<Self> {
        Self::open_as(config, false).await
    }

    /// Opens it for reading: locks nothing, creates nothing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be reached.
    pub async fn open_read_only(config: &config::Store) -> Result<Self> {
        Self::open_as(config, true).await
    }

    async fn open_as(config: &config::Store, read_only: bool) -> Result<Self> {
        let driver = match config.database_url.as_deref() {
            Some(url) if url.starts_with("postgres:") || url.starts_with("postgresql:") => {
                Driver::Postgres(postgres::Postgres::open(url, config).await?)
            }
            url => {
                let path = sqlite_path(url, &config.data)?;
                if read_only && !path.exists() {
                    return Err(Error::not_found(super::NOTHING_YET));
                }
                Driver::Sqlite(Arc::new(sqlite::Sqlite::open(&path, config, read_only)?))
            }
        };
        let url = config.replica_url.clone().filter(|_| matches!(driver, Driver::Postgres(_)));
        let replica = url.map(|url| replica::Replica::new(url, config.clone()));
        Ok(Db(Arc::new(Inner { driver, replica, crash_at: config.crash_at.clone() })))
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match &self.0.driver {
            Driver::Sqlite(_) => Dialect::Sqlite,
            Driver::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one reading statement and returns its rows.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut each = |row: &RowRef<'_>| {
            rows.push(row.to_row()?);
            Ok(())
        };
        self.read(sql, params, &mut each).await?;
        Ok(rows)
    }

    /// Runs one reading statement and hands each row to `each`, stopping at its first error.
    ///
    /// On SQLite it runs on the calling thread: for reads that take well under a millisecond.
    pub async fn read(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        match &self.0.driver {
            Driver::Sqlite(sqlite) => sqlite.read(sql, params, each).await,
            Driver::Postgres(postgres) => postgres.read(sql, params, each).await,
        }
    }

    /// [`Db::read`] for a statement that may take longer. It is ended when the future is dropped.
    pub async fn read_large(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        match &self.0.driver {
            Driver::Sqlite(sqlite) => sqlite.read_large(sql, params, each).await,
            Driver::Postgres(postgres) => postgres.read(sql, params, each).await,
        }
    }

    /// How a reading statement is run, as the database tells it: on PostgreSQL the plan with what running it took, on
    /// SQLite the lines of its plan. PostgreSQL runs it within a transaction that can only read.
    pub async fn explain(&self, sql: &str, params: &[Value]) -> Result<serde_json::Value> {
        match &self.0.driver {
            Driver::Postgres(_) => {
                let mut tx = self.begin().await?;
                tx.execute("set transaction read only", &[]).await?;
                let told = format!("explain (analyze, buffers, format json) {sql}");
                let rows = tx.query(&told, params).await?;
                let text = rows.first().map_or(Ok("null"), |row| row.text(0))?;
                serde_json::from_str(text).map_err(Error::internal)
            }
            Driver::Sqlite(sqlite) => {
                let mut lines = Vec::new();
                let mut each = |row: &RowRef<'_>| {
                    let (id, parent, detail) = (row.i64(0)?, row.i64(1)?, row.text(3)?);
                    lines.push(serde_json::json!({ "id": id, "parent": parent, "detail": detail }));
                    Ok(())
                };
                sqlite.explain(&format!("explain query plan {sql}"), params, &mut each).await?;
                Ok(lines.into())
            }
        }
    }

    /// [`Db::read_large`] for a statement that finds rows one by one: PostgreSQL plans it anew each time, as a plan
    /// from when a table was small would read all of it for each.
    pub async fn read_each(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        match &self.0.driver {
            Driver::Sqlite(sqlite) => sqlite.read_large(sql, params, each).await,
            Driver::Postgres(postgres) => postgres.read_anew(sql, params, each).await,
        }
    }

    /// Runs `sql` once for all `rows`, which it reads as the table `u` with these columns, and returns its rows.
    ///
    /// On SQLite it runs once for each row, so it must not relate rows of `u` to one another.
    pub async fn query_many(
        &self,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        sql: &str,
    ) -> Result<Vec<Row>> {
        match &self.0.driver {
            Driver::Sqlite(sqlite) => {
                let mut found = Vec::new();
                let mut each = |row: &RowRef<'_>| {
                    found.push(row.to_row()?);
                    Ok(())
                };
                sqlite.read_many(&sqlite::with_rows(columns, sql), &rows, &mut each).await?;
                Ok(found)
            }
            Driver::Postgres(postgres) => postgres.query_many(columns, rows, sql).await,
        }
    }

    /// The replica, while it may be read.
    pub fn near(&self) -> Option<Near> {
        self.0.replica.as_ref()?.near()
    }

    /// Has whatever is committed by now be seen by reads from here on: the replica is not read until it is there.
    pub async fn see_all(&self) -> Result<()> {
        match (&self.0.replica, &self.0.driver) {
            (Some(replica), Driver::Postgres(postgres)) => replica.require_all(postgres).await,
            _ => Ok(()),
        }
    }

    /// Looks after the replica, if there is one, until `stop`.
    pub(super) async fn follow(self, stop: CancellationToken) {
        if let (Some(replica), Driver::Postgres(postgres)) = (&self.0.replica, &self.0.driver) {
            replica.follow(postgres, &stop).await;
        }
    }

    /// Begins a writing transaction; on SQLite `BEGIN IMMEDIATE` on the only writer. Dropped = rolled back.
    pub async fn begin(&self) -> Result<Tx> {
        let open = match &self.0.driver {
            Driver::Sqlite(sqlite) => Open::Sqlite(sqlite.begin().await?),
            Driver::Postgres(postgres) => Open::Postgres(postgres.begin(false).await?),
        };
        Ok(Tx { open, by_indexes: false })
    }

    /// Begins one that goes by indexes from its first statement on, see [`Tx::go_by_indexes`].
    pub async fn begin_by_indexes(&self) -> Result<Tx> {
        match &self.0.driver {
            Driver::Sqlite(_) => self.begin().await,
            Driver::Postgres(postgres) => {
                Ok(Tx { open: Open::Postgres(postgres.begin(true).await?), by_indexes: true })
            }
        }
    }

    /// Ends the process when the configured crash point is this one; for fault tests.
    pub fn crash_point(&self, point: &str) {
        telemetry::crash_point(self.0.crash_at.as_deref(), point);
    }

    /// A connection for schema changes; on SQLite a short-lived one of its own.
    pub(super) async fn schema_connection(&self) -> Result<sea_orm::DatabaseConnection> {
        match &self.0.driver {
            Driver::Postgres(postgres) => Ok(postgres.orm().clone()),
            Driver::Sqlite(sqlite) => {
                let path = sqlite.path().to_owned();
                let mut options = sea_orm::ConnectOptions::new("sqlite::memory:");
                options.max_connections(1).sqlx_logging(false);
                options.map_sqlx_sqlite_opts(move |options| options.in_memory(false).filename(&path));
                sea_orm::Database::connect(options).await.map_err(Error::internal)
            }
        }
    }

    /// A connection of its own; none on SQLite.
    pub(super) async fn session(&self) -> Result<Option<Session>> {
        match &self.0.driver {
            Driver::Postgres(postgres) => Session::open(postgres.pool()).await.map(Some),
            Driver::Sqlite(_) => Ok(None),
        }
    }

    /// The pool whose connections can listen; `None` on SQLite.
    pub(super) fn listening_pool(&self) -> Option<&sqlx::PgPool> {
        match &self.0.driver {
            Driver::Postgres(postgres) => Some(postgres.pool()),
            Driver::Sqlite(_) => None,
        }
    }
}

fn sqlite_path(url: Option<&str>, data: &Path) -> Result<PathBuf> {
    let Some(url) = url else { return Ok(data.join("wellspring.db")) };
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path.map(|path| path.split_once('?').map_or(path, |(path, _)| path)) {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(Error::bad_request(
            "`store.database_url` must begin with `postgres://` or `sqlite://` and name a file or server",
        )),
    }
}

/// A writing transaction.
pub struct Tx {
    open: Open,
    /// Whether it goes by indexes already.
    by_indexes: bool,
}

enum Open {
    Sqlite(sqlite::SqliteTx),
    Postgres(postgres::PostgresTx),
}

impl Tx {
    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match &self.open {
            Open::Sqlite(_) => Dialect::Sqlite,
            Open::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement and returns its rows.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        match &mut self.open {
            Open::Postgres(tx) => tx.query(sql, params).await,
            Open::Sqlite(tx) => {
                let mut rows = Vec::new();
                tx.query(sql, params, &mut |row| {
                    rows.push(row.to_row()?);
                    Ok(())
                })?;
                Ok(rows)
            }
        }
    }

    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        match &mut self.open {
            Open::Sqlite(tx) => tx.execute(sql, params),
            Open::Postgres(tx) => tx.execute(sql, params).await,
        }
    }

    /// Runs a statement without parameters that takes long, on SQLite beside this thread.
    pub(super) async fn execute_long(&mut self, sql: &str) -> Result<()> {
        match &mut self.open {
            Open::Sqlite(tx) => tx.execute_long(sql).await,
            Open::Postgres(tx) => tx.execute_all(sql).await,
        }
    }

    /// Runs statements without parameters one after the other, on PostgreSQL in one round trip.
    pub async fn execute_all(&mut self, statements: &[&str]) -> Result<()> {
        match &mut self.open {
            Open::Sqlite(tx) => {
                for sql in statements {
                    tx.execute(sql, &[])?;
                }
                Ok(())
            }
            Open::Postgres(tx) => tx.execute_all(&statements.join("; ")).await,
        }
    }

    /// Has the statements that follow go by indexes: without statistics of a table, or with a plan from when it was
    /// small, PostgreSQL would scan it whole. For transactions that find all they touch by keys.
    pub async fn go_by_indexes(&mut self) -> Result<()> {
        if self.dialect() == Dialect::Postgres && !self.by_indexes {
            self.query("select set_config('enable_seqscan', 'off', true)", &[]).await?;
            self.by_indexes = true;
        }
        Ok(())
    }

    /// Inserts rows: one `unnest` statement on PostgreSQL, a prepared loop on SQLite. `suffix` is what follows, such as
    /// `on conflict (key) do update set rev = excluded.rev where …`.
    pub async fn insert_many(
        &mut self,
        table: &str,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        suffix: &str,
    ) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        match &mut self.open {
            Open::Sqlite(tx) => tx.insert_many(table, columns, &rows, suffix),
            Open::Postgres(tx) => tx.insert_many(table, columns, rows, suffix).await,
        }
    }

    /// Inserts rows that meet no other; many are copied, which PostgreSQL logs with less. For transactions that nobody
    /// drops while a statement runs: the connection would be left in the middle of a copy.
    pub async fn append_many(
        &mut self,
        table: &str,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
    ) -> Result<u64> {
        match &mut self.open {
            Open::Postgres(tx) if rows.len() >= COPIED_MIN => tx.copy_many(table, columns, &rows).await,
            _ => self.insert_many(table, columns, rows, "").await,
        }
    }

    /// Runs `sql` once for all `rows`, which it reads as the table `u` with these columns, and returns its rows; also
    /// for `update … from u` and `insert … select … from u where true on conflict …`.
    ///
    /// On SQLite it runs once for each row, so it must not relate rows of `u` to one another.
    pub async fn query_many(
        &mut self,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        sql: &str,
    ) -> Result<Vec<Row>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match &mut self.open {
            Open::Postgres(tx) => tx.query_many(columns, rows, sql).await,
            Open::Sqlite(tx) => {
                let (sql, mut found) = (sqlite::with_rows(columns, sql), Vec::new());
                for row in &rows {
                    tx.query(&sql, row, &mut |row| {
                        found.push(row.to_row()?);
                        Ok(())
                    })?;
                }
                Ok(found)
            }
        }
    }

    /// Adds columns without a type to tables of SQLite, each given as `,name,name`, all for one change of the schema;
    /// `tail` is what may stand behind a table's columns.
    pub(super) fn add_columns(&mut self, tables: &[(String, String)], tail: &str) -> Result<()> {
        match &self.open {
            Open::Sqlite(tx) => tx.add_columns(tables, tail),
            Open::Postgres(_) => Err(Error::internal("columns of PostgreSQL have types")),
        }
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<()> {
        match self.open {
            Open::Sqlite(tx) => tx.commit().await,
            Open::Postgres(tx) => tx.commit().await,
        }
    }
}

#[cfg(test)]
mod tests;
