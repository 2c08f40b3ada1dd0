//! Wake-up hints: that something may be new, never what. Losing one costs a poll interval, nothing else.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::db::{Db, Dialect, Tx, Type};
use crate::error::Result;

/// The channel that nodes on one PostgreSQL notify each other through.
const CHANNEL: &str = "wellspring";

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

impl Topic {
    const ALL: [Topic; 4] = [Topic::Outbox, Topic::Stream, Topic::Changes, Topic::Catalog];

    /// The payload that other nodes get.
    pub fn as_str(self) -> &'static str {
        match self {
            Topic::Outbox => "outbox",
            Topic::Stream => "stream",
            Topic::Changes => "changes",
            Topic::Catalog => "catalog",
        }
    }
}

/// Counters that waiters watch; with PostgreSQL also fed by `LISTEN wellspring` from other nodes.
#[derive(Clone)]
pub struct Wake(Arc<[watch::Sender<u64>; 4]>);

impl Default for Wake {
    fn default() -> Self {
        Wake(Arc::new(std::array::from_fn(|_| watch::Sender::new(0))))
    }
}

impl Wake {
    /// Wakes this node's waiters. What other nodes must hear is sent with [`announce`] inside the writing transaction.
    pub fn notify(&self, topic: Topic) {
        self.counter(topic).send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A receiver whose value changes with every wake-up of `topic`.
    pub fn subscribe(&self, topic: Topic) -> watch::Receiver<u64> {
        self.counter(topic).subscribe()
    }

    fn counter(&self, topic: Topic) -> &watch::Sender<u64> {
        let [outbox, stream, changes, catalog] = &*self.0;
        match topic {
            Topic::Outbox => outbox,
            Topic::Stream => stream,
            Topic::Changes => changes,
            Topic::Catalog => catalog,
        }
    }

    fn notify_all(&self) {
        Topic::ALL.iter().for_each(|topic| self.notify(*topic));
    }
}

/// Wakes the waiters of all nodes when this transaction commits; nothing on SQLite, which has one node.
///
/// Call it once per batch: PostgreSQL's commits with a notification queue behind each other.
pub async fn announce(tx: &mut Tx, topic: Topic) -> Result<()> {
    announce_all(tx, &[topic]).await
}

/// [`announce`] of several topics.
pub(super) async fn announce_all(tx: &mut Tx, topics: &[Topic]) -> Result<()> {
    if tx.dialect() == Dialect::Postgres {
        let rows = topics.iter().map(|topic| vec![topic.as_str().into()]).collect();
        tx.query_many(&[("topic", Type::Text)], rows, "select pg_notify('wellspring', topic) from u").await?;
    }
    Ok(())
}

/// Feeds `wake` from other nodes until `stop`; reconnects for ever. Returns at once on SQLite.
pub(super) async fn listen(db: Db, wake: Wake, stop: CancellationToken) {
    let Some(pool) = db.listening_pool() else { return };
    let mut pause = Duration::from_millis(50);
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = listen_once(pool, &wake, &mut pause) => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "wake-ups of other nodes are not heard; polling until they are");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

async fn listen_once(pool: &sqlx::PgPool, wake: &Wake, pause: &mut Duration) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    *pause = Duration::from_millis(50);
    // Whatever was announced before this moment was not heard.
    wake.notify_all();
    while let Some(heard) = listener.try_recv().await? {
        match Topic::ALL.iter().find(|topic| topic.as_str() == heard.payload()) {
            Some(topic) => wake.notify(*topic),
            None => wake.notify_all(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_reaches_those_who_wait_for_its_topic() {
        let wake = Wake::default();
        let (mut outbox, changes) = (wake.subscribe(Topic::Outbox), wake.subscribe(Topic::Changes));
        wake.notify(Topic::Outbox);
        assert!(outbox.has_changed().is_ok_and(|changed| changed));
        outbox.mark_unchanged();
        assert!(changes.has_changed().is_ok_and(|changed| !changed));
    }
}
