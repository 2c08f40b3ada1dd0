//! Schemas for async-graphql, which validates documents by them. A gate stops it before it executes anything: its
//! resolvers are never called. Must not know how fields are answered.

use std::{fmt, sync::Arc};

use async_graphql::{
    Response, Value,
    async_trait::async_trait,
    dynamic::{
        Enum, EnumItem, Field as DynField, FieldFuture, InputObject, InputValue, Object, Scalar, Schema,
        SchemaBuilder, Subscription, SubscriptionField, SubscriptionFieldFuture, TypeRef as DynRef, Union,
    },
    extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute},
};
use futures_util::stream;

use super::model::{Field, Input, Kind, Model, Type, TypeRef};
use crate::error::{Error, Result};
use crate::record::Json;

macro_rules! described {
    ($item:expr, $from:expr) => {
        match &$from.description {
            Some(text) => $item.description(text.as_str()),
            None => $item,
        }
    };
}

/// The same of a member, which may be deprecated.
macro_rules! member {
    ($item:expr, $from:expr) => {
        match &$from.deprecated {
            Some(reason) => described!($item, $from).deprecation(Some(reason)),
            None => described!($item, $from),
        }
    };
}

/// Registers a model.
///
/// # Errors
/// `INTERNAL` when the model is not a valid schema.
pub(super) fn register(model: &Model, recursion_max: usize) -> Result<Schema> {
    builder(model, recursion_max).extension(Gate).finish().map_err(|error| Error::internal(error.to_string()))
}

/// A model's schema without the gate.
pub(super) fn builder(model: &Model, recursion_max: usize) -> SchemaBuilder {
    let mutation = model.get("Mutation").map(|_| "Mutation");
    let subscription = model.get("Subscription").map(|_| "Subscription");
    let mut builder = Schema::build("Query", mutation, subscription)
        .disable_suggestions()
        .limit_recursive_depth(recursion_max);
    for ty in model.types() {
        builder = match &ty.kind {
            Kind::Scalar => builder.register(scalar(ty)),
            Kind::Enum(values) => {
                let items = values.iter().map(|value| {
                    let item = EnumItem::new(&*value.name);
                    member!(item, value)
                });
                let registered = Enum::new(&*ty.name).items(items);
                builder.register(described!(registered, ty))
            }
            Kind::Input(fields) => {
                let registered = fields.iter().fold(InputObject::new(&*ty.name), |o, f| o.field(input(f)));
                builder.register(described!(registered, ty))
            }
            Kind::Object(fields) if &*ty.name == "Subscription" => {
                let registered =
                    fields.iter().fold(Subscription::new(&*ty.name), |o, f| o.field(subscription_field(f)));
                builder.register(described!(registered, ty))
            }
            Kind::Union(types) => {
                let registered = types.iter().fold(Union::new(&*ty.name), |o, of| o.possible_type(&**of));
                builder.register(described!(registered, ty))
            }
            Kind::Object(fields) => {
                let registered = fields.iter().fold(Object::new(&*ty.name), |o, f| o.field(field(f)));
                builder.register(described!(registered, ty))
            }
        };
    }
    builder
}

fn scalar(ty: &Type) -> Scalar {
    let scalar = described!(Scalar::new(&*ty.name), ty);
    match &*ty.name {
        "DateTime" | "Date" | "UUID" => scalar.validator(|value| matches!(value, Value::String(_))),
        "BigInt" => scalar.validator(|value| matches!(value, Value::String(_) | Value::Number(_))),
        _ => scalar,
    }
}

fn input(from: &Input) -> InputValue {
    let value = member!(InputValue::new(&*from.name, reference(&from.ty)), from);
    match &from.default {
        Some(default) => value.default_value(constant(default)),
        None => value,
    }
}

fn field(from: &Field) -> DynField {
    let field = DynField::new(&*from.name, reference(&from.ty), |_| FieldFuture::Value(None));
    from.arguments.iter().fold(member!(field, from), |field, argument| field.argument(input(argument)))
}

fn subscription_field(from: &Field) -> SubscriptionField {
    let field = SubscriptionField::new(&*from.name, reference(&from.ty), |_| {
        SubscriptionFieldFuture::new(async { Ok(stream::empty::<async_graphql::Result<Value>>()) })
    });
    from.arguments.iter().fold(described!(field, from), |field, argument| field.argument(input(argument)))
}

fn reference(ty: &TypeRef) -> DynRef {
    match ty {
        TypeRef::Named(name) => DynRef::named(&**name),
        TypeRef::List(inner) => DynRef::List(Box::new(reference(inner))),
        TypeRef::NonNull(inner) => DynRef::NonNull(Box::new(reference(inner))),
    }
}

/// Defaults in our schemas are constants without structure.
fn constant(value: &Json) -> Value {
    match value {
        Json::Bool(value) => Value::Boolean(*value),
        Json::Number(text) => serde_json::from_str(text).map_or(Value::Null, Value::Number),
        Json::String(text) => Value::String(text.clone()),
        Json::Null | Json::Array(_) | Json::Object(_) => Value::Null,
    }
}

/// Lets a document be parsed and validated, and then answers null.
struct Gate;

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl ExtensionFactory for Gate {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Gate)
    }
}

#[async_trait]
impl Extension for Gate {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::new(Value::Null)
    }
}
