//! What must hold for whatever bytes come: of inference, for documents one a line, and of naming, for keys one a line.
//! Fuzz targets call it with bytes that find new ways through the code, the ordinary tests with seeded ones. A broken
//! property panics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "fuzz targets call it from outside")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::config;
use crate::query::Collection;
use crate::record::{self, Json};
use crate::shape::{
    Cell, FIELD_SUFFIXES, Field, Known, Published, Shape, SqlType, Structure, collection_names, conform,
    document, name_types, names_wanted, own_types, types_wanted,
};

/// No more documents or keys are looked at: more of them show nothing new, only slower.
const LINES_MAX: usize = 12;

/// Documents one a line, after a byte that chooses the limits. What is no JSON is left out. What is published in the
/// end.
pub fn inference(data: &[u8]) -> Published {
    let (first, text) = data.split_first().unwrap_or((&0, &[]));
    let limits = limits(*first);
    let lines = text.split(|byte| *byte == b'\n').take(LINES_MAX);
    let documents: Vec<Json> =
        lines.filter_map(|line| record::parse(line, record::Limits::default()).ok()).collect();
    let structures: Vec<_> = documents.iter().map(|document| Structure::derive(document, &limits)).collect();
    known_again(&documents, &structures, &limits);
    let mut shape = Shape::default();
    let mut published = Published::default();
    for (document, structure) in documents.iter().zip(&structures) {
        shape.merge(structure);
        let mut name = |next: &mut Published| drop(name_types(next, "Row", &|_| false));
        grow(&shape, &mut published, &limits, &mut name);
        nothing_is_lost(&published, document);
    }
    documents.iter().for_each(|document| nothing_is_lost(&published, document));
    let mut turned = Shape::default();
    structures.iter().rev().chain(&structures).for_each(|structure| turned.merge(structure));
    assert_eq!(turned, shape, "the order of documents matters");
    assert_eq!(Shape::from_text(&shape.to_text()).unwrap(), shape);
    published
}

/// Keys one a line: each pair names a collection, and of the first two each key is a field, at the top and in others,
/// and at times the new name of one. The collections as they are in the end.
pub fn naming(data: &[u8]) -> Vec<Collection> {
    let text = String::from_utf8_lossy(data);
    let keys: Vec<&str> = text.split('\n').take(2 * LINES_MAX).collect();
    let limits = config::Shape::default();
    let mut given = Given::default();
    let mut collections: Vec<Collection> = Vec::new();
    let mut shapes = [Shape::default(), Shape::default()];
    for (at, key) in keys.iter().enumerate() {
        let next = keys.get(at + 1).unwrap_or(&"");
        collections.push(given.collection(collections.len(), key, next));
        let members = keys.iter().take(at + 1).rev().map(|key| ((*key).to_owned(), Json::Bool(true)));
        let inner = Json::Object(members.clone().collect());
        let above = keys.iter().skip(at / 2).take(2).map(|key| ((*key).to_owned(), inner.clone()));
        let document = Json::Object(if at % 3 == 2 { above.collect() } else { members.collect() });
        let grown = at / 3 % shapes.len();
        let (Some(shape), Some(collection)) = (shapes.get_mut(grown), collections.get_mut(grown)) else {
            continue;
        };
        shape.merge(&Structure::derive(&document, &limits));
        let mut published = Published::clone(&collection.shape);
        let mut name = |next: &mut Published| given.types(next, &collection.type_name);
        grow(shape, &mut published, &limits, &mut name);
        if at % 4 == 3 {
            rename(&mut published, at, next, &limits);
            grow(shape, &mut published, &limits, &mut name);
        }
        collection.shape = Arc::new(published);
    }
    collections
}

/// Names that have been given, as the store keeps and looks for them.
#[derive(Default)]
struct Given {
    roots: BTreeSet<String>,
    types: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Given {
    fn collection(&mut self, known: usize, category: &str, subcategory: &str) -> Collection {
        let taken = self.taken(&names_wanted(category, subcategory));
        let (field_name, type_name) = collection_names(category, subcategory, &|name| taken.contains(name));
        claim(&mut self.roots, std::iter::once(field_name.clone()));
        claim(&mut self.roots, FIELD_SUFFIXES.iter().map(|suffix| format!("{field_name}{suffix}")));
        claim(&mut self.types, own_types(&type_name));
        self.fields.insert(field_name.clone());
        Collection {
            id: i64::try_from(known).unwrap() + 1,
            category: category.to_owned(),
            subcategory: subcategory.to_owned(),
            field_name,
            type_name,
            generation: 1,
            shape: Arc::default(),
            narrow: None,
        }
    }

    fn types(&mut self, next: &mut Published, type_name: &str) {
        let taken = self.taken(&[types_wanted(type_name).to_owned()]);
        claim(&mut self.types, name_types(next, type_name, &|name| taken.contains(name)).into_iter());
        assert!(name_types(next, type_name, &|_| true).is_empty(), "what is named is named anew");
        assert!(next.type_names.values().all(|name| self.types.contains(name)));
    }

    /// What begins like one of these, and what they derive from.
    fn taken(&self, beginnings: &[String]) -> HashSet<String> {
        let begins = |name: &&String| beginnings.iter().any(|from| name.starts_with(from.as_str()));
        let mut taken: HashSet<String> = self.types.iter().filter(begins).cloned().collect();
        let derived = |field: &String| {
            beginnings.iter().any(|from| {
                FIELD_SUFFIXES.iter().any(|suffix| from.strip_suffix(suffix) == Some(field.as_str()))
            })
        };
        for field in self.fields.iter().filter(|field| begins(field) || derived(field)) {
            taken.extend(FIELD_SUFFIXES.iter().map(|suffix| format!("{field}{suffix}")));
            taken.insert(field.clone());
        }
        taken
    }
}

fn claim(given: &mut BTreeSet<String>, names: impl Iterator<Item = String>) {
    for name in names {
        is_name(&name);
        assert!(given.insert(name.clone()), "{name} is given twice");
    }
}

/// Gives one of the fields a name that somebody asks for, unless it is refused.
fn rename(published: &mut Published, choice: usize, name: &str, limits: &config::Shape) {
    let fields: Vec<(u32, String)> = published.fields().map(|field| (field.id, field.path.clone())).collect();
    let Some((id, path)) = fields.get(choice % fields.len().max(1)) else { return };
    let before = published.field(*id).unwrap().name.clone();
    if published.rename(path, name, limits).is_ok() {
        published.version += 1;
        let field = published.field(*id).unwrap();
        assert!(field.name == name && field.answers_to(&before), "{name} {before}");
        are_named(&published.fields);
    }
}

fn limits(choice: u8) -> config::Shape {
    let limits = config::Shape::default();
    match choice % 4 {
        0 => config::Shape { locations_max: 9, columns_max: 6, depth_max: 3, key_bytes_max: 4, ..limits },
        1 => config::Shape { map_keys_min: 2, known_bytes_max: 4_000, ..limits },
        2 => config::Shape { columns_max: 4, ..limits },
        _ => limits,
    }
}

/// What is remembered answers what is derived.
fn known_again(documents: &[Json], structures: &[Structure], limits: &config::Shape) {
    let known = Known::new(limits);
    for (document, structure) in documents.iter().zip(structures).chain(documents.iter().zip(structures)) {
        let (fingerprint, text) = known.structure("a", "b", document);
        assert_eq!((fingerprint, &*text), (structure.fingerprint(), structure.to_text().as_str()));
    }
}

/// The next version, which says all that the one before it said; `name` names its types.
fn grow(
    shape: &Shape,
    published: &mut Published,
    limits: &config::Shape,
    name: &mut dyn FnMut(&mut Published),
) {
    let Some(mut next) = shape.publish(published, limits) else { return };
    assert_eq!(next.version, published.version + 1);
    name(&mut next);
    for field in published.fields() {
        let later = next.field(field.id).unwrap();
        assert_eq!((&field.key, &field.path, &field.decided), (&later.key, &later.path, &later.decided));
        assert_eq!(field.name, later.name);
        assert!(field.tags.is_subset(&later.tags));
    }
    assert!(published.type_names.iter().all(|(id, name)| next.type_names.get(id) == Some(name)));
    assert_eq!(shape.publish(&next, limits), None, "it is published twice");
    assert!(next.columns().len() <= limits.columns_max);
    let ids: HashSet<_> = next.fields().map(|field| field.id).collect();
    assert_eq!(ids.len(), next.fields().count());
    let types: HashSet<_> = next.type_names.values().collect();
    assert_eq!(types.len(), next.type_names.len());
    types.into_iter().for_each(|name| is_name(name));
    are_named(&next.fields);
    let text = serde_json::to_string(&next).unwrap();
    assert_eq!(serde_json::from_str::<Published>(&text).unwrap(), next);
    *published = next;
}

/// Names are unique where they stand, and none is one that GraphQL or this service uses.
fn are_named(fields: &[Field]) {
    let mut names = HashSet::new();
    for field in fields {
        for name in field.names_ever() {
            is_name(name);
            assert!(!["_record", "_rest", "and", "or", "not", "true", "false", "null"].contains(&name));
            assert!(names.insert(name), "{name} is given twice");
        }
        are_named(field.children());
    }
}

/// A name of GraphQL that is not its own.
fn is_name(name: &str) {
    let mut bytes = name.bytes();
    assert!(bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_'), "{name:?}");
    assert!(bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name:?}");
    assert!(!name.starts_with("__"), "{name:?}");
}

/// Every value of the document stands in a cell, in the rest or among what did not fit.
fn nothing_is_lost(published: &Published, source: &Json) {
    let row = conform(published, source);
    let columns = published.columns();
    assert_eq!(columns.len(), row.cells.len());
    for (column, cell) in columns.iter().zip(&row.cells) {
        let fits = match cell {
            Cell::Null => true,
            Cell::Bool(_) => column.sql == SqlType::Bool,
            Cell::Int(_) => column.sql == SqlType::Int,
            Cell::Float(number) => column.sql == SqlType::Float && number.is_finite(),
            Cell::Text(text) => column.sql == SqlType::Text && !text.contains('\0'),
        };
        assert!(fits, "{column:?} {cell:?}");
    }
    let Json::Object(_) = source else { return };
    let read = |text: &str| record::parse(text.as_bytes(), record::Limits::ACCEPTED).unwrap();
    let kept = leaves(&read(&document(published, &row.cells)))
        + row.rest.as_deref().map_or(0, |rest| leaves(&read(rest)))
        // Of a number or time that is kept as the nearest one the exact text is kept, too.
        + row.rescued.iter().filter(|misfit| !misfit.reason.starts_with("kept "))
            .map(|misfit| leaves(&read(&misfit.value))).sum::<usize>();
    assert_eq!(kept, leaves(source), "{row:?}");
}

/// How many values that are no containers and not null.
fn leaves(value: &Json) -> usize {
    match value {
        Json::Null => 0,
        Json::Bool(_) | Json::Number(_) | Json::String(_) => 1,
        Json::Array(items) => items.iter().map(leaves).sum(),
        Json::Object(members) => members.iter().map(|(_, value)| leaves(value)).sum(),
    }
}
