//! Two databases behind one small interface: PostgreSQL through sqlx, SQLite through rusqlite.
//!
//! SQL is written once, with `$1, $2, …`; where the dialects differ, callers ask [`Db::dialect`]. Nothing here
//! knows a table.

use uuid::Uuid;

use crate::{config, error::Result};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded file.
    Sqlite,
    /// A server.
    Postgres,
}

/// SQL types of parameters and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// boolean / INTEGER
    Bool,
    /// bigint / INTEGER
    Int,
    /// double precision / REAL
    Float,
    /// text collate "C" / TEXT
    Text,
    /// bytea / BLOB
    Bytes,
    /// uuid / BLOB of 16 bytes
    Uuid,
}

/// A bound parameter or a fetched value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL of a type (PostgreSQL wants to know).
    Null(Type),
    /// Boolean; SQLite gives it back as `Int`, read it with [`Row::bool`].
    Bool(bool),
    /// 64-bit integer.
    Int(i64),
    /// Finite float.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes; SQLite gives a UUID back as this, read it with [`Row::uuid`].
    Bytes(Vec<u8>),
    /// UUID.
    Uuid(Uuid),
}

/// One fetched row.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// Integer at `index`; an error when null or of another type.
    pub fn i64(&self, index: usize) -> Result<i64> {
        todo!()
    }
    /// Boolean at `index`.
    pub fn bool(&self, index: usize) -> Result<bool> {
        todo!()
    }
    /// Text at `index`.
    pub fn text(&self, index: usize) -> Result<&str> {
        todo!()
    }
    /// Text at `index`, `None` when null.
    pub fn opt_text(&self, index: usize) -> Result<Option<&str>> {
        todo!()
    }
    /// Integer at `index`, `None` when null.
    pub fn opt_i64(&self, index: usize) -> Result<Option<i64>> {
        todo!()
    }
    /// UUID at `index`.
    pub fn uuid(&self, index: usize) -> Result<Uuid> {
        todo!()
    }
    /// UUID at `index`, `None` when null.
    pub fn opt_uuid(&self, index: usize) -> Result<Option<Uuid>> {
        todo!()
    }
    /// Bytes at `index`.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        todo!()
    }
}

/// A row that is being read, borrowed from the driver: nothing is copied.
pub enum RowRef<'a> {
    /// From rusqlite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// From sqlx.
    Postgres(&'a sqlx::postgres::PgRow),
}

impl RowRef<'_> {
    /// Text at `index`, `None` when null.
    pub fn text(&self, index: usize) -> Result<Option<&str>> {
        todo!()
    }
    /// Integer at `index`, `None` when null.
    pub fn i64(&self, index: usize) -> Result<Option<i64>> {
        todo!()
    }
    /// Float at `index`, `None` when null; reads integers too.
    pub fn f64(&self, index: usize) -> Result<Option<f64>> {
        todo!()
    }
    /// Boolean at `index`, `None` when null.
    pub fn bool(&self, index: usize) -> Result<Option<bool>> {
        todo!()
    }
    /// UUID at `index`, `None` when null.
    pub fn uuid(&self, index: usize) -> Result<Option<Uuid>> {
        todo!()
    }
}

/// A database; cheap to clone.
#[derive(Clone)]
pub struct Db;

impl Db {
    /// Opens it and brings its schema up to date.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it cannot be reached.
    pub async fn open(_config: &config::Store) -> Result<Self> {
        todo!()
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        todo!()
    }

    /// Runs one reading statement and returns its rows.
    pub async fn query(&self, _sql: &str, _params: &[Value]) -> Result<Vec<Row>> {
        todo!()
    }

    /// Runs one reading statement and hands each row to `each`, stopping at its first error.
    pub async fn read(
        &self,
        _sql: &str,
        _params: &[Value],
        _each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        todo!()
    }

    /// Begins a writing transaction; on SQLite `BEGIN IMMEDIATE` on the only writer. Dropped = rolled back.
    pub async fn begin(&self) -> Result<Tx> {
        todo!()
    }
}

/// A writing transaction.
pub struct Tx;

impl Tx {
    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        todo!()
    }
    /// Runs a statement and returns its rows.
    pub async fn query(&mut self, _sql: &str, _params: &[Value]) -> Result<Vec<Row>> {
        todo!()
    }
    /// Runs a statement and returns how many rows it changed.
    pub async fn execute(&mut self, _sql: &str, _params: &[Value]) -> Result<u64> {
        todo!()
    }
    /// Inserts rows: one `unnest` statement on PostgreSQL, a prepared loop on SQLite. `suffix` is what follows, such as
    /// `on conflict (key) do update set rev = excluded.rev where …`.
    pub async fn insert_many(
        &mut self,
        _table: &str,
        _columns: &[(&str, Type)],
        _rows: Vec<Vec<Value>>,
        _suffix: &str,
    ) -> Result<u64> {
        todo!()
    }
    /// Makes it durable.
    pub async fn commit(self) -> Result<()> {
        todo!()
    }
}
