//! How many requests of each actor are in work at once on this node. Must not know what they ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::error::{Code, Error, Result};
use crate::record::Actor;

/// Who asks: the subject, and the name of the contract that it asks under.
type Who = (String, Option<String>);

/// Counts requests in work.
#[derive(Default)]
pub(super) struct Working(Mutex<HashMap<Who, usize>>);

/// A place among an actor's requests, until it is dropped.
pub(super) struct Place<'a> {
    working: &'a Working,
    who: Who,
}

impl Working {
    /// Takes a place.
    ///
    /// # Errors
    /// `RATE_LIMITED` when `max` of the actor's requests are in work.
    pub(super) fn enter(&self, actor: &Actor, max: usize) -> Result<Place<'_>> {
        let who = (actor.subject.clone(), actor.contract.as_ref().map(|bound| bound.name.clone()));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(who.clone()).or_default();
        if *count >= max {
            let text =
                format!("{max} of your requests are in work at once, which is the most; wait for one to end");
            return Err(Error::new(Code::RateLimited, text).retry_after_ms(PAUSE_MS));
        }
        *count += 1;
        Ok(Place { working: self, who })
    }
}

/// After which time one of them may have ended.
const PAUSE_MS: u64 = 250;

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counts = self.working.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_actor_has_its_places() {
        let working = Working::default();
        let [ann, bob] =
            ["ann", "bob"].map(|subject| Actor { subject: subject.into(), ..Actor::anonymous() });
        let first = working.enter(&ann, 2).unwrap();
        let _second = working.enter(&ann, 2).unwrap();
        let refused = working.enter(&ann, 2).err().unwrap();
        assert_eq!((refused.code(), refused.retry_after()), (Code::RateLimited, Some(PAUSE_MS)));
        assert!(working.enter(&bob, 2).is_ok());
        drop(first);
        assert!(working.enter(&ann, 2).is_ok());
        assert_eq!(working.0.lock().unwrap().len(), 1, "who has nothing in work takes no room");
    }
}
