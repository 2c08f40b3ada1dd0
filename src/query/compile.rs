//! From a selection with its arguments to a [`Query`]: names resolved, constants brought into the columns'
//! form, everything bounded. Says what to do when it cannot.

mod group;
mod having;
mod past;

pub use past::by_record;

use std::sync::Arc;

use super::arguments;
use super::ask::{
    Ask, ChangeField, Changes, Connection, ConnectionField, CountField, EdgeField, Join, Joined, List, Order,
    PageInfo, Query,
};
use super::selection::{self, Used};
use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::filter::fnv;
use crate::query::{
    Alone, Beyond, ChangeCursor, Collection, Comparison, Filter, PageCursor, RECORD, Root, Selected, envelope,
};
use crate::record::{Json, Signer};
use crate::shape::Relation;

/// Gives meaning to a root field of `collection`.
///
/// # Errors
/// `BAD_REQUEST` for arguments that do not fit, `TOO_COMPLEX` for those that pass a bound, `CURSOR_TOO_OLD`.
pub fn compile(
    collection: &Arc<Collection>,
    root: Root,
    selected: &Selected,
    limits: &config::Graphql,
    signer: &Signer,
) -> Result<Query> {
    compile_beyond(collection, root, selected, &Alone, (limits, signer))
}

/// The same where conditions and orders can follow relations, as `beyond` says.
///
/// # Errors
/// As [`compile`].
pub fn compile_beyond(
    collection: &Arc<Collection>,
    root: Root,
    selected: &Selected,
    beyond: &dyn Beyond,
    (limits, signer): (&config::Graphql, &Signer),
) -> Result<Query> {
    let mut compiler = Compiler { collection, beyond, limits, signer, selected, used: Used::default() };
    let (filter, ask) = match root {
        Root::List => (compiler.filter()?, Ask::List(compiler.list()?)),
        Root::ByKey => (compiler.key()?, Ask::ByKey(compiler.row(&selected.children)?)),
        Root::Aggregate => (compiler.filter()?, Ask::Aggregate(compiler.aggregate()?)),
        Root::History => (compiler.key()?, Ask::History(compiler.history()?)),
        Root::Changes => (compiler.own_filter()?, Ask::Changes(compiler.changes()?)),
    };
    let as_of = compiler.as_of()?;
    let query = Query { as_of, ..compiler.query(filter, ask) };
    past::possible(&query)?;
    Ok(query)
}

/// Gives meaning to a field that leads, by this relation, to rows of `collection`.
///
/// # Errors
/// As [`compile`].
pub fn compile_related(
    collection: &Arc<Collection>,
    relation: &Relation,
    selected: &Selected,
    beyond: &dyn Beyond,
    (limits, signer): (&config::Graphql, &Signer),
) -> Result<Query> {
    let mut compiler = Compiler { collection, beyond, limits, signer, selected, used: Used::default() };
    let key = collection.end(relation.other_field, &mut compiler.used.compared);
    let key = key.ok_or_else(|| selection::unknown(&selected.name))?;
    let (filter, rows) = match relation.many {
        true => (compiler.filter()?, Joined::Many(compiler.list()?)),
        false => (Filter::Const(true), Joined::One(compiler.row(&selected.children)?)),
    };
    Ok(compiler.query(filter, Ask::Join(Join { key, rows })))
}

struct Compiler<'a> {
    collection: &'a Arc<Collection>,
    beyond: &'a dyn Beyond,
    limits: &'a config::Graphql,
    signer: &'a Signer,
    selected: &'a Selected,
    used: Used,
}

impl<'a> Compiler<'a> {
    /// An argument; null is as good as none.
    fn argument(&self, name: &str) -> Option<&'a Json> {
        self.selected.argument(name)
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.selected.text(name)
    }

    fn filter(&mut self) -> Result<Filter> {
        match self.argument("where") {
            None => Ok(Filter::Const(true)),
            Some(value) => {
                let around = (self.beyond, self.limits);
                arguments::filter(self.collection, value, around, &mut self.used.compared)
            }
        }
    }

    /// The filter of changes: what it says must be told by the row itself.
    fn own_filter(&mut self) -> Result<Filter> {
        let filter = self.filter()?;
        if filter.follows() {
            let text = "the `where` of a subscription follows no relations, as changes of related rows are not told \
                        to it; ask about the row's own fields, or subscribe to the other collection";
            return Err(Error::bad_request(text));
        }
        Ok(filter)
    }

    fn typename(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.collection.type_name)
    }

    fn query(self, filter: Filter, ask: Ask) -> Query {
        let Used { shown, compared, related } = self.used;
        let collection = self.collection.clone();
        Query { collection, filter, ask, compared, shown, related, as_of: None }
    }

    fn row(&mut self, children: &[Selected]) -> Result<Vec<crate::query::Node>> {
        selection::row(self.collection, children, &mut self.used)
    }

    fn key(&mut self) -> Result<Filter> {
        let uid = self.text("sourceUid")?.ok_or_else(|| Error::bad_request("`sourceUid` is missing"))?;
        let mut all = vec![self.equals("sourceUid", uid)?];
        if let Some(name) = self.text("sourceName")? {
            all.push(self.equals("sourceName", name)?);
        }
        Ok(Filter::all(all))
    }

    fn equals(&mut self, name: &str, value: &str) -> Result<Filter> {
        let field = self.collection.field_with(&[RECORD, name], &mut self.used.compared);
        let field = field.ok_or_else(|| selection::unknown(name))?;
        Filter::compare(field, Comparison::Eq, &Json::String(value.to_owned()))
    }

    fn list(&mut self) -> Result<List> {
        let mut order = match self.argument("orderBy") {
            None => Vec::new(),
            Some(value) => {
                let around = (self.beyond, self.limits);
                arguments::order(self.collection, value, around, &mut self.used.compared)?
            }
        };
        if self.argument("asOf").is_some() {
            order.push(by_record(self.collection)?);
        }
        let fingerprint = order_fingerprint(&order);
        let (limit, backward) = self.page()?;
        let from = match (backward, self.text("after")?, self.text("before")?) {
            (false, Some(after), None) => Some(after),
            (true, None, Some(before)) => Some(before),
            (_, None, None) => None,
            _ => {
                return Err(Error::bad_request(
                    "`after` goes with `first`, `before` goes with `last`, and only one of them can be given",
                ));
            }
        };
        let from = from
            .map(|text| PageCursor::decode(text, self.collection, fingerprint, self.signer))
            .transpose()?
            .map(|cursor| fitting(cursor, &order))
            .transpose()?;
        let mut fields = Vec::with_capacity(self.selected.children.len());
        for child in self.selected.children.iter() {
            let what = match &*child.name {
                "__typename" => ConnectionField::Typename(self.typename("Connection")),
                "nodes" => ConnectionField::Nodes(self.row(&child.children)?),
                "edges" => ConnectionField::Edges(self.edges(&child.children)?),
                "pageInfo" => ConnectionField::PageInfo(page_info(&child.children)?),
                "totalCount" => ConnectionField::TotalCount,
                "totalCountEstimate" => {
                    ConnectionField::Estimate(self.limits.count_exact_max, estimate(&child.children)?)
                }
                name => return Err(selection::unknown(name)),
            };
            fields.push(Connection { key: child.response_key.clone(), what });
        }
        Ok(List { order, limit, backward, from, fingerprint, fields })
    }

    fn edges(&mut self, children: &[Selected]) -> Result<Vec<(Arc<str>, EdgeField)>> {
        let mut fields = Vec::with_capacity(children.len());
        for child in children {
            let field = match &*child.name {
                "__typename" => EdgeField::Typename(self.typename("Edge")),
                "node" => EdgeField::Node(self.row(&child.children)?),
                "cursor" => EdgeField::Cursor,
                name => return Err(selection::unknown(name)),
            };
            fields.push((child.response_key.clone(), field));
        }
        Ok(fields)
    }

    /// How many rows, and whether from the end.
    fn page(&self) -> Result<(usize, bool)> {
        let page_max = self.collection.page_max(self.limits);
        let (first, last) = (self.argument("first"), self.argument("last"));
        let backward = last.is_some() || (first.is_none() && self.argument("before").is_some());
        let (name, value) = match (first, last) {
            (Some(_), Some(_)) => {
                return Err(Error::bad_request("`first` and `last` exclude each other; give one of them"));
            }
            (Some(value), None) => ("first", value),
            (None, Some(value)) => ("last", value),
            (None, None) => return Ok((self.limits.page_default.min(page_max), backward)),
        };
        let count = if let Json::Number(text) = value { text.parse::<i64>().ok() } else { None };
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or_else(|| Error::bad_request(format!("`{name}` must be 0 or more")))?;
        if count > page_max {
            let max = page_max;
            return Err(Error::new(
                Code::TooComplex,
                format!("`{name}` is `{count}` and may be {max} at most; go on by `endCursor` for more"),
            ));
        }
        Ok((count, backward))
    }

    fn changes(&mut self) -> Result<Changes> {
        let after = self
            .text("after")?
            .map(|text| ChangeCursor::decode(text, self.collection, self.signer))
            .transpose()?;
        let snapshot = matches!(self.argument("snapshot"), Some(Json::Bool(true)));
        if snapshot && after.is_some() {
            return Err(Error::bad_request("`snapshot` starts anew and `after` resumes: give one of them"));
        }
        let mut fields = Vec::with_capacity(self.selected.children.len());
        for child in self.selected.children.iter() {
            fields.push((child.response_key.clone(), self.change(child, "Change")?));
        }
        Ok(Changes { after, snapshot, fields })
    }

    /// A member of a change whose type has this suffix.
    fn change(&mut self, child: &Selected, suffix: &str) -> Result<ChangeField> {
        Ok(match &*child.name {
            "__typename" => ChangeField::Typename(self.typename(suffix)),
            "cursor" => ChangeField::Cursor,
            "op" => ChangeField::Op,
            "key" => {
                self.used.shown.extend(envelope("key").map(|member| member.id));
                ChangeField::Key
            }
            "node" => ChangeField::Node(self.row(&child.children)?),
            "before" => ChangeField::Before(self.row(&child.children)?),
            name => return Err(selection::unknown(name)),
        })
    }
}

fn estimate(children: &[Selected]) -> Result<Vec<(Arc<str>, CountField)>> {
    let field = |child: &Selected| match &*child.name {
        "__typename" => Ok(CountField::Typename),
        "count" => Ok(CountField::Count),
        "kind" => Ok(CountField::Kind),
        name => Err(selection::unknown(name)),
    };
    children.iter().map(|child| Ok((child.response_key.clone(), field(child)?))).collect()
}

fn page_info(children: &[Selected]) -> Result<Vec<(Arc<str>, PageInfo)>> {
    let mut fields = Vec::with_capacity(children.len());
    for child in children {
        let field = match &*child.name {
            "__typename" => PageInfo::Typename,
            "hasNextPage" => PageInfo::HasNextPage,
            "hasPreviousPage" => PageInfo::HasPreviousPage,
            "startCursor" => PageInfo::StartCursor,
            "endCursor" => PageInfo::EndCursor,
            "cursor" => PageInfo::Cursor,
            name => return Err(selection::unknown(name)),
        };
        fields.push((child.response_key.clone(), field));
    }
    Ok(fields)
}

/// A number that tells orders apart; stands in cursors, so that one is not used with another order.
fn order_fingerprint(order: &[Order]) -> u64 {
    let mut bytes = Vec::new();
    for part in order {
        for link in &part.through {
            bytes.extend_from_slice(link.from.name().as_bytes());
            bytes.extend(link.collection.to_le_bytes());
            bytes.extend_from_slice(link.to.name().as_bytes());
            bytes.push(1);
        }
        bytes.extend_from_slice(part.field.name().as_bytes());
        // A column that has been widened since makes values of another form.
        bytes.extend([0, part.field.scalar as u8, u8::from(part.descending), u8::from(part.nulls_first)]);
    }
    fnv(&bytes)
}

fn fitting(cursor: PageCursor, order: &[Order]) -> Result<PageCursor> {
    if cursor.values.len() == order.len() {
        Ok(cursor)
    } else {
        Err(Error::bad_request("the cursor is damaged"))
    }
}
