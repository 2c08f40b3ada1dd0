//! One tail of each collection that somebody on this node subscribes to: every change is read and parsed
//! once, and handed to all of its subscribers. Must not open a change: that is each subscriber's scope's
//! part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Publishing;
use crate::config;
use crate::error::{Code, Result};
use crate::store::changes::Tailed;
use crate::store::wake::Topic;

/// How long a lost wake-up can delay a change.
const POLL: Duration = Duration::from_secs(1);

/// The tails of this node, by collection.
pub(super) struct Hubs {
    hubs: Mutex<BTreeMap<i64, Hub>>,
    buffer: usize,
}

struct Hub {
    sender: broadcast::Sender<Arc<Tailed>>,
    /// What is behind this has not been sent yet.
    position: i64,
}

impl Hubs {
    pub(super) fn new(buffer: usize) -> Self {
        Hubs { hubs: Mutex::default(), buffer: buffer.clamp(1, 1 << 20) }
    }

    fn with<R>(&self, each: impl FnOnce(&mut BTreeMap<i64, Hub>) -> R) -> R {
        each(&mut self.hubs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hears a collection's changes from behind `position` at the latest.
    pub(super) fn hear(&self, collection_id: i64, position: i64) -> broadcast::Receiver<Arc<Tailed>> {
        self.with(|hubs| {
            let new = || Hub { sender: broadcast::Sender::new(self.buffer), position };
            hubs.entry(collection_id).or_insert_with(new).sender.subscribe()
        })
    }

    /// Collections that somebody hears, with their positions; forgets the others.
    fn heard(&self) -> Vec<(i64, i64)> {
        self.with(|hubs| {
            hubs.retain(|_, hub| hub.sender.receiver_count() > 0);
            hubs.iter().map(|(id, hub)| (*id, hub.position)).collect()
        })
    }

    fn send(&self, collection_id: i64, changes: Vec<Tailed>) {
        self.with(|hubs| {
            let Some(hub) = hubs.get_mut(&collection_id) else { return };
            for change in changes {
                hub.position = change.pos;
                // Nobody hears it: then nobody needs it.
                drop(hub.sender.send(Arc::new(change)));
            }
        });
    }

    fn skip_to(&self, collection_id: i64, position: i64) {
        self.with(|hubs| {
            if let Some(hub) = hubs.get_mut(&collection_id) {
                hub.position = position;
            }
        });
    }
}

impl Publishing {
    /// Tails what is subscribed to, and follows the catalog, until `stop`.
    pub async fn run_tail(self, stop: CancellationToken) {
        let wake = &self.0.store.wake;
        let (mut changes, mut catalog) = (wake.subscribe(Topic::Changes), wake.subscribe(Topic::Catalog));
        loop {
            let look_at_catalog = tokio::select! {
                () = stop.cancelled() => return,
                heard = changes.changed() => heard.is_err(),
                heard = catalog.changed() => heard.is_ok(),
                () = tokio::time::sleep(POLL) => true,
            };
            if look_at_catalog && let Err(error) = self.0.store.catalog.refresh().await {
                tracing::warn!(%error, "the catalog cannot be read; trying again");
            }
            if let Err(error) = self.tail_step().await {
                tracing::warn!(%error, "changes cannot be read; trying again");
                tokio::time::sleep(POLL / 4).await;
            }
        }
    }

    /// Hands on what is new in each collection that somebody hears. What fails for one of them holds up no other.
    ///
    /// # Errors
    /// The first one, when all have had their turn.
    pub async fn tail_step(&self) -> Result<()> {
        let mut done = Ok(());
        for (id, position) in self.0.hubs.heard() {
            done = done.and(self.tail_one(id, position).await);
        }
        done
    }

    async fn tail_one(&self, id: i64, mut position: i64) -> Result<()> {
        let config::Subscriptions { tail_batch_max, batch_bytes_max: bytes_max, .. } = self.0.subscriptions;
        let max = tail_batch_max.max(1);
        loop {
            let (changes, more) = match self.0.store.tail(id, position, max, bytes_max).await {
                Ok(changes) => changes,
                // Subscribers see the gap and say so to whom it matters.
                Err(error) if error.code() == Code::CursorTooOld => {
                    self.0.hubs.skip_to(id, self.0.store.position(id).await?);
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            position = changes.last().map_or(position, |last| last.pos);
            self.0.hubs.send(id, changes);
            if !more {
                return Ok(());
            }
        }
    }
}
