//! Names that fields had are theirs for ever, whatever comes later and whoever asks for them.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use crate::config;
use crate::record::Json;
use crate::shape::{Published, Shape, Structure, Wish, conform, diff, document};

struct Seen {
    shape: Shape,
    limits: config::Shape,
}

impl Seen {
    fn new() -> Self {
        Seen { shape: Shape::default(), limits: config::Shape { names_max: 4, ..config::Shape::default() } }
    }

    fn learn(&mut self, text: &str, previous: &Published) -> Published {
        let document = Json::try_from(text).unwrap();
        self.shape.merge(&Structure::derive(&document, &self.limits));
        self.shape.publish(previous, &self.limits).unwrap_or_else(|| previous.clone())
    }
}

fn name(published: &Published, path: &str) -> String {
    published.fields().find(|field| field.path == path).unwrap().name.clone()
}

#[test]
fn old_names_stay_its_own_for_ever() {
    let mut seen = Seen::new();
    let mut published = seen.learn(r#"{"a":1,"l":[{"x":1}]}"#, &Published::default());
    published.rename("/a", "b", &seen.limits).unwrap();
    published.rename("/l/*/x", "y", &seen.limits).unwrap();
    assert_eq!(published.find(&["a"]), published.find(&["b"]));
    assert_eq!(published.find(&["l", "x"]), published.find(&["l", "y"]));
    // What comes later under the names that were taken is numbered, also when the old one is taken away.
    published.keep_aliases("/a", &[]).unwrap();
    assert_eq!(published.find(&["a"]), None);
    assert!(published.find(&["b"]).unwrap().was_called("a"));
    let later = seen.learn(r#"{"a":1,"b":2,"a ":3,"l":[{"x":1,"y":2}]}"#, &published);
    assert_eq!([name(&later, "/a"), name(&later, "/b"), name(&later, "/a ")], ["b", "b2", "a2"]);
    assert_eq!(name(&later, "/l/*/y"), "y2");
    // Rows keep the names of then, and what a document has is found by its keys.
    let row = conform(&later, &Json::try_from(r#"{"a":1,"l":[{"x":5,"y":6}]}"#).unwrap());
    assert_eq!(document(&later, &row.cells), r#"{"a":1,"l":[{"x":5,"y2":6}],"a2":null,"b2":null}"#);
    assert_eq!((row.rest, row.rescued), (None, Vec::new()));
}

#[test]
fn a_name_is_refused_that_is_not_free() {
    let mut seen = Seen::new();
    let text = r#"{"a":1,"b":2,"o":{"k":1},"p_k":1,"q":{"z":1},"q_n":[1]}"#;
    let mut published = seen.learn(text, &Published::default());
    published.rename("/a", "c", &seen.limits).unwrap();
    published.keep_aliases("/a", &[]).unwrap();
    for (path, name) in [
        ("/b", "a"),
        ("/b", "c"),
        ("/o", "p"),
        ("/b", "o_k"),
        ("/q/z", "n"),
        ("/b", "and"),
        ("/b", "_record"),
        ("/b", "__b"),
        ("/b", "1b"),
        ("/b", "b-c"),
        ("/b", ""),
        ("/b", "größe"),
    ] {
        let before = published.clone();
        assert!(published.rename(path, name, &seen.limits).is_err(), "{path} {name}");
        assert_eq!(published, before);
    }
    assert!(published.rename("/b", &"b".repeat(300), &seen.limits).is_err());
    assert_eq!(published.keep_aliases("/b", &["a".to_owned()]), Err("a".to_owned()));
    // Its own name is free for it, and an old one comes back.
    published.rename("/a", "a", &seen.limits).unwrap();
    published.rename("/a", "a", &seen.limits).unwrap();
    let a = published.find(&["a"]).unwrap();
    assert_eq!((a.decided.aliases.clone(), a.decided.retired.len(), a.stored()), (vec!["c".into()], 0, "a"));
    // Names below an object multiply with its own.
    published.rename("/o", "o2", &seen.limits).unwrap();
    published.rename("/o/k", "k2", &seen.limits).unwrap();
    assert!(published.rename("/o/k", "k3", &seen.limits).is_err());
    // A later leaf keeps off the flattened names of both.
    let later = seen.learn(r#"{"o_k2":1,"o2_k":1,"o":{"x":1},"o2_x":1}"#, &published);
    assert_eq!([name(&later, "/o_k2"), name(&later, "/o2_k")], ["o_k22", "o2_k3"]);
    assert_eq!((name(&later, "/o/x"), name(&later, "/o2_x")), ("x2".into(), "o2_x".into()));
}

#[test]
fn names_and_deprecations_are_told() {
    let mut seen = Seen::new();
    let first = seen.learn(r#"{"a":1}"#, &Published::default());
    let told = |before: &Published, after: &Published| -> Vec<String> {
        diff(before, after).into_iter().map(|one| format!("{:?}", one.what)).collect()
    };
    let mut renamed = first.clone();
    renamed.rename("/a", "b", &seen.limits).unwrap();
    assert_eq!(told(&first, &renamed), [r#"Renamed("a", "b")"#]);
    let mut bare = renamed.clone();
    bare.keep_aliases("/a", &[]).unwrap();
    let wish = |text: &str| Wish { deprecated: Some(text.to_owned()), ..Wish::default() };
    bare.at_path_mut("/a").unwrap().decide(&wish("use c"));
    assert_eq!(told(&renamed, &bare), [r#"Unaliased(["a"])"#, r#"Deprecated("use c")"#]);
    let mut again = bare.clone();
    again.at_path_mut("/a").unwrap().decide(&wish(""));
    assert_eq!(told(&bare, &again), [r#"Deprecated("")"#]);
    // What was stored before there were names of then reads as ever.
    let text = serde_json::to_string(&first).unwrap();
    assert!(!text.contains("decided") && serde_json::from_str::<Published>(&text).unwrap() == first);
    assert_eq!(serde_json::from_str::<Published>(&serde_json::to_string(&bare).unwrap()).unwrap(), bare);
}
