//! Reads that wait for what they are to see: that the reader's own records are settled, or that a collection has come
//! to a position. Woken by what the store hears; must not decide what may be seen.

use std::time::Duration;

use super::Publishing;
use crate::error::{Code, Error, Result};
use crate::query::Awaited;
use crate::store::awaited::Reached;
use crate::store::wake::Topic;

/// How long a lost wake-up can hold up a read.
const POLL: Duration = Duration::from_secs(1);

impl Publishing {
    /// Waits until what the cursors of `text` name has happened, as any node's database tells: what is read afterwards
    /// shows it, as far as it may be seen.
    ///
    /// # Errors
    /// `BAD_REQUEST` and `TOO_COMPLEX` as [`Awaited::read`] says; `UNPROCESSABLE` when a record waits for a person;
    /// `TIMEOUT` when it takes too long; `BACKPRESSURE` when too many wait.
    pub async fn wait_for(&self, text: &str) -> Result<()> {
        let config = &self.0.consistency;
        let signers = [self.0.store.signer(), &self.0.signer];
        let awaited = Awaited::read(text, config.cursors_max, &signers)?;
        let mut heard = self.0.store.wake.subscribe(Topic::Changes);
        if self.happened(&awaited).await? {
            return Ok(());
        }
        let Ok(_waiting) = self.0.waits.try_acquire() else {
            let text = "too many reads wait for their `minCursor`; try again shortly, or ask without it";
            return Err(Error::new(Code::Backpressure, text).retry_after_ms(250));
        };
        let waiting = async {
            loop {
                // It never ends: the sender is the store's.
                let _ = tokio::time::timeout(POLL, heard.changed()).await;
                if self.happened(&awaited).await? {
                    return Ok(());
                }
            }
        };
        let ms = config.wait_ms;
        tokio::time::timeout(Duration::from_millis(ms), waiting).await.unwrap_or_else(|_| {
            let text = format!(
                "what `minCursor` names has not happened within {ms} ms (`consistency.wait_ms`); ask again with it, \
                 or without it for what there is; `receipt(id)` says how far a record is"
            );
            Err(Error::new(Code::Timeout, text))
        })
    }

    async fn happened(&self, awaited: &Awaited) -> Result<bool> {
        match self.0.store.reached(awaited).await? {
            // Reads that begin later see it, too, wherever they are read.
            Reached::All => self.0.store.db.see_all().await.map(|()| true),
            Reached::NotYet => Ok(false),
            Reached::Parked => Err(Error::new(
                Code::Unprocessable,
                "a record that `minCursor` names is parked, or waits behind one that is; `receipt(id)` says at which \
                 plugin; ask without it for what there is",
            )),
        }
    }
}
