//! From what a source sent to a draft: checks, translation to an object, payload hash, structure. Pure but for the
//! time that is passed in.

use std::sync::Mutex;

use bytes::{BufMut as _, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use uuid::{ContextV7, Timestamp, Uuid};

use crate::error::{Code, Error, Result};
use crate::query::Collection;
use crate::record::{self, Actor, Draft, Json, Limits, Source};
use crate::shape::{Fingerprinted, Known, refusals};

use super::{Input, Retraction};

/// Documents larger than this are looked at on a blocking thread.
pub(super) const LARGE: usize = 128 * 1024;

/// The longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_MAX: usize = 1_024;

/// Ids that rise with time, also within one millisecond.
pub(super) struct Ids(Mutex<ContextV7>);

impl Ids {
    pub(super) fn new() -> Self {
        Ids(Mutex::new(ContextV7::new()))
    }

    /// The next id at this time, Unix microseconds.
    pub(super) fn next(&self, now_us: i64) -> Uuid {
        let seconds = u64::try_from(now_us.div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(now_us.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let context = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Uuid::new_v7(Timestamp::from_unix(&*context, seconds, nanos))
    }
}

/// Bounds of documents.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) bytes_max: usize,
    pub(super) limits: Limits,
    pub(super) known: Known,
    /// The most misfits that are named when a document is refused.
    pub(super) refusals_max: usize,
}

/// What is derived from a document's bytes.
pub(super) struct Looked {
    body: Bytes,
    payload_hash: [u8; 32],
    structure: Fingerprinted,
}

/// Looks at a document: whether it is one, what it looks like, whether it fits the collection that it is to feed, if
/// that may refuse it. What is not an object becomes `{"value": …}`.
pub(super) fn look(
    body: &Bytes,
    source: &Source,
    bounds: &Bounds,
    feeds: Option<&Collection>,
) -> Result<Looked> {
    if body.len() > bounds.bytes_max {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "the record has {} bytes; `sourcing.record_bytes_max` is {}",
                body.len(),
                bounds.bytes_max
            ),
        ));
    }
    let document = parse(body, bounds.limits)?;
    let (body, document) = match document {
        Json::Object(_) => (body.clone(), document),
        other => {
            let mut wrapped = BytesMut::with_capacity(body.len() + 10);
            wrapped.put_slice(br#"{"value":"#);
            wrapped.put_slice(body);
            wrapped.put_slice(b"}");
            (wrapped.freeze(), Json::Object(vec![("value".into(), other)]))
        }
    };
    if let Some(collection) = feeds {
        fits(&document, collection, bounds.refusals_max)?;
    }
    let structure = bounds.known.structure(&source.category, &source.subcategory, &document);
    Ok(Looked { payload_hash: Sha256::digest(&body).into(), body, structure })
}

/// Whether a document fits what is published where the mode is to reject.
fn fits(document: &Json, collection: &Collection, named_max: usize) -> Result<()> {
    let misfits = refusals(&collection.shape, document);
    if misfits.is_empty() {
        return Ok(());
    }
    let named = misfits.iter().take(named_max.max(1));
    let mut all: Vec<String> = named.map(|misfit| format!("`{}`: {}", misfit.path, misfit.reason)).collect();
    let more = misfits.len() - all.len();
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    Err(Error::new(
        Code::Unprocessable,
        format!(
            "the document does not fit what `{}` is published as; {}; send what fits, or have a steward `acceptFields` \
             or `setMode`",
            collection.field_name,
            all.join("; ")
        ),
    ))
}

/// The document within the bounds that it will have as an object: what is none is going to be wrapped in one.
fn parse(body: &[u8], limits: Limits) -> Result<Json> {
    if body.trim_ascii_start().first() == Some(&b'{') {
        return record::parse(body, limits);
    }
    let Limits { depth_max, values_max } = limits;
    let within = Limits { depth_max: depth_max.saturating_sub(1), values_max: values_max.saturating_sub(1) };
    record::parse(body, within).map_err(|error| match error.code() {
        Code::TooLarge => {
            let text = format!("{}; it is no object and becomes `{{\"value\": …}}`", error.message());
            Error::new(Code::TooLarge, text)
        }
        _ => error,
    })
}

/// The draft of a document that has been looked at.
pub(super) fn draft(actor: &Actor, input: Input, looked: Looked, id: Uuid, now_us: i64) -> Result<Draft> {
    check_text("idempotencyKey", input.idempotency_key.as_deref())?;
    check_text("the token's subject", Some(&actor.subject))?;
    // A repeated request must meet the same key; only without any other name is a record its own.
    let uid = input.source_uid.or_else(|| input.idempotency_key.clone());
    let source_uid = uid.unwrap_or_else(|| id.to_string());
    input.source.key(&source_uid)?;
    Ok(Draft {
        id,
        source: input.source,
        source_uid,
        author: actor.subject.clone(),
        idempotency_key: input.idempotency_key,
        if_revision: input.if_revision,
        content_type: printable(input.content_type),
        body: looked.body,
        payload_hash: looked.payload_hash,
        occurred_at: input.occurred_at,
        ingested_at: now_us,
        structure: Some(looked.structure),
        deleted: false,
        causation_id: None,
        hops: 0,
        envelope: input.envelope,
    })
}

/// The draft of a tombstone.
pub(super) fn tombstone(actor: &Actor, given: Retraction, id: Uuid, now_us: i64) -> Result<Draft> {
    check_text("idempotencyKey", given.idempotency_key.as_deref())?;
    check_text("the token's subject", Some(&actor.subject))?;
    given.source.key(&given.source_uid)?;
    Ok(Draft {
        id,
        source: given.source,
        source_uid: given.source_uid,
        author: actor.subject.clone(),
        idempotency_key: given.idempotency_key,
        if_revision: given.if_revision,
        content_type: "application/json".into(),
        body: Bytes::new(),
        payload_hash: Sha256::digest(b"").into(),
        occurred_at: None,
        ingested_at: now_us,
        structure: None,
        deleted: true,
        causation_id: None,
        hops: 0,
        envelope: given.envelope,
    })
}

fn check_text(what: &str, text: Option<&str>) -> Result<()> {
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_MAX || text.chars().any(char::is_control) {
        return Err(Error::bad_request(format!(
            "{what} must have 1 to {IDEMPOTENCY_KEY_MAX} bytes and no control characters"
        )));
    }
    Ok(())
}

/// A header's text without what a text column cannot hold.
fn printable(text: String) -> String {
    if text.chars().any(char::is_control) { text.replace(char::is_control, "") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_with_the_clock_and_within_one_instant() {
        let ids = Ids::new();
        let mut last = Uuid::nil();
        for step in 0..10_000 {
            let id = ids.next(1_700_000_000_000_000 + step / 100);
            assert!(id > last);
            last = id;
        }
        assert_eq!(last.get_version_num(), 7);
    }
}
