//! Whether what one version publishes can be read by whom another was published for: of every field the type, the
//! names that it answers to, and whether consumers see it. Whoever reads is taken to use current names.

use std::collections::BTreeSet;

use super::{Field, Kind, Published, Scalar};

/// The ids of the fields that break, where a consumer of `known` reads `served`: those that it has no more, under that
/// name, as a type that can be read as the one before, for whoever sees what is classified and not hidden.
pub fn breaks(known: &Published, served: &Published) -> BTreeSet<u32> {
    let mut broken = BTreeSet::new();
    level(&known.fields, &served.fields, &mut broken);
    broken
}

fn level(known: &[Field], served: &[Field], broken: &mut BTreeSet<u32>) {
    for field in known.iter().filter(|field| is_seen(field)) {
        let found = served.iter().find(|other| other.id == field.id && is_seen(other));
        match found.filter(|other| answers(other, &field.name) && reads(field, other)) {
            Some(other) => level(field.children(), other.children(), broken),
            None => drop(broken.insert(field.id)),
        }
    }
}

/// Whether consumers may see it: an object when they may see anything in it.
fn is_seen(field: &Field) -> bool {
    let classified =
        if field.holds_values() { !field.unclassified } else { field.children().iter().any(is_seen) };
    classified && !field.decided.hidden
}

fn answers(field: &Field, name: &str) -> bool {
    field.name == name || field.decided.aliases.iter().any(|alias| alias == name)
}

fn reads(known: &Field, served: &Field) -> bool {
    let values = match (known.enumeration(), served.enumeration()) {
        (None, None) => true,
        (Some(known), Some(served)) => served.values().all(|named| known.value(&named.name).is_some()),
        _ => false,
    };
    values && reads_kind(&known.kind, &served.kind)
}

fn reads_kind(known: &Kind, served: &Kind) -> bool {
    match (known, served) {
        // Both are numbers on the wire, where a `BigInt` is a text.
        (Kind::Scalar(Scalar::Float), Kind::Scalar(Scalar::Int)) => true,
        (Kind::Scalar(known), Kind::Scalar(served)) => known == served,
        (Kind::List(known), Kind::List(served)) | (Kind::Map(known), Kind::Map(served)) => {
            reads_kind(known, served)
        }
        (Kind::Object(_) | Kind::Packed(_), Kind::Object(_) | Kind::Packed(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;
    use crate::config;
    use crate::record::Json;
    use crate::shape::{Shape, Structure, Wish};

    /// What is published of the documents, one after the other.
    fn versions(documents: &[&str]) -> Vec<Published> {
        let (mut shape, mut all) = (Shape::default(), vec![Published::default()]);
        for text in documents {
            let document = Json::try_from(*text).unwrap();
            shape.merge(&Structure::derive(&document, &config::Shape::default()));
            let last = all.last().unwrap();
            all.push(shape.publish(last, &config::Shape::default()).unwrap_or_else(|| last.clone()));
        }
        all
    }

    fn paths(known: &Published, served: &Published) -> Vec<String> {
        let broken = breaks(known, served);
        known.fields().filter(|field| broken.contains(&field.id)).map(|field| field.path.clone()).collect()
    }

    #[test]
    fn what_is_added_breaks_nobody_and_what_is_another_type_does() {
        let all = versions(&[
            r#"{"n":1,"m":1,"l":[1],"o":{"k":1}}"#,
            r#"{"n":3000000000,"m":1.5,"l":[0.5],"o":{"k":1,"late":1},"new":1}"#,
        ]);
        let [none, first, second] = all.as_slice() else { return assert_eq!(all.len(), 3) };
        assert!(paths(none, first).is_empty() && paths(first, first).is_empty());
        assert_eq!(paths(first, none), ["/l", "/m", "/n", "/o"]);
        assert_eq!(paths(first, second), ["/l", "/m", "/n"]);
        // An `Int` can be read as a `Float`.
        assert_eq!(paths(second, first), ["/n", "/o/late", "/new"]);
    }

    #[test]
    fn what_consumers_do_not_see_breaks_when_it_goes() {
        let all = versions(&[r#"{"n":1,"o":{"k":1,"s":"x"}}"#]);
        let first = all.last().unwrap();
        let changed = |path: &str, change: &dyn Fn(&mut Field)| {
            let mut next = first.clone();
            change(next.at_path_mut(path).unwrap());
            next
        };
        let hide = Wish { hidden: Some(true), ..Wish::default() };
        let hidden = changed("/o", &|field| field.decide(&hide));
        assert_eq!((paths(first, &hidden), paths(&hidden, first)), (vec!["/o".to_owned()], vec![]));
        let kept = changed("/o/k", &|field| field.unclassified = true);
        assert_eq!((paths(first, &kept), paths(&kept, first)), (vec!["/o/k".to_owned()], vec![]));
        let renamed = changed("/n", &|field| {
            field.decided.aliases = vec![std::mem::replace(&mut field.name, "count".into())];
        });
        assert_eq!((paths(first, &renamed), paths(&renamed, first)), (vec![], vec!["/n".to_owned()]));
        let dropped = changed("/n", &|field| field.name = "count".into());
        assert_eq!(paths(first, &dropped), ["/n"]);
        let named = |values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            let wish = Wish { values: Some(values), ..Wish::default() };
            changed("/o/s", &|field| field.decide(&wish))
        };
        let (few, more) = (named(&["x"]), named(&["x", "y"]));
        assert_eq!(paths(first, &few), ["/o/s"]);
        assert_eq!((paths(&few, &more), paths(&more, &few)), (vec!["/o/s".to_owned()], vec![]));
    }
}
