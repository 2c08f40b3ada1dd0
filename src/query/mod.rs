//! Queries as data: selection, filter, order, page and mask, resolved against a collection's published shape.
//!
//! Pure. The same [`Filter`] becomes SQL in the store and a check in memory here, so that lists, lookups and
//! events cannot disagree. Logic is two-valued: a comparison with a null field is false, `Not` is the plain
//! opposite.

mod arguments;
mod ask;
mod awaited;
mod beyond;
mod budget;
mod cast;
mod columns;
mod compile;
mod cursor;
mod filter;
mod group;
mod link;
mod list;
mod marks;
mod mask;
mod plan;
mod resolve;
mod selection;
mod told;
mod tree;
pub mod write;

pub use arguments::condition;
pub use ask::{
    Ask, ChangeField, Changes, Connection, ConnectionField, CountField, EdgeField, History, HistoryField,
    Join, Joined, List, Order, PageInfo, PastField, Query, Related,
};
pub use awaited::Awaited;
pub use beyond::{Alone, Beyond, Followed};
pub use budget::Budget;
pub use cast::{Cast, Narrowing, OnMisfit};
pub use columns::{Columns, plain};
pub use compile::{by_record, compile, compile_beyond, compile_related};
pub use cursor::{ChangeCursor, EventCursor, PageCursor};
pub use filter::{
    Area, HAIR, JsonPath, NUMBER_SIGNS_MAX, PathTest, Search, Step, Term, haversine_max, like, words,
};
pub use group::{
    Aggregate, Argument, Figure, Function, GroupField, GroupKey, Measure, Part, TimeUnit, whole_sum,
    whole_sum_of,
};
pub use link::Link;
pub use marks::{Filling, Found, Wanted, is_marked};
pub use mask::Plain;
pub use plan::{Cells, Extras, Plan, Source, TableCell};
pub use resolve::{ENVELOPE, Member, RECORD, column_of, envelope, walk};
pub use selection::{By, Cases, Entries, EntryPart, Form, Meta, MetaField, Node, What};
pub use told::{TOLD, Told, told_member};
pub use tree::Projector;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::error::{Error, Result};
use crate::record::Json;
use crate::shape::{Published, Scalar};

/// A typed, queryable data set as one moment's shape has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The store's number of it; tables are named by it.
    pub id: i64,
    /// What is fed into it.
    pub category: String,
    /// What is fed into it.
    pub subcategory: String,
    /// Name of the query field, such as `orderClothing`.
    pub field_name: String,
    /// Name of the GraphQL type and of the Polar class, such as `OrderClothing`.
    pub type_name: String,
    /// The build that is served.
    pub generation: i64,
    /// The published shape.
    pub shape: Arc<Published>,
    /// How a contract has it; `None` without one.
    pub narrow: Option<Arc<Narrow>>,
}

/// How a contract has a collection, beside the fields that it takes away.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrow {
    /// The contract's name and version.
    pub label: String,
    /// Whether members of `_record` are in it.
    pub record: bool,
    /// Whether `_rest` is in it.
    pub rest: bool,
    /// The most rows of a page.
    pub page_max: Option<u32>,
    /// Fields whose values are given out in the type of an older version, by their ids.
    pub casts: BTreeMap<u32, Cast>,
}

/// One field of a GraphQL selection, fragments merged, arguments coerced, `@skip`/`@include` applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// The key in the response.
    pub response_key: Arc<str>,
    /// The field's name; `__typename` included.
    pub name: Arc<str>,
    /// Arguments by name; variables and defaults are put in.
    pub arguments: Vec<(String, Json)>,
    /// The selection below it; of a union, one for each of its types with the name of the type.
    pub children: Arc<[Selected]>,
}

impl Selected {
    /// An argument that is given and not null.
    pub fn argument(&self, name: &str) -> Option<&Json> {
        let found = self.arguments.iter().find(|(argument, _)| argument == name).map(|(_, value)| value);
        found.filter(|value| !matches!(value, Json::Null))
    }

    /// An argument that is a text.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is something else.
    pub fn text(&self, name: &str) -> Result<Option<&str>> {
        let wrong = || Error::bad_request(format!("`{name}` must be a text"));
        self.argument(name).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }
}

/// A column that filters and orders can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ColumnRef {
    /// A published scalar, list or map, column `f<id>`.
    Field(u32),
    /// Whether a nested object is there, column `p<id>`.
    Presence(u32),
    /// A published number, column `f<id>`, in the narrower type that a contract keeps; null where it does not fit.
    Narrowed(u32, Narrowing),
    /// In the text of a list's column: of the item that the [`Filter::SomeItem`] with this number is about, the member
    /// with this id, or the item itself by the list's id. Paths begin at the item. Of a map, an item is the value of an
    /// entry.
    Item(u32, u32),
    /// Of the entry of a map that the [`Filter::SomeItem`] with this number is about, the key.
    EntryKey(u32),
    /// Of the related row that the [`Filter::Related`] with this number is about, this column. Paths begin at that row.
    Of(u32, Box<ColumnRef>),
    /// Of a group of rows, the column at this place: what rows are grouped by, then the measures. It is of no row.
    Grouped(usize),
    /// `_record.key`, column `key` (text).
    Key,
    /// `_record.revision`, column `rev` (bigint).
    Revision,
    /// `_record.id`, column `record_id` (text form of the UUID).
    RecordId,
    /// `_record.sourceName`, column `source_name` (text).
    SourceName,
    /// `_record.sourceUid`, column `source_uid` (text).
    SourceUid,
    /// `_record.author`, column `author` (text).
    Author,
    /// `_record.ingestedAt`, column `ingested_at` (text in DateTime form).
    IngestedAt,
    /// `_record.occurredAt`, column `occurred_at` (text in DateTime form, or null).
    OccurredAt,
    /// `_record.purposes`, column `purposes` (a JSON list of texts, or null).
    Purposes,
}

/// A column together with what is needed to find and compare its value in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldRef {
    /// Where it is in SQL.
    pub column: ColumnRef,
    /// Its type; for a list column the item's type.
    pub scalar: Scalar,
    /// Whether the column holds a list.
    pub list: bool,
    /// Stored names from the row's root, `["_record", "sourceName"]` for the envelope.
    pub path: Arc<[String]>,
}

/// A constant in a filter, of the column's own type.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// For `Boolean`.
    Bool(bool),
    /// For `Int` and `BigInt`.
    Int(i64),
    /// For `Float`.
    Float(f64),
    /// For `String`, `DateTime`, `Date` and `UUID`, in stored form.
    Text(String),
}

/// What a comparison compares.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A column's value.
    Field(FieldRef),
    /// A constant.
    Literal(Literal),
}

/// How two operands are compared. Text compares by code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal; false when a side is null.
    Eq,
    /// Less; false when a side is null.
    Lt,
    /// Less or equal; false when a side is null.
    Lte,
    /// Greater; false when a side is null.
    Gt,
    /// Greater or equal; false when a side is null.
    Gte,
}

/// A condition on one row. Two-valued: nothing is ever unknown.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Always or never.
    Const(bool),
    /// All of them.
    And(Vec<Filter>),
    /// At least one of them.
    Or(Vec<Filter>),
    /// The plain opposite.
    Not(Box<Filter>),
    /// A comparison of operands of one type class (number, text, boolean).
    Compare(Operand, Comparison, Operand),
    /// The field's value is one of these.
    In(FieldRef, Vec<Literal>),
    /// The field is null or absent.
    IsNull(FieldRef),
    /// SQL LIKE, case-sensitive, `%` and `_`, `\` escapes; text only.
    Like(FieldRef, String),
    /// Text that begins so.
    StartsWith(FieldRef, String),
    /// Text that has these words.
    Search(FieldRef, Search),
    /// A list column of scalars has this item.
    Contains(FieldRef, Literal),
    /// A map has this key.
    HasKey(FieldRef, String),
    /// So many items, or entries, has a list, or a map; of null that is false.
    Length(FieldRef, Comparison, i64),
    /// A list of numbers is a position within this area.
    Place(FieldRef, Area),
    /// Of JSON of no single type, this holds for the value at this path.
    At(FieldRef, JsonPath, PathTest),
    /// A list has an item, or a map an entry, for which this holds. Within, [`ColumnRef::Item`] with this number is of
    /// that item; of conditions within each other none has the number of another.
    SomeItem(FieldRef, u32, Box<Filter>),
    /// There is a related row for which this holds. Within, [`ColumnRef::Of`] with this number is of that row; numbers
    /// are as those of items, none of which it shares. What is asked of other rows only the store can tell.
    Related(Box<Link>, u32, Box<Filter>),
}

/// How a value is replaced. On a type that cannot hold the result, null.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// By null.
    Null,
    /// By an HMAC of it, 32 hex digits, the same for equal values within one database.
    Hash,
    /// By its first n characters and `…`.
    KeepFirst(usize),
    /// By `…` and its last n characters.
    KeepLast(usize),
    /// A number rounded to a multiple of this.
    Round(f64),
    /// A time truncated to `year`, `month`, `day` or `hour`.
    Truncate(Unit),
}

/// Units of time that values are truncated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// 1 January
    Year,
    /// First of the month
    Month,
    /// Midnight
    Day,
    /// Full hour
    Hour,
}

/// Which root field of a collection is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// `orderClothing(where, orderBy, first, after, last, before)`
    List,
    /// `orderClothingByKey(sourceName, sourceUid)`
    ByKey,
    /// `orderClothingAggregate(where, groupBy, groupByPart, having, orderBy, first, after)`
    Aggregate,
    /// `orderClothingHistory(sourceName, sourceUid, first, after)`
    History,
    /// The subscription `orderClothing(where, after, snapshot)`
    Changes,
}

/// What policy must know of something before it scopes it. Ids of the objects and lists that a field stands
/// in are included.
pub trait ColumnsUsed {
    /// Fields that are compared, sorted, grouped or aggregated: each must be shown as it is, in every row.
    fn compared(&self) -> &BTreeSet<u32>;
    /// Fields whose values are shown.
    fn shown(&self) -> &BTreeSet<u32>;
}

/// How one actor sees the fields of a collection; policy's scope, as far as this layer must know it.
pub trait Rules: Sync {
    /// Whether the field is not there for the actor.
    fn hidden(&self, field_id: u32) -> bool;
    /// By what the field is replaced.
    fn mask(&self, field_id: u32) -> Option<&Mask>;
    /// The field is shown only in rows where this holds, else it is null.
    fn condition(&self, field_id: u32) -> Option<&Filter>;
}

/// What was done to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOp {
    /// It was written.
    Upsert,
    /// It was deleted.
    Delete,
}

/// One committed difference of a collection. Both images are documents of stored names with the member
/// `_record`: what [`Filter::eval`] reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The collection.
    pub collection_id: i64,
    /// Its place; dense within the collection.
    pub pos: i64,
    /// The build that it belongs to.
    pub generation: i64,
    /// The row's key.
    pub key: String,
    /// The record's revision.
    pub revision: i64,
    /// What was done.
    pub op: ChangeOp,
    /// The row before; `None` when there was none.
    pub before: Option<Arc<Json>>,
    /// The row after; `None` when it was deleted.
    pub after: Option<Arc<Json>>,
    /// When it was committed, Unix microseconds.
    pub at: i64,
}
