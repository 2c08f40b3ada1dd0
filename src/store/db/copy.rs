//! Rows as PostgreSQL's COPY takes them, in its binary form. COPY logs many rows of a page with one line, where INSERT
//! writes one for each; that is a tenth of all that is logged of a record. Must not know tables.

use sqlx::PgConnection;

use super::{Type, Value};
use crate::error::{Error, Result};

/// From how many rows on COPY is worth its second round trip.
pub(in crate::store) const COPIED_MIN: usize = 50;

const BEGINNING: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const END: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();

/// The bytes of these rows.
///
/// # Errors
/// `INTERNAL` when a value does not have its column's type.
pub(super) fn packed(columns: &[(&str, Type)], rows: &[Vec<Value>]) -> Result<Vec<u8>> {
    let mut out = BEGINNING.to_vec();
    let count = i16::try_from(columns.len()).map_err(Error::internal)?.to_be_bytes();
    for row in rows {
        if row.len() != columns.len() {
            return Err(Error::internal("a row has not as many values as there are columns"));
        }
        out.extend_from_slice(&count);
        for (value, (_, kind)) in row.iter().zip(columns) {
            pack(value, *kind, &mut out)?;
        }
    }
    out.extend_from_slice(&END);
    Ok(out)
}

fn pack(value: &Value, kind: Type, out: &mut Vec<u8>) -> Result<()> {
    match (kind, value) {
        (_, Value::Null(_)) => {
            out.extend_from_slice(&NULL);
            Ok(())
        }
        (Type::Bool, Value::Bool(bool)) => field(&[u8::from(*bool)], out),
        (Type::Int, Value::Int(int)) => field(&int.to_be_bytes(), out),
        (Type::Float, Value::Float(float)) => field(&float.to_be_bytes(), out),
        #[expect(clippy::cast_precision_loss, reason = "the column is a float")]
        (Type::Float, Value::Int(int)) => field(&(*int as f64).to_be_bytes(), out),
        (Type::Text, Value::Text(text)) => field(text.as_bytes(), out),
        (Type::Bytes, Value::Bytes(bytes)) => field(bytes, out),
        (Type::Uuid, Value::Uuid(uuid)) => field(uuid.as_bytes(), out),
        _ => Err(Error::internal("a value does not have its column's type")),
    }
}

fn field(bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let length = i32::try_from(bytes.len()).map_err(Error::internal)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Sends them; how many rows were taken. Whoever drops this before it ends leaves the connection in the middle of it:
/// it is for transactions that nobody drops while the process goes on.
pub(super) async fn run(connection: &mut PgConnection, sql: &str, packed: Vec<u8>) -> sqlx::Result<u64> {
    let mut copy = connection.copy_in_raw(sql).await?;
    copy.send(packed).await?;
    copy.finish().await
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rows_begin_with_their_length_and_values_with_theirs() {
        let columns = [("a", Type::Int), ("b", Type::Text), ("c", Type::Float)];
        let rows = [vec![Value::Int(-2), Value::Null(Type::Text), Value::Int(1)]];
        let packed = packed(&columns, &rows).unwrap();
        let (beginning, rest) = packed.split_at(19);
        assert!(beginning.starts_with(b"PGCOPY\n\xff\r\n\0") && beginning.ends_with(&[0; 9]));
        let expected: Vec<u8> = [
            3_i16.to_be_bytes().as_slice(),
            &8_i32.to_be_bytes(),
            &(-2_i64).to_be_bytes(),
            &(-1_i32).to_be_bytes(),
            &8_i32.to_be_bytes(),
            &1_f64.to_be_bytes(),
            &(-1_i16).to_be_bytes(),
        ]
        .concat();
        assert_eq!(rest, expected);
    }

    #[test]
    fn values_of_another_type_are_refused() {
        for row in [vec![Value::Text("1".into())], vec![], vec![Value::Int(1), Value::Int(2)]] {
            assert!(packed(&[("a", Type::Int)], &[row]).is_err());
        }
    }
}
