//! Which groups, in which order, and which page of them: conditions and orders of the columns that groups have.

use super::group::Groups;
use super::{fitting, order_fingerprint};
use crate::error::{Code, Error, Result};
use crate::query::arguments::{Reader, directed, members};
use crate::query::filter::fnv;
use crate::query::{Filter, Function, Measure, Order, PageCursor, whole_sum};
use crate::record::Json;
use crate::shape::Scalar;

impl Groups<'_, '_> {
    /// Which groups there are to be.
    pub(super) fn having(&mut self) -> Result<Filter> {
        let Some(value) = self.compiler.argument("having") else { return Ok(Filter::Const(true)) };
        // What is compared is noted where fields are found.
        let around = (self.compiler.beyond, self.compiler.limits);
        let mut reader = Reader::new(self.compiler.collection, around);
        self.conditions(&mut reader, value, 0)
    }

    fn conditions(&mut self, reader: &mut Reader<'_>, value: &Json, depth: usize) -> Result<Filter> {
        reader.nested("having", depth)?;
        let mut all = Vec::new();
        for (name, value) in members(value, "having")? {
            all.push(match name.as_str() {
                "and" => Filter::all(self.several(reader, value, depth)?),
                "or" => Filter::any(self.several(reader, value, depth)?),
                "not" => self.conditions(reader, value, depth + 1)?.opposite(),
                "count" => reader.column(&self.count(), None, value)?,
                function => {
                    let fields = members(value, function)?.iter();
                    let each = fields.map(|(field, value)| self.condition(reader, (function, field), value));
                    Filter::all(each.collect::<Result<Vec<_>>>()?)
                }
            });
        }
        Ok(Filter::all(all))
    }

    fn several(&mut self, reader: &mut Reader<'_>, value: &Json, depth: usize) -> Result<Vec<Filter>> {
        let items = match value {
            Json::Array(items) => items.as_slice(),
            single => std::slice::from_ref(single),
        };
        items.iter().map(|item| self.conditions(reader, item, depth + 1)).collect()
    }

    fn condition(
        &mut self,
        reader: &mut Reader<'_>,
        (function, field): (&str, &str),
        value: &Json,
    ) -> Result<Filter> {
        let (column, measure) = self.figure(function, field)?;
        match measure {
            Measure::Of(Function::Sum, of) if of.scalar != Scalar::Float => {
                reader.column(&column, None, &as_sums(value)?)
            }
            Measure::Of(Function::Min | Function::Max, of) => {
                reader.column(&column, self.compiler.collection.enumeration(&of), value)
            }
            _ => reader.column(&column, None, value),
        }
    }

    /// The order of the groups: what is asked, then all that rows are grouped by, so that pages are stable.
    pub(super) fn order(&mut self) -> Result<Vec<Order>> {
        let items = self.compiler.items("orderBy");
        let max = self.compiler.limits.order_by_max;
        if items.len() > max {
            let text = format!("`orderBy` has more fields than `graphql.order_by_max`, which is {max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        let mut order: Vec<Order> = Vec::new();
        let mut add = |part: Order| {
            if order.iter().all(|known| known.field.column != part.field.column) {
                order.push(part);
            }
        };
        for item in items {
            self.order_item(item)?.into_iter().for_each(&mut add);
        }
        for (place, key) in self.keys.iter().enumerate() {
            let field = self.key(place, key);
            add(Order { through: Vec::new(), field, descending: false, nulls_first: false });
        }
        Ok(order)
    }

    fn order_item(&mut self, item: &Json) -> Result<Vec<Order>> {
        let (name, value) = single(item)?;
        if name == "count" {
            return Ok(vec![directed(self.count(), direction(value)?)?]);
        }
        let (field, value) = single(value)?;
        if name != "group" {
            let (column, _) = self.figure(name, field)?;
            return Ok(vec![directed(column, direction(value)?)?]);
        }
        let leaf = self.compiler.leaf(field)?;
        let keys = self.keys.iter().enumerate().filter(|(_, key)| key.field.column == leaf.column);
        let columns: Vec<_> = keys.map(|(place, key)| self.key(place, key)).collect();
        if columns.is_empty() {
            let text = format!("rows are not grouped by `{field}`; order by what stands in `groupBy`");
            return Err(Error::bad_request(text));
        }
        columns.into_iter().map(|column| directed(column, direction(value)?)).collect()
    }

    /// The most groups, and whether there may be more.
    pub(super) fn page(&self) -> Result<(usize, bool)> {
        let max = self.compiler.limits.groups_max;
        let Some(first) = self.compiler.argument("first") else { return Ok((max, false)) };
        let count = if let Json::Number(text) = first { text.parse::<usize>().ok() } else { None };
        let count = count.ok_or_else(|| Error::bad_request("`first` must be 0 or more"))?;
        if count > max {
            let text = format!("`first` is {count} and may be {max} at most; go on by `cursor` for more");
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok((count, true))
    }

    /// Where the page begins.
    pub(super) fn from(&self, order: &[Order], fingerprint: u64) -> Result<Option<PageCursor>> {
        let (collection, signer) = (self.compiler.collection, self.compiler.signer);
        let decode = |text: &str| PageCursor::decode(text, collection, fingerprint, signer);
        let from = self.compiler.text("after")?.map(decode).transpose()?;
        from.map(|cursor| fitting(cursor, order)).transpose()
    }

    /// Tells groups and orders apart, so that a cursor is not used with others, nor one of rows with groups.
    pub(super) fn fingerprint(&self, order: &[Order]) -> u64 {
        fnv(format!("groups {:?} {:x}", self.keys, order_fingerprint(order)).as_bytes())
    }
}

/// The only member of an item.
fn single(item: &Json) -> Result<(&str, &Json)> {
    if let Json::Object(members) = item
        && let [(name, value)] = members.as_slice()
    {
        return Ok((name, value));
    }
    Err(Error::bad_request(
        "each item of `orderBy` names one figure, such as `[{count: DESC}, {sum: {total: DESC}}]`",
    ))
}

fn direction(value: &Json) -> Result<&str> {
    value.as_str().ok_or_else(|| Error::bad_request("`orderBy` takes figures with `ASC` or `DESC`"))
}

/// Conditions on a sum of whole numbers, with its texts instead of numbers.
fn as_sums(conditions: &Json) -> Result<Json> {
    Ok(match conditions {
        Json::Object(members) => {
            let sums = members.iter().map(|(name, value)| Ok((name.clone(), as_sums(value)?)));
            Json::Object(sums.collect::<Result<_>>()?)
        }
        Json::Array(items) => Json::Array(items.iter().map(as_sums).collect::<Result<_>>()?),
        Json::Number(text) => Json::String(sum(text)?),
        Json::String(text) => Json::String(sum(text)?),
        other => other.clone(),
    })
}

fn sum(text: &str) -> Result<String> {
    let number =
        text.parse::<i64>().map_err(|_| Error::bad_request("a sum is compared with a whole number"))?;
    Ok(whole_sum(number.into()))
}
