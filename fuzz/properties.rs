//! What must hold for whatever bytes come: of inference, for documents one a line, and of naming, for keys one a line.
//! Fuzz targets call it with bytes that find new ways through the code, the ordinary tests with seeded ones. A broken
//! property panics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(unreachable_pub, reason = "fuzz targets call it from outside")]

use std::collections::HashSet;

use crate::config;
use crate::record::{self, Json};
use crate::shape::{
    Cell, Field, Known, Published, Shape, SqlType, Structure, collection_names, conform, document, name_types,
};

/// No more documents or keys are looked at: more of them show nothing new, only slower.
const LINES_MAX: usize = 12;

/// Documents one a line, after a byte that chooses the limits. What is no JSON is left out.
pub fn inference(data: &[u8]) {
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
        grow(&shape, &mut published, &limits);
        nothing_is_lost(&published, document);
    }
    documents.iter().for_each(|document| nothing_is_lost(&published, document));
    let mut turned = Shape::default();
    structures.iter().rev().chain(&structures).for_each(|structure| turned.merge(structure));
    assert_eq!(turned, shape, "the order of documents matters");
    assert_eq!(Shape::from_text(&shape.to_text()).unwrap(), shape);
}

/// Keys one a line: each is a field, at the top and in the one before it, and the name of a collection.
pub fn naming(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let keys: Vec<&str> = text.split('\n').take(2 * LINES_MAX).collect();
    let limits = config::Shape::default();
    let (mut shape, mut published) = (Shape::default(), Published::default());
    for end in 1..=keys.len() {
        let members = keys.iter().take(end).rev().map(|key| ((*key).to_owned(), Json::Bool(true)));
        let inner = Json::Object(members.clone().collect());
        let above = keys.iter().skip(end / 2).take(2).map(|key| ((*key).to_owned(), inner.clone()));
        let document = Json::Object(if end % 3 == 0 { above.collect() } else { members.collect() });
        shape.merge(&Structure::derive(&document, &limits));
        grow(&shape, &mut published, &limits);
    }
    let mut taken = HashSet::new();
    for pair in keys.windows(2) {
        let [category, subcategory] = pair else { continue };
        let (field, ty) = collection_names(category, subcategory, &|name| taken.contains(name));
        is_name(&field);
        is_name(&ty);
        assert!(!taken.contains(&field) && !taken.contains(&ty), "{field} or {ty} is given twice");
        taken.extend([field, ty]);
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

/// The next version, which says all that the one before it said.
fn grow(shape: &Shape, published: &mut Published, limits: &config::Shape) {
    let Some(mut next) = shape.publish(published, limits) else { return };
    assert_eq!(next.version, published.version + 1);
    name_types(&mut next, "Row", &|_| false);
    for field in published.fields() {
        let later = next.field(field.id).unwrap();
        assert_eq!((&field.key, &field.path, &field.name), (&later.key, &later.path, &later.name));
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
        is_name(&field.name);
        assert!(!["_record", "_rest", "and", "or", "not", "true", "false", "null"].contains(&&*field.name));
        assert!(names.insert(&field.name), "{} is given twice", field.name);
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
