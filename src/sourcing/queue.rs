//! The bounded queue between those who source and the writer. Whoever sends one record is refused at once when it is
//! full; whoever sends many waits for room, so that a bulk load slows down instead of failing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::{Draft, Receipt};

/// What the writer answers for the drafts of a job, in their order.
pub(super) type Answer = oneshot::Receiver<Vec<Result<Receipt>>>;

/// Drafts that go into one commit.
pub(super) struct Job {
    /// What is to be stored.
    pub(super) drafts: Vec<Draft>,
    /// Where the receipts go.
    pub(super) reply: oneshot::Sender<Vec<Result<Receipt>>>,
    /// How large the documents are.
    pub(super) bytes: usize,
    /// Room in the queue, given back when the job is answered.
    _room: Room,
}

struct Room {
    _slots: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
}

/// One way into the queue with its own room: bulk loads must not crowd out single records.
struct Gate {
    slots: Arc<Semaphore>,
    slots_max: usize,
    kib: Arc<Semaphore>,
    kib_max: usize,
}

impl Gate {
    fn new(config: &config::Sourcing) -> Self {
        let slots_max = config.queue_max.clamp(1, Semaphore::MAX_PERMITS);
        // A record alone must fit, however small the bound.
        let bytes = config.queue_bytes_max.max(config.record_bytes_max);
        let kib_max = (bytes / 1024).clamp(1, u32::MAX as usize >> 1) + 1;
        let (slots, kib) = (Arc::new(Semaphore::new(slots_max)), Arc::new(Semaphore::new(kib_max)));
        Gate { slots, slots_max, kib, kib_max }
    }

    fn wants(&self, records: usize, bytes: usize) -> (u32, u32) {
        let slots = records.clamp(1, self.slots_max);
        let kib = (bytes / 1024 + 1).min(self.kib_max);
        (u32::try_from(slots).unwrap_or(u32::MAX), u32::try_from(kib).unwrap_or(u32::MAX))
    }

    fn try_enter(&self, records: usize, bytes: usize) -> Option<Room> {
        let (slots, kib) = self.wants(records, bytes);
        let slots = Arc::clone(&self.slots).try_acquire_many_owned(slots).ok()?;
        let kib = Arc::clone(&self.kib).try_acquire_many_owned(kib).ok()?;
        Some(Room { _slots: slots, _kib: kib })
    }

    async fn enter(&self, records: usize, bytes: usize) -> Option<Room> {
        let (slots, kib) = self.wants(records, bytes);
        let slots = Arc::clone(&self.slots).acquire_many_owned(slots).await.ok()?;
        let kib = Arc::clone(&self.kib).acquire_many_owned(kib).await.ok()?;
        Some(Room { _slots: slots, _kib: kib })
    }
}

/// The queue's sending side. Keys are spread over lanes; each lane has one commit in work, so a key keeps its order.
pub(super) struct Queue {
    singles: Gate,
    bulk: Gate,
    lanes: Vec<mpsc::UnboundedSender<Job>>,
    patience: Duration,
}

impl Queue {
    /// A queue with so many lanes, and their receiving sides.
    pub(super) fn new(
        config: &config::Sourcing,
        lanes: usize,
        patience: Duration,
    ) -> (Self, Vec<mpsc::UnboundedReceiver<Job>>) {
        // The gates bound what is in the lanes.
        let (lanes, receivers) = (0..lanes.max(1)).map(|_| mpsc::unbounded_channel()).unzip();
        (Queue { singles: Gate::new(config), bulk: Gate::new(config), lanes, patience }, receivers)
    }

    /// The lane of a draft.
    pub(super) fn lane(&self, draft: &Draft) -> usize {
        let lanes = u32::try_from(self.lanes.len()).unwrap_or(1);
        let key = draft.source.key(&draft.source_uid);
        key.map_or(0, |key| usize::try_from(key.partition(lanes)).unwrap_or(0))
    }

    /// How many lanes there are.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Queues one draft.
    ///
    /// # Errors
    /// `BACKPRESSURE` when there is no room now.
    pub(super) fn send(&self, draft: Draft) -> Result<Answer> {
        let bytes = draft.body.len();
        let room = self.singles.try_enter(1, bytes).ok_or_else(full)?;
        let lane = self.lane(&draft);
        self.push(lane, vec![draft], bytes, room)
    }

    /// Queues drafts of one lane together, waiting for room.
    ///
    /// # Errors
    /// `BACKPRESSURE` when there is none for as long as a request may take.
    pub(super) async fn send_many(&self, lane: usize, drafts: Vec<Draft>) -> Result<Answer> {
        let bytes = drafts.iter().map(|draft| draft.body.len()).sum();
        let entered = tokio::time::timeout(self.patience, self.bulk.enter(drafts.len(), bytes)).await;
        let room = entered.ok().flatten().ok_or_else(full)?;
        self.push(lane, drafts, bytes, room)
    }

    fn push(&self, lane: usize, drafts: Vec<Draft>, bytes: usize, room: Room) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        let lane = self.lanes.get(lane).ok_or_else(stopped)?;
        lane.send(Job { drafts, reply, bytes, _room: room }).map_err(|_| stopped())?;
        Ok(answer)
    }
}

fn full() -> Error {
    let text = "too many records wait to be stored; send it again a little later";
    Error::new(Code::Backpressure, text).retry_after_ms(250)
}

/// The writer has ended.
pub(super) fn stopped() -> Error {
    Error::new(Code::Unavailable, "the node is stopping; send it to another, or again later")
        .retry_after_ms(1_000)
}
