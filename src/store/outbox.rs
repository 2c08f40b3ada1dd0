//! A row of the outbox: the records of one commit and one partition in their order, each by its id and how long its
//! document is. A row for each record would cost more bytes of log than the record's document. Must not know what
//! becomes of them.

use uuid::Uuid;

use super::db::Dialect;
use crate::error::{Error, Result};

/// The most records of one row: PostgreSQL would put a longer one into another table.
pub(super) const RECORDS_MAX: usize = 90;
/// Bytes of a record's id.
const ID: usize = 16;
/// Bytes that one record takes.
pub(super) const ENTRY: usize = ID + 4;

/// A record on its way into the outbox.
pub(super) struct Entry {
    pub(super) partition: u32,
    pub(super) id: Uuid,
    /// How long its document is.
    pub(super) bytes: usize,
}

impl Entry {
    pub(super) fn packed(&self) -> Vec<u8> {
        let bytes = u32::try_from(self.bytes).unwrap_or(u32::MAX);
        [self.id.as_bytes().as_slice(), &bytes.to_be_bytes()].concat()
    }
}

/// The records of a row in their order, each with how long its document is.
pub(super) fn entries(records: &[u8]) -> Result<Vec<(Uuid, i64)>> {
    let damaged = || Error::internal("a row of the outbox is damaged");
    let (entries, rest) = records.as_chunks::<ENTRY>();
    if !rest.is_empty() {
        return Err(damaged());
    }
    let entry = |entry: &[u8; ENTRY]| {
        let (id, bytes) = entry.split_first_chunk::<ID>()?;
        Some((Uuid::from_bytes(*id), i64::from(u32::from_be_bytes(bytes.try_into().ok()?))))
    };
    entries.iter().map(|one| entry(one).ok_or_else(damaged)).collect()
}

/// The row that each of these records goes into, told by the first record of that row.
pub(super) fn rows_of(entries: &[Entry]) -> Vec<Uuid> {
    let mut open: std::collections::HashMap<u32, (Uuid, usize)> = std::collections::HashMap::new();
    let mut row_of = |entry: &Entry| {
        let (first, count) = open.entry(entry.partition).or_insert((entry.id, 0));
        if *count == RECORDS_MAX {
            (*first, *count) = (entry.id, 0);
        }
        *count += 1;
        *first
    };
    entries.iter().map(&mut row_of).collect()
}

/// Says that the row `o` has the record `r`.
pub(super) fn holds(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "o.id = r.outbox_id and position(uuid_send(r.id) in o.records) > 0",
        Dialect::Sqlite => "o.id = r.outbox_id and instr(o.records, r.id) > 0",
    }
}

/// The id of the first record of a row.
pub(super) fn first(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => "encode(substr(records, 1, 16), 'hex')::uuid",
        Dialect::Sqlite => "substr(records, 1, 16)",
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn entry(partition: u32, id: u128) -> Entry {
        Entry { partition, id: Uuid::from_u128(id), bytes: 7 }
    }

    #[test]
    fn what_a_row_has_is_read_as_it_was_written() {
        let long = Entry { bytes: usize::MAX, ..entry(0, 2) };
        let packed = [entry(0, 1).packed(), long.packed()].concat();
        let expected = [(Uuid::from_u128(1), 7), (Uuid::from_u128(2), i64::from(u32::MAX))];
        assert_eq!(entries(&packed).unwrap(), expected);
        assert_eq!(entries(&[]).unwrap(), []);
        assert!(entries(packed.get(1..).unwrap()).is_err());
    }

    #[test]
    fn rows_are_of_one_partition_and_bounded() {
        let all: Vec<Entry> = (0..200).map(|n| entry(u32::from(n == 3), n)).collect();
        let rows: Vec<u128> = rows_of(&all).into_iter().map(|id| id.as_u128()).collect();
        let expected = |n: u128| match n {
            3 => 3,
            0..=90 => 0,
            91..=180 => 91,
            _ => 181,
        };
        assert_eq!(rows, (0..200).map(expected).collect::<Vec<_>>());
    }
}
