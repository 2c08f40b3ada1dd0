//! `GET /openapi.json`: the REST side as OpenAPI 3.1, as whoever asks sees it. What rows hold comes from the model that
//! its GraphQL schema is of, formats and codes from their lists. Must not decide who sees what.

mod parts;
mod routes;
mod rows;

use std::collections::HashSet;
use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::{Shared, answer::Refusal, contract, data, door};
use crate::contract::Transport;
use crate::error::{Code, Error, Result};
use crate::format::{self, Format};
use crate::record::{Actor, hex};

/// Where the document is.
pub(super) const ROUTE: &str = "/openapi.json";
/// How many documents the cache makes room for at first.
const DOCUMENTS_GUESS: usize = 8;

/// A document with its tag.
#[derive(Clone)]
struct Document {
    text: Bytes,
    etag: HeaderValue,
}

#[derive(Clone)]
struct Size;

impl Weighter<Vec<u8>, Document> for Size {
    fn weight(&self, key: &Vec<u8>, document: &Document) -> u64 {
        (key.len() + document.text.len()) as u64
    }
}

/// Documents by what their readers see.
pub(super) struct Documents {
    kept: Cache<Vec<u8>, Document, Size>,
    /// Held while one is made: however many ask, it takes one thread.
    one: Arc<Semaphore>,
}

impl Documents {
    /// None yet; those that are kept take about `bytes_max`.
    pub(super) fn new(bytes_max: usize) -> Self {
        let kept = Cache::with_weighter(DOCUMENTS_GUESS, bytes_max as u64, Size);
        Documents { kept, one: Arc::new(Semaphore::new(1)) }
    }
}

/// The document of whoever asks.
pub(super) async fn document(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let names = names(uri.query().unwrap_or_default())?;
    let actor = contract::bind(&shared, visit.actor()?, visit.contract()?, Transport::Rest, None)?;
    let one = shared.0.documents.one.clone().acquire_owned().await.map_err(Error::internal)?;
    let (made_by, of) = (shared.clone(), actor.clone());
    let work = move || {
        // Who asked may be gone; the thread is not.
        let _one = one;
        made(&made_by, &of, &names)
    };
    let document = tokio::task::spawn_blocking(work).await.map_err(Error::internal)??;
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| matches(known, &document.etag));
    let mut response = Response::new(if known { Body::empty() } else { Body::from(document.text) });
    let headers = response.headers_mut();
    headers.insert(header::ETAG, document.etag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if !known {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    }
    contract::tell(&shared, actor.contract.as_ref(), headers);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    Ok(response)
}

/// RFC 9110, 13.1.2: one of the tags of the header, compared weakly, or any.
fn matches(given: &HeaderValue, etag: &HeaderValue) -> bool {
    let (given, etag) = (given.to_str().unwrap_or_default(), etag.to_str().unwrap_or_default());
    let mut tags = given.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The collections that are asked for; none for all.
fn names(query: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name != "collections" || !names.is_empty() {
            let text = "the only parameter is `collections`, once, such as `?collections=shopOrder,shopPart`";
            return Err(Error::bad_request(text));
        }
        names.extend(value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
    }
    Ok(names)
}

/// The document, of those that are kept or a new one.
fn made(shared: &Shared, actor: &Actor, names: &[String]) -> Result<Document> {
    let tables = shared.engine.tables(actor, names)?;
    let formats = formats(shared, actor);
    let mut key = tables.key();
    formats.iter().for_each(|format| key.extend_from_slice(format.name().as_bytes()));
    let kept = &shared.0.documents.kept;
    kept.get_or_insert_with(&key, || {
        let bound = actor.contract.is_some();
        let mut document = Written::new(shared.config.data.openapi_bytes_max);
        let mut taken = HashSet::new();
        let receipt = tables.managed("Receipt", &routes::RECEIPT);
        for (name, schema) in parts::schemas(receipt, bound) {
            taken.insert(name.clone());
            document.schemas.add(&name, &schema)?;
        }
        parts::responses().iter().try_for_each(|(name, part)| document.responses.add(name, part))?;
        parts::parameters().iter().try_for_each(|(name, part)| document.parameters.add(name, part))?;
        routes::all(bound).iter().try_for_each(|(path, item)| document.paths.add(path, item))?;
        for table in tables.iter() {
            rows::paths(&table, &formats)
                .iter()
                .try_for_each(|(path, item)| document.paths.add(path, item))?;
            rows::parameters(&table)
                .iter()
                .try_for_each(|(name, part)| document.parameters.add(name, part))?;
            rows::responses(&table, &formats)
                .iter()
                .try_for_each(|(name, part)| document.responses.add(name, part))?;
            let new = table.schemas.into_iter().filter(|(name, _)| taken.insert(name.clone()));
            for (name, schema) in new {
                document.schemas.add(&name, &schema)?;
            }
            document.bounded()?;
        }
        document.finish(parts::info(), parts::security())
    })
}

/// The formats in which the actor is given rows.
fn formats(shared: &Shared, actor: &Actor) -> Vec<&'static dyn Format> {
    let contracts = shared.engine.contracts();
    let bound = actor.contract.as_ref().and_then(|bound| contracts.get(&bound.name, bound.version));
    let given = |format: &&&dyn Format| bound.is_none_or(|one| one.contract.gives(data::agreed(**format)));
    format::all().iter().filter(given).copied().collect()
}

/// Members of an object, as text.
#[derive(Default)]
struct Members(Vec<u8>);

impl Members {
    fn add(&mut self, name: &str, value: &Value) -> Result<()> {
        if !self.0.is_empty() {
            self.0.extend_from_slice(b",\n");
        }
        crate::record::write_string(name, &mut self.0);
        self.0.push(b':');
        serde_json::to_writer(&mut self.0, value).map_err(Error::internal)
    }
}

/// A document that is being written: nothing of a collection stays but its text.
struct Written {
    paths: Members,
    schemas: Members,
    responses: Members,
    parameters: Members,
    bytes_max: usize,
}

impl Written {
    fn new(bytes_max: usize) -> Self {
        let none = Members::default;
        Written { paths: none(), schemas: none(), responses: none(), parameters: none(), bytes_max }
    }

    /// # Errors
    /// `TOO_COMPLEX` when it is larger than it may be.
    fn bounded(&self) -> Result<()> {
        let parts = [&self.paths, &self.schemas, &self.responses, &self.parameters];
        if parts.iter().map(|part| part.0.len()).sum::<usize>() <= self.bytes_max {
            return Ok(());
        }
        let text = format!(
            "the document is larger than {} bytes (`data.openapi_bytes_max`); ask for some of your collections, such \
             as `{ROUTE}?collections=shopOrder,shopPart`",
            self.bytes_max
        );
        Err(Error::new(Code::TooComplex, text))
    }

    fn finish(self, info: Value, security: Value) -> Result<Document> {
        self.bounded()?;
        let mut text = b"{\"openapi\":\"3.1.0\",\n\"info\":".to_vec();
        serde_json::to_writer(&mut text, &info).map_err(Error::internal)?;
        text.extend_from_slice(b",\n\"servers\":[{\"url\":\"/\"}],\n\"security\":");
        serde_json::to_writer(&mut text, &json!([{"bearer": []}, {"apiKey": []}, {}]))
            .map_err(Error::internal)?;
        text.extend_from_slice(b",\n\"paths\":{\n");
        text.extend_from_slice(&self.paths.0);
        text.extend_from_slice(b"\n},\n\"components\":{\n\"securitySchemes\":");
        serde_json::to_writer(&mut text, &security).map_err(Error::internal)?;
        let parts =
            [("parameters", self.parameters), ("responses", self.responses), ("schemas", self.schemas)];
        for (name, members) in parts {
            text.extend_from_slice(format!(",\n\"{name}\":{{\n").as_bytes());
            text.extend_from_slice(&members.0);
            text.push(b'}');
        }
        text.extend_from_slice(b"}}\n");
        let tag = format!("\"{}\"", hex(Sha256::digest(&text).get(..16).unwrap_or_default()));
        let etag = HeaderValue::from_str(&tag).map_err(Error::internal)?;
        Ok(Document { text: text.into(), etag })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn a_tag_is_known_among_others_and_as_a_weak_one() {
        let tag = HeaderValue::from_static("\"a1\"");
        for known in ["\"a1\"", "W/\"a1\"", "\"b\", \"a1\"", "*"] {
            assert!(matches(&HeaderValue::from_static(known), &tag), "{known}");
        }
        for other in ["", "a1", "\"a\"", "\"a1"] {
            assert!(!matches(&HeaderValue::from_static(other), &tag), "{other}");
        }
    }

    #[test]
    fn collections_are_named_once() {
        assert_eq!(names("").unwrap(), Vec::<String>::new());
        assert_eq!(names("collections=a,%20b,").unwrap(), ["a", "b"]);
        assert!(names("collections=a&collections=b").is_err());
        assert!(names("collection=a").is_err());
    }
}
