//! One tail of each collection that somebody on this node subscribes to: every change is read and parsed
//! once, and kept at hand for all of its subscribers; who reads too slowly for that finds it in the log. Must not open
//! a change: that is each subscriber's scope's part.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Publishing;
use crate::config;
use crate::error::{Code, Result};
use crate::store::changes::Tailed;
use crate::store::wake::Topic;

/// How long a lost wake-up can delay a change.
const POLL: Duration = Duration::from_secs(1);

/// How often the catalog is compared with all that there is: a node of an older version tells no events.
const RECONCILE: Duration = Duration::from_secs(10);

/// How the catalog is looked at.
enum Look {
    Not,
    New,
    Whole,
}

/// The tails of this node, by collection.
pub(super) struct Hubs {
    hubs: Mutex<BTreeMap<i64, Arc<Hub>>>,
    changes_max: usize,
    bytes_max: usize,
}

/// The last changes of a collection, for all who hear it.
struct Hub {
    recent: Mutex<Recent>,
    /// What is behind this has not been handed on yet.
    head: watch::Sender<i64>,
}

/// Changes without a gap.
#[derive(Default)]
struct Recent {
    changes: VecDeque<Arc<Tailed>>,
    bytes: usize,
}

/// What one subscriber hears of a collection.
pub(super) struct Ear {
    hub: Arc<Hub>,
    head: watch::Receiver<i64>,
}

impl Ear {
    /// How far the tail is, once that is more than `position`.
    pub(super) async fn beyond(&mut self, position: i64) -> i64 {
        // It never fails: the sender is held here.
        self.head.wait_for(|head| *head > position).await.map_or(position, |head| *head)
    }

    /// The change at a position; none when it is not at hand: then the log has it.
    pub(super) fn at(&self, position: i64) -> Option<Arc<Tailed>> {
        let recent = lock(&self.hub.recent);
        let place = position - recent.changes.front()?.pos;
        recent.changes.get(usize::try_from(place).ok()?).cloned()
    }
}

impl Recent {
    fn push(&mut self, change: Tailed, changes_max: usize, bytes_max: usize) {
        if self.changes.back().is_some_and(|last| last.pos + 1 != change.pos) {
            *self = Recent::default();
        }
        self.bytes += change.bytes;
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > changes_max || self.bytes > bytes_max {
            let Some(oldest) = self.changes.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hubs {
    pub(super) fn new(config: &config::Subscriptions) -> Self {
        let config::Subscriptions { buffer_max: changes_max, buffer_bytes_max: bytes_max, .. } = *config;
        Hubs { hubs: Mutex::default(), changes_max, bytes_max }
    }

    /// Hears a collection's changes from behind `position` at the latest.
    pub(super) fn hear(&self, collection_id: i64, position: i64) -> Ear {
        let new = || Arc::new(Hub { recent: Mutex::default(), head: watch::Sender::new(position) });
        let mut hubs = lock(&self.hubs);
        let hub = hubs.entry(collection_id).or_insert_with(new);
        Ear { hub: hub.clone(), head: hub.head.subscribe() }
    }

    /// Collections that somebody hears, with their positions; forgets the others.
    fn heard(&self) -> Vec<(i64, i64)> {
        let mut hubs = lock(&self.hubs);
        hubs.retain(|_, hub| hub.head.receiver_count() > 0);
        hubs.iter().map(|(id, hub)| (*id, *hub.head.borrow())).collect()
    }

    fn send(&self, collection_id: i64, changes: Vec<Tailed>) {
        let Some(hub) = lock(&self.hubs).get(&collection_id).cloned() else { return };
        let Some(head) = changes.last().map(|last| last.pos) else { return };
        let mut recent = lock(&hub.recent);
        changes.into_iter().for_each(|change| recent.push(change, self.changes_max, self.bytes_max));
        drop(recent);
        hub.head.send_replace(head);
    }

    fn skip_to(&self, collection_id: i64, position: i64) {
        if let Some(hub) = lock(&self.hubs).get(&collection_id) {
            hub.head.send_replace(position);
        }
    }

    /// The bytes of all changes that are at hand.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        lock(&self.hubs).values().map(|hub| lock(&hub.recent).bytes).sum()
    }
}

impl Publishing {
    /// Tails what is subscribed to, and follows the catalog, until `stop`.
    pub async fn run_tail(self, stop: CancellationToken) {
        let wake = &self.0.store.wake;
        let (mut changes, mut catalog) = (wake.subscribe(Topic::Changes), wake.subscribe(Topic::Catalog));
        let mut whole = tokio::time::interval(RECONCILE);
        whole.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = tokio::select! {
                () = stop.cancelled() => return,
                heard = changes.changed() => if heard.is_err() { Look::New } else { Look::Not },
                heard = catalog.changed() => if heard.is_ok() { Look::New } else { Look::Not },
                _ = whole.tick() => Look::Whole,
                () = tokio::time::sleep(POLL) => Look::New,
            };
            let looked = match look {
                Look::Not => Ok(()),
                Look::New => self.0.store.catalog.refresh().await.map(drop),
                Look::Whole => self.0.store.catalog.reconcile().await.map(drop),
            };
            if let Err(error) = looked {
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
                // Subscribers find nothing at hand, and the log tells them.
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
