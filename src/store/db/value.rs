//! Values that go into statements and come out of them, the same for both dialects.
//!
//! [`Row`] owns what it holds and is for the store's own small reads; [`RowRef`] borrows from the driver and is for
//! rows that are written straight into an answer. Nothing here runs a statement.

use sqlx::{Row as _, ValueRef as _, postgres::PgValueRef};
use uuid::Uuid;

use super::numeric;
use crate::error::{Error, Result};

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
    /// Values of a type, as one parameter that is an array; PostgreSQL's alone.
    List(Type, Vec<Value>),
}

impl Value {
    /// Text or the null of text.
    pub fn opt_text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Value::Null(Type::Text), |text| Value::Text(text.into()))
    }

    /// An integer or the null of integers.
    pub fn opt_int(int: Option<i64>) -> Self {
        int.map_or(Value::Null(Type::Int), Value::Int)
    }

    /// A UUID or the null of UUIDs.
    pub fn opt_uuid(uuid: Option<Uuid>) -> Self {
        uuid.map_or(Value::Null(Type::Uuid), Value::Uuid)
    }

    fn kind(&self) -> &'static str {
        match self {
            Value::Null(_) => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Uuid(_) => "uuid",
            Value::List(..) => "a list",
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Value::Int(int)
    }
}

impl From<i32> for Value {
    fn from(int: i32) -> Self {
        Value::Int(i64::from(int))
    }
}

impl From<u32> for Value {
    fn from(int: u32) -> Self {
        Value::Int(i64::from(int))
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Value::Bool(bool)
    }
}

impl From<Uuid> for Value {
    fn from(uuid: Uuid) -> Self {
        Value::Uuid(uuid)
    }
}

/// Only columns of rows are ever widened, and only so: whoever asked knows an older shape.
fn widened(index: usize) -> Error {
    Error::stale(format!("column {index} has floats where integers were planned"))
}

fn odd(index: usize, want: &str, got: &str) -> Error {
    Error::internal(format!("column {index} of a row holds {got} where {want} was expected"))
}

/// One fetched row.
#[derive(Clone, Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn get(&self, index: usize) -> Result<&Value> {
        self.0.get(index).ok_or_else(|| odd(index, "a column", "nothing"))
    }

    /// Integer at `index`; an error when null or of another type.
    pub fn i64(&self, index: usize) -> Result<i64> {
        self.opt_i64(index)?.ok_or_else(|| odd(index, "an integer", "null"))
    }

    /// Boolean at `index`.
    pub fn bool(&self, index: usize) -> Result<bool> {
        match self.get(index)? {
            Value::Bool(bool) => Ok(*bool),
            Value::Int(int) => Ok(*int != 0),
            other => Err(odd(index, "a boolean", other.kind())),
        }
    }

    /// Float at `index`, `None` when null; reads integers too.
    pub fn opt_f64(&self, index: usize) -> Result<Option<f64>> {
        match self.get(index)? {
            Value::Null(_) => Ok(None),
            Value::Float(float) => Ok(Some(*float)),
            #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
            Value::Int(int) => Ok(Some(*int as f64)),
            other => Err(odd(index, "a float", other.kind())),
        }
    }

    /// Text at `index`.
    pub fn text(&self, index: usize) -> Result<&str> {
        self.opt_text(index)?.ok_or_else(|| odd(index, "text", "null"))
    }

    /// Text at `index`, `None` when null.
    pub fn opt_text(&self, index: usize) -> Result<Option<&str>> {
        match self.get(index)? {
            Value::Null(_) => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(odd(index, "text", other.kind())),
        }
    }

    /// Integer at `index`, `None` when null.
    pub fn opt_i64(&self, index: usize) -> Result<Option<i64>> {
        match self.get(index)? {
            Value::Null(_) => Ok(None),
            Value::Int(int) => Ok(Some(*int)),
            Value::Float(_) => Err(widened(index)),
            other => Err(odd(index, "an integer", other.kind())),
        }
    }

    /// UUID at `index`.
    pub fn uuid(&self, index: usize) -> Result<Uuid> {
        self.opt_uuid(index)?.ok_or_else(|| odd(index, "a uuid", "null"))
    }

    /// UUID at `index`, `None` when null.
    pub fn opt_uuid(&self, index: usize) -> Result<Option<Uuid>> {
        match self.get(index)? {
            Value::Null(_) => Ok(None),
            Value::Uuid(uuid) => Ok(Some(*uuid)),
            Value::Bytes(bytes) => {
                Uuid::from_slice(bytes).map(Some).map_err(|_| odd(index, "a uuid", "other bytes"))
            }
            other => Err(odd(index, "a uuid", other.kind())),
        }
    }

    /// Bytes at `index`, taken out of the row.
    pub fn take_bytes(&mut self, index: usize) -> Result<Vec<u8>> {
        match self.0.get_mut(index) {
            Some(Value::Bytes(bytes)) => Ok(std::mem::take(bytes)),
            Some(other) => Err(odd(index, "bytes", other.kind())),
            None => Err(odd(index, "a column", "nothing")),
        }
    }

    /// Bytes at `index`.
    pub fn bytes(&self, index: usize) -> Result<&[u8]> {
        match self.get(index)? {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(odd(index, "bytes", other.kind())),
        }
    }
}

/// A row that is being read, borrowed from the driver: nothing is copied.
pub enum RowRef<'a> {
    /// From rusqlite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// One that was copied.
    Copied(&'a Row),
    /// From sqlx.
    Postgres(&'a sqlx::postgres::PgRow),
}

use rusqlite::types::ValueRef as Lite;

impl<'a> RowRef<'a> {
    fn lite(row: &'a rusqlite::Row<'a>, index: usize) -> Result<Lite<'a>> {
        row.get_ref(index).map_err(Error::internal)
    }

    /// Looks at a value that is not null where it is: it is so large that handing it on takes longer than reading it.
    #[inline]
    fn post<T>(
        row: &'a sqlx::postgres::PgRow,
        index: usize,
        read: impl FnOnce(&PgValueRef<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &row.try_get_raw(index) {
            Ok(value) if value.is_null() => Ok(None),
            Ok(value) => read(value).map(Some),
            Err(error) => Err(Error::internal(error.to_string())),
        }
    }

    /// Text at `index`, `None` when null.
    pub fn text(&self, index: usize) -> Result<Option<&'a str>> {
        match self {
            RowRef::Sqlite(row) => match Self::lite(row, index)? {
                Lite::Null => Ok(None),
                Lite::Text(text) => std::str::from_utf8(text).map(Some).map_err(Error::internal),
                other => Err(odd(index, "text", &other.data_type().to_string())),
            },
            RowRef::Copied(row) => row.opt_text(index),
            RowRef::Postgres(row) => Self::post(row, index, |value| value.as_str().map_err(Error::internal)),
        }
    }

    /// Bytes at `index`, `None` when null.
    pub fn bytes(&self, index: usize) -> Result<Option<&'a [u8]>> {
        match self {
            RowRef::Sqlite(row) => match Self::lite(row, index)? {
                Lite::Null => Ok(None),
                Lite::Blob(bytes) | Lite::Text(bytes) => Ok(Some(bytes)),
                other => Err(odd(index, "bytes", &other.data_type().to_string())),
            },
            RowRef::Copied(row) => match row.get(index)? {
                Value::Null(_) => Ok(None),
                Value::Text(text) => Ok(Some(text.as_bytes())),
                _ => row.bytes(index).map(Some),
            },
            RowRef::Postgres(row) => {
                Self::post(row, index, |value| value.as_bytes().map_err(Error::internal))
            }
        }
    }

    /// Integer at `index`, `None` when null.
    pub fn i64(&self, index: usize) -> Result<Option<i64>> {
        match self {
            RowRef::Sqlite(row) => match Self::lite(row, index)? {
                Lite::Null => Ok(None),
                Lite::Integer(int) => Ok(Some(int)),
                Lite::Real(_) => Err(widened(index)),
                other => Err(odd(index, "an integer", &other.data_type().to_string())),
            },
            RowRef::Copied(row) => row.opt_i64(index),
            RowRef::Postgres(row) => Self::post(row, index, |value| {
                if let Some(bytes) = whole(row, index, value, 20) {
                    return Ok(i64::from_be_bytes(bytes));
                }
                match pg_value(value)? {
                    Value::Int(int) => Ok(int),
                    Value::Float(_) => Err(widened(index)),
                    other => Err(odd(index, "an integer", other.kind())),
                }
            }),
        }
    }

    /// Float at `index`, `None` when null; reads integers too.
    #[expect(clippy::cast_precision_loss, reason = "a float is what was asked for")]
    pub fn f64(&self, index: usize) -> Result<Option<f64>> {
        match self {
            RowRef::Sqlite(row) => match Self::lite(row, index)? {
                Lite::Null => Ok(None),
                Lite::Real(float) => Ok(Some(float)),
                Lite::Integer(int) => Ok(Some(int as f64)),
                other => Err(odd(index, "a float", &other.data_type().to_string())),
            },
            RowRef::Copied(row) => row.opt_f64(index),
            RowRef::Postgres(row) => Self::post(row, index, |value| {
                if let Some(bytes) = whole(row, index, value, 701) {
                    return Ok(f64::from_be_bytes(bytes));
                }
                match pg_value(value)? {
                    Value::Float(float) => Ok(float),
                    Value::Int(int) => Ok(int as f64),
                    Value::Text(text) => text.parse().map_err(|_| odd(index, "a float", "other text")),
                    other => Err(odd(index, "a float", other.kind())),
                }
            }),
        }
    }

    /// Boolean at `index`, `None` when null.
    pub fn bool(&self, index: usize) -> Result<Option<bool>> {
        match self {
            RowRef::Sqlite(row) => match Self::lite(row, index)? {
                Lite::Null => Ok(None),
                Lite::Integer(int) => Ok(Some(int != 0)),
                other => Err(odd(index, "a boolean", &other.data_type().to_string())),
            },
            RowRef::Copied(row) => match row.get(index)? {
                Value::Null(_) => Ok(None),
                _ => row.bool(index).map(Some),
            },
            RowRef::Postgres(row) => Self::post(row, index, |value| {
                if let Some([byte]) = whole(row, index, value, 16) {
                    return Ok(byte != 0);
                }
                match pg_value(value)? {
                    Value::Bool(bool) => Ok(bool),
                    other => Err(odd(index, "a boolean", other.kind())),
                }
            }),
        }
    }

    /// UUID at `index`, `None` when null.
    pub fn uuid(&self, index: usize) -> Result<Option<Uuid>> {
        if let RowRef::Copied(row) = self {
            return row.opt_uuid(index);
        }
        let Some(bytes) = self.bytes(index)? else { return Ok(None) };
        Uuid::from_slice(bytes).map(Some).map_err(|_| odd(index, "a uuid", "other bytes"))
    }

    /// All of it, copied.
    pub fn to_row(&self) -> Result<Row> {
        match self {
            RowRef::Sqlite(row) => {
                let count = row.as_ref().column_count();
                (0..count).map(|index| lite_value(Self::lite(row, index)?)).collect::<Result<_>>().map(Row)
            }
            RowRef::Copied(row) => Ok((*row).clone()),
            RowRef::Postgres(row) => (0..row.len())
                .map(|index| Ok(Self::post(row, index, pg_value)?.unwrap_or(Value::Null(Type::Text))))
                .collect::<Result<_>>()
                .map(Row),
        }
    }
}

fn lite_value(value: Lite<'_>) -> Result<Value> {
    Ok(match value {
        Lite::Null => Value::Null(Type::Text),
        Lite::Integer(int) => Value::Int(int),
        Lite::Real(float) => Value::Float(float),
        Lite::Text(text) => Value::Text(std::str::from_utf8(text).map_err(Error::internal)?.to_owned()),
        Lite::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    })
}

/// The bytes of a value of the type with this number, as rows mostly have them.
fn whole<const N: usize>(
    row: &sqlx::postgres::PgRow,
    index: usize,
    value: &PgValueRef<'_>,
    oid: u32,
) -> Option<[u8; N]> {
    use sqlx::{Column as _, postgres::PgValueFormat::Binary};
    // The value's own type would be a copy.
    let own = || row.columns().get(index).and_then(|column| column.type_info().oid());
    let is_it = value.format() == Binary && own().is_some_and(|own| own.0 == oid);
    if is_it { value.as_bytes().ok()?.try_into().ok() } else { None }
}

/// Decodes by the column's own type; sqlx asks for the binary format wherever parameters are bound.
fn pg_value(value: &PgValueRef<'_>) -> Result<Value> {
    use sqlx::{TypeInfo as _, ValueRef as _, postgres::PgValueFormat};
    let info = value.type_info();
    let bytes = value.as_bytes().map_err(Error::internal)?;
    let oid = info.oid().map_or(0, |oid| oid.0);
    if value.format() == PgValueFormat::Text {
        return Ok(Value::Text(value.as_str().map_err(Error::internal)?.to_owned()));
    }
    let damaged = || Error::internal(format!("a value of type {} has {} bytes", info.name(), bytes.len()));
    Ok(match oid {
        16 => Value::Bool(bytes.first().is_some_and(|byte| *byte != 0)),
        20 => Value::Int(i64::from_be_bytes(bytes.try_into().map_err(|_| damaged())?)),
        21 => Value::Int(i16::from_be_bytes(bytes.try_into().map_err(|_| damaged())?).into()),
        23 => Value::Int(i32::from_be_bytes(bytes.try_into().map_err(|_| damaged())?).into()),
        26 => Value::Int(u32::from_be_bytes(bytes.try_into().map_err(|_| damaged())?).into()),
        700 => Value::Float(f32::from_be_bytes(bytes.try_into().map_err(|_| damaged())?).into()),
        701 => Value::Float(f64::from_be_bytes(bytes.try_into().map_err(|_| damaged())?)),
        17 => Value::Bytes(bytes.to_vec()),
        2950 => Value::Uuid(Uuid::from_slice(bytes).map_err(|_| damaged())?),
        1700 => Value::Text(numeric::text(bytes).ok_or_else(damaged)?),
        2278 => Value::Null(Type::Text),
        18 | 19 | 25 | 114 | 705 | 1042 | 1043 => {
            Value::Text(std::str::from_utf8(bytes).map_err(Error::internal)?.to_owned())
        }
        _ => return Err(Error::internal(format!("no decoder for columns of type {}", info.name()))),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_each_dialects_form() {
        let id = Uuid::from_u128(7);
        let row = Row(vec![
            Value::Int(1),
            Value::Bytes(id.as_bytes().to_vec()),
            Value::Uuid(id),
            Value::Null(Type::Text),
        ]);
        assert!(row.bool(0).unwrap());
        assert_eq!(row.uuid(1).unwrap(), id);
        assert_eq!(row.uuid(2).unwrap(), id);
        assert_eq!(row.opt_text(3).unwrap(), None);
        assert_eq!(row.opt_i64(3).unwrap(), None);
        assert!(row.text(3).is_err());
        assert!(row.i64(9).is_err());
    }
}
