//! Keys of records where they stand outside of rows: in dead letters and receipts. They are shown as the collection's
//! rows show them, for a uid can be personal data. Must not read anything.

use crate::error::{Error, Result};
use crate::policy::{Collections, Engine};
use crate::query::{Collection, Extras, Mask, Plain, Projector};
use crate::record::{Actor, Json, Limits, Signer, parse};
use crate::shape::Scalar;

impl Engine {
    /// The key of a record of `collection` as `actor` may see it. Where its rows would not show one, or have none yet,
    /// a code stands for it that is the same for the same key; whoever sees raw records sees every key.
    ///
    /// # Errors
    /// Those of [`Engine::scope`].
    pub fn shown_key(
        &self,
        actor: &Actor,
        (collections, collection): (&Collections, Option<&Collection>),
        key: &str,
        signer: &Signer,
    ) -> Result<String> {
        if actor.sees_raw() {
            return Ok(key.to_owned());
        }
        let scope = collection.map(|one| self.scope(actor, collections, one)).transpose()?.flatten();
        let mut shown = Vec::new();
        if let Some(scope) = scope {
            let extras = Extras { rest: false, rescued: false };
            Projector { rules: scope.as_ref(), extras, signer, bytes_max: usize::MAX }
                .key(Some(key), &mut shown);
        }
        if shown.is_empty() || shown == b"null" {
            shown.clear();
            Mask::Hash.apply(Plain::Text(key), Scalar::String, signer, &mut shown);
        }
        match parse(&shown, Limits::ACCEPTED).map_err(Error::internal)? {
            Json::String(text) => Ok(text),
            _ => Err(Error::internal("a key is shown as something else than a text")),
        }
    }
}
