//! What this node notes of reads as they are answered: by which way rows are found, how many are given out and how long
//! that takes. Held in memory and taken out now and then; a crash loses notes, nothing else. Must not delay a read.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::Way;
use crate::query::{Filter, Order};

/// Notes of reads of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// How many reads.
    pub times: i64,
    /// How long they took together, in microseconds.
    pub spent_us: i64,
    /// How many rows or groups they gave out together.
    pub given: i64,
}

impl Noted {
    pub(super) fn add(&mut self, other: Noted) {
        self.times += other.times;
        self.spent_us = self.spent_us.saturating_add(other.spent_us);
        self.given = self.given.saturating_add(other.given);
    }
}

/// Notes reads; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: Mutex<HashMap<u64, Kind>>,
    /// The most statements that are told apart until they are taken out; none are noted while it is 0.
    held_max: AtomicUsize,
    /// Advice whose indexes refuse rows.
    refusing: Mutex<Vec<i64>>,
    /// Somebody should look at the indexes.
    due: Notify,
    /// The advised indexes that there are or that are being made, by collection.
    made: ArcSwap<HashMap<i64, Vec<Index>>>,
}

/// An advised index.
#[derive(Clone)]
pub(super) struct Index {
    /// The number of its advice.
    pub(super) id: i64,
    /// What it is for.
    pub(super) way: Way,
    /// Whether it is there.
    pub(super) whole: bool,
    /// What it was made of.
    pub(super) made: Option<String>,
}

struct Kind {
    collection_id: i64,
    way: Option<Way>,
    noted: Noted,
}

impl Watch {
    /// From now on at most so many statements are told apart.
    pub(crate) fn begin(&self, held_max: usize) {
        self.0.held_max.store(held_max, Ordering::Relaxed);
    }

    /// Notes a read of a collection that began at a moment and gave so many rows out; `way` is asked when the statement
    /// is a new one. Where another is noting at this moment it is left out.
    pub(in crate::store) fn note(
        &self,
        (collection_id, statement): (i64, &str),
        (began, given): (Instant, usize),
        way: impl FnOnce() -> Option<Way>,
    ) {
        let held_max = self.0.held_max.load(Ordering::Relaxed);
        if held_max == 0 {
            return;
        }
        let spent_us = i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let noted = Noted { times: 1, spent_us, given: i64::try_from(given).unwrap_or(i64::MAX) };
        let text = BuildHasherDefault::<DefaultHasher>::new().hash_one(statement);
        let Ok(mut held) = self.0.held.try_lock() else { return };
        if let Some(known) = held.get_mut(&text) {
            known.noted.add(noted);
        } else if held.len() < held_max {
            held.insert(text, Kind { collection_id, way: way(), noted });
        }
    }

    /// From now on these are the advised indexes that there are.
    pub(super) fn know(&self, made: HashMap<i64, Vec<Index>>) {
        self.0.made.store(Arc::new(made));
    }

    /// Whether an advised index leads to just the rows with this condition, in this order.
    pub(in crate::store) fn leads(&self, collection_id: i64, filter: &Filter, order: &[Order]) -> bool {
        let made = self.0.made.load();
        let Some(made) = made.get(&collection_id) else { return false };
        Way::exactly(filter, order)
            .is_some_and(|way| made.iter().any(|one| one.whole && one.way.covers(&way)))
    }

    /// The indexes of words that a collection has: the number of the advice, the field, and what it was made of.
    pub(in crate::store) fn words(&self, collection_id: i64) -> Vec<(i64, u32, String)> {
        let made = self.0.made.load();
        let words =
            |index: &Index| Some((index.id, index.way.words?, index.made.clone().filter(|_| index.whole)?));
        made.get(&collection_id).into_iter().flatten().filter_map(words).collect()
    }

    /// Until somebody looks again a collection has no advised indexes.
    pub(in crate::store) fn forget(&self, collection_id: i64) {
        self.0.made.rcu(|made| {
            let mut made = HashMap::clone(made);
            made.remove(&collection_id);
            made
        });
    }

    /// The advice of a collection whose indexes may not take long values.
    pub(in crate::store) fn ordered(&self, collection_id: i64) -> Vec<i64> {
        let made = self.0.made.load();
        let ordered =
            made.get(&collection_id).into_iter().flatten().filter(|index| index.way.words.is_none());
        ordered.map(|index| index.id).collect()
    }

    /// Takes out what was noted, summed up by collection and way.
    pub(super) fn take(&self) -> BTreeMap<(i64, Way), Noted> {
        let held = std::mem::take(&mut *self.0.held.lock().unwrap_or_else(PoisonError::into_inner));
        let mut sums: BTreeMap<(i64, Way), Noted> = BTreeMap::new();
        for Kind { collection_id, way, noted } in held.into_values() {
            if let Some(way) = way {
                sums.entry((collection_id, way)).or_default().add(noted);
            }
        }
        sums
    }

    /// An index does not take a row that is to be written.
    pub(in crate::store) fn refuses(&self, index: i64) {
        let mut refusing = self.0.refusing.lock().unwrap_or_else(PoisonError::into_inner);
        if !refusing.contains(&index) {
            refusing.push(index);
        }
        self.0.due.notify_one();
    }

    /// The advice whose indexes have refused rows since this was last asked.
    pub(super) fn refusing(&self) -> Vec<i64> {
        std::mem::take(&mut *self.0.refusing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has somebody look at the indexes soon.
    pub(super) fn call(&self) {
        self.0.due.notify_one();
    }

    /// Waits until somebody is called.
    pub(super) async fn called(&self) {
        self.0.due.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_bounded_and_summed_up_by_way() {
        let watch = Watch::default();
        let way = |field: u32| Way { range: Some(field), ..Way::default() };
        let note = |text: &str, given: usize, way: Option<Way>| {
            watch.note((1, text), (Instant::now(), given), || way);
        };
        note("a", 1, Some(way(1)));
        assert!(watch.take().is_empty());
        watch.begin(3);
        note("a", 1, Some(way(1)));
        note("a", 2, None);
        note("b", 4, Some(way(1)));
        note("c", 9, None);
        note("d", 9, Some(way(2)));
        let taken = watch.take();
        assert_eq!(taken.keys().collect::<Vec<_>>(), [&(1, way(1))]);
        assert_eq!(taken.values().map(|noted| (noted.times, noted.given)).collect::<Vec<_>>(), [(3, 7)]);
        note("d", 9, Some(way(2)));
        assert_eq!(watch.take().len(), 1);
    }
}
