//! The members of `_record` that no column of a row holds: the rest of the envelope, as the record and the ledger tell
//! it. Where one of them stands a row is written with a [mark](super::marks), which is filled once the records of the
//! whole answer are at hand. Must not read them itself.

use crate::query::{Plain, Rules};
use crate::record::{Json, Signer};
use crate::shape::Scalar;

/// A member of `_record` that the record tells.
#[derive(Debug, PartialEq)]
pub struct Told {
    /// A field's id, as that of a [`Member`](crate::query::Member).
    pub id: u32,
    /// Its published name.
    pub name: &'static str,
    /// Its type; lists and objects are written as their JSON text.
    pub scalar: Scalar,
    /// Whether it is a field of policy like those of documents. What is not can hold anything of the document, so it
    /// is shown like `rescued`, which everybody's schema has: to whom the policy shows what nobody has classified, and
    /// as null to all others.
    pub classified: bool,
    /// The members of an object.
    pub parts: &'static [(&'static str, Scalar)],
    place: u8,
}

/// All of them.
pub static TOLD: [Told; 16] = [
    told(0, "category", Scalar::String, true),
    told(1, "subcategory", Scalar::String, true),
    told(2, "contentType", Scalar::String, true),
    told(3, "payloadHash", Scalar::String, false),
    told(4, "idempotencyKey", Scalar::String, false),
    told(5, "traceparent", Scalar::String, true),
    told(6, "lastUpdated", Scalar::DateTime, true),
    told(7, "processInd", Scalar::Boolean, true),
    told(8, "deleted", Scalar::Boolean, true),
    told(9, "causationId", Scalar::Uuid, true),
    told(10, "hops", Scalar::Int, true),
    told(11, "tags", Scalar::Json, true),
    told(12, "metaData", Scalar::Json, false),
    told(13, "usageAgreements", Scalar::Json, true),
    told(14, "dataTracker", Scalar::Json, false),
    Told { parts: &SHAPE, ..told(15, "shape", Scalar::Json, false) },
];

const SHAPE: [(&str, Scalar); 2] = [("fingerprint", Scalar::String), ("version", Scalar::Int)];

const fn told(place: u8, name: &'static str, scalar: Scalar, classified: bool) -> Told {
    Told { id: u32::MAX - 100 - place as u32, name, scalar, classified, parts: &[], place }
}

/// The member of `_record` with this name that the record tells.
pub fn told_member(name: &str) -> Option<&'static Told> {
    TOLD.iter().find(|told| told.name == name)
}

/// The place of a part that is the whole.
pub(super) const WHOLE: u8 = u8::MAX;

impl Told {
    /// Its place among all of them.
    pub(super) fn place(&self) -> u8 {
        self.place
    }
}

/// Appends the value of a member, or of a part of it, as the rules show it.
pub(super) fn put(
    member: &Told,
    part: u8,
    value: Option<&Json>,
    (rules, signer): (&dyn Rules, &Signer),
    out: &mut Vec<u8>,
) {
    let (value, scalar) = match member.parts.get(usize::from(part)) {
        Some((name, scalar)) => (value.and_then(|value| value.get(name)), *scalar),
        None => (value, member.scalar),
    };
    let Some(mask) = rules.mask(member.id) else {
        return value.unwrap_or(&Json::Null).write(out);
    };
    let text = value.filter(|value| scalar == Scalar::Json && **value != Json::Null).map(Json::to_text);
    let plain = text.as_deref().map_or_else(|| Plain::of(value, scalar), Plain::Text);
    mask.apply(plain, scalar, signer, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_stands_at_its_place_under_a_number_of_its_own() {
        for (index, told) in TOLD.iter().enumerate() {
            assert_eq!(usize::from(told.place), index);
            assert!(
                crate::query::ENVELOPE.iter().all(|member| member.id != told.id && member.name != told.name)
            );
        }
    }
}
