//! Maps: objects whose keys are data, such as `{"2026-11-22": 1.1, "2026-11-23": 1.2}`. Which keys are, what becomes of
//! them in the tree of a shape, and which locations are published as maps.
//!
//! In the tree, keys that are data have no locations of their own: what is seen under any of them is one node. That
//! they are left out is decided by one document alone, or by the number of keys; as either only ever comes to hold, it
//! does not matter in which order or portions structures are merged.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::codes;
use super::formats::{self, Formats};
use super::structure::{ARRAY, BOOL, FOLDED, Kinds, NULL, NUMBERS, Node, OBJECT, STRING};
use crate::config;
use crate::record::Json;

/// An object with more words than this for keys, or more numbers, is kept as a map in a merged shape, whatever its
/// values are: sources of ever new keys are bound by it. Above `shape.map_keys_min`.
pub(crate) const KEYS_CEILING: usize = 1_024;

/// So many keys of currencies in one object are a list of rates or prices, not fields.
const CURRENCIES_MIN: usize = 3;

/// By how many keys, and in how many kinds of documents, it can be told that keys hardly come again.
const RARE_KEYS_MIN: usize = 24;
const RARE_STRUCTURES_MIN: u32 = 8;

/// What kind of name a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A name that somebody may have thought of.
    Word,
    /// A number of five digits or more: data when the values under such keys are alike.
    Number,
    /// A date, a UUID, an address and the like: always data.
    Data,
}

/// What was seen under the keys that are data.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Keyed {
    /// All keys are data: there were too many.
    pub(super) all: bool,
    /// Numbers are data.
    pub(super) numbers: bool,
    /// Words are among them: all keys of some document were data.
    pub(super) words: bool,
    /// Formats of personal data that some key has.
    pub(super) formats: Formats,
    /// What was seen under any of them.
    pub(super) values: Node,
}

/// Which keys of one object are data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) all: bool,
    pub(super) numbers: bool,
    any: bool,
}

impl Taken {
    /// Of an object in a document, which is not the document itself.
    pub(super) fn of(members: &[(String, Json)], limits: &config::Shape) -> Self {
        let (mut words, mut numbers) = (0, false);
        for (key, _) in members {
            match class(key) {
                Class::Word => words += 1,
                Class::Number => numbers = true,
                Class::Data => {}
            }
        }
        let count = members.len();
        let values = || members.iter().map(|(_, value)| value);
        if words == count {
            let all = (count > limits.map_keys_min || are_currencies(members)) && alike(values());
            return Taken { all, ..Taken::default() };
        }
        // A word or two among keys that are data are keys like them, when the values are.
        let all = words > 0 && words * 2 <= count && count > 2 && alike(values());
        let numbered = members.iter().filter(|(key, _)| class(key) == Class::Number);
        let numbers = numbers && alike(numbered.map(|(_, value)| value));
        Taken { all, numbers, any: true }
    }

    /// Whether this key is data.
    pub(super) fn has(self, key: &str) -> bool {
        self.all
            || self.any
                && match class(key) {
                    Class::Word => false,
                    Class::Number => self.numbers,
                    Class::Data => true,
                }
    }
}

impl Node {
    /// The node of what stands under keys that are data, of which `key` is one.
    pub(super) fn under(&mut self, key: &str, taken: Taken) -> &mut Node {
        let keyed = self.keyed.get_or_insert_default();
        keyed.words |= taken.all;
        keyed.numbers |= taken.numbers;
        keyed.formats |= personal(key);
        &mut keyed.values
    }

    /// Takes members out whose keys have turned out to be data.
    pub(super) fn settle(&mut self) {
        if self.members.len() > KEYS_CEILING {
            // Each sort by itself: how many of one are here must not depend on whether others were taken out before.
            let many = |sort| self.members.keys().filter(|key| class(key) == sort).count() > KEYS_CEILING;
            let (words, numbers) = (many(Class::Word), many(Class::Number));
            if words || numbers {
                let keyed = self.keyed.get_or_insert_default();
                keyed.all |= words;
                keyed.numbers |= numbers;
            }
        }
        let Some(keyed) = &mut self.keyed else { return };
        let (all, numbers) = (keyed.all, keyed.numbers);
        let stays = |key: &str| {
            !all && match class(key) {
                Class::Word => true,
                Class::Number => !numbers,
                Class::Data => false,
            }
        };
        if self.members.keys().all(|key| stays(key)) {
            return;
        }
        self.members.retain(|key, member| {
            let stays = stays(key);
            if !stays {
                keyed.formats |= personal(key);
                keyed.values.merge(member, 0);
                keyed.values.settle();
            }
            stays
        });
    }

    /// What was seen of all members together.
    pub(super) fn values(&self) -> Cow<'_, Node> {
        match &self.keyed {
            Some(keyed) if self.members.is_empty() => Cow::Borrowed(&keyed.values),
            keyed => {
                let mut all = keyed.as_ref().map(|keyed| keyed.values.clone()).unwrap_or_default();
                self.members.values().for_each(|member| all.merge(member, 0));
                all.settle();
                Cow::Owned(all)
            }
        }
    }

    /// Formats of personal data that some key here has.
    pub(super) fn key_formats(&self) -> Formats {
        let known = self.keyed.as_ref().map_or(0, |keyed| keyed.formats);
        self.members.keys().fold(known, |formats, key| formats | personal(key))
    }

    /// Whether it does not tell how often it has this member.
    pub(super) fn conceals(&self, key: &str) -> bool {
        let Some(keyed) = self.keyed.as_deref() else { return false };
        keyed.all
            || keyed.words
            || match class(key) {
                Class::Word => false,
                Class::Number => keyed.numbers,
                Class::Data => true,
            }
    }

    /// What is known of a published member: of one that some structure has not told apart from others, also what is
    /// known of all such, without what is in them.
    pub(super) fn member(&self, key: &str) -> Option<Cow<'_, Node>> {
        let own = self.members.get(key);
        let Some(keyed) = self.keyed.as_ref().filter(|_| self.conceals(key)) else {
            return own.map(Cow::Borrowed);
        };
        let Node { kinds, all, any, beneath, seen, items, .. } = keyed.values.clone();
        let mut both = Node { kinds, all, any, beneath, seen, items, ..Node::default() };
        if let Some(own) = own {
            both.merge(own, 0);
        }
        Some(Cow::Owned(both))
    }

    /// Whether an object that is not published yet is going to be a map.
    pub(super) fn is_map(&self, limits: &config::Shape) -> bool {
        let Some(keyed) = &self.keyed else {
            let count = self.members.len();
            return (count > limits.map_keys_min || self.keys_are_rare()) && self.is_alike();
        };
        let members = self.members.values().filter(|member| member.kinds & !NULL != 0).count();
        let like = keyed.words || members <= 2 && keyed.values.kinds & !NULL != 0;
        keyed.all || members == 0 || like && self.is_alike()
    }

    /// Whether most of many keys were seen in one kind of document only.
    fn keys_are_rare(&self) -> bool {
        let keys = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let seen: u32 = self.members.values().map(|member| member.seen.count_ones()).sum();
        self.members.len() >= RARE_KEYS_MIN
            && self.seen.count_ones() >= RARE_STRUCTURES_MIN
            && seen <= keys.saturating_add(keys / 4)
    }

    /// Whether the values under all keys are of one kind, and objects of similar members.
    fn is_alike(&self) -> bool {
        let values = self.members.values().chain(self.keyed.as_deref().map(|keyed| &keyed.values));
        let kinds = values.fold(0, |kinds, member| kinds | member.kinds);
        let objects = self.members.values().filter(|member| member.kinds & OBJECT != 0);
        is_one(kinds) && similar(objects.map(|member| member.members.keys().map(|key| &**key)))
    }
}

impl Keyed {
    pub(super) fn merge(&mut self, other: &Keyed, seen: u64) {
        self.all |= other.all;
        self.numbers |= other.numbers;
        self.words |= other.words;
        self.formats |= other.formats;
        self.values.merge(&other.values, seen);
        self.values.settle();
    }
}

/// Formats of personal data of a key.
pub(super) fn personal(key: &str) -> Formats {
    formats::of(key) & formats::PERSONAL_ANY
}

/// Whether these are kinds of one sort, `null` left aside.
fn is_one(kinds: Kinds) -> bool {
    let sorts = [BOOL, NUMBERS, STRING, OBJECT, ARRAY, FOLDED];
    sorts.iter().filter(|sort| kinds & **sort != 0).count() <= 1
}

fn alike<'a>(values: impl Iterator<Item = &'a Json> + Clone) -> bool {
    let kinds = values.clone().fold(0, |kinds, value| {
        kinds
            | match value {
                Json::Null => NULL,
                Json::Bool(_) => BOOL,
                Json::Number(_) => NUMBERS,
                Json::String(_) => STRING,
                Json::Object(_) => OBJECT,
                Json::Array(_) => ARRAY,
            }
    });
    let objects = values.filter_map(|value| match value {
        Json::Object(members) => Some(members.iter().map(|(key, _)| key.as_str())),
        _ => None,
    });
    is_one(kinds) && similar(objects)
}

/// Whether objects have, on average, at least a third of the members that any of them has. Keys that are data count as
/// the same.
fn similar<'a, K: Iterator<Item = &'a str>>(objects: impl Iterator<Item = K>) -> bool {
    let (mut all, mut had, mut count) = (BTreeSet::new(), 0, 0);
    for keys in objects {
        let own: BTreeSet<_> = keys.map(|key| if class(key) == Class::Word { key } else { "" }).collect();
        if !own.is_empty() {
            (had, count) = (had + own.len(), count + 1);
        }
        all.extend(own);
    }
    had * 3 >= count * all.len()
}

fn are_currencies(members: &[(String, Json)]) -> bool {
    members.len() >= CURRENCIES_MIN
        && members.iter().all(|(key, _)| key.len() == 3 && codes::is_currency(key))
}

/// What kind of name a key is, by its form alone.
pub(super) fn class(key: &str) -> Class {
    let bytes = key.as_bytes();
    if bytes.len() < 5 || bytes.len() > 320 {
        return Class::Word;
    }
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == bytes.len() {
        return Class::Number;
    }
    if digits == 0 && !bytes.contains(&b'@') {
        return Class::Word;
    }
    let by_form = formats::DATE
        | formats::DATE_TIME
        | formats::UUID
        | formats::ULID
        | formats::EMAIL
        | formats::IPV4
        | formats::IPV6
        | formats::PHONE
        | formats::IBAN;
    let data = digits >= 2 && (is_month(bytes) || is_hash(bytes) || is_random(bytes))
        || formats::of(key) & by_form != 0;
    if data { Class::Data } else { Class::Word }
}

/// `2026-11`
fn is_month(bytes: &[u8]) -> bool {
    match bytes {
        [b'1' | b'2', a, b, c, b'-', tens, ones] => {
            [a, b, c].iter().all(|byte| byte.is_ascii_digit())
                && matches!((tens, ones), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'))
        }
        _ => false,
    }
}

/// Sixteen hex digits or more of one case.
fn is_hash(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"0x").unwrap_or(bytes);
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let upper = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    bytes.len() >= 16 && (bytes.iter().all(lower) || bytes.iter().all(upper))
}

/// Sixteen letters and digits or more, large and small ones mixed as only chance mixes them.
fn is_random(bytes: &[u8]) -> bool {
    #[derive(PartialEq)]
    enum Sort {
        Lower,
        Upper,
        Digit,
        Sign,
    }
    let sort = |byte: &u8| match byte {
        b'a'..=b'z' => Some(Sort::Lower),
        b'A'..=b'Z' => Some(Sort::Upper),
        b'0'..=b'9' => Some(Sort::Digit),
        b'-' | b'_' => Some(Sort::Sign),
        _ => None,
    };
    if !(16..=64).contains(&bytes.len()) || bytes.iter().any(|byte| sort(byte).is_none()) {
        return false;
    }
    let has = |wanted: Sort| bytes.iter().any(|byte| sort(byte).as_ref() == Some(&wanted));
    let switches = bytes.windows(2).filter(|pair| match pair {
        [before, after] => sort(before) != sort(after),
        _ => false,
    });
    has(Sort::Lower) && has(Sort::Upper) && switches.count() * 5 >= bytes.len() * 2
}

#[cfg(test)]
mod tests;
