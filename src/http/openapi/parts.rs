//! What paths of the document share: who asks, how refusals look, parameters and headers that many routes have.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::Code;
use crate::graphql::SCHEMAS;

/// The schema of a refusal's body; a name that no type can have.
const ERROR: &str = "rest.Error";
/// The schema of what a batch is answered with.
pub(super) const BATCH: &str = "rest.Batch";

/// Statuses that HTTP has for requests whose code is `BAD_REQUEST`.
const OTHERS: [(u16, &str); 3] = [
    (405, "The route does not take that method."),
    (406, "Nothing that `Accept` names can be given."),
    (415, "The `Content-Type` is not read."),
];

pub(super) fn info() -> Value {
    json!({
        "title": "Wellspring",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "Rows and sources by REST, as you see them.",
        "description": "Collections and fields are those that you see now, under your contract if you have one. \
            Another document comes with whatever is published next; `ETag` tells.",
        "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
    })
}

pub(super) fn security() -> Value {
    json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token, or an API key."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key, `wsk_…`."},
    })
}

/// A reference to a part of the document.
pub(super) fn part(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

pub(super) fn schema(name: &str) -> Value {
    json!({"$ref": format!("{SCHEMAS}{name}")})
}

/// Responses with these statuses, all of them refusals.
pub(super) fn refusals(statuses: &[u16]) -> Map<String, Value> {
    statuses.iter().map(|status| (status.to_string(), part("responses", &format!("Error{status}")))).collect()
}

/// The statuses of what every route but those for machines can say, whatever is asked.
pub(super) const ANY: [u16; 6] = [400, 401, 429, 500, 503, 504];

/// These beside [`ANY`].
pub(super) fn any_and(more: &[u16]) -> Map<String, Value> {
    refusals(&[&ANY[..], more].concat())
}

/// Each refusal's response, by its name.
pub(super) fn responses() -> Vec<(String, Value)> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in Code::ALL {
        by_status.entry(code.http_status()).or_default().push(code.as_str());
    }
    let of_codes = by_status.into_iter().map(|(status, codes)| {
        let text: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
        (status, text.join(" or "), codes)
    });
    let others = OTHERS.map(|(status, text)| (status, text.to_owned(), vec![Code::BadRequest.as_str()]));
    of_codes
        .chain(others)
        .map(|(status, text, codes)| (format!("Error{status}"), refusal(status, &text, &codes)))
        .collect()
}

fn refusal(status: u16, description: &str, codes: &[&str]) -> Value {
    let mut headers = json!({"X-Request-Id": header("The id under which the log knows the request.")});
    let more: &[(&str, &str)] = match status {
        401 => &[("WWW-Authenticate", "How to say who asks.")],
        429 | 503 => &[("Retry-After", "After how many seconds to try again.")],
        405 => &[("Allow", "The methods that the route takes.")],
        _ => &[],
    };
    if let Some(headers) = headers.as_object_mut() {
        headers.extend(more.iter().map(|(name, text)| ((*name).to_owned(), header(text))));
    }
    let code = json!({"properties": {"error": {"properties": {"code": {"enum": codes}}}}});
    let body = json!({"allOf": [schema(ERROR), code]});
    json!({
        "description": description,
        "headers": headers,
        "content": {"application/json": {"schema": body}},
    })
}

/// A header that is a text.
pub(super) fn header(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}

/// Schemas that routes share, with that of a receipt.
pub(super) fn schemas(receipt: BTreeMap<String, Value>, bound: bool) -> Vec<(String, Value)> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let wait = json!({"type": "integer", "minimum": 0, "description": "After how long to try again, in milliseconds."});
    let text = |description: &str| json!({"type": "string", "description": description});
    let error = json!({
        "type": "object",
        "properties": {
            "code": {"type": "string", "enum": codes, "description": "For programs."},
            "message": text("For people: what to do."),
            "requestId": text("The id under which the log knows the request."),
            "retryAfterMs": wait,
        },
        "required": ["code", "message", "requestId"],
        "additionalProperties": false,
    });
    let refused = json!({
        "type": "object",
        "description": "Why there is no other answer.",
        "properties": {"error": error},
        "required": ["error"],
        "additionalProperties": false,
    });
    let mut all = vec![(ERROR.to_owned(), refused)];
    if bound {
        return all;
    }
    let count = |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    let rejected = json!({
        "type": "object",
        "properties": {
            "index": count("Which document of the body, from 0."),
            "code": {"type": "string", "enum": codes, "description": "For programs."},
            "message": text("For people: what to do."),
            "retryAfterMs": wait,
        },
        "required": ["index", "code", "message"],
        "additionalProperties": false,
    });
    let batch = json!({
        "type": "object",
        "description": "What has become of a batch: each document is accepted or rejected alone.",
        "properties": {
            "accepted": count("How many were accepted."),
            "rejected": {"type": "array", "items": rejected, "description": "The first that were not, and why."},
            "rejectedTotal": count("How many were not."),
            "receipts": {"type": "array", "items": schema("Receipt"), "description": "Of the first that were."},
        },
        "required": ["accepted", "rejected", "rejectedTotal", "receipts"],
        "additionalProperties": false,
    });
    all.push((BATCH.to_owned(), batch));
    for (name, mut schema) in receipt {
        if name == "Receipt"
            && let Some(members) = schema.as_object_mut()
        {
            members.insert("required".into(), json!(super::routes::RECEIPT));
        }
        all.push((name, schema));
    }
    all
}

/// A name that a source gives: bytes are what is bounded, so that of other than ASCII letters fewer fit.
pub(super) fn name(bytes_max: usize) -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": bytes_max, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
        "description": format!("At most {bytes_max} bytes, no control characters."),
    })
}

/// A parameter; `place` is `path`, `query` or `header`.
pub(super) fn parameter(name: &str, place: &str, schema: Value, description: &str) -> Value {
    json!({"name": name, "in": place, "schema": schema, "description": description})
}

/// Parameters that several routes have, by their names in the document.
pub(super) fn parameters() -> Vec<(String, Value)> {
    let text = || json!({"type": "string"});
    let contract = parameter(
        "Wellspring-Contract",
        "header",
        text(),
        "Under which contract, `name` or `name@version`; who has one anyway need not say so.",
    );
    let awaited = parameter(
        "Wellspring-Min-Cursor",
        "header",
        text(),
        "Not before this has happened: as `minCursor`; of a collection that is still to come, too.",
    );
    let min_cursor = parameter(
        "minCursor",
        "query",
        text(),
        "Not before this has happened: `cursor` of a receipt, or several of them with commas between.",
    );
    let first = json!({"type": "integer", "minimum": 1});
    let first =
        parameter("first", "query", first, "This many rows; all, without it. `Link` then leads to the next.");
    let after = parameter(
        "after",
        "query",
        text(),
        "From behind this cursor on: that of `Link`, or `_cursor` of a row.",
    );
    let older = parameter("after", "query", text(), "Older than the one with this cursor.");
    let as_of = parameter(
        "asOf",
        "query",
        text(),
        "As they were at this position: `cursor` of a change, or of `pageInfo` or `CAUGHT_UP` in GraphQL.",
    );
    let uid = json!({
        "name": "sourceUid", "in": "query", "required": true, "schema": name(512),
        "description": "Of the row with this uid, which its source gave.",
    });
    let source = parameter("sourceName", "query", name(128), "Needed when several sources have the uid.");
    let trace = parameter("traceparent", "header", text(), "W3C Trace Context.");
    let named = [
        ("contract", contract),
        ("minCursorHeader", awaited),
        ("minCursor", min_cursor),
        ("first", first),
        ("after", after),
        ("older", older),
        ("asOf", as_of),
        ("sourceUid", uid),
        ("sourceName", source),
        ("traceparent", trace),
    ];
    named.map(|(name, parameter)| (name.to_owned(), parameter)).into()
}
