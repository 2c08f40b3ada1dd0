//! Options of what is found out about shapes beside their types. Must not hold defaults that depend on others.

use serde::{Deserialize, Serialize};

section! {
    /// What is gathered about the values of fields, for stewards and admins.
    Statistics {
        /// How many records of a collection are all taken in; of later ones it is a sample.
        records_max: u64 = 10_000,
        /// Of the records beyond, one in so many is taken in; 0 is none.
        one_in: u64 = 16,
        /// The most fields of a collection that have statistics: those that were published first.
        fields_max: u32 = 1_000,
        /// The most distinct values of a field that are all kept and counted exactly; of more, the number is estimated.
        values_max: usize = 64,
        /// The most values of a field that are kept as examples.
        examples_max: usize = 5,
        /// The longest value that is kept as one of the distinct ones or as the end of a range, in bytes.
        value_bytes_max: usize = 64,
        /// How often what this node has gathered is written to the database, in milliseconds.
        flush_ms: u64 = 5_000,
        /// The most fields whose statistics this node holds until then; records beyond are not taken in.
        held_max: usize = 10_000,
    }
}

section! {
    /// How relations are looked for when a steward asks for candidates.
    Relations {
        /// The most collections that are looked at.
        collections_max: usize = 200,
        /// The most pairs of a field and a key whose values are counted, the likeliest first.
        pairs_max: usize = 200,
        /// The most rows of a collection that are looked at for one count.
        rows_max: usize = 1_000_000,
        /// The least share of a field's distinct values that a key must have.
        contained_min: f64 = 0.9,
    }
}
