//! Relations: that the values of a field of one collection are those of a key of another. Each of the two collections
//! publishes its side, so that whoever notices a new version notices them. Must not judge who may follow one.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::names::{self, is_given};
use super::unions::flat_unions;
use super::{Published, Scalar};

/// One side of a relation: a field of rows that leads to rows of the other collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relation {
    /// The same on both sides, given once.
    pub id: String,
    /// Its name among the fields of rows; never given to anything else.
    pub name: String,
    /// The id of the field on this side; members of `_record` have ids, too.
    pub field: u32,
    /// The name of the other collection's query field.
    pub other: String,
    /// The id of the field on the other side.
    pub other_field: u32,
    /// Whether it leads to all rows with that value, or to the one of which it is the key.
    pub many: bool,
    /// It is there no more; its name stays taken.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub removed: bool,
}

impl Scalar {
    /// Whether values of these types can be equal, as texts: what a key is told by.
    pub fn joins(self, other: Scalar) -> bool {
        let plain = |scalar| matches!(scalar, Scalar::String | Scalar::Uuid | Scalar::Int | Scalar::BigInt);
        plain(self) && plain(other) || self == other && matches!(self, Scalar::Date | Scalar::DateTime)
    }
}

impl Published {
    /// The relations that there are.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.iter().filter(|relation| !relation.removed)
    }

    /// The id that the field with this id has now: one that was retyped has got another.
    pub fn current(&self, mut id: u32) -> u32 {
        for _ in 0..self.retired.len() {
            match self.retired.iter().find(|retired| retired.id == id) {
                Some(retired) => id = retired.by,
                None => break,
            }
        }
        id
    }

    /// Whether these relations lead between the same fields, also when fields were retyped after one was accepted.
    /// `other` is what the collection publishes that they lead to.
    pub fn are_alike(&self, other: &Published, one: &Relation, two: &Relation) -> bool {
        let ends = |of: &Relation| (self.current(of.field), other.current(of.other_field));
        one.other == two.other && one.many == two.many && ends(one) == ends(two)
    }

    /// The relation with this name.
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations().find(|relation| relation.name == name)
    }

    /// A name for a relation: the wanted one, or that with a number.
    pub fn free_relation_name(&self, wanted: &str) -> String {
        let mut next = 2;
        names::numbered(wanted.to_owned(), &mut next, |name| self.refuses_relation_name(name))
    }

    /// Whether a relation cannot have this name: it is a field's, a union's or another's, no name of GraphQL, or
    /// reserved.
    pub fn refuses_relation_name(&self, name: &str) -> bool {
        let field = self.fields.iter().any(|field| field.was_called(name));
        let relation = self.relations.iter().any(|relation| relation.name == name);
        let mut unions = HashSet::new();
        flat_unions(self, &mut unions);
        field || relation || unions.contains(name) || !is_given(name)
    }
}

/// The suffixes that tell that a field refers to something.
const REFERRING: [&str; 10] = ["_id", "_ID", "Id", "ID", "_uid", "Uid", "_code", "Code", "_key", "Key"];

/// What a field refers to by its name: `customer` of `customerId`; itself when it does not say.
fn referred(field: &str) -> Option<&str> {
    let stem = REFERRING.iter().find_map(|suffix| field.strip_suffix(suffix))?;
    Some(stem.trim_end_matches('_')).filter(|stem| !stem.is_empty())
}

/// What a relation is called when nobody says: `customer` of `customerId`, `originAirport` of `origin` to `Airports`.
pub fn relation_name(field: &str, other_type: &str) -> String {
    match referred(field) {
        Some(stem) => stem.to_owned(),
        None => format!("{field}{}", singular(last_word(other_type))),
    }
}

/// What its other direction is called when nobody says: `flightsByOrigin`.
pub fn inverse_name(collection: &str, field: &str) -> String {
    format!("{collection}By{}", names::pascal(referred(field).unwrap_or(field)))
}

/// How alike the name of a field and that of a collection's type are: what it refers to is a word of it, or is not.
pub fn names_agree(field: &str, other_type: &str) -> bool {
    let stem = referred(field).unwrap_or(field).to_ascii_lowercase();
    let stem = stem.rsplit('_').next().unwrap_or_default();
    let word = last_word(other_type);
    stem.len() >= 3
        && [word.to_ascii_lowercase(), singular(word).to_ascii_lowercase()]
            .iter()
            .any(|word| stem == word || stem.ends_with(word.as_str()) || word.starts_with(stem))
}

/// The last word of a name in camel case.
fn last_word(name: &str) -> &str {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let from = name.rfind(|c: char| c.is_ascii_uppercase()).unwrap_or_default();
    name.get(from..).filter(|word| !word.is_empty()).unwrap_or(name)
}

/// One of what an English word names several of, as far as its ending tells.
fn singular(word: &str) -> String {
    let stem = |cut: usize| word.get(..word.len() - cut).unwrap_or(word).to_owned();
    match word {
        _ if word.len() > 4 && word.ends_with("ies") => stem(3) + "y",
        _ if ["sses", "xes", "ches", "shes"].iter().any(|end| word.ends_with(end)) => stem(2),
        _ if word.len() < 4 || ["ss", "us", "is"].iter().any(|end| word.ends_with(end)) => word.to_owned(),
        _ if word.ends_with('s') => stem(1),
        _ => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn relations_are_called_after_what_they_lead_to() {
        for (field, other, name) in [
            ("origin", "GeoAirports", "originAirport"),
            ("customerId", "Customer", "customer"),
            ("customer_id", "Customer", "customer"),
            ("countryCode", "RefCountries", "country"),
            ("id", "ShopAddresses", "idAddress"),
            ("Id", "ShopStatus2", "IdStatus"),
            ("sku", "ShopBoxes", "skuBox"),
        ] {
            assert_eq!(relation_name(field, other), name);
        }
        assert_eq!(inverse_name("flights", "origin"), "flightsByOrigin");
        assert_eq!(inverse_name("shopOrder", "customer_id"), "shopOrderByCustomer");
        assert!(names_agree("airport_id", "GeoAirports") && names_agree("home_airport", "GeoAirports"));
        assert!(!names_agree("origin", "GeoAirports") && !names_agree("id", "GeoAirports"));
    }

    #[test]
    fn a_name_is_free_once() {
        let mut shape = Published::default();
        assert_eq!(shape.free_relation_name("a"), "a");
        shape.relations.push(Relation {
            id: "1.1".into(),
            name: "a".into(),
            field: 1,
            other: "b".into(),
            other_field: 2,
            many: false,
            removed: true,
        });
        assert_eq!(shape.free_relation_name("a"), "a2");
        assert!(shape.relation("a").is_none() && shape.refuses_relation_name("a"));
        for refused in ["", "1a", "__a", "a b", "é", "_record", "and", "null"] {
            assert!(shape.refuses_relation_name(refused), "{refused}");
        }
    }

    #[test]
    fn types_join_when_their_texts_can_be_equal() {
        assert!(Scalar::Int.joins(Scalar::String) && Scalar::Uuid.joins(Scalar::String));
        assert!(Scalar::Date.joins(Scalar::Date) && !Scalar::Date.joins(Scalar::String));
        assert!(!Scalar::Float.joins(Scalar::Float) && !Scalar::Boolean.joins(Scalar::Boolean));
    }
}
