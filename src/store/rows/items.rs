//! Conditions on items of lists as SQL: a list is the JSON text of one column, or stands in an item of another. What
//! is said here must be what `query::Filter::eval` says. Texts are our own: typed, compact, with the names that are
//! stored.

use super::sql::Sql;
use crate::error::Result;
use crate::query::{ColumnRef, FieldRef, Filter, Literal};
use crate::shape::Scalar;
use crate::store::db::Dialect;

/// U+0000 as JSON has it, not behind a backslash of its own. Who reads a member of an object in PostgreSQL reads all of
/// them, and it reads no such text; ours have it only where nothing is compared, in what has no type.
const NUL: &str = r"'(?<!\\)((?:\\\\)*)\\u0000'";
const READABLE: &str = r"'\1\\u0001'";

impl Sql {
    /// Whether a list has an item for which this holds.
    pub(super) fn some_item(&mut self, list: &FieldRef, number: u32, when: &Filter) -> Result<String> {
        let items = self.elements(list);
        let condition = self.condition(when, false)?;
        Ok(format!("exists (select 1 from {items} {} where {condition})", alias(self.dialect, number)))
    }

    /// Whether a list of scalars has one of these items.
    pub(super) fn contains(&mut self, list: &FieldRef, literals: &[&Literal]) -> String {
        let marks: Vec<String> = literals.iter().map(|literal| self.item(list.scalar, literal)).collect();
        let item = match self.dialect {
            Dialect::Sqlite => "item.value",
            // The same float may stand there as several texts.
            Dialect::Postgres if list.scalar == Scalar::Float => {
                "nullif(item.value::text, 'null')::double precision"
            }
            Dialect::Postgres => "item.value::text",
        };
        let items = self.elements(list);
        format!(
            "exists (select 1 from {items} item{} where {item} in ({}))",
            named(self.dialect),
            marks.join(",")
        )
    }

    /// The items of a list, as a table.
    fn elements(&self, list: &FieldRef) -> String {
        match (self.dialect, &list.column) {
            (Dialect::Sqlite, ColumnRef::Item(number, _)) => {
                let item = format!("i{number}");
                match path(list) {
                    None => format!(
                        "(select value, type from json_each(case when {item}.type = 'array' then {item}.value end))"
                    ),
                    Some(path) => format!(
                        "(select value, type from json_each(case when json_type({item}.value, {path}) = 'array' \
                         then json_extract({item}.value, {path}) end))"
                    ),
                }
            }
            // Its other columns have names that columns of rows have.
            (Dialect::Sqlite, of) => format!("(select value, type from json_each({}))", self.named(of)),
            (Dialect::Postgres, ColumnRef::Item(number, _)) => {
                let within = list.path.iter().map(|name| format!("->{}", quoted(name))).collect::<String>();
                let value = format!("i{number}.value{within}");
                format!("json_array_elements(case when json_typeof({value}) = 'array' then {value} end)")
            }
            (Dialect::Postgres, of) => {
                let name = self.named(of);
                let readable = format!("regexp_replace({name}, {NUL}, {READABLE}, 'g')");
                let text = format!("case when strpos({name}, '\\u0000') = 0 then {name} else {readable} end");
                format!("json_array_elements(({text})::json)")
            }
        }
    }
}

/// The name of an item among the tables of a statement, with that of its only column.
fn alias(dialect: Dialect, number: u32) -> String {
    format!("i{number}{}", named(dialect))
}

fn named(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "(value)",
    }
}

/// A member of an item, or the item itself, as a value of its type.
pub(super) fn member(dialect: Dialect, number: u32, field: &FieldRef) -> String {
    match dialect {
        Dialect::Sqlite => {
            let value = match path(field) {
                None => format!("i{number}.value"),
                Some(path) => format!("json_extract(i{number}.value, {path})"),
            };
            match field.scalar {
                // A number, or its text when it is a BigInt.
                Scalar::Int | Scalar::BigInt => format!("cast({value} as integer)"),
                Scalar::Float => format!("cast({value} as real)"),
                _ => value,
            }
        }
        Dialect::Postgres => {
            let names: Vec<String> = field.path.iter().map(|name| quoted(name)).collect();
            let value = match names.split_last() {
                None => format!("(i{number}.value #>> '{{}}')"),
                Some((last, above)) => {
                    let above = above.iter().map(|name| format!("->{name}")).collect::<String>();
                    format!("(i{number}.value{above}->>{last})")
                }
            };
            match field.scalar {
                // What the text of an older shape has as a float would be no bigint.
                Scalar::Int | Scalar::BigInt => format!("cast({value} as numeric)"),
                Scalar::Float => format!("cast({value} as double precision)"),
                Scalar::Boolean => format!("cast({value} as boolean)"),
                Scalar::Json => value,
                _ => format!("{value} collate \"C\""),
            }
        }
    }
}

/// A path in SQLite's form, as a literal; none for the item itself.
fn path(field: &FieldRef) -> Option<String> {
    if field.path.is_empty() {
        return None;
    }
    let names: String = field.path.iter().map(|name| format!(".\"{name}\"")).collect();
    Some(quoted(&format!("${names}")))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
