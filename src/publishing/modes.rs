//! The modes of collections and what waits for a steward. What is held back is told to stewards only, and of it what
//! it is, never its values.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::decide::unknown_path;
use super::{Publishing, short};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::policy::{Access, Action, Scope};
use crate::query::{Collection, write};
use crate::record::Actor;
use crate::shape::{Field, Published, Shape, Sighting, Unacceptable, type_of};
use crate::store::rows::Decision;

impl Publishing {
    /// Sets the mode of a path, or takes it back: the GraphQL type `SetModePayload`. What was held back and is not any
    /// more is published at once.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection or a path that there is not; `BAD_REQUEST` when nothing is published
    /// yet that a shape could be frozen to, or too many paths have modes.
    pub async fn set_mode(
        &self,
        actor: &Actor,
        collection: &str,
        path: &str,
        mode: Option<Mode>,
    ) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        let limits = &self.0.shape;
        let change = |shape: &mut Published, seen: &Shape| {
            let known = path.is_empty() || shape.at_path(path).is_some() || shape.modes.contains_key(path);
            if !known && seen.uncovered(shape, limits).at_path(path).is_none() {
                return Err(unknown_path(path));
            }
            if matches!(mode, Some(Mode::Rescue | Mode::Reject)) && shape.fields.is_empty() {
                let text = "nothing is published yet, so that nothing would ever fit; `acceptFields` first";
                return Err(Error::bad_request(text));
            }
            let before = shape.mode(path);
            match mode {
                Some(mode) => shape.modes.insert(path.to_owned(), mode),
                None => shape.modes.remove(path),
            };
            if shape.modes.len() > limits.modes_max {
                let bound = limits.modes_max;
                let text = format!("a collection has at most {bound} paths with modes: `shape.modes_max`");
                return Err(Error::bad_request(text));
            }
            shape.rule(&collection.field_name, limits);
            let after = shape.mode(path);
            shape.catch_up(seen, limits);
            let told = |mode: Mode| json!({ "mode": mode.name() });
            Ok(Decision { paths: vec![path.to_owned()], before: told(before), after: told(after) })
        };
        let what = ("MODE", "mode set by a steward");
        let decided = self.0.store.decide_by_seen(&collection, &actor.subject, what, None, change).await?;
        let (collection, decision) = decided;
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "changed": decision.is_some(),
            "mode": collection.shape.mode(path).name(),
        }))
    }

    /// Publishes what is held back at these paths: the GraphQL type `AcceptFieldsPayload`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection, or a path at which nothing is held back; `BAD_REQUEST` without
    /// paths, below what is rejected, or when there is no room.
    pub async fn accept_fields(
        &self,
        actor: &Actor,
        collection: &str,
        paths: &BTreeSet<String>,
    ) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        named(paths)?;
        let change = |shape: &mut Published, seen: &Shape| {
            let paths = shape.accept(seen, paths, &self.0.shape).map_err(|why| refused(&why))?;
            Ok(Decision { paths, before: json!({ "published": false }), after: json!({ "published": true }) })
        };
        let what = ("ACCEPTED", "accepted by a steward");
        self.decided(actor, &collection, what, change).await
    }

    /// Has what is held back at these paths not asked about again: the GraphQL type `RejectFieldsPayload`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection, or a path at which nothing is held back; `BAD_REQUEST` without paths
    /// or when too many are rejected.
    pub async fn reject_fields(
        &self,
        actor: &Actor,
        collection: &str,
        paths: &BTreeSet<String>,
    ) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        named(paths)?;
        let bound = self.0.shape.modes_max;
        let change = |shape: &mut Published, seen: &Shape| {
            let paths = shape.decline(seen, paths, &self.0.shape).map_err(|why| refused(&why))?;
            if shape.declined.len() > bound {
                let text = format!(
                    "a collection has at most {bound} rejected paths: `shape.modes_max`; reject what they are in"
                );
                return Err(Error::bad_request(text));
            }
            Ok(Decision { paths, before: json!({ "rejected": false }), after: json!({ "rejected": true }) })
        };
        let what = ("REJECTED", "rejected by a steward");
        self.decided(actor, &collection, what, change).await
    }

    async fn decided(
        &self,
        actor: &Actor,
        collection: &Collection,
        what: (&str, &str),
        change: impl FnOnce(&mut Published, &Shape) -> Result<Decision>,
    ) -> Result<Value> {
        let decided = self.0.store.decide_by_seen(collection, &actor.subject, what, None, change).await?;
        let (collection, decision) = decided;
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "paths": decision.map(|decision| decision.paths).unwrap_or_default(),
        }))
    }

    /// The modes of a collection, as the GraphQL type `CollectionMode` has them: to stewards, and to whom the path is
    /// shown.
    pub(super) fn modes(&self, actor: &Actor, collection: &Collection, scope: &Scope) -> Value {
        let shape = &collection.shape;
        let all = self.0.policy.allow(actor, Action::Steward).is_ok();
        let shown = |path: &str| {
            let field = shape.at_path(path);
            all || path.is_empty() || field.is_some_and(|field| scope.access(field.id) != &Access::Hidden)
        };
        let modes = shape.modes.iter().filter(|(path, _)| shown(path));
        modes.map(|(path, mode)| json!({ "path": path, "mode": mode.name() })).collect()
    }

    /// What waits for a steward, as the GraphQL type `PendingField` has it; null for whom may not `steward`.
    pub(super) async fn pending(
        &self,
        actor: &Actor,
        (collection, scope): (&Collection, &Scope),
    ) -> Result<Value> {
        if self.0.policy.allow(actor, Action::Steward).is_err() {
            return Ok(Value::Null);
        }
        let published = &collection.shape;
        if !published.modes.values().any(|mode| *mode == Mode::Review) {
            return Ok(json!([]));
        }
        let uncovered = self.0.store.seen(collection).await?.uncovered(published, &self.0.shape);
        let mut waiting = published.held(&uncovered);
        let shown = |path: &str| {
            published.nearest(path).is_none_or(|field| scope.access(field.id) != &Access::Hidden)
        };
        waiting.retain(|path| published.is_pending(path) && shown(path));
        let imagined = Collection { shape: uncovered.into(), ..collection.clone() };
        let sightings = self.0.store.sightings(&imagined, self.0.shape.structures_max).await?;
        let seen = sightings.of(&imagined.shape);
        let fields = imagined.shape.fields().filter(|field| waiting.contains(&field.path));
        Ok(fields.map(|field| pending(published, field, seen.get(&field.id))).collect())
    }
}

fn pending(published: &Published, field: &Field, seen: Option<&Sighting>) -> Value {
    json!({
        "path": field.path,
        "type": type_of(&field.kind),
        "from": published.at_path(&field.path).map(|known| type_of(&known.kind)),
        "tags": field.tags,
        "count": seen.map(|seen| seen.count),
        "firstSeen": seen.and_then(|seen| write::instant(seen.first_at)),
        "lastSeen": seen.and_then(|seen| write::instant(seen.last_at)),
    })
}

fn named(paths: &BTreeSet<String>) -> Result<()> {
    match paths.is_empty() {
        true => Err(Error::bad_request(
            "`paths` is empty; `collection { pending { path } }` lists what waits, and an empty path is all of it",
        )),
        false => Ok(()),
    }
}

fn refused(why: &Unacceptable) -> Error {
    match why {
        Unacceptable::Unknown(path) => Error::not_found(format!(
            "nothing is held back at `{}`; `collection {{ pending {{ path }} }}` lists what waits",
            short(path)
        )),
        Unacceptable::Declined(path, above) => Error::bad_request(format!(
            "`{}` is within `{}`, which was rejected; accept that",
            short(path),
            short(above)
        )),
        Unacceptable::NoRoom => Error::bad_request(
            "there is no room for it among the collection's columns or locations: `shape.columns_max`, \
             `shape.locations_max`",
        ),
    }
}
