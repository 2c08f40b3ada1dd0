//! Close out: one log line and the counts for each request, when the last byte of its answer has gone, or when
//! it broke off before. Must not know what any route does.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, http::Method, response::Response};
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};

use super::{Shared, answer::Refusal, door::Visit};
use crate::error::{Code, Error};

/// What a handler wants the closing line to say beside the status, also while the answer goes out; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    fault: Mutex<Option<Code>>,
    items: AtomicU64,
}

impl Outcome {
    /// Something failed, or nothing did; the worst is kept.
    pub(super) fn fault(&self, code: Option<Code>) {
        let mut fault = self.0.fault.lock().unwrap_or_else(PoisonError::into_inner);
        *fault = fault.into_iter().chain(code).max_by_key(|code| code.http_status());
    }

    /// So many rows, results or changes were sent.
    pub(super) fn sent(&self, items: usize) {
        self.0.items.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// The worst that failed.
    pub(super) fn worst(&self) -> Option<Code> {
        *self.0.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much was sent.
    pub(super) fn items(&self) -> u64 {
        self.0.items.load(Ordering::Relaxed)
    }
}

/// Closes one request out when it is dropped.
pub(super) struct CloseOut {
    shared: Shared,
    route: String,
    method: Method,
    visit: Visit,
    began_us: i64,
    /// None until it is answered.
    status: Option<u16>,
    refused: Option<Arc<Error>>,
    outcome: Outcome,
    bytes: usize,
    /// Whether all of the answer was sent.
    complete: bool,
}

impl CloseOut {
    pub(super) fn new(shared: Shared, route: String, method: Method, visit: Visit, began_us: i64) -> Self {
        CloseOut {
            shared,
            route,
            method,
            visit,
            began_us,
            status: None,
            refused: None,
            outcome: Outcome::default(),
            bytes: 0,
            complete: false,
        }
    }

    /// The answer, which is closed out at the end of its body.
    pub(super) fn answered(mut self, mut response: Response, refusal: Option<Refusal>) -> Response {
        self.status = Some(response.status().as_u16());
        self.refused = refusal.map(|refusal| refusal.error);
        self.outcome = response.extensions_mut().remove::<Outcome>().unwrap_or_default();
        if response.body().is_end_stream() {
            self.complete = true;
            return response;
        }
        response.map(|body| Body::new(Closing { body, close: Some(self) }))
    }

    fn code(&self) -> Option<Code> {
        self.refused.as_ref().map(|error| error.code()).or_else(|| self.outcome.worst())
    }
}

impl Drop for CloseOut {
    fn drop(&mut self) {
        let ms = ms_between(self.began_us, self.shared.clock.now_us());
        let code = self.code();
        let told = match (code, self.status) {
            (Some(code), _) => code.as_str().to_owned(),
            (None, Some(status)) => status.to_string(),
            // The client left, or the node was stopped, before there was an answer.
            (None, None) => "CANCELLED".to_owned(),
        };
        self.shared.metrics.record_request(&self.route, &told, ms);
        let cause = self.refused.as_ref().and_then(|error| error.cause()).map(causes);
        let subject = self.visit.actor.as_ref().map_or("refused", |actor| actor.subject.as_str());
        let event_time = event_time(self.began_us);
        let (request_id, traceparent) = (self.visit.request_id.as_str(), self.visit.traceparent.as_deref());
        let (method, route, status) = (&self.method, self.route.as_str(), self.status);
        let (items, bytes, complete) = (self.outcome.items(), self.bytes, self.complete);
        let failed = status.unwrap_or_default().max(code.map_or(0, Code::http_status)) >= 500;
        // A node that is starting or stopping says so by 503, which is no failure.
        if failed && route != "/readyz" {
            tracing::error!(target: "wellspring::request", %event_time, ms, request_id, traceparent,
                %method, route, subject, status, code = told, items, bytes, complete, cause, "request");
        } else {
            tracing::info!(target: "wellspring::request", %event_time, ms, request_id, traceparent,
                %method, route, subject, status, code = told, items, bytes, complete, cause, "request");
        }
    }
}

/// A body that closes its request out with its last byte, or when it is given up.
struct Closing {
    body: Body,
    close: Option<CloseOut>,
}

impl Closing {
    fn ended(&mut self) {
        if let Some(mut close) = self.close.take() {
            close.complete = true;
        }
    }
}

impl hyper::body::Body for Closing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(close), Some(data)) = (&mut self.close, frame.data_ref()) {
                    close.bytes = close.bytes.saturating_add(data.len());
                }
                if self.body.is_end_stream() {
                    self.ended();
                }
            }
            Some(Err(_)) => drop(self.close.take()),
            None => self.ended(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Milliseconds between two readings of the clock.
pub(super) fn ms_between(from_us: i64, to_us: i64) -> f64 {
    let us = u64::try_from(to_us.saturating_sub(from_us)).unwrap_or(0);
    Duration::from_micros(us).as_secs_f64() * 1_000.0
}

/// A moment as the log shows it.
pub(super) fn event_time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map(|time| time.to_string()).unwrap_or_default()
}

/// An error with everything under it, for the log.
pub(super) fn causes(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}
