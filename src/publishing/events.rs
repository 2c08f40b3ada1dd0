//! Subscriptions to what happens to shapes: every published version, who or what made it and what it says more than
//! the one before, in the order of the commits; and to what needs a person. For whoever may `steward`, each event
//! within its collection's scope.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Publishing, advisor, manage, subscribe};
use crate::error::{Code, Error, Result};
use crate::policy::{Action, Scope};
use crate::query::{Collection, EventCursor, envelope, write};
use crate::record::Actor;
use crate::shape::diff;
use crate::store::events::{DenyingRule, Drifted, Event, IndexTold, KeyTold, Parked};
use crate::store::wake::Topic;

/// How long a lost wake-up can delay an event, and how long a database that is away is left alone.
const POLL: Duration = Duration::from_secs(1);
/// What is said once there is nothing more to tell of what has happened.
const CAUGHT_UP: &str = "CAUGHT_UP";

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// Only those of the collection of this name.
    pub collection: Option<String>,
    /// Only those of these kinds, as the API names them.
    pub kinds: Option<Vec<String>>,
    /// Only those behind this cursor; without, those that are still to come.
    pub after: Option<String>,
    /// Whether they are to tell what changed.
    pub changes: bool,
}

struct Listener {
    publishing: Publishing,
    actor: Arc<Actor>,
    asked: Events,
    /// The collection that was named.
    collection: Option<i64>,
    /// Everything up to here has been told or was not for this listener.
    position: i64,
    pending: VecDeque<Event>,
    /// It is still to be said that all has been told.
    caught_up: bool,
    heard: watch::Receiver<u64>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Publishing {
    /// Opens a subscription to events; each item is one as the GraphQL type `Event` has it. The last item of one that
    /// cannot go on is an error.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection that there is not; `BAD_REQUEST` and `CURSOR_TOO_OLD` for a cursor;
    /// `BACKPRESSURE` when this node has as many subscriptions as it may.
    pub async fn events(
        &self,
        actor: Arc<Actor>,
        asked: Events,
    ) -> Result<BoxStream<'static, Result<Value>>> {
        self.0.policy.allow(&actor, Action::Steward)?;
        let collection = match &asked.collection {
            Some(name) => Some(self.stewarded(&actor, name).await?.id),
            None => None,
        };
        let permit = subscribe::permit(self)?;
        let head = self.0.store.events_head().await?;
        let position = match &asked.after {
            None => head,
            Some(text) => EventCursor::decode(text, &self.0.signer)?.position,
        };
        if position > head {
            let text =
                "the cursor is of a history that this database does not have any more; start without it";
            return Err(Error::new(Code::CursorTooOld, text));
        }
        let listener = Listener {
            heard: self.0.store.wake.subscribe(Topic::Catalog),
            publishing: self.clone(),
            caught_up: asked.wants(CAUGHT_UP),
            actor,
            asked,
            collection,
            position,
            pending: VecDeque::new(),
            ended: false,
            _permit: permit,
        };
        let told = unfold(listener, |mut listener| async move { Some((listener.next().await?, listener)) });
        Ok(told.boxed())
    }
}

impl Events {
    fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|wanted| wanted == kind))
    }
}

impl Listener {
    async fn next(&mut self) -> Option<Result<Value>> {
        while !self.ended {
            match self.step().await {
                Ok(None) => {}
                Ok(Some(told)) => return Some(Ok(told)),
                // It goes on where it was when the database is back.
                Err(error) if matches!(error.code(), Code::Unavailable | Code::Timeout) => {
                    tracing::debug!(%error, "events cannot be read; trying again");
                    if let Err(error) = self.wait().await {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    async fn step(&mut self) -> Result<Option<Value>> {
        // Policies may have changed meanwhile.
        self.publishing.0.policy.allow(&self.actor, Action::Steward)?;
        if let Some(event) = self.pending.front() {
            let told = self.tell(event).await?;
            self.position = event.pos;
            self.pending.pop_front();
            return Ok(told);
        }
        // What comes from here on wakes it again.
        self.heard.mark_unchanged();
        let max = self.publishing.0.subscriptions.tail_batch_max.max(1);
        self.pending = self.publishing.0.store.events(self.position, max).await?.into();
        if !self.pending.is_empty() {
            return Ok(None);
        }
        if std::mem::take(&mut self.caught_up) {
            return Ok(Some(
                json!({ "cursor": self.cursor(self.position), "kind": CAUGHT_UP, "changes": [] }),
            ));
        }
        self.wait().await.map(|()| None)
    }

    async fn wait(&mut self) -> Result<()> {
        tokio::select! {
            heard = self.heard.changed() => {
                let stopping = "the node is stopping; resume elsewhere";
                heard.map_err(|_| Error::new(Code::Unavailable, stopping))
            }
            () = tokio::time::sleep(POLL) => Ok(()),
        }
    }

    /// The event as this listener may see it, if it may.
    async fn tell(&self, event: &Event) -> Result<Option<Value>> {
        if !self.asked.wants(event.kind.as_str()) {
            return Ok(None);
        }
        if let Some(parked) = &event.parked {
            return self.tell_parked(event, parked).await;
        }
        if self.collection.is_some_and(|wanted| wanted != event.collection_id) {
            return Ok(None);
        }
        if let Some(key) = &event.api_key {
            return Ok(self.tell_key(event, key));
        }
        let store = &self.publishing.0.store;
        // Its scope is that of the newest shape, which knows the fields that the event tells of.
        let mut catalog = store.catalog.load();
        let known = catalog.by_id(event.collection_id).map(|known| i64::from(known.shape.version));
        if known.is_none_or(|version| version < event.version) {
            catalog = store.catalog.refresh().await?;
        }
        let Some(collection) = catalog.by_id(event.collection_id) else { return Ok(None) };
        let scope = self.publishing.0.policy.scope(&self.actor, &catalog.collections, collection)?;
        if let Some(rule) = &event.rule {
            return Ok(self.tell_rule(event, rule, collection, scope.as_deref()));
        }
        if let Some(drifted) = &event.drifted {
            return Ok(self.tell_drifted(event, drifted, collection, scope.as_deref()));
        }
        if let Some(index) = &event.index {
            return Ok(self.tell_index(event, index, collection, scope.as_deref()));
        }
        let Some(scope) = scope else { return Ok(None) };
        let changes = match self.asked.changes {
            true => self.changes(event, &scope).await?,
            false => Vec::new(),
        };
        Ok(Some(json!({
            "cursor": self.cursor(event.pos),
            "at": write::instant(event.at),
            "kind": event.kind.as_str(),
            "collection": collection.field_name,
            "version": event.version,
            "cause": event.cause,
            "subject": event.subject,
            "changes": changes,
        })))
    }

    /// Whether it is told of a collection beyond its own versions, to whoever may administer and to its stewards, and
    /// whether with what names fields: that has only who sees all of them.
    fn is_told(&self, collection: &Collection, scope: Option<&Scope>) -> (bool, bool) {
        let administers = self.publishing.0.policy.allow(&self.actor, Action::Administer).is_ok();
        let sees = |scope: &Scope| collection.shape.fields().all(|field| scope.comparable(field.id));
        (administers || scope.is_some(), administers || scope.is_some_and(sees))
    }

    /// How a collection has gone from a contract.
    fn tell_drifted(
        &self,
        event: &Event,
        drifted: &Drifted,
        collection: &Collection,
        scope: Option<&Scope>,
    ) -> Option<Value> {
        let Drifted { contract, path, text, broken } = drifted;
        let (told, fields) = self.is_told(collection, scope);
        let name = &collection.field_name;
        let drift = || json!({ "collection": name, "path": path, "text": text, "broken": broken });
        told.then(|| {
            json!({
                "cursor": self.cursor(event.pos),
                "at": write::instant(event.at),
                "kind": event.kind.as_str(),
                "collection": name,
                "version": event.version,
                "contract": contract,
                "drift": fields.then(drift),
                "changes": [],
            })
        })
    }

    /// An index that was made, or is gone.
    fn tell_index(
        &self,
        event: &Event,
        index: &IndexTold,
        collection: &Collection,
        scope: Option<&Scope>,
    ) -> Option<Value> {
        let (told, fields) = self.is_told(collection, scope);
        let fields = fields.then(|| advisor::paths(collection, &index.fields));
        told.then(|| {
            json!({
                "cursor": self.cursor(event.pos),
                "at": write::instant(event.at),
                "kind": event.kind.as_str(),
                "collection": collection.field_name,
                "subject": event.subject,
                "index": { "id": index.id.to_string(), "fields": fields, "reason": index.reason },
                "changes": [],
            })
        })
    }

    /// A rule that denies; to stewards too, as it may be what took the rows from them. Its reason names fields, also by
    /// likeness.
    fn tell_rule(
        &self,
        event: &Event,
        rule: &DenyingRule,
        collection: &Collection,
        scope: Option<&Scope>,
    ) -> Option<Value> {
        let (told, fields) = self.is_told(collection, scope);
        let reason = fields.then_some(&rule.reason);
        told.then(|| {
            json!({
                "cursor": self.cursor(event.pos),
                "at": write::instant(event.at),
                "kind": event.kind.as_str(),
                "collection": collection.field_name,
                "version": event.version,
                "rule": { "file": rule.file, "line": rule.line, "reason": reason },
                "changes": [],
            })
        })
    }

    /// What waits for a person, as `deadLetters` would tell it; the source as far as rows would.
    async fn tell_parked(&self, event: &Event, parked: &Parked) -> Result<Option<Value>> {
        let Parked { plugin, category, subcategory, source_name, code, count } = parked;
        let mut catalog = self.publishing.0.store.catalog.load();
        if catalog.fed_by(category, subcategory).is_none() {
            // It may have been made by the same transaction, and then its scope says who is told.
            catalog = self.publishing.0.store.catalog.refresh().await?;
        }
        let collection = catalog.fed_by(category, subcategory);
        if self.collection.is_some_and(|wanted| collection.is_none_or(|one| one.id != wanted)) {
            return Ok(None);
        }
        let policy = &self.publishing.0.policy;
        let scope =
            collection.map(|one| policy.scope(&self.actor, &catalog.collections, one)).transpose()?.flatten();
        let administers = policy.allow(&self.actor, Action::Administer).is_ok();
        if collection.is_some() && scope.is_none() && !administers {
            return Ok(None);
        }
        let source = envelope("sourceName").map(|member| member.id);
        let shown = |scope: &Scope| scope.is_whole() && source.is_some_and(|id| scope.comparable(id));
        let source_name = (administers || scope.as_deref().is_some_and(shown)).then_some(source_name);
        Ok(Some(json!({
            "cursor": self.cursor(event.pos),
            "at": write::instant(event.at),
            "kind": event.kind.as_str(),
            "collection": collection.map(|one| &one.field_name),
            "parked": {
                "plugin": plugin,
                "category": category,
                "subcategory": subcategory,
                "sourceName": source_name,
                "code": code,
                "count": count,
            },
            "changes": [],
        })))
    }

    /// An API key, to whoever may administer.
    fn tell_key(&self, event: &Event, key: &KeyTold) -> Option<Value> {
        self.publishing.0.policy.allow(&self.actor, Action::Administer).ok()?;
        Some(json!({
            "cursor": self.cursor(event.pos),
            "at": write::instant(event.at),
            "kind": event.kind.as_str(),
            "subject": event.subject,
            "apiKey": { "id": key.id, "name": key.name, "subject": key.subject },
            "changes": [],
        }))
    }

    async fn changes(&self, event: &Event, scope: &Scope) -> Result<Vec<Value>> {
        let store = &self.publishing.0.store;
        let (previous, next) = store.version_pair(event.collection_id, event.version).await?;
        let mut changes = diff(&previous, &next);
        changes.retain(|change| manage::shown(change, scope));
        Ok(changes.iter().map(manage::change).collect())
    }

    fn cursor(&self, position: i64) -> String {
        EventCursor { position }.encode(&self.publishing.0.signer)
    }
}
