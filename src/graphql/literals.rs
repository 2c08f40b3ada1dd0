//! Literals of a document against their types, checked once when the document is compiled; variables in them
//! stay open, and are checked for whether their declared types may stand where they stand. (The library's own
//! rule for that is wrong for lists, and its rules do not look into literals that have variables in them.)

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Positioned;
use async_graphql::parser::types::OperationDefinition;
use async_graphql_value::{Name, Value};

use super::coerce::{Member, Path, Template, known, missing, nearest, scalar, short};
use super::model::{Input, Kind, Model, TypeRef, literal};
use crate::error::Result;
use crate::record::Json;

/// Types of an operation's variables, and whether they have a default other than null.
pub(super) type Declared = HashMap<Arc<str>, (TypeRef, bool)>;

/// The variables that an operation declares.
pub(super) fn declared(operation: &OperationDefinition) -> Declared {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    definitions
        .map(|definition| {
            let ty = TypeRef::from_parsed(&definition.var_type.node);
            let default = definition.default_value.as_ref();
            let given = default.is_some_and(|default| default.node != async_graphql::Value::Null);
            (definition.name.node.as_str().into(), (ty, given))
        })
        .collect()
}

/// What literals are checked against.
pub(super) struct Literals<'a> {
    /// The types.
    pub(super) model: &'a Model,
    /// The variables.
    pub(super) declared: &'a Declared,
}

impl Literals<'_> {
    /// The arguments of a field: what is given, and defaults for what is not.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names the argument and what it must be.
    pub(super) fn arguments(
        &self,
        defined: &[Input],
        given: &[(Positioned<Name>, Positioned<Value>)],
    ) -> Result<Vec<Member>> {
        let mut arguments = Vec::with_capacity(defined.len());
        for input in defined {
            let found = given.iter().find(|(name, _)| name.node.as_str() == &*input.name);
            match (found, &input.default) {
                (Some((_, value)), default) => {
                    let template = self.place(
                        &input.ty,
                        input.default.is_some(),
                        &value.node,
                        &mut Path::root(&input.name),
                    )?;
                    arguments.push((input.name.clone(), template, default.clone()));
                }
                (None, Some(default)) => {
                    arguments.push((input.name.clone(), Template::Constant(default.clone()), None));
                }
                (None, None) => {}
            }
        }
        Ok(arguments)
    }

    fn declared(&self, name: &Name, path: &Path) -> Result<&(TypeRef, bool)> {
        let unknown = || path.wrong(format_args!("uses `${}`, which is not declared", short(name)));
        self.declared.get(name.as_str()).ok_or_else(unknown)
    }

    /// A value in a place that may have a default of its own.
    fn place(&self, ty: &TypeRef, has_default: bool, value: &Value, path: &mut Path) -> Result<Template> {
        let Value::Variable(name) = value else { return self.template(ty, value, path) };
        let (declared, given) = self.declared(name, path)?;
        // A default stands in for an absent variable, so that a nullable one may be used where null is
        // refused.
        let wanted = if *given || has_default { ty.nullable() } else { ty };
        if !fits(declared, wanted) {
            return Err(path.wrong(format_args!(
                "is of type `{ty}`, and the variable `${name}` of type `{declared}` does not fit"
            )));
        }
        Ok(Template::Variable(name.as_str().into(), ty.is_required()))
    }

    /// Checks a literal against a type; variables in it stay open.
    pub(super) fn template(&self, ty: &TypeRef, value: &Value, path: &mut Path) -> Result<Template> {
        match (ty, value) {
            (_, Value::Variable(_)) => self.place(ty, false, value, path),
            (TypeRef::NonNull(_), Value::Null) => {
                Err(path.wrong(format_args!("must not be null: its type is `{ty}`")))
            }
            (TypeRef::NonNull(inner), value) => self.template(inner, value, path),
            (_, Value::Null) => Ok(Template::Constant(Json::Null)),
            (TypeRef::List(inner), Value::List(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    list.push(
                        path.inside(format_args!("[{index}]"), |path| self.template(inner, item, path))?,
                    );
                }
                Ok(settled(list))
            }
            (TypeRef::List(inner), one) => Ok(settled(vec![self.template(inner, one, path)?])),
            (TypeRef::Named(name), value) => match (self.model.get(name).map(|ty| &ty.kind), value) {
                (Some(Kind::Enum(values)), Value::Enum(given)) => {
                    if values.iter().any(|value| *value.name == *given.as_str()) {
                        return Ok(Template::Constant(Json::String(given.to_string())));
                    }
                    let hint = nearest(given, values.iter().map(|value| &*value.name));
                    Err(path.wrong(format_args!("must be a value of the enum `{ty}`{hint}")).perhaps_stale())
                }
                (Some(Kind::Enum(_)), _) => {
                    Err(path.wrong(format_args!("must be a value of the enum `{ty}`")))
                }
                (Some(Kind::Input(fields)), value) => self.object(fields, value, ty, path),
                _ if &**name == "JSON" => self.any(value, path),
                (_, Value::Enum(_)) => Err(path.expected(ty)),
                (_, value) => {
                    let plain = value.clone().into_const().map(|value| literal(&value)).unwrap_or(Json::Null);
                    scalar(name, &plain).map(Template::Constant).ok_or_else(|| path.expected(ty))
                }
            },
        }
    }

    fn object(&self, fields: &[Input], value: &Value, ty: &TypeRef, path: &mut Path) -> Result<Template> {
        let Value::Object(members) = value else { return Err(path.expected(ty)) };
        let mut object = Vec::with_capacity(members.len());
        for (name, value) in members {
            let field = known(fields, name, ty, path)?;
            let value = path.inside(format_args!(".{name}"), |path| {
                self.place(&field.ty, field.default.is_some(), value, path)
            })?;
            object.push((field.name.clone(), value, field.default.clone()));
        }
        for field in fields.iter().filter(|field| !members.contains_key(&*field.name)) {
            match &field.default {
                Some(default) => object.push((field.name.clone(), Template::Constant(default.clone()), None)),
                None => missing(field, path)?,
            }
        }
        Ok(settled_object(object))
    }

    /// A literal of type `JSON`, whatever it is.
    fn any(&self, value: &Value, path: &mut Path) -> Result<Template> {
        Ok(match value {
            Value::Variable(name) => {
                self.declared(name, path)?;
                Template::Variable(name.as_str().into(), false)
            }
            Value::List(items) => {
                settled(items.iter().map(|item| self.any(item, path)).collect::<Result<_>>()?)
            }
            Value::Object(members) => {
                let member =
                    |(name, value): (&Name, &Value)| Ok((name.as_str().into(), self.any(value, path)?, None));
                settled_object(members.iter().map(member).collect::<Result<_>>()?)
            }
            other => {
                let plain = other.clone().into_const().map(|value| literal(&value)).unwrap_or(Json::Null);
                Template::Constant(plain)
            }
        })
    }
}

/// Whether every value of `variable` is one of `place`.
fn fits(variable: &TypeRef, place: &TypeRef) -> bool {
    match (variable, place) {
        (TypeRef::NonNull(variable), TypeRef::NonNull(place)) => fits(variable, place),
        (_, TypeRef::NonNull(_)) => false,
        (TypeRef::NonNull(variable), place) => fits(variable, place),
        (TypeRef::List(variable), TypeRef::List(place)) => fits(variable, place),
        (TypeRef::Named(variable), TypeRef::Named(place)) => variable == place,
        _ => false,
    }
}

/// A list, as a constant when all its items are.
fn settled(items: Vec<Template>) -> Template {
    match items.iter().map(|item| item.constant().cloned()).collect::<Option<Vec<_>>>() {
        Some(items) => Template::Constant(Json::Array(items)),
        None => Template::List(items),
    }
}

fn settled_object(members: Vec<Member>) -> Template {
    let constant =
        |(name, value, _): &Member| value.constant().map(|value| (name.to_string(), value.clone()));
    match members.iter().map(constant).collect::<Option<Vec<_>>>() {
        Some(members) => Template::Constant(Json::Object(members)),
        None => Template::Object(members),
    }
}
