//! The arguments and the selection of an aggregate: names resolved, everything bounded.

use super::Compiler;
use super::selection;
use crate::error::{Code, Error, Result};
use crate::query::{Aggregate, Argument, FieldRef, Figure, Function, GroupField, Selected};
use crate::record::Json;
use crate::shape::{Field, Kind, Scalar};

impl Compiler<'_> {
    pub(super) fn aggregate(&mut self) -> Result<Aggregate> {
        let names = match self.argument("groupBy") {
            None => Vec::new(),
            Some(Json::Array(items)) => items.iter().map(Json::as_str).collect(),
            Some(single) => vec![single.as_str()],
        };
        let mut group_by: Vec<FieldRef> = Vec::with_capacity(names.len());
        for name in names {
            let name = name.ok_or_else(|| Error::bad_request("`groupBy` takes names of fields"))?;
            let field = self.leaf(name)?;
            if !group_by.contains(&field) {
                group_by.push(field);
            }
        }
        let max = self.limits.group_by_max;
        if group_by.len() > max {
            let text = format!("`groupBy` has more fields than `graphql.group_by_max`, which is {max}");
            return Err(Error::new(Code::TooComplex, text));
        }
        let mut fields = Vec::with_capacity(self.selected.children.len());
        for child in &self.selected.children {
            let figure = match child.name.as_str() {
                "__typename" => Figure::Typename(self.typename("Aggregate")),
                "count" => Figure::Count,
                "group" => Figure::Group(self.group(&child.children, &group_by)),
                "countDistinct" => {
                    self.function(Function::CountDistinct, "CountDistinct", &child.children)?
                }
                "sum" => self.function(Function::Sum, "Sum", &child.children)?,
                "avg" => self.function(Function::Avg, "Avg", &child.children)?,
                "min" => self.function(Function::Min, "Min", &child.children)?,
                "max" => self.function(Function::Max, "Max", &child.children)?,
                name => return Err(selection::unknown(name)),
            };
            fields.push((child.response_key.clone(), figure));
        }
        Ok(Aggregate { group_by, groups_max: self.limits.groups_max, fields })
    }

    /// Members of a group, each by any name of its field.
    fn group(&self, children: &[Selected], grouped: &[FieldRef]) -> Vec<(String, GroupField)> {
        let place = |name: &str| {
            let mut path = Vec::new();
            let found = find_leaf(&self.collection.shape.fields, name, &mut path);
            let field = self.collection.field(&path).filter(|_| found)?;
            grouped.iter().position(|known| known.column == field.column)
        };
        let field = |child: &Selected| match place(&child.name) {
            Some(place) => GroupField::Value(place),
            None if child.name == "__typename" => GroupField::Typename(self.typename("Group")),
            None => GroupField::Absent,
        };
        children.iter().map(|child| (child.response_key.clone(), field(child))).collect()
    }

    fn function(&mut self, function: Function, suffix: &str, children: &[Selected]) -> Result<Figure> {
        let mut arguments = Vec::with_capacity(children.len());
        for child in children {
            let argument = if child.name == "__typename" {
                Argument::Typename(self.typename(suffix))
            } else {
                let field = self.leaf(&child.name)?;
                let number = matches!(field.scalar, Scalar::Int | Scalar::BigInt | Scalar::Float);
                let fits = match function {
                    Function::CountDistinct => true,
                    Function::Sum | Function::Avg => number,
                    Function::Min | Function::Max => !matches!(field.scalar, Scalar::Boolean | Scalar::Uuid),
                };
                if !fits {
                    let text = format!("`{}` is not of a type that has this figure", child.name);
                    return Err(Error::bad_request(text));
                }
                Argument::Field(field)
            };
            arguments.push((child.response_key.clone(), argument));
        }
        Ok(Figure::Function(function, arguments))
    }

    /// The scalar leaf whose names, joined by `_`, are this.
    fn leaf(&mut self, name: &str) -> Result<FieldRef> {
        let mut path = Vec::new();
        if !find_leaf(&self.collection.shape.fields, name, &mut path) {
            return Err(selection::unknown(name));
        }
        self.collection.field_with(&path, &mut self.used.compared).ok_or_else(|| selection::unknown(name))
    }
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
