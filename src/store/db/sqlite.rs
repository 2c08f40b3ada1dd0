//! SQLite through rusqlite: one writer, a few readers, one process.
//!
//! Statements run on the calling thread: they take microseconds, less than a hop to another thread. `COMMIT`, which
//! waits for the disk, goes to a blocking thread, and so do statements that may take long, as somebody must see there
//! whether they are still waited for. A lock file keeps a second server out of the directory.

mod beside;

use std::{
    borrow::Cow,
    fs::{File, TryLockError},
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use rusqlite::{
    CachedStatement, Connection, OpenFlags, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore, mpsc};

use crate::config;
use crate::error::{Code, Error, Result};

use super::{Row, RowRef, Value, failure, functions, scalars};

/// After how many steps of its machine a statement looks whether it has taken too long: about every millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// A statement that was looked at more often when it came last, for about 50 ms, must be seen by somebody who can end
/// it: steps and not time, which says as much of how busy the machine is.
const FEW_LOOKS: u32 = 50;

/// How many rows a thread that reads hands over at once.
const ROWS_SENT: usize = 64;

/// Prepared statements kept per connection.
const STATEMENTS_MAX: usize = 256;

/// A connection that only reads.
struct Reader {
    connection: Connection,
    /// How often the statement that it runs was looked at.
    looks: Arc<AtomicU32>,
}

/// The embedded database.
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Option<Arc<Mutex<Connection>>>,
    readers: std::sync::Mutex<Vec<Reader>>,
    permits: Arc<Semaphore>,
    /// How often statements were looked at when they came last, by their texts: those of few looks.
    quick: Cache<u64, u32>,
    /// The longest a reading statement may take.
    statement_timeout: Duration,
    /// The longest wait for a connection.
    acquire_timeout: Duration,
    /// The most values that the percentiles of a statement hold.
    percentile_values_max: usize,
    _lock: Option<File>,
}

impl Sqlite {
    /// Opens the file, creating it and its directory; `read_only` neither locks nor creates.
    pub(super) fn open(path: &Path, config: &config::Store, read_only: bool) -> Result<Self> {
        let lock = if read_only { None } else { Some(lock(path)?) };
        let writer = if read_only {
            None
        } else {
            let writer = Connection::open(path).map_err(failure::sqlite)?;
            prepare(&writer, false)?;
            functions::add(&writer, config.percentile_values_max).map_err(failure::sqlite)?;
            Some(Arc::new(Mutex::new(writer)))
        };
        let this = Sqlite {
            path: path.to_owned(),
            writer,
            readers: std::sync::Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(config.readers_max.max(1))),
            quick: Cache::new(STATEMENTS_MAX * 4),
            statement_timeout: Duration::from_millis(config.statement_timeout_ms),
            acquire_timeout: Duration::from_millis(config.acquire_timeout_ms),
            percentile_values_max: config.percentile_values_max,
            _lock: lock,
        };
        let first = this.take_reader()?;
        this.give_back(first);
        Ok(this)
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a reading statement on the calling thread.
    pub(super) async fn read(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let _permit = self.permit().await?;
        self.with_reader(|reader| run(reader, sql, params, each)).map(drop)
    }

    /// Runs a reading statement that may take long. What took well under a millisecond before runs on the calling
    /// thread; what took little, too, while other tasks move elsewhere; else it has a thread of its own, which sends
    /// copies of the rows and ends when nobody waits for them any more.
    pub(super) async fn read_large(
        self: &Arc<Self>,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let permit = self.permit().await?;
        let many = tokio::runtime::Handle::try_current()
            .is_ok_and(|h| h.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        let text = BuildHasherDefault::<DefaultHasher>::new().hash_one(sql);
        if let Some(looks) = self.quick.get(&text).filter(|_| many) {
            let mut work = || self.with_reader(|reader| run(reader, sql, params, each));
            return match looks {
                0 => self.noted(text, work()),
                _ => tokio::task::block_in_place(|| self.noted(text, work())),
            };
        }
        let (to, mut rows) = mpsc::channel(2);
        let (this, sql, params) = (self.clone(), sql.to_owned(), params.to_vec());
        let reading = tokio::task::spawn_blocking(move || {
            // Until it has really ended.
            let _permit = permit;
            this.noted(text, this.send(&sql, &params, &to))
        });
        while let Some(some) = rows.recv().await {
            some.iter().try_for_each(|row| each(&RowRef::Copied(row)))?;
        }
        reading.await.map_err(Error::internal)?
    }

    /// Remembers how often a statement was looked at.
    fn noted(&self, text: u64, done: Result<u32>) -> Result<()> {
        match done? {
            looks if looks <= FEW_LOOKS => self.quick.insert(text, looks),
            _ => drop(self.quick.remove(&text)),
        }
        Ok(())
    }

    /// Runs a reading statement once for each row of parameters, all on one connection.
    pub(super) async fn read_many(
        &self,
        sql: &str,
        rows: &[Vec<Value>],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let _permit = self.permit().await?;
        self.with_reader(|reader| rows.iter().try_for_each(|row| run(reader, sql, row, each))).map(drop)
    }

    /// A place among the readers, until it is dropped.
    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let busy = "all readers of the database are busy; try again";
        match tokio::time::timeout(self.acquire_timeout, self.permits.clone().acquire_owned()).await {
            Ok(permit) => permit.map_err(Error::internal),
            Err(late) => Err(Error::unavailable(busy, late)),
        }
    }

    fn send(&self, sql: &str, params: &[Value], to: &mpsc::Sender<Vec<Row>>) -> Result<u32> {
        // The connection keeps what it looks at, and must not keep the rows from ending.
        let waits = to.downgrade();
        self.with_reader_while(
            move || waits.upgrade().is_some_and(|to| !to.is_closed()),
            |reader| {
                let mut rows = Vec::new();
                let mut each = |row: &RowRef<'_>| {
                    rows.push(row.to_row()?);
                    if rows.len() == ROWS_SENT {
                        // Who does not take them has been given up.
                        to.blocking_send(std::mem::take(&mut rows)).map_err(Error::internal)?;
                    }
                    Ok(())
                };
                run(reader, sql, params, &mut each)?;
                to.blocking_send(rows).map_err(Error::internal)
            },
        )
    }

    /// Has a reader do something; how often that was looked at.
    fn with_reader(&self, work: impl FnOnce(&Connection) -> Result<()>) -> Result<u32> {
        self.with_reader_while(|| true, work)
    }

    fn with_reader_while(
        &self,
        wanted: impl Fn() -> bool + Send + 'static,
        work: impl FnOnce(&Connection) -> Result<()>,
    ) -> Result<u32> {
        let reader = self.take_reader()?;
        let (until, looks) = (Instant::now() + self.statement_timeout, reader.looks.clone());
        looks.store(0, Ordering::Relaxed);
        let look = move || {
            looks.fetch_add(1, Ordering::Relaxed);
            Instant::now() > until || !wanted()
        };
        let watched = reader.connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(look));
        let done = watched.map_err(failure::sqlite).and_then(|()| work(&reader.connection));
        let looks = reader.looks.load(Ordering::Relaxed);
        self.give_back(reader);
        done.map(|()| looks)
    }

    /// Waits for the writer and begins a transaction.
    pub(super) async fn begin(&self) -> Result<SqliteTx> {
        let Some(writer) = &self.writer else {
            return Err(Error::bad_request("this database was opened for reading only"));
        };
        let guard = Arc::clone(writer).lock_owned().await;
        guard.execute_batch("begin immediate").map_err(failure::sqlite)?;
        Ok(SqliteTx { guard: Some(guard) })
    }

    fn take_reader(&self) -> Result<Reader> {
        let kept = self.readers.lock().map_or_else(|broken| broken.into_inner().pop(), |mut r| r.pop());
        if let Some(reader) = kept {
            return Ok(reader);
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(failure::sqlite)?;
        prepare(&connection, true)?;
        functions::add(&connection, self.percentile_values_max).map_err(failure::sqlite)?;
        scalars::add(&connection).map_err(failure::sqlite)?;
        Ok(Reader { connection, looks: Arc::default() })
    }

    fn give_back(&self, reader: Reader) {
        match self.readers.lock() {
            Ok(mut readers) => readers.push(reader),
            Err(broken) => broken.into_inner().push(reader),
        }
    }
}

/// A writing transaction; dropped without a commit it rolls back.
pub(super) struct SqliteTx {
    guard: Option<OwnedMutexGuard<Connection>>,
}

impl SqliteTx {
    fn connection(&self) -> Result<&Connection> {
        self.guard.as_deref().ok_or_else(|| Error::internal("the transaction has ended"))
    }

    /// Runs a statement and hands its rows to `each`.
    pub(super) fn query(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        run(self.connection()?, sql, params, each)
    }

    /// Runs a statement and returns how many rows it changed.
    pub(super) fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        let connection = self.connection()?;
        let mut statement = statement(connection, sql, params)?;
        let changed = statement.raw_execute().map_err(failure::sqlite)?;
        u64::try_from(changed).map_err(Error::internal)
    }

    /// Runs one prepared insert for each row.
    pub(super) fn insert_many(
        &self,
        table: &str,
        columns: &[(&str, super::Type)],
        rows: &[Vec<Value>],
        suffix: &str,
    ) -> Result<u64> {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let marks: Vec<String> = (1..=columns.len()).map(|n| format!("?{n}")).collect();
        let suffix = numbered(suffix);
        let sql =
            format!("insert into {table} ({}) values ({}) {suffix}", names.join(", "), marks.join(", "));
        let mut statement = self.connection()?.prepare_cached(&sql).map_err(failure::sqlite)?;
        let mut changed = 0;
        for row in rows {
            bind(&mut statement, row)?;
            changed += statement.raw_execute().map_err(failure::sqlite)?;
        }
        u64::try_from(changed).map_err(Error::internal)
    }

    /// Commits on a blocking thread, because it waits for the disk.
    pub(super) async fn commit(mut self) -> Result<()> {
        let Some(guard) = self.guard.take() else { return Err(Error::internal("the transaction has ended")) };
        let work = move || {
            let done = guard.execute_batch("commit").map_err(failure::sqlite);
            if done.is_err() {
                roll_back(&guard);
            }
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            roll_back(&guard);
        }
    }
}

fn roll_back(connection: &Connection) {
    // SQLite has already rolled back by itself after some errors; there is nothing to do then.
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("rollback")
    {
        tracing::error!(%error, "a transaction could not be rolled back");
    }
}

/// The lock file of a data directory, held while its server lives.
fn lock(path: &Path) -> Result<File> {
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = |error: std::io::Error| {
        let text =
            format!("cannot write to the data directory `{}`; check its permissions", directory.display());
        Error::unavailable(text, error)
    };
    if !directory.is_dir() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(cannot)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::options().create(true).truncate(false).write(true).open(&name).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            Code::Conflict,
            format!(
                "the data directory `{}` is in use by another server; stop it first",
                directory.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

fn prepare(connection: &Connection, read_only: bool) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    let common = "pragma busy_timeout = 5000; pragma foreign_keys = on; pragma temp_store = memory; \
                  pragma mmap_size = 268435456; pragma case_sensitive_like = on;";
    // The write-ahead log is folded back every 16 MiB: each fold costs two more disk flushes.
    let own = if read_only {
        "pragma query_only = on;"
    } else {
        "pragma journal_mode = wal; pragma synchronous = full; pragma wal_autocheckpoint = 4096; \
         pragma journal_size_limit = 67108864; pragma cache_size = -8192;"
    };
    connection.execute_batch(common).map_err(failure::sqlite)?;
    connection.execute_batch(own).map_err(failure::sqlite)
}

fn run(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
) -> Result<()> {
    let mut statement = statement(connection, sql, params)?;
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failure::sqlite)? {
        each(&RowRef::Sqlite(row))?;
    }
    Ok(())
}

fn statement<'c>(connection: &'c Connection, sql: &str, params: &[Value]) -> Result<CachedStatement<'c>> {
    let mut statement = connection.prepare_cached(&numbered(sql)).map_err(failure::sqlite)?;
    bind(&mut statement, params)?;
    Ok(statement)
}

fn bind(statement: &mut CachedStatement<'_>, params: &[Value]) -> Result<()> {
    for (index, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Bound(value)).map_err(failure::sqlite)?;
    }
    Ok(())
}

struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null(_) => ValueRef::Null,
            Value::Bool(bool) => ValueRef::Integer(i64::from(*bool)),
            Value::Int(int) => ValueRef::Integer(*int),
            Value::Float(float) => ValueRef::Real(*float),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Uuid(uuid) => ValueRef::Blob(uuid.as_bytes()),
            Value::List(..) => return Err(rusqlite::Error::ToSqlConversionFailure("a list".into())),
        }))
    }
}

/// `sql` with its one row of parameters as the table `u`.
pub(super) fn with_rows(columns: &[(&str, super::Type)], sql: &str) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let marks: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    format!("with u ({}) as (select {}) {sql}", names.join(", "), marks.join(", "))
}

/// `$1` as `?1`, outside of quotes: to SQLite `$1` is a name, numbered by where it stands first.
fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('$') {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len());
    let mut quote = None;
    let mut chars = sql.chars().peekable();
    while let Some(char) = chars.next() {
        match quote {
            Some(open) if char == open => quote = None,
            None if char == '\'' || char == '"' => quote = Some(char),
            _ => {}
        }
        let marks = char == '$' && quote.is_none() && chars.peek().is_some_and(char::is_ascii_digit);
        out.push(if marks { '?' } else { char });
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_renumbered_outside_of_quotes() {
        assert_eq!(numbered("select $2, '$1', \"$3\", a->>'$.x' where b = $10"), {
            "select ?2, '$1', \"$3\", a->>'$.x' where b = ?10"
        });
        assert!(matches!(numbered("select 1"), Cow::Borrowed(_)));
    }
}
