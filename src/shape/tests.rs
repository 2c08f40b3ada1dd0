//! What must hold for every document, and what a consumer would call right for a few real ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod examples;
pub(crate) mod fuzzed;
mod json_schema;
mod known;
mod modes;
mod statistics;

use std::collections::HashSet;

use jiff::Timestamp;
use proptest::prelude::*;

use super::publish::pointer_token;
use super::*;
use crate::config;
use crate::record::Json;

fn limits() -> config::Shape {
    config::Shape::default()
}

fn tight() -> config::Shape {
    let limits = limits();
    config::Shape {
        locations_max: 9,
        columns_max: 6,
        depth_max: 3,
        key_bytes_max: 4,
        map_keys_min: 4,
        ..limits
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "c", "a b", "a_b", "_record", "and", "é", "", "a/b", "c~"])
            .prop_map(str::to_owned),
        1 => ".{0,8}",
    ]
}

fn leaf() -> impl Strategy<Value = Json> {
    let numbers = [
        "0",
        "-0",
        "1",
        "2147483648",
        "9007199254740993",
        "9223372036854775808",
        "1.0",
        "1.5",
        "1e400",
        "1e-400",
        "123456789012345678901234567890",
        "-7",
        "5.10",
    ];
    let texts = [
        "",
        "x",
        "a\0b",
        "2021-08-19T12:16:32.5-04:00",
        "1969-12-31T23:59:59.1234567Z",
        "2024-02-29",
        "1",
        "true",
        "0C6E2B9A-7B1D-4A7F-9C57-0f4e5a6b7c8d",
        "ada@example.org",
        "https://example.org/",
        "+1 555 010 9999",
    ];
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        prop::sample::select(numbers.to_vec()).prop_map(|text| Json::Number(text.into())),
        any::<i32>().prop_map(|number| Json::Number(number.to_string().into())),
        prop::sample::select(texts.to_vec()).prop_map(|text| Json::String(text.to_owned())),
        ".{0,6}".prop_map(Json::String),
    ]
}

/// Keys, among them some that are data.
fn any_key() -> impl Strategy<Value = String> {
    let data = [
        "2026-11-22",
        "2026-11",
        "0C6E2B9A-7B1D-4A7F-9C57-0f4e5a6b7c8d",
        "ada@example.org",
        "12345",
        "4111111111111111",
        "d41d8cd98f00b204e9800998ecf8427e",
    ];
    prop_oneof![1 => key(), 1 => prop::sample::select(data.to_vec()).prop_map(str::to_owned)]
}

fn document_strategy() -> impl Strategy<Value = Json> {
    prop_oneof![document_with(|| key().boxed()), document_with(|| any_key().boxed())]
}

fn document_with(key: fn() -> BoxedStrategy<String>) -> impl Strategy<Value = Json> {
    let value = leaf().prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::Array),
            prop::collection::vec((key(), inner), 0..6).prop_map(Json::Object),
        ]
    });
    prop::collection::vec((key(), value), 0..7).prop_map(Json::Object)
}

fn merged<'a>(structures: impl IntoIterator<Item = &'a Structure>) -> Shape {
    let mut shape = Shape::default();
    structures.into_iter().for_each(|structure| shape.merge(structure));
    shape
}

/// Whether `out`, the value as it was published, says what `value` says.
fn says(scalar: Scalar, value: &Json, out: &Json) -> bool {
    match (scalar, value, out) {
        (Scalar::Json, value, out) => value == out,
        (Scalar::String, Json::String(value), Json::String(out)) => value == out,
        (Scalar::String, Json::Number(value), Json::String(out)) => **value == **out,
        (Scalar::String, Json::Bool(value), Json::String(out)) => value.to_string() == *out,
        (Scalar::Boolean, value, out) => value == out,
        (Scalar::BigInt, Json::Number(value), Json::String(out)) => same_number(value, out),
        (Scalar::Int | Scalar::Float, Json::Number(value), Json::Number(out)) => same_number(value, out),
        (Scalar::DateTime, Json::String(value), Json::String(out)) => {
            out.len() == 27 && value.parse::<Timestamp>().unwrap() == out.parse::<Timestamp>().unwrap()
        }
        (Scalar::Date, value, out) => value == out,
        (Scalar::Uuid, Json::String(value), Json::String(out)) => value.to_ascii_lowercase() == *out,
        _ => false,
    }
}

fn same_number(value: &str, out: &str) -> bool {
    match (value.parse::<i128>(), out.parse::<i128>()) {
        (Ok(value), Ok(out)) => value == out,
        _ => value.parse::<f64>().unwrap() == out.parse::<f64>().unwrap(),
    }
}

/// Looks for every value of a document in what it was turned into.
struct Search<'a> {
    rescued: HashSet<(&'a str, &'a str)>,
}

impl Search<'_> {
    fn find(&self, kind: Option<&Kind>, value: &Json, out: Option<&Json>, rest: Option<&Json>, path: &str) {
        if *value == Json::Null || self.rescued.contains(&(path, value.to_text().as_str())) {
            return;
        }
        match (kind, value, out) {
            (None, value, _) => assert_eq!(rest, Some(value), "{path}"),
            (Some(Kind::Scalar(scalar)), value, Some(out)) => {
                assert!(says(*scalar, value, out), "{path}: {scalar:?} {value:?} {out:?}");
            }
            (Some(Kind::List(item)), Json::Array(items), Some(Json::Array(outs))) => {
                assert_eq!(items.len(), outs.len(), "{path}");
                for (index, (value, out)) in items.iter().zip(outs).enumerate() {
                    let rest = rest.and_then(|rest| rest.get(&index.to_string()));
                    self.find(Some(item), value, Some(out), rest, &format!("{path}/{index}"));
                }
            }
            (Some(Kind::Map(kind)), Json::Object(members), Some(out)) => {
                for (at, (key, value)) in members.iter().enumerate() {
                    let path = format!("{path}/{}", pointer_token(key));
                    if key.contains('\0') || members.iter().skip(at + 1).any(|(later, _)| later == key) {
                        let text = value.to_text();
                        assert!(self.rescued.contains(&(&*path, text.as_str())), "{path} is gone");
                        continue;
                    }
                    assert!(out.get(key).is_some(), "{path} is gone");
                    let rest = rest.and_then(|rest| rest.get(key));
                    self.find(Some(kind), value, out.get(key), rest, &path);
                }
            }
            (Some(Kind::Object(fields) | Kind::Packed(fields)), Json::Object(_), Some(out)) => {
                self.members(fields, value, out, rest, path);
            }
            (kind, value, out) => panic!("{path}: {kind:?} {value:?} {out:?}"),
        }
    }

    fn members(&self, fields: &[Field], value: &Json, out: &Json, rest: Option<&Json>, path: &str) {
        let Json::Object(members) = value else { panic!("{path} is not an object") };
        for (at, (key, value)) in members.iter().enumerate() {
            let path = format!("{path}/{}", pointer_token(key));
            let rest = rest.and_then(|rest| rest.get(key));
            let field = fields.iter().find(|field| field.key == *key);
            if members.iter().skip(at + 1).any(|(later, _)| later == key) {
                assert!(self.rescued.contains(&(&*path, value.to_text().as_str())), "{path} comes twice");
                continue;
            }
            self.find(field.map(|f| &f.kind), value, field.and_then(|f| out.get(&f.name)), rest, &path);
        }
    }
}

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
    let out = Json::try_from(document(published, &row.cells).as_str()).unwrap();
    let rest = row.rest.as_deref().map(|rest| Json::try_from(rest).unwrap());
    let rescued = row.rescued.iter().map(|misfit| (misfit.path.as_str(), misfit.value.as_str())).collect();
    Search { rescued }.members(&published.fields, source, &out, rest.as_ref(), "");
}

/// Names are GraphQL names, unique where they stand, also when groups flatten them; types have fields.
fn is_sound(published: &Published) {
    fn check(fields: &[Field], above: &str, in_text: bool, flat: &mut HashSet<String>) {
        let mut names = HashSet::new();
        for field in fields {
            let name = &field.name;
            assert!(names.insert(name), "{name} twice");
            assert!(
                !name.starts_with("__") && !["and", "or", "not", "_record", "_rest"].contains(&name.as_str())
            );
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty());
            assert!(!name.starts_with(|c: char| c.is_ascii_digit()));
            let path = format!("{above}{name}");
            let text = in_text || !matches!(field.kind, Kind::Object(_) | Kind::Scalar(_));
            match &field.kind {
                Kind::Object(children) | Kind::Packed(children) => {
                    assert!(!children.is_empty(), "{path} is empty");
                }
                _ => assert!(in_text || flat.insert(path.clone()), "{path} twice"),
            }
            check(field.children(), &format!("{path}_"), text, flat);
        }
    }
    check(&published.fields, "", false, &mut HashSet::new());
    let ids: HashSet<_> = published.fields().map(|field| field.id).collect();
    assert_eq!(ids.len(), published.fields().count());
    assert!(ids.iter().all(|id| *id <= published.last_field_id));
}

/// `next` says of every field what `previous` said, or more.
fn is_object(kind: &Kind) -> bool {
    match kind {
        Kind::Scalar(_) => false,
        Kind::List(item) => is_object(item),
        Kind::Map(_) => true,
        Kind::Object(_) | Kind::Packed(_) => true,
    }
}

fn only_grows(previous: &Published, next: &Published) {
    assert!(previous.type_names.iter().all(|(id, name)| next.type_names.get(id) == Some(name)));
    for field in previous.fields() {
        let later = next.field(field.id).unwrap();
        assert_eq!((&field.key, &field.path, &field.name), (&later.key, &later.path, &later.name));
        assert!(field.tags.is_subset(&later.tags));
        let same = match (&field.kind, &later.kind) {
            (Kind::Scalar(was), Kind::Scalar(is)) => {
                was == is
                    || matches!((was, is), (Scalar::Int, Scalar::BigInt | Scalar::Float))
                    || (*was, *is) == (Scalar::BigInt, Scalar::Float)
            }
            (was, is) => std::mem::discriminant(was) == std::mem::discriminant(is),
        };
        assert!(same, "{:?} {:?}", field.kind, later.kind);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_merge_depends_neither_on_order_nor_portions_nor_repetition(
        documents in prop::collection::vec(document_strategy(), 1..6),
        order in any::<prop::sample::Index>(),
    ) {
        let structures: Vec<_> = documents.iter().map(|d| Structure::derive(d, &limits())).collect();
        let shape = merged(&structures);
        let at = order.index(structures.len());
        let (left, right) = structures.split_at(at);
        prop_assert_eq!(&merged(right.iter().chain(left)), &shape);
        prop_assert_eq!(&merged(structures.iter().rev().chain(&structures)), &shape);
        let mut sharded = merged(right);
        sharded.merge_shape(&merged(left));
        prop_assert_eq!(&sharded, &shape);
        prop_assert_eq!(&Shape::from_text(&shape.to_text()).unwrap(), &shape);
        for structure in &structures {
            let again = Structure::from_text(&structure.to_text()).unwrap();
            prop_assert_eq!(again.fingerprint(), structure.fingerprint());
            prop_assert_eq!(&again, structure);
        }
    }

    #[test]
    fn truncating_early_or_late_gives_the_same(
        documents in prop::collection::vec(document_with(|| key().boxed()), 1..6), max in 1_usize..12,
    ) {
        let nodes: Vec<_> = documents.iter().map(|d| Structure::derive(d, &limits()).root).collect();
        let mut late = Node::default();
        let mut early = Node::default();
        for node in &nodes {
            late.merge(node, 0);
        }
        for node in nodes.iter().rev() {
            let mut part = node.clone();
            part.truncate(max);
            early.merge(&part, 0);
            early.truncate(max);
        }
        late.truncate(max);
        prop_assert_eq!(early, late);
    }

    #[test]
    fn published_shapes_only_grow_and_nothing_is_lost(
        documents in prop::collection::vec(document_strategy(), 1..6), bounded in any::<bool>(),
    ) {
        let limits = if bounded { tight() } else { limits() };
        let mut shape = Shape::default();
        let mut published = Published::default();
        for source in &documents {
            let structure = Structure::derive(source, &limits);
            shape.merge(&structure);
            if let Some(next) = shape.publish(&published, &limits) {
                prop_assert_eq!(next.version, published.version + 1);
                only_grows(&published, &next);
                published = next;
                name_types(&mut published, "Row", &|_| false);
            }
            is_sound(&published);
            prop_assert!(published.columns().len() <= limits.columns_max);
            prop_assert_eq!(shape.publish(&published, &limits), None);
            nothing_is_lost(&published, source);
        }
        // Earlier documents under what was published last, as a replay has them.
        for source in &documents {
            nothing_is_lost(&published, source);
        }
        let names = published.type_names.values().collect::<HashSet<_>>();
        prop_assert_eq!(names.len(), published.type_names.len());
        let named = |field: &Field| !is_object(&field.kind) || published.type_names.contains_key(&field.id);
        prop_assert!(published.fields().all(named));
        let text = serde_json::to_string(&published).unwrap();
        prop_assert_eq!(serde_json::from_str::<Published>(&text).unwrap(), published);
    }
}

#[test]
fn ten_thousand_keys_are_no_trouble() {
    let wide = |from: usize| {
        let members = (from..from + 10_000).map(|n| (format!("key {n}"), Json::Number("1".into())));
        Json::Object(members.collect())
    };
    let mut shape = Shape::default();
    let mut published = Published::default();
    for source in [wide(0), wide(5_000)] {
        shape.merge(&Structure::derive(&source, &limits()));
        published = shape.publish(&published, &limits()).unwrap_or(published);
        nothing_is_lost_wide(&published, &source);
    }
    assert_eq!(published.columns().len(), limits().columns_max);
    let twice = Json::Object(vec![("k".into(), Json::Bool(true)); 10_000]);
    assert_eq!(conform(&published, &twice).rescued.len(), 9_999);
    // Ten thousand keys that all want one name.
    let same = (0..10_000).map(|n| (format!("é{}", "!".repeat(n % 200)), Json::Bool(true)));
    let same = Json::Object(same.chain((0..9_000).map(|n| (format!("{n:é>5}é"), Json::Null))).collect());
    let mut shape = Shape::default();
    shape.merge(&Structure::derive(&same, &limits()));
    is_sound(&shape.publish(&Published::default(), &limits()).unwrap());
}

fn nothing_is_lost_wide(published: &Published, source: &Json) {
    let row = conform(published, source);
    let cells = row.cells.iter().filter(|cell| **cell != Cell::Null).count();
    let rest = row.rest.map_or(0, |rest| match Json::try_from(rest.as_str()).unwrap() {
        Json::Object(members) => members.len(),
        _ => 0,
    });
    assert_eq!((cells + rest, row.rescued.len()), (10_000, 0));
}
