//! Who sees what is new in a shape, and which fields need nobody to classify them.

use serde::{Deserialize, Serialize};

/// Who sees a field that nobody has classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// Guarded with PostgreSQL, open with SQLite.
    Auto,
    /// Whoever may see the others.
    Open,
    /// Stewards only.
    Guarded,
}

/// Fields that need nobody to classify them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// The collection's name as its query field has it, such as `orderClothing` or `order*`.
    pub collection: String,
    /// The path as `shape { fields { path } }` tells it, such as `/total`, `/items/*/price`; `**` is any number of
    /// parts, so `/address/**` is all that is in it and `/**` everything.
    pub path: String,
}
