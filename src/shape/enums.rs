//! Enums: the texts that a field may have, as a steward has accepted them, each with the name that GraphQL knows it
//! by. Rows keep the text; names come in and go out. Must not decide who accepts what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::names::{latin, numbered};
use super::{Field, Kind, Published, Scalar};
use crate::record::Json;

/// Names are cut to so many bytes before they are numbered.
const NAME_BYTES_MAX: usize = 256;

/// A text that a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The text, as rows have it.
    pub value: String,
    /// Its name in GraphQL, given once.
    pub name: String,
    /// It was taken back; should it be accepted again, its name is the same.
    #[serde(default, skip_serializing_if = "super::is_false")]
    former: bool,
}

/// All that were ever accepted of one field, by their texts; cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Named>", into = "Vec<Named>")]
pub struct Enumeration(Arc<[Named]>);

impl From<Vec<Named>> for Enumeration {
    fn from(mut all: Vec<Named>) -> Self {
        all.sort_by(|a, b| a.value.cmp(&b.value));
        Enumeration(all.into())
    }
}

impl From<Enumeration> for Vec<Named> {
    fn from(all: Enumeration) -> Self {
        all.0.to_vec()
    }
}

impl Enumeration {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are accepted now, in the order of their texts.
    pub fn values(&self) -> impl Iterator<Item = &Named> {
        self.0.iter().filter(|named| !named.former)
    }

    /// The name of a text; `None` for one that is not accepted.
    pub fn name(&self, value: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|named| named.value.as_str().cmp(value)).ok()?;
        self.0.get(at).filter(|named| !named.former).map(|named| named.name.as_str())
    }

    /// The text that is meant by a name; `None` for one that is not accepted.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values().find(|named| named.name == name).map(|named| named.value.as_str())
    }

    /// Accepts these texts and no others; none is no enum any more. Texts that have had a name keep it.
    pub(super) fn accept(&self, values: &[String]) -> Self {
        let wanted: BTreeSet<&str> = values.iter().map(String::as_str).collect();
        let mut all: BTreeMap<&str, Named> = BTreeMap::new();
        for known in self.0.iter() {
            let former = !wanted.contains(known.value.as_str());
            all.insert(&known.value, Named { former, ..known.clone() });
        }
        let mut taken: BTreeSet<String> = all.values().map(|named| named.name.clone()).collect();
        // What is a name already comes first, so that it is its own.
        let (plain, other): (Vec<&str>, Vec<&str>) =
            wanted.into_iter().filter(|value| !all.contains_key(value)).partition(|value| is_name(value));
        for value in plain.into_iter().chain(other) {
            let name = numbered(named(value), &mut 2, |name| taken.contains(name));
            taken.insert(name.clone());
            all.insert(value, Named { value: value.to_owned(), name, former: false });
        }
        Enumeration::from(all.into_values().collect::<Vec<_>>())
    }
}

/// Whether GraphQL takes it for a value of an enum.
fn is_name(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= NAME_BYTES_MAX
        && text.bytes().all(word)
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && !text.starts_with("__")
        && !["true", "false", "null"].contains(&text)
}

/// The name that a text asks for: itself, or its words in capitals, joined by `_`.
fn named(value: &str) -> String {
    if is_name(value) {
        return value.to_owned();
    }
    let words: Vec<String> = latin(value)
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .collect();
    let mut name = if words.is_empty() { "VALUE".to_owned() } else { words.join("_") };
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name.truncate(NAME_BYTES_MAX);
    name
}

/// Where the texts of a field are kept: a column, and the stored names that lead to them within its text; none for
/// a column that holds the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextsAt {
    /// The field whose column it is.
    pub column: u32,
    /// Whether the column holds JSON.
    pub json: bool,
    /// The names of objects' members, lists passed through; `None` for all values of a map.
    pub names: Vec<Option<String>>,
}

impl TextsAt {
    /// Hands the texts of one column's JSON to `each`.
    pub fn each<'a>(&self, value: &'a Json, each: &mut dyn FnMut(&'a str)) {
        below(&self.names, value, each);
    }
}

fn below<'a>(names: &[Option<String>], value: &'a Json, each: &mut dyn FnMut(&'a str)) {
    match (value, names) {
        (Json::Array(items), names) => items.iter().for_each(|item| below(names, item, each)),
        (Json::String(text), []) => each(text),
        (Json::Object(members), [None, names @ ..]) => {
            members.iter().for_each(|(_, value)| below(names, value, each));
        }
        (object, [Some(name), names @ ..]) => {
            if let Some(member) = object.get(name) {
                below(names, member, each);
            }
        }
        _ => {}
    }
}

impl Field {
    /// Whether it holds texts, as its value or as items: what can be an enum.
    pub fn holds_texts(&self) -> bool {
        let mut kind = &self.kind;
        while let Kind::List(item) = kind {
            kind = item;
        }
        matches!(kind, Kind::Scalar(Scalar::String))
    }

    /// The texts that it may have; `None` for all.
    pub fn enumeration(&self) -> Option<&Enumeration> {
        let given = &self.decided.values;
        (!given.is_empty() && self.holds_texts() && given.values().next().is_some()).then_some(given)
    }
}

impl Published {
    /// Where the texts of the field with this id are kept; `None` when there is no such field.
    pub fn texts_at(&self, id: u32) -> Option<TextsAt> {
        find(&self.fields, id, None)
    }
}

/// `within` is the column that what is looked through stands in, if any.
fn find(fields: &[Field], id: u32, within: Option<&TextsAt>) -> Option<TextsAt> {
    for field in fields {
        let here = match within {
            Some(above) => {
                let names = above.names.iter().cloned().chain([Some(field.stored().to_owned())]).collect();
                TextsAt { names, ..above.clone() }
            }
            None => {
                let json = !matches!(field.kind, Kind::Scalar(_));
                TextsAt { column: field.id, json, names: Vec::new() }
            }
        };
        if field.id == id {
            return Some(here);
        }
        let mut here = here;
        here.names.extend(std::iter::repeat_n(None, field.kind.maps()));
        let within = match field.kind {
            Kind::Object(_) if within.is_none() => None,
            _ => Some(&here),
        };
        if let Some(found) = find(field.children(), id, within) {
            return Some(found);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &Enumeration) -> Vec<(&str, &str)> {
        all.values().map(|named| (named.value.as_str(), named.name.as_str())).collect()
    }

    fn accept(before: &Enumeration, values: &[&str]) -> Enumeration {
        before.accept(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn texts_become_names_of_values() {
        for (text, name) in [
            ("PENDING", "PENDING"),
            ("opened", "opened"),
            ("in-progress", "IN_PROGRESS"),
            ("in progress", "IN_PROGRESS"),
            ("2nd", "_2ND"),
            ("+1", "PLUS_1"),
            ("-1", "MINUS_1"),
            ("true", "TRUE"),
            ("null", "NULL"),
            ("__x", "X"),
            ("", "VALUE"),
            ("価格", "JIA_GE"),
            ("größe (cm)", "GROSSE_CM"),
            ("\u{e000}", "VALUE"),
        ] {
            assert_eq!(named(text), name, "{text}");
            assert!(is_name(&named(text)), "{text}");
        }
    }

    #[test]
    fn texts_are_found_in_lists_and_maps() {
        let texts = Field {
            id: 2,
            key: "t".into(),
            path: "/m/~*/*/t".into(),
            name: "t".into(),
            kind: Kind::Scalar(Scalar::String),
            tags: Default::default(),
            unclassified: false,
            decided: Default::default(),
        };
        let list = Kind::List(Box::new(Kind::Object(vec![texts.clone()])));
        let map = Field { id: 1, name: "m".into(), kind: Kind::Map(Box::new(list)), ..texts };
        let published = Published { fields: vec![map], ..Published::default() };
        let column = Json::try_from(r#"{"a":[{"t":"x"},{"t":"y"}],"t":[{"t":"z"},{}],"n":null}"#);
        let mut found = Vec::new();
        let at = published.texts_at(2);
        if let (Some(at), Ok(column)) = (&at, &column) {
            at.each(column, &mut |text| found.push(text));
        }
        assert_eq!(found, ["x", "y", "z"]);
    }

    #[test]
    fn names_are_given_once() {
        let first = accept(&Enumeration::default(), &["in progress", "in-progress", "IN_PROGRESS", "a"]);
        let expected = [
            ("IN_PROGRESS", "IN_PROGRESS"),
            ("a", "a"),
            ("in progress", "IN_PROGRESS2"),
            ("in-progress", "IN_PROGRESS3"),
        ];
        assert_eq!(names(&first), expected);
        let fewer = accept(&first, &["in-progress"]);
        assert_eq!(names(&fewer), [("in-progress", "IN_PROGRESS3")]);
        assert_eq!((fewer.name("a"), fewer.value("a")), (None, None));
        let more = accept(&fewer, &["IN_PROGRESS2", "in-progress", "a", "in progress"]);
        let expected = [
            ("IN_PROGRESS2", "IN_PROGRESS22"),
            ("a", "a"),
            ("in progress", "IN_PROGRESS2"),
            ("in-progress", "IN_PROGRESS3"),
        ];
        assert_eq!(names(&more), expected);
        assert_eq!(more.value("IN_PROGRESS2"), Some("in progress"));
        assert_eq!(more.name("IN_PROGRESS2"), Some("IN_PROGRESS22"));
        let none = accept(&more, &[]);
        assert_eq!((names(&none), none.is_empty()), (Vec::new(), false));
        let text = serde_json::to_string(&none).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Enumeration>(&text).ok(), Some(none));
    }
}
