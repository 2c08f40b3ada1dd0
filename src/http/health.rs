//! Liveness, readiness and counts, for machines that look after this one.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Shared;

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Whether requests can be served: the database must answer; a stream that is away only degrades.
pub(super) async fn readyz(State(shared): State<Shared>) -> Response {
    if shared.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "stopping"}))).into_response();
    }
    if !shared.ready.is_set() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "starting"}))).into_response();
    }
    if let Err(error) = shared.store.ping().await {
        let cause = error.cause().map(super::close::causes);
        tracing::warn!(%error, cause, "the database does not answer");
        let body = json!({"status": "unavailable", "database": "down"});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let stream = shared.provisioning.stream_ready().await;
    shared.metrics.set_stream_up(stream);
    let status = if stream { "ok" } else { "degraded" };
    let stream = if stream { "up" } else { "down" };
    Json(json!({"status": status, "database": "up", "stream": stream})).into_response()
}

/// The counts as Prometheus reads them.
pub(super) async fn metrics(State(shared): State<Shared>) -> Response {
    if let Err(error) = shared.provisioning.measure().await {
        tracing::warn!(%error, "the gauges are as they were");
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], shared.metrics.render()).into_response()
}
