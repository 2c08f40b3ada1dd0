//! How often each location was seen, and when: structures summed up, each with the count of the documents that had
//! it. As a document's structure says all about which locations it has, these counts are exact, and a document costs
//! one count, whatever its size.

use std::collections::{BTreeMap, BTreeSet};

use super::formats::{self, Formats};
use super::structure::{FORMED, Node, OBJECT};
use super::{Field, Kind, Published, Scalar, Structure};

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
    /// Formats that every text and number here has, by name; of a list or a map, those of what is in it.
    pub formats: Vec<&'static str>,
    /// The field's tags, each with the documents that bear it out: of personal data those where some value does, else
    /// those where all texts and numbers do.
    pub tags: Vec<(String, u64)>,
    /// Documents that have a text or a number here, or below in what is `JSON`: those that could bear out a tag.
    pub formed: u64,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    first_at: i64,
    last_at: i64,
    /// Whether there was a text or a number, and the formats that all of them have.
    texts: Option<Formats>,
    formed: u64,
    tags: BTreeMap<Box<str>, u64>,
    /// The field holds what is below in one value, and has the tags of all of it.
    whole: bool,
    members: BTreeMap<Box<str>, Seen>,
    items: Option<Box<Seen>>,
    /// Of a map: what stands under any key.
    values: Option<Box<Seen>>,
    /// A structure did not tell which of these keys it has.
    unsure: bool,
}

impl Sightings {
    /// Nothing counted yet. What is not published is never counted: there is no bound to what sources send.
    pub fn new(published: &Published) -> Self {
        Sightings { root: Seen::members(&published.fields) }
    }

    /// Takes in that `count` documents had this structure, the first at `first_at`, the last at `last_at`.
    pub fn add(&mut self, structure: &Structure, count: u64, first_at: i64, last_at: i64) {
        self.root.add(&structure.root, 0, count, (first_at, last_at));
    }

    /// Documents that were counted.
    pub fn documents(&self) -> u64 {
        self.root.count
    }

    /// What was seen of every published field, by its id; a field of which nothing was counted, or of which structures
    /// do not tell any more, is not there.
    pub fn of(&self, published: &Published) -> BTreeMap<u32, Sighting> {
        let mut found = BTreeMap::new();
        self.root.collect(&published.fields, &mut found);
        found
    }
}

impl Seen {
    fn members(fields: &[Field]) -> Self {
        let members =
            fields.iter().map(|field| (field.key.as_str().into(), Seen::of(&field.kind, &field.tags)));
        Seen { members: members.collect(), ..Seen::default() }
    }

    fn of(kind: &Kind, tags: &BTreeSet<String>) -> Self {
        let mut seen = match kind {
            Kind::Scalar(of) => Seen { whole: *of == Scalar::Json, ..Seen::default() },
            Kind::Object(fields) | Kind::Packed(fields) => Seen::members(fields),
            Kind::List(item) => {
                return Seen { items: Some(Box::new(Seen::of(item, tags))), ..Seen::default() };
            }
            Kind::Map(value) => {
                return Seen { values: Some(Box::new(Seen::of(value, tags))), ..Seen::default() };
            }
        };
        seen.tags = tags.iter().map(|tag| (tag.as_str().into(), 0)).collect();
        seen
    }

    /// Takes in what `count` documents had here; of the values of a map, `keys` are formats of its keys.
    fn add(&mut self, node: &Node, keys: Formats, count: u64, (first_at, last_at): (i64, i64)) {
        if self.count == 0 {
            (self.first_at, self.last_at) = (first_at, last_at);
        }
        self.first_at = self.first_at.min(first_at);
        self.last_at = self.last_at.max(last_at);
        self.count += count;
        if node.kinds & FORMED != 0 {
            self.texts = Some(self.texts.map_or(node.all, |texts| texts & node.all));
        }
        if !self.tags.is_empty() {
            let any = keys | if self.whole { node.formats() } else { node.any };
            self.formed += if self.whole || keys != 0 || node.kinds & FORMED != 0 { count } else { 0 };
            for tag in formats::tags(any, node.all) {
                if let Some(documents) = self.tags.get_mut(tag) {
                    *documents += count;
                }
            }
        }
        for (key, member) in &node.members {
            if let Some(seen) = self.members.get_mut(key) {
                seen.add(member, 0, count, (first_at, last_at));
            }
        }
        for (_, seen) in self.members.iter_mut().filter(|(key, _)| node.conceals(key)) {
            // Whether it is there was not written down.
            seen.unsure = true;
        }
        if let (Some(seen), Some(items)) = (&mut self.items, &node.items) {
            seen.add(items, 0, count, (first_at, last_at));
        }
        if let Some(seen) = self.values.as_mut().filter(|_| node.kinds & OBJECT != 0) {
            seen.add(&node.values(), node.key_formats(), count, (first_at, last_at));
        }
    }

    fn collect(&self, fields: &[Field], found: &mut BTreeMap<u32, Sighting>) {
        for field in fields {
            let seen = self.members.get(field.key.as_str()).filter(|seen| seen.count > 0 && !seen.unsure);
            let Some(seen) = seen else { continue };
            // What is in a list or a map, and what its formats are, is told of its items or values.
            let (mut inner, mut kind) = (seen, &field.kind);
            while let (Kind::List(below), Some(next), _) | (Kind::Map(below), _, Some(next)) =
                (kind, inner.items.as_deref(), inner.values.as_deref())
            {
                (inner, kind) = (next, below);
            }
            let formats = inner.texts.map(|texts| formats::names(texts).collect()).unwrap_or_default();
            let Seen { count, first_at, last_at, .. } = *seen;
            let tags = inner.tags.iter().map(|(tag, count)| (tag.to_string(), *count)).collect();
            let (of, formed) = (self.count, inner.formed);
            found.insert(field.id, Sighting { count, of, first_at, last_at, formats, tags, formed });
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
    #[test]
    fn tags_are_borne_out_by_so_many_documents() {
        let documents = [
            (
                r#"{"country":"DE","who":"ada@example.org","l":["x@example.org","y"],"any":{"m":["a@b.example"]}}"#,
                5,
            ),
            (r#"{"country":"Utopia","who":"ada","l":["y"],"any":1}"#, 2),
            (r#"{"country":null,"l":[],"any":null}"#, 4),
        ];
        let structure = |text: &str| {
            let document = Json::try_from(text).unwrap_or(Json::Null);
            Structure::derive(&document, &config::Shape::default())
        };
        let mut shape = Shape::default();
        shape.merge(&structure(r#"{"country":"FR","any":1}"#));
        let tagged = shape.publish(&Published::default(), &config::Shape::default()).unwrap_or_default();
        documents.iter().for_each(|(text, _)| shape.merge(&structure(text)));
        let mut published = shape.publish(&tagged, &config::Shape::default()).unwrap_or_default();
        for field in published.fields.iter_mut().filter(|field| field.key == "any") {
            field.kind = Kind::Scalar(Scalar::Json);
            field.tags = ["pii.email".to_owned()].into();
        }
        let mut sightings = Sightings::new(&published);
        for (text, count) in documents {
            sightings.add(&structure(text), count, 0, 0);
        }
        let seen = sightings.of(&published);
        let told = published.fields().filter_map(|field| {
            let seen = seen.get(&field.id)?;
            Some((&*field.name, seen.tags.iter().map(|(tag, n)| format!("{tag} {n}")).collect(), seen.formed))
        });
        let one = |tag: &str| vec![tag.to_owned()];
        assert_eq!(
            told.collect::<Vec<(_, Vec<String>, _)>>(),
            [
                ("any", one("pii.email 5"), 11),
                ("country", one("code.country 5"), 7),
                ("l", one("pii.email 5"), 7),
                ("who", one("pii.email 5"), 7),
            ]
        );
    }
}
