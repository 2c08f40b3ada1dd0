//! Fields that get another type: built beside, in their place at once, and never wider by what was known.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use crate::config;
use crate::record::Json;
use crate::shape::{Published, Shape, Structure, conform, diff, document};

struct Seen(Shape);

impl Seen {
    fn learn(&mut self, text: &str, previous: &Published) -> Published {
        let limits = config::Shape::default();
        self.0.merge(&Structure::derive(&Json::try_from(text).unwrap(), &limits));
        self.0.publish(previous, &limits).unwrap_or_else(|| previous.clone())
    }

    fn retyped(&self, published: &Published, path: &str, ty: &str) -> Published {
        let mut next = published.clone();
        next.retype(path, ty, &config::Shape::default()).unwrap();
        next.note_known(&self.0);
        next
    }
}

fn row(published: &Published, text: &str) -> (String, Vec<String>) {
    let row = conform(published, &Json::try_from(text).unwrap());
    assert_eq!(row.cells.len(), published.columns().len());
    (
        document(published, &row.cells),
        row.rescued.into_iter().map(|one| one.path + " " + &one.value).collect(),
    )
}

#[test]
fn a_type_is_built_beside_the_old_one_and_swapped() {
    let mut seen = Seen(Shape::default());
    let text = r#"{"n":"x","o":{"k":"1"},"l":[{"m":"a","x":1}],"t":[1]}"#;
    let first = seen.learn(text, &Published::default());
    let mut next = first.clone();
    for (path, ty) in [("/n", "Int"), ("/o/k", "Float"), ("/l/*/m", "Int"), ("/t", "[String]")] {
        next = seen.retyped(&next, path, ty);
    }
    // What is there stays as it is, and nobody sees the rest.
    assert_eq!((&next.fields, next.columns().len()), (&first.fields, first.columns().len() + 4));
    let text = r#"{"n":"7","o":{"k":"1.5"},"l":[{"m":"8","x":2},{"m":"z"}],"t":[3,4]}"#;
    let (before, rescued) = row(&next, text);
    assert_eq!(before, r#"{"l":[{"m":"8","x":2},{"m":"z"}],"n":"7","o":{"k":"1.5"},"t":[3,4]}"#);
    assert_eq!(rescued, ["/l/1/m \"z\""]);
    let grown = seen.learn(r#"{"n":"x","new":1,"l":[{"y":true}]}"#, &next);
    assert_eq!(grown.building, next.building);
    let mut swapped = grown.clone();
    swapped.swap();
    assert_eq!(swapped.columns().len(), grown.columns().len() - 4);
    let (after, rescued) = row(&swapped, text);
    assert!(
        after.contains(r#":7,"#) && after.contains(r#":1.5"#) && after.contains(r#"["3","4"]"#),
        "{after}"
    );
    assert!(after.contains(r#":8,"x":2},{"#), "{after}");
    assert_eq!(rescued, ["/l/1/m \"z\""]);
    let told = |a: &Published, b: &Published| -> Vec<String> {
        diff(a, b).into_iter().map(|one| format!("{} {:?}", one.path, one.what)).collect()
    };
    assert_eq!(told(&first, &next)[1], r#"/n Retyping("String", "Int")"#);
    assert_eq!(
        told(&grown, &swapped),
        [
            r#"/l/*/m Retyped("String", "Int")"#,
            r#"/n Retyped("String", "Int")"#,
            r#"/o/k Retyped("String", "Float")"#,
            r#"/t Retyped("[Int]", "[String]")"#
        ]
    );
    assert_eq!(serde_json::from_str::<Published>(&serde_json::to_string(&grown).unwrap()).unwrap(), grown);
    // No id is given twice, also not to what comes later.
    let later = seen.learn(r#"{"z":1}"#, &swapped);
    let ids: Vec<u32> = later.fields().map(|field| field.id).collect();
    let retired = later.retired.iter().map(|one| one.id);
    assert!(retired.clone().all(|id| !ids.contains(&id)) && retired.count() == 5);
}

#[test]
fn what_was_known_does_not_widen_it() {
    let mut seen = Seen(Shape::default());
    let first = seen.learn(r#"{"n":1.5,"s":"x"}"#, &Published::default());
    let mut next = seen.retyped(&first, "/n", "Int");
    next = seen.retyped(&next, "/s", "Int");
    next.swap();
    let kind =
        |published: &Published, name: &str| crate::shape::type_of(&published.find(&[name]).unwrap().kind);
    let later = seen.learn(r#"{"n":2.5,"s":1,"x":1}"#, &next);
    assert_eq!((kind(&later, "n"), kind(&later, "s")), ("Int".into(), "Int".into()));
    assert_eq!(row(&later, r#"{"n":2.5,"s":" 1"}"#).1, ["/n 2.5"]);
    // What is new does.
    let wide = seen.learn(r#"{"n":3000000000,"s":0.5}"#, &later);
    assert_eq!((kind(&wide, "n"), kind(&wide, "s")), ("BigInt".into(), "Float".into()));
}

#[test]
fn what_cannot_be_is_refused() {
    let mut seen = Seen(Shape::default());
    let text = r#"{"n":"x","o":{"k":"1"},"l":[{"m":"a","b":1}]}"#;
    let mut shape = seen.learn(text, &Published::default());
    let limits = config::Shape::default();
    for (path, ty) in [("/n", "[Int]"), ("/n", "Integer"), ("/o", "JSON"), ("/l", "JSON"), ("/l", "[Int]")] {
        assert!(shape.retype(path, ty, &limits).is_err(), "{path} {ty}");
    }
    let same = shape.clone();
    shape.retype("/n", "String", &limits).unwrap();
    assert_eq!(shape, same);
    shape.retype("/l/*/m", "Int", &limits).unwrap();
    assert!(shape.retype("/l/*/b", "String", &limits).is_err());
    assert!(shape.retype("/l/*/m", "Float", &limits).is_err());
    let full = config::Shape { columns_max: shape.columns().len(), ..config::Shape::default() };
    assert!(shape.retype("/n", "Int", &full).is_err());
}

#[test]
fn a_union_follows_its_members_and_ends_with_its_discriminator() {
    let mut seen = Seen(Shape::default());
    let first = seen.learn(r#"{"kind":"a","n":"1","z":true}"#, &Published::default());
    let id = |shape: &Published, name: &str| shape.find(&[name]).unwrap().id;
    let mut shape = first.clone();
    let variants = [("a".to_owned(), [id(&first, "n")].into())].into();
    shape.accept_union("", "/kind", &variants).unwrap();
    assert!(shape.refuses_relation_name("variant") && !shape.refuses_relation_name("variants"));
    shape = seen.retyped(&shape, "/n", "Int");
    shape.swap();
    let cases: Vec<_> = shape.own_union().unwrap().cases().map(|case| case.fields.clone()).collect();
    assert_eq!(cases, [[id(&shape, "n")].into()]);
    assert_ne!(id(&shape, "n"), id(&first, "n"));
    shape = seen.retyped(&shape, "/kind", "JSON");
    shape.swap();
    assert!(shape.own_union().is_none());
}
