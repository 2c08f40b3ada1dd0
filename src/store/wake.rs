//! Wake-up hints: that something may be new, never what. Losing one costs a poll interval, nothing else.

use tokio::sync::watch;

/// What may be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Outbox rows to claim.
    Outbox,
    /// Stream entries to work on (log over the outbox only).
    Stream,
    /// Changes of collections.
    Changes,
    /// Collections or shapes.
    Catalog,
}

/// Counters that waiters watch; with PostgreSQL also fed by `LISTEN wellspring` from other nodes.
#[derive(Clone)]
pub struct Wake;

impl Wake {
    /// Wakes this node's waiters. What other nodes must hear is sent with `pg_notify` inside the writing transaction.
    pub fn notify(&self, _topic: Topic) {
        todo!()
    }
    /// A receiver whose value changes with every wake-up of `topic`.
    pub fn subscribe(&self, _topic: Topic) -> watch::Receiver<u64> {
        todo!()
    }
}
