//! Events about advised indexes: that one was made, or is gone. Must not tell anything of a row.

use serde::{Deserialize, Serialize};

use super::{EventKind, Happened, Notice, append};
use crate::error::{Error, Result};
use crate::store::db::Tx;

/// An index that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexTold {
    /// The number of its advice.
    pub id: i64,
    /// The ids of its fields, in its order.
    pub fields: Vec<u32>,
    /// Why.
    pub reason: String,
}

/// Tells that an index of a collection was made or dropped. Comes last in its transaction.
///
/// # Errors
/// Those of the transaction.
pub(in crate::store) async fn tell_index(
    tx: &mut Tx,
    kind: EventKind,
    (collection_id, index): (i64, &IndexTold),
    (at, subject): (i64, Option<&str>),
) -> Result<()> {
    let detail = serde_json::to_string(index).map_err(Error::internal)?;
    let notice = Some(Notice { detail, about: format!("index {}", index.id) });
    let subject = subject.map(str::to_owned);
    append(tx, &[Happened { at, kind, collection_id, version: 0, subject, notice }]).await
}
