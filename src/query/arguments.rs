//! The arguments `where` and `orderBy`: from GraphQL's input objects to filters and orders.

use std::collections::BTreeSet;

use super::ask::Order;
use super::selection;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::{Collection, Comparison, FieldRef, Filter, RECORD};
use crate::record::Json;
use crate::shape::{Enumeration, Scalar};

/// The filter that a condition of the form of `where` says, within the bounds that a document has without
/// configuration.
///
/// # Errors
/// `BAD_REQUEST` for what does not fit the collection, `TOO_COMPLEX` for what passes a bound.
pub fn condition(collection: &Collection, value: &Json) -> Result<Filter> {
    filter(collection, value, &config::Graphql::default(), &mut BTreeSet::new())
}

/// The filter that `where` says. The ids of the fields it looks at, and of those above them, are added to
/// `ids`.
pub(super) fn filter(
    collection: &Collection,
    value: &Json,
    limits: &config::Graphql,
    ids: &mut BTreeSet<u32>,
) -> Result<Filter> {
    let mut reader = Reader { collection, limits, ids, constants: 0 };
    reader.object(&mut Vec::new(), value, 0)
}

struct Reader<'a> {
    collection: &'a Collection,
    limits: &'a config::Graphql,
    ids: &'a mut BTreeSet<u32>,
    constants: usize,
}

impl Reader<'_> {
    fn object<'a>(&mut self, path: &mut Vec<&'a str>, value: &'a Json, depth: usize) -> Result<Filter> {
        let max = self.limits.nesting_max;
        if depth > max {
            let text =
                format!("`where` nests deeper than `graphql.nesting_max`, which is {max}; write it flatter");
            return Err(Error::new(Code::TooComplex, text));
        }
        let mut all = Vec::new();
        for (name, value) in members(value, path.last().unwrap_or(&"where"))? {
            let filter = match name.as_str() {
                "and" if path.is_empty() => Filter::all(self.several(value, depth)?),
                "or" if path.is_empty() => Filter::any(self.several(value, depth)?),
                "not" if path.is_empty() => self.object(path, value, depth + 1)?.opposite(),
                name => {
                    path.push(name);
                    let filter = self.member(path, value, depth)?;
                    path.pop();
                    filter
                }
            };
            all.push(filter);
        }
        Ok(Filter::all(all))
    }

    fn several(&mut self, value: &Json, depth: usize) -> Result<Vec<Filter>> {
        match value {
            Json::Array(items) => {
                items.iter().map(|item| self.object(&mut Vec::new(), item, depth + 1)).collect()
            }
            // A single value stands for a list of one.
            single => Ok(vec![self.object(&mut Vec::new(), single, depth + 1)?]),
        }
    }

    fn member<'a>(&mut self, path: &mut Vec<&'a str>, value: &'a Json, depth: usize) -> Result<Filter> {
        if path.as_slice() == [RECORD] {
            return self.object(path, value, depth + 1);
        }
        let name = path.last().copied().unwrap_or_default();
        let field = self.collection.field_with(path, self.ids).ok_or_else(|| selection::unknown(name))?;
        if let crate::query::ColumnRef::Presence(_) = field.column {
            return self.object(path, value, depth + 1);
        }
        self.conditions(&field, value)
    }

    fn conditions(&mut self, field: &FieldRef, value: &Json) -> Result<Filter> {
        let name = field.name();
        let mut all = Vec::new();
        for (operator, constant) in members(value, &name)? {
            if matches!(constant, Json::Null) {
                let text = format!("`{operator}` of `{name}` is null; leave it out, or ask with `isNull`");
                return Err(Error::bad_request(text));
            }
            self.count(1)?;
            let field = field.clone();
            let named;
            let constant = match self.collection.enumeration(&field) {
                Some(values) => {
                    named = texts(values, operator, constant, &name)?;
                    &named
                }
                None => constant,
            };
            let compare = |comparison| Filter::compare(field.clone(), comparison, constant);
            all.push(match operator.as_str() {
                "eq" => compare(Comparison::Eq)?,
                "ne" => Filter::differs(field, constant)?,
                "lt" => compare(Comparison::Lt)?,
                "lte" => compare(Comparison::Lte)?,
                "gt" => compare(Comparison::Gt)?,
                "gte" => compare(Comparison::Gte)?,
                "in" => Filter::one_of(field, self.list(constant)?)?,
                "notIn" => {
                    let one = Filter::one_of(field.clone(), self.list(constant)?)?;
                    Filter::all([one.opposite(), Filter::IsNull(field).opposite()])
                }
                "like" => Filter::matches(field, self.pattern(constant)?)?,
                "startsWith" => Filter::begins(field, text(constant, "startsWith")?)?,
                "contains" => Filter::has(field, constant)?,
                "hasKey" => Filter::has_key(field, text(constant, "hasKey")?)?,
                "isNull" => match constant {
                    Json::Bool(true) => Filter::IsNull(field),
                    Json::Bool(false) => Filter::IsNull(field).opposite(),
                    _ => return Err(Error::bad_request("`isNull` is true or false")),
                },
                other => {
                    return Err(Error::bad_request(format!("there is no condition `{other}` for `{name}`")));
                }
            });
        }
        Ok(Filter::all(all))
    }

    fn list<'a>(&mut self, value: &'a Json) -> Result<&'a [Json]> {
        let items = match value {
            Json::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        self.count(items.len())?;
        Ok(items)
    }

    fn count(&mut self, constants: usize) -> Result<()> {
        self.constants += constants;
        let max = self.limits.constants_max;
        if self.constants > max {
            let text = format!(
                "`where` has more constants than `graphql.constants_max`, which is {max}; ask in parts"
            );
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(())
    }

    fn pattern<'a>(&self, value: &'a Json) -> Result<&'a str> {
        let (pattern, max) = (text(value, "like")?, self.limits.pattern_bytes_max);
        if pattern.len() > max {
            let text =
                format!("a `like` pattern has more bytes than `graphql.pattern_bytes_max`, which is {max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(pattern)
    }
}

/// What a condition on an enum compares with: the texts instead of their names.
fn texts(values: &Enumeration, operator: &str, constant: &Json, name: &str) -> Result<Json> {
    match (operator, constant) {
        ("isNull", _) => Ok(constant.clone()),
        ("eq" | "ne" | "in" | "notIn" | "contains", Json::String(value)) => {
            let unknown = || Error::bad_request(format!("`{name}` is an enum without a value `{value}`"));
            Ok(Json::String(values.value(value).ok_or_else(unknown)?.to_owned()))
        }
        ("in" | "notIn", Json::Array(items)) => {
            Ok(Json::Array(items.iter().map(|item| texts(values, "in", item, name)).collect::<Result<_>>()?))
        }
        _ => Err(Error::bad_request(format!("there is no condition `{operator}` for the enum `{name}`"))),
    }
}

fn members<'a>(value: &'a Json, name: &str) -> Result<&'a [(String, Json)]> {
    match value {
        Json::Object(members) => Ok(members),
        Json::Null => {
            Err(Error::bad_request(format!("`{name}` is null; leave it out, or ask with `isNull`")))
        }
        _ => Err(Error::bad_request(format!("`{name}` takes conditions, such as `{{eq: …}}`"))),
    }
}

fn text<'a>(value: &'a Json, name: &str) -> Result<&'a str> {
    value.as_str().ok_or_else(|| Error::bad_request(format!("`{name}` takes a text")))
}

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
                let (descending, nulls_first) = match direction.as_str() {
                    "ASC" => (false, false),
                    "DESC" => (true, false),
                    "ASC_NULLS_FIRST" => (false, true),
                    "DESC_NULLS_FIRST" => (true, true),
                    other => {
                        return Err(Error::bad_request(format!(
                            "`{other}` is no order; use `ASC` or `DESC`"
                        )));
                    }
                };
                if !sortable {
                    return Err(Error::bad_request(format!("`{name}` has no order")));
                }
                return Ok(Order { field, descending, nulls_first });
            }
            _ => return Err(Error::bad_request("`orderBy` takes fields with `ASC` or `DESC`")),
        }
    }
}
