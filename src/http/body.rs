//! Request bodies: read within what each may have, and within what all of them may hold in memory together. Must
//! not look into them.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use super::answer::Refusal;
use crate::error::{Code, Error, Result};

/// The bytes that bodies may hold while they are read; clones share it.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(bytes_max: usize) -> Self {
        Room(Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))))
    }

    /// A place for one body, which holds nothing yet.
    pub(super) fn held(&self) -> Held {
        Held { room: self.0.clone(), bytes: 0 }
    }
}

/// What one body holds, until it is dropped.
pub(super) struct Held {
    room: Arc<Semaphore>,
    bytes: usize,
}

impl Held {
    /// From now on it holds so many bytes.
    ///
    /// # Errors
    /// `BACKPRESSURE` when there is no room for more. Waiting for it could last: others may wait likewise.
    pub(super) fn set(&mut self, bytes: usize) -> Result<()> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            let permit = u32::try_from(more).ok().and_then(|more| self.room.try_acquire_many(more).ok());
            let text = "the bodies that are being read hold as much as they may; send it again shortly";
            permit.ok_or_else(|| Error::new(Code::Backpressure, text).retry_after_ms(250))?.forget();
            self.bytes = bytes;
        }
        self.keep(bytes);
        Ok(())
    }

    /// Gives back what it holds beyond so many bytes.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.room.add_permits(self.bytes.saturating_sub(bytes));
        self.bytes = self.bytes.min(bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.add_permits(self.bytes);
    }
}

/// Refuses a body that is announced to be too large.
pub(super) fn check_announced(
    headers: &HeaderMap,
    what: &str,
    bytes_max: usize,
    option: &str,
) -> Result<(), Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    match announced {
        Some(length) if bytes_max < length => Err(Refusal::too_large(what, bytes_max, option)),
        _ => Ok(()),
    }
}

/// The whole body, refused as soon as it is known to be too large; what it holds is to be kept as long as it.
pub(super) async fn read(
    room: &Room,
    headers: &HeaderMap,
    body: Body,
    what: &str,
    bytes_max: usize,
    option: &str,
) -> Result<(Bytes, Held), Refusal> {
    check_announced(headers, what, bytes_max, option)?;
    let (mut held, mut whole) = (room.held(), BytesMut::new());
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            Error::bad_request("the body ended before it was complete; send it again").with_cause(error)
        })?;
        let bytes = whole.len().saturating_add(chunk.len());
        if bytes > bytes_max {
            return Err(Refusal::too_large(what, bytes_max, option));
        }
        held.set(bytes)?;
        whole.extend_from_slice(&chunk);
    }
    Ok((whole.freeze(), held))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[test]
    fn bodies_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let (mut one, mut other) = (room.held(), room.held());
        one.set(8).unwrap();
        assert_eq!(other.set(3).unwrap_err().code(), Code::Backpressure);
        one.set(7).unwrap();
        other.set(3).unwrap();
        assert!(one.set(8).is_err());
        drop(other);
        one.set(10).unwrap();
        drop(one);
        room.held().set(10).unwrap();
    }
}
