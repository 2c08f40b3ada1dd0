//! Rows as plans read them: columns by their places, whatever database they come from.

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::Plain;
use crate::shape::Scalar;

/// A row that is being read.
pub trait Columns {
    /// Text, `None` when null.
    fn text(&self, index: usize) -> Result<Option<&str>>;
    /// Integer, `None` when null.
    fn int(&self, index: usize) -> Result<Option<i64>>;
    /// Float, `None` when null.
    fn float(&self, index: usize) -> Result<Option<f64>>;
    /// Boolean, `None` when null.
    fn bool(&self, index: usize) -> Result<Option<bool>>;
    /// UUID, `None` when null.
    fn uuid(&self, index: usize) -> Result<Option<Uuid>>;
}

/// A column's value as its scalar type has it.
///
/// # Errors
/// A stale one when the type is an older shape's and cannot hold the value.
pub fn plain<R: Columns>(row: &R, column: usize, scalar: Scalar) -> Result<Plain<'_>> {
    Ok(match scalar {
        Scalar::Boolean => row.bool(column)?.map_or(Plain::Null, Plain::Bool),
        Scalar::Int => match row.int(column)? {
            Some(number) if i32::try_from(number).is_err() => {
                return Err(Error::stale("an Int has more than 32 bits"));
            }
            number => number.map_or(Plain::Null, Plain::Int),
        },
        Scalar::BigInt => row.int(column)?.map_or(Plain::Null, Plain::Int),
        Scalar::Float => row.float(column)?.map_or(Plain::Null, Plain::Float),
        _ => row.text(column)?.map_or(Plain::Null, Plain::Text),
    })
}

/// The place of a column among those that are asked within texts; each stands there once.
pub(super) fn numbered(columns: &mut Vec<usize>, column: usize) -> usize {
    columns.iter().position(|known| *known == column).unwrap_or_else(|| {
        columns.push(column);
        columns.len() - 1
    })
}
