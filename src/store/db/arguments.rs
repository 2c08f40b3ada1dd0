//! What PostgreSQL's statements are given: values one by one, or columns of many rows as arrays. Must not run anything.

use sqlx::{Arguments as _, postgres::PgArguments};

use super::{Type, Value};
use crate::error::{Error, Result};

pub(super) fn names(columns: &[(&str, Type)]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

pub(super) fn unnest(columns: &[(&str, Type)]) -> String {
    let arrays = columns.iter().enumerate();
    let arrays: Vec<String> =
        arrays.map(|(index, (_, kind))| format!("${}::{}[]", index + 1, type_name(*kind))).collect();
    format!("unnest({})", arrays.join(", "))
}

pub(super) fn with_rows(columns: &[(&str, Type)], sql: &str) -> String {
    format!("with u ({}) as (select * from {}) {sql}", names(columns), unnest(columns))
}

pub(super) fn arrays(columns: &[(&str, Type)], rows: Vec<Vec<Value>>) -> Result<PgArguments> {
    let mut lists: Vec<List> = columns.iter().map(|(_, kind)| List::new(*kind, rows.len())).collect();
    for row in rows {
        for (list, value) in lists.iter_mut().zip(row) {
            list.push(value)?;
        }
    }
    let mut arguments = PgArguments::default();
    for list in lists {
        list.add_to(&mut arguments)?;
    }
    Ok(arguments)
}

fn type_name(kind: Type) -> &'static str {
    match kind {
        Type::Bool => "boolean",
        Type::Int => "bigint",
        Type::Float => "double precision",
        Type::Text => "text",
        Type::Bytes => "bytea",
        Type::Uuid => "uuid",
    }
}

pub(super) fn arguments(params: &[Value]) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in params {
        match value {
            Value::Null(Type::Bool) => arguments.add(None::<bool>),
            Value::Null(Type::Int) => arguments.add(None::<i64>),
            Value::Null(Type::Float) => arguments.add(None::<f64>),
            Value::Null(Type::Text) => arguments.add(None::<&str>),
            Value::Null(Type::Bytes) => arguments.add(None::<&[u8]>),
            Value::Null(Type::Uuid) => arguments.add(None::<uuid::Uuid>),
            Value::Bool(bool) => arguments.add(*bool),
            Value::Int(int) => arguments.add(*int),
            Value::Float(float) => arguments.add(*float),
            Value::Text(text) => arguments.add(text.as_str()),
            Value::Bytes(bytes) => arguments.add(bytes.as_slice()),
            Value::Uuid(uuid) => arguments.add(*uuid),
            Value::List(kind, values) => {
                let mut list = List::new(*kind, values.len());
                values.iter().try_for_each(|value| list.push(value.clone()))?;
                list.add_to(&mut arguments)?;
                continue;
            }
        }
        .map_err(Error::internal)?;
    }
    Ok(arguments)
}

/// One column of many rows.
enum List {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Uuid(Vec<Option<uuid::Uuid>>),
}

impl List {
    fn new(kind: Type, capacity: usize) -> Self {
        match kind {
            Type::Bool => List::Bool(Vec::with_capacity(capacity)),
            Type::Int => List::Int(Vec::with_capacity(capacity)),
            Type::Float => List::Float(Vec::with_capacity(capacity)),
            Type::Text => List::Text(Vec::with_capacity(capacity)),
            Type::Bytes => List::Bytes(Vec::with_capacity(capacity)),
            Type::Uuid => List::Uuid(Vec::with_capacity(capacity)),
        }
    }

    fn push(&mut self, value: Value) -> Result<()> {
        match (self, value) {
            (List::Bool(list), Value::Bool(bool)) => list.push(Some(bool)),
            (List::Int(list), Value::Int(int)) => list.push(Some(int)),
            (List::Float(list), Value::Float(float)) => list.push(Some(float)),
            #[expect(clippy::cast_precision_loss, reason = "the column is a float")]
            (List::Float(list), Value::Int(int)) => list.push(Some(int as f64)),
            (List::Text(list), Value::Text(text)) => list.push(Some(text)),
            (List::Bytes(list), Value::Bytes(bytes)) => list.push(Some(bytes)),
            (List::Uuid(list), Value::Uuid(uuid)) => list.push(Some(uuid)),
            (List::Bool(list), Value::Null(_)) => list.push(None),
            (List::Int(list), Value::Null(_)) => list.push(None),
            (List::Float(list), Value::Null(_)) => list.push(None),
            (List::Text(list), Value::Null(_)) => list.push(None),
            (List::Bytes(list), Value::Null(_)) => list.push(None),
            (List::Uuid(list), Value::Null(_)) => list.push(None),
            _ => return Err(Error::internal("a value does not have its column's type")),
        }
        Ok(())
    }

    fn add_to(self, arguments: &mut PgArguments) -> Result<()> {
        match self {
            List::Bool(list) => arguments.add(list),
            List::Int(list) => arguments.add(list),
            List::Float(list) => arguments.add(list),
            List::Text(list) => arguments.add(list),
            List::Bytes(list) => arguments.add(list),
            List::Uuid(list) => arguments.add(list),
        }
        .map_err(Error::internal)
    }
}
