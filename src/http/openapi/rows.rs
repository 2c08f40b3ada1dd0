//! What the document has of one collection: its paths, parameters and answers.

use serde_json::{Map, Value, json};

use super::parts;
use crate::format::Format;
use crate::graphql::{Described, SCHEMAS};

/// Something that is read as rows.
struct Table<'a> {
    path: String,
    /// In operations' ids.
    id: String,
    tag: &'a str,
    summary: &'static str,
    description: &'a str,
    parameters: Vec<Value>,
    /// The response that is its rows.
    rows: String,
    /// Statuses of its own.
    statuses: &'static [u16],
}

/// The paths of a collection, each with what it answers to.
pub(super) fn paths(table: &Described, formats: &[&'static dyn Format]) -> Vec<(String, Value)> {
    let shared =
        |names: &[&str]| names.iter().map(|name| parts::part("parameters", name)).collect::<Vec<_>>();
    let name = &table.name;
    let own = ["where", "order", "fields"].into_iter().filter(|name| has(table, name));
    let own = own.map(|parameter| parts::part("parameters", &format!("{name}.{parameter}")));
    let asked = ["first", "after", "asOf", "minCursor", "minCursorHeader", "contract", "traceparent"];
    let rows = Table {
        path: format!("/data/{name}"),
        id: name.clone(),
        tag: name,
        summary: "Rows",
        description: &table.description,
        parameters: own.chain(shared(&asked)).collect(),
        rows: response_name(table),
        statuses: &[403, 404, 406, 410, 413, 422],
    };
    let mut all = rows.paths(formats);
    let Some(changes) = &table.history else { return all };
    let own = [parts::part("parameters", &format!("{name}.changes"))];
    let source = shared(if changes.source { &["sourceUid", "sourceName"] } else { &["sourceUid"] });
    let asked = ["first", "older", "minCursor", "minCursorHeader", "contract", "traceparent"];
    let changes = Table {
        path: format!("/data/{name}/history"),
        id: format!("{name}_history"),
        tag: name,
        summary: "The changes of one row, the newest first, also of one that is gone",
        description: &table.description,
        parameters: source.into_iter().chain(own).chain(shared(&asked)).collect(),
        rows: changes_name(table),
        statuses: &[403, 404, 406, 409, 410, 413, 422],
    };
    all.extend(changes.paths(formats));
    all
}

impl Table<'_> {
    fn paths(&self, formats: &[&'static dyn Format]) -> Vec<(String, Value)> {
        let names: Vec<&str> = formats.iter().map(|format| format.name()).collect();
        let format = json!({
            "name": "format", "in": "path", "required": true, "schema": {"type": "string", "enum": names},
            "description": "In which format, whatever `Accept` says.",
        });
        let mut file = self.item("_file");
        if let Some(members) = file.as_object_mut() {
            members.insert("parameters".into(), json!([format]));
        }
        vec![(self.path.clone(), self.item("")), (format!("{}.{{format}}", self.path), file)]
    }

    fn item(&self, suffix: &str) -> Value {
        let Table { id, tag, summary, description, parameters, rows, statuses, .. } = self;
        let refusals = parts::any_and(statuses);
        let with = |status: &str, response: Value| {
            let mut responses = refusals.clone();
            responses.insert(status.into(), response);
            responses
        };
        let get = json!({
            "operationId": format!("read_{id}{suffix}"), "tags": [tag], "summary": summary,
            "description": description, "parameters": parameters,
            "responses": with("200", parts::part("responses", rows)),
        });
        let head = json!({
            "operationId": format!("head_{id}{suffix}"), "tags": [tag],
            "summary": "Whether there would be an answer", "parameters": parameters,
            "responses": with("200", json!({"description": "There would."})),
        });
        let allow = json!({"Allow": parts::header("The methods.")});
        let options = json!({
            "operationId": format!("options_{id}{suffix}"), "tags": [tag], "summary": "The methods",
            "responses": options_responses(json!({"description": "These.", "headers": allow})),
        });
        json!({"get": get, "head": head, "options": options})
    }
}

fn options_responses(response: Value) -> Map<String, Value> {
    let mut responses = parts::any_and(&[404]);
    responses.insert("204".into(), response);
    responses
}

/// Whether the collection has the parameter.
fn has(table: &Described, parameter: &str) -> bool {
    match parameter {
        "where" => table.filter.is_some(),
        "order" => !table.order.is_empty(),
        _ => true,
    }
}

/// The parameters that are the collection's own, by their names in the document.
pub(super) fn parameters(table: &Described) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let of = |name: &str| format!("{}.{name}", table.name);
    if let Some(filter) = &table.filter {
        let text = "Only rows for which this holds, as GraphQL has it: `{\"field\":{\"eq\":1}}`.";
        let schema = json!({"application/json": {"schema": parts::schema(filter)}});
        all.push((
            of("where"),
            json!({"name": "where", "in": "query", "content": schema, "description": text}),
        ));
    }
    if has(table, "order") {
        let names: Vec<String> = table.order.iter().map(|name| name.replace('.', "\\.")).collect();
        let pattern = format!("^(?:{})(?::(?:asc|desc|asc_nulls_first|desc_nulls_first))?$", names.join("|"));
        let text = "In this order: names, each with its direction behind a colon, if not `asc`. Nulls are last, if \
                    the direction does not say otherwise.";
        all.push((of("order"), listed("order", json!({"type": "string", "pattern": pattern}), text)));
    }
    let text = "Only these fields, an object with all that is in it; without them all but those that begin with `_`.";
    all.push((of("fields"), listed("fields", json!({"type": "string", "enum": table.fields}), text)));
    if let Some(changes) = &table.history {
        let text = "Only these fields, an object with all that is in it; all, without them, but `_record` and `_rest` \
                    of the images.";
        let items = json!({"type": "string", "enum": changes.fields});
        all.push((of("changes"), listed("fields", items, text)));
    }
    all
}

/// A parameter that is a list with commas between.
fn listed(name: &str, items: Value, description: &str) -> Value {
    let schema = json!({"type": "array", "items": items});
    json!({
        "name": name, "in": "query", "style": "form", "explode": false, "schema": schema, "description": description,
    })
}

/// How the document names the response that is a collection's rows.
fn response_name(table: &Described) -> String {
    format!("{}.rows", table.name)
}

/// The same of the changes of a row.
fn changes_name(table: &Described) -> String {
    format!("{}.history", table.name)
}

/// The responses that are a collection's rows, and the changes of one, by their names in the document.
pub(super) fn responses(table: &Described, formats: &[&'static dyn Format]) -> Vec<(String, Value)> {
    let mut all = vec![(response_name(table), response(&table.row, &table.columns, formats))];
    if let Some(changes) = &table.history {
        let mut response = response(&changes.row, &changes.columns, formats);
        if let Some(headers) = response.get_mut("headers").and_then(Value::as_object_mut) {
            let text = "`true` when the last of these is where the row began, or came into what you may see, `false` \
                        when older ones are no longer kept or follow; told when they are few, or with `first`.";
            let schema = json!({"type": "string", "enum": ["true", "false"]});
            headers.insert("Wellspring-Complete".into(), json!({"description": text, "schema": schema}));
        }
        all.push((changes_name(table), response));
    }
    all
}

/// Rows in each format.
fn response(row: &str, columns: &[String], formats: &[&'static dyn Format]) -> Value {
    let content = formats.iter().flat_map(|format| {
        let body = body(row, columns, format.name());
        format.media_types().iter().take(1).map(move |media_type| ((*media_type).to_owned(), body.clone()))
    });
    let headers = json!({
        "Link": parts::header("RFC 8288: `rel=\"next\"`, when `first` rows were given and there are more."),
        "Content-Disposition": parts::header("A file name, when the path names the format."),
        "Sunset": parts::header("RFC 8594: when your contract ends."),
        "Vary": parts::header("What the answer goes by."),
        "X-Request-Id": parts::header("The id under which the log knows the request."),
    });
    json!({
        "description": "The rows. An answer that cannot be completed is broken off, so that a part does not look like \
            the whole.",
        "headers": headers,
        "content": content.collect::<Map<_, _>>(),
    })
}

/// The body in a format: a list of rows, or a text of which the extensions `x-row`, a row, and `x-columns`, the columns
/// of rows of which nothing is selected, say more than JSON Schema can.
fn body(row: &str, columns: &[String], format: &str) -> Value {
    let row = json!({"$ref": format!("{SCHEMAS}{row}")});
    match format {
        "json" => json!({"schema": {"type": "array", "items": row}}),
        "xml" => {
            let mut item = row;
            if let Some(members) = item.as_object_mut() {
                members.insert("xml".into(), json!({"name": "row"}));
            }
            json!({"schema": {"type": "array", "items": item, "xml": {"name": "rows", "wrapped": true}}})
        }
        "ndjson" => {
            let text = "Each line is a row.";
            json!({"schema": {"type": "string", "description": text}, "x-row": row})
        }
        _ => {
            let text = "RFC 4180, with a line of names; an empty cell is null, `\"\"` an empty text, a list its JSON.";
            json!({"schema": {"type": "string", "description": text}, "x-row": row, "x-columns": columns})
        }
    }
}
