//! Conditions on what has no type of its own: values at paths of JSON. Must not know how they are decided.

use super::{Reader, members, text};
use crate::error::{Code, Error, Result};
use crate::query::{ColumnRef, Comparison, FieldRef, Filter, JsonPath, PathTest};
use crate::record::Json;
use crate::shape::{Field, Kind, Scalar};

impl Reader<'_> {
    /// The field of the collection that a column, or a part of its text, is of.
    fn shaped(&self, field: &FieldRef) -> Option<&Field> {
        match field.column.own() {
            ColumnRef::Field(id) | ColumnRef::Item(_, id) => self.collection.shape.field(*id),
            _ => None,
        }
    }

    /// Whether positions can be looked for in it.
    pub(super) fn is_position(&self, field: &FieldRef) -> bool {
        field.list && self.shaped(field).is_some_and(Field::is_position)
    }

    /// Whether it is a column that holds JSON of no single type. Others that are kept as JSON have fields, of which
    /// some may be hidden.
    pub(super) fn is_json(&self, field: &FieldRef) -> bool {
        let column = matches!(field.column.own(), ColumnRef::Field(_));
        column && self.shaped(field).is_some_and(|shaped| shaped.kind == Kind::Scalar(Scalar::Json))
    }

    /// The conditions on values at paths of a field, all of which must hold.
    pub(super) fn paths(&mut self, field: &FieldRef, value: &Json) -> Result<Filter> {
        let paths = self.list(value)?.iter().map(|one| self.path(field, one));
        Ok(Filter::all(paths.collect::<Result<Vec<_>>>()?))
    }

    fn path(&mut self, field: &FieldRef, value: &Json) -> Result<Filter> {
        let members = members(value, "path")?;
        let at = value.get("at").ok_or_else(|| Error::bad_request("`path` lacks `at`, such as `$.a.b`"))?;
        let path = self.parsed(at)?;
        let mut all = Vec::new();
        for (operator, constant) in members.iter().filter(|(name, _)| name != "at") {
            self.given(operator, "path", constant)?;
            all.push(self.tested((field, &path), operator, constant)?);
        }
        Ok(Filter::all(all))
    }

    fn tested(
        &mut self,
        (field, path): (&FieldRef, &JsonPath),
        operator: &str,
        constant: &Json,
    ) -> Result<Filter> {
        let is = |test| Filter::At(field.clone(), path.clone(), test);
        let compare = |comparison| PathTest::compare(comparison, constant).map(is);
        let but = |filter: Filter| Filter::all([is(PathTest::Exists), filter.opposite()]);
        Ok(match operator {
            "eq" => compare(Comparison::Eq)?,
            "ne" => but(compare(Comparison::Eq)?),
            "lt" => compare(Comparison::Lt)?,
            "lte" => compare(Comparison::Lte)?,
            "gt" => compare(Comparison::Gt)?,
            "gte" => compare(Comparison::Gte)?,
            "in" => is(PathTest::one_of(self.list(constant)?)?),
            "notIn" => but(is(PathTest::one_of(self.list(constant)?)?)),
            "like" => is(PathTest::matches(self.pattern("like", constant)?)?),
            "startsWith" => is(PathTest::begins(text(constant, "startsWith")?)?),
            "exists" => match constant {
                Json::Bool(true) => is(PathTest::Exists),
                Json::Bool(false) => is(PathTest::Exists).opposite(),
                _ => return Err(Error::bad_request("`exists` is true or false")),
            },
            other => {
                return Err(Error::bad_request(format!("there is no condition `{other}` for a `path`")));
            }
        })
    }

    fn parsed(&self, at: &Json) -> Result<JsonPath> {
        let path: JsonPath = self.pattern("at", at)?.parse()?;
        let steps_max = self.limits.nesting_max;
        if path.steps().len() > steps_max {
            let text = format!("an `at` has more steps than `graphql.nesting_max`, which is {steps_max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        Ok(path)
    }
}
