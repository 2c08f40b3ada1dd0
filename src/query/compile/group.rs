//! The arguments and the selection of an aggregate: names resolved, everything bounded.

use std::sync::Arc;

use super::Compiler;
use super::selection;
use crate::error::{Code, Error, Result};
use crate::query::{
    Aggregate, Argument, ColumnRef, FieldRef, Figure, Function, GroupField, GroupKey, Measure, Part,
    Selected, TimeUnit,
};
use crate::record::Json;
use crate::shape::{Field, Kind, Scalar};

/// What is asked of groups, as far as it is known.
pub(super) struct Groups<'c, 'a> {
    pub(super) compiler: &'c mut Compiler<'a>,
    pub(super) keys: Vec<GroupKey>,
    measures: Vec<Measure>,
}

impl<'a> Compiler<'a> {
    pub(super) fn aggregate(&mut self) -> Result<Aggregate> {
        let keys = self.keys()?;
        let mut groups = Groups { compiler: self, keys, measures: Vec::new() };
        let having = groups.having()?;
        let order = groups.order()?;
        let (limit, paged) = groups.page()?;
        let fingerprint = groups.fingerprint(&order);
        let from = groups.from(&order, fingerprint)?;
        let fields = groups.fields()?;
        let Groups { keys: group_by, measures, .. } = groups;
        Ok(Aggregate { group_by, measures, having, order, limit, paged, from, fingerprint, fields })
    }

    /// What rows are grouped by: the fields of `groupBy`, then the parts of `groupByPart`.
    fn keys(&mut self) -> Result<Vec<GroupKey>> {
        let mut keys: Vec<GroupKey> = Vec::new();
        let mut add = |key: GroupKey| {
            if !keys.contains(&key) {
                keys.push(key);
            }
        };
        for name in self.items("groupBy") {
            let name = name.as_str().ok_or_else(|| Error::bad_request("`groupBy` takes names of fields"))?;
            add(GroupKey { field: self.leaf(name)?, part: None });
        }
        for item in self.items("groupByPart") {
            let member = |name: &str| item.get(name).filter(|value| !matches!(value, Json::Null));
            let name = member("field").and_then(Json::as_str);
            let name =
                name.ok_or_else(|| Error::bad_request("each item of `groupByPart` names a `field`"))?;
            let field = self.leaf(name)?;
            let part = part(name, &field, member("truncate"), member("bucket"))?;
            add(GroupKey { field, part: Some(part.ok_or_else(|| no_part(name))?) });
        }
        let max = self.limits.group_by_max;
        if keys.len() > max {
            let text = format!(
                "`groupBy` and `groupByPart` have more fields than `graphql.group_by_max`, which is {max}"
            );
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(keys)
    }

    /// What an argument lists; a single value stands for a list of one.
    pub(super) fn items(&self, name: &str) -> &'a [Json] {
        match self.argument(name) {
            None => &[],
            Some(Json::Array(items)) => items,
            Some(single) => std::slice::from_ref(single),
        }
    }

    /// The scalar leaf that a member of a group shows, if it is grouped by: what is not is never looked at.
    fn grouped(&self, name: &str) -> Option<FieldRef> {
        let mut path = Vec::new();
        let found = find_leaf(&self.collection.shape.fields, name, &mut path);
        self.collection.field(&path).filter(|_| found)
    }

    /// The scalar leaf whose names, joined by `_`, are this.
    pub(super) fn leaf(&mut self, name: &str) -> Result<FieldRef> {
        let mut path = Vec::new();
        if !find_leaf(&self.collection.shape.fields, name, &mut path) {
            return Err(selection::unknown(name));
        }
        self.collection.field_with(&path, &mut self.used.compared).ok_or_else(|| selection::unknown(name))
    }
}

impl Groups<'_, '_> {
    /// The place of a measure, which is computed once however often it is asked for.
    fn place(&mut self, measure: Measure) -> usize {
        let known = self.measures.iter().position(|known| *known == measure);
        known.unwrap_or_else(|| {
            self.measures.push(measure);
            self.measures.len() - 1
        })
    }

    /// The place of a function of a field.
    fn function(&mut self, function: Function, name: &str) -> Result<usize> {
        let field = self.compiler.leaf(name)?;
        if !function.fits(field.scalar) {
            return Err(Error::bad_request(format!("`{name}` is not of a type that has this figure")));
        }
        Ok(self.place(Measure::Of(function, field)))
    }

    /// The column of how many rows a group has.
    pub(super) fn count(&mut self) -> FieldRef {
        let place = self.keys.len() + self.place(Measure::Count);
        column(place, Scalar::Int, vec!["count".to_owned()])
    }

    /// The column of a function of a field, and the field, by their names.
    pub(super) fn figure(&mut self, function: &str, field: &str) -> Result<(FieldRef, Measure)> {
        let known = Function::named(function).ok_or_else(|| selection::unknown(function))?;
        let place = self.function(known, field)?;
        let measure = self.measures.get(place).cloned().unwrap_or(Measure::Count);
        let path = vec![function.to_owned(), field.to_owned()];
        Ok((column(self.keys.len() + place, measure.scalar(), path), measure))
    }

    /// The column of what rows are grouped by, at this place.
    pub(super) fn key(&self, place: usize, key: &GroupKey) -> FieldRef {
        let path = std::iter::once("group".to_owned()).chain(key.field.path.iter().cloned());
        column(place, key.field.scalar, path.collect())
    }

    fn fields(&mut self) -> Result<Vec<(Arc<str>, Figure)>> {
        let selected = self.compiler.selected;
        let mut fields = Vec::with_capacity(selected.children.len());
        for child in selected.children.iter() {
            let figure = match &*child.name {
                "__typename" => Figure::Typename(self.compiler.typename("Aggregate")),
                "count" => Figure::Measure(self.place(Measure::Count)),
                "cursor" => Figure::Cursor,
                "group" => Figure::Group(self.group(&child.children)?),
                "percentile" => Figure::Function(self.functions(percentile(child)?, &child.children)?),
                name => {
                    let function = Function::named(name).ok_or_else(|| selection::unknown(name))?;
                    Figure::Function(self.functions(function, &child.children)?)
                }
            };
            fields.push((child.response_key.clone(), figure));
        }
        Ok(fields)
    }

    fn functions(&mut self, function: Function, children: &[Selected]) -> Result<Vec<(Arc<str>, Argument)>> {
        let mut arguments = Vec::with_capacity(children.len());
        for child in children {
            let argument = match &*child.name {
                "__typename" => Argument::Typename(self.compiler.typename(function.suffix())),
                field => Argument::Measure(self.function(function, field)?),
            };
            arguments.push((child.response_key.clone(), argument));
        }
        Ok(arguments)
    }

    /// Members of a group, each by any name of its field.
    fn group(&self, children: &[Selected]) -> Result<Vec<(Arc<str>, GroupField)>> {
        let mut members = Vec::with_capacity(children.len());
        for child in children {
            let member = match self.compiler.grouped(&child.name) {
                Some(field) => {
                    let part =
                        part(&child.name, &field, child.argument("truncate"), child.argument("bucket"))?;
                    let place = |key: &GroupKey| key.field.column == field.column && key.part == part;
                    match (self.keys.iter().position(place), part) {
                        (Some(place), _) => GroupField::Value(place),
                        (None, None) => GroupField::Absent,
                        (None, Some(_)) => return Err(not_grouped(&child.name)),
                    }
                }
                None if &*child.name == "__typename" => GroupField::Typename(self.compiler.typename("Group")),
                None => GroupField::Absent,
            };
            members.push((child.response_key.clone(), member));
        }
        Ok(members)
    }
}

fn percentile(selected: &Selected) -> Result<Function> {
    let part = match selected.argument("p") {
        None => Some(0.5),
        Some(Json::Number(text)) => text.parse::<f64>().ok(),
        Some(_) => None,
    };
    let part = part.filter(|part| (0.0..=1.0).contains(part));
    let wrong = || Error::bad_request("`p` of a percentile is from 0 to 1, such as 0.95");
    part.map(Function::Percentile).ok_or_else(wrong)
}

/// A column of the groups; its path is for messages and fingerprints.
fn column(place: usize, scalar: Scalar, path: Vec<String>) -> FieldRef {
    FieldRef { column: ColumnRef::Grouped(place), scalar, list: false, path: path.into() }
}

/// The part of a field that two arguments ask for; none when neither does.
fn part(
    name: &str,
    field: &FieldRef,
    truncate: Option<&Json>,
    bucket: Option<&Json>,
) -> Result<Option<Part>> {
    let wrong = |text: String| Err(Error::bad_request(text));
    match (truncate, bucket) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(no_part(name)),
        (Some(unit), None) => {
            let unit = unit.as_str().and_then(TimeUnit::named);
            let unit = unit.ok_or_else(|| Error::bad_request("`truncate` takes a unit such as `MONTH`"))?;
            let shorter = matches!(unit, TimeUnit::Hour | TimeUnit::Minute);
            match field.scalar {
                Scalar::Date if shorter => {
                    wrong(format!("`{name}` is a Date, which has no hours; truncate it to `DAY` or longer"))
                }
                Scalar::DateTime | Scalar::Date => Ok(Some(Part::Truncated(unit))),
                _ => wrong(format!("`truncate` is for a DateTime or a Date, and `{name}` is neither")),
            }
        }
        (None, Some(width)) => {
            let width = if let Json::Number(text) = width { text.parse::<f64>().ok() } else { None };
            let width = width.unwrap_or(f64::NAN);
            match field.scalar {
                Scalar::Float if (1e-290..=1e290).contains(&width) => Ok(Some(Part::Float(width))),
                Scalar::Float => wrong(format!("a `bucket` of `{name}` is from 1e-290 to 1e290 wide")),
                Scalar::Int | Scalar::BigInt => match whole(width).filter(|width| *width > 0) {
                    Some(width) => Ok(Some(Part::Whole(width))),
                    None => wrong(format!(
                        "`{name}` has whole numbers: its `bucket` is a whole number from 1 to 2^53 wide"
                    )),
                },
                _ => wrong(format!("`bucket` is for numbers, and `{name}` is none")),
            }
        }
    }
}

/// A float that is a whole number which a float tells from its neighbours.
fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and up to 2^53")]
    exact.then_some(number as i64)
}

fn no_part(name: &str) -> Error {
    let text = format!("say by which part of `{name}` to group: either `truncate: MONTH` or `bucket: 10`");
    Error::bad_request(text)
}

fn not_grouped(name: &str) -> Error {
    let text = format!("rows are not grouped by this part of `{name}`; add it to `groupByPart`");
    Error::bad_request(text)
}

/// Finds the leaf in the order in which the schema gives names: of `a_b` and `a { b }` the first.
fn find_leaf<'a>(fields: &'a [Field], name: &str, path: &mut Vec<&'a str>) -> bool {
    for field in fields {
        path.push(&field.name);
        let found = match &field.kind {
            Kind::Scalar(Scalar::Json) | Kind::List(_) | Kind::Packed(_) | Kind::Map(_) => false,
            Kind::Scalar(_) => field.answers_to(name),
            Kind::Object(children) => field
                .names()
                .filter_map(|own| name.strip_prefix(own)?.strip_prefix('_'))
                .any(|rest| find_leaf(children, rest, path)),
        };
        if found {
            return true;
        }
        path.pop();
    }
    false
}
