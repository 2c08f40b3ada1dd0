//! What is known again is what deriving it would answer, whatever came before and however little is remembered.

use std::sync::Arc;

use super::*;

/// What deriving answers, so that it can be compared.
fn derived(document: &Json, limits: &config::Shape) -> (i64, String) {
    let structure = Structure::derive(document, limits);
    (structure.fingerprint(), structure.to_text())
}

fn known(known: &Known, document: &Json) -> (i64, String) {
    let (fingerprint, text) = known.structure("order", "clothing", document);
    (fingerprint, text.to_string())
}

/// The same members in another order, at every depth.
fn turned(value: &Json) -> Json {
    match value {
        Json::Object(members) => {
            Json::Object(members.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().rev().map(turned).collect()),
        other => other.clone(),
    }
}

/// With keys that are data among the others.
fn with_data(value: &Json) -> Json {
    let renamed = |key: &String| {
        match key.as_str() {
            "a b" => "10001",
            "a_b" => "10002",
            "b" => "2026-11-22",
            "c" => "2026-11-23",
            "and" => "EUR",
            "é" => "USD",
            "a/b" => "GBP",
            "c~" => "ada@example.org",
            other => other,
        }
        .to_owned()
    };
    match value {
        Json::Object(members) => {
            let members = members.iter().map(|(key, value)| (renamed(key), with_data(value)));
            Json::Object(members.collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(with_data).collect()),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_known_is_what_would_be_derived(
        documents in prop::collection::vec(document_strategy(), 1..8),
        bounded in any::<bool>(),
        known_bytes_max in prop::sample::select(vec![0, 2_000, 20_000, 32 << 20]),
        map_keys_min in prop::sample::select(vec![2, 1_000]),
        data in any::<bool>(),
    ) {
        let limits = config::Shape { known_bytes_max, map_keys_min, ..if bounded { tight() } else { limits() } };
        let memory = Known::new(&limits);
        let documents: Vec<_> = if data { documents.iter().map(with_data).collect() } else { documents };
        let turned: Vec<_> = documents.iter().map(turned).collect();
        for document in documents.iter().chain(&turned).chain(documents.iter().rev()) {
            prop_assert_eq!(known(&memory, document), derived(document, &limits));
        }
    }

    #[test]
    fn what_came_before_is_not_derived_again(documents in prop::collection::vec(document_strategy(), 1..6)) {
        let memory = Known::new(&limits());
        let first: Vec<_> = documents.iter().map(|d| memory.structure("a", "b", d)).collect();
        for (document, (fingerprint, text)) in documents.iter().zip(&first) {
            let (again, shared) = memory.structure("a", "b", document);
            prop_assert_eq!(again, *fingerprint);
            prop_assert!(Arc::ptr_eq(&shared, text));
        }
    }
}

#[test]
fn what_a_key_hints_at_is_known_with_it() {
    let memory = Known::new(&limits());
    for text in [
        r#"{"lat":1.5,"lon":2.5}"#,
        r#"{"lat":1.5,"lon":200}"#,
        r#"{"lon":1.5,"lat":2.5}"#,
        r#"{"lat":1.5}"#,
        r#"{"country":"DE","codes":["EUR"],"currencies":["EUR",["USD"]],"at":1557933591}"#,
        r#"{"country":"XX","codes":["EUR"],"currencies":["EUR",["usd"]],"at":1}"#,
        r#"{"type":"Point","coordinates":[1,2]}"#,
        r#"{"type":"Line","coordinates":[1,2]}"#,
        r#"{"coordinates":[[1557933591]],"type":"Point"}"#,
    ] {
        let document = Json::try_from(text).unwrap();
        for _ in 0..2 {
            assert_eq!(known(&memory, &document), derived(&document, &limits()), "{text}");
        }
    }
}

#[test]
fn ever_new_keys_and_large_documents_stay_within_the_memory() {
    let limits = config::Shape { known_bytes_max: 64 << 10, ..limits() };
    let memory = Known::new(&limits);
    let usual = Json::try_from(r#"{"id":1,"name":"a"}"#).unwrap();
    for round in 0..50 {
        let members = (0..200).map(|n| (format!("key {round} {n}"), Json::Bool(true)));
        let wide = Json::Object(members.collect());
        for document in [&wide, &usual, &usual, &wide] {
            assert_eq!(known(&memory, document), derived(document, &limits));
        }
        assert!(memory.bytes() <= 64 << 10, "{}", memory.bytes());
        let (first, again) = (memory.structure("a", "b", &usual), memory.structure("a", "b", &usual));
        assert!(Arc::ptr_eq(&first.1, &again.1));
    }
    // Under a location with too many keys nothing is known.
    let many = Json::Object((0..1_100).map(|n| (format!("key {n}"), Json::Null)).collect());
    let many = Json::Object(vec![("below".into(), many)]);
    for _ in 0..2 {
        assert_eq!(
            known(&Known::new(&config::Shape::default()), &many),
            derived(&many, &config::Shape::default())
        );
    }
    // A document that needs more than its share is derived each time, and what is cut off is known like all else.
    let larger = Json::Object((0..3_000).map(|n| (format!("key {n}"), Json::Null)).collect());
    let cut = config::Shape { locations_max: 100, ..config::Shape::default() };
    let roomy = Known::new(&cut);
    for _ in 0..2 {
        assert_eq!(known(&memory, &larger), derived(&larger, &limits));
        assert_eq!(known(&roomy, &larger), derived(&larger, &cut));
    }
}

#[test]
fn collections_do_not_wait_for_each_other() {
    let memory = Known::new(&limits());
    let texts = [r#"{"a":1}"#, r#"{"a":"x","b":[1,null]}"#, r#"{"b":{"c":"ada@example.org"}}"#];
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let memory = memory.clone();
            scope.spawn(move || {
                for text in texts.into_iter().cycle().skip(thread).take(2_000) {
                    let document = Json::try_from(text).unwrap();
                    let name = if thread % 2 == 0 { "even" } else { "odd" };
                    let (fingerprint, text) = memory.structure("of", name, &document);
                    assert_eq!((fingerprint, text.to_string()), derived(&document, &limits()));
                }
            });
        }
    });
}
