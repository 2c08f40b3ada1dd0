//! Records: one immutable sourced document in its envelope. Pure: no I/O, no clock.

mod api_key;
mod json;
mod signer;

pub use api_key::{API_KEY_PREFIX, api_key, api_key_hash};
pub use json::{Json, Limits, parse, write_float, write_string};
pub use signer::Signer;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Where records come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    /// First part of what kind of data it is.
    pub category: String,
    /// Second part of what kind of data it is.
    pub subcategory: String,
    /// The system that sends it.
    pub source_name: String,
}

impl Source {
    /// A source with checked names: 1 to 128 bytes each, no control characters.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names the part.
    pub fn new(
        category: impl Into<String>,
        subcategory: impl Into<String>,
        source_name: impl Into<String>,
    ) -> Result<Self> {
        Ok(Source {
            category: part("category", category.into(), 128)?,
            subcategory: part("subcategory", subcategory.into(), 128)?,
            source_name: part("sourceName", source_name.into(), 128)?,
        })
    }

    /// The key of this source's record `source_uid`.
    ///
    /// # Errors
    /// `BAD_REQUEST` when `source_uid` is empty, longer than 512 bytes or has control characters.
    pub fn key(&self, source_uid: &str) -> Result<Key> {
        part("sourceUid", source_uid.to_owned(), 512)?;
        let parts = [&self.category, &self.subcategory, &self.source_name, source_uid];
        Ok(Key(parts.map(escape).join("~")))
    }
}

fn part(what: &str, text: String, bytes_max: usize) -> Result<String> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        return Err(Error::bad_request(format!(
            "`{what}` must have 1 to {bytes_max} bytes and no control characters"
        )));
    }
    Ok(text)
}

/// `category~subcategory~source_name~source_uid`, each part percent-escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key(String);

impl Key {
    /// A key as it came out of the store.
    pub fn from_stored(text: String) -> Self {
        Key(text)
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The four parts, unescaped: category, subcategory, source name, source uid.
    pub fn parts(&self) -> [String; 4] {
        let mut parts = self.0.splitn(4, '~').map(unescape);
        std::array::from_fn(|_| parts.next().unwrap_or_default())
    }

    /// The partition that orders this key's records: FNV-1a (64 bit) of the key modulo `partitions`.
    pub fn partition(&self, partitions: u32) -> u32 {
        let hash = self.0.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        u32::try_from(hash % u64::from(partitions.max(1))).unwrap_or(0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Escapes `%`, `~` and what is not printable ASCII, as percent and two upper-case hex digits per byte.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b'~' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = (first == b'%').then(|| after.get(..2)).flatten();
        let decoded =
            hex.and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes as hexadecimal digits.
pub fn hex<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> String {
    bytes.into_iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who asks: a verified subject with its claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// The verified subject; `anonymous` without a token.
    pub subject: String,
    /// The roles claimed.
    pub roles: Vec<String>,
    /// Every claim of the token, roles and subject included.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// The contract under which it asks: then it reads what that promises, and nothing else.
    #[serde(skip)]
    pub contract: Option<Bound>,
    /// The API key by which it asks, if by one.
    #[serde(skip)]
    pub key: Option<Uuid>,
}

/// One version of a contract, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its version; 0, of which there is none, before it is known which one holds.
    pub version: u32,
    /// The most levels of a document.
    pub depth_max: Option<u32>,
    /// The most rows times fields of a document.
    pub cost_max: Option<u64>,
    /// The most requests of one actor in work at once, on each node.
    pub concurrent_max: Option<u32>,
}

impl Actor {
    /// Who asks without a token.
    pub fn anonymous() -> Self {
        let subject = "anonymous".into();
        Actor { subject, roles: Vec::new(), claims: serde_json::Map::new(), contract: None, key: None }
    }

    /// Whether the actor may see raw records: role admin, or steward with role pii; never under a contract.
    pub fn sees_raw(&self) -> bool {
        self.contract.is_none() && self.has_role("steward") && self.has_role("pii")
    }

    /// Whether the actor has the role; `admin` implies every role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r == role || r == "admin")
    }
}

/// One usage agreement that a source declares for its data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageAgreement {
    /// What it is called.
    pub agreement_name: String,
    /// Where its text is.
    pub location: String,
    /// When it was agreed, Unix seconds.
    pub agreed_dtm: i64,
}

/// The part of the envelope that is stored as one JSON text beside the record's own columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Tags given by the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// For what the source lets the data be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<String>,
    /// Free text pairs given by the source.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub meta_data: serde_json::Map<String, serde_json::Value>,
    /// Usage agreements given by the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_usage_agreements: Vec<UsageAgreement>,
    /// Lineage chain that the source brought along, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_tracker: Option<serde_json::Value>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// A document on its way in: everything but what the store decides (id order, revision).
#[derive(Clone, Debug)]
pub struct Draft {
    /// UUIDv7 of the record to be; for derived records UUIDv5 of what they derive from.
    pub id: Uuid,
    /// Where it comes from.
    pub source: Source,
    /// The uid that the source gave.
    pub source_uid: String,
    /// The verified subject.
    pub author: String,
    /// Makes a repeated request the same record; scope: source and author.
    pub idempotency_key: Option<String>,
    /// Refuse unless the key's current revision is this one (0: no record yet).
    pub if_revision: Option<i64>,
    /// The media type it was sent as.
    pub content_type: String,
    /// The document's bytes, JSON; empty for a tombstone.
    pub body: Bytes,
    /// SHA-256 of the body.
    pub payload_hash: [u8; 32],
    /// When it happened by the source's word, Unix microseconds.
    pub occurred_at: Option<i64>,
    /// When it was taken in, Unix microseconds.
    pub ingested_at: i64,
    /// Fingerprint and canonical text of the document's structure; `None` for a tombstone.
    pub structure: Option<(i64, Arc<str>)>,
    /// A tombstone: the row of its key is deleted.
    pub deleted: bool,
    /// The record this one derives from.
    pub causation_id: Option<Uuid>,
    /// How many plugins stand between it and a source.
    pub hops: i32,
    /// The rest of the envelope.
    pub envelope: Envelope,
}

/// A stored record.
#[derive(Clone, Debug)]
pub struct Record {
    /// What was sent.
    pub draft: Draft,
    /// The key.
    pub key: Key,
    /// 1 for the first record of its key.
    pub revision: i64,
    /// The partition that orders its key.
    pub partition: u32,
}

/// What a source gets for an accepted record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The record's id.
    pub id: Uuid,
    /// The record's key.
    pub key: Key,
    /// The record's revision.
    pub revision: i64,
    /// The same idempotency key and body had been accepted before.
    pub duplicate: bool,
    /// How far the record is.
    pub status: ReceiptStatus,
    /// For `minCursor`: a read that names it sees what the record has brought about.
    pub cursor: String,
}

/// How far a record is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReceiptStatus {
    /// Stored, still to be claimed by the relay.
    Accepted,
    /// On the stream.
    Published,
    /// Every matching plugin has settled it.
    Provisioned,
    /// A plugin has parked it.
    Parked,
}
