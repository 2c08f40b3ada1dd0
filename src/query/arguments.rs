//! The arguments `where` and `orderBy`: from GraphQL's input objects to filters and orders.

mod filter;

pub use filter::condition;
pub(super) use filter::{Reader, filter, members};

use std::collections::BTreeSet;

use super::ask::Order;
use super::selection;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::{Beyond, Collection, FieldRef, Followed, RECORD};
use crate::record::Json;
use crate::shape::Scalar;

/// The order that `orderBy` says. The ids of the collection's own fields that it names are added to `ids`.
pub(super) fn order(
    collection: &Collection,
    value: &Json,
    (beyond, limits): (&dyn Beyond, &config::Graphql),
    ids: &mut BTreeSet<u32>,
) -> Result<Vec<Order>> {
    let items = match value {
        Json::Array(items) => items.as_slice(),
        single => std::slice::from_ref(single),
    };
    let max = limits.order_by_max;
    if items.len() > max {
        let text = format!("`orderBy` has more fields than `graphql.order_by_max`, which is {max}");
        return Err(Error::new(Code::TooComplex, text));
    }
    items.iter().map(|item| order_item(collection, item, (beyond, limits), ids)).collect()
}

fn order_item<'a>(
    mut collection: &'a Collection,
    mut item: &Json,
    (beyond, limits): (&'a dyn Beyond, &config::Graphql),
    ids: &mut BTreeSet<u32>,
) -> Result<Order> {
    let (mut through, mut path) = (Vec::new(), Vec::new());
    // What is named of related rows must be comparable there, which their own scope says.
    let mut comparable: Option<Comparable<'_>> = None;
    loop {
        match item {
            Json::Object(members) => {
                let [(name, value)] = members.as_slice() else {
                    return Err(Error::bad_request(
                        "each item of `orderBy` names one field, such as `[{status: ASC}, {total: DESC}]`",
                    ));
                };
                item = value;
                match followed(collection, &path, name, beyond) {
                    Some(next) if !next.link.many => {
                        within_bound(through.len() + 1, limits)?;
                        through.push(next.link);
                        (collection, comparable) = (next.collection, Some(next.comparable));
                    }
                    _ => path.push(name.as_str()),
                }
            }
            Json::String(direction) => {
                let name = path.join(".");
                let mut own = BTreeSet::new();
                let field =
                    collection.field_with(&path, &mut own).ok_or_else(|| selection::unknown(&name))?;
                match comparable {
                    None => ids.extend(own),
                    Some(comparable) if own.iter().all(|id| comparable(*id)) => {}
                    Some(_) => return Err(selection::unknown(&name)),
                }
                let sortable = !field.list
                    && field.scalar != Scalar::Json
                    && !matches!(field.column, crate::query::ColumnRef::Presence(_));
                if !sortable {
                    return Err(Error::bad_request(format!("`{name}` has no order")));
                }
                return Ok(Order { through, ..directed(field, direction)? });
            }
            _ => return Err(Error::bad_request("`orderBy` takes fields with `ASC` or `DESC`")),
        }
    }
}

/// A column in this direction.
pub(super) fn directed(field: FieldRef, direction: &str) -> Result<Order> {
    let (descending, nulls_first) = match direction {
        "ASC" => (false, false),
        "DESC" => (true, false),
        "ASC_NULLS_FIRST" => (false, true),
        "DESC_NULLS_FIRST" => (true, true),
        other => {
            return Err(Error::bad_request(format!("`{other}` is no order; use `ASC` or `DESC`")));
        }
    };
    Ok(Order { through: Vec::new(), field, descending, nulls_first })
}

/// Whether the field with an id is shown as it is, in every row.
type Comparable<'a> = Box<dyn Fn(u32) -> bool + 'a>;

/// The relation that a name at this path of a row stands for; none when it is a field, or nothing.
fn followed<'a>(
    collection: &Collection,
    path: &[&str],
    name: &str,
    beyond: &'a dyn Beyond,
) -> Option<Followed<'a>> {
    if !path.is_empty() || name == RECORD || collection.shape.find(&[name]).is_some() {
        return None;
    }
    beyond.follow(collection, name)
}

/// Refuses too many relations in a row.
fn within_bound(relations: usize, limits: &config::Graphql) -> Result<()> {
    let max = limits.relations_max;
    if relations > max {
        let text = format!(
            "`where` and `orderBy` follow at most {max} relations in a row, as `graphql.relations_max` says"
        );
        return Err(Error::new(Code::TooComplex, text));
    }
    Ok(())
}
