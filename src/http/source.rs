//! The door for sources: one record, or a batch that streams through in constant memory. Must not look into
//! documents beyond the pointer that names their uid.

mod pointer;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Body,
    extract::{Path, Query, State, rejection::PathRejection, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Shared, answer::Refusal, auth::Auth, body, body::Held, close, door};
use crate::error::{Code, Error, Result};
use crate::format::{self, Readable};
use crate::record::{Actor, Envelope, Receipt, Source, UsageAgreement};
use crate::sourcing::Input;
use pointer::Pointer;

/// Documents that are handed to sourcing together.
const TOGETHER: usize = 500;
/// Bytes after which fewer are handed on together.
const TOGETHER_BYTES: usize = 4 * 1024 * 1024;

/// `POST /source/{category}/{subcategory}/{source_name}/{source_uid}`: 202 with a receipt once it is durable.
pub(super) async fn record(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
    path: Result<Path<(String, String, String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path((category, subcategory, source_name, source_uid)) = path.map_err(|error| bad_path(&error))?;
    let (actor, source) = (visit.actor()?, Source::new(category, subcategory, source_name)?);
    // Who may not send is told so before a byte of the body is read.
    shared.sourcing.may_source(&actor, &source)?;
    let format = format_of(&headers)?;
    let (room, bytes_max) = (&shared.0.bodies, shared.config.sourcing.record_bytes_max);
    let (body, _held) =
        body::read(room, &headers, body, "record", bytes_max, "sourcing.record_bytes_max").await?;
    let limits = (&shared.config.sourcing).into();
    let input = Input {
        source,
        source_uid: Some(source_uid),
        body: format.document(body, limits)?,
        content_type: content_type(&headers),
        idempotency_key: idempotency_key(&headers)?,
        if_revision: None,
        occurred_at: None,
        envelope: envelope(&headers, &visit)?,
    };
    let receipt = shared.sourcing.source(&actor, input).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(receipt)).into_response())
}

/// What the batch route's URL may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchQuery {
    /// JSON pointer of the uid in each document.
    key: Option<String>,
}

/// `POST /source/{category}/{subcategory}/{source_name}`: each document is accepted or rejected alone.
pub(super) async fn batch(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    query: Result<Query<BatchQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path((category, subcategory, source_name)) = path.map_err(|error| bad_path(&error))?;
    let Query(query) = query.map_err(|_| {
        Error::bad_request("the only parameter is `key`, a JSON pointer such as `?key=/order/id`")
    })?;
    let (actor, source) = (visit.actor()?, Source::new(category, subcategory, source_name)?);
    shared.sourcing.may_source(&actor, &source)?;
    let bytes_max = shared.config.sourcing.batch_bytes_max;
    body::check_announced(&headers, "batch", bytes_max, "sourcing.batch_bytes_max")?;
    let mut batch = Batch {
        actor,
        source,
        key: query.key.as_deref().map(Pointer::parse).transpose()?,
        idempotency_key: idempotency_key(&headers)?,
        content_type: content_type(&headers),
        envelope: envelope(&headers, &visit)?,
        index: 0,
        bytes: 0,
        group: Group::default(),
        held: shared.0.bodies.held(),
        outcome: Outcome::default(),
        shared: &shared,
        request_id: &visit.request_id,
    };
    let read = batch.read(format_of(&headers)?, body, bytes_max).await;
    batch.source().await;
    read.map_err(|error| batch.cut_short(error))?;
    Ok((StatusCode::ACCEPTED, axum::Json(batch.outcome)).into_response())
}

/// What a batch is answered with.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    accepted: u64,
    rejected: Vec<Rejected>,
    receipts: Vec<Receipt>,
    /// How many were rejected, also beyond the list's bound.
    rejected_total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected {
    index: u64,
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

struct Batch<'a> {
    shared: &'a Shared,
    request_id: &'a str,
    actor: Arc<Actor>,
    source: Source,
    key: Option<Pointer>,
    idempotency_key: Option<String>,
    content_type: String,
    envelope: Envelope,
    /// How many documents were seen.
    index: u64,
    /// How many bytes they had, as JSON.
    bytes: usize,
    group: Group,
    /// The room of its group and of the document that is not whole yet.
    held: Held,
    outcome: Outcome,
}

/// Documents on their way to sourcing, with their places in the body.
#[derive(Default)]
struct Group {
    indexes: Vec<u64>,
    inputs: Vec<Input>,
    bytes: usize,
}

impl Batch<'_> {
    /// Reads the body to its end; what is complete is sourced while the rest is still on its way.
    async fn read(&mut self, format: &dyn Readable, body: Body, bytes_max: usize) -> Result<()> {
        let mut splitter = format.splitter((&self.shared.config.sourcing).into());
        let mut chunks = body.into_data_stream();
        let patience = Duration::from_millis(self.shared.config.server.request_timeout_ms);
        let stalled = |_| Error::new(Code::Timeout, "nothing came for too long");
        let (mut sent, mut begun) = (0_usize, 0_usize);
        while let Some(chunk) = tokio::time::timeout(patience, chunks.next()).await.map_err(stalled)? {
            let chunk = chunk.map_err(|error| {
                Error::bad_request("the body ended before it was complete").with_cause(error)
            })?;
            if self.shared.auth.remaining_us(&self.actor) == Some(0) {
                return Err(Error::new(Code::Unauthenticated, Auth::over(&self.actor)));
            }
            sent = sent.saturating_add(chunk.len());
            begun = begun.saturating_add(chunk.len());
            self.hold(begun).await?;
            let mut rest: &[u8] = &chunk;
            // A table's rows become larger than they were sent: what is stored is bounded too.
            while sent.max(self.bytes) <= bytes_max {
                let Some(item) = splitter.next(&mut rest) else { break };
                self.take(item).await;
                begun = rest.len();
                self.hold(begun).await?;
            }
            if sent.max(self.bytes) > bytes_max {
                let text = format!("the batch has more than {bytes_max} bytes (`sourcing.batch_bytes_max`)");
                return Err(Error::new(Code::TooLarge, text));
            }
        }
        while let Some(item) = splitter.end() {
            self.take(item).await;
        }
        Ok(())
    }

    /// Takes the room for what is there, `begun` bytes of it not whole documents yet.
    async fn hold(&mut self, begun: usize) -> Result<()> {
        // No splitter holds more of one document than it may have.
        let begun = begun.min(self.shared.config.sourcing.record_bytes_max);
        if self.held.set(begun.saturating_add(self.group.bytes)).is_ok() {
            return Ok(());
        }
        self.source().await;
        self.held.set(begun)
    }

    /// The error of a batch that could not be read to its end, with what has become of its beginning.
    fn cut_short(&self, error: Error) -> Error {
        let (seen, accepted) = (self.index, self.outcome.accepted);
        let again = match (&self.idempotency_key, accepted) {
            (_, 0) => "send it again",
            (Some(_), _) => "sent again with the same `Idempotency-Key` they are not repeated",
            (None, _) => "without an `Idempotency-Key` they would be repeated, so send only what follows",
        };
        let text =
            format!("{}; of the first {seen} records {accepted} were accepted: {again}", error.message());
        let short = Error::new(error.code(), text);
        let short = error.retry_after().into_iter().fold(short, Error::retry_after_ms);
        if error.cause().is_some() { short.with_cause(error) } else { short }
    }

    async fn take(&mut self, item: format::Item) {
        let index = self.index;
        self.index += 1;
        match item.and_then(|body| self.input(index, body)) {
            Ok(input) => {
                self.bytes = self.bytes.saturating_add(input.body.len());
                self.group.bytes = self.group.bytes.saturating_add(input.body.len());
                self.group.indexes.push(index);
                self.group.inputs.push(input);
            }
            Err(error) => self.reject(index, &error),
        }
        if self.group.inputs.len() >= TOGETHER || self.group.bytes >= TOGETHER_BYTES {
            self.source().await;
        }
    }

    fn input(&self, index: u64, body: Bytes) -> Result<Input> {
        let item_key = self.idempotency_key.as_ref().map(|key| format!("{key}:{index}"));
        let source_uid = match &self.key {
            Some(key) => Some(key.uid(&body)?),
            None => item_key.clone(),
        };
        Ok(Input {
            source: self.source.clone(),
            source_uid,
            body,
            content_type: self.content_type.clone(),
            idempotency_key: item_key,
            if_revision: None,
            occurred_at: None,
            envelope: self.envelope.clone(),
        })
    }

    /// Hands on the documents that stand together.
    async fn source(&mut self) {
        let Group { indexes, inputs, .. } = std::mem::take(&mut self.group);
        if inputs.is_empty() {
            return;
        }
        let results = self.shared.sourcing.source_many(&self.actor, inputs).await;
        for (index, result) in indexes.into_iter().zip(results) {
            match result {
                Ok(receipt) => {
                    self.outcome.accepted += 1;
                    if self.outcome.receipts.len() < self.shared.config.sourcing.receipts_listed_max {
                        self.outcome.receipts.push(receipt);
                    }
                }
                Err(error) => self.reject(index, &error),
            }
        }
    }

    fn reject(&mut self, index: u64, error: &Error) {
        self.outcome.rejected_total += 1;
        if let Some(cause) = error.cause() {
            let request_id = self.request_id;
            tracing::warn!(request_id, index, %error, cause = close::causes(cause), "record rejected");
        }
        if self.outcome.rejected.len() < self.shared.config.sourcing.rejected_listed_max {
            self.outcome.rejected.push(Rejected {
                index,
                code: error.code().as_str(),
                message: error.message().to_owned(),
                retry_after_ms: error.retry_after(),
            });
        }
    }
}

fn bad_path(error: &PathRejection) -> Refusal {
    Refusal::new(Error::bad_request(format!("the path cannot be read: {}", error.body_text())))
}

fn content_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.unwrap_or("application/json").to_owned()
}

fn format_of(headers: &HeaderMap) -> Result<&'static dyn Readable, Refusal> {
    let content_type = content_type(headers);
    format::readable_by_media_type(&content_type).ok_or_else(|| {
        let known: Vec<&str> =
            format::readable().iter().flat_map(|format| format.media_types()).copied().collect();
        let message =
            format!("`{content_type}` is not read; set `Content-Type` to one of `{}`", known.join("`, `"));
        Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })
}

/// The header, which may come once: of two one would be lost.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Error::bad_request(format!("`{name}` is given twice; send it once"))),
        (value, None) => Ok(value),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = once(headers, "idempotency-key")? else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > 255 {
        return Err(Error::bad_request("`Idempotency-Key` must have 1 to 255 printable ASCII characters"));
    }
    Ok(Some(text.to_owned()))
}

/// What the headers say about the data.
fn envelope(headers: &HeaderMap, visit: &door::Visit) -> Result<Envelope> {
    let mut envelope = Envelope { traceparent: visit.traceparent.clone(), ..Envelope::default() };
    if let Some(value) = once(headers, "data-usage-agreement")? {
        envelope.data_usage_agreements = agreements(value.as_bytes()).ok_or_else(|| {
            Error::bad_request(
                "`Data-Usage-Agreement` must be a JSON list of objects with `agreement_name`, `location` and \
                 `agreed_dtm` (Unix seconds)",
            )
        })?;
    }
    for value in headers.get_all("data-purposes") {
        let text = value.to_str().map_err(|_| {
            Error::bad_request("`Data-Purposes` must be names in printable ASCII, separated by commas")
        })?;
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        envelope.purposes.extend(names.map(str::to_owned));
    }
    if let Some(value) = once(headers, "data-tracker-chain")? {
        let text = String::from_utf8_lossy(value.as_bytes());
        let chain = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()));
        envelope.data_tracker = Some(chain);
    }
    Ok(envelope)
}

/// One agreement or a list of them. Their form is asked for first: a list of the right values would be read as one.
fn agreements(text: &[u8]) -> Option<Vec<UsageAgreement>> {
    let given = match serde_json::from_slice(text).ok()? {
        Value::Array(many) => many,
        one => vec![one],
    };
    given.into_iter().map(|one| serde_json::from_value(one.is_object().then_some(one)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn agreements_come_alone_or_listed() {
        let one = br#"{"agreement_name":"billing","location":"www.dua.org","agreed_dtm":1553988607}"#;
        assert_eq!(agreements(one).unwrap().first().unwrap().agreement_name, "billing");
        assert_eq!(agreements(&[b"[", one.as_slice(), b"]"].concat()).unwrap().len(), 1);
        for wrong in [
            r#"billing"#,
            r#"["billing","www.dua.org",1553988607]"#,
            r#"[["billing","www.dua.org",1553988607]]"#,
            r#"{"agreement_name":"billing"}"#,
        ] {
            assert!(agreements(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn idempotency_keys_are_bounded() {
        let mut headers = HeaderMap::new();
        assert_eq!(idempotency_key(&headers).unwrap(), None);
        headers.insert("idempotency-key", "a".repeat(255).parse().unwrap());
        assert!(idempotency_key(&headers).unwrap().is_some());
        headers.insert("idempotency-key", "a".repeat(256).parse().unwrap());
        assert!(idempotency_key(&headers).is_err());
        headers.insert("idempotency-key", HeaderValue::from_static("a"));
        headers.append("idempotency-key", HeaderValue::from_static("b"));
        assert!(idempotency_key(&headers).unwrap_err().message().contains("twice"));
    }
}
