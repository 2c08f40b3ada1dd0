//! The OpenAPI document: what it promises of rows is what comes in every format, and it has nothing that its reader
//! does not see. That it is OpenAPI, and that every other route keeps to it, `tests/openapi` checks from outside.

use quick_xml::{Reader, events::Event};
use reqwest::{Response, header::HeaderMap};
use serde_json::{Map, Value, json};

use crate::contracts::{applied, consumer, shop};
use crate::support::{Backend, TestApp, eventually, on_backends, on_every_backend};

async fn get(app: &TestApp, token: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = app.client.get(format!("{}{path}", app.url)).bearer_auth(token);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn document(app: &TestApp, token: &str) -> Value {
    let response = get(app, token, "/openapi.json", &[]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json; charset=utf-8");
    let document: Value = response.json().await.unwrap();
    whole(&document, &document);
    document
}

/// All references lead somewhere.
fn whole(document: &Value, at: &Value) {
    match at {
        Value::Object(members) => {
            if let Some(Value::String(to)) = members.get("$ref") {
                assert!(document.pointer(&to[1..]).is_some_and(Value::is_object), "{to}");
            }
            members.values().for_each(|below| whole(document, below));
        }
        Value::Array(items) => items.iter().for_each(|below| whole(document, below)),
        _ => {}
    }
}

fn response<'a>(document: &'a Value, collection: &str) -> &'a Value {
    let path = format!("/data/{collection}");
    let reference = &document["paths"][&path]["get"]["responses"]["200"]["$ref"];
    document.pointer(&reference.as_str().unwrap()[1..]).unwrap()
}

/// What is wrong with a value, by the schema at this place in the document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let schema = json!({"allOf": [schema], "components": document["components"]});
    let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap();
    validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect()
}

fn fits(document: &Value, schema: &Value, value: &Value) {
    let faults = faults(document, schema, value);
    assert!(faults.is_empty(), "{faults:?}: {value:#}");
}

/// The schema without reference and null.
fn bare<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return bare(document, document.pointer(&reference[1..]).unwrap());
    }
    schema["anyOf"].get(0).map_or(schema, |first| bare(document, first))
}

fn is_a(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || schema["type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind)))
}

/// A text as a value of the schema's type; what no type is told of is JSON where it can be.
fn typed(schema: &Value, text: &str) -> Value {
    if is_a(schema, "string") { json!(text) } else { serde_json::from_str(text).unwrap_or(json!(text)) }
}

/// Rows of a table as the objects that they stand for.
fn from_csv(document: &Value, row: &Value, text: &str) -> (Vec<String>, Vec<Value>) {
    let mut lines = records(text).into_iter();
    let names = lines.next().unwrap();
    let rows = lines.map(|cells| {
        let mut object = json!({});
        for (name, cell) in names.iter().zip(cells) {
            let (mut schema, mut place) = (bare(document, row), &mut object);
            for part in name.split('.') {
                schema = bare(document, &schema["properties"][part]);
                assert!(!schema.is_null(), "{name} is not in the document");
                place = &mut place[part];
            }
            let empty = cell.is_empty();
            *place = if empty { Value::Null } else { typed(schema, &cell) };
        }
        object
    });
    let rows = rows.collect();
    (names, rows)
}

fn records(text: &str) -> Vec<Vec<String>> {
    let (mut reader, mut rest, mut records) = (csv_core::Reader::new(), text.as_bytes(), Vec::new());
    loop {
        let (mut cells, mut ends) = (vec![0; text.len() + 1], vec![0; 1_000]);
        let (result, read, _, count) = reader.read_record(rest, &mut cells, &mut ends);
        rest = &rest[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let cell =
                    |(from, to): (usize, &usize)| String::from_utf8(cells[from..*to].to_vec()).unwrap();
                records.push(starts.zip(&ends[..count]).map(cell).collect());
            }
            csv_core::ReadRecordResult::InputEmpty => {}
            csv_core::ReadRecordResult::End => return records,
            other => panic!("{other:?}"),
        }
    }
}

/// An element as the value that the schema says it is.
struct Element {
    name: String,
    nil: bool,
    text: String,
    below: Vec<Element>,
}

impl Element {
    fn value(&self, document: &Value, schema: &Value) -> Value {
        let schema = bare(document, schema);
        if self.nil {
            return Value::Null;
        }
        if is_a(schema, "array") {
            let item = &schema["items"];
            let called = item["xml"]["name"].as_str().unwrap();
            assert!(
                schema["xml"]["wrapped"] == true && self.below.iter().all(|one| one.name == called),
                "{called}"
            );
            return self.below.iter().map(|one| one.value(document, item)).collect();
        }
        if is_a(schema, "object") {
            let value =
                |one: &Element| (one.name.clone(), one.value(document, &schema["properties"][&one.name]));
            return Value::Object(self.below.iter().map(value).collect());
        }
        // Of what is any JSON the document has no form in XML.
        if self.below.is_empty() { typed(schema, &self.text) } else { json!({}) }
    }
}

fn from_xml(text: &str) -> Element {
    let new = |name: &str, nil: bool| Element {
        name: name.to_owned(),
        nil,
        text: String::new(),
        below: Vec::new(),
    };
    let (mut reader, mut open) = (Reader::from_str(text), vec![new("", false)]);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => open.push(new(start.name().as_ref(), false)),
            Event::Empty(start) => open.last_mut().unwrap().below.push(new(start.name().as_ref(), true)),
            Event::End(_) => {
                let done = open.pop().unwrap();
                open.last_mut().unwrap().below.push(done);
            }
            Event::Text(text) => open.last_mut().unwrap().text.push_str(&text.xml10_content()),
            Event::Eof => return open.pop().unwrap().below.pop().unwrap(),
            _ => {}
        }
    }
}

fn thing(n: usize) -> Value {
    json!({
        "no": n, "big": 9_000_000_000_000_000_000_u64 + n as u64, "price": 0.5 + n as f64, "sold": n == 2,
        "at": format!("2026-11-22T10:00:{n:02}Z"), "day": "2026-11-22",
        "uuid": format!("0c6e2b9a-7b1d-4a7f-9c57-{n:012}"), "US Gross": "much",
        "state": if n == 1 { "in-use" } else { "new" },
        "size": {"mm": n, "labels": ["a", if n == 0 { "" } else { "b" }]},
        "parts": [{"sku": "x", "grid": [[1, 2], [n]]}],
        "rates": {"EUR": 1.5, "USD": 1, "CHF": 0.5}, "note": if n == 2 { Value::Null } else { json!("of, \"it\"") },
    })
}

async fn things(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    for n in 0..4 {
        app.source(&format!("shop/thing/erp/{n}"), &thing(n)).await;
    }
    app.settled().await;
    for change in [r#"path: "/state", values: ["new", "in-use"]"#, r#"path: "/note", name: "remark""#] {
        let query = format!(
            "mutation {{ decideField(input: {{collection: \"shopThing\", {change}}}) {{ changed }} }}"
        );
        app.data(&query).await;
    }
    app.data_until("{ shopThing { nodes { state remark } } }", |data| data.to_string().contains("IN_USE"))
        .await;
    app
}

/// All that can be selected, but what is only another name.
fn selectable(document: &Value) -> String {
    let schema = &document["components"]["parameters"]["shopThing.fields"]["schema"]["items"]["enum"];
    let names: Vec<&str> = schema.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    names.into_iter().filter(|name| !name.contains('.')).collect::<Vec<_>>().join(",")
}

on_every_backend! {
    async fn rows_are_what_the_document_says_in_every_format(backend) {
        let app = things(backend).await;
        let admin = app.admin();
        let document = document(&app, &admin).await;
        let content = &response(&document, "shopThing")["content"];
        let types: Vec<&String> = content.as_object().unwrap().keys().collect();
        assert_eq!(types, ["application/json", "application/x-ndjson", "application/xml", "text/csv"]);
        let row = &content["application/x-ndjson"]["x-row"];
        let state = bare(&document, &bare(&document, row)["properties"]["state"]);
        assert_eq!(state["enum"], json!(["IN_USE", "new"]));
        assert_eq!(bare(&document, row)["properties"]["note"]["deprecated"], true);
        let gross = bare(&document, row)["properties"]["usGross"]["description"].as_str().unwrap();
        assert!(gross.contains("`/US Gross`"), "{gross}");
        let every = format!("?fields={}", selectable(&document));
        for fields in [String::new(), every, "?fields=size.mm,_record.key".into()] {
            let read = async |extension: &str| {
                let response = get(&app, &admin, &format!("/data/shopThing.{extension}{fields}"), &[]).await;
                assert_eq!(response.status(), 200, "{extension}{fields}");
                response.text().await.unwrap()
            };
            let rows: Value = serde_json::from_str(&read("json").await).unwrap();
            assert_eq!(rows.as_array().unwrap().len(), 4);
            fits(&document, &content["application/json"]["schema"], &rows);
            let mut odd = rows.clone();
            odd[0].as_object_mut().unwrap().insert("other".into(), json!(1));
            assert_eq!(faults(&document, &content["application/json"]["schema"], &odd).len(), 1);
            let text = read("ndjson").await;
            let lines: Value = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
            assert_eq!(lines, rows);
            let (names, cells) = from_csv(&document, row, &read("csv").await);
            assert_eq!(cells.len(), 4);
            cells.iter().for_each(|cells| fits(&document, row, cells));
            if fields.is_empty() {
                assert_eq!(json!(names), content["text/csv"]["x-columns"]);
            }
            let schema = &content["application/xml"]["schema"];
            let element = from_xml(&read("xml").await);
            assert_eq!(element.name, schema["xml"]["name"].as_str().unwrap());
            let value = element.value(&document, schema);
            fits(&document, schema, &value);
            assert_eq!(value[1]["size"]["mm"], rows[1]["size"]["mm"]);
        }
    }

    async fn changes_are_what_the_document_says_in_every_format(backend) {
        let app = things(backend).await;
        app.source("shop/thing/erp/1", &thing(3)).await;
        app.retract("shop/thing/erp/1").await;
        app.settled().await;
        let (admin, document) = (app.admin(), document(&app, &app.admin()).await);
        let content = &response(&document, "shopThing/history")["content"];
        let row = &content["text/csv"]["x-row"];
        let names = &document["components"]["parameters"]["shopThing.changes"]["schema"]["items"]["enum"];
        let every: Vec<&str> = names.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(every.contains(&"before.size.mm") && every.contains(&"node._record.key"), "{every:?}");
        let every = every.into_iter().filter(|name| !name.contains('.')).collect::<Vec<_>>().join(",");
        for fields in [String::new(), format!("&fields={every}")] {
            let read = async |extension: &str| {
                let path = format!("/data/shopThing/history.{extension}?sourceUid=1{fields}");
                let response = get(&app, &admin, &path, &[]).await;
                assert_eq!(response.status(), 200, "{path}");
                response.text().await.unwrap()
            };
            let changes: Value = serde_json::from_str(&read("json").await).unwrap();
            assert_eq!(changes.as_array().unwrap().len(), 3);
            fits(&document, &content["application/json"]["schema"], &changes);
            let (names, _) = from_csv(&document, row, &read("csv").await);
            if fields.is_empty() {
                assert_eq!(json!(names), content["text/csv"]["x-columns"]);
            }
            let schema = &content["application/xml"]["schema"];
            fits(&document, schema, &from_xml(&read("xml").await).value(&document, schema));
        }
    }

    async fn what_can_be_asked_is_what_the_document_says(backend) {
        let app = things(backend).await;
        let (admin, document) = (app.admin(), document(&app, &app.admin()).await);
        let parameters = &document["components"]["parameters"];
        let names = |name: &str| parameters[name]["schema"]["items"]["enum"].as_array().unwrap().clone();
        let mut paths: Vec<String> =
            names("shopThing.fields").iter().map(|name| format!("fields={}", name.as_str().unwrap())).collect();
        let pattern = parameters["shopThing.order"]["schema"]["items"]["pattern"].as_str().unwrap();
        let ordered = pattern.strip_prefix("^(?:").unwrap().split_once(')').unwrap().0;
        assert!(ordered.split('|').any(|name| name == r"size\.mm") && !ordered.contains("rates"), "{ordered}");
        paths.extend(ordered.split('|').map(|name| format!("order={}:desc_nulls_first", name.replace('\\', ""))));
        for path in paths {
            let response = get(&app, &admin, &format!("/data/shopThing?first=1&{path}"), &[]).await;
            assert_eq!(response.status(), 200, "{path}");
        }
        let filter = &parameters["shopThing.where"]["content"]["application/json"]["schema"];
        let good = json!({"state": {"in": ["new"]}, "big": {"gt": "9"}, "size": {"labels": {"contains": "a"}},
            "or": [{"_record": {"sourceName": {"eq": "erp"}}}], "at": {"lt": "2027-01-01T00:00:00Z"}});
        fits(&document, filter, &good);
        let query = [("where", good.to_string())];
        let url = reqwest::Url::parse_with_params(&format!("{}/data/shopThing", app.url), &query).unwrap();
        let answer = app.client.get(url).bearer_auth(&admin).send().await.unwrap();
        assert_eq!(answer.json::<Vec<Value>>().await.unwrap().len(), 3);
        for wrong in [json!({"state": {"eq": "in-use"}}), json!({"colour": {}}), json!({"rates": {"eq": 1}})] {
            assert_ne!(faults(&document, filter, &wrong).len(), 0, "{wrong}");
        }
    }

    async fn everybody_has_a_document_of_their_own(backend) {
        let app = TestApp::start(backend).await;
        app.source("shop/part/erp/1", &json!({"name": "bolt", "email": "ann@example.com", "margin": 3})).await;
        app.settled().await;
        let hide = r#"decideField(input: {collection: "shopPart", path: "/margin", hidden: true}) { changed }"#;
        app.data(&format!("mutation {{ {hide} }}"))
            .await;
        let reader = app.token("consumer", json!({}));
        let seen = document(&app, &reader).await;
        let schemas = &seen["components"]["schemas"];
        let fields: Vec<&String> = schemas["ShopPart"]["properties"].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["_cursor", "_record", "_rest", "email", "name"]);
        assert!(!seen.to_string().contains("margin"), "{seen}");
        // What is masked can be selected, and nothing else.
        let email = &schemas["ShopPart"]["properties"]["email"];
        assert!(email["description"].as_str().unwrap().ends_with("masked"), "{email}");
        assert!(schemas["ShopPartFilter"]["properties"].get("email").is_none());
        let order = seen["components"]["parameters"]["shopPart.order"]["schema"]["items"]["pattern"].as_str().unwrap();
        assert!(order.contains("name") && !order.contains("email"), "{order}");
        for token in [app.token("source", json!({})), app.token("nobody", json!({}))] {
            let none = document(&app, &token).await;
            assert!(!none.to_string().contains("shopPart") && !none.to_string().contains("ShopPart"));
            assert!(none["paths"].get("/source/{category}/{subcategory}/{source_name}").is_some());
        }
        let refused = get(&app, &reader, "/openapi.json?collections=shopPart,shopSecret", &[]).await;
        assert_eq!(refused.status(), 404);
        let refused = get(&app, "no-token", "/openapi.json", &[]).await;
        assert_eq!(refused.status(), 401);
    }

    async fn a_contract_has_its_own_names_formats_and_routes(backend) {
        let app = shop(backend).await;
        let text = |formats: &str| format!(
            "name = \"acme\"\nversion = 1\nconsumers = [{{ claim = \"client\", value = \"acme\" }}]\n{formats}\n\
             [collections.shopOrder]\nfields = [\"total\", \"customer.name\"]\nrename = {{ total = \"amount\" }}\n");
        applied(&app, &text("formats = [\"csv\"]\nsunset = \"2999-01-01\"")).await;
        let answer = get(&app, &consumer(&app), "/openapi.json", &[]).await;
        assert_eq!(answer.headers()["sunset"], "Tue, 01 Jan 2999 00:00:00 GMT");
        let document = document(&app, &consumer(&app)).await;
        let content = response(&document, "shopOrder")["content"].as_object().unwrap();
        assert_eq!(content.keys().collect::<Vec<_>>(), ["text/csv"]);
        assert_eq!(content["text/csv"]["x-columns"], json!(["customer.name", "amount"]));
        let text = document.to_string();
        for hidden in ["zqheld", "region", "total\"", "/source/", "Receipt", "_record"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
        let named = [("wellspring-contract", "acme@2")];
        assert_eq!(get(&app, &consumer(&app), "/openapi.json", &named).await.status(), 404);
        let csv = get(&app, &consumer(&app), "/data/shopOrder.csv", &[]).await.text().await.unwrap();
        let row = &content["text/csv"]["x-row"];
        let (_, rows) = from_csv(&document, row, &csv);
        assert_eq!(rows.len(), 4);
        rows.iter().for_each(|cells| fits(&document, row, cells));
    }
}

fn tag(headers: &HeaderMap) -> String {
    headers["etag"].to_str().unwrap().to_owned()
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn a_document_is_sent_again_only_when_it_is_another(backend) {
        let app = TestApp::start(backend).await;
        app.source("shop/part/erp/1", &json!({"name": "bolt"})).await;
        app.settled().await;
        let admin = app.admin();
        let first = get(&app, &admin, "/openapi.json", &[]).await;
        let known = tag(first.headers());
        assert_eq!(first.headers()["vary"], "accept, authorization, x-api-key, wellspring-contract");
        let again = get(&app, &admin, "/openapi.json", &[("if-none-match", &format!("\"x\", W/{known}"))]).await;
        assert_eq!((again.status().as_u16(), tag(again.headers())), (304, known.clone()));
        assert_eq!(again.text().await.unwrap(), "");
        let other = get(&app, &app.token("nobody", json!({})), "/openapi.json", &[("if-none-match", &known)]).await;
        assert_eq!(other.status(), 200);
        let head = app.client.head(format!("{}/openapi.json", app.url)).bearer_auth(&admin).send().await.unwrap();
        assert_eq!((head.status().as_u16(), tag(head.headers())), (200, known.clone()));
        let options = app.client.request(reqwest::Method::OPTIONS, format!("{}/openapi.json", app.url));
        assert_eq!(options.send().await.unwrap().headers()["allow"], "GET, HEAD, OPTIONS");
        app.source("shop/part/erp/2", &json!({"name": "nut", "weight": 3})).await;
        eventually("another document", async || {
            let answer = get(&app, &admin, "/openapi.json", &[("if-none-match", &known)]).await;
            let text = answer.text().await.unwrap();
            if text.contains("weight") { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

on_backends! { [embedded Embedded]
    async fn a_document_is_bounded_and_can_be_asked_in_parts(backend) {
        let app = TestApp::start_with(backend, |config| config.data.openapi_bytes_max = 100_000).await;
        for (name, fields) in [("small", 1), ("large", 200)] {
            let fields = (0..fields).map(|n| (format!("field_with_a_long_name_{n}"), json!(n)));
            app.source(&format!("shop/{name}/erp/1"), &Value::Object(fields.collect::<Map<_, _>>())).await;
        }
        app.settled().await;
        let refused = get(&app, &app.admin(), "/openapi.json", &[]).await;
        assert_eq!(refused.status(), 400);
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], "TOO_COMPLEX");
        assert!(body["error"]["message"].as_str().unwrap().contains("?collections="), "{body}");
        let small = get(&app, &app.admin(), "/openapi.json?collections=shopSmall", &[]).await;
        assert_eq!(small.status(), 200);
        let document: Value = small.json().await.unwrap();
        assert!(document["paths"].get("/data/shopSmall").is_some());
        assert!(document["paths"].get("/data/shopLarge").is_none());
        for wrong in ["collection=shopSmall", "collections=shopSmall&collections=shopLarge"] {
            assert_eq!(get(&app, &app.admin(), &format!("/openapi.json?{wrong}"), &[]).await.status(), 400);
        }
    }
}
