//! The arguments `where` and `orderBy`: from GraphQL's input objects to filters and orders.

mod filter;

pub use filter::condition;
pub(super) use filter::{Reader, filter, members};

use std::collections::BTreeSet;

use super::ask::Order;
use super::selection;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::{Collection, FieldRef};
use crate::record::Json;
use crate::shape::Scalar;

/// The order that `orderBy` says.
pub(super) fn order(
    collection: &Collection,
    value: &Json,
    limits: &config::Graphql,
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
    items.iter().map(|item| order_item(collection, item, ids)).collect()
}

fn order_item(collection: &Collection, item: &Json, ids: &mut BTreeSet<u32>) -> Result<Order> {
    let mut path = Vec::new();
    let mut item = item;
    loop {
        match item {
            Json::Object(members) => {
                let [(name, value)] = members.as_slice() else {
                    return Err(Error::bad_request(
                        "each item of `orderBy` names one field, such as `[{status: ASC}, {total: DESC}]`",
                    ));
                };
                path.push(name.as_str());
                item = value;
            }
            Json::String(direction) => {
                let name = path.join(".");
                let field = collection.field_with(&path, ids).ok_or_else(|| selection::unknown(&name))?;
                let sortable = !field.list
                    && field.scalar != Scalar::Json
                    && !matches!(field.column, crate::query::ColumnRef::Presence(_));
                if !sortable {
                    return Err(Error::bad_request(format!("`{name}` has no order")));
                }
                return directed(field, direction);
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
    Ok(Order { field, descending, nulls_first })
}
