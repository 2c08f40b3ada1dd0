//! What a root field asks for, resolved and bounded. [`compile`](fn@super::compile) makes it; the store
//! runs it once policy has scoped it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::query::{
    Aggregate, ChangeCursor, Collection, ColumnsUsed, FieldRef, Filter, Link, Node, PageCursor, Selected,
    Source,
};
use crate::shape::Relation;

/// A root field, ready to be scoped.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    pub(super) collection: Arc<Collection>,
    pub(super) filter: Filter,
    pub(super) ask: Ask,
    pub(super) compared: BTreeSet<u32>,
    pub(super) shown: BTreeSet<u32>,
    pub(super) related: Vec<Related>,
    pub(super) as_of: Option<i64>,
}

impl Query {
    /// Of what it asks.
    pub fn collection(&self) -> &Arc<Collection> {
        &self.collection
    }

    /// Which rows the client wants; which it may see is the scope's.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What is asked.
    pub fn ask(&self) -> &Ask {
        &self.ask
    }

    /// The position that the rows are to be of, instead of the last.
    pub fn as_of(&self) -> Option<i64> {
        self.as_of
    }

    /// Whether its conditions or its order follow relations.
    pub fn follows(&self) -> bool {
        let ordered = match &self.ask {
            Ask::List(list) | Ask::Join(Join { rows: Joined::Many(list), .. }) => list.order.as_slice(),
            _ => &[],
        };
        self.filter.follows() || ordered.iter().any(|order| !order.through.is_empty())
    }

    /// What is asked of other collections, for each row; marks name these by their places.
    pub fn related(&self) -> &[Related] {
        &self.related
    }
}

impl ColumnsUsed for Query {
    fn compared(&self) -> &BTreeSet<u32> {
        &self.compared
    }

    fn shown(&self) -> &BTreeSet<u32> {
        &self.shown
    }
}

/// A relation that is followed from each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Related {
    /// The relation.
    pub relation: Relation,
    /// What is selected there.
    pub selected: Selected,
}

/// Rows beside those of another query, by the value of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The column.
    pub key: FieldRef,
    /// What is asked for each value.
    pub rows: Joined,
}

/// What is asked for each value of a join's column.
#[derive(Clone, Debug, PartialEq)]
pub enum Joined {
    /// The first row, by the rows' numbers.
    One(Vec<Node>),
    /// A page of rows.
    Many(List),
}

/// What is asked of a collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A page of rows.
    List(List),
    /// One row; several that match are a conflict.
    ByKey(Vec<Node>),
    /// Figures of groups.
    Aggregate(Aggregate),
    /// Rows beside those of another query.
    Join(Join),
    /// Changes as they come.
    Changes(Changes),
    /// Changes of one row.
    History(History),
}

/// A page of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// The order; the row's number decides between equals.
    pub order: Vec<Order>,
    /// The most rows.
    pub limit: usize,
    /// From the end, as `last` asks.
    pub backward: bool,
    /// Behind (or, backward, before) this place.
    pub from: Option<PageCursor>,
    /// Stands in page cursors.
    pub fingerprint: u64,
    /// What of the connection is asked.
    pub fields: Vec<Connection>,
}

/// One column of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The relations to one row that lead to the row that has the column, each from where the one before leads to; none
    /// for the row itself.
    pub through: Vec<Link>,
    /// The column.
    pub field: FieldRef,
    /// Greatest first.
    pub descending: bool,
    /// Nulls before all else.
    pub nulls_first: bool,
}

impl Order {
    /// What a statement must have to order by it.
    pub fn source(&self) -> Source {
        match self.through.as_slice() {
            [] => Source::Column(self.field.column.clone()),
            through => Source::Beyond(through.to_vec(), self.field.clone()),
        }
    }
}

/// One member of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The key in the response.
    pub key: Arc<str>,
    /// What stands there.
    pub what: ConnectionField,
}

/// What a member of a connection shows.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionField {
    /// The type's name.
    Typename(String),
    /// The rows.
    Nodes(Vec<Node>),
    /// The rows with their cursors.
    Edges(Vec<(Arc<str>, EdgeField)>),
    /// Where the page stands, by response key.
    PageInfo(Vec<(Arc<str>, PageInfo)>),
    /// How many rows there are in all.
    TotalCount,
    /// The same, counted up to so many, by response key.
    Estimate(i64, Vec<(Arc<str>, CountField)>),
}

/// What a member of a count shows that is told about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountField {
    /// The type's name.
    Typename,
    /// How many.
    Count,
    /// How far that is true.
    Kind,
}

/// What a member of an edge shows.
#[derive(Clone, Debug, PartialEq)]
pub enum EdgeField {
    /// The type's name.
    Typename(String),
    /// The row.
    Node(Vec<Node>),
    /// The row's cursor.
    Cursor,
}

/// What a member of `pageInfo` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageInfo {
    /// The type's name.
    Typename,
    /// There is more behind the page.
    HasNextPage,
    /// There is more before the page.
    HasPreviousPage,
    /// The first row's cursor.
    StartCursor,
    /// The last row's cursor.
    EndCursor,
    /// The position of this read among the collection's changes.
    Cursor,
}

/// Changes as they come.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// From behind this place on.
    pub after: Option<ChangeCursor>,
    /// First all rows as they are.
    pub snapshot: bool,
    /// What of a change is asked, by response key.
    pub fields: Vec<(Arc<str>, ChangeField)>,
}

/// One member of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeField {
    /// The type's name.
    Typename(String),
    /// Resumes behind this change.
    Cursor,
    /// What happened.
    Op,
    /// The row's key.
    Key,
    /// The row now.
    Node(Vec<Node>),
    /// The row before.
    Before(Vec<Node>),
}

/// Changes of one row, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Of this source; without, of the one that has this uid.
    pub source_name: Option<String>,
    /// The uid that the source gave.
    pub source_uid: String,
    /// Older than the one at this position.
    pub after: Option<i64>,
    /// The most changes.
    pub limit: usize,
    /// What of them is asked, by response key.
    pub fields: Vec<(Arc<str>, HistoryField)>,
}

/// One member of a history.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryField {
    /// The type's name.
    Typename(String),
    /// The changes, by response key.
    Nodes(Vec<(Arc<str>, PastField)>),
    /// Where older ones begin.
    EndCursor,
    /// Whether older ones are known not to be missing.
    Complete,
}

/// One member of a change that is past.
#[derive(Clone, Debug, PartialEq)]
pub enum PastField {
    /// When it was committed.
    At,
    /// The record's revision.
    Revision,
    /// As of a change that comes.
    Change(ChangeField),
}
