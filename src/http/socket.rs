//! `graphql-transport-ws` to the letter: one loop per socket over what the client sends, what its operations
//! yield and what time demands. A client that reads slowly holds its own operations back, nobody else's.

use std::{borrow::Cow, collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use async_graphql_axum::GraphQLProtocol;
use axum::{
    extract::{
        self, FromRequestParts,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse, Response},
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream::{self, AbortHandle, BoxStream, SelectAll},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior, Sleep},
};

use super::{
    Shared, answer, answer::Refusal, auth::Auth, close, close::Outcome, contract, door, graphql::context,
    payload,
};
use crate::contract::{Format, Transport};
use crate::error::{Code, Error};
use crate::graphql::{self, Asked, Context};
use crate::record::Actor;
use crate::telemetry::Open;

const PROTOCOL: &str = "graphql-transport-ws";
/// What a close frame's reason may have, in bytes.
const REASON_BYTES_MAX: usize = 123;
/// How long a client is waited for when it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// Answers an upgrade.
pub(super) async fn upgrade(shared: Shared, visit: door::Visit, request: extract::Request) -> Response {
    let (mut parts, _) = request.into_parts();
    if GraphQLProtocol::from_request_parts(&mut parts, &shared).await.is_err() {
        let text = format!("ask for the subprotocol `{PROTOCOL}` in `Sec-WebSocket-Protocol`");
        return Refusal::new(Error::bad_request(text)).into_response();
    }
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &shared).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Refusal::new(Error::bad_request(rejection.body_text())).into_response(),
    };
    let bytes_max = shared.config.subscriptions.message_bytes_max;
    let token = shared.connections.token();
    upgrade
        .read_buffer_size(4_096)
        .write_buffer_size(0)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .protocols([PROTOCOL])
        .on_upgrade(move |socket| async move {
            Session::new(shared, visit).run(socket).await;
            drop(token);
        })
}

/// A message from the client.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Init {
    #[serde(alias = "Authorization")]
    authorization: Option<String>,
    #[serde(rename = "x-api-key", alias = "X-API-Key")]
    api_key: Option<String>,
    contract: Option<String>,
}

/// What an operation yields.
enum Yield {
    Next(graphql::Response),
    /// A list of errors.
    Error(Code, Vec<u8>),
    Complete,
}

/// Why a socket is closed by this side.
struct Close(u16, String);

impl Close {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Close(code, reason.into())
    }
}

/// How a step of the loop went: on, or to the end, with or without a word.
type Step = Result<(), Option<Close>>;

struct Operation {
    abort: AbortHandle,
    request_id: String,
    began_us: i64,
    outcome: Outcome,
    _open: Open,
    _permit: OwnedSemaphorePermit,
}

struct Session {
    shared: Shared,
    visit: door::Visit,
    /// Who asks, once the connection is acknowledged.
    actor: Option<Arc<Actor>>,
    /// Under which contract, as it says.
    contract: Option<String>,
    running: SelectAll<BoxStream<'static, (String, Yield)>>,
    operations: HashMap<String, Operation>,
    keepalive: Interval,
    /// Keepalives sent since the client was last heard.
    unanswered: u32,
    init: Pin<Box<Sleep>>,
    expiry: BoxFuture<'static, ()>,
    _open: Open,
}

impl Session {
    fn new(shared: Shared, visit: door::Visit) -> Self {
        let subscriptions = &shared.config.subscriptions;
        let mut keepalive = tokio::time::interval(Duration::from_millis(subscriptions.keepalive_ms));
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        keepalive.reset();
        Session {
            actor: None,
            contract: None,
            running: SelectAll::new(),
            operations: HashMap::new(),
            keepalive,
            unanswered: 0,
            init: Box::pin(tokio::time::sleep(Duration::from_millis(subscriptions.init_timeout_ms))),
            expiry: future::pending().boxed(),
            _open: shared.metrics.socket_open(),
            shared,
            visit,
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        let began_us = self.shared.clock.now_us();
        let close = self.serve(&mut socket).await;
        for (id, operation) in std::mem::take(&mut self.operations) {
            self.log_operation(&id, &operation);
        }
        let code = close.as_ref().map(|close| close.0);
        if let Some(Close(code, reason)) = close {
            farewell(&mut socket, code, &reason).await;
        }
        let ms = close::ms_between(began_us, self.shared.clock.now_us());
        let subject = self.actor.as_ref().map_or("none", |actor| actor.subject.as_str());
        tracing::info!(target: "wellspring::socket", event_time = close::event_time(began_us), ms,
            request_id = self.visit.request_id, subject, close = code, "socket");
    }

    /// The loop; gives what to say when it was this side that ended it.
    async fn serve(&mut self, socket: &mut WebSocket) -> Option<Close> {
        if let Err(error) = &self.visit.actor {
            return Some(unwelcome(error));
        }
        if socket.protocol().is_none() {
            return Some(Close::new(4406, format!("only `{PROTOCOL}` is spoken here")));
        }
        let stopping = self.shared.stopping.clone();
        loop {
            let step = tokio::select! {
                () = stopping.cancelled() => Err(Some(Close::new(1001, "the node stops; connect again"))),
                () = &mut self.init, if self.actor.is_none() => {
                    Err(Some(Close::new(4408, "Connection initialisation timeout")))
                }
                () = &mut self.expiry => Err(Some(Close::new(4403, self.over()))),
                _ = self.keepalive.tick() => self.keep_alive(socket).await,
                message = socket.recv() => self.receive(socket, message).await,
                Some((id, item)) = self.running.next(), if !self.running.is_empty() => {
                    self.deliver(socket, id, item).await
                }
            };
            if let Err(close) = step {
                return close;
            }
        }
    }

    async fn keep_alive(&mut self, socket: &mut WebSocket) -> Step {
        if self.unanswered >= 3 {
            return Err(None);
        }
        self.unanswered += 1;
        self.send(socket, Message::Ping(bytes::Bytes::new())).await
    }

    /// Sends; a client that takes nothing for longer than a request may last is given up.
    async fn send(&mut self, socket: &mut WebSocket, message: Message) -> Step {
        let limit = Duration::from_millis(self.shared.config.server.request_timeout_ms);
        match tokio::time::timeout(limit, socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(None),
        }
    }

    async fn send_text(&mut self, socket: &mut WebSocket, text: Vec<u8>) -> Step {
        let text = Utf8Bytes::try_from(bytes::Bytes::from(text)).map_err(|_| None)?;
        self.send(socket, Message::Text(text)).await
    }

    async fn receive(
        &mut self,
        socket: &mut WebSocket,
        message: Option<Result<Message, axum::Error>>,
    ) -> Step {
        self.unanswered = 0;
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(Some(Close::new(4400, "send text, not binary"))),
            Some(Err(error)) if close::causes(&error).contains("too long") => {
                return Err(Some(Close::new(
                    1009,
                    "the message is larger than `subscriptions.message_bytes_max`",
                )));
            }
            Some(Ok(Message::Close(_))) => {
                // The answer to it is sent by reading on; without it the client would take this for a cut.
                drain(socket).await;
                return Err(None);
            }
            None | Some(Err(_)) => return Err(None),
        };
        let incoming: Incoming<'_> = object(text.as_str())?;
        match incoming.kind.as_ref() {
            "connection_init" => self.initialise(socket, incoming.payload).await,
            "ping" => self.send_text(socket, pong(incoming.payload)).await,
            "pong" => Ok(()),
            "subscribe" => self.subscribe(socket, incoming.id, incoming.payload).await,
            "complete" => {
                let id = self.identified(incoming.id)?;
                if let Some(operation) = self.operations.get(&id) {
                    operation.abort.abort();
                    self.finished(&id);
                }
                Ok(())
            }
            other => Err(Some(Close::new(4400, format!("invalid message type `{other}`")))),
        }
    }

    async fn initialise(&mut self, socket: &mut WebSocket, payload: Option<&RawValue>) -> Step {
        if self.actor.is_some() {
            return Err(Some(Close::new(4429, "Too many initialisation requests")));
        }
        let payload = payload.map(RawValue::get).filter(|payload| *payload != "null");
        let init: Init = payload.map(object).transpose()?.unwrap_or_default();
        let actor = match (init.authorization, init.api_key) {
            (Some(_), Some(_)) => {
                return Err(Some(Close::new(4403, "send `authorization` or `x-api-key`, one of them")));
            }
            (Some(authorization), None) => door::bearer(&self.shared, &authorization).await,
            (None, Some(key)) => door::key(&self.shared, &key).await,
            (None, None) => Ok(self.visit.actor().unwrap_or_else(|_| Arc::new(Actor::anonymous()))),
        };
        let actor = actor.map_err(|error| Some(unwelcome(&error)))?;
        let forbidden = |error: Error| Some(Close::new(4403, error.message()));
        let named = self.visit.contract().map_err(forbidden)?.map(str::to_owned);
        self.contract = init.contract.filter(|contract| !contract.is_empty()).or(named);
        self.bound(actor.clone()).map_err(forbidden)?;
        self.expiry = self.shared.auth.ended(&actor);
        self.actor = Some(actor);
        self.send_text(socket, br#"{"type":"connection_ack"}"#.to_vec()).await
    }

    async fn subscribe(
        &mut self,
        socket: &mut WebSocket,
        id: Option<Cow<'_, str>>,
        payload: Option<&RawValue>,
    ) -> Step {
        let Some(actor) = self.actor.clone() else {
            return Err(Some(Close::new(4401, "Unauthorized")));
        };
        let id = self.identified(id)?;
        let payload = payload.map_or("null", RawValue::get).as_bytes();
        let request = match payload::from_json(payload, &self.shared.config) {
            // What is not of the protocol's form ends the socket; a request that is too much fails alone.
            Err(error) if error.code() == Code::BadRequest => {
                return Err(Some(Close::new(4400, format!("invalid message: {}", error.message()))));
            }
            request => request,
        };
        if self.operations.contains_key(&id) {
            return Err(Some(Close::new(4409, "an operation with this id is running already")));
        }
        let began_us = self.shared.clock.now_us();
        let request_id = door::new_id(began_us);
        let admitted = request.and_then(|request| Ok((request, self.permit()?, self.bound(actor)?)));
        let (request, permit, actor) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                let errors = answer::graphql_errors(&error, &request_id);
                return self.send_text(socket, with_payload("error", &id, &errors)).await;
            }
        };
        let mut context = context(&self.visit, actor, true);
        context.request_id.clone_from(&request_id);
        context.transport = Transport::Websocket;
        let (items, abort) = stream::abortable(opened(self.shared.clone(), context, request));
        let (open, outcome) = (self.shared.metrics.subscription_open(), Outcome::default());
        let operation = Operation { abort, request_id, began_us, outcome, _open: open, _permit: permit };
        self.operations.insert(id.clone(), operation);
        self.running.push(items.map(move |item| (id.clone(), item)).boxed());
        Ok(())
    }

    fn over(&self) -> &'static str {
        self.actor.as_ref().map_or("the token has expired", |actor| Auth::over(actor))
    }

    /// The actor under its contract as that is now.
    fn bound(&self, actor: Arc<Actor>) -> Result<Arc<Actor>, Error> {
        contract::bind(&self.shared, actor, self.contract.as_deref(), Transport::Websocket, Format::Json)
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        if self.operations.len() >= self.shared.config.subscriptions.per_socket_max {
            let text = "this socket runs as many operations as it may; complete one or open another socket";
            return Err(Error::new(Code::RateLimited, text));
        }
        let text = "this node has as many subscriptions as it may; try again later";
        let permit = self.shared.0.subscriptions.clone().try_acquire_owned();
        permit.map_err(|_| Error::new(Code::Backpressure, text))
    }

    async fn deliver(&mut self, socket: &mut WebSocket, id: String, item: Yield) -> Step {
        let Some(operation) = self.operations.get(&id) else { return Ok(()) };
        match item {
            Yield::Next(response) => {
                operation.outcome.fault(response.fault);
                operation.outcome.sent(1);
                self.shared.metrics.record_event();
                self.send_text(socket, with_payload("next", &id, &response.body)).await
            }
            Yield::Error(code, errors) => {
                operation.outcome.fault(Some(code));
                self.finished(&id);
                self.send_text(socket, with_payload("error", &id, &errors)).await
            }
            Yield::Complete => {
                self.finished(&id);
                let id = serde_json::Value::from(id);
                self.send_text(socket, format!(r#"{{"id":{id},"type":"complete"}}"#).into_bytes()).await
            }
        }
    }

    fn finished(&mut self, id: &str) {
        if let Some(operation) = self.operations.remove(id) {
            self.log_operation(id, &operation);
        }
    }

    fn log_operation(&self, id: &str, operation: &Operation) {
        let ms = close::ms_between(operation.began_us, self.shared.clock.now_us());
        let event_time = close::event_time(operation.began_us);
        let subject = self.actor.as_ref().map_or("none", |actor| actor.subject.as_str());
        let (socket, request_id) = (self.visit.request_id.as_str(), operation.request_id.as_str());
        let (route, fault) = ("/graphql socket", operation.outcome.worst());
        let (code, items) = (fault.map_or("200", Code::as_str), operation.outcome.items());
        self.shared.metrics.record_request(route, code, ms);
        if fault.is_some_and(|fault| fault.http_status() >= 500) {
            tracing::error!(target: "wellspring::request", event_time, ms, request_id, socket,
                operation = id, route, subject, code, items, "request");
        } else {
            tracing::info!(target: "wellspring::request", event_time, ms, request_id, socket,
                operation = id, route, subject, code, items, "request");
        }
    }

    fn identified(&self, id: Option<Cow<'_, str>>) -> Result<String, Option<Close>> {
        let bytes_max = self.shared.config.subscriptions.id_bytes_max;
        match id {
            Some(id) if (1..=bytes_max).contains(&id.len()) => Ok(id.into_owned()),
            _ => {
                let text = format!("invalid message: `id` must be a text of 1 to {bytes_max} bytes");
                Err(Some(Close::new(4400, text)))
            }
        }
    }
}

/// Why somebody is turned away: one who is not known comes in vain, others may try again.
fn unwelcome(error: &Error) -> Close {
    let code = if error.code() == Code::Unavailable { 1013 } else { 4403 };
    Close::new(code, error.message())
}

/// What an operation yields, its opening counted and limited like any request. Nothing happens before it is polled.
fn opened(shared: Shared, context: Context, request: Asked) -> impl Stream<Item = Yield> + Send {
    let opening = async move {
        let request_id = context.request_id.clone();
        let working = door::working(&shared);
        let opened = match working {
            Ok(_working) => {
                let opening = Box::pin(shared.engine.subscribe(context, request));
                door::in_time(&shared, false, opening).await
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok(Ok(items)) => items.map(Yield::Next).chain(one(Yield::Complete)).boxed(),
            Ok(Err(refused)) => {
                let code = refused.fault.unwrap_or(Code::Internal);
                one(Yield::Error(code, errors_of(&refused.body).into_bytes())).boxed()
            }
            Err(error) => {
                one(Yield::Error(error.code(), answer::graphql_errors(&error, &request_id))).boxed()
            }
        }
    };
    stream::once(opening).flatten()
}

/// A JSON object of the protocol. Its form is asked for first: a list of the right values would be read as one.
fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Option<Close>> {
    let wrong = |why: String| Some(Close::new(4400, format!("invalid message: {why}")));
    if !text.trim_start().starts_with('{') {
        return Err(wrong("it must be an object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| wrong(error.to_string()))
}

fn one(item: Yield) -> impl futures_util::Stream<Item = Yield> {
    stream::once(std::future::ready(item))
}

fn pong(payload: Option<&RawValue>) -> Vec<u8> {
    match payload {
        Some(payload) => format!(r#"{{"type":"pong","payload":{}}}"#, payload.get()).into_bytes(),
        None => br#"{"type":"pong"}"#.to_vec(),
    }
}

/// A message around a payload that is JSON already.
fn with_payload(kind: &str, id: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"id":{},"type":"{kind}","payload":"#, serde_json::Value::from(id));
    let mut out = Vec::with_capacity(head.len() + payload.len() + 1);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
    out.push(b'}');
    out
}

/// The list of errors in a response body.
fn errors_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        errors: &'a RawValue,
    }
    let body: Result<Body<'_>, _> = serde_json::from_slice(body);
    body.map_or_else(|_| "[]".to_owned(), |body| body.errors.get().to_owned())
}

/// Says why, then reads until the client has closed too, so that the reason is not lost to a reset.
async fn farewell(socket: &mut WebSocket, code: u16, reason: &str) {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = Utf8Bytes::from(reason.get(..end).unwrap_or_default());
    let goodbye = async {
        if socket.send(Message::Close(Some(CloseFrame { code, reason }))).await.is_ok() {
            drain(socket).await;
        }
    };
    // It is over either way; a client that does not answer is not waited for.
    let _ = tokio::time::timeout(FAREWELL, goodbye).await;
}

/// Reads until the other side has closed too.
async fn drain(socket: &mut WebSocket) {
    let _ = tokio::time::timeout(FAREWELL, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
}
