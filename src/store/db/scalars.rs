//! Conditions that SQLite's own functions cannot say exactly, on the texts of columns: they end texts at U+0000, and
//! read numbers to the last digit but one. Each asks what looks at values in memory, so that both say the same. No
//! index may be made of them: others open the database, too.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result};

use crate::query::{Area, JsonPath, like};
use crate::record::{Json, Limits, parse};

/// Adds `wellspring_within(list, west, south, east, north)`, `wellspring_near(list, longitude, latitude, meters)`,
/// `wellspring_is_at(json, path)`, the same with `text`, `number` and `boolean` for what is there, and
/// `wellspring_like(text, pattern)`. Of null they are null.
pub(super) fn add(connection: &Connection) -> Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("wellspring_within", 5, flags, |context| {
        let (west, south) = (context.get(1)?, context.get(2)?);
        within(context, Area::Box { west, south, east: context.get(3)?, north: context.get(4)? })
    })?;
    connection.create_scalar_function("wellspring_near", 4, flags, |context| {
        let (longitude, latitude) = (context.get(1)?, context.get(2)?);
        within(context, Area::Circle { longitude, latitude, meters: context.get(3)? })
    })?;
    connection.create_scalar_function("wellspring_is_at", 2, flags, |context| {
        at(context, |path, value| Some(path.is_there(value)))
    })?;
    connection.create_scalar_function("wellspring_text_at", 2, flags, |context| {
        at(context, |path, value| path.text(value).map(str::to_owned))
    })?;
    connection
        .create_scalar_function("wellspring_number_at", 2, flags, |context| at(context, JsonPath::number))?;
    connection.create_scalar_function("wellspring_boolean_at", 2, flags, |context| {
        at(context, JsonPath::boolean)
    })?;
    connection.create_scalar_function("wellspring_like", 2, flags, |context| {
        Ok(match (context.get_raw(0), context.get_raw(1)) {
            (ValueRef::Text(text), ValueRef::Text(pattern)) => Some(like(utf8(text)?, utf8(pattern)?)),
            _ => None,
        })
    })
}

fn within(context: &Context<'_>, area: Area) -> Result<Option<bool>> {
    Ok(json(context)?.map(|list| area.holds(&list)))
}

/// What a path leads to in the JSON before it.
fn at<T>(context: &Context<'_>, found: fn(&JsonPath, &Json) -> Option<T>) -> Result<Option<T>> {
    // It is read once for all rows.
    let path =
        context.get_or_create_aux(1, |path| path.as_str().map_err(crate::error::Error::internal)?.parse())?;
    Ok(json(context)?.and_then(|value| found(&path, &value)))
}

/// The JSON of the first argument.
fn json(context: &Context<'_>) -> Result<Option<Json>> {
    match context.get_raw(0) {
        ValueRef::Text(text) => {
            parse(text, Limits::ACCEPTED).map(Some).map_err(|error| Error::UserFunctionError(error.into()))
        }
        _ => Ok(None),
    }
}

fn utf8(text: &[u8]) -> Result<&str> {
    Ok(std::str::from_utf8(text)?)
}
