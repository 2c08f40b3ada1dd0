//! How far a collection has gone from what a contract promises of it. Must not decide what is done about it.

use super::terms::{Contract, Terms};
use super::view::{Named, narrow};
use crate::query::{Cast, Collection};
use crate::shape::{Field, Published, breaks, type_of};

/// One way in which a collection has gone from a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The collection, by the name of its query field.
    pub collection: String,
    /// The JSON pointer of the field; empty for the whole collection.
    pub path: String,
    /// What has happened, for people.
    pub text: String,
    /// Whether the consumer does not get what was promised any more.
    pub broken: bool,
}

/// How far `collection` has gone from `terms`. `pinned` is the version whose types are kept, `agreed` the one that
/// there was when the contract was applied.
pub fn drifts(
    collection: &Collection,
    contract: &Contract,
    terms: &Terms,
    pinned: Option<&Published>,
    agreed: Option<&Published>,
) -> Vec<Drift> {
    let drift = |path: &str, text: String, broken| {
        let (collection, path) = (collection.field_name.clone(), path.to_owned());
        Drift { collection, path, text, broken }
    };
    let narrowed = match narrow(collection, contract, terms, pinned) {
        Ok(narrowed) => narrowed,
        Err(error) => return vec![drift("", error.message().to_owned(), true)],
    };
    let shape = &collection.shape;
    let mut all = Vec::new();
    let casts = narrowed.collection.narrow.as_ref().map(|narrow| &narrow.casts);
    for (id, Cast { from, to, .. }) in casts.into_iter().flatten() {
        if let Some(field) = shape.field(*id) {
            let text = format!("widened from {to:?} to {from:?}; values go on to be given as {to:?}");
            all.push(drift(&field.path, text, false));
        }
    }
    // Who is pinned gets its types, whatever the collection has.
    if let Some(agreed) = agreed.filter(|_| pinned.is_none()) {
        for id in breaks(agreed, shape) {
            let now = shape.field(shape.current(id));
            let was = agreed.field(id);
            if let (Some(was), Some(now)) = (was, now.filter(|now| narrowed.fields.contains_key(&now.id)))
                && was.kind != now.kind
            {
                let text = format!("is {} now, and was {}", type_of(&now.kind), type_of(&was.kind));
                all.push(drift(&now.path, text, true));
            }
        }
    }
    gone(&shape.fields, &Named::new(&terms.fields), &mut |field, text| {
        all.push(drift(&field.path, text.to_owned(), true));
    });
    all
}

/// Calls `each` with the fields that are named and nobody but stewards may see.
fn gone(fields: &[Field], named: &Named<'_>, each: &mut impl FnMut(&Field, &str)) {
    for field in fields {
        match named.of(field) {
            Some((_, Some(_))) if field.decided.hidden => each(field, "is hidden"),
            Some((_, Some(_))) if field.holds_values() && field.unclassified => {
                each(field, "is not classified")
            }
            Some((below, _)) => gone(field.children(), below, each),
            None => {}
        }
    }
}
