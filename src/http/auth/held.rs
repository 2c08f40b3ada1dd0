//! The keys of one issuer as they are now, how old they are, and who waits for newer ones. Must not read them itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::jwks::{Key, KeySet};
use crate::telemetry::Clock;

/// What was read last.
#[derive(Default)]
struct Kept {
    set: Arc<KeySet>,
    text: Arc<[u8]>,
    /// When it was read or found to be the same, Unix microseconds; never, when nothing was.
    read_us: Option<i64>,
}

/// How it stands with reading the keys.
#[derive(Default)]
struct Asking {
    /// Somebody waits for a reading that has not begun.
    waiting: bool,
    /// One is going on.
    reading: bool,
    /// When the last one began, Unix microseconds.
    began_us: Option<i64>,
}

/// The keys in force.
pub(super) struct Held {
    current: ArcSwap<Kept>,
    asking: Mutex<Asking>,
    asked: Notify,
    ended: watch::Sender<u64>,
    bounds: Bounds,
}

/// Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// How long keys are good that were not read again.
    pub(super) age_max_us: i64,
    /// The shortest time between two readings.
    pub(super) pause_us: i64,
    /// How long somebody waits for one.
    pub(super) patience: Duration,
}

impl Held {
    pub(super) fn new(bounds: Bounds) -> Self {
        Held {
            current: ArcSwap::default(),
            asking: Mutex::default(),
            asked: Notify::new(),
            ended: watch::Sender::new(0),
            bounds,
        }
    }

    /// The key of this id. One that is not known may be new: then newer keys are waited for, unless they were read a
    /// moment ago. However many ask, one reading goes on at a time.
    pub(super) async fn key(&self, kid: Option<&str>, clock: &Clock) -> Option<Arc<Key>> {
        let now_us = clock.now_us();
        if let Some(key) = self.good(kid, now_us) {
            return Some(key);
        }
        if let Some(mut read) = self.ask(now_us) {
            self.asked.notify_one();
            // Whether it was in time shows below.
            let _ = tokio::time::timeout(self.bounds.patience, read.wait()).await;
        }
        self.good(kid, clock.now_us())
    }

    fn good(&self, kid: Option<&str>, now_us: i64) -> Option<Arc<Key>> {
        let kept = self.current.load();
        (!self.is_stale(now_us)).then(|| kept.set.get(kid)).flatten()
    }

    /// The reading that tells whether a key is new, unless one has told a moment ago.
    fn ask(&self, now_us: i64) -> Option<Reading> {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let pause_us = self.bounds.pause_us;
        asking.waiting |= asking.began_us.is_none_or(|began_us| now_us.saturating_sub(began_us) >= pause_us);
        if !asking.waiting && !asking.reading {
            return None;
        }
        // What goes on may have begun before the key was there.
        let (ended, more) = (self.ended.subscribe(), u64::from(asking.waiting) + u64::from(asking.reading));
        let target = ended.borrow().wrapping_add(more);
        Some(Reading { ended, target })
    }

    /// Waits until somebody waits for newer keys.
    pub(super) async fn asked(&self) {
        while !self.asking.lock().unwrap_or_else(PoisonError::into_inner).waiting {
            self.asked.notified().await;
        }
    }

    /// Whether the keys are the ones of this text.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        let kept = self.current.load();
        kept.read_us.is_some() && *kept.text == *text
    }

    /// Whether the keys are too old to be used, or there are none yet.
    pub(super) fn is_stale(&self, now_us: i64) -> bool {
        let read_us = self.current.load().read_us;
        read_us.is_none_or(|read_us| now_us.saturating_sub(read_us) > self.bounds.age_max_us)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.current.load().set.len()
    }

    /// Puts keys in force.
    pub(super) fn put(&self, set: KeySet, text: &[u8], now_us: i64) {
        self.current.store(Arc::new(Kept { set: Arc::new(set), text: text.into(), read_us: Some(now_us) }));
    }

    /// The keys in force were found to be still the same.
    pub(super) fn confirm(&self, now_us: i64) {
        let Kept { set, text, .. } = &**self.current.load();
        self.current.store(Arc::new(Kept { set: set.clone(), text: text.clone(), read_us: Some(now_us) }));
    }

    /// A reading begins.
    pub(super) fn begin(&self, now_us: i64) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        *asking = Asking { waiting: false, reading: true, began_us: Some(now_us) };
    }

    /// It has come to an end, well or not: whoever waits looks again.
    pub(super) fn end(&self) {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        asking.reading = false;
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// A reading that somebody waits for, by the count of those that have ended.
struct Reading {
    ended: watch::Receiver<u64>,
    target: u64,
}

impl Reading {
    async fn wait(&mut self) {
        // Nobody will read any more when the other side is gone.
        let _ = self.ended.wait_for(|count| *count >= self.target).await;
    }
}
