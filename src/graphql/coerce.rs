//! Input coercion: values of variables against their types, exactly; number texts survive. What a document
//! says with variables open is a [`Template`] that each request fills. Must not know what arguments mean.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationDefinition;

use super::literals::{Declared, Literals};
use super::model::{Input, Kind, Model, TypeRef};
use crate::error::{Error, Result};
use crate::record::Json;

/// Coerced variables of one request; those that were neither given nor have a default are absent.
pub(super) type Variables = HashMap<Arc<str>, Json>;

/// An argument or a member: its name, its value, and what it is when its variable is absent.
pub(super) type Member = (Arc<str>, Template, Option<Json>);

/// An argument's value, as far as it is known before the variables are.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Template {
    /// Known.
    Constant(Json),
    /// A variable, and whether null is refused in its place.
    Variable(Arc<str>, bool),
    /// Items, some of them with variables.
    List(Vec<Template>),
    /// Members, some of them with variables.
    Object(Vec<Member>),
}

impl Template {
    /// The value; `None` when it is a variable that is absent.
    ///
    /// # Errors
    /// `BAD_REQUEST` when a variable is null where null is refused.
    pub(super) fn fill(&self, variables: &Variables) -> Result<Option<Json>> {
        match self {
            Template::Constant(value) => Ok(Some(value.clone())),
            Template::Variable(name, required) => match variables.get(name) {
                Some(Json::Null) | None if *required => {
                    Err(Error::bad_request(format!("the variable `${name}` must have a value here")))
                }
                value => Ok(value.cloned()),
            },
            Template::List(items) => {
                let items = items.iter().map(|item| Ok(item.fill(variables)?.unwrap_or(Json::Null)));
                Ok(Some(Json::Array(items.collect::<Result<_>>()?)))
            }
            Template::Object(members) => {
                let mut object = Vec::with_capacity(members.len());
                for (name, template, default) in members {
                    if let Some(value) = template.fill(variables)?.or_else(|| default.clone()) {
                        object.push((name.to_string(), value));
                    }
                }
                Ok(Some(Json::Object(object)))
            }
        }
    }

    pub(super) fn constant(&self) -> Option<&Json> {
        match self {
            Template::Constant(value) => Some(value),
            _ => None,
        }
    }
}

/// Coerces the variables of an operation.
///
/// # Errors
/// `BAD_REQUEST` that names the variable and what it must be.
pub(super) fn variables(
    model: &Model,
    operation: &OperationDefinition,
    given: &[(String, Json)],
) -> Result<Variables> {
    let mut coerced = Variables::with_capacity(operation.variable_definitions.len());
    for definition in &operation.variable_definitions {
        let name = definition.node.name.node.as_str();
        let ty = TypeRef::from_parsed(&definition.node.var_type.node);
        // The last of equal names wins, as in JSON parsers at large.
        let value = match given.iter().rev().find(|(given, _)| given == name) {
            Some((_, value)) => value_of(model, &ty, value, &mut Path::root(&format!("${name}")))?,
            None => match &definition.node.default_value {
                Some(default) => {
                    let none = Declared::new();
                    let default = default.node.clone().into_value();
                    let check = Literals { model, declared: &none };
                    let template = check.template(&ty, &default, &mut Path::root(&format!("${name}")))?;
                    template.fill(&Variables::new())?.unwrap_or(Json::Null)
                }
                None if ty.is_required() => {
                    return Err(Error::bad_request(format!(
                        "the variable `${name}` of type `{ty}` is missing"
                    )));
                }
                None => continue,
            },
        };
        coerced.insert(name.into(), value);
    }
    Ok(coerced)
}

/// Where in an input value something is, for messages.
pub(super) struct Path(String);

impl Path {
    pub(super) fn root(name: &str) -> Self {
        Path(name.to_owned())
    }

    pub(super) fn inside<T>(
        &mut self,
        step: std::fmt::Arguments<'_>,
        then: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let length = self.0.len();
        self.0.push_str(&step.to_string());
        let out = then(self);
        self.0.truncate(length);
        out
    }

    pub(super) fn expected(&self, ty: &TypeRef) -> Error {
        Error::bad_request(format!("`{}` must be of type `{ty}`", self.0))
    }

    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::bad_request(format!("`{}` {what}", self.0))
    }
}

/// Coerces a JSON value to a type.
pub(super) fn value_of(model: &Model, ty: &TypeRef, value: &Json, path: &mut Path) -> Result<Json> {
    match (ty, value) {
        (TypeRef::NonNull(_), Json::Null) => {
            Err(path.wrong(format_args!("must not be null: its type is `{ty}`")))
        }
        (TypeRef::NonNull(inner), value) => value_of(model, inner, value, path),
        (_, Json::Null) => Ok(Json::Null),
        (TypeRef::List(inner), Json::Array(items)) => {
            let mut list = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                list.push(path.inside(format_args!("[{index}]"), |path| value_of(model, inner, item, path))?);
            }
            Ok(Json::Array(list))
        }
        (TypeRef::List(inner), one) => Ok(Json::Array(vec![value_of(model, inner, one, path)?])),
        (TypeRef::Named(name), value) => match model.get(name).map(|ty| &ty.kind) {
            Some(Kind::Enum(values)) => match value {
                Json::String(text) if values.iter().any(|value| *value.name == **text) => Ok(value.clone()),
                _ => Err(path.wrong(format_args!("must be a value of the enum `{ty}`")).perhaps_stale()),
            },
            Some(Kind::Input(fields)) => object(model, fields, value, ty, path),
            _ => scalar(name, value).ok_or_else(|| path.expected(ty)),
        },
    }
}

fn object(model: &Model, fields: &[Input], value: &Json, ty: &TypeRef, path: &mut Path) -> Result<Json> {
    let Json::Object(members) = value else { return Err(path.expected(ty)) };
    let mut object = Vec::with_capacity(members.len());
    for (index, (name, value)) in members.iter().enumerate() {
        let field = known(fields, name, ty, path)?;
        if members.iter().take(index).any(|(earlier, _)| earlier == name) {
            return Err(path.wrong(format_args!("has `{name}` twice; keep one")));
        }
        let value = path.inside(format_args!(".{name}"), |path| value_of(model, &field.ty, value, path))?;
        object.push((name.clone(), value));
    }
    for field in fields.iter().filter(|field| members.iter().all(|(name, _)| **name != *field.name)) {
        match &field.default {
            Some(default) => object.push((field.name.to_string(), default.clone())),
            None => missing(field, path)?,
        }
    }
    Ok(Json::Object(object))
}

pub(super) fn known<'a>(fields: &'a [Input], name: &str, ty: &TypeRef, path: &Path) -> Result<&'a Input> {
    fields.iter().find(|field| &*field.name == name).ok_or_else(|| {
        let hint = nearest(name, fields.iter().map(|field| &*field.name));
        path.wrong(format_args!("has `{}`, which `{ty}` has not{hint}", short(name))).perhaps_stale()
    })
}

pub(super) fn missing(field: &Input, path: &Path) -> Result<()> {
    if field.ty.is_required() {
        return Err(path.wrong(format_args!("lacks `{}` of type `{}`", field.name, field.ty)));
    }
    Ok(())
}

/// Names in messages are cut: a client may have sent a megabyte.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(64) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// `; did you mean …?`, or nothing. The candidates must all be within the caller's scope.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let best = candidates
        .map(|candidate| (likeness(name, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((likeness, candidate)) if likeness > 0.0 => format!("; did you mean `{candidate}`?"),
        _ => String::new(),
    }
}

/// How much a name is like another, up to 1; 0 when it is not.
pub(super) fn likeness(name: &str, candidate: &str) -> f64 {
    if name.len() > 64 {
        return 0.0;
    }
    let likeness = strsim::jaro_winkler(name, candidate);
    if likeness > 0.8 { likeness } else { 0.0 }
}

/// A scalar in its canonical form; `None` when it is not of this type.
pub(super) fn scalar(name: &str, value: &Json) -> Option<Json> {
    match (name, value) {
        ("JSON", value) => Some(value.clone()),
        ("String" | "DateTime" | "Date" | "UUID" | "ID", Json::String(_)) | ("Boolean", Json::Bool(_)) => {
            Some(value.clone())
        }
        ("Int", Json::Number(text)) => {
            let number = whole(text).and_then(|text| text.parse::<i32>().ok())?;
            Some(Json::Number(number.to_string().into()))
        }
        ("Float", Json::Number(text)) => {
            text.parse::<f64>().is_ok_and(f64::is_finite).then(|| Json::Number(text.clone()))
        }
        ("ID", Json::Number(text)) => Some(Json::String(whole(text)?)),
        ("BigInt", Json::Number(text)) => Some(Json::Number(whole(text)?.into())),
        ("BigInt", Json::String(text)) => Some(Json::Number(whole(text)?.into())),
        _ => None,
    }
}

/// A whole number's text without sign or point that say nothing.
fn whole(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i128>().ok().map(|number| number.to_string());
    }
    let number: f64 = text.parse().ok()?;
    // Beyond 2^53 a float does not say which whole number is meant.
    let kept =
        text.contains(['.', 'e', 'E']) && number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    kept.then(|| format!("{number:.0}"))
}
