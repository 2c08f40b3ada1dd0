//! Which fields rules and hands classify, and which stay in quarantine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use super::*;
use crate::record::Json;
use crate::shape::{Shape, Structure};

fn rules(classify: &[(&str, &str)], tags: &[&str]) -> config::Shape {
    let rule = |(collection, path): &(&str, &str)| config::Classify {
        collection: (*collection).into(),
        path: (*path).into(),
    };
    config::Shape {
        classify: classify.iter().map(rule).collect(),
        classify_tags: tags.iter().map(|tag| (*tag).into()).collect(),
        ..config::Shape::default()
    }
}

/// What is published of the documents, one after the other, in guarded mode.
fn guarded(documents: &[&str], rules: &config::Shape) -> Published {
    let mut shape = Shape::default();
    let mut published = Published { unclassified: true, ..Published::default() };
    published.release("orderItem", rules);
    for text in documents {
        shape.merge(&Structure::derive(&Json::try_from(*text).unwrap(), rules));
        if let Some(mut next) = shape.publish(&published, rules) {
            next.guard(&published, "orderItem", true, rules);
            published = next;
        }
    }
    published
}

/// Paths of the leaves that are not classified.
fn kept(published: &Published) -> Vec<&str> {
    let leaves = published.fields().filter(|field| field.children().is_empty());
    leaves.filter(|field| !field.is_classified()).map(|field| field.path.as_str()).collect()
}

const DOCUMENT: &str = r#"{"a":1,"b":{"c":"ada@example.org","d":2},"e":[{"f":true,"g":[1]}]}"#;

#[test]
fn all_that_is_new_is_kept_back_unless_it_is_open() {
    let none = rules(&[], &[]);
    let first = guarded(&[DOCUMENT], &none);
    assert_eq!(kept(&first), ["/a", "/b/c", "/b/d", "/e/*/f", "/e/*/g"]);
    assert!(first.unclassified && first.fields().all(|field| !field.is_classified()));
    let mut open = first.clone();
    open.guard(&Published::default(), "orderItem", false, &none);
    assert!(kept(&open).is_empty() && !open.unclassified);
    // What was kept stays so when the mode changes.
    let mut later = first.clone();
    assert_eq!(later.guard(&first, "orderItem", false, &none), 0);
    assert_eq!(later, first);
}

#[test]
fn rules_classify_by_collection_and_path() {
    let left = |rule: (&str, &str)| kept(&guarded(&[DOCUMENT], &rules(&[rule], &[]))).join(" ");
    assert_eq!(left(("*", "/**")), "");
    assert_eq!(left(("order*", "/a")), "/b/c /b/d /e/*/f /e/*/g");
    assert_eq!(left(("orderItem", "/b/**")), "/a /e/*/f /e/*/g");
    assert_eq!(left(("*Item", "/*/c")), "/a /b/d /e/*/f /e/*/g");
    assert_eq!(left(("*", "/e/*/g")), "/a /b/c /b/d /e/*/f");
    assert_eq!(left(("*", "/**/c")), "/a /b/d /e/*/f /e/*/g");
    for other in
        [("order", "/**"), ("item*", "/**"), ("*", "/A"), ("*", "/b"), ("*", "/b/c/**/x"), ("*", "/*x")]
    {
        assert_eq!(left(other), "/a /b/c /b/d /e/*/f /e/*/g", "{other:?}");
    }
    assert!(is_like("a*b*c", "a1b2b3c") && !is_like("a*b*c", "a1b2b3") && is_like("**", ""));
}

#[test]
fn tags_classify_only_when_all_are_listed_and_there_is_one() {
    let left = |tags: &[&str]| kept(&guarded(&[DOCUMENT], &rules(&[], tags))).join(" ");
    assert_eq!(left(&["pii"]), "/a /b/d /e/*/f /e/*/g");
    assert_eq!(left(&["pii.email"]), "/a /b/d /e/*/f /e/*/g");
    for other in [&["pii.emai"], &["pi"], &["email"]] {
        assert_eq!(left(other), "/a /b/c /b/d /e/*/f /e/*/g");
    }
    let mut both = guarded(&[DOCUMENT], &rules(&[], &[]));
    leaves(&mut both.fields, &mut |field| field.tags.extend(["pii.email".to_owned(), "odd".to_owned()]));
    assert!(both.release("orderItem", &rules(&[], &["pii"])).is_empty());
    assert_eq!(both.release("orderItem", &rules(&[], &["pii", "odd"])).len(), 5);
}

#[test]
fn hands_classify_fields_with_all_that_is_in_them() {
    let mut shape = guarded(&[DOCUMENT], &rules(&[], &[]));
    let mut by = |paths: Option<&[&str]>, classified: bool, last: u32| {
        let paths: Option<Vec<String>> =
            paths.map(|paths| paths.iter().map(|path| (*path).to_owned()).collect());
        let changed = shape.classify(paths.as_deref(), classified, last);
        (changed.map(|paths| paths.join(" ")), kept(&shape).join(" "), shape.unclassified)
    };
    assert_eq!(
        by(Some(&["/b/x"]), true, 99),
        (Err("/b/x".into()), "/a /b/c /b/d /e/*/f /e/*/g".into(), true)
    );
    assert_eq!(by(Some(&["/b"]), true, 99), (Ok("/b/c /b/d".into()), "/a /e/*/f /e/*/g".into(), false));
    assert_eq!(
        by(Some(&["/b/d", "/e"]), false, 99),
        (Ok("/b/d".into()), "/a /b/d /e/*/f /e/*/g".into(), false)
    );
    assert_eq!(by(Some(&[]), true, 99).0, Ok(String::new()));
    // Younger ones stay as they are.
    assert_eq!(by(None, true, 1), (Ok("/a".into()), "/b/d /e/*/f /e/*/g".into(), false));
    assert_eq!(by(Some(&[""]), true, 99).1, "");
    assert!(by(None, false, 99).2);
    let fields: Vec<bool> =
        guarded(&[DOCUMENT], &rules(&[("*", "/b/*")], &[])).fields.iter().map(Field::is_classified).collect();
    assert_eq!(fields, [false, true, false]);
}

#[test]
fn a_collection_without_fields_is_opened_as_a_whole() {
    let mut empty = guarded(&["{}"], &rules(&[("x", "/**")], &[]));
    assert!(empty.unclassified);
    assert_eq!(empty.classify(Some(&[]), true, 99), Ok(Vec::new()));
    assert!(empty.unclassified);
    assert_eq!(empty.classify(None, true, 99), Ok(Vec::new()));
    assert!(!empty.unclassified);
    assert!(!guarded(&["{}"], &rules(&[("order*", "/**")], &[])).unclassified);
}

#[test]
fn what_is_decided_survives_what_is_inferred() {
    let none = rules(&[], &[]);
    let mut shape = Shape::default();
    let mut learn = |text: &str, previous: &Published| {
        shape.merge(&Structure::derive(&Json::try_from(text).unwrap(), &none));
        shape.publish(previous, &none)
    };
    let mut decided = learn(r#"{"o":{"mail":"ada@example.org","x":"a"}}"#, &Published::default()).unwrap();
    let tags = |all: &[&str]| -> BTreeSet<String> { all.iter().map(|tag| (*tag).to_owned()).collect() };
    let wish = Wish {
        description: Some("Whom to ask.".into()),
        tags: Some(tags(&["contact"])),
        hidden: Some(true),
        ..Wish::default()
    };
    decided.at_path_mut("/o/mail").unwrap().decide(&wish);
    assert!(decided.at_path_mut("/o/mai").is_none() && decided.at_path_mut("/o/mail/x").is_none());
    assert!(decided.at_path_mut("").is_none());
    let mail = |published: &Published| published.find(&["o", "mail"]).unwrap().clone();
    assert_eq!((mail(&decided).tags, mail(&decided).decided.hidden), (tags(&["contact"]), true));
    // It is inferred again with the next version, and stays away.
    let later = learn(r#"{"o":{"mail":"bob@example.org","x":"x@example.org","y":1}}"#, &decided).unwrap();
    assert_eq!(mail(&later), mail(&decided));
    assert_eq!(later.find(&["o", "x"]).unwrap().tags, tags(&["pii.email"]));
    // What is not given stays; a tag that was taken away can be given again.
    let mut again = later.clone();
    let back = Wish { tags: Some(tags(&["pii.email"])), ..Wish::default() };
    again.at_path_mut("/o/mail").unwrap().decide(&back);
    let then = mail(&again);
    assert_eq!((then.tags, then.decided.untagged), (tags(&["pii.email"]), tags(&["contact"])));
    assert_eq!(then.decided.description.as_deref(), Some("Whom to ask."));
    let bare = Wish { description: Some(String::new()), hidden: Some(false), ..Wish::default() };
    again.at_path_mut("/o/mail").unwrap().decide(&bare);
    assert_eq!(mail(&again).decided.description, None);
    let told: Vec<_> =
        crate::shape::diff(&decided, &again).into_iter().map(|one| (one.path, one.what)).collect();
    use crate::shape::What;
    assert_eq!(
        told[..4],
        [
            ("/o/mail".into(), What::Tagged(vec!["pii.email".into()])),
            ("/o/mail".into(), What::Untagged(vec!["contact".into()])),
            ("/o/mail".into(), What::Described(String::new())),
            ("/o/mail".into(), What::Shown("String".into())),
        ]
    );
}
