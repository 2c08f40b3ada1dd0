//! GraphQL results as server-sent events, one connection per operation: `next` for each result, then
//! `complete`.

use std::{pin::Pin, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{Shared, accept::Media, answer::Refusal, close::Outcome};
use crate::error::{Code, Error};
use crate::graphql::{self, Asked, Context};
use crate::telemetry::{Metrics, Open};

/// Runs the operation and streams its results.
pub(super) async fn answer(shared: &Shared, context: Context, asked: Asked) -> Response {
    let Ok(permit) = shared.0.subscriptions.clone().try_acquire_owned() else {
        let text =
            "this node has as many subscriptions as it may; try again or raise `subscriptions.open_max`";
        return Refusal::new(Error::new(Code::Backpressure, text)).into_response();
    };
    let expiry = shared.auth.ended(&context.actor);
    let results = match shared.engine.subscribe(context, asked).await {
        Ok(results) => results,
        Err(refused) => stream::once(std::future::ready(refused)).boxed(),
    };
    let outcome = Outcome::default();
    let mut keepalive =
        tokio::time::interval(Duration::from_millis(shared.config.subscriptions.keepalive_ms));
    keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keepalive.reset();
    let events = Events {
        results,
        keepalive,
        expiry,
        stopping: Box::pin(shared.stopping.clone().cancelled_owned()),
        metrics: shared.metrics.clone(),
        outcome: outcome.clone(),
        done: false,
        _open: shared.metrics.subscription_open(),
        _permit: permit,
    };
    let body = Body::from_stream(stream::unfold(events, |mut events| async move {
        let bytes = events.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), events))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, Media::EventStream.content_type());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(outcome);
    response
}

struct Events {
    results: BoxStream<'static, graphql::Response>,
    keepalive: Interval,
    expiry: BoxFuture<'static, ()>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    metrics: Metrics,
    outcome: Outcome,
    done: bool,
    _open: Open,
    _permit: OwnedSemaphorePermit,
}

impl Events {
    /// The next piece of the stream. When the token or key ends or the node stops, the stream just ends: without
    /// `complete` the client knows that it should come again.
    async fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        tokio::select! {
            biased;
            () = &mut self.stopping => None,
            () = &mut self.expiry => None,
            result = self.results.next() => {
                match result {
                    Some(result) => {
                        self.metrics.record_event();
                        self.outcome.fault(result.fault);
                        self.outcome.sent(1);
                        Some(event("next", result.body))
                    }
                    None => {
                        self.done = true;
                        Some(event("complete", Vec::new()))
                    }
                }
            }
            _ = self.keepalive.tick() => Some(Bytes::from_static(b":\n\n")),
        }
    }
}

/// One event. A line break between JSON tokens would end the data, a space means the same.
fn event(name: &str, mut data: Vec<u8>) -> Bytes {
    for byte in &mut data {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    let mut out = Vec::with_capacity(data.len() + name.len() + 18);
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.append(&mut data);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let bytes = event("next", b"{\"a\":\r\n1}".to_vec());
        assert_eq!(&bytes[..], b"event: next\ndata: {\"a\":  1}\n\n");
    }
}
