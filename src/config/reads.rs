//! Options of the audit log of reads. Must not hold defaults that depend on others.

use serde::{Deserialize, Serialize};

section! {
    /// The audit log of reads: who has read which collection, or was refused.
    Reads {
        /// Of reads that were allowed, one in so many is kept; 0 is none. Those that were denied are all kept.
        allowed_one_in: u64 = 1,
        /// The most that are kept; the oldest go first.
        rows_max: i64 = 1_000_000,
        /// How long one is kept, in seconds.
        age_max_s: u64 = 2_592_000,
        /// The most that wait in memory to be written; when there is no room, allowed ones go first, and are counted.
        held_max: usize = 20_000,
        /// The most that are written in one transaction.
        batch_max: usize = 500,
        /// How often those that wait are written, in milliseconds.
        flush_ms: u64 = 1_000,
    }
}
