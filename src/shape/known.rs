//! Structures of documents that look like some that came before: one walk and one lookup instead of a tree, its text
//! and its hash. What it answers is what [`Structure::derive`] answers, always; that it remembers only saves time.
//!
//! For each collection it keeps the locations that its documents have had, members in the order of the source, and the
//! answers by what was seen at which location. Locations and what was seen there are the tree that `derive` makes its
//! text of, so equal ones have equal texts. A document with a location that is not there, or with something else at
//! those that are, is derived in full and then remembered. When a collection has filled its share it begins anew.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, TryLockError};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::Structure;
use super::formats::{self, Formats};
use super::hints::{self, Topics};
use super::maps::{KEYS_CEILING, Keyed, Taken, personal};
use super::structure::{
    ARRAY, BOOL, FOLDED, FORMED, Kinds, NULL, Node, OBJECT, STRING, fingerprint, formats_below, number,
};
use crate::config;
use crate::record::{Json, write_string};

/// One collection takes no more than this part of the memory.
const SHARE: usize = 4;

/// How many collections room is made for at first.
const COLLECTIONS_GUESS: usize = 256;

/// An object with more members is searched by an index.
const SCANNED_MAX: usize = 16;

/// A fingerprint and the canonical text that it is of.
pub type Fingerprinted = (i64, Arc<str>);

/// Remembers structures; cheap to clone.
#[derive(Clone)]
pub struct Known(Arc<Inner>);

struct Inner {
    limits: config::Shape,
    /// By the hash of a collection's names: two collections in one place would only share it.
    /// None when nothing is to be remembered.
    places: Option<Cache<u64, Held, Size>>,
    hasher: DefaultHashBuilder,
    bytes_max: usize,
}

/// What is remembered of a collection, and how many bytes that were when the cache last took it in.
#[derive(Clone, Default)]
struct Held {
    memory: Arc<Mutex<Memory>>,
    bytes: usize,
}

#[derive(Clone)]
struct Size;

impl Weighter<u64, Held> for Size {
    fn weight(&self, _: &u64, held: &Held) -> u64 {
        (size_of::<Memory>() + held.bytes) as u64
    }
}

/// What is remembered of one collection.
struct Memory {
    /// The first is the root; each comes after the one that it is in.
    locations: Vec<Location>,
    answers: HashMap<Box<[Mark]>, Fingerprinted, DefaultHashBuilder>,
    bytes: usize,
    /// For the walk: of each location where its mark is, plus one; zeros between walks.
    slots: Vec<u32>,
    /// For the walk: what was seen where, as it comes.
    marks: Vec<Mark>,
    /// For the walk: whether there were keys that are data.
    keyed: bool,
}

#[derive(Default)]
struct Location {
    /// The location that it is in, and what it is there.
    within: (u32, Place),
    members: Vec<Member>,
    /// Where in `members` a key is, once there are many.
    index: Option<HashMap<Box<str>, u32>>,
    items: Option<u32>,
    /// What stands under keys that are data.
    keyed: Option<u32>,
}

/// What a location is in another.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Items,
    /// The member with this number.
    Member(u32),
    Keyed,
}

struct Member {
    key: Box<str>,
    topics: Topics,
    location: u32,
}

/// What one document has at one location, as `Node` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    location: u32,
    kinds: Kinds,
    all: Formats,
    any: Formats,
    beneath: Formats,
    /// Of what stands under keys that are data: which are, and the keys' formats, as `Keyed` has it.
    words: bool,
    numbers: bool,
    key_formats: Formats,
}

impl Hash for Mark {
    /// Enough of it, in one piece.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let formats = u64::from(self.all) << 32 | u64::from(self.any);
        let place = u64::from(self.location) << 32 | u64::from(self.kinds);
        state.write_u128(u128::from(place) << 64 | u128::from(formats));
    }
}

impl Known {
    /// Nothing is known yet; `limits` bound what is derived and how much is remembered.
    pub fn new(limits: &config::Shape) -> Self {
        let bytes_max = limits.known_bytes_max;
        // One shard: a place may take a good part of the whole.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(COLLECTIONS_GUESS)
            .weight_capacity(bytes_max as u64)
            .build();
        let places = options.ok().filter(|_| bytes_max > 0).map(|options| {
            Cache::with_options(options, Size, DefaultHashBuilder::default(), DefaultLifecycle::default())
        });
        let hasher = DefaultHashBuilder::default();
        Known(Arc::new(Inner { limits: limits.clone(), places, hasher, bytes_max: bytes_max / SHARE }))
    }

    /// Fingerprint and canonical text of the document's structure; `category` and `subcategory` say what it looks like
    /// most likely.
    pub fn structure(&self, category: &str, subcategory: &str, document: &Json) -> Fingerprinted {
        let Inner { limits, places, hasher, bytes_max } = &*self.0;
        let Some(places) = places else { return derive(document, limits) };
        let name = hasher.hash_one((category, subcategory));
        let (held, fresh) = places.get(&name).map_or_else(|| (Held::default(), true), |held| (held, false));
        let mut memory = match held.memory.try_lock() {
            Ok(memory) => memory,
            Err(TryLockError::Poisoned(poisoned)) => {
                let mut memory = poisoned.into_inner();
                *memory = Memory::default();
                held.memory.clear_poison();
                memory
            }
            // Deriving takes about as long as what the other thread may still have to do, and is bounded.
            Err(TryLockError::WouldBlock) => return derive(document, limits),
        };
        let answer = memory.structure(document, limits, *bytes_max);
        let bytes = memory.bytes;
        if fresh || bytes != held.bytes {
            drop(memory);
            places.insert(name, Held { bytes, ..held });
        }
        answer
    }

    /// Memory that is taken, roughly.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.places.as_ref().map_or(0, Cache::weight)
    }
}

fn derive(document: &Json, limits: &config::Shape) -> Fingerprinted {
    fingerprinted(Structure::derive(document, limits).to_text())
}

fn fingerprinted(text: String) -> Fingerprinted {
    (fingerprint(&text), text.into())
}

/// As `Node::write`; `places` are the location that each is in and its key, none of items, in their order.
fn write(mark: &Mark, places: &[((u32, Option<&str>), &Mark)], out: &mut Vec<u8>) {
    let from = places.partition_point(|((above, _), _)| *above < mark.location);
    let below = places.get(from..).unwrap_or_default();
    let below =
        below.get(..below.partition_point(|((above, _), _)| *above == mark.location)).unwrap_or_default();
    mark.node().write_head(!below.is_empty(), out);
    let (items, members) = match below {
        [((_, None), items), members @ ..] => (Some(items), members),
        members => (None, members),
    };
    if !below.is_empty() {
        out.extend_from_slice(b",{");
        for (index, ((_, key), member)) in members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(key.unwrap_or_default(), out);
            out.push(b':');
            write(member, places, out);
        }
        out.push(b'}');
    }
    if let Some(items) = items {
        out.push(b',');
        write(items, places, out);
    }
    out.push(b']');
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            locations: vec![Location::default()],
            answers: HashMap::default(),
            bytes: 0,
            slots: vec![0],
            marks: Vec::new(),
            keyed: false,
        }
    }
}

impl Memory {
    fn structure(&mut self, document: &Json, limits: &config::Shape, bytes_max: usize) -> Fingerprinted {
        let walked = Walk { memory: self, limits, bytes_max }.observe(0, document, (0, Topics::NONE), 0);
        if walked.is_none() {
            // There is no room for its locations, or one has too many members to be sure of what becomes of them. The
            // next documents show what of the others is still needed.
            *self = Memory::default();
            return derive(document, limits);
        }
        let sorted = self.marks.is_sorted_by_key(|mark| mark.location);
        if !sorted {
            self.marks.sort_unstable_by_key(|mark| mark.location);
        }
        let known = self.answers.get(self.marks.as_slice()).cloned();
        let answer = known.unwrap_or_else(|| {
            let answer = fingerprinted(self.text(limits));
            let size = answer.1.len() + (self.marks.len() + 4) * size_of::<Mark>();
            if self.bytes + size <= bytes_max {
                self.bytes += size;
                self.answers.insert(self.marks.as_slice().into(), answer.clone());
                return answer;
            }
            *self = Memory::default();
            answer
        });
        self.keyed = false;
        for mark in self.marks.drain(..) {
            if let Some(slot) = self.slots.get_mut(mark.location as usize) {
                *slot = 0;
            }
        }
        answer
    }

    /// The canonical text of what was seen; the marks are sorted.
    fn text(&mut self, limits: &config::Shape) -> String {
        if self.marks.len() > limits.locations_max || self.keyed {
            return Structure::bounded(self.tree(), limits).to_text();
        }
        let place = |mark: &Mark| {
            let (above, place) = self.locations.get(mark.location as usize)?.within;
            Some((above, self.key(above, place)))
        };
        let mut below: Vec<_> =
            self.marks.iter().skip(1).filter_map(|mark| Some((place(mark)?, mark))).collect();
        below.sort_unstable_by_key(|(place, _)| *place);
        let mut out = Vec::new();
        if let Some(root) = self.marks.first() {
            write(root, &below, &mut out);
        }
        // Everything written came from `str`.
        String::from_utf8(out).unwrap_or_default()
    }

    /// The tree of what was seen; the marks are sorted.
    fn tree(&mut self) -> Node {
        for (slot, mark) in (1..).zip(&self.marks) {
            if let Some(place) = self.slots.get_mut(mark.location as usize) {
                *place = slot;
            }
        }
        let mut nodes: Vec<Node> = self.marks.iter().map(Mark::node).collect();
        // What is within another comes after it, so the last one has all that is within it.
        while let (Some(mut node), Some(mark)) = (nodes.pop(), self.marks.get(nodes.len())) {
            let Some(location) = self.locations.get(mark.location as usize) else { continue };
            let (above, place) = location.within;
            let slot = self.slots.get(above as usize).map_or(0, |slot| *slot as usize);
            let Some(parent) = nodes.get_mut(slot.wrapping_sub(1)) else { return node };
            node.settle();
            match (place, self.key(above, place)) {
                (Place::Member(_), Some(key)) => drop(parent.members.insert(key.into(), node)),
                (Place::Keyed, _) => {
                    let Mark { words, numbers, key_formats: formats, .. } = *mark;
                    parent.keyed =
                        Some(Box::new(Keyed { all: false, numbers, words, formats, values: node }));
                }
                _ => parent.items = Some(Box::new(node)),
            }
        }
        Node::default()
    }

    fn key(&self, above: u32, place: Place) -> Option<&str> {
        let Place::Member(at) = place else { return None };
        Some(&self.locations.get(above as usize)?.members.get(at as usize)?.key)
    }

    fn add(&mut self, within: (u32, Place), bytes: usize, bytes_max: usize) -> Option<u32> {
        self.bytes += bytes + size_of::<Location>() + size_of::<u32>();
        let location = u32::try_from(self.locations.len()).ok().filter(|_| self.bytes <= bytes_max)?;
        self.locations.push(Location { within, ..Location::default() });
        self.slots.push(0);
        Some(location)
    }
}

impl Location {
    /// Where the member of this key is; it is looked for first at `expected`.
    fn find(&self, key: &str, expected: usize) -> Option<usize> {
        match (self.members.get(expected), &self.index) {
            (Some(member), _) if *member.key == *key => Some(expected),
            (_, None) => self.members.iter().position(|member| *member.key == *key),
            (_, Some(index)) => index.get(key).map(|at| *at as usize),
        }
    }

    /// Adds one that is not there.
    fn push(&mut self, key: &str, location: u32) {
        self.members.push(Member { key: key.into(), topics: Topics::of(key), location });
        let count = self.members.len();
        let index = match &mut self.index {
            None if count <= SCANNED_MAX => return,
            index => index.get_or_insert_default(),
        };
        let news = (0..).zip(&self.members).skip(index.len());
        index.extend(news.map(|(at, member)| (member.key.clone(), at)));
    }
}

/// As `Node::observe`, on locations that stay.
struct Walk<'a> {
    memory: &'a mut Memory,
    limits: &'a config::Shape,
    bytes_max: usize,
}

impl Walk<'_> {
    /// None when there is no room for another location.
    fn observe(
        &mut self,
        at: u32,
        value: &Json,
        (hinted, topics): (Formats, Topics),
        depth: usize,
    ) -> Option<()> {
        match value {
            Json::Null => self.mark(at)?.kinds |= NULL,
            Json::Bool(_) => self.mark(at)?.kinds |= BOOL,
            Json::Number(text) => self.mark(at)?.form(number(text), formats::of_number(text) | hinted),
            Json::String(text) => self.mark(at)?.form(STRING, formats::of(text) | hinted),
            Json::Object(members) => {
                self.mark(at)?.kinds |= OBJECT;
                let taken = if depth == 0 { Taken::default() } else { Taken::of(members, self.limits) };
                let mut expected = 0;
                for (key, value) in members {
                    let data = taken.has(key);
                    if depth >= self.limits.depth_max || !data && key.len() > self.limits.key_bytes_max {
                        self.mark(at)?.fold(value);
                        continue;
                    }
                    let (location, around) = if data {
                        (self.keyed(at)?, (hints::of_item(topics, value), topics))
                    } else {
                        let (location, topics) = self.member(at, key, &mut expected)?;
                        (location, (hints::of_member(topics, value, members), topics))
                    };
                    self.observe(location, value, around, depth + 1)?;
                    if data {
                        self.mark(location)?.key(key, taken);
                    }
                }
            }
            Json::Array(items) => {
                self.mark(at)?.kinds |= ARRAY;
                for value in items {
                    if depth >= self.limits.depth_max {
                        self.mark(at)?.fold(value);
                        continue;
                    }
                    let location = self.items(at)?;
                    let hinted = hints::of_item(topics, value) | hinted;
                    self.observe(location, value, (hinted, topics), depth + 1)?;
                }
            }
        }
        Some(())
    }

    fn mark(&mut self, location: u32) -> Option<&mut Mark> {
        let Memory { slots, marks, .. } = self.memory;
        let slot = slots.get_mut(location as usize)?;
        if *slot == 0 {
            marks.push(Mark { location, ..Mark::default() });
            *slot = u32::try_from(marks.len()).ok()?;
        }
        marks.get_mut(*slot as usize - 1)
    }

    /// The location of a member, and what its key speaks of; members mostly come in the order that they came in first.
    fn member(&mut self, at: u32, key: &str, expected: &mut usize) -> Option<(u32, Topics)> {
        let above = self.memory.locations.get(at as usize)?;
        let place = above.find(key, *expected);
        let place = match place {
            Some(place) => place,
            None => {
                let place = above.members.len();
                if at > 0 && place >= KEYS_CEILING {
                    return None;
                }
                let bytes = 2 * (key.len() + size_of::<Member>());
                let within = (at, Place::Member(u32::try_from(place).ok()?));
                let location = self.memory.add(within, bytes, self.bytes_max)?;
                self.memory.locations.get_mut(at as usize)?.push(key, location);
                place
            }
        };
        *expected = place + 1;
        let member = self.memory.locations.get(at as usize)?.members.get(place)?;
        Some((member.location, member.topics))
    }

    fn items(&mut self, at: u32) -> Option<u32> {
        if let Some(items) = self.memory.locations.get(at as usize)?.items {
            return Some(items);
        }
        let location = self.memory.add((at, Place::Items), 0, self.bytes_max)?;
        self.memory.locations.get_mut(at as usize)?.items = Some(location);
        Some(location)
    }

    fn keyed(&mut self, at: u32) -> Option<u32> {
        self.memory.keyed = true;
        if let Some(keyed) = self.memory.locations.get(at as usize)?.keyed {
            return Some(keyed);
        }
        let location = self.memory.add((at, Place::Keyed), 0, self.bytes_max)?;
        self.memory.locations.get_mut(at as usize)?.keyed = Some(location);
        Some(location)
    }
}

impl Mark {
    fn node(&self) -> Node {
        let Mark { kinds, all, any, beneath, .. } = *self;
        Node { kinds, all, any, beneath, ..Node::default() }
    }

    fn form(&mut self, kind: Kinds, formats: Formats) {
        self.all = if self.kinds & FORMED == 0 { formats } else { self.all & formats };
        self.any |= formats;
        self.kinds |= kind;
    }

    /// Takes in a key that is data.
    fn key(&mut self, key: &str, taken: Taken) {
        self.words |= taken.all;
        self.numbers |= taken.numbers;
        self.key_formats |= personal(key);
    }

    fn fold(&mut self, value: &Json) {
        self.kinds |= FOLDED;
        self.beneath |= formats_below(value);
    }
}
