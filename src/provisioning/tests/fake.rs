//! A stream in memory that does to itself what Redis may do to us: it is flushed, rolls back to an older state, loses
//! its group, repeats deliveries, or is away; at random, also between a caller's decision and its append.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::error::{Error, Result};
use crate::stream::{Append, Delivery, Entry, Stream};

/// xorshift: enough, and the same everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// One partition's stream.
#[derive(Clone, Default)]
struct Keyed {
    last: i64,
    entries: BTreeMap<i64, Entry>,
    delivered: i64,
    pending: BTreeSet<i64>,
    group: bool,
}

struct State {
    streams: BTreeMap<u32, Keyed>,
    older: Vec<BTreeMap<u32, Keyed>>,
    dice: Dice,
    /// Per hundred calls.
    faults: u64,
    /// Takes nothing, but can be read.
    full: bool,
}

pub(super) struct Fake(Mutex<State>);

impl Fake {
    pub(super) fn new(seed: u64, faults: u64) -> Self {
        let (streams, older) = (BTreeMap::new(), Vec::new());
        Fake(Mutex::new(State { streams, older, dice: Dice::new(seed), faults, full: false }))
    }

    pub(super) fn set_faults(&self, faults: u64) {
        self.0.lock().unwrap().faults = faults;
    }

    pub(super) fn fill(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    pub(super) fn flush(&self) {
        self.0.lock().unwrap().streams.clear();
    }

    /// The numbers above `settled` that a reader can still get.
    pub(super) fn held(&self, p: u32, settled: i64) -> Vec<i64> {
        let state = self.0.lock().unwrap();
        let found =
            state.streams.get(&p).map(|s| s.entries.keys().copied().filter(|n| *n > settled).collect());
        found.unwrap_or_default()
    }
}

impl State {
    /// Something may happen before every call.
    fn fate(&mut self) -> Result<()> {
        if self.dice.below(4) == 0 {
            let copy = self.streams.clone();
            self.older.push(copy);
        }
        if self.dice.below(100) >= self.faults {
            return Ok(());
        }
        match self.dice.below(4) {
            0 => self.streams.clear(),
            1 => {
                let n = self.dice.below(self.older.len().max(1) as u64) as usize;
                if let Some(old) = self.older.get(n) {
                    self.streams = old.clone();
                }
            }
            2 => self.streams.values_mut().for_each(|s| s.group = false),
            _ => return Err(Error::unavailable("away", "away")),
        }
        Ok(())
    }
}

fn done<T: Send + 'static>(value: Result<T>) -> BoxFuture<'static, Result<T>> {
    Box::pin(async { value })
}

impl Stream for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn wants_append(&self) -> bool {
        true
    }

    fn append<'a>(
        &'a self,
        p: u32,
        entries: &'a [Entry],
        expected: Option<i64>,
    ) -> BoxFuture<'a, Result<Append>> {
        let mut state = self.0.lock().unwrap();
        if let Err(error) = state.fate() {
            return done(Err(error));
        }
        if state.full {
            return done(Err(Error::unavailable("full", "full")));
        }
        let found = state.streams.get(&p).map(|s| s.last);
        done(Ok(match (found, expected) {
            (None, Some(_)) => Append::Gone,
            (Some(last), expected) if expected != Some(last) => Append::Moved(last),
            _ => {
                let stream =
                    state.streams.entry(p).or_insert_with(|| Keyed { group: true, ..Keyed::default() });
                for entry in entries {
                    assert!(entry.pseq > stream.last, "an id that is equal or smaller is refused");
                    stream.last = entry.pseq;
                    stream.entries.insert(entry.pseq, entry.clone());
                }
                Append::Done
            }
        }))
    }

    fn last(&self, p: u32) -> BoxFuture<'_, Result<Option<i64>>> {
        let mut state = self.0.lock().unwrap();
        let fate = state.fate();
        done(fate.map(|()| state.streams.get(&p).map(|s| s.last)))
    }

    fn read<'a>(
        &'a self,
        ps: &'a [u32],
        max: usize,
        _wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivery>>> {
        let mut state = self.0.lock().unwrap();
        if let Err(error) = state.fate() {
            return done(Err(error));
        }
        let mut found = Vec::new();
        for p in ps {
            let Some(stream) = state.streams.get_mut(p) else { continue };
            if !stream.group {
                (stream.group, stream.delivered, stream.pending) = (true, 0, BTreeSet::new());
                continue;
            }
            let new: Vec<Entry> =
                stream.entries.range(stream.delivered + 1..).take(max).map(|(_, e)| e.clone()).collect();
            for entry in new {
                stream.delivered = entry.pseq;
                stream.pending.insert(entry.pseq);
                found.push(Delivery { partition: *p, entry });
            }
        }
        // What Redis would never do, but a worker must survive: disorder and repetition.
        if state.faults > 0 && state.dice.below(4) == 0 {
            found.reverse();
        }
        if state.faults > 0 && state.dice.below(8) == 0 {
            found.extend(found.clone());
        }
        // A reply that is lost on its way: delivered for Redis, never seen here.
        if state.faults > 0 && state.dice.below(8) == 0 {
            found.clear();
        }
        done(Ok(found))
    }

    fn reclaim(&self, p: u32, _idle: Duration, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>>> {
        let mut state = self.0.lock().unwrap();
        let fate = state.fate();
        done(fate.map(|()| {
            let Some(stream) = state.streams.get(&p) else { return Vec::new() };
            let pending = stream.pending.iter().filter_map(|n| stream.entries.get(n)).take(max);
            pending.map(|entry| Delivery { partition: p, entry: entry.clone() }).collect()
        }))
    }

    fn acknowledge<'a>(&'a self, p: u32, pseqs: &'a [i64], settled: i64) -> BoxFuture<'a, Result<()>> {
        let mut state = self.0.lock().unwrap();
        let fate = state.fate();
        if let Some(stream) = state.streams.get_mut(&p) {
            assert!(pseqs.iter().all(|n| *n <= settled), "only what is settled is acknowledged");
            stream.pending.retain(|n| !pseqs.contains(n));
            stream.entries.retain(|n, _| *n > settled);
        }
        done(fate)
    }

    fn discard(&self, p: u32) -> BoxFuture<'_, Result<()>> {
        self.0.lock().unwrap().streams.remove(&p);
        done(Ok(()))
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        done(Ok(()))
    }
}
