//! PostgreSQL through sqlx's pool, which sea-orm opens so that migrations share it.
//!
//! Connections are not tested before use, nor after a read (that costs a round trip each); instead a statement whose
//! connection turns out to be gone before it gave anything is run again on another, so that a restarted server needs no
//! restart here.

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    sync::Arc,
    time::Duration,
};

use futures_util::TryStreamExt as _;
use quick_cache::sync::Cache;
use sqlx::{
    Acquire as _, AssertSqlSafe, Connection as _, Executor as _, PgPool, Postgres as Driver,
    postgres::PgArguments,
};

use crate::config;
use crate::error::{Code, Error, Result};

use super::arguments::{arguments, arrays, names, unnest, with_rows};
use super::kept::{Held, Kept};
use super::{Row, RowRef, Type, Value, copy, failure};

/// A PostgreSQL server.
pub(super) struct Postgres {
    orm: sea_orm::DatabaseConnection,
    pool: PgPool,
    kept: Kept,
    texts: Arc<Texts>,
    /// How many stale connections may stand in the way of a live one.
    tries_max: u32,
}

impl Postgres {
    /// Connects.
    pub(super) async fn open(url: &str, config: &config::Store) -> Result<Self> {
        // sea-orm knows the scheme by its short name only.
        let short = url.strip_prefix("postgresql:").map(|rest| format!("postgres:{rest}"));
        let mut options = sea_orm::ConnectOptions::new(short.unwrap_or_else(|| url.to_owned()));
        options
            .max_connections(config.connections_max.max(4))
            .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
            .idle_timeout(Duration::from_secs(600))
            .max_lifetime(Duration::from_secs(3_600))
            .test_before_acquire(false)
            .sqlx_logging(false)
            .set_application_name("wellspring");
        let timeout = config.statement_timeout_ms.to_string();
        let idle = config.idle_in_transaction_ms.to_string();
        let out_of_order = config.random_page_cost.to_string();
        let statements_max = config.statements_max;
        options.map_sqlx_postgres_opts(move |options| {
            options
                .options([
                    ("statement_timeout", timeout.as_str()),
                    ("idle_in_transaction_session_timeout", idle.as_str()),
                    ("client_min_messages", "warning"),
                    // Where scans of tables are ruled out the smallest one counts as dear enough to be compiled, which
                    // takes 80 ms while others wait for its locks.
                    ("jit", "off"),
                    ("random_page_cost", out_of_order.as_str()),
                ])
                .statement_cache_capacity(statements_max)
        });
        options.map_sqlx_postgres_pool_opts(|pool| {
            pool.after_connect(|connection, _| {
                Box::pin(async move {
                    // Not every server can: there a statement that nobody waits for ends by the time that it may take.
                    if let Err(error) = connection.execute(LOOK_FOR_CLIENT).await {
                        tracing::debug!(%error, "the server does not look whether its clients are still there");
                    }
                    Ok(())
                })
            })
        });
        let cannot = "the database cannot be reached; check `store.database_url` and that the server runs";
        let orm = sea_orm::Database::connect(options).await.map_err(|e| Error::unavailable(cannot, e))?;
        let pool = orm.get_postgres_connection_pool().clone();
        check_server(&pool).await?;
        let texts = Arc::new(Texts::new(statements_max));
        let connections_max = config.connections_max.max(4);
        let kept = Kept::new(pool.clone(), connections_max);
        Ok(Postgres { orm, pool, kept, texts, tries_max: connections_max + 1 })
    }

    /// For migrations.
    pub(super) fn orm(&self) -> &sea_orm::DatabaseConnection {
        &self.orm
    }

    /// For listening.
    pub(super) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Runs a reading statement and hands its rows to `each`.
    pub(super) async fn read(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        self.fetch(sql, self.texts.comes_again(sql), &|| arguments(params), each).await
    }

    /// The same, planned anew each time, as [`Postgres::query_many`] is.
    pub(super) async fn read_anew(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        self.fetch(sql, false, &|| arguments(params), each).await
    }

    /// Runs a reading statement over rows that it reads as the table `u`. It is planned anew each time: a plan that was
    /// kept from when the tables were small, or for a few rows, would scan them whole.
    pub(super) async fn query_many(
        &self,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        sql: &str,
    ) -> Result<Vec<Row>> {
        let mut found = Vec::new();
        let mut each = |row: &RowRef<'_>| {
            found.push(row.to_row()?);
            Ok(())
        };
        self.fetch(&with_rows(columns, sql), false, &|| arrays(columns, rows.clone()), &mut each).await?;
        Ok(found)
    }

    async fn fetch(
        &self,
        sql: &str,
        kept: bool,
        arguments: &(dyn Fn() -> Result<PgArguments> + Sync),
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let mut tries = 0;
        loop {
            let arguments = arguments()?;
            let mut working = Working(Some(self.kept.take().await.map_err(failure::postgres)?));
            let mut delivered = false;
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(kept);
            let fetched = fetch(working.connection()?, query, &mut delivered, each).await;
            let mut held = working.done()?;
            let failed = match fetched {
                Ok(()) => {
                    self.kept.keep(held);
                    return Ok(());
                }
                Err(Failed::Own(error)) => return Err(error),
                Err(Failed::Driver(error)) => error,
            };
            tries += 1;
            let lost = failure::is_connection_lost(&failed);
            if delivered || tries > self.tries_max || !(lost || failure::is_stale_plan(&failed)) {
                return Err(failure::postgres(failed));
            }
            if lost {
                // What is left of it is thrown away here, or the pool would test it first.
                drop(held.connection.detach());
            } else {
                held.connection.clear_cached_statements().await.map_err(failure::postgres)?;
            }
        }
    }

    /// Begins a transaction; one that goes by indexes in the same round trip.
    pub(super) async fn begin(&self, by_indexes: bool) -> Result<PostgresTx> {
        let mut tries = 0;
        let statement = if by_indexes { "begin; set local enable_seqscan = off" } else { "begin" };
        let _wanted = self.kept.want();
        loop {
            let error = match self.pool.begin_with(statement).await {
                Ok(inner) => return Ok(PostgresTx { inner, texts: self.texts.clone() }),
                Err(error) => error,
            };
            tries += 1;
            if tries > self.tries_max || !failure::is_connection_lost(&error) {
                return Err(failure::postgres(error));
            }
        }
    }
}

/// Has the server look for its client while a statement runs, from PostgreSQL 14 on.
const LOOK_FOR_CLIENT: &str = "select set_config(name, '250', false) from pg_settings \
     where name = 'client_connection_check_interval'";

/// A connection that runs a statement. When nobody waits for that any more, it is closed, by which the server notices
/// that it can end the statement; the pool would go on reading what comes of it instead.
struct Working(Option<Held>);

impl Working {
    fn connection(&mut self) -> Result<&mut sqlx::PgConnection> {
        let connection = self.0.as_mut().map(|held| &mut *held.connection);
        connection.ok_or_else(|| Error::internal("a connection was given back"))
    }

    /// The statement has ended.
    fn done(mut self) -> Result<Held> {
        self.0.take().ok_or_else(|| Error::internal("a connection was given back"))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            drop(held.connection.detach());
        }
    }
}

/// Refuses what would lose text, and warns of what would lose acknowledged records.
async fn check_server(pool: &PgPool) -> Result<()> {
    let asked = "select current_setting('server_encoding'), current_setting('synchronous_commit'), \
                 current_setting('fsync')";
    let row = sqlx::query(asked).fetch_one(pool).await.map_err(failure::postgres)?;
    let row = RowRef::Postgres(&row).to_row()?;
    if row.text(0)? != "UTF8" {
        let text = format!("the database's encoding is `{}`; make one with encoding UTF8", row.text(0)?);
        return Err(Error::new(Code::Conflict, text));
    }
    if row.text(1)? == "off" || row.text(2)? == "off" {
        tracing::warn!(
            "the server has `synchronous_commit` or `fsync` off: a power cut may lose accepted records"
        );
    }
    Ok(())
}

enum Failed {
    Driver(sqlx::Error),
    Own(Error),
}

async fn fetch(
    connection: &mut sqlx::PgConnection,
    query: sqlx::query::Query<'_, Driver, PgArguments>,
    delivered: &mut bool,
    each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
) -> Result<(), Failed> {
    let mut rows = connection.fetch(query);
    while let Some(row) = rows.try_next().await.map_err(Failed::Driver)? {
        *delivered = true;
        each(&RowRef::Postgres(&row)).map_err(Failed::Own)?;
    }
    Ok(())
}

/// Which texts of statements have come lately: only what comes again is kept prepared. Statements about one of many
/// collections do not come again before the connection would have forgotten them; preparing them would only cost a
/// round trip each to throw away another, and what every transaction needs would be prepared anew all the time.
struct Texts(Cache<u64, ()>);

impl Texts {
    /// As many as a connection keeps.
    fn new(statements_max: usize) -> Self {
        Texts(Cache::new(statements_max))
    }

    fn comes_again(&self, sql: &str) -> bool {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one(sql);
        let known = self.0.get(&hash).is_some();
        if !known {
            self.0.insert(hash, ());
        }
        known
    }
}

/// A transaction.
pub(super) struct PostgresTx {
    inner: sqlx::Transaction<'static, Driver>,
    texts: Arc<Texts>,
}

impl PostgresTx {
    /// Runs a statement and returns its rows.
    pub(super) async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        self.fetch(sql, arguments(params)?).await
    }

    /// Runs a statement over rows that it reads as the table `u`.
    pub(super) async fn query_many(
        &mut self,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        sql: &str,
    ) -> Result<Vec<Row>> {
        self.fetch(&with_rows(columns, sql), arrays(columns, rows)?).await
    }

    async fn fetch(&mut self, sql: &str, arguments: PgArguments) -> Result<Vec<Row>> {
        let kept = self.texts.comes_again(sql);
        let connection = self.inner.acquire().await.map_err(failure::postgres)?;
        let mut rows = Vec::new();
        let mut each = |row: &RowRef<'_>| {
            rows.push(row.to_row()?);
            Ok(())
        };
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(kept);
        match fetch(connection, query, &mut false, &mut each).await {
            Ok(()) => Ok(rows),
            Err(Failed::Own(error)) => Err(error),
            Err(Failed::Driver(error)) => Err(self.refused(error).await),
        }
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) async fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.change(sql, arguments(params)?).await
    }

    /// Runs statements that stand in one text, without parameters.
    pub(super) async fn execute_all(&mut self, sql: &str) -> Result<()> {
        match self.inner.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refused(error).await),
        }
    }

    /// Inserts all rows with one statement over arrays: one text for any number of rows.
    pub(super) async fn insert_many(
        &mut self,
        table: &str,
        columns: &[(&str, Type)],
        rows: Vec<Vec<Value>>,
        suffix: &str,
    ) -> Result<u64> {
        let sql =
            format!("insert into {table} ({}) select * from {} {suffix}", names(columns), unnest(columns));
        self.change(&sql, arrays(columns, rows)?).await
    }

    /// Copies rows. Must not be dropped before it ends.
    pub(super) async fn copy_many(
        &mut self,
        table: &str,
        columns: &[(&str, Type)],
        rows: &[Vec<Value>],
    ) -> Result<u64> {
        let sql = format!("copy {table} ({}) from stdin (format binary)", names(columns));
        match copy::run(&mut self.inner, &sql, copy::packed(columns, rows)?).await {
            Ok(count) => Ok(count),
            Err(error) => Err(self.refused(error).await),
        }
    }

    async fn change(&mut self, sql: &str, arguments: PgArguments) -> Result<u64> {
        let kept = self.texts.comes_again(sql);
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(kept);
        match self.inner.execute(query).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) => Err(self.refused(error).await),
        }
    }

    /// The error of a statement. A plan that has become stale is forgotten: the same statement is prepared anew when
    /// the transaction is tried again.
    async fn refused(&mut self, error: sqlx::Error) -> Error {
        if !failure::is_stale_plan(&error) {
            return failure::postgres(error);
        }
        match self.inner.clear_cached_statements().await {
            Ok(()) => Error::stale(error),
            Err(error) => failure::postgres(error),
        }
    }

    /// Makes it durable.
    pub(super) async fn commit(self) -> Result<()> {
        self.inner.commit().await.map_err(failure::postgres)
    }
}
