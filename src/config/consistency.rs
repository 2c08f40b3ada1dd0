//! Options of reads that wait for what they are to see, and of those of the past. Must not hold defaults that depend on
//! others.

use serde::{Deserialize, Serialize};

section! {
    /// Reading what one has written, and what was before.
    Consistency {
        /// How long a read waits for what its `minCursor` names, in milliseconds; then it is answered `TIMEOUT`.
        wait_ms: u64 = 5_000,
        /// The most reads of this node that wait so at once; more are answered `BACKPRESSURE`.
        waits_max: usize = 1_000,
        /// The most cursors that one `minCursor` may name.
        cursors_max: usize = 100,
        /// The most changes of a row that one page of its history looks at, those that may not be seen included.
        history_changes_max: usize = 10_000,
        /// How many changes behind the last one a read may go with `asOf`: it undoes them.
        as_of_changes_max: i64 = 10_000,
    }
}
