//! `materialize`: every record becomes the row of its key in the collection of its category and subcategory; a
//! tombstone deletes it. Must not change the document.

use std::sync::Arc;

use super::{Effect, Failure, Plugin, Subject};

/// The plugin that fills collections.
pub struct Materialize;

impl Plugin for Materialize {
    fn name(&self) -> &str {
        "materialize"
    }

    fn version(&self) -> i32 {
        1
    }

    fn matches(&self, _subject: &Subject<'_>) -> bool {
        true
    }

    fn decide(&self, subject: &Subject<'_>) -> Result<Vec<Effect>, Failure> {
        Ok(vec![match subject.document {
            Some(document) => Effect::Upsert(Arc::clone(document)),
            None => Effect::Delete,
        }])
    }
}
