//! Options of reads that wait for what they are to see. Must not hold defaults that depend on others.

use serde::{Deserialize, Serialize};

section! {
    /// Reading what one has written.
    Consistency {
        /// How long a read waits for what its `minCursor` names, in milliseconds; then it is answered `TIMEOUT`.
        wait_ms: u64 = 5_000,
        /// The most reads of this node that wait so at once; more are answered `BACKPRESSURE`.
        waits_max: usize = 1_000,
        /// The most cursors that one `minCursor` may name.
        cursors_max: usize = 100,
    }
}
