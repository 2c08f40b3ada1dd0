//! Changes in a scope that follows relations: an image does not tell whether it is to be seen, so the store is asked,
//! once for all of a batch. Must not open a change.

use std::borrow::Borrow;

use super::Publishing;
use crate::error::Result;
use crate::policy::{Said, Scoped};
use crate::query::Query;
use crate::store::changes::Tailed;

/// Whether what such a query shows depends on related rows.
pub(super) fn follows(query: &Scoped<Query>) -> bool {
    query.scope().rows().follows() || query.get().filter().follows()
}

impl Publishing {
    /// What the store says of the images of these changes, before and after, where they are in doubt.
    ///
    /// # Errors
    /// A stale one when a shape is newer than the query.
    pub(super) async fn judged(
        &self,
        query: &Scoped<Query>,
        changes: &[impl Borrow<Tailed>],
    ) -> Result<Vec<[Said; 2]>> {
        let mut said = vec![[Said::default(); 2]; changes.len()];
        if !follows(query) {
            return Ok(said);
        }
        let (mut places, mut doubts) = (Vec::new(), Vec::new());
        let generation = query.get().collection().generation;
        for (place, change) in changes.iter().map(Borrow::borrow).enumerate() {
            if change.generation != generation {
                continue;
            }
            for (side, doubt) in query.doubts(&change.change, query.get().filter()).into_iter().enumerate() {
                if let Some(doubt) = doubt {
                    places.push((place, side));
                    doubts.push(doubt);
                }
            }
        }
        let answers = self.0.store.judge(query, &doubts).await?;
        for ((place, side), answer) in places.into_iter().zip(answers) {
            if let Some(said) = said.get_mut(place).and_then(|said| said.get_mut(side)) {
                *said = answer;
            }
        }
        Ok(said)
    }
}
