//! Marks: where a row's text still lacks something that is read later, once for all rows: what records tell, and rows
//! of other collections. Whoever answers puts it in. Must not read anything itself.

use std::collections::{BTreeSet, HashMap};

use memchr::memchr2;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::told::{self, TOLD, Told};
use crate::query::{Budget, Plain, Rules};
use crate::record::{Json, Signer};

/// Begins a mark for what a record tells: no JSON text has it, as it would be escaped.
const TOLD_MARK: u8 = 1;
/// The rest of such a mark: the member's place, the part's place, the record's id.
const TOLD_LENGTH: usize = 2 + 16;
/// Begins a mark for rows of another collection; what follows are the place of the relation, the key's length, and
/// the key. The length is [`NO_KEY`] when there is none.
const RELATED_MARK: u8 = 2;
const NO_KEY: u32 = u32::MAX;

/// What a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark<'a> {
    /// A member of this record, or a part of it.
    Told(&'static Told, u8, Uuid),
    /// The rows with this key, by the relation at this place.
    Related(usize, Option<&'a str>),
}

/// Leaves a mark for a member of this record, or for a part of it.
pub(super) fn told(member: &Told, part: u8, record: Uuid, out: &mut Vec<u8>) {
    out.extend_from_slice(&[TOLD_MARK, member.place(), part]);
    out.extend_from_slice(record.as_bytes());
}

/// Leaves a mark for the rows with this key, by the relation at this place of its query's.
///
/// # Errors
/// `INTERNAL` for more relations or longer keys than a mark can tell.
pub(super) fn related(place: usize, key: Plain<'_>, out: &mut Vec<u8>) -> Result<()> {
    let place = u16::try_from(place).map_err(Error::internal)?;
    out.push(RELATED_MARK);
    out.extend_from_slice(&place.to_be_bytes());
    let mut digits = itoa::Buffer::new();
    let key = match key {
        Plain::Text(text) => Some(text),
        Plain::Int(number) => Some(digits.format(number)),
        Plain::Null | Plain::Bool(_) | Plain::Float(_) => None,
    };
    let length = key.map_or(Ok(NO_KEY), |key| u32::try_from(key.len())).map_err(Error::internal)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(key.unwrap_or_default().as_bytes());
    Ok(())
}

/// The next mark, with what stands before and behind it.
fn next(text: &[u8]) -> Option<(&[u8], Mark<'_>, &[u8])> {
    let (before, rest) = text.split_at_checked(memchr2(TOLD_MARK, RELATED_MARK, text)?)?;
    let (kind, rest) = rest.split_first()?;
    if *kind == TOLD_MARK {
        let (mark, behind) = rest.split_at_checked(TOLD_LENGTH)?;
        let [place, part, id @ ..] = mark else { return None };
        let member = TOLD.get(usize::from(*place))?;
        return Some((before, Mark::Told(member, *part, Uuid::from_slice(id).ok()?), behind));
    }
    let (place, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let place = usize::from(u16::from_be_bytes(*place));
    let length = u32::from_be_bytes(*length);
    if length == NO_KEY {
        return Some((before, Mark::Related(place, None), rest));
    }
    let (key, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((before, Mark::Related(place, Some(std::str::from_utf8(key).ok()?)), behind))
}

/// Whether a text has marks.
pub fn is_marked(text: &[u8]) -> bool {
    memchr2(TOLD_MARK, RELATED_MARK, text).is_some()
}

/// What marks ask for.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Records that tell something.
    pub records: BTreeSet<Uuid>,
    /// Keys of rows, by the places of relations.
    pub keys: HashMap<usize, BTreeSet<String>>,
}

impl Wanted {
    /// Adds what marks in this text ask for.
    pub fn add(&mut self, mut text: &[u8]) {
        while let Some((_, mark, behind)) = next(text) {
            match mark {
                Mark::Told(_, _, record) => drop(self.records.insert(record)),
                Mark::Related(place, key) => {
                    let keys = self.keys.entry(place).or_default();
                    keys.extend(key.filter(|key| !keys.contains(*key)).map(str::to_owned));
                }
            }
            text = behind;
        }
    }
}

/// What a relation leads to.
#[derive(Debug, Default)]
pub struct Found {
    /// By the key.
    pub by_key: HashMap<String, Vec<u8>>,
    /// What stands where nothing was found.
    pub none: Vec<u8>,
    /// How many rows were found.
    pub rows: usize,
}

/// What marks are filled with.
pub struct Filling<'a> {
    /// What records tell; of one that is not among them, null.
    pub told: HashMap<Uuid, Json>,
    /// What relations lead to, by their places.
    pub found: HashMap<usize, Found>,
    /// How what records tell is shown.
    pub rules: &'a dyn Rules,
    /// Hashes masked values.
    pub signer: &'a Signer,
}

impl Filling<'_> {
    /// Appends a text with what its marks ask for. What is put in is taken from the budget.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when it does not go far enough.
    pub fn fill(&self, mut text: &[u8], budget: &Budget, out: &mut Vec<u8>) -> Result<()> {
        while let Some((before, mark, behind)) = next(text) {
            out.extend_from_slice(before);
            let from = out.len();
            match mark {
                Mark::Told(member, part, record) => {
                    let value = self.told.get(&record).and_then(|record| record.get(member.name));
                    told::put(member, part, value, (self.rules, self.signer), out);
                    budget.take(out.len() - from)?;
                }
                Mark::Related(place, key) => {
                    let found = self.found.get(&place);
                    let found = found.ok_or_else(|| Error::internal("a mark of an unknown relation"))?;
                    let there = key.and_then(|key| found.by_key.get(key)).unwrap_or(&found.none);
                    budget.take(there.len())?;
                    out.extend_from_slice(there);
                }
            }
            text = behind;
        }
        out.extend_from_slice(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]

    use super::*;
    use crate::query::told::WHOLE;
    use crate::query::{Filter, Mask, told_member};

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

    fn filled(mask: Option<Mask>, budget: usize) -> Result<String> {
        let (here, gone) = (Uuid::from_u128(0x0101_0202), Uuid::from_u128(2));
        let value = serde_json::json!({
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
            told(told_member(name).unwrap(), part, record, &mut text);
        }
        for (place, key) in [
            (0, Plain::Text("\u{1}\u{2}é")),
            (258, Plain::Int(-12)),
            (258, Plain::Null),
            (258, Plain::Text("")),
            (0, Plain::Text("none")),
        ] {
            text.push(b',');
            related(place, key, &mut text).unwrap();
        }
        text.push(b']');
        let mut wanted = Wanted::default();
        wanted.add(&text);
        assert_eq!(wanted.records, [gone, here].into());
        assert_eq!(wanted.keys[&0], ["\u{1}\u{2}é".to_owned(), "none".into()].into());
        assert_eq!(wanted.keys[&258], ["-12".to_owned(), String::new()].into());
        let found = |key: &str, text: &str, none: &str| Found {
            by_key: HashMap::from([(key.to_owned(), text.as_bytes().to_vec())]),
            none: none.as_bytes().to_vec(),
            rows: 1,
        };
        let filling = Filling {
            told: HashMap::from([(here, Json::from(value))]),
            found: HashMap::from([(0, found("\u{1}\u{2}é", "{}", "null")), (258, found("-12", "[1]", "[]"))]),
            rules: &Masked(mask),
            signer: &Signer::new(b"key"),
        };
        let mut out = Vec::new();
        filling.fill(&text, &Budget::new(budget), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn marks_are_filled_and_what_records_tell_is_masked() {
        assert_eq!(filled(None, 100).unwrap(), r#"[3,["a\u0001"],7,"order",null,null,{},[1],[],[],null]"#);
        assert_eq!(
            filled(Some(Mask::KeepFirst(2)), 100).unwrap(),
            r#"[null,null,null,"or…",null,null,{},[1],[],[],null]"#
        );
        for budget in [10, 40] {
            assert_eq!(filled(None, budget).unwrap_err().code(), crate::error::Code::TooComplex);
        }
    }
}
