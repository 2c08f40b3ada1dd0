//! Whether the text of a discriminator tells which members an object has: measured over the rows that are given, each
//! judged by the others, so that texts which are different in every row explain nothing. Must not know where rows
//! come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Field, Kind, Published, Scalar};
use crate::record::Json;

/// Of fewer objects nothing can be said.
const OBJECTS_MIN: u64 = 20;

/// A discriminator has texts of up to so many bytes.
const TEXT_BYTES_MAX: usize = 200;

/// Objects at one place, and what may tell their variants apart.
struct Place<'a> {
    path: &'a str,
    members: &'a [Field],
    /// How the text of a row's root or of the object itself is found.
    candidates: Vec<Candidate<'a>>,
}

struct Candidate<'a> {
    field: &'a Field,
    /// A member of the document rather than of the object.
    whole: bool,
    /// Counts by text; `None` when there were too many.
    seen: Option<HashMap<String, Count>>,
}

/// How many objects, and how many of them have each member.
#[derive(Clone, Debug, Default)]
struct Count {
    objects: u64,
    members: Vec<u64>,
}

/// Takes rows in and tells what explains their objects' members.
pub struct Variants<'a> {
    published: &'a Published,
    places: BTreeMap<u32, Place<'a>>,
    values_max: usize,
}

/// Variants of an object by the texts of a discriminator.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The object's path, empty for the document; of a list, for its items.
    pub path: String,
    /// The discriminator's path.
    pub discriminator: String,
    /// The share, up to 1, of the uncertainty about which members an object has that the text takes away.
    pub score: f64,
    /// How many objects have been looked at.
    pub objects: u64,
    /// The variants, those of most objects first.
    pub variants: Vec<Variant>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// The discriminator's text.
    pub value: String,
    /// How many objects.
    pub objects: u64,
    /// The members that these objects have, by their ids.
    pub fields: BTreeSet<u32>,
}

impl<'a> Variants<'a> {
    /// For objects of this shape and discriminators that are `usable`, with at most so many values.
    pub fn new(published: &'a Published, values_max: usize, usable: &dyn Fn(&Field) -> bool) -> Self {
        let mut variants = Variants { published, places: BTreeMap::new(), values_max };
        variants.place(0, "", &published.fields, (true, true), usable);
        variants
    }

    /// `column`: a document has one such object; `whole`: it is the document.
    fn place(
        &mut self,
        id: u32,
        path: &'a str,
        members: &'a [Field],
        (single, whole): (bool, bool),
        usable: &dyn Fn(&Field) -> bool,
    ) {
        let texts = |field: &&Field| matches!(field.kind, Kind::Scalar(Scalar::String)) && usable(field);
        let candidate = |field, whole| Candidate { field, whole, seen: Some(HashMap::new()) };
        let mut candidates: Vec<_> =
            members.iter().filter(texts).map(|field| candidate(field, whole)).collect();
        if single && !whole {
            let above = self.published.fields.iter().filter(texts);
            candidates.extend(above.map(|field| candidate(field, true)));
        }
        self.places.insert(id, Place { path, members, candidates });
        for field in members.iter().filter(|field| !field.children().is_empty() && !field.has_keys()) {
            let single = single && !matches!(field.kind, Kind::List(_));
            self.place(field.id, &field.path, field.children(), (single, false), usable);
        }
    }

    /// Takes a row in: a document of published names.
    pub fn add(&mut self, row: &Json) {
        let published = self.published;
        self.object(0, &published.fields, row, row);
    }

    fn object(&mut self, id: u32, fields: &[Field], object: &Json, row: &Json) {
        let values_max = self.values_max;
        if let Some(place) = self.places.get_mut(&id) {
            let there: Vec<bool> =
                place.members.iter().map(|field| is_there(object.get(field.stored()))).collect();
            for candidate in &mut place.candidates {
                let within = if candidate.whole { row } else { object };
                let text = within.get(candidate.field.stored()).and_then(Json::as_str);
                candidate.count(text, &there, values_max);
            }
        }
        for field in fields.iter().filter(|field| !field.children().is_empty() && !field.has_keys()) {
            if let Some(value) = object.get(field.stored()) {
                self.value(field, value, row);
            }
        }
    }

    fn value(&mut self, field: &Field, value: &Json, row: &Json) {
        match value {
            Json::Array(items) => items.iter().for_each(|item| self.value(field, item, row)),
            Json::Object(_) => self.object(field.id, field.children(), value, row),
            _ => {}
        }
    }

    /// What explains most, at least `score_min`; of each object the best `each_max`.
    pub fn offers(&self, score_min: f64, each_max: usize) -> Vec<Offer> {
        let mut all = Vec::new();
        for place in self.places.values() {
            let offers = place.candidates.iter().filter_map(|candidate| place.offer(candidate));
            let mut offers: Vec<Offer> =
                offers.filter(|offer| offer.score >= score_min && offer.objects >= OBJECTS_MIN).collect();
            offers.sort_by(|a, b| b.score.total_cmp(&a.score));
            offers.truncate(each_max);
            all.extend(offers);
        }
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }

    /// The variants of one object by one discriminator, whatever they explain.
    pub fn offer(&self, path: &str, discriminator: &str) -> Option<Offer> {
        let place = self.places.values().find(|place| place.path == path)?;
        let candidate = place.candidates.iter().find(|one| one.field.path == discriminator)?;
        place.offer(candidate)
    }
}

fn is_there(value: Option<&Json>) -> bool {
    value.is_some_and(|value| !matches!(value, Json::Null))
}

impl Candidate<'_> {
    fn count(&mut self, text: Option<&str>, there: &[bool], values_max: usize) {
        let (Some(seen), Some(text)) = (&mut self.seen, text) else { return };
        let known = seen.contains_key(text);
        if text.len() > TEXT_BYTES_MAX || !known && seen.len() >= values_max {
            self.seen = None;
            return;
        }
        if !known {
            seen.insert(text.to_owned(), Count { objects: 0, members: vec![0; there.len()] });
        }
        if let Some(count) = seen.get_mut(text) {
            count.objects += 1;
            count.members.iter_mut().zip(there).for_each(|(count, there)| *count += u64::from(*there));
        }
    }
}

impl Place<'_> {
    fn offer(&self, candidate: &Candidate<'_>) -> Option<Offer> {
        let seen = candidate.seen.as_ref()?;
        let mut sum = Count { objects: 0, members: vec![0; self.members.len()] };
        for count in seen.values() {
            sum.objects += count.objects;
            sum.members.iter_mut().zip(&count.members).for_each(|(sum, count)| *sum += count);
        }
        // The discriminator itself is there in all of them.
        let counted: Vec<bool> = self.members.iter().map(|field| field.id != candidate.field.id).collect();
        let without = surprise(&sum, &sum, &counted, false);
        let with: f64 = seen.values().map(|count| surprise(count, &sum, &counted, true)).sum();
        let variant = |(value, count): (&String, &Count)| {
            let there = self.members.iter().zip(&count.members).filter(|(_, count)| **count > 0);
            let fields = there.map(|(field, _)| field.id).collect();
            Variant { value: value.clone(), objects: count.objects, fields }
        };
        let mut variants: Vec<Variant> = seen.iter().map(variant).collect();
        variants.sort_by(|a, b| b.objects.cmp(&a.objects).then_with(|| a.value.cmp(&b.value)));
        (variants.len() > 1).then(|| Offer {
            path: self.path.to_owned(),
            discriminator: candidate.field.path.clone(),
            score: if without > 0.0 { (1.0 - with / without).max(0.0) } else { 0.0 },
            objects: sum.objects,
            variants,
        })
    }
}

/// How many bits it takes to tell the members of these objects, each foretold by all others; if `within`, by the others
/// of its kind, and by all for want of them.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn surprise(of: &Count, all: &Count, counted: &[bool], within: bool) -> f64 {
    let (kind, sum) = (of.objects as f64, all.objects as f64);
    // How likely it is by the others: so many of all have it, and so many of the kind.
    let foretold = |total: f64, have: f64| {
        let likely = (total + 0.5) / sum;
        if within { (have + likely) / kind } else { likely }
    };
    let mut bits = 0.0;
    for ((have, total), _) in
        of.members.iter().zip(&all.members).zip(counted).filter(|(_, counted)| **counted)
    {
        if *total == 0 || *total == all.objects {
            continue;
        }
        let (have, total) = (*have as f64, *total as f64);
        if have > 0.0 {
            bits -= have * foretold(total - 1.0, have - 1.0).log2();
        }
        if have < kind {
            bits -= (kind - have) * (1.0 - foretold(total, have)).log2();
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::shape::{Shape, Structure};

    fn offers(documents: &[String]) -> Vec<Offer> {
        let documents: Vec<Json> =
            documents.iter().map(|text| Json::try_from(text.as_str()).unwrap_or(Json::Null)).collect();
        let mut shape = Shape::default();
        documents.iter().for_each(|one| shape.merge(&Structure::derive(one, &config::Shape::default())));
        let published = shape.publish(&Published::default(), &config::Shape::default()).unwrap_or_default();
        let mut variants = Variants::new(&published, 20, &|field| field.name != "secret");
        documents.iter().for_each(|document| variants.add(document));
        variants.offers(0.5, 1)
    }

    fn told(offers: &[Offer]) -> Vec<(&str, &str)> {
        offers.iter().map(|offer| (offer.path.as_str(), offer.discriminator.as_str())).collect()
    }

    #[test]
    fn what_explains_the_members_is_offered() {
        let one = |n: usize| match n % 3 {
            0 => format!(r#"{{"kind":"a","id":"x{n}","o":{{"p":1,"q":2}},"l":[{{"t":"u","v":1}}]}}"#),
            1 => format!(
                r#"{{"kind":"b","id":"x{n}","o":{{"r":1}},"l":[{{"t":"w","z":1}},{{"t":"u","v":2}}]}}"#
            ),
            _ => format!(r#"{{"kind":"c","id":"x{}","o":{{"p":1,"s":2}},"l":[]}}"#, n % 7),
        };
        let offers = offers(&(0..60).map(one).collect::<Vec<_>>());
        assert_eq!(told(&offers), [("/l", "/l/*/t"), ("/o", "/kind")]);
        let Some(offer) = offers.iter().find(|offer| offer.path == "/o") else { return };
        assert!(offer.score > 0.9, "{offer:?}");
        let variants: Vec<_> =
            offer.variants.iter().map(|one| (one.value.as_str(), one.objects, one.fields.len())).collect();
        assert_eq!(variants, [("a", 20, 2), ("b", 20, 1), ("c", 20, 2)]);
    }

    #[test]
    fn what_is_different_everywhere_or_says_nothing_is_not() {
        let one = |n: usize| {
            let more = match (n * n / 7) % 3 {
                0 => "",
                1 => r#","m":1"#,
                _ => r#","k":1"#,
            };
            format!(r#"{{"id":"{}","same":"s","half":"{}","secret":"{more:?}"{more}}}"#, n % 19, n % 2)
        };
        let offers = offers(&(0..57).map(|n| one(n).replace("\\\"", "")).collect::<Vec<_>>());
        assert_eq!(told(&offers), []);
        let alone = |n: usize| format!(r#"{{"id":"{n}","k{n}":1}}"#);
        assert_eq!(told(&super::tests::offers(&(0..15).map(alone).collect::<Vec<_>>())), []);
    }
}
