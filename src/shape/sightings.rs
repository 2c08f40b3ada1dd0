//! How often each location was seen, and when: structures summed up, each with the count of the documents that had
//! it. As a document's structure says all about which locations it has, these counts are exact, and a document costs
//! one count, whatever its size.

use std::collections::BTreeMap;

use super::formats::{self, Formats};
use super::structure::{Node, STRING};
use super::{Field, Kind, Published, Structure};

/// Structures summed up, as far as their locations are published.
#[derive(Clone, Debug)]
pub struct Sightings {
    root: Seen,
}

/// What was seen of one published field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Documents that have it, be it null.
    pub count: u64,
    /// Documents that have what it is a member of.
    pub of: u64,
    /// When it was first seen, Unix microseconds.
    pub first_at: i64,
    /// When it was last seen, Unix microseconds.
    pub last_at: i64,
    /// Formats that every text here has, by name; of a list, those of its items.
    pub formats: Vec<&'static str>,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    first_at: i64,
    last_at: i64,
    /// Whether there was text, and the formats that all of it has.
    texts: Option<Formats>,
    members: BTreeMap<Box<str>, Seen>,
    items: Option<Box<Seen>>,
}

impl Sightings {
    /// Nothing counted yet. What is not published is never counted: there is no bound to what sources send.
    pub fn new(published: &Published) -> Self {
        Sightings { root: Seen::members(&published.fields) }
    }

    /// Takes in that `count` documents had this structure, the first at `first_at`, the last at `last_at`.
    pub fn add(&mut self, structure: &Structure, count: u64, first_at: i64, last_at: i64) {
        self.root.add(&structure.root, count, first_at, last_at);
    }

    /// Documents that were counted.
    pub fn documents(&self) -> u64 {
        self.root.count
    }

    /// What was seen of every published field, by its id; a field of which nothing was counted is not there.
    pub fn of(&self, published: &Published) -> BTreeMap<u32, Sighting> {
        let mut found = BTreeMap::new();
        self.root.collect(&published.fields, &mut found);
        found
    }
}

impl Seen {
    fn members(fields: &[Field]) -> Self {
        let members = fields.iter().map(|field| (field.key.as_str().into(), Seen::of(&field.kind)));
        Seen { members: members.collect(), ..Seen::default() }
    }

    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Scalar(_) => Seen::default(),
            Kind::Object(fields) | Kind::Packed(fields) => Seen::members(fields),
            Kind::List(item) => Seen { items: Some(Box::new(Seen::of(item))), ..Seen::default() },
        }
    }

    fn add(&mut self, node: &Node, count: u64, first_at: i64, last_at: i64) {
        if self.count == 0 {
            (self.first_at, self.last_at) = (first_at, last_at);
        }
        self.first_at = self.first_at.min(first_at);
        self.last_at = self.last_at.max(last_at);
        self.count += count;
        if node.kinds & STRING != 0 {
            self.texts = Some(self.texts.map_or(node.all, |texts| texts & node.all));
        }
        for (key, member) in &node.members {
            if let Some(seen) = self.members.get_mut(key) {
                seen.add(member, count, first_at, last_at);
            }
        }
        if let (Some(seen), Some(items)) = (&mut self.items, &node.items) {
            seen.add(items, count, first_at, last_at);
        }
    }

    fn collect(&self, fields: &[Field], found: &mut BTreeMap<u32, Sighting>) {
        for field in fields {
            let seen = self.members.get(field.key.as_str()).filter(|seen| seen.count > 0);
            let Some(seen) = seen else { continue };
            // What is in a list, and what its formats are, is told of its items.
            let (mut inner, mut kind) = (seen, &field.kind);
            while let (Kind::List(item), Some(items)) = (kind, inner.items.as_deref()) {
                (inner, kind) = (items, item);
            }
            let formats = inner.texts.map(|texts| formats::names(texts).collect()).unwrap_or_default();
            let Seen { count, first_at, last_at, .. } = *seen;
            found.insert(field.id, Sighting { count, of: self.count, first_at, last_at, formats });
            inner.collect(field.children(), found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::record::Json;
    use crate::shape::Shape;

    #[test]
    fn every_location_is_counted_in_every_document() {
        let documents = [
            (r#"{"a":1,"o":{"x":"2026-01-02","l":[{"u":"a@b.example"},{}]}}"#, 3, 10, 30),
            (r#"{"a":null,"o":{"x":"2026-01-03"}}"#, 2, 5, 7),
            (r#"{"o":{"l":[]},"z":{}}"#, 5, 20, 40),
        ];
        let structure = |text: &str| {
            let document = Json::try_from(text).unwrap_or(Json::Null);
            Structure::derive(&document, &config::Shape::default())
        };
        let mut shape = Shape::default();
        documents.iter().for_each(|(text, ..)| shape.merge(&structure(text)));
        let published = shape.publish(&Published::default(), &config::Shape::default()).unwrap_or_default();
        let mut sightings = Sightings::new(&published);
        for (text, count, first_at, last_at) in documents {
            sightings.add(&structure(text), count, first_at, last_at);
        }
        let seen = sightings.of(&published);
        let told: Vec<_> = published
            .fields()
            .filter_map(|field| {
                let seen = seen.get(&field.id)?;
                Some((&*field.path, seen.count, seen.of, seen.first_at, seen.last_at, seen.formats.concat()))
            })
            .collect();
        assert_eq!(sightings.documents(), 10);
        assert_eq!(
            told,
            [
                ("/a", 5, 10, 5, 30, String::new()),
                ("/o", 10, 10, 5, 40, String::new()),
                ("/o/l", 8, 10, 10, 40, String::new()),
                ("/o/l/*/u", 3, 3, 10, 30, "email".into()),
                ("/o/x", 5, 10, 5, 30, "date".into()),
            ]
        );
    }
}
