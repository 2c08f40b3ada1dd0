//! Errors as answers: a handler returns a [`Refusal`], the door middleware writes its body, because only that
//! knows the request id. Must not log.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::accept::Media;
use crate::error::{Code, Error};

/// A request that is answered with an error.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// What went wrong.
    pub(super) error: Arc<Error>,
    /// The status, when the code's own does not say it.
    status: StatusCode,
}

impl Refusal {
    /// The code's own status.
    pub(super) fn new(error: Error) -> Self {
        Refusal::of(Arc::new(error))
    }

    /// The same for an error that others hold, too: the log has its cause.
    pub(super) fn of(error: Arc<Error>) -> Self {
        let status = StatusCode::from_u16(error.code().http_status()).unwrap_or_default();
        Refusal { error, status }
    }

    /// A request that HTTP itself has a better status for than 400.
    pub(super) fn with_status(status: StatusCode, message: impl Into<String>) -> Self {
        Refusal { error: Arc::new(Error::bad_request(message)), status }
    }

    /// 413 with the bound's name.
    pub(super) fn too_large(what: &str, bytes_max: usize, option: &str) -> Self {
        let message =
            format!("the {what} is larger than {bytes_max} bytes; send less at once or raise `{option}`");
        Refusal::new(Error::new(Code::TooLarge, message))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::new(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Public<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Public<'a> {
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// The error as JSON text, as REST answers and batch rejects show it.
pub(super) fn public_text(error: &Error, request_id: &str) -> Vec<u8> {
    let public = Public {
        code: error.code().as_str(),
        message: error.message(),
        request_id,
        retry_after_ms: retry_after_ms(error),
    };
    serde_json::to_vec(&Envelope { error: public }).unwrap_or_default()
}

/// The error as a list of GraphQL errors.
pub(super) fn graphql_errors(error: &Error, request_id: &str) -> Vec<u8> {
    let mut extensions = serde_json::json!({"code": error.code().as_str(), "requestId": request_id});
    if let (Some(ms), Some(extensions)) = (retry_after_ms(error), extensions.as_object_mut()) {
        extensions.insert("retryAfterMs".into(), ms.into());
    }
    let errors = serde_json::json!([{"message": error.message(), "extensions": extensions}]);
    errors.to_string().into_bytes()
}

/// How long to wait: what the error says, or a second where waiting helps.
fn retry_after_ms(error: &Error) -> Option<u64> {
    let usual = matches!(error.code(), Code::Backpressure | Code::RateLimited | Code::Unavailable);
    error.retry_after().or(usual.then_some(1_000))
}

/// Writes the body and headers of a refused request; with a media type as GraphQL errors.
pub(super) fn finish(response: &mut Response, refusal: &Refusal, request_id: &str, graphql: Option<Media>) {
    let body = match graphql {
        Some(_) => [br#"{"errors":"#, graphql_errors(&refusal.error, request_id).as_slice(), b"}"].concat(),
        None => public_text(&refusal.error, request_id),
    };
    let media = match graphql {
        Some(Media::GraphqlResponse) => Media::GraphqlResponse,
        _ => Media::Json,
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.content_type());
    if refusal.error.code() == Code::Unauthenticated {
        let challenge = HeaderValue::from_static(r#"Bearer realm="wellspring", error="invalid_token""#);
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    if let Some(ms) = retry_after_ms(&refusal.error) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000)));
    }
    *response.body_mut() = Body::from(body);
}
