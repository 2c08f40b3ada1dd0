//! GraphQL over HTTP: POST and GET, the media type by `Accept`, the status by media type and outcome; an
//! event stream when that is asked for. Mutations run by POST with a JSON content type only, which no
//! cross-site form can send.

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Shared, accept, accept::Media, answer::Refusal, body, close::Outcome, contract, door, payload, socket,
    sse,
};
use crate::contract::{Format, Transport};
use crate::error::Code;
use crate::graphql;
use crate::record::Actor;

/// `GET /graphql`: a socket when an upgrade is asked for, else a query in the URL.
pub(super) async fn get(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
    request: Request,
) -> Response {
    if door::is_upgrade(request.headers()) {
        return Box::pin(socket::upgrade(shared, visit, request)).await;
    }
    let Some(media) = accept::negotiate(request.headers()) else { return not_acceptable() };
    match payload::from_url(request.uri().query().unwrap_or_default(), &shared.config) {
        Ok(payload) => answer(&shared, &visit, Method::GET, media, payload).await,
        Err(error) => Refusal::new(error).into_response(),
    }
}

/// `POST /graphql`: the parameters as JSON.
pub(super) async fn post(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(media) = accept::negotiate(&headers) else { return not_acceptable() };
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !content_type.is_some_and(accept::is_json) {
        let message = "send the request as `Content-Type: application/json`";
        return Refusal::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    let (room, bytes_max) = (&shared.0.bodies, shared.config.graphql.body_bytes_max);
    let read = body::read(room, &headers, body, "request", bytes_max, "graphql.body_bytes_max").await;
    let (body, _held) = match read {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    match payload::from_json(&body, &shared.config) {
        Ok(payload) => answer(&shared, &visit, Method::POST, media, payload).await,
        Err(error) => Refusal::new(error).into_response(),
    }
}

/// `GET /graphql/schema`: the SDL of what the actor can see.
pub(super) async fn schema(
    State(shared): State<Shared>,
    Extension(visit): Extension<door::Visit>,
) -> Result<Response, Refusal> {
    let actor = contract::bind(&shared, visit.actor()?, visit.contract()?, Transport::Http, Format::Json)?;
    let headers =
        [(header::CONTENT_TYPE, "application/graphql; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, shared.engine.sdl(Some(&actor)).await?).into_response())
}

fn not_acceptable() -> Response {
    let message = "ask for `application/json`, `application/graphql-response+json` or `text/event-stream`";
    Refusal::with_status(StatusCode::NOT_ACCEPTABLE, message).into_response()
}

/// What the engine is told about a visit of an actor that is [bound](contract::bind) already.
pub(super) fn context(visit: &door::Visit, actor: Arc<Actor>, mutations: bool) -> graphql::Context {
    graphql::Context {
        actor,
        request_id: visit.request_id.clone(),
        traceparent: visit.traceparent.clone(),
        mutations,
        transport: Transport::Http,
        format: Format::Json,
    }
}

async fn answer(
    shared: &Shared,
    visit: &door::Visit,
    method: Method,
    media: Media,
    payload: graphql::Asked,
) -> Response {
    let transport = if media == Media::EventStream { Transport::Sse } else { Transport::Http };
    let bound = visit
        .actor()
        .and_then(|actor| contract::bind(shared, actor, visit.contract()?, transport, Format::Json));
    let actor = match bound {
        Ok(actor) => actor,
        Err(error) => return Refusal::new(error).into_response(),
    };
    let context = graphql::Context { transport, ..context(visit, actor, method == Method::POST) };
    if media == Media::EventStream {
        return Box::pin(sse::answer(shared, context, payload)).await;
    }
    let bound = context.actor.contract.clone();
    // Apart: it takes so much room, which would be copied with all that is around it.
    let result = Box::pin(shared.engine.execute(context, payload)).await;
    let mut response = Response::new(Body::from(result.body));
    response.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    contract::tell(shared, bound.as_ref(), response.headers_mut());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(code) = result.request_error {
        *response.status_mut() = status(media, &method, code);
        if *response.status_mut() == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
    }
    let outcome = Outcome::default();
    outcome.fault(result.fault);
    response.extensions_mut().insert(outcome);
    response
}

/// The status of a request that was not executed. What is wrong with the document is 200 for clients that only
/// know `application/json`; what is wrong with the actor or the server is never.
fn status(media: Media, method: &Method, code: Code) -> StatusCode {
    match code {
        Code::Forbidden if method == Method::GET => StatusCode::METHOD_NOT_ALLOWED,
        Code::BadRequest | Code::TooComplex | Code::Unprocessable | Code::NotFound
            if media == Media::Json =>
        {
            StatusCode::OK
        }
        _ => StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}
