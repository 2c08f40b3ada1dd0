//! Any two versions of a collection compared, within the caller's scope: what is different, and who of the one's
//! consumers can read the other.

use serde_json::{Value, json};

use super::{Publishing, Visible, manage};
use crate::error::{Error, Result};
use crate::shape::{Published, breaks, diff};

impl Publishing {
    /// The GraphQL type `ShapeDiff`; without `to` it is the version now, without `from` the one before that.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version that there is not; `BAD_REQUEST` when `from` is the later one.
    pub async fn shape_diff(
        &self,
        (collection, scope): &Visible,
        from: Option<i64>,
        to: Option<i64>,
    ) -> Result<Value> {
        let to = to.unwrap_or_else(|| i64::from(collection.shape.version));
        let from = from.unwrap_or_else(|| to.saturating_sub(1).max(0));
        if from > to {
            let text = format!("`from` ({from}) is later than `to` ({to}); exchange them");
            return Err(Error::bad_request(text));
        }
        let next = self.published(collection.id, to).await?;
        let previous = self.published(collection.id, from).await?;
        let shown = |id: &u32| scope.access(*id) != &crate::policy::Access::Hidden;
        let broken = |known: &Published, served: &Published| {
            breaks(known, served).into_iter().filter(shown).collect::<Vec<u32>>()
        };
        let (backward, forward) = (broken(&previous, &next), broken(&next, &previous));
        let differences = diff(&previous, &next).into_iter().filter(|one| manage::shown(one, scope));
        let changes = differences.map(|one| {
            let mut told = manage::change(&one);
            if let Some(members) = told.as_object_mut() {
                members.insert("backward".into(), json!(!backward.contains(&one.field_id)));
                members.insert("forward".into(), json!(!forward.contains(&one.field_id)));
            }
            told
        });
        Ok(json!({
            "from": from,
            "to": to,
            "changes": changes.collect::<Vec<_>>(),
            "compatible": {
                "backward": backward.is_empty(),
                "forward": forward.is_empty(),
                "full": backward.is_empty() && forward.is_empty(),
            },
        }))
    }

    async fn published(&self, collection_id: i64, version: i64) -> Result<Published> {
        let unknown = || {
            Error::not_found(format!(
                "there is no version {version}; `versions` of the collection lists them"
            ))
        };
        self.0.store.published(collection_id, version).await?.ok_or_else(unknown)
    }
}
