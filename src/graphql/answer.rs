//! Answers as JSON bytes: data that others have written, and errors with path, place and code. The only place
//! that turns an error into text for a client; its cause goes to the log here, once, with the request's id.

use async_graphql::Pos;
use serde_json::{Value, json};

use super::plan::Misplaced;
use super::{Context, Response};
use crate::error::{Code, Error};

/// An error as a client gets it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fault {
    code: Code,
    message: String,
    retry_after_ms: Option<u64>,
    stale: bool,
    locations: Vec<Pos>,
    path: Vec<Value>,
}

impl Fault {
    /// An error of the whole request.
    pub(super) fn of(context: &Context, error: Error) -> Self {
        log(context, &error);
        Fault {
            code: error.code(),
            message: error.message().to_owned(),
            retry_after_ms: error.retry_after(),
            stale: error.is_stale(),
            locations: Vec::new(),
            path: Vec::new(),
        }
    }

    /// An error at a place in the document.
    pub(super) fn at(context: &Context, misplaced: Misplaced) -> Self {
        let locations = misplaced.locations;
        Fault { locations, ..Self::of(context, misplaced.error) }
    }

    /// What a rule of validation says.
    pub(super) fn invalid(message: String, locations: Vec<Pos>) -> Self {
        Fault {
            code: Code::BadRequest,
            message,
            retry_after_ms: None,
            stale: false,
            locations,
            path: Vec::new(),
        }
    }

    /// About a name that is not known: another node may have published it by now.
    pub(super) fn perhaps_stale(self) -> Self {
        Fault { stale: true, ..self }
    }

    /// Whether reading the catalog again and planning anew may help.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// With the response path of the field that failed.
    pub(super) fn on(mut self, pos: Pos, path: Vec<Value>) -> Self {
        self.locations = vec![pos];
        self.path = path;
        self
    }

    /// The error that it tells, where there is no document that it could be placed in.
    pub(super) fn into_error(self) -> Error {
        let error = Error::new(self.code, self.message);
        match self.retry_after_ms {
            Some(ms) => error.retry_after_ms(ms),
            None => error,
        }
    }

    /// The first of them as an error, where there is no document that they could be placed in.
    pub(super) fn first(faults: Vec<Fault>) -> Error {
        let first = faults.into_iter().next().map(Fault::into_error);
        first.unwrap_or_else(|| Error::internal("a document is refused without a reason"))
    }

    /// The code.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// The text.
    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    fn to_json(&self, request_id: &str) -> Value {
        let mut extensions = json!({ "code": self.code.as_str(), "requestId": request_id });
        if let (Some(ms), Some(members)) = (self.retry_after_ms, extensions.as_object_mut()) {
            members.insert("retryAfterMs".into(), ms.into());
        }
        let mut error = json!({ "message": self.message });
        if let Some(members) = error.as_object_mut() {
            if !self.locations.is_empty() {
                let locations = self.locations.iter();
                let places = locations.map(|pos| json!({ "line": pos.line, "column": pos.column }));
                members.insert("locations".into(), places.collect());
            }
            if !self.path.is_empty() {
                members.insert("path".into(), self.path.clone().into());
            }
            members.insert("extensions".into(), extensions);
        }
        error
    }
}

fn log(context: &Context, error: &Error) {
    let request = context.request_id.as_str();
    match error.cause() {
        // One that is stale is planned anew, and nobody's fault.
        Some(cause) if !error.is_stale() => {
            tracing::error!(request, code = %error.code(), %cause, "{}", error.message())
        }
        _ => tracing::debug!(request, code = %error.code(), "{}", error.message()),
    }
}

/// The answer to a request that was not executed.
pub(super) fn refusal(context: &Context, faults: &[Fault]) -> Response {
    let code = faults.first().map_or(Code::Internal, Fault::code);
    let mut body = b"{".to_vec();
    errors(context, faults, &mut body);
    body.push(b'}');
    Response { body, request_error: Some(code), fault: worst(faults), stale: false }
}

/// What stands before the data of an answer.
pub(super) const HEAD: &[u8] = b"{\"data\":";

/// The answer to a request that was executed: `data` is a complete JSON value.
pub(super) fn executed(context: &Context, data: &[u8], faults: &[Fault]) -> Response {
    let mut body = Vec::with_capacity(data.len() + 16);
    body.extend_from_slice(HEAD);
    body.extend_from_slice(data);
    finished(context, body, faults)
}

/// The same of a body that has the data behind its [`HEAD`].
pub(super) fn finished(context: &Context, mut body: Vec<u8>, faults: &[Fault]) -> Response {
    if !faults.is_empty() {
        body.push(b',');
        errors(context, faults, &mut body);
    }
    body.push(b'}');
    Response {
        body,
        request_error: None,
        fault: worst(faults),
        stale: faults.iter().any(|fault| fault.stale),
    }
}

/// What the close out tells: the code whose status is the highest.
fn worst(faults: &[Fault]) -> Option<Code> {
    faults.iter().map(Fault::code).max_by_key(|code| code.http_status())
}

fn errors(context: &Context, faults: &[Fault], out: &mut Vec<u8>) {
    let list: Value = faults.iter().map(|fault| fault.to_json(&context.request_id)).collect();
    out.extend_from_slice(b"\"errors\":");
    out.extend_from_slice(list.to_string().as_bytes());
}
