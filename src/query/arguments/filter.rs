//! The argument `where`: from GraphQL's input objects to a filter. Fields of objects in lists and maps are named like
//! those of rows. Must not judge who may name a field: their ids are collected for that.

mod path;
mod related;

use std::collections::BTreeSet;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::arguments::followed;
use crate::query::resolve::{named, scalar_of};
use crate::query::{
    Alone, Area, Beyond, Collection, ColumnRef, Comparison, FieldRef, Filter, RECORD, Search, envelope,
    selection,
};
use crate::record::Json;
use crate::shape::{Enumeration, Field, Kind, Scalar};

/// The first number of items and related rows that a `where` asks about: above all that policies give, so that no
/// condition within another has the number of another.
const FIRST_NUMBER: u32 = 1 << 17;

/// The kind of the items of a list of the envelope.
static TEXTS: Kind = Kind::Scalar(Scalar::String);

/// The filter that a condition of the form of `where` says, within the bounds that a document has without
/// configuration.
///
/// # Errors
/// `BAD_REQUEST` for what does not fit the collection, `TOO_COMPLEX` for what passes a bound.
pub fn condition(collection: &Collection, value: &Json) -> Result<Filter> {
    filter(collection, value, (&Alone, &config::Graphql::default()), &mut BTreeSet::new())
}

/// The filter that `where` says. The ids of the fields it looks at, and of those above them, are added to
/// `ids`.
pub(in crate::query) fn filter(
    collection: &Collection,
    value: &Json,
    (beyond, limits): (&dyn Beyond, &config::Graphql),
    ids: &mut BTreeSet<u32>,
) -> Result<Filter> {
    let mut reader = Reader::new(collection, (beyond, limits));
    let filter = reader.object(&At::Row(Vec::new()), value, "where", 0)?;
    ids.extend(reader.ids);
    Ok(filter)
}

/// What the members of an input object are members of.
#[derive(Clone)]
enum At<'a> {
    /// A row, or an object of it, by the published names that lead there.
    Row(Vec<&'a str>),
    /// An object in the text of a list or map, by the number of the item that it stands in and the stored names from
    /// there.
    Text(u32, &'a [Field], Vec<String>),
    /// An entry of the map with this id, by its number, whose values are of this kind.
    Entry(u32, u32, &'a Kind),
}

impl At<'_> {
    /// Whether it is a whole row, item or entry, of which conditions can be joined.
    fn is_whole(&self) -> bool {
        match self {
            At::Row(path) => path.is_empty(),
            At::Text(_, _, path) => path.is_empty(),
            At::Entry(..) => true,
        }
    }
}

/// A field that is asked about, its id, and the kind of what is in it when it is a list or map.
struct Asked<'a> {
    field: FieldRef,
    id: u32,
    items: Option<&'a Kind>,
}

impl<'a> Asked<'a> {
    fn new(field: FieldRef, id: u32, kind: &'a Kind) -> Self {
        let items = match kind {
            Kind::List(items) | Kind::Map(items) => Some(items.as_ref()),
            _ => None,
        };
        Asked { field, id, items }
    }
}

/// Reads conditions, and counts their constants.
pub(in crate::query) struct Reader<'a> {
    /// The collection of the rows that are asked about here.
    collection: &'a Collection,
    /// The number of the related row that they are.
    row: Option<u32>,
    /// The ids of the fields of the collection that are asked about.
    ids: BTreeSet<u32>,
    beyond: &'a dyn Beyond,
    limits: &'a config::Graphql,
    constants: usize,
    /// How many lists and maps are gone through, and relations followed, here.
    within: u32,
    /// How many of them are relations.
    depth: usize,
    /// How many relations are followed in all.
    relations: usize,
}

impl<'a> Reader<'a> {
    /// One that has read nothing yet.
    pub(in crate::query) fn new(
        collection: &'a Collection,
        (beyond, limits): (&'a dyn Beyond, &'a config::Graphql),
    ) -> Self {
        Reader {
            collection,
            row: None,
            ids: BTreeSet::new(),
            beyond,
            limits,
            constants: 0,
            within: 0,
            depth: 0,
            relations: 0,
        }
    }

    /// Refuses what nests too deep in the argument with this name.
    pub(in crate::query) fn nested(&self, name: &str, depth: usize) -> Result<()> {
        let max = self.limits.nesting_max;
        if depth > max {
            let text =
                format!("`{name}` nests deeper than `graphql.nesting_max`, which is {max}; write it flatter");
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(())
    }

    /// The conditions on a column that is no list; of an enum, by the names of its texts.
    pub(in crate::query) fn column(
        &mut self,
        field: &FieldRef,
        enumeration: Option<&Enumeration>,
        value: &Json,
    ) -> Result<Filter> {
        let (called, mut all) = (field.name(), Vec::new());
        for (operator, constant) in members(value, &called)? {
            self.given(operator, &called, constant)?;
            all.push(self.compared((field, enumeration), (operator, &called), constant)?);
        }
        Ok(Filter::all(all))
    }

    fn object(&mut self, at: &At<'a>, value: &'a Json, called: &str, depth: usize) -> Result<Filter> {
        self.nested("where", depth)?;
        let mut all = Vec::new();
        for (name, value) in members(value, called)? {
            all.push(match name.as_str() {
                "and" if at.is_whole() => Filter::all(self.several(at, value, depth)?),
                "or" if at.is_whole() => Filter::any(self.several(at, value, depth)?),
                "not" if at.is_whole() => self.object(at, value, name, depth + 1)?.opposite(),
                _ => self.member(at, name, value, depth)?,
            });
        }
        Ok(Filter::all(all))
    }

    fn several(&mut self, at: &At<'a>, value: &'a Json, depth: usize) -> Result<Vec<Filter>> {
        match value {
            Json::Array(items) => {
                items.iter().map(|item| self.object(at, item, "where", depth + 1)).collect()
            }
            // A single value stands for a list of one.
            single => Ok(vec![self.object(at, single, "where", depth + 1)?]),
        }
    }

    fn member(&mut self, at: &At<'a>, name: &'a str, value: &'a Json, depth: usize) -> Result<Filter> {
        match at {
            At::Row(path) => self.member_of_row(path, name, value, depth),
            At::Text(number, fields, path) => {
                let field = named(fields, name).ok_or_else(|| selection::unknown(name))?;
                self.ids.insert(field.id);
                let path = path.iter().cloned().chain([field.stored().to_owned()]).collect();
                self.held(*number, (field.id, &field.kind), path, (name, value), depth)
            }
            At::Entry(number, id, kind) => match name {
                "key" => {
                    let (column, path) = (ColumnRef::EntryKey(*number), ["key".to_owned()].into());
                    let field = FieldRef { column, scalar: Scalar::String, list: false, path };
                    self.conditions(&Asked { field, id: *id, items: None }, name, value, depth)
                }
                "value" => self.held(*number, (*id, kind), Vec::new(), (name, value), depth),
                _ => Err(selection::unknown(name)),
            },
        }
    }

    fn member_of_row(
        &mut self,
        above: &[&'a str],
        name: &'a str,
        value: &'a Json,
        depth: usize,
    ) -> Result<Filter> {
        let path: Vec<&str> = above.iter().copied().chain([name]).collect();
        if path.as_slice() == [RECORD] {
            return self.object(&At::Row(path), value, name, depth + 1);
        }
        if let Some(followed) = followed(self.collection, above, name, self.beyond) {
            return self.followed(followed, name, value, depth);
        }
        let collection = self.collection;
        let field = collection.field_with(&path, &mut self.ids).ok_or_else(|| selection::unknown(name))?;
        let field = match self.row {
            Some(number) => field.of_related(number),
            None => field,
        };
        if let ColumnRef::Presence(_) = field.column.own() {
            return self.object(&At::Row(path), value, name, depth + 1);
        }
        let asked = match path.as_slice() {
            [RECORD, name] => {
                let id = envelope(name).map_or(0, |member| member.id);
                let items = field.list.then_some(&TEXTS);
                Asked { field, id, items }
            }
            path => {
                let found = collection.shape.find(path).ok_or_else(|| selection::unknown(name))?;
                Asked::new(field, found.id, &found.kind)
            }
        };
        self.conditions(&asked, name, value, depth)
    }

    /// A condition on what stands in an item, at a path from there, and is of this kind, of the field with this id.
    fn held(
        &mut self,
        number: u32,
        (id, kind): (u32, &'a Kind),
        path: Vec<String>,
        (name, value): (&'a str, &'a Json),
        depth: usize,
    ) -> Result<Filter> {
        if let Kind::Object(fields) | Kind::Packed(fields) = kind {
            return self.object(&At::Text(number, fields, path), value, name, depth + 1);
        }
        // What is given out in another type is not compared in its own.
        if self.collection.cast(id).is_some() {
            return Err(selection::unknown(name));
        }
        let (scalar, list) = scalar_of(kind);
        let field = FieldRef { column: ColumnRef::Item(number, id), scalar, list, path: path.into() };
        self.conditions(&Asked::new(field, id, kind), name, value, depth)
    }

    fn conditions(
        &mut self,
        asked: &Asked<'a>,
        called: &str,
        value: &'a Json,
        depth: usize,
    ) -> Result<Filter> {
        let mut all = Vec::new();
        for (operator, constant) in members(value, called)? {
            self.given(operator, called, constant)?;
            all.push(match (operator.as_str(), asked.items) {
                (quantifier @ ("some" | "every" | "none"), Some(items)) => {
                    self.quantified(asked, items, (quantifier, constant), depth)?
                }
                ("length", Some(_)) => self.lengths(&asked.field, constant)?,
                (operator, _) => {
                    let column = (&asked.field, self.collection.enumeration(&asked.field));
                    self.compared(column, (operator, called), constant)?
                }
            });
        }
        Ok(Filter::all(all))
    }

    /// Counts a constant, which must not be null.
    fn given(&mut self, operator: &str, called: &str, constant: &Json) -> Result<()> {
        if matches!(constant, Json::Null) {
            let text = format!("`{operator}` of `{called}` is null; leave it out, or ask with `isNull`");
            return Err(Error::bad_request(text));
        }
        self.count(1)
    }

    /// A condition on items of a list, or entries of a map.
    fn quantified(
        &mut self,
        asked: &Asked<'a>,
        items: &'a Kind,
        (quantifier, value): (&'a str, &'a Json),
        depth: usize,
    ) -> Result<Filter> {
        let number = FIRST_NUMBER + self.within;
        self.within += 1;
        let when = if asked.field.list {
            self.held(number, (asked.id, items), Vec::new(), (quantifier, value), depth)
        } else {
            self.object(&At::Entry(number, asked.id, items), value, quantifier, depth + 1)
        };
        self.within -= 1;
        let some = |when| Filter::SomeItem(asked.field.clone(), number, Box::new(when));
        let counterexample = match (quantifier, when?) {
            ("some", when) => return Ok(some(when)),
            ("every", when) => when.opposite(),
            (_, when) => when,
        };
        let there = Filter::IsNull(asked.field.clone()).opposite();
        Ok(Filter::all([there, some(counterexample).opposite()]))
    }

    /// A condition on how many items a list has.
    fn lengths(&mut self, list: &FieldRef, value: &Json) -> Result<Filter> {
        let mut all = Vec::new();
        for (operator, constant) in members(value, "length")? {
            let whole = |constant: &Json| match constant {
                Json::Number(text) => text.parse::<i64>().ok(),
                _ => None,
            };
            let mut lengths = Vec::new();
            for constant in self.list(constant)? {
                let wrong = || Error::bad_request("`length` is compared with whole numbers");
                lengths.push(whole(constant).ok_or_else(wrong)?);
            }
            let is = |comparison| {
                Filter::any(lengths.iter().map(|length| Filter::Length(list.clone(), comparison, *length)))
            };
            let there = || Filter::IsNull(list.clone()).opposite();
            all.push(match operator.as_str() {
                "eq" | "in" => is(Comparison::Eq),
                "ne" | "notIn" => Filter::all([is(Comparison::Eq).opposite(), there()]),
                "lt" => is(Comparison::Lt),
                "lte" => is(Comparison::Lte),
                "gt" => is(Comparison::Gt),
                "gte" => is(Comparison::Gte),
                other => {
                    return Err(Error::bad_request(format!("there is no condition `{other}` for `length`")));
                }
            });
        }
        Ok(Filter::all(all))
    }

    fn compared(
        &mut self,
        (field, enumeration): (&FieldRef, Option<&Enumeration>),
        (operator, name): (&str, &str),
        constant: &Json,
    ) -> Result<Filter> {
        let field = field.clone();
        let named;
        let constant = match enumeration {
            Some(values) => {
                named = texts(values, operator, constant, name)?;
                &named
            }
            None => constant,
        };
        let compare = |comparison| Filter::compare(field.clone(), comparison, constant);
        Ok(match operator {
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
            "like" => Filter::matches(field, self.pattern("like", constant)?)?,
            "search" => Filter::searches(field, self.search(constant)?)?,
            "startsWith" => Filter::begins(field, text(constant, "startsWith")?)?,
            "contains" => Filter::has(field, constant)?,
            "hasKey" => Filter::has_key(field, text(constant, "hasKey")?)?,
            "within" | "near" if self.is_position(&field) => {
                let area = Area::of(operator, constant)?;
                Filter::Place(field, area)
            }
            "path" if self.is_json(&field) => self.paths(&field, constant)?,
            "isNull" => match constant {
                Json::Bool(true) => Filter::IsNull(field),
                Json::Bool(false) => Filter::IsNull(field).opposite(),
                _ => return Err(Error::bad_request("`isNull` is true or false")),
            },
            other => return Err(Error::bad_request(format!("there is no condition `{other}` for `{name}`"))),
        })
    }

    fn list<'b>(&mut self, value: &'b Json) -> Result<&'b [Json]> {
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

    fn pattern<'b>(&self, operator: &str, value: &'b Json) -> Result<&'b str> {
        let (pattern, max) = (text(value, operator)?, self.limits.pattern_bytes_max);
        if pattern.len() > max {
            let text =
                format!("`{operator}` has more bytes than `graphql.pattern_bytes_max`, which is {max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(pattern)
    }

    /// A text to search for, whose words count as constants.
    fn search(&mut self, value: &Json) -> Result<Search> {
        let none = "`search` has no word; write some, such as `red \"old bike\" or car* -rust`";
        let search = Search::parse(self.pattern("search", value)?).ok_or_else(|| Error::bad_request(none))?;
        let max = self.limits.search_words_max;
        if search.count() > max {
            let text = format!("`search` has more words than `graphql.search_words_max`, which is {max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        self.count(search.count())?;
        Ok(search)
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

/// The members of an input object.
pub(in crate::query) fn members<'a>(value: &'a Json, name: &str) -> Result<&'a [(String, Json)]> {
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
