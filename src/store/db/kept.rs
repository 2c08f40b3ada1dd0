//! Connections of the pool that statements of reads hand on among themselves: given back to the pool each would be
//! tested first, which costs a task and a round trip for every statement. Must not run statements.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::{PgPool, Postgres as Driver, pool::PoolConnection};

/// After how many statements in a row a connection goes through the pool, which closes those that are old.
const USES_MAX: u32 = 10_000;

/// A connection, and how often it was handed on.
pub(super) struct Held {
    pub(super) connection: PoolConnection<Driver>,
    uses: u32,
}

/// The connections that wait for the next statement.
pub(super) struct Kept {
    pool: PgPool,
    waiting: Mutex<Vec<Held>>,
    /// How many may wait: the others are there for transactions.
    waiting_max: usize,
    /// How many transactions want a connection of the pool.
    wanted: AtomicUsize,
}

impl Kept {
    pub(super) fn new(pool: PgPool, connections_max: u32) -> Self {
        // Two are for those who do not say that they want one: who listens, and who makes indexes.
        let most = connections_max as usize;
        let waiting_max = (most * 3 / 4).min(most.saturating_sub(2));
        Kept { pool, waiting: Mutex::default(), waiting_max, wanted: AtomicUsize::new(0) }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Held>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, else one of the pool.
    pub(super) async fn take(&self) -> sqlx::Result<Held> {
        let held = self.waiting().pop();
        match held {
            Some(held) => Ok(held),
            None => Ok(Held { connection: self.pool.acquire().await?, uses: 0 }),
        }
    }

    /// Keeps one whose statement has given all of its rows. When transactions wait for the pool it goes there.
    pub(super) fn keep(&self, Held { connection, uses }: Held) {
        if uses < USES_MAX && self.wanted.load(Ordering::SeqCst) == 0 {
            let mut waiting = self.waiting();
            if waiting.len() < self.waiting_max {
                waiting.push(Held { connection, uses: uses + 1 });
            }
        }
    }

    /// Until this is dropped, a transaction waits for a connection of the pool: one that is kept for reads goes there
    /// when the pool has none.
    pub(super) fn want(&self) -> Want<'_> {
        self.wanted.fetch_add(1, Ordering::SeqCst);
        if self.pool.num_idle() == 0 {
            let held = self.waiting().pop();
            drop(held);
        }
        Want(self)
    }
}

impl Drop for Kept {
    /// The pool takes them back in a task, and there may be nobody any more to run one.
    fn drop(&mut self) {
        for held in self.waiting().drain(..) {
            drop(held.connection.detach());
        }
    }
}

/// That a connection of the pool is waited for.
pub(super) struct Want<'a>(&'a Kept);

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::SeqCst);
    }
}
