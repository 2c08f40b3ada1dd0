//! The parameters of a GraphQL request as every transport carries them: `query` or `documentId`, `operationName`,
//! `variables`, `extensions`. Variables are parsed exactly, so that the digits of a number survive.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::graphql::Asked;
use crate::record::{self, Json, Limits};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    #[serde(borrow, default)]
    query: Option<&'a RawValue>,
    #[serde(borrow, default)]
    document_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

/// What of `extensions` is understood; others are left alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    #[serde(default)]
    persisted_query: Option<PersistedQuery>,
}

/// How clients of automatic persisted queries name a document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PersistedQuery {
    version: i64,
    sha256_hash: String,
}

/// The parameters of a JSON text, a request body or a socket's payload.
///
/// # Errors
/// `BAD_REQUEST` that names the parameter.
pub(super) fn from_json(bytes: &[u8], config: &Config) -> Result<Asked> {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'[') => {
            return Err(Error::bad_request("batches are not served; send each operation in its own request"));
        }
        _ => return Err(Error::bad_request("the body must be a JSON object with `query`")),
    }
    let parts: Parts<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Error::bad_request(format!("the body is not JSON that can be read: {error}")))?;
    about(Asked {
        query: text("query", parts.query)?,
        document_id: text("documentId", parts.document_id)?,
        sha256: extensions(parts.extensions.map(RawValue::get))?,
        operation_name: text("operationName", parts.operation_name)?,
        variables: variables(parts.variables.map(RawValue::get), config)?,
    })
}

/// The parameters of a URL's query.
///
/// # Errors
/// `BAD_REQUEST` that names the parameter.
pub(super) fn from_url(url_query: &str, config: &Config) -> Result<Asked> {
    let (mut query, mut operation_name, mut variables, mut extensions) = (None, None, None, None);
    let mut document_id = None;
    for (name, value) in url::form_urlencoded::parse(url_query.as_bytes()) {
        let place = match name.as_ref() {
            "query" => &mut query,
            "documentId" => &mut document_id,
            "operationName" => &mut operation_name,
            "variables" => &mut variables,
            "extensions" => &mut extensions,
            _ => continue,
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(Error::bad_request(format!("`{name}` is given twice")));
        }
    }
    about(Asked {
        query,
        document_id: document_id.filter(|id| !id.is_empty()),
        sha256: self::extensions(extensions.as_deref().filter(|text| !text.is_empty()))?,
        operation_name: operation_name.filter(|name| !name.is_empty()),
        variables: self::variables(variables.as_deref().filter(|text| !text.is_empty()), config)?,
    })
}

/// Refuses what names no document.
fn about(asked: Asked) -> Result<Asked> {
    if asked.query.is_none() && asked.document_id.is_none() && asked.sha256.is_none() {
        return Err(Asked::nameless());
    }
    Ok(asked)
}

fn text(name: &str, raw: Option<&RawValue>) -> Result<Option<String>> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(|_| Error::bad_request(format!("`{name}` must be a text")))
}

/// The hash by which the document is named or registered.
fn extensions(raw: Option<&str>) -> Result<Option<String>> {
    let Some(raw) = raw.filter(|raw| raw.trim() != "null") else { return Ok(None) };
    if !raw.trim_start().starts_with('{') {
        return Err(Error::bad_request("`extensions` must be an object"));
    }
    let read: Extensions = serde_json::from_str(raw).map_err(|error| {
        let text = "`extensions.persistedQuery` is `{\"version\": 1, \"sha256Hash\": \"…\"}`";
        Error::bad_request(format!("{text}: {error}"))
    })?;
    match read.persisted_query {
        Some(query) if query.version != 1 => {
            Err(Error::bad_request("`extensions.persistedQuery` is understood in version 1"))
        }
        query => Ok(query.map(|query| query.sha256_hash)),
    }
}

fn variables(raw: Option<&str>, config: &Config) -> Result<Vec<(String, Json)>> {
    let Some(raw) = raw.filter(|raw| raw.trim() != "null") else { return Ok(Vec::new()) };
    if !raw.trim_start().starts_with('{') {
        return Err(Error::bad_request("`variables` must be an object"));
    }
    // A record in a variable stands some levels below the variables themselves.
    let limits = Limits {
        depth_max: config.sourcing.depth_max.saturating_add(8),
        values_max: config.sourcing.values_max,
    };
    match record::parse(raw.as_bytes(), limits) {
        Ok(Json::Object(members)) => Ok(members),
        Ok(_) => Err(Error::bad_request("`variables` must be an object")),
        Err(error) if error.code() == Code::BadRequest => {
            Err(Error::bad_request(format!("`variables`: {}", error.message())))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    fn of(body: &str) -> Result<Asked> {
        from_json(body.as_bytes(), &Config::default())
    }

    #[test]
    fn a_request_has_its_parts() {
        let request =
            of(r#"{"query":"{a}","operationName":"A","variables":null,"extensions":{},"id":1}"#).unwrap();
        assert_eq!((request.query.as_deref(), request.operation_name.as_deref()), (Some("{a}"), Some("A")));
        let request = from_url("query=%7Ba%7D&operationName=&variables=", &Config::default()).unwrap();
        assert_eq!((request.query.as_deref(), request.operation_name), (Some("{a}"), None));
    }

    #[test]
    fn a_document_is_named_by_id_or_hash() {
        let hash = r#"{"persistedQuery":{"version":1,"sha256Hash":"ab"},"other":[]}"#;
        let asked = of(&format!(r#"{{"documentId":"o1","extensions":{hash}}}"#)).unwrap();
        assert_eq!((asked.document_id.as_deref(), asked.sha256.as_deref()), (Some("o1"), Some("ab")));
        let mut url = url::form_urlencoded::Serializer::new(String::new());
        url.append_pair("documentId", "o1").append_pair("extensions", hash);
        let asked = from_url(&url.finish(), &Config::default()).unwrap();
        assert_eq!((asked.document_id.as_deref(), asked.sha256.as_deref()), (Some("o1"), Some("ab")));
        assert_eq!(asked.query, None);
    }

    #[test]
    fn variables_keep_their_digits() {
        let request = of(r#"{"query":"{a}","variables":{"n":1.10e400}}"#).unwrap();
        assert_eq!(request.variables, [("n".to_owned(), Json::Number("1.10e400".into()))]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("", "JSON object"),
            ("[{}]", "batches"),
            ("{", "not JSON"),
            ("{}", "`query` is missing"),
            (r#"{"query":1}"#, "`query` must"),
            (r#"{"query":"a","operationName":[]}"#, "`operationName`"),
            (r#"{"query":"a","variables":[]}"#, "`variables`"),
            (r#"{"query":"a","variables":"{}"}"#, "`variables`"),
            (r#"{"query":"a","extensions":0}"#, "`extensions`"),
            (r#"{"extensions":{"persistedQuery":{}}}"#, "`extensions.persistedQuery`"),
            (r#"{"extensions":{"persistedQuery":{"version":2,"sha256Hash":""}}}"#, "version 1"),
            (r#"{"documentId":1}"#, "`documentId`"),
            (r#"{"query":"a","query":"b"}"#, "duplicate"),
        ];
        for (body, expected) in cases {
            let error = of(body).unwrap_err();
            assert!(error.message().contains(expected), "{body}: {error}");
        }
        assert!(from_url("query=a&query=b", &Config::default()).unwrap_err().message().contains("twice"));
        assert!(from_url("variables=%7B%7D", &Config::default()).unwrap_err().message().contains("`query`"));
    }
}
