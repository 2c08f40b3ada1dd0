//! The stream between sourcing and provisioning: a hint that may vanish at any instant. Two kinds, one trait: the log
//! over the outbox, and Redis. Must not know plugins or collections; entries carry version, record id and hook only.
//!
//! The database numbers the entries of each partition densely (`pseq`). Whatever the stream loses, repeats or
//! reorders, the worker reads the range from the outbox by these numbers; so a stream can cost time, never a record.

mod log;
mod redis;

pub use log::Log;
pub use redis::Redis;

use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::error::Result;

/// One outbox row on its way: nothing but where it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its dense number within the partition; from 1.
    pub pseq: i64,
    /// The record.
    pub record_id: Uuid,
    /// Where in its way the record stands.
    pub hook: String,
}

/// An entry that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The partition that orders it.
    pub partition: u32,
    /// The entry.
    pub entry: Entry,
}

/// What a compare-and-append met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// The entries stand at the end.
    Done,
    /// The stream was expected and is not there: it was flushed, evicted or never made.
    Gone,
    /// The stream ends elsewhere: it was rolled back, or another relay was here. Nothing was appended.
    Moved(i64),
}

/// What carries entries from the relay to the worker.
pub trait Stream: Send + Sync {
    /// Its name, for people.
    fn kind(&self) -> &'static str;

    /// Whether entries must be appended at all; the log over the outbox has them already.
    fn wants_append(&self) -> bool;

    /// Appends in order if the partition's last number is `expected` (`None`: there is no stream), else nothing.
    fn append<'a>(
        &'a self,
        partition: u32,
        entries: &'a [Entry],
        expected: Option<i64>,
    ) -> BoxFuture<'a, Result<Append>>;

    /// The last number that was ever appended, by the stream's own word; `None`: there is no stream.
    fn last(&self, partition: u32) -> BoxFuture<'_, Result<Option<i64>>>;

    /// Entries of these partitions that no consumer has read yet, waiting at most `wait` for the first.
    fn read<'a>(
        &'a self,
        partitions: &'a [u32],
        max: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<Vec<Delivery>>>;

    /// Entries that some consumer read at least `idle` ago and did not acknowledge.
    fn reclaim(&self, partition: u32, idle: Duration, max: usize) -> BoxFuture<'_, Result<Vec<Delivery>>>;

    /// Never delivers these again, and forgets everything up to `settled`.
    fn acknowledge<'a>(&'a self, partition: u32, pseqs: &'a [i64], settled: i64)
    -> BoxFuture<'a, Result<()>>;

    /// Drops the partition's stream: it holds what the database does not know.
    fn discard(&self, partition: u32) -> BoxFuture<'_, Result<()>>;

    /// Whether its service answers and is fit for use.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it does not answer, `CONFLICT` when it is set up so that it must not be used.
    fn health(&self) -> BoxFuture<'_, Result<()>>;
}
