//! What one published version says more than the one before. Shapes only grow but by decision, so a change is one of
//! few.

use std::collections::{BTreeMap, BTreeSet};

use super::{Field, Kind, Published, Scalar, Union};
use crate::config::Mode;

/// One difference between two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field's id.
    pub field_id: u32,
    /// JSON pointer from the document's root; list items are `/*`, values of maps `/~*`.
    pub path: String,
    /// What became of it.
    pub what: What,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is new, and of this type.
    Added(String),
    /// Its type widened, from the one to the other.
    Widened(String, String),
    /// It got these tags.
    Tagged(Vec<String>),
    /// It is classified now, and of this type.
    Classified(String),
    /// It is no longer classified, and of this type.
    Unclassified(String),
    /// A steward has taken these tags from it.
    Untagged(Vec<String>),
    /// A steward has described it so.
    Described(String),
    /// A steward has hidden it; it is of this type.
    Hidden(String),
    /// It is no longer hidden, and of this type.
    Shown(String),
    /// A steward has accepted other values of it: so many before, so many now; without any it is no enum.
    Enumerated(usize, usize),
    /// It is getting another type, from the one to the other.
    Retyping(String, String),
    /// It has got another type by a steward's word, from the one to the other.
    Retyped(String, String),
    /// A steward has renamed it, from the one to the other.
    Renamed(String, String),
    /// It no longer answers to these names.
    Unaliased(Vec<String>),
    /// A steward has said why it is to be used no longer; empty takes that back.
    Deprecated(String),
    /// What is done about what records uncover there is another mode, from the one to the other. The path need not be
    /// one of a field, and the id is 0 then.
    Mode(Mode, Mode),
    /// A steward has accepted other variants of the object: so many before, so many now.
    United(usize, usize),
}

/// The differences that lead from `previous` to `next`, each field before what is nested in it.
pub fn diff(previous: &Published, next: &Published) -> Vec<Difference> {
    let mut all = modes(previous, next);
    let count = |union: Option<&Union>| union.map_or(0, |union| union.cases().count());
    if let Some(union) = next.union_at("").filter(|union| previous.union_at("") != Some(union)) {
        let what = What::United(count(previous.union_at("")), count(Some(union)));
        all.push(Difference { field_id: union.discriminator, path: String::new(), what });
    }
    let known: BTreeMap<u32, &Field> = previous.fields().map(|field| (field.id, field)).collect();
    for field in next.fields() {
        let mut add = |what| all.push(Difference { field_id: field.id, path: field.path.clone(), what });
        let before = known.get(&field.id).or_else(|| known.get(&next.id_before(field.id)?));
        let Some(was) = before else {
            add(What::Added(type_of(&field.kind)));
            continue;
        };
        let (old, new) = (type_of(&was.kind), type_of(&field.kind));
        if old != new {
            add(if was.id == field.id { What::Widened(old, new) } else { What::Retyped(old, new) });
        }
        let tags: Vec<String> = field.tags.difference(&was.tags).cloned().collect();
        if !tags.is_empty() {
            add(What::Tagged(tags));
        }
        match (was.unclassified, field.unclassified) {
            (true, false) => add(What::Classified(type_of(&field.kind))),
            (false, true) => add(What::Unclassified(type_of(&field.kind))),
            _ => {}
        }
        let untagged: Vec<String> = was.tags.difference(&field.tags).cloned().collect();
        if !untagged.is_empty() {
            add(What::Untagged(untagged));
        }
        if was.decided.description != field.decided.description {
            add(What::Described(field.decided.description.clone().unwrap_or_default()));
        }
        match (was.decided.hidden, field.decided.hidden) {
            (false, true) => add(What::Hidden(type_of(&field.kind))),
            (true, false) => add(What::Shown(type_of(&field.kind))),
            _ => {}
        }
        if was.decided.values != field.decided.values {
            let values = |field: &Field| field.decided.values.values().count();
            add(What::Enumerated(values(was), values(field)));
        }
        if was.decided.union != field.decided.union {
            add(What::United(count(was.decided.union.as_ref()), count(field.decided.union.as_ref())));
        }
        renamed(was, field, &mut add);
        let building = next.building.iter().filter(|one| one.field == field.id);
        for one in building.filter(|one| !previous.building.contains(one)) {
            add(What::Retyping(type_of(&field.kind), type_of(&one.kind)));
        }
    }
    all
}

/// What has become of its names.
fn renamed(was: &Field, field: &Field, add: &mut impl FnMut(What)) {
    if was.name != field.name {
        add(What::Renamed(was.name.clone(), field.name.clone()));
    }
    let gone = field.decided.retired.iter().filter(|name| was.decided.aliases.contains(name));
    let gone: Vec<String> = gone.cloned().collect();
    if !gone.is_empty() {
        add(What::Unaliased(gone));
    }
    if was.decided.deprecated != field.decided.deprecated {
        add(What::Deprecated(field.decided.deprecated.clone().unwrap_or_default()));
    }
}

fn modes(previous: &Published, next: &Published) -> Vec<Difference> {
    let paths: BTreeSet<&String> = previous.modes.keys().chain(next.modes.keys()).collect();
    let changed = paths.into_iter().filter(|path| previous.modes.get(*path) != next.modes.get(*path));
    let told = changed.map(|path| Difference {
        field_id: next.at_path(path).map_or(0, |field| field.id),
        path: path.clone(),
        what: What::Mode(previous.mode(path), next.mode(path)),
    });
    told.collect()
}

/// The type of a field as people call it: the GraphQL scalar, `Object`, or the same in brackets for a list, in braces
/// for a map.
pub fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(scalar) => Scalar::name(*scalar).to_owned(),
        Kind::Object(_) | Kind::Packed(_) => "Object".to_owned(),
        Kind::List(item) => format!("[{}]", type_of(item)),
        Kind::Map(value) => format!("{{{}}}", type_of(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::record::Json;
    use crate::shape::{Shape, Structure};

    #[test]
    fn what_is_added_widened_and_tagged_is_told() {
        let (mut shape, mut published, mut told) = (Shape::default(), Published::default(), Vec::new());
        for text in [
            r#"{"n":1,"who":"x","l":[1]}"#,
            r#"{"n":3000000000,"who":"ada@example.org","l":[0.5],"o":{"k":true}}"#,
            r#"{"n":1.5}"#,
        ] {
            let document = Json::try_from(text).unwrap_or(Json::Null);
            shape.merge(&Structure::derive(&document, &config::Shape::default()));
            let next = shape.publish(&published, &config::Shape::default()).unwrap_or_default();
            told.extend(diff(&published, &next).into_iter().map(|d| (next.version, d.path, d.what)));
            published = next;
        }
        let added = |ty: &str| What::Added(ty.into());
        let widened = |from: &str, to: &str| What::Widened(from.into(), to.into());
        let expected = [
            (1, "/l", added("[Int]")),
            (1, "/n", added("Int")),
            (1, "/who", added("String")),
            (2, "/l", widened("[Int]", "[Float]")),
            (2, "/n", widened("Int", "BigInt")),
            (2, "/who", What::Tagged(vec!["pii.email".into()])),
            (2, "/o", added("Object")),
            (2, "/o/k", added("Boolean")),
            (3, "/n", widened("BigInt", "Float")),
        ];
        let expected = expected.map(|(version, path, what)| (version, path.to_owned(), what));
        assert_eq!(told, expected);
        assert_eq!(diff(&published, &published), []);
    }
}
