//! Events about API keys: that one was made or revoked. Must not tell anything of the key itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EventKind, Happened, Notice, append};
use crate::error::{Error, Result};
use crate::store::db::Tx;

/// An API key that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyTold {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Whom it speaks for.
    pub subject: String,
}

/// Tells that somebody has made or revoked a key. Comes last in its transaction.
///
/// # Errors
/// Those of the transaction.
pub(in crate::store) async fn tell_key(
    tx: &mut Tx,
    kind: EventKind,
    key: &KeyTold,
    at: i64,
    subject: &str,
) -> Result<()> {
    let detail = serde_json::to_string(key).map_err(Error::internal)?;
    let notice = Some(Notice { detail, about: key.id.to_string() });
    let subject = Some(subject.to_owned());
    append(tx, &[Happened { at, kind, collection_id: 0, version: 0, subject, notice }]).await
}
