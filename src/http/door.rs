//! The door that every request passes: request id, trace context, token, bounds on work and time. Must not
//! know what any route does.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Builder;

use super::{Shared, accept, accept::Media, answer, answer::Refusal, close::CloseOut, contract};
use crate::error::{Code, Error, Result};
use crate::record::{API_KEY_PREFIX, Actor};
use crate::telemetry::Open;

/// What the door found out about a request.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Who asks. Sockets may still bring a token in `connection_init`; a refused one is kept for them.
    pub(super) actor: std::result::Result<Arc<Actor>, Arc<Error>>,
    /// Under which contract, as it says.
    pub(super) contract: std::result::Result<Option<String>, Arc<Error>>,
    /// In the log, in `X-Request-Id` and in every error.
    pub(super) request_id: String,
    /// W3C trace context, when the request brought a valid one.
    pub(super) traceparent: Option<String>,
}

impl Visit {
    /// Who asks, for all but sockets.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says what is wrong with the token.
    pub(super) fn actor(&self) -> Result<Arc<Actor>> {
        match &self.actor {
            Ok(actor) => Ok(actor.clone()),
            Err(error) => Err(Error::new(error.code(), error.message())),
        }
    }

    /// Under which contract, as it says.
    ///
    /// # Errors
    /// `BAD_REQUEST` when that cannot be read.
    pub(super) fn contract(&self) -> Result<Option<&str>> {
        match &self.contract {
            Ok(name) => Ok(name.as_deref()),
            Err(error) => Err(Error::new(error.code(), error.message())),
        }
    }
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static MIN_CURSOR: HeaderName = HeaderName::from_static("wellspring-min-cursor");
static API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The middleware.
pub(super) async fn pass(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let began_us = shared.clock.now_us();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "none".to_owned());
    let actor = match is_open(&route) {
        // How the node is must be told whatever it depends on to know somebody.
        true => Ok(Arc::new(Actor::anonymous())),
        false => identify(&shared, request.headers()).await,
    };
    let visit = Visit {
        actor: actor.map_err(Arc::new),
        contract: contract::wanted(request.headers()).map_err(Arc::new),
        request_id: request_id(request.headers(), began_us),
        traceparent: traceparent(request.headers()),
    };
    let graphql =
        (route == super::GRAPHQL_ROUTE).then(|| accept::negotiate(request.headers()).unwrap_or(Media::Json));
    request.extensions_mut().insert(visit.clone());
    // Closes the request out also when it is given up before it is answered.
    let closing =
        CloseOut::new(shared.clone(), route.clone(), request.method().clone(), visit.clone(), began_us);
    let admitted = AssertUnwindSafe(admit(&shared, &route, &visit, request, next)).catch_unwind().await;
    // A panic is a bug, but it must not look to the client as if the network were broken.
    let mut response = admitted.unwrap_or_else(|_| Refusal::new(Error::internal("panic")).into_response());
    let refusal = response.extensions_mut().remove::<Refusal>();
    if let Some(refusal) = &refusal {
        answer::finish(&mut response, refusal, &visit.request_id, graphql);
    }
    if let Ok(id) = HeaderValue::from_str(&visit.request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), id);
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    closing.answered(response, refusal)
}

/// Whether the request asks for a socket.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Whether the route says how the node is, to everybody.
fn is_open(route: &str) -> bool {
    ["/healthz", "/readyz", "/metrics"].contains(&route)
}

async fn admit(shared: &Shared, route: &str, visit: &Visit, request: Request, next: Next) -> Response {
    if is_open(route) {
        return next.run(request).await;
    }
    // A socket tells its client by a close code, and may bring another token.
    let socket = route == super::GRAPHQL_ROUTE && request.method() == Method::GET;
    if let (Err(error), false) = (&visit.actor, socket && is_upgrade(request.headers())) {
        return Refusal::of(error.clone()).into_response();
    }
    let _working = match working(shared) {
        Ok(working) => working,
        Err(error) => return Refusal::new(error).into_response(),
    };
    if route == super::BATCH_ROUTE {
        // A batch may take as long as its sender keeps sending; it bounds the wait for each piece itself.
        return next.run(request).await;
    }
    let reads_only = request.method().is_safe();
    let reads = [super::GRAPHQL_ROUTE, super::DATA_ROUTE, super::HISTORY_ROUTE].contains(&route);
    let cursors = if reads { min_cursor(request.headers()) } else { None };
    // Kept in one place, and what is rare apart: each hand that a future goes through copies all of its room.
    let work = pin!(async {
        if let Some(cursors) = cursors {
            Box::pin(shared.engine.wait_for(&cursors)).await?;
        }
        Ok(next.run(request).await)
    });
    match in_time(shared, reads_only, work).await.and_then(|done| done) {
        Ok(response) => response,
        Err(error) => Refusal::new(error).into_response(),
    }
}

/// What must have happened before something is read: the header may come several times, as cursors have no commas.
fn min_cursor(headers: &HeaderMap) -> Option<String> {
    // What is no text is no cursor either, and is refused as such.
    let all: Vec<&str> =
        headers.get_all(&MIN_CURSOR).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    (!all.is_empty()).then(|| all.join(","))
}

/// A place among the requests in work, until it is dropped.
///
/// # Errors
/// `BACKPRESSURE` when all are taken.
pub(super) fn working(shared: &Shared) -> Result<(OwnedSemaphorePermit, Open)> {
    let permit = shared.0.requests.clone().try_acquire_owned().map_err(|_| {
        let error = Error::new(Code::Backpressure, "too many requests are in work; try again shortly");
        error.retry_after_ms(250)
    })?;
    Ok((permit, shared.metrics.request_open()))
}

/// What is ready within the time that a request may take.
///
/// # Errors
/// `TIMEOUT` when it is not.
pub(super) async fn in_time<T>(
    shared: &Shared,
    reads_only: bool,
    work: impl Future<Output = T>,
) -> Result<T> {
    let ms = shared.config.server.request_timeout_ms;
    tokio::time::timeout(Duration::from_millis(ms), work).await.map_err(|_| {
        let advice = if reads_only {
            "ask for less"
        } else {
            "ask for less; whether what it sends is stored is not known: repeat it with the same idempotency key"
        };
        let text = format!("the request took longer than {ms} ms (`server.request_timeout_ms`); {advice}");
        Error::new(Code::Timeout, text)
    })
}

async fn identify(shared: &Shared, headers: &HeaderMap) -> Result<Arc<Actor>> {
    let (tokens, keys) = (headers.get_all(header::AUTHORIZATION), headers.get_all(&API_KEY));
    let mut all = tokens.iter().map(|token| (token, false)).chain(keys.iter().map(|key| (key, true)));
    let Some((value, is_key)) = all.next() else { return Ok(Arc::new(Actor::anonymous())) };
    if all.next().is_some() {
        let text = "send one `Authorization` header, or one `X-API-Key`";
        return Err(Error::new(Code::Unauthenticated, text));
    }
    let value = value.to_str().unwrap_or_default();
    if is_key { key(shared, value).await } else { bearer(shared, value).await }
}

/// The actor of an `X-API-Key` value.
pub(super) async fn key(shared: &Shared, value: &str) -> Result<Arc<Actor>> {
    if !value.trim().starts_with(API_KEY_PREFIX) {
        let text = format!(
            "`X-API-Key` is for keys that begin with `{API_KEY_PREFIX}`; send a token as `Authorization`"
        );
        return Err(Error::new(Code::Unauthenticated, text));
    }
    shared.auth.actor(value.trim()).await
}

/// The actor of an `Authorization` value.
pub(super) async fn bearer(shared: &Shared, value: &str) -> Result<Arc<Actor>> {
    match value.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            shared.auth.actor(token.trim()).await
        }
        _ => Err(Error::new(Code::Unauthenticated, "send the token as `Authorization: Bearer TOKEN`")),
    }
}

fn request_id(headers: &HeaderMap, now_us: i64) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())) {
        Some(id) => id.to_owned(),
        None => new_id(now_us),
    }
}

/// A fresh request id.
pub(super) fn new_id(now_us: i64) -> String {
    let millis = u64::try_from(now_us / 1_000).unwrap_or(0);
    // Of the thread's own generator: the system's takes a call for each.
    Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid().to_string()
}

/// The `traceparent` header when it is well formed; anything else is as if it were not there.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?.trim();
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else { return None };
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let well_formed =
        hex(version, 2) && *version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (well_formed && !zero(trace) && !zero(parent)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn only_well_formed_trace_context_is_taken() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_str(text).unwrap());
            traceparent(&headers)
        };
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(of(good).as_deref(), Some(good));
        assert_eq!(of("00-00000000000000000000000000000000-b7ad6b7169203331-01"), None);
        assert_eq!(of("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), None);
        assert_eq!(of("nonsense"), None);
    }

    #[test]
    fn request_ids_are_taken_only_when_sane() {
        let mut headers = HeaderMap::new();
        assert_eq!(request_id(&headers, 1_800_000_000_000_000).len(), 36);
        headers.insert("x-request-id", HeaderValue::from_static("mine-1"));
        assert_eq!(request_id(&headers, 0), "mine-1");
        headers.insert("x-request-id", HeaderValue::from_static("two words"));
        assert_eq!(request_id(&headers, 0).len(), 36);
    }
}
