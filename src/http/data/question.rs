//! The question that a URL asks for rows. Must not know who asks.

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::graphql::{Ask, Past};
use crate::record::{self, Json, Limits};

/// What can be asked of a collection.
const OF_ROWS: &[&str] = &["where", "order", "first", "after", "fields", "minCursor", "asOf"];
/// What can be asked of the changes of a row.
const OF_CHANGES: &[&str] = &["sourceName", "sourceUid", "first", "after", "fields", "minCursor"];

/// The question, and what must have happened before the first page is read.
pub(super) type Question = (Ask, Option<String>);

/// What is asked of a collection.
///
/// # Errors
/// `BAD_REQUEST` that names the parameter; `TOO_LARGE`.
pub(super) fn of_rows(query: &str, config: &Config) -> Result<Question> {
    let mut given = parse(query, OF_ROWS, config)?;
    if let Some(at) = given.take("asOf") {
        given.ask.past = Some(Past::At(at));
    }
    // The cursor of a row is no field of it.
    given.ask.cursors = given.ask.fields.iter().any(|field| field == "_cursor");
    given.ask.fields.retain(|field| field != "_cursor");
    Ok((given.ask, given.min_cursor))
}

/// What is asked of the changes of a row.
///
/// # Errors
/// As [`of_rows`].
pub(super) fn of_changes(query: &str, config: &Config) -> Result<Question> {
    let mut given = parse(query, OF_CHANGES, config)?;
    let uid = given.take("sourceUid").ok_or_else(|| {
        Error::bad_request("say of which row: `sourceUid`, and `sourceName` where several sources have it")
    })?;
    given.ask.past = Some(Past::Of(uid, given.take("sourceName")));
    Ok((given.ask, given.min_cursor))
}

/// What a URL says.
#[derive(Default)]
struct Given {
    ask: Ask,
    min_cursor: Option<String>,
    /// Parameters that are texts.
    texts: Vec<(String, String)>,
}

impl Given {
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.texts.iter().position(|(given, _)| given == name)?;
        Some(self.texts.swap_remove(at).1)
    }
}

fn parse(query: &str, known: &[&str], config: &Config) -> Result<Given> {
    let bytes_max = config.graphql.body_bytes_max;
    if query.len() > bytes_max {
        let text = format!("the query is longer than {bytes_max} bytes; ask for less");
        return Err(Error::new(Code::TooLarge, text));
    }
    let (mut given, mut seen) = (Given::default(), Vec::new());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if seen.contains(&name) {
            return Err(Error::bad_request(format!("`{name}` is given twice")));
        }
        if !known.contains(&&*name) {
            let short: String = name.chars().take(100).collect();
            let text = format!("there is no parameter `{short}`; there are `{}`", known.join("`, `"));
            return Err(Error::bad_request(text));
        }
        match name.as_ref() {
            "where" => given.ask.filter = Some(filter(&value, config)?),
            "order" => given.ask.order = order(&value)?,
            "fields" => {
                let fields = value.split(',').map(str::trim).filter(|field| !field.is_empty());
                given.ask.fields.extend(fields.map(str::to_owned));
            }
            "first" => given.ask.first = Some(first(&value)?),
            "after" => given.ask.after = Some(value.into_owned()),
            "minCursor" => given.min_cursor = Some(value.into_owned()),
            name => given.texts.push((name.to_owned(), value.into_owned())),
        }
        seen.push(name);
    }
    Ok(given)
}

/// A number of rows; one that is larger than any collection is all of them.
fn first(text: &str) -> Result<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
    number.filter(|first| *first > 0).ok_or_else(|| {
        Error::bad_request("`first` is a number of rows, at least 1; leave it out for all rows")
    })
}

/// A filter as GraphQL has it, as JSON.
fn filter(text: &str, config: &Config) -> Result<Json> {
    let limits = Limits { depth_max: config.graphql.nesting_max, values_max: config.graphql.tokens_max };
    match record::parse(text.as_bytes(), limits) {
        Ok(filter @ Json::Object(_)) => Ok(filter),
        Ok(_) => Err(Error::bad_request("`where` is a JSON object such as `{\"state\":{\"eq\":\"AK\"}}`")),
        Err(error) => Err(Error::new(error.code(), format!("`where`: {}", error.message()))),
    }
}

/// `state,properties.mag:desc_nulls_first` as GraphQL has it.
fn order(text: &str) -> Result<Vec<Json>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (path, direction) = part.split_once(':').unwrap_or((part, "asc"));
            let direction = direction.to_ascii_uppercase();
            if !["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"].contains(&direction.as_str()) {
                let text = "`order` is a list such as `state,properties.mag:desc`; after the colon stands `asc`, \
                            `desc`, `asc_nulls_first` or `desc_nulls_first`";
                return Err(Error::bad_request(text));
            }
            let leaf = Json::String(direction);
            Ok(path.rsplit('.').fold(leaf, |below, name| Json::Object(vec![(name.to_owned(), below)])))
        })
        .collect()
}
