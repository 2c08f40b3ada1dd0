//! The members of `_record` that no column of a row holds: the rest of the envelope, as the record and the ledger tell
//! it. Where one of them stands a row is written with a mark; [`fill`] puts the values in once the records of the
//! whole answer are at hand. Must not read them itself.

use std::collections::HashMap;

use memchr::memchr;
use uuid::Uuid;

use crate::query::{Budget, Plain, Rules};
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

/// Begins a mark: no JSON text has it, as it would be escaped.
const MARK: u8 = 1;
/// A mark's length: itself, the member's place, the part's place, the record's id.
const LENGTH: usize = 3 + 16;
/// The place of a part that is the whole.
pub(super) const WHOLE: u8 = u8::MAX;

/// Leaves a mark for a member of this record, or for a part of it.
pub(super) fn mark(member: &Told, part: u8, record: Uuid, out: &mut Vec<u8>) {
    out.extend_from_slice(&[MARK, member.place, part]);
    out.extend_from_slice(record.as_bytes());
}

/// The next mark: what stands before it, member, part, record, and what stands behind it.
type Marked<'a> = (&'a [u8], &'static Told, u8, Uuid, &'a [u8]);

fn next(text: &[u8]) -> Option<Marked<'_>> {
    let (before, rest) = text.split_at_checked(memchr(MARK, text)?)?;
    let (mark, behind) = rest.split_at_checked(LENGTH)?;
    let [_, place, part, id @ ..] = mark else { return None };
    let member = TOLD.get(usize::from(*place))?;
    Some((before, member, *part, Uuid::from_slice(id).ok()?, behind))
}

/// Whether a text has marks.
pub fn is_marked(text: &[u8]) -> bool {
    memchr(MARK, text).is_some()
}

/// Adds the records that marks in this text ask for.
pub fn asked(mut text: &[u8], records: &mut Vec<Uuid>) {
    while let Some((_, _, _, record, behind)) = next(text) {
        records.push(record);
        text = behind;
    }
}

/// Appends a text with what its marks ask for, masked as the rules say; of a record that is not told, null. What is
/// put in is taken from the budget.
///
/// # Errors
/// `TOO_COMPLEX` when it does not go far enough.
pub fn fill(
    mut text: &[u8],
    told: &HashMap<Uuid, Json>,
    rules: &dyn Rules,
    signer: &Signer,
    budget: &Budget,
    out: &mut Vec<u8>,
) -> crate::error::Result<()> {
    while let Some((before, member, part, record, behind)) = next(text) {
        out.extend_from_slice(before);
        let from = out.len();
        let value = told.get(&record).and_then(|record| record.get(member.name));
        put(member, part, value, rules, signer, out);
        budget.take(out.len() - from)?;
        text = behind;
    }
    out.extend_from_slice(text);
    Ok(())
}

fn put(member: &Told, part: u8, value: Option<&Json>, rules: &dyn Rules, signer: &Signer, out: &mut Vec<u8>) {
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
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use crate::query::{Filter, Mask};

    struct Masked(Option<Mask>);

    impl Rules for Masked {
        fn hidden(&self, _: u32) -> bool {
            false
        }

        fn mask(&self, _: u32) -> Option<&Mask> {
            self.0.as_ref()
        }

        fn condition(&self, _: u32) -> Option<&Filter> {
            None
        }
    }

    fn filled(mask: Option<Mask>, budget: usize) -> crate::error::Result<String> {
        let (here, gone) = (Uuid::from_u128(0x0101_0101), Uuid::from_u128(2));
        let told = serde_json::json!({
            "hops": 3, "tags": ["a\u{1}"], "shape": {"fingerprint": "f", "version": 7}, "category": "order",
        });
        let mut text = Vec::new();
        for (name, part, record) in [
            ("hops", WHOLE, here),
            ("tags", WHOLE, here),
            ("shape", 1, here),
            ("category", WHOLE, here),
            ("hops", WHOLE, gone),
            ("traceparent", WHOLE, here),
        ] {
            text.extend_from_slice(if text.is_empty() { b"[" } else { b"," });
            mark(told_member(name).unwrap(), part, record, &mut text);
        }
        text.push(b']');
        let mut records = Vec::new();
        asked(&text, &mut records);
        assert_eq!(records, [here, here, here, here, gone, here]);
        let (told, signer) = (HashMap::from([(here, Json::from(told))]), Signer::new(b"key"));
        let mut out = Vec::new();
        fill(&text, &told, &Masked(mask), &signer, &Budget::new(budget), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn marks_are_filled_from_their_records_and_masked() {
        assert_eq!(filled(None, 100).unwrap(), r#"[3,["a\u0001"],7,"order",null,null]"#);
        assert_eq!(filled(Some(Mask::KeepFirst(2)), 100).unwrap(), r#"[null,null,null,"or…",null,null]"#);
        assert_eq!(filled(None, 10).unwrap_err().code(), crate::error::Code::TooComplex);
    }

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
