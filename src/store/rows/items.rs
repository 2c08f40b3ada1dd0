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

impl Sql {
    /// Whether a list has an item, or a map an entry, for which this holds.
    pub(super) fn some_item(&mut self, list: &FieldRef, number: u32, when: &Filter) -> Result<String> {
        let items = self.elements(list);
        let condition = self.condition(when, false)?;
        let named = if list.list { named(self.dialect) } else { entries_named(self.dialect) };
        Ok(format!("exists (select 1 from {items} i{number}{named} where {condition})"))
    }

    /// How many items a list, or entries a map, has; null of null.
    pub(super) fn length(&self, list: &FieldRef) -> String {
        let text = self.text(list);
        match (self.dialect, list.list) {
            (_, false) => {
                format!(
                    "(case when {text} is not null then (select count(*) from {}) end)",
                    self.elements(list)
                )
            }
            (Dialect::Sqlite, true) => format!("json_array_length({text})"),
            (Dialect::Postgres, true) => format!("json_array_length(({text})::json)"),
        }
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

    /// The text of a list or map; null when it is not there.
    pub(super) fn text(&self, list: &FieldRef) -> String {
        let is = if list.list { "array" } else { "object" };
        match (self.dialect, &list.column) {
            (Dialect::Sqlite, ColumnRef::Item(number, _)) => {
                let item = format!("i{number}");
                match path(list) {
                    None => format!("case when {item}.type = '{is}' then {item}.value end"),
                    Some(path) => format!(
                        "case when json_type({item}.value, {path}) = '{is}' then json_extract({item}.value, {path}) end"
                    ),
                }
            }
            (Dialect::Postgres, ColumnRef::Item(number, _)) => {
                let within = list.path.iter().map(|name| format!("->{}", quoted(name))).collect::<String>();
                let value = format!("i{number}.value{within}");
                format!("case when json_typeof({value}) = '{is}' then {value} end")
            }
            (_, of) => self.named(of),
        }
    }

    /// The items of a list as a table, or the entries of a map.
    fn elements(&self, list: &FieldRef) -> String {
        let text = self.text(list);
        match (self.dialect, list.list, &list.column) {
            // Its other columns have names that columns of rows have.
            (Dialect::Sqlite, true, _) => format!("(select value, type from json_each({text}))"),
            (Dialect::Sqlite, false, _) => {
                format!("(select key as name, value, type from json_each({text}))")
            }
            (Dialect::Postgres, true, ColumnRef::Item(..)) => format!("json_array_elements({text})"),
            (Dialect::Postgres, false, ColumnRef::Item(..)) => format!("json_each({text})"),
            (Dialect::Postgres, list, _) => {
                let each = if list { "json_array_elements" } else { "json_each" };
                format!("{each}(({})::json)", readable(&text, '\u{1}'))
            }
        }
    }
}

/// The text of a column as PostgreSQL can read it, with another character for U+0000.
pub(super) fn readable(text: &str, stand_in: char) -> String {
    let code = u32::from(stand_in);
    let replaced = format!(r"regexp_replace({text}, {NUL}, '\1\\u{code:04x}', 'g')");
    format!("case when strpos({text}, '\\u0000') = 0 then {text} else {replaced} end")
}

/// The name of the only column of a list's items, where it must be given.
fn named(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "(value)",
    }
}

/// The same of a map's entries.
fn entries_named(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "",
        Dialect::Postgres => "(name, value)",
    }
}

/// The key of an entry.
pub(super) fn key(dialect: Dialect, number: u32) -> String {
    match dialect {
        Dialect::Sqlite => format!("i{number}.name"),
        Dialect::Postgres => format!("i{number}.name collate \"C\""),
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
                // It is only asked whether it is there.
                _ if field.list => value,
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
                _ if field.list => value,
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
