//! The routes that are the same for everybody.

use serde_json::{Map, Value, json};

use super::parts;
use crate::format;
use crate::http::{BATCH_ROUTE, RECORD_ROUTE};

/// What of a receipt a source is told.
pub(super) const RECEIPT: [&str; 6] = ["id", "key", "revision", "duplicate", "status", "cursor"];

/// The paths, less those that nobody who is bound by a contract may use.
pub(super) fn all(bound: bool) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        (super::ROUTE, document()),
        ("/graphql/schema", sdl()),
        ("/healthz", machine("healthz", "The process answers", "text/plain", &[])),
        ("/readyz", machine("readyz", "Whether requests can be served", "application/json", &[503])),
        (
            "/metrics",
            machine("metrics", "Counts, as Prometheus reads them", "application/openmetrics-text", &[]),
        ),
    ];
    if !bound {
        all.push((RECORD_ROUTE, json!({"post": record()})));
        all.push((BATCH_ROUTE, json!({"post": batch()})));
    }
    all
}

fn document() -> Value {
    let names = json!({"type": "array", "items": {"type": "string"}});
    let collections = json!({
        "name": "collections", "in": "query", "style": "form", "explode": false, "schema": names,
        "description": "Only these; all that you see, without it.",
    });
    let tag = parts::header("For `If-None-Match`.");
    let mut responses = parts::any_and(&[403, 404]);
    responses.insert(
        "200".into(),
        json!({
            "description": "This document.",
            "headers": {"ETag": tag},
            "content": {"application/json": {"schema": {"type": "object"}}},
        }),
    );
    responses.insert("304".into(), json!({"description": "It is as it was.", "headers": {"ETag": tag}}));
    let text = json!({"type": "string"});
    let known = parts::parameter("If-None-Match", "header", text, "`ETag` of what is known.");
    let contract = parts::part("parameters", "contract");
    json!({"get": {
        "operationId": "openapi", "summary": "The REST side as you see it", "responses": responses,
        "parameters": [collections, known, contract],
    }})
}

fn sdl() -> Value {
    let mut responses = parts::any_and(&[403, 404]);
    responses.insert(
        "200".into(),
        json!({
            "description": "SDL.", "content": {"application/graphql": {"schema": {"type": "string"}}},
        }),
    );
    let parameters = [parts::part("parameters", "contract")];
    json!({"get": {
        "operationId": "sdl", "summary": "The GraphQL schema as you see it", "parameters": parameters,
        "responses": responses,
    }})
}

/// A route for machines that look after this one: nobody needs a token for it.
fn machine(id: &str, summary: &str, media_type: &str, more: &[u16]) -> Value {
    let mut schema = json!({"type": "string"});
    if media_type == "application/json" {
        let text = json!({"type": "string"});
        schema = json!({
            "type": "object",
            "properties": {"status": text, "database": text, "stream": text},
            "required": ["status"],
            "additionalProperties": false,
        });
    }
    let response =
        |description: &str| json!({"description": description, "content": {media_type: {"schema": schema}}});
    let mut responses = Map::new();
    responses.insert("200".into(), response("Yes."));
    responses.extend(more.iter().map(|status| (status.to_string(), response("Not now."))));
    json!({"get": {"operationId": id, "summary": summary, "security": [{}], "responses": responses}})
}

fn in_path(name: &str, length: usize, description: &str) -> Value {
    let schema = parts::name(length);
    json!({"name": name, "in": "path", "required": true, "schema": schema, "description": description})
}

/// The source in the path, and what headers say of what it sends.
fn source() -> Vec<Value> {
    let text = json!({"type": "string"});
    let key =
        json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~](?:[ -~]*[!-~])?$"});
    vec![
        in_path("category", 128, "What kind of data it is, first part."),
        in_path("subcategory", 128, "What kind of data it is, second part."),
        in_path("source_name", 128, "The system that sends."),
        parts::parameter(
            "Idempotency-Key",
            "header",
            key,
            "Makes a repeated request the same; of a batch's documents with their places.",
        ),
        agreement(),
        parts::parameter(
            "Data-Purposes",
            "header",
            text.clone(),
            "For what the data may be used: names with commas between.",
        ),
        parts::parameter(
            "Data-Tracker-Chain",
            "header",
            text,
            "Where the data has been, as JSON or as a text.",
        ),
        parts::part("parameters", "traceparent"),
    ]
}

fn agreement() -> Value {
    let text = json!({"type": "string"});
    let one = json!({
        "type": "object",
        "properties": {
            "agreement_name": text, "location": text,
            "agreed_dtm": {"type": "integer", "format": "int64", "description": "Unix seconds."},
        },
        "required": ["agreement_name", "location", "agreed_dtm"],
    });
    let schema = json!({"anyOf": [{"type": "array", "items": one}, one]});
    json!({
        "name": "Data-Usage-Agreement", "in": "header", "content": {"application/json": {"schema": schema}},
        "description": "For what was agreed that the data is used.",
    })
}

/// Documents in each format that is read. Of no body at all a batch tells that nothing was in it.
fn body(required: bool, description: &str) -> Value {
    let types = format::readable().iter().flat_map(|format| format.media_types());
    // Whatever is sent is some text, so that a type would say nothing.
    let content = types.map(|media_type| ((*media_type).to_owned(), json!({"schema": {}})));
    json!({"required": required, "description": description, "content": content.collect::<Map<_, _>>()})
}

fn sent(id: &str, summary: &str, body: Value, parameters: Vec<Value>, answer: Value) -> Value {
    let mut responses = parts::any_and(&[403, 409, 413, 415, 422]);
    responses.insert(
        "202".into(),
        json!({
            "description": "What was accepted is durable.",
            "content": {"application/json": {"schema": answer}},
        }),
    );
    json!({
        "operationId": id, "tags": ["source"], "summary": summary, "parameters": parameters, "requestBody": body,
        "responses": responses,
    })
}

fn record() -> Value {
    let mut parameters = source();
    parameters.insert(
        3,
        in_path("source_uid", 512, "The record's uid in its source; a new record is a new revision."),
    );
    let body = body(true, "One document. What is not an object becomes `{\"value\": …}`.");
    sent("source", "Send one record", body, parameters, parts::schema("Receipt"))
}

fn batch() -> Value {
    let mut parameters = source();
    parameters.push(json!({
        "name": "key", "in": "query", "schema": {"type": "string", "minLength": 1, "maxLength": 512},
        "description": "Where each document has its uid, as a JSON pointer.",
    }));
    let body = body(false, "Documents: the items of a JSON array, lines, or rows of a table.");
    sent("sourceMany", "Send many records", body, parameters, parts::schema(parts::BATCH))
}
