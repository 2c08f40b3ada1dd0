//! Options of indexes that reads lack. Must not hold defaults that depend on others.

use serde::{Deserialize, Serialize};

/// Who decides that an advised index is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Apply {
    /// The node where what is new is open to all: `shape.exposure` is, and the collection's mode. Else stewards.
    Auto,
    /// The node.
    Always,
    /// Stewards.
    Never,
}

section! {
    /// Indexes that reads lack: how they are found, made and taken away.
    Advisor {
        /// Whether an index that reads lack is made by itself, or only proposed to stewards: `auto` makes it where
        /// `shape.exposure` is open, in collections of mode `OPEN`; `always` and `never` say so for all.
        apply: Apply = Apply::Auto,
        /// How often what was noted of reads is written down and looked at, in milliseconds.
        period_ms: u64 = 60_000,
        /// The most statements that this node tells apart until then; others are not noted.
        held_max: usize = 4_096,
        /// The most ways to find rows of a collection that are kept; those not taken for longest go first.
        ways_max: usize = 64,
        /// How long reads of one way must have taken together before an index is proposed, in milliseconds.
        spent_min_ms: u64 = 10_000,
        /// The fewest rows of a collection for which one is.
        rows_min: i64 = 10_000,
        /// The largest part of a collection's rows that one read may be about, in percent, for an index to be of use.
        share_max: u32 = 10,
        /// The most indexes of a collection that are proposed or made so.
        indexes_max: usize = 8,
        /// How large those of a collection that are made by themselves may be together, in bytes.
        indexes_bytes_max: i64 = 4 * 1024 * 1024 * 1024,
        /// The most rows of a collection on SQLite for which one is made by itself: who writes waits meanwhile, about a
        /// second for a million. For one of words it is a tenth of that.
        sqlite_rows_max: i64 = 500_000,
        /// How long making one may wait for a lock on PostgreSQL, in milliseconds; then it is tried again.
        lock_timeout_ms: u64 = 10_000,
        /// One that was made by itself goes when no read has used it for so long, in seconds.
        unused_s: u64 = 1_209_600,
    }
}
