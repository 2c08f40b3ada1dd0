//! Projecting the text of list and map columns and of packed objects: a scanner that copies what is selected and skips
//! the rest.
//!
//! It relies on what we write ourselves: compact text, keys that are GraphQL names but for those of maps, which are
//! escaped in one way. It must never see a raw
//! record; whatever it does not expect ends in `None`.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use memchr::{memchr, memchr2};

use crate::query::{Cast, Mask, Plain, write};
use crate::record::{Json, Limits, Signer, parse, write_string};
use crate::shape::{Enumeration, Scalar};

/// What is shown of each item of a list, or of a member of such an item.
#[derive(Debug)]
pub(super) enum Item {
    /// The value's own bytes.
    Copy,
    /// The same, of an `Int`, which may have been widened since it was planned.
    Int,
    /// A `BigInt`, in quotes; rows from before it was widened have none.
    BigInt,
    /// A `Float`, without quotes; rows from before it was widened may have some.
    Float,
    /// A text by the name that its enum has for it.
    Enum(Enumeration),
    /// A scalar in the type that a contract keeps, maybe replaced.
    Cast(Cast, Option<Mask>),
    /// A scalar, replaced.
    Masked(Scalar, Mask),
    /// An object's selected members.
    Object(Vec<Member>),
    /// An object's selected members by the text that says which variant it is; null of others.
    Cases(Named, Vec<(String, Vec<Member>)>),
    /// Each item of a list in the list.
    List(Box<Item>),
    /// The entries of a map.
    Map(Entries),
    /// Nothing of it.
    Null,
    /// Not the value, but this JSON text.
    Text(Vec<u8>),
}

/// Where the text is that says which variant an object is.
#[derive(Debug)]
pub(super) enum Named {
    /// In the object, by this name.
    Member(Vec<u8>),
    /// In the row: this of its texts.
    Row(usize),
}

/// One selected member of an object in a list.
#[derive(Debug)]
pub(super) struct Member {
    /// The published name; empty for what is no field.
    name: Vec<u8>,
    /// `"key":`
    head: Vec<u8>,
    item: Item,
    /// Shown only where this of the row's conditions holds.
    condition: Option<usize>,
}

impl Member {
    pub(super) fn new(name: &str, key: &str, item: Item, condition: Option<usize>) -> Self {
        let mut head = Vec::with_capacity(key.len() + 3);
        write::text(key, &mut head);
        head.push(b':');
        Member { name: name.as_bytes().to_vec(), head, item, condition }
    }
}

/// What is shown of a map.
#[derive(Debug)]
pub(super) struct Entries {
    /// Only those with these keys, as they stand in the text.
    keys: Option<HashSet<Vec<u8>>>,
    first: usize,
    parts: Vec<Part>,
}

/// One selected member of an entry.
#[derive(Debug)]
pub(super) struct Part {
    /// `"key":`, or all of it
    head: Vec<u8>,
    what: PartOf,
}

#[derive(Debug)]
enum PartOf {
    Nothing,
    Key,
    Value(Item),
}

impl Part {
    fn new(name: &str, what: PartOf) -> Self {
        let mut head = Vec::with_capacity(name.len() + 3);
        write::text(name, &mut head);
        head.push(b':');
        Part { head, what }
    }

    pub(super) fn typename(name: &str, own: &str) -> Self {
        let mut part = Part::new(name, PartOf::Nothing);
        write::text(own, &mut part.head);
        part
    }

    pub(super) fn key(name: &str) -> Self {
        Part::new(name, PartOf::Key)
    }

    pub(super) fn value(name: &str, item: Item) -> Self {
        Part::new(name, PartOf::Value(item))
    }
}

impl Item {
    pub(super) fn map(keys: Option<&BTreeSet<String>>, first: usize, parts: Vec<Part>) -> Self {
        let written = |key: &String| {
            let mut out = Vec::new();
            write_string(key, &mut out);
            out
        };
        Item::Map(Entries { keys: keys.map(|keys| keys.iter().map(written).collect()), first, parts })
    }
}

/// What a value is written with.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Which of the row's conditions hold.
    pub(super) shown: &'a [bool],
    /// The row's texts that say which variants there are.
    pub(super) texts: &'a [Option<&'a str>],
    /// Hashes masked values.
    pub(super) signer: &'a Signer,
    /// How long the output may become.
    pub(super) end: usize,
    /// Set when a value does not fit the type that a contract keeps.
    pub(super) misfit: &'a Cell<Option<Cast>>,
}

/// Appends what is selected of the value that `text` holds. `None` when it holds something else, or the output has
/// become too long.
pub(super) fn project(text: &str, item: &Item, around: Around<'_>, out: &mut Vec<u8>) -> Option<()> {
    if matches!(item, Item::List(item) if matches!(**item, Item::Copy)) {
        out.extend_from_slice(text.as_bytes());
        return Some(());
    }
    let scan = Scan { bytes: text.as_bytes(), around };
    scan.item(0, item, out).map(drop)
}

struct Scan<'a> {
    bytes: &'a [u8],
    around: Around<'a>,
}

impl Scan<'_> {
    fn at(&self, place: usize) -> Option<u8> {
        self.bytes.get(place).copied()
    }

    /// The place behind a string whose opening quote stands before `place`.
    fn string_end(&self, mut place: usize) -> Option<usize> {
        loop {
            place += memchr2(b'"', b'\\', self.bytes.get(place..)?)?;
            if self.at(place)? == b'"' {
                return Some(place + 1);
            }
            place += 2;
        }
    }

    fn value_end(&self, mut place: usize) -> Option<usize> {
        match self.at(place)? {
            b'"' => self.string_end(place + 1),
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match self.at(place)? {
                        b'"' => {
                            place = self.string_end(place + 1)?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => {
                            depth -= 1;
                            if depth == 0 {
                                return Some(place + 1);
                            }
                        }
                        _ => {}
                    }
                    place += 1;
                }
            }
            _ => {
                let rest = self.bytes.get(place..)?;
                let end = rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'));
                Some(place + end.unwrap_or(rest.len()))
            }
        }
    }

    /// Appends the list that begins at `place`; returns the place behind it.
    fn list(&self, place: usize, item: &Item, out: &mut Vec<u8>) -> Option<usize> {
        if self.at(place)? != b'[' {
            out.extend_from_slice(b"null");
            return self.value_end(place);
        }
        out.push(b'[');
        if self.at(place + 1)? == b']' {
            out.push(b']');
            return Some(place + 2);
        }
        let mut place = place + 1;
        loop {
            place = self.item(place, item, out)?;
            match self.at(place)? {
                b',' => out.push(b','),
                b']' => {
                    out.push(b']');
                    return Some(place + 1);
                }
                _ => return None,
            }
            place += 1;
        }
    }

    fn item(&self, place: usize, item: &Item, out: &mut Vec<u8>) -> Option<usize> {
        if out.len() > self.around.end {
            return None;
        }
        match item {
            Item::Object(members) => self.object(place, members, out),
            Item::Cases(by, cases) => self.cases(place, by, cases, out),
            Item::List(item) => self.list(place, item, out),
            Item::Map(entries) => self.map(place, entries, out),
            item => {
                let end = self.value_end(place)?;
                self.scalar(place, end, item, out)?;
                Some(end)
            }
        }
    }

    fn scalar(&self, from: usize, to: usize, item: &Item, out: &mut Vec<u8>) -> Option<()> {
        let bytes = self.bytes.get(from..to)?;
        match item {
            Item::Copy => out.extend_from_slice(bytes),
            Item::Int => {
                let text = std::str::from_utf8(bytes).ok()?;
                if text != "null" {
                    text.parse::<i32>().ok()?;
                }
                out.extend_from_slice(bytes);
            }
            Item::BigInt if !matches!(bytes, [b'"', ..] | b"null") => {
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            Item::BigInt => out.extend_from_slice(bytes),
            Item::Float => match bytes {
                [b'"', integer @ .., b'"'] => {
                    write::float(std::str::from_utf8(integer).ok()?.parse().ok()?, out);
                }
                number => out.extend_from_slice(number),
            },
            Item::Text(text) => out.extend_from_slice(text),
            Item::Masked(Scalar::Json, mask) => {
                let text = std::str::from_utf8(bytes).ok()?;
                let value = if text == "null" { Plain::Null } else { Plain::Text(text) };
                mask.apply(value, Scalar::Json, self.around.signer, out);
            }
            Item::Enum(values) => {
                let value: Json = parse(bytes, Limits::ACCEPTED).ok()?;
                Plain::of(Some(&value), Scalar::String).named(values).write(Scalar::String, out);
            }
            Item::Cast(cast, mask) => {
                let value: Json = parse(bytes, Limits::ACCEPTED).ok()?;
                let plain = Plain::of(Some(&value), cast.from);
                if !cast.write(plain, (mask.as_ref(), self.around.signer), out) {
                    self.around.misfit.set(Some(*cast));
                }
            }
            Item::Masked(scalar, mask) => {
                let value: Json = parse(bytes, Limits::ACCEPTED).ok()?;
                mask.apply(Plain::of(Some(&value), *scalar), *scalar, self.around.signer, out);
            }
            _ => out.extend_from_slice(b"null"),
        }
        Some(())
    }

    /// Appends the entries of the map that begins at `place`; returns the place behind it.
    fn map(&self, place: usize, entries: &Entries, out: &mut Vec<u8>) -> Option<usize> {
        if self.at(place)? != b'{' {
            out.extend_from_slice(b"null");
            return self.value_end(place);
        }
        out.push(b'[');
        let (mut place, mut left, mut separator) = (place + 1, entries.first, None);
        if self.at(place)? == b'}' {
            out.push(b']');
            return Some(place + 1);
        }
        loop {
            if out.len() > self.around.end {
                return None;
            }
            let from = self.string_end(place + 1)?;
            let key = self.bytes.get(place..from)?;
            let end = self.value_end(from + 1)?;
            if left > 0 && entries.keys.as_ref().is_none_or(|keys| keys.contains(key)) {
                out.extend(separator.replace(b','));
                left -= 1;
                self.entry(key, from + 1, &entries.parts, out)?;
            }
            place = end + 1;
            match self.at(end)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        out.push(b']');
        Some(place)
    }

    /// Appends the selected members of the entry with this key, whose value begins at `place`.
    fn entry(&self, key: &[u8], place: usize, parts: &[Part], out: &mut Vec<u8>) -> Option<()> {
        for (index, part) in parts.iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            out.extend_from_slice(&part.head);
            match &part.what {
                PartOf::Nothing => {}
                PartOf::Key => out.extend_from_slice(key),
                PartOf::Value(item) => drop(self.item(place, item, out)?),
            }
        }
        out.push(b'}');
        Some(())
    }

    /// Appends the object that begins at `place` as the variant that it is; returns the place behind it.
    fn cases(
        &self,
        place: usize,
        by: &Named,
        cases: &[(String, Vec<Member>)],
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let own;
        let text = match by {
            Named::Row(index) => *self.around.texts.get(*index)?,
            Named::Member(name) => {
                own = self.text_of(place, name)?;
                own.as_str()
            }
        };
        match cases.iter().find(|(value, _)| Some(value.as_str()) == text) {
            Some((_, members)) => self.object(place, members, out),
            None => {
                out.extend_from_slice(b"null");
                self.value_end(place)
            }
        }
    }

    /// The member of this name of the object that begins at `place`; null when there is none.
    fn text_of(&self, place: usize, wanted: &[u8]) -> Option<Json> {
        let mut place = place + 1;
        if self.at(place - 1)? != b'{' || self.at(place)? == b'}' {
            return Some(Json::Null);
        }
        loop {
            let name_from = place + 1;
            let name_to = name_from + memchr(b'"', self.bytes.get(name_from..)?)?;
            let from = name_to + 2;
            let to = self.value_end(from)?;
            if self.bytes.get(name_from..name_to)? == wanted {
                return parse(self.bytes.get(from..to)?, Limits::ACCEPTED).ok();
            }
            place = to + 1;
            match self.at(to)? {
                b',' => {}
                b'}' => return Some(Json::Null),
                _ => return None,
            }
        }
    }

    /// Appends the selected members of the object that begins at `place`; returns the place behind it.
    fn object(&self, place: usize, members: &[Member], out: &mut Vec<u8>) -> Option<usize> {
        if self.at(place)? != b'{' {
            out.extend_from_slice(b"null");
            return self.value_end(place);
        }
        let mut few = [(0, 0); 16];
        let mut many;
        let places = if let Some(few) = few.get_mut(..members.len()) {
            few
        } else {
            many = vec![(0, 0); members.len()];
            many.as_mut_slice()
        };
        let mut place = place + 1;
        if self.at(place)? == b'}' {
            place += 1;
        } else {
            loop {
                let name_from = place + 1;
                let name_to = name_from + memchr(b'"', self.bytes.get(name_from..)?)?;
                let name = self.bytes.get(name_from..name_to)?;
                let from = name_to + 2;
                let to = self.value_end(from)?;
                for (member, place) in members.iter().zip(places.iter_mut()) {
                    if member.name == name {
                        *place = (from, to);
                    }
                }
                place = to + 1;
                match self.at(to)? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.members(members, places, out)?;
        Some(place)
    }

    fn members(&self, members: &[Member], places: &[(usize, usize)], out: &mut Vec<u8>) -> Option<()> {
        let mut separator = b'{';
        for (member, (from, to)) in members.iter().zip(places) {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(&member.head);
            let hidden = member.condition.is_some_and(|flag| self.around.shown.get(flag) != Some(&true));
            match &member.item {
                Item::Text(text) => out.extend_from_slice(text),
                _ if hidden || *to == 0 => out.extend_from_slice(b"null"),
                Item::Object(members) => drop(self.object(*from, members, out)?),
                Item::Cases(by, cases) => drop(self.cases(*from, by, cases, out)?),
                Item::List(item) => drop(self.list(*from, item, out)?),
                Item::Map(entries) => drop(self.map(*from, entries, out)?),
                item => self.scalar(*from, *to, item, out)?,
            }
        }
        if members.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Some(())
    }
}
