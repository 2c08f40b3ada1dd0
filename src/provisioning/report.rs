//! What provisioning tells people: dead letters, plugins, lag; and redriving. As the GraphQL types have it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{MATERIALIZE, Parts, Provisioning};
use crate::error::{Code, Error, Result};
use crate::policy::Action;
use crate::record::{Actor, Key};
use crate::store::ledger::{Registered, Which};

impl Provisioning {
    /// Parked records as the GraphQL type `DeadLetter` has them, newest first; stewards and admins. Each stands for
    /// its key, shown as its collection's rows show it: what queues behind it is counted in `followers`.
    pub async fn dead_letters(&self, actor: &Actor, first: usize, which: &Which) -> Result<Value> {
        self.inner.parts.policy.allow(actor, Action::Steward)?;
        let waiting = self.inner.parts.store.letters(first, which).await?;
        let catalog = self.inner.parts.store.catalog.load();
        let letters = waiting.into_iter().map(|waiting| {
            let letter = waiting.letter;
            let [category, subcategory, ..] = Key::from_stored(letter.key.clone()).parts();
            let collection = catalog.fed_by(&category, &subcategory).map(Arc::as_ref);
            let Parts { policy, store, .. } = &self.inner.parts;
            Ok(json!({
                "id": letter.id.to_string(),
                "plugin": waiting.plugin,
                "key": policy.shown_key(actor, (&catalog.collections, collection), &letter.key, store.signer())?,
                "revision": letter.rev,
                "recordId": letter.record_id,
                "hook": letter.hook,
                "code": letter.code,
                "reason": letter.reason,
                "attempts": letter.attempts,
                "state": letter.state.to_uppercase(),
                "at": time(letter.at),
                "followers": waiting.followers,
                "history": history(&letter.history),
            }))
        });
        letters.collect::<Result<_>>().map(Value::Array)
    }

    /// Puts a dead letter's key back to work, in order; returns how many records were put back, none when they are at
    /// work already.
    pub async fn redrive(&self, actor: &Actor, id: i64) -> Result<i64> {
        let parts = &self.inner.parts;
        parts.policy.allow(actor, Action::Steward)?;
        parts.store.redrive(id, &actor.subject, parts.clock.now_us()).await
    }

    /// Plugins as the GraphQL type `Plugin` has them.
    pub async fn plugins(&self, actor: &Actor) -> Result<Value> {
        let parts = &self.inner.parts;
        parts.policy.allow(actor, Action::Steward)?;
        self.inner.ready().await?;
        let rows = parts.store.registered().await?;
        Ok(rows.iter().map(|row| self.plugin(row)).collect())
    }

    /// Has a plugin of this node begin again with what is taken in from now on.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of this name, `CONFLICT` when this node does not have it.
    pub async fn enable_plugin(&self, actor: &Actor, name: &str) -> Result<Value> {
        let parts = &self.inner.parts;
        parts.policy.allow(actor, Action::Administer)?;
        self.inner.ready().await?;
        let there = parts.store.registered().await?.iter().any(|row| row.name == name);
        if there && !parts.plugins.iter().any(|plugin| plugin.name() == name) {
            let text = format!("plugin `{name}` is not configured on this node; configure it first");
            return Err(Error::new(Code::Conflict, text));
        }
        Ok(self.plugin(&parts.store.enable(name).await?))
    }

    /// Ends a plugin on all nodes: it is asked about no record that is not settled yet.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none of this name, `CONFLICT` for the one that fills collections.
    pub async fn disable_plugin(&self, actor: &Actor, name: &str) -> Result<Value> {
        let parts = &self.inner.parts;
        parts.policy.allow(actor, Action::Administer)?;
        self.inner.ready().await?;
        if name == MATERIALIZE {
            let text = "`materialize` fills the collections; it cannot be disabled";
            return Err(Error::new(Code::Conflict, text));
        }
        Ok(self.plugin(&parts.store.disable(name, "disabled").await?))
    }

    fn plugin(&self, row: &Registered) -> Value {
        json!({
            "name": row.name,
            "version": row.version,
            "state": row.state.to_uppercase(),
            "configured": self.inner.parts.plugins.iter().any(|plugin| plugin.name() == row.name),
            "hook": "sourced",
            "enabledFrom": (row.enabled_from > 0).then(|| time(row.enabled_from)),
        })
    }

    /// Outbox, stream and worker lag as the GraphQL type `Lag` has it.
    pub async fn lag(&self, actor: &Actor) -> Result<Value> {
        let parts = &self.inner.parts;
        parts.policy.allow(actor, Action::Steward)?;
        let ready = self.inner.ready().await?;
        let lag = parts.store.lag().await?;
        let pending: i64 = lag.partitions.iter().map(|(_, claimed, settled)| claimed - settled).sum();
        let oldest_ms = lag.oldest.map(|at| (parts.clock.now_us() - at).max(0) / 1_000);
        let partitions = lag.partitions.iter().map(|(p, claimed, settled)| {
            json!({ "partition": p, "claimed": claimed, "settled": settled, "pending": claimed - settled })
        });
        Ok(json!({
            "outbox": lag.unclaimed,
            "pending": pending,
            "oldestMs": oldest_ms.unwrap_or(0),
            "partitions": partitions.collect::<Vec<_>>(),
            "stream": ready.stream.kind(),
            "blockedBy": self.inner.look_at_plugins().await?.missing,
        }))
    }

    /// Whether the stream's service answers; the log always does.
    pub async fn stream_ready(&self) -> bool {
        match self.inner.ready().await {
            Ok(ready) => ready.stream.health().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Brings the gauges of `/metrics` up to date.
    pub async fn measure(&self) -> Result<()> {
        let parts = &self.inner.parts;
        let lag = parts.store.lag().await?;
        let oldest_s = lag.oldest.map_or(0, |at| (parts.clock.now_us() - at).max(0) / 1_000_000);
        let oldest_s = f64::from(u32::try_from(oldest_s).unwrap_or(u32::MAX));
        parts.metrics.set_outbox(lag.unclaimed, oldest_s);
        parts
            .metrics
            .set_lag("worker", lag.partitions.iter().map(|(_, claimed, settled)| claimed - settled).sum());
        parts.metrics.set_parked(parts.store.letters_count().await?);
        Ok(())
    }
}

/// What was tried, with times as people and clients read them everywhere else.
fn history(text: &str) -> Value {
    let mut events: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    for at in events.iter_mut().filter_map(|event| event.get_mut("at")) {
        *at = at.as_i64().map(time).into();
    }
    Value::Array(events)
}

/// Microseconds in the form of the GraphQL scalar `DateTime`.
fn time(us: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(us).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
