//! The tree behind structures and shapes: for every location the kinds and formats seen there. Structure and
//! shape are the same lattice, so that a merge cannot depend on order, on how often or in which portions it
//! is done.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::formats::{self, Formats};
use super::maps::{Keyed, Taken};
use super::{Shape, Structure, hints};
use crate::config;
use crate::error::{Error, Result};
use crate::record::{Json, write_string};

/// A set of kinds. The bits are stored in canonical texts: never give one a new meaning.
pub(super) type Kinds = u16;

pub(super) const NULL: Kinds = 1;
pub(super) const BOOL: Kinds = 2;
/// An integer of 32 bit.
pub(super) const INT32: Kinds = 4;
/// An integer beyond 32 and within 64 bit.
pub(super) const INT64: Kinds = 8;
/// An integer beyond 64 bit.
pub(super) const INTEGER: Kinds = 16;
/// A number with a fraction or an exponent.
pub(super) const FLOAT: Kinds = 32;
pub(super) const STRING: Kinds = 64;
pub(super) const OBJECT: Kinds = 128;
pub(super) const ARRAY: Kinds = 256;
/// Something below is there but has no location of its own: too deep, too many, or its key is too long.
pub(super) const FOLDED: Kinds = 512;

pub(super) const NUMBERS: Kinds = INT32 | INT64 | INTEGER | FLOAT;
pub(super) const SCALARS: Kinds = BOOL | NUMBERS | STRING;
/// What can have a format.
pub(super) const FORMED: Kinds = NUMBERS | STRING;

/// A merged shape keeps this many locations, the least deep and then the first in key order: a choice that
/// does not depend on the order of merging. Above `shape.locations_max`, so that it binds only a source of
/// ever new keys.
pub(super) const LOCATIONS_CEILING: usize = 20_000;

/// One location.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    pub(super) kinds: Kinds,
    /// Formats that every string and number here has; 0 without any.
    pub(super) all: Formats,
    /// Formats that some string or number here has.
    pub(super) any: Formats,
    /// Formats that some string has below what is folded.
    pub(super) beneath: Formats,
    /// Of a shape: one bit, chosen by fingerprint, of each structure that was seen with this location. The
    /// more bits, the more of the documents have it; a count would not be idempotent.
    pub(super) seen: u64,
    pub(super) members: BTreeMap<Box<str>, Node>,
    pub(super) items: Option<Box<Node>>,
    /// What stands under keys that are data.
    pub(super) keyed: Option<Box<Keyed>>,
}

impl Node {
    /// Takes in a value; `hinted` are formats that it has by what stands around it, `key` is that of the member that it
    /// is or that it is in, through lists.
    fn observe(
        &mut self,
        value: &Json,
        (hinted, key): (Formats, &str),
        depth: usize,
        limits: &config::Shape,
    ) {
        match value {
            Json::Null => self.kinds |= NULL,
            Json::Bool(_) => self.kinds |= BOOL,
            Json::Number(text) => self.form(number(text), formats::of_number(text) | hinted),
            Json::String(text) => self.form(STRING, formats::of(text) | hinted),
            Json::Object(members) => {
                self.kinds |= OBJECT;
                let taken = match depth {
                    0 => Taken::default(),
                    _ => Taken::of(members, limits),
                };
                for (name, value) in members {
                    let data = taken.has(name);
                    if depth >= limits.depth_max || !data && name.len() > limits.key_bytes_max {
                        self.fold(formats_below(value));
                        continue;
                    }
                    if data {
                        let around = (hints::of_item(key, value), key);
                        self.under(name, taken).observe(value, around, depth + 1, limits);
                        continue;
                    }
                    let around = (hints::of_member(name.as_str(), value, members), name.as_str());
                    if let Some(member) = self.members.get_mut(name.as_str()) {
                        member.observe(value, around, depth + 1, limits);
                    } else {
                        let mut member = Node::default();
                        member.observe(value, around, depth + 1, limits);
                        self.members.insert(name.as_str().into(), member);
                    }
                }
                if depth > 0 {
                    self.settle();
                }
            }
            Json::Array(items) => {
                self.kinds |= ARRAY;
                for value in items {
                    if depth >= limits.depth_max {
                        self.fold(formats_below(value));
                    } else {
                        let around = (hints::of_item(key, value) | hinted, key);
                        self.items.get_or_insert_default().observe(value, around, depth + 1, limits);
                    }
                }
            }
        }
    }

    /// Takes in a string or a number of these formats.
    fn form(&mut self, kind: Kinds, formats: Formats) {
        self.all = if self.kinds & FORMED == 0 { formats } else { self.all & formats };
        self.any |= formats;
        self.kinds |= kind;
    }

    fn fold(&mut self, beneath: Formats) {
        self.kinds |= FOLDED;
        self.beneath |= beneath;
    }

    /// Takes in what `other` has seen, marked with `seen`.
    pub(super) fn merge(&mut self, other: &Node, seen: u64) {
        self.all = match (self.kinds & FORMED != 0, other.kinds & FORMED != 0) {
            (true, true) => self.all & other.all,
            (true, false) => self.all,
            (false, _) => other.all,
        };
        self.kinds |= other.kinds;
        self.any |= other.any;
        self.beneath |= other.beneath;
        self.seen |= other.seen | seen;
        for (key, theirs) in &other.members {
            let ours = match self.members.get_mut(key) {
                Some(ours) => ours,
                None => self.members.entry(key.clone()).or_default(),
            };
            ours.merge(theirs, seen);
            ours.settle();
        }
        if let Some(theirs) = &other.items {
            let ours = self.items.get_or_insert_default();
            ours.merge(theirs, seen);
            ours.settle();
        }
        if let Some(theirs) = &other.keyed {
            self.keyed.get_or_insert_default().merge(theirs, seen);
        }
    }

    /// The locations right below.
    pub(super) fn children(&self) -> impl Iterator<Item = &Node> {
        let keyed = self.keyed.as_deref().map(|keyed| &keyed.values);
        self.members.values().chain(self.items.as_deref()).chain(keyed)
    }

    /// Formats that some string has, here or below, or some key that is data.
    pub(super) fn formats(&self) -> Formats {
        let keys = self.keyed.as_ref().map_or(0, |keyed| keyed.formats);
        self.children().fold(self.any | self.beneath | keys, |formats, child| formats | child.formats())
    }

    fn count(&self, depth: usize, counts: &mut Vec<usize>) {
        if counts.len() <= depth {
            counts.push(0);
        }
        if let Some(count) = counts.get_mut(depth) {
            *count += 1;
        }
        self.children().for_each(|child| child.count(depth + 1, counts));
    }

    /// Keeps the first `locations_max` locations by depth and then by path. As these are the first of any set
    /// that they are in, truncating parts before they are merged changes nothing: the merge stays
    /// associative.
    pub(super) fn truncate(&mut self, locations_max: usize) {
        let mut counts = Vec::new();
        self.count(0, &mut counts);
        let mut left = locations_max.max(1);
        for (depth, count) in counts.iter().enumerate() {
            if *count > left {
                return self.keep(depth, &mut left);
            }
            left -= count;
        }
    }

    /// Keeps everything above `depth` more levels, `left` locations at that depth and nothing below.
    fn keep(&mut self, depth: usize, left: &mut usize) {
        let mut beneath = None;
        let mut kept = |child: &mut Node| {
            if depth > 1 {
                child.keep(depth - 1, left);
                return true;
            }
            if depth == 1 && *left > 0 {
                *left -= 1;
                child.keep(0, left);
                return true;
            }
            beneath = Some(beneath.unwrap_or(0) | child.formats());
            false
        };
        self.members.retain(|_, child| kept(child));
        if self.items.as_deref_mut().is_some_and(|items| !kept(items)) {
            self.items = None;
        }
        if let Some(keyed) = self.keyed.as_deref_mut()
            && !kept(&mut keyed.values)
        {
            let keys = keyed.formats;
            self.keyed = None;
            self.fold(keys);
        }
        if let Some(beneath) = beneath {
            self.fold(beneath);
        }
    }

    /// `[kinds,all,any,beneath,seen`, the last four left out when nothing follows and they are 0.
    pub(super) fn write_head(&self, below: bool, out: &mut Vec<u8>) {
        out.push(b'[');
        out.extend_from_slice(itoa::Buffer::new().format(self.kinds).as_bytes());
        if below || self.seen != 0 || self.all | self.any | self.beneath != 0 {
            [self.all, self.any, self.beneath]
                .into_iter()
                .for_each(|formats| write_next(formats.into(), out));
            write_next(self.seen, out);
        }
    }

    /// `[kinds,all,any,beneath,seen,{members},items,[flags,formats,values]]`, with what is empty at the end left out.
    /// Items that are not there are `0` before what stands under keys that are data.
    fn write(&self, out: &mut Vec<u8>) {
        let (members, items) = (!self.members.is_empty(), self.items.is_some() || self.keyed.is_some());
        self.write_head(members || items, out);
        if members || items {
            out.extend_from_slice(b",{");
            for (index, (key, member)) in self.members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                member.write(out);
            }
            out.push(b'}');
        }
        match (&self.items, &self.keyed) {
            (Some(items), _) => {
                out.push(b',');
                items.write(out);
            }
            (None, Some(_)) => write_next(0, out),
            (None, None) => {}
        }
        if let Some(keyed) = &self.keyed {
            out.extend_from_slice(b",[");
            let flags = [keyed.all, keyed.numbers, keyed.words].map(u8::from);
            out.push(flags.iter().zip([1, 2, 4]).fold(b'0', |sum, (flag, bit)| sum + flag * bit));
            write_next(keyed.formats.into(), out);
            out.push(b',');
            keyed.values.write(out);
            out.push(b']');
        }
        out.push(b']');
    }

    fn read(value: &Value) -> Option<Node> {
        let parts = value.as_array()?;
        let wide = |index: usize| parts.get(index).map_or(Some(0), Value::as_u64);
        let number = |index: usize| u32::try_from(wide(index)?).ok();
        let mut node = Node {
            kinds: Kinds::try_from(wide(0)?).ok()?,
            all: number(1)?,
            any: number(2)?,
            beneath: number(3)?,
            seen: wide(4)?,
            ..Node::default()
        };
        if let Some(members) = parts.get(5) {
            for (key, value) in members.as_object()? {
                node.members.insert(key.as_str().into(), Node::read(value)?);
            }
        }
        if let Some(items) = parts.get(6).filter(|items| items.is_array()) {
            node.items = Some(Box::new(Node::read(items)?));
        }
        if let Some(keyed) = parts.get(7) {
            let flags = keyed.get(0)?.as_u64()?;
            node.keyed = Some(Box::new(Keyed {
                all: flags & 1 != 0,
                numbers: flags & 2 != 0,
                words: flags & 4 != 0,
                formats: Formats::try_from(keyed.get(1)?.as_u64()?).ok()?,
                values: Node::read(keyed.get(2)?)?,
            }));
        }
        Some(node)
    }

    fn from_text(text: &str) -> Result<Node> {
        let value: Value = serde_json::from_str(text).map_err(Error::internal)?;
        Node::read(&value).ok_or_else(|| Error::internal("a stored shape cannot be read"))
    }

    fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        // Everything written came from `str`.
        String::from_utf8(out).unwrap_or_default()
    }
}

fn write_next(number: u64, out: &mut Vec<u8>) {
    out.push(b',');
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Formats that some string or number has, in the value and below.
pub(super) fn formats_below(value: &Json) -> Formats {
    match value {
        Json::String(text) => formats::of(text),
        Json::Number(text) => formats::of_number(text),
        Json::Array(items) => items.iter().fold(0, |formats, item| formats | formats_below(item)),
        Json::Object(members) => members.iter().fold(0, |formats, (_, value)| formats | formats_below(value)),
        _ => 0,
    }
}

/// The kind of a number by its text: `1.0` is a float, whatever its value.
pub(super) fn number(text: &str) -> Kinds {
    if text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return INT32;
    }
    if text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return FLOAT;
    }
    match text.parse::<i64>() {
        Ok(number) if i32::try_from(number).is_ok() => INT32,
        Ok(_) => INT64,
        Err(_) => INTEGER,
    }
}

impl Structure {
    /// Derives it in one walk.
    pub fn derive(document: &Json, limits: &config::Shape) -> Self {
        let mut root = Node::default();
        root.observe(document, (0, ""), 0, limits);
        Structure::bounded(root, limits)
    }

    /// The structure of all that has been observed.
    pub(super) fn bounded(mut root: Node, limits: &config::Shape) -> Self {
        root.truncate(limits.locations_max);
        Structure { root }
    }

    /// Canonical text, stored once per collection and fingerprint.
    pub fn to_text(&self) -> String {
        self.root.to_text()
    }

    /// The structure of a canonical text.
    ///
    /// # Errors
    /// `INTERNAL` when it is none.
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Structure { root: Node::from_text(text)? })
    }

    /// First 8 bytes of the SHA-256 of the canonical text.
    pub fn fingerprint(&self) -> i64 {
        fingerprint(&self.to_text())
    }
}

/// [`Structure::fingerprint`] of a canonical text that is at hand already.
pub fn fingerprint(text: &str) -> i64 {
    let hash = Sha256::digest(text.as_bytes());
    i64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
}

impl Shape {
    /// Takes one structure in.
    pub fn merge(&mut self, structure: &Structure) {
        self.root.merge(&structure.root, 1 << structure.fingerprint().rem_euclid(64));
        self.root.truncate(LOCATIONS_CEILING);
    }

    /// Takes in all that another shape has taken in.
    pub fn merge_shape(&mut self, other: &Shape) {
        self.root.merge(&other.root, 0);
        self.root.truncate(LOCATIONS_CEILING);
    }

    /// For storage.
    pub fn to_text(&self) -> String {
        self.root.to_text()
    }

    /// From storage.
    ///
    /// # Errors
    /// `INTERNAL` when it was not written by [`Shape::to_text`].
    pub fn from_text(text: &str) -> Result<Self> {
        Ok(Shape { root: Node::from_text(text)? })
    }
}
