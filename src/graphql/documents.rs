//! Which document a request is about: its text, or what stands for one that is known already, which is the hash of one
//! that clients register (automatic persisted queries) or the id of a trusted one. Must not know what is in documents.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quick_cache::{Weighter, sync::Cache};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Request;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::{Json, hex};

/// What a request says before its document is known.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The text of the document.
    pub query: Option<String>,
    /// The id of a trusted document, or the hash of a registered one, maybe behind `sha256:`.
    pub document_id: Option<String>,
    /// The SHA-256 of the text in hexadecimal digits: to register it, or to name it.
    pub sha256: Option<String>,
    /// Which operation of it.
    pub operation_name: Option<String>,
    /// Variables, exact.
    pub variables: Vec<(String, Json)>,
}

impl Asked {
    /// The error of a request that says nothing of its document.
    pub fn nameless() -> Error {
        Error::bad_request(
            "`query` is missing; send the document's text, or name one that is known by `documentId`",
        )
    }
}

/// Documents that are trusted: texts by their ids, and by their hashes.
#[derive(Debug, Default)]
pub struct Trusted(HashMap<String, Arc<str>>);

/// A file of trusted documents, as `graphql-codegen` and Relay write it, or as Apollo's tools do.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Manifest { operations: Vec<Operation> },
    Texts(HashMap<String, String>),
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    body: String,
}

impl Trusted {
    /// Of the text of a file: an object of texts by their ids, or a manifest with `operations`, each with `id` and
    /// `body`.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is neither.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(text).map_err(|error| {
            let form = "an object of documents by their ids, or a manifest with `operations`, each of `id` and `body`";
            Error::bad_request(format!("trusted documents are {form}")).with_cause(error)
        })?;
        let documents: Vec<(String, String)> = match file {
            File::Manifest { operations } => operations.into_iter().map(|one| (one.id, one.body)).collect(),
            File::Texts(texts) => texts.into_iter().collect(),
        };
        let mut trusted = HashMap::with_capacity(documents.len() * 2);
        for (id, text) in documents {
            let text: Arc<str> = text.into();
            trusted.insert(hash(&text), text.clone());
            trusted.insert(plain(&id).to_owned(), text);
        }
        Ok(Trusted(trusted))
    }
}

/// The texts of documents that requests name without them.
pub(super) struct Documents {
    trusted: ArcSwap<Trusted>,
    registered: Cache<String, Arc<str>, Bytes>,
    /// Whether clients may register what they ask.
    registers: bool,
    /// Whether only what is trusted is executed.
    only: bool,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<String, Arc<str>> for Bytes {
    fn weight(&self, hash: &String, text: &Arc<str>) -> u64 {
        (hash.len() + text.len()) as u64
    }
}

/// About the length of a document, to guess how many there will be.
const USUAL_BYTES: usize = 1_024;

impl Documents {
    pub(super) fn new(limits: &config::Graphql) -> Self {
        let bytes = limits.registered_bytes_max;
        Documents {
            trusted: ArcSwap::default(),
            registered: Cache::with_weighter(bytes / USUAL_BYTES + 1, bytes as u64, Bytes),
            registers: bytes > 0,
            only: limits.trusted_only,
        }
    }

    pub(super) fn trust(&self, trusted: Trusted) {
        self.trusted.store(Arc::new(trusted));
    }

    /// The request with its document's text. `exempt` says whether this actor may ask what is not trusted.
    ///
    /// # Errors
    /// `NOT_FOUND` for what is not known, with the message that clients of automatic persisted queries expect;
    /// `FORBIDDEN` for what is not trusted where it must be; `BAD_REQUEST` for a hash that is not that of the text.
    pub(super) fn named(&self, asked: Asked, exempt: impl FnOnce() -> bool) -> Result<Request> {
        let Asked { query, document_id, sha256, operation_name, variables } = asked;
        let trusted = self.trusted.load();
        let only = self.only && !exempt();
        let known = |id: &str| {
            let registered = || self.registered.get(id).filter(|_| !only);
            trusted.0.get(id).cloned().or_else(registered)
        };
        let query = match (query, document_id, sha256) {
            (Some(_), Some(_), _) => {
                return Err(Error::bad_request("send `query` or `documentId`, not both of them"));
            }
            (None, Some(id), _) => known(plain(&id)).ok_or_else(|| {
                Error::not_found("there is no document with this `documentId`; send its text as `query`")
            })?,
            (None, None, Some(_)) if !self.registers && trusted.0.is_empty() => {
                return Err(Error::not_found(NOT_SERVED));
            }
            (None, None, Some(hash)) => {
                known(&hash.to_ascii_lowercase()).ok_or_else(|| Error::not_found(NOT_FOUND))?
            }
            (Some(text), None, given) => self.admitted(text, given, only, &trusted)?,
            (None, None, None) => return Err(Asked::nameless()),
        };
        Ok(Request { query, operation_name, variables })
    }

    /// A text, which is registered when its client says how it will be named.
    fn admitted(
        &self,
        text: String,
        given: Option<String>,
        only: bool,
        trusted: &Trusted,
    ) -> Result<Arc<str>> {
        let text: Arc<str> = text.into();
        if given.is_none() && !only {
            return Ok(text);
        }
        let own = hash(&text);
        if given.as_ref().is_some_and(|given| !given.eq_ignore_ascii_case(&own)) {
            return Err(Error::bad_request(
                "`sha256Hash` is not the SHA-256 of `query` in hexadecimal digits",
            ));
        }
        if only && !trusted.0.contains_key(&own) {
            let text =
                "only trusted documents are executed here; have this one added to them, or ask as an admin";
            return Err(Error::new(Code::Forbidden, text));
        }
        if given.is_some() && self.registers {
            self.registered.insert(own, text.clone());
        }
        Ok(text)
    }
}

/// By which clients of automatic persisted queries know that they must send the text, too.
const NOT_FOUND: &str = "PersistedQueryNotFound";
/// By which they know that they need not try again.
const NOT_SERVED: &str = "PersistedQueryNotSupported";

/// An id without what says how it was made.
fn plain(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

fn hash(text: &str) -> String {
    hex(Sha256::digest(text.as_bytes()).iter())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TEXT: &str = "{ orders { nodes { total } } }";

    fn of(change: impl FnOnce(&mut config::Graphql)) -> Documents {
        let mut limits = config::Graphql::default();
        change(&mut limits);
        Documents::new(&limits)
    }

    fn text(text: &str) -> Asked {
        Asked { query: Some(text.into()), ..Asked::default() }
    }

    fn named(id: &str) -> Asked {
        Asked { document_id: Some(id.into()), ..Asked::default() }
    }

    fn hashed(query: Option<&str>, hash: String) -> Asked {
        Asked { query: query.map(str::to_owned), sha256: Some(hash), ..Asked::default() }
    }

    fn refused(documents: &Documents, asked: Asked) -> (Code, String) {
        let error = documents.named(asked, || false).unwrap_err();
        (error.code(), error.message().to_owned())
    }

    fn query(documents: &Documents, asked: Asked) -> String {
        documents.named(asked, || false).unwrap().query.to_string()
    }

    #[test]
    fn a_document_is_registered_by_its_hash_and_named_by_it() {
        let documents = of(|_| {});
        let not_found = (Code::NotFound, "PersistedQueryNotFound".to_owned());
        assert_eq!(refused(&documents, hashed(None, hash(TEXT))), not_found);
        assert_eq!(refused(&documents, hashed(Some(TEXT), hash("{a}"))).0, Code::BadRequest);
        assert_eq!(
            refused(&documents, hashed(None, hash("{a}"))),
            not_found,
            "a wrong hash registers nothing"
        );
        assert_eq!(query(&documents, hashed(Some(TEXT), hash(TEXT).to_uppercase())), TEXT);
        assert_eq!(query(&documents, hashed(None, hash(TEXT))), TEXT);
        assert_eq!(query(&documents, named(&format!("sha256:{}", hash(TEXT)))), TEXT);
        let none = of(|limits| limits.registered_bytes_max = 0);
        assert_eq!(query(&none, hashed(Some(TEXT), hash(TEXT))), TEXT);
        assert_eq!(refused(&none, hashed(None, hash(TEXT))).1, "PersistedQueryNotSupported");
    }

    #[test]
    fn what_is_registered_takes_a_bounded_room() {
        let documents = of(|limits| limits.registered_bytes_max = 20_000);
        let texts: Vec<String> = (0..100).map(|n| format!("{{ a{n} {} }}", "b ".repeat(500))).collect();
        for text in &texts {
            documents.named(hashed(Some(text), hash(text)), || false).unwrap();
        }
        let kept = texts.iter().filter(|text| documents.named(hashed(None, hash(text)), || false).is_ok());
        assert!((1..=20).contains(&kept.count()));
    }

    #[test]
    fn only_what_is_trusted_is_executed_where_that_is_wanted() {
        let documents = of(|limits| limits.trusted_only = true);
        let manifest = format!(
            r#"{{"format":"x","version":1,"operations":[{{"id":"o1","name":"A","type":"query","body":{TEXT:?}}}]}}"#
        );
        for file in [manifest, format!(r#"{{"o1":{TEXT:?}}}"#)] {
            documents.trust(Trusted::parse(file.as_bytes()).unwrap());
            for asked in [text(TEXT), named("o1"), named(&hash(TEXT)), hashed(None, hash(TEXT))] {
                assert_eq!(query(&documents, asked), TEXT);
            }
        }
        assert_eq!(refused(&documents, text("{ a }")).0, Code::Forbidden);
        assert_eq!(refused(&documents, hashed(Some("{ a }"), hash("{ a }"))).0, Code::Forbidden);
        assert_eq!(refused(&documents, named("o2")).0, Code::NotFound);
        assert!(documents.named(hashed(Some("{ a }"), hash("{ a }")), || true).is_ok());
        let registered = refused(&documents, hashed(None, hash("{ a }")));
        assert_eq!(registered.0, Code::NotFound, "what an admin has registered is not trusted");
        documents.trust(Trusted::default());
        assert_eq!(refused(&documents, named("o1")).0, Code::NotFound);
        assert!(Trusted::parse(b"[]").is_err());
    }

    #[test]
    fn a_request_names_one_document() {
        let documents = of(|_| {});
        let both = Asked { document_id: Some("a".into()), ..text("{a}") };
        assert_eq!(refused(&documents, both).0, Code::BadRequest);
        assert!(refused(&documents, Asked::default()).1.contains("`query` is missing"));
    }
}
