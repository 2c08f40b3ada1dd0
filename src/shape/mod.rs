//! Shapes: what the data of a collection looks like. Pure: structure in, merge, published types and rows out.
//!
//! A document's [`Structure`] is derived in one walk; a collection's [`Shape`] is the commutative, associative,
//! idempotent merge of structures; [`Published`] is the versioned projection that the API is typed by and that
//! only grows. [`conform`] turns one document into the cells of a row; what does not fit is a [`Misfit`].

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
    /// A list: column `f<id>`, compact JSON text with published names and output values.
    List(Box<Kind>),
}

/// One published field; never renamed, never retyped but by widening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Unique within the collection, given once.
    pub id: u32,
    /// The key in the source's document.
    pub key: String,
    /// JSON pointer from the document's root; list items are `/*`.
    pub path: String,
    /// The GraphQL name, given once.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Semantic tags, such as `pii.email`.
    pub tags: BTreeSet<String>,
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

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::record::Json;

/// The structure of one document: kinds, number classes and string formats per location. Canonical.
#[derive(Clone, Debug, PartialEq)]
pub struct Structure;

/// The merge of structures: commutative, associative, idempotent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape;

impl Structure {
    /// Derives it in one walk.
    pub fn derive(_document: &Json, _limits: &crate::config::Shape) -> Self {
        todo!()
    }
    /// Canonical text, stored once per collection and fingerprint.
    pub fn to_text(&self) -> String {
        todo!()
    }
    /// The structure of a canonical text.
    pub fn from_text(_text: &str) -> crate::error::Result<Self> {
        todo!()
    }
    /// First 8 bytes of the SHA-256 of the canonical text.
    pub fn fingerprint(&self) -> i64 {
        todo!()
    }
}

impl Shape {
    /// Takes one structure in.
    pub fn merge(&mut self, _structure: &Structure) {
        todo!()
    }
    /// The published projection that follows `previous`: `None` when `previous` still says it all. Field ids and names
    /// of `previous` stay; types only widen.
    pub fn publish(&self, _previous: &Published, _limits: &crate::config::Shape) -> Option<Published> {
        todo!()
    }
    /// For storage.
    pub fn to_text(&self) -> String {
        todo!()
    }
    /// From storage.
    pub fn from_text(_text: &str) -> crate::error::Result<Self> {
        todo!()
    }
}

impl Published {
    /// The columns of a row, in field order: leaf, list and presence columns.
    pub fn columns(&self) -> Vec<Column> {
        todo!()
    }
}

/// Turns a document into the cells of a row of this published shape.
pub fn conform(_published: &Published, _document: &Json) -> Conformed {
    todo!()
}

/// Field name (`orderClothing`) and type name (`OrderClothing`) of a collection, not in `taken`.
pub fn collection_names(
    _category: &str,
    _subcategory: &str,
    _taken: &dyn Fn(&str) -> bool,
) -> (String, String) {
    todo!()
}
