//! Shapes: what the data of a collection looks like. Pure: structure in, merge, published types and rows out.
//!
//! A document's [`Structure`] is derived in one walk; a collection's [`Shape`] is the commutative,
//! associative, idempotent merge of structures; [`Published`] is the versioned projection that the API is
//! typed by and that only grows. [`conform`](fn@conform) turns one document into the cells of a row; what does
//! not fit is a [`Misfit`].

mod candidates;
mod classify;
mod codes;
mod compatible;
mod conform;
mod decimal;
mod diff;
mod document;
mod enums;
mod formats;
mod hints;
mod json_schema;
mod known;
pub(crate) mod maps;
mod modes;
mod names;
mod publish;
mod relation;
mod rename;
mod retype;
mod sightings;
mod sketch;
mod statistics;
mod structure;
mod unions;
mod values;
mod variants;
#[cfg(test)]
pub(crate) mod tests;

pub use candidates::{Candidate, SCORE_MIN};
pub use classify::Wish;
pub use compatible::breaks;
pub use conform::{conform, refusals};
pub use diff::{Difference, What, diff, type_of};
pub use document::document;
pub use enums::{Enumeration, Named, TextsAt};
pub use json_schema::Seen;
pub use known::{Fingerprinted, Known};
pub use modes::Unacceptable;
pub use names::{
    FIELD_SUFFIXES, TYPE_SUFFIXES, collection_names, entry_type, name_types, names_wanted, own_types,
    types_wanted,
};
pub use relation::{Relation, inverse_name, names_agree, relation_name};
pub use rename::is_legal;
pub use retype::{Building, Retired};
pub use sightings::{Sighting, Sightings};
pub use sketch::ValueHasher;
pub use statistics::{Statistic, Statistics};
pub use structure::fingerprint;
pub use unions::{Case, Unfit, Union};
pub use values::cast;
pub use variants::{Offer, Variants};

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Mode;
use structure::Node;

/// The type of one published scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scalar {
    /// `Boolean`; column: boolean
    Boolean,
    /// `Int`, 32 bit; column: bigint
    Int,
    /// `BigInt`, 64 bit, a string on the wire; column: bigint
    BigInt,
    /// `Float`, finite; column: float8
    Float,
    /// `String`; column: text
    String,
    /// `DateTime`, stored and printed as `2026-11-22T21:21:19.000000Z`; column: text
    DateTime,
    /// `Date`, `2026-11-22`; column: text
    Date,
    /// `UUID`, lower case with hyphens; column: text
    Uuid,
    /// `JSON`, any value; column: compact JSON text
    Json,
}

/// What a published field holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// One scalar: column `f<id>`.
    Scalar(Scalar),
    /// A nested object: its leaves are flattened into columns, `p<id>` (boolean) says whether it is there.
    Object(Vec<Field>),
    /// A nested object that found no room among the columns: column `f<id>`, compact JSON text with published names
    /// and output values. Typed like any other; its members can be shown, not filtered, ordered or grouped by.
    Packed(Vec<Field>),
    /// A list: column `f<id>`, compact JSON text with published names and output values.
    List(Box<Kind>),
    /// An object whose keys are data: column `f<id>`, compact JSON text of an object with the source's keys and values
    /// of this kind in output form.
    Map(Box<Kind>),
}

/// One published field. Only a steward renames it, and then it goes on to answer to its old names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Unique within the collection, given once.
    pub id: u32,
    /// The key in the source's document.
    pub key: String,
    /// JSON pointer from the document's root; list items are `/*`, values of maps `/~*`, which no key is written as.
    pub path: String,
    /// The GraphQL name; given once, to no other field later on.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Semantic tags, such as `pii.email`.
    pub tags: BTreeSet<String>,
    /// Of a field that holds values itself: nobody has classified it yet, so only stewards see it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unclassified: bool,
    /// What a steward has decided about it: inference leaves it as it is.
    #[serde(default, skip_serializing_if = "Decided::is_none")]
    pub decided: Decided,
}

/// What a steward has decided about a field, beside its tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Decided {
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tags that it has not, whatever is inferred.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub untagged: BTreeSet<String>,
    /// It is for stewards only, with all that is in it.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// The texts that it may have, if it is an enum: [`Field::enumeration`] tells.
    #[serde(skip_serializing_if = "Enumeration::is_empty")]
    pub values: Enumeration,
    /// Why it is to be used no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// Names that it had before and still answers to, the oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Names that it had before and answers to no longer: they stay its own, and policies go on knowing it by them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
    /// The name by which texts of columns and images of rows hold its values, when that is not its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// A steward has chosen its type: texts of numbers count as numbers, and it widens for no kind of numbers that was
    /// known then, which are these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retyped: Option<u16>,
    /// The variants of the object that it holds: [`Field::union`] tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub union: Option<Union>,
}

impl Decided {
    fn is_none(&self) -> bool {
        *self == Decided::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The published, versioned projection of a shape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// 0: nothing published yet.
    pub version: u32,
    /// The highest field id ever given.
    pub last_field_id: u32,
    /// The root's fields.
    pub fields: Vec<Field>,
    /// The GraphQL type of every nested object and enum, by its field's id, given once.
    #[serde(default)]
    pub type_names: BTreeMap<u32, String>,
    /// Tags of personal data of the envelope's members by their names, such as `sourceUid`: only grows.
    #[serde(default)]
    pub envelope: BTreeMap<String, BTreeSet<String>>,
    /// The variants of whole documents: [`Published::own_union`] tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub union: Option<Union>,
    /// Nothing of it is classified: it is there for stewards only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub unclassified: bool,
    /// What is done about what records uncover, by path; the nearest path above decides, and without any it is open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<String, Mode>,
    /// Paths at and below which nothing new is published, whatever the mode, until a steward accepts it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub declined: BTreeSet<String>,
    /// Fields that are getting another type: nobody sees that yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub building: Vec<Building>,
    /// Ids that fields had before they were retyped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    /// Its sides of relations, those that are there no more included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Relation>,
}

/// One value of a row's column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// SQL null.
    Null,
    /// For boolean columns.
    Bool(bool),
    /// For bigint columns.
    Int(i64),
    /// For float8 columns; finite.
    Float(f64),
    /// For text columns.
    Text(String),
}

/// A column of a collection's table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    /// `f<id>` for a leaf or list, `p<id>` for the presence of a nested object.
    pub name: String,
    /// The field.
    pub field_id: u32,
    /// Its SQL type.
    pub sql: SqlType,
}

/// The SQL types that rows use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlType {
    /// boolean / INTEGER
    Bool,
    /// bigint / INTEGER
    Int,
    /// double precision / REAL
    Float,
    /// text collate "C" / TEXT
    Text,
}

/// A value that did not fit the published type; kept with its exact text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misfit {
    /// JSON pointer in the document.
    pub path: String,
    /// Why, for people.
    pub reason: String,
    /// The value's exact JSON text.
    pub value: String,
}

/// A document in the form of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Conformed {
    /// One cell for each of [`Published::columns`], in that order.
    pub cells: Vec<Cell>,
    /// What is not published or stands beyond the location cap: a JSON object text with source keys.
    pub rest: Option<String>,
    /// What did not fit.
    pub rescued: Vec<Misfit>,
}

/// The structure of one document: kinds, number classes and string formats per location. Canonical.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure {
    root: Node,
}

/// The merge of structures: commutative, associative, idempotent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    root: Node,
}

impl Published {
    /// Whether a member of the envelope with this value has no tag that it has not yet.
    pub fn covers_envelope(&self, name: &str, value: &str) -> bool {
        let known = self.envelope.get(name);
        formats::tags(formats::of(value), 0).all(|tag| known.is_some_and(|known| known.contains(tag)))
    }

    /// Tags a member of the envelope by a value that it has.
    pub fn tag_envelope(&mut self, name: &str, value: &str) {
        for tag in formats::tags(formats::of(value), 0) {
            self.envelope.entry(name.to_owned()).or_default().insert(tag.to_owned());
        }
    }

    /// The columns of a row, in field order: leaf, list and presence columns; then those that are built.
    pub fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        add_columns(&self.fields, &mut columns);
        self.built().for_each(|(_, field)| add_columns(&[field], &mut columns));
        columns
    }

    /// The field that a path of published names leads to, lists passed through.
    pub fn find<'a>(&'a self, names: &[&str]) -> Option<&'a Field> {
        let (last, above) = names.split_last()?;
        let mut fields = self.fields.as_slice();
        for name in above {
            fields = fields.iter().find(|field| field.answers_to(name))?.children();
        }
        fields.iter().find(|field| field.answers_to(last))
    }

    /// The field with this id.
    pub fn field(&self, id: u32) -> Option<&Field> {
        self.fields().find(|field| field.id == id)
    }

    /// Every field at every depth, each before what is nested in it.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        let mut stack = vec![self.fields.iter()];
        std::iter::from_fn(move || {
            loop {
                match stack.last_mut()?.next() {
                    Some(field) => {
                        stack.push(field.children().iter());
                        return Some(field);
                    }
                    None => {
                        stack.pop();
                    }
                }
            }
        })
    }
}

fn add_columns(fields: &[Field], columns: &mut Vec<Column>) {
    for field in fields {
        let mut add = |prefix: char, sql| {
            columns.push(Column { name: format!("{prefix}{}", field.id), field_id: field.id, sql });
        };
        match &field.kind {
            Kind::Scalar(scalar) => add('f', scalar.sql()),
            Kind::List(_) | Kind::Packed(_) | Kind::Map(_) => add('f', SqlType::Text),
            Kind::Object(children) => {
                add('p', SqlType::Bool);
                add_columns(children, columns);
            }
        }
    }
}

impl Field {
    /// Whether it is tagged as personal data.
    pub fn is_personal(&self) -> bool {
        self.tags.iter().any(|tag| tag == "pii" || tag.starts_with("pii."))
    }

    /// Whether it holds positions of GeoJSON: a longitude, a latitude and perhaps an altitude.
    pub fn is_position(&self) -> bool {
        let number = |item: &Kind| matches!(item, Kind::Scalar(Scalar::Int | Scalar::Float));
        self.tags.contains("geo.point") && matches!(&self.kind, Kind::List(item) if number(item))
    }

    /// Whether it holds values itself: it has no fields below, or is a map, whose keys are values, too.
    pub fn holds_values(&self) -> bool {
        self.kind.maps() > 0 || self.children().is_empty()
    }

    /// The fields nested in it, through lists and maps; none for a scalar.
    pub fn children(&self) -> &[Field] {
        let mut kind = &self.kind;
        while let Kind::List(inner) | Kind::Map(inner) = kind {
            kind = inner;
        }
        match kind {
            Kind::Object(children) | Kind::Packed(children) => children,
            _ => &[],
        }
    }

    /// The same, to be changed; `None` when there are none.
    fn children_mut(&mut self) -> Option<&mut [Field]> {
        let mut kind = &mut self.kind;
        while let Kind::List(inner) | Kind::Map(inner) = kind {
            kind = inner;
        }
        match kind {
            Kind::Object(children) | Kind::Packed(children) if !children.is_empty() => Some(children),
            _ => None,
        }
    }
}

impl Kind {
    /// How many maps stand in each other here, lists passed through, until there is a scalar or an object.
    pub fn maps(&self) -> usize {
        match self {
            Kind::Map(value) => value.maps() + 1,
            Kind::List(item) => item.maps(),
            Kind::Scalar(_) | Kind::Object(_) | Kind::Packed(_) => 0,
        }
    }

    /// The type of its values, lists passed through; of what is no scalar `Json`.
    pub fn scalar(&self) -> Scalar {
        match self {
            Kind::Scalar(scalar) => *scalar,
            Kind::List(item) => item.scalar(),
            Kind::Object(_) | Kind::Packed(_) | Kind::Map(_) => Scalar::Json,
        }
    }
}

impl Scalar {
    /// All of them.
    pub const ALL: [Scalar; 9] = [
        Scalar::Boolean,
        Scalar::Int,
        Scalar::BigInt,
        Scalar::Float,
        Scalar::String,
        Scalar::DateTime,
        Scalar::Date,
        Scalar::Uuid,
        Scalar::Json,
    ];

    /// The type of its column.
    pub fn sql(self) -> SqlType {
        match self {
            Scalar::Boolean => SqlType::Bool,
            Scalar::Int | Scalar::BigInt => SqlType::Int,
            Scalar::Float => SqlType::Float,
            Scalar::String | Scalar::DateTime | Scalar::Date | Scalar::Uuid | Scalar::Json => SqlType::Text,
        }
    }

    /// The name of its GraphQL type.
    pub fn name(self) -> &'static str {
        match self {
            Scalar::Boolean => "Boolean",
            Scalar::Int => "Int",
            Scalar::BigInt => "BigInt",
            Scalar::Float => "Float",
            Scalar::String => "String",
            Scalar::DateTime => "DateTime",
            Scalar::Date => "Date",
            Scalar::Uuid => "UUID",
            Scalar::Json => "JSON",
        }
    }
}
