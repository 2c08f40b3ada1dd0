//! What was, by REST: rows as they were and the changes of a row, told as GraphQL tells them, in every format.

use reqwest::{Response, header::HeaderMap};
use serde_json::{Value, json};

use crate::contracts::{applied, consumer, shop};
use crate::support::{Backend, TestApp, on_backends, on_every_backend};

async fn get(app: &TestApp, token: &str, path: &str) -> Response {
    app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(token).send().await.unwrap()
}

async fn rows(app: &TestApp, path: &str) -> (HeaderMap, Vec<Value>) {
    let response = get(app, &app.admin(), path).await;
    assert_eq!(response.status(), 200, "{path}");
    let headers = response.headers().clone();
    (headers, response.json().await.unwrap())
}

async fn text(app: &TestApp, path: &str) -> String {
    let response = get(app, &app.admin(), path).await;
    assert_eq!(response.status(), 200, "{path}");
    response.text().await.unwrap()
}

async fn refused(app: &TestApp, token: &str, path: &str) -> (u16, String) {
    let response = get(app, token, path).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

/// The path of the page behind this one.
fn next(headers: &HeaderMap) -> Option<String> {
    let link = headers.get("link")?.to_str().unwrap();
    Some(link.strip_prefix("</data/")?.split_once('>')?.0.to_owned())
}

/// Parts that were written three times, one of them taken back, read five at a time.
async fn parts(backend: Backend) -> (TestApp, String) {
    let app = TestApp::start_with(backend, |config| {
        config.graphql.page_max = 5;
        config.graphql.page_default = 5;
    })
    .await;
    for n in 0..12 {
        app.source(&format!("shop/part/erp/{n}"), &json!({"no": n, "size": {"mm": n * 2}, "name": "a, b"}))
            .await;
    }
    app.settled().await;
    let data = app.data("{ shopPart { pageInfo { cursor } } }").await;
    let cursor = data["shopPart"]["pageInfo"]["cursor"].as_str().unwrap().to_owned();
    for n in 0..12 {
        app.source(&format!("shop/part/erp/{n}"), &json!({"no": n, "size": {"mm": 100 + n}, "name": "c"}))
            .await;
    }
    app.retract("shop/part/erp/3").await;
    app.settled().await;
    (app, cursor)
}

on_every_backend! {
    async fn rows_come_as_they_were(backend) {
        let (app, cursor) = parts(backend).await;
        let (_, now) = rows(&app, "shopPart?order=no").await;
        assert_eq!((now.len(), &now[0]["size"]["mm"]), (11, &json!(100)));
        let then: Vec<Value> =
            (0..12).map(|n| json!({"no": n, "size": {"mm": n * 2}, "name": "a, b"})).collect();
        let (headers, told) = rows(&app, &format!("shopPart?order=no&asOf={cursor}")).await;
        assert_eq!(told, then);
        assert!(headers.get("link").is_none() && headers.get("wellspring-complete").is_none());
        let lines = text(&app, &format!("shopPart.ndjson?order=no&fields=no&asOf={cursor}")).await;
        assert_eq!(lines, (0..12).map(|n| format!("{{\"no\":{n}}}\n")).collect::<String>());
        let csv = text(&app, &format!("shopPart.csv?order=no:desc&first=2&asOf={cursor}")).await;
        assert_eq!(csv, "name,no,size.mm\r\n\"a, b\",11,22\r\n\"a, b\",10,20\r\n");
        let xml = text(&app, &format!("shopPart.xml?order=no&fields=size,_record.revision&asOf={cursor}")).await;
        assert_eq!(xml.matches("<revision>1</revision>").count(), 12, "{xml}");
        // Page after page, and behind the cursor of a row.
        let (mut seen, mut path) = (Vec::new(), format!("shopPart?order=no&first=5&asOf={cursor}"));
        loop {
            let (headers, page) = rows(&app, &path).await;
            seen.extend(page);
            let Some(link) = next(&headers) else { break };
            path = link;
        }
        assert_eq!(seen, then);
        let (_, told) = rows(&app, &format!("shopPart?order=no&fields=_cursor,no&asOf={cursor}")).await;
        let after = told[6]["_cursor"].as_str().unwrap();
        let (_, rest) = rows(&app, &format!("shopPart?order=no&fields=no&after={after}&asOf={cursor}")).await;
        assert_eq!(rest, (7..12).map(|n| json!({"no": n})).collect::<Vec<_>>());
        let filter = "where=%7B%22size%22%3A%7B%22mm%22%3A%7B%22gte%22%3A20%7D%7D%7D";
        let (_, told) = rows(&app, &format!("shopPart?order=no&{filter}&fields=no&asOf={cursor}")).await;
        assert_eq!(told, [json!({"no": 10}), json!({"no": 11})]);
    }

    async fn a_row_tells_its_changes(backend) {
        let (app, _) = parts(backend).await;
        let query = "{ shopPartHistory(sourceUid: \"3\") { complete nodes { cursor op at key revision \
            node { no size { mm } name } before { no size { mm } name } } } }";
        let told = app.data(query).await["shopPartHistory"].take();
        let (headers, changes) = rows(&app, "shopPart/history?sourceUid=3").await;
        assert_eq!(json!(changes), told["nodes"]);
        assert_eq!((changes.len(), &headers["wellspring-complete"]), (3, &"true".parse().unwrap()));
        let few = "fields=op,revision,node.size,before.no&sourceName=erp&sourceUid=3";
        let csv = text(&app, &format!("shopPart/history.csv?{few}")).await;
        assert_eq!(
            csv,
            "op,revision,node.size.mm,before.no\r\nDELETE,3,,3\r\nUPSERT,2,103,3\r\nUPSERT,1,6,\r\n"
        );
        let lines = text(&app, &format!("shopPart/history.ndjson?{few}&first=1")).await;
        assert_eq!(lines, "{\"op\":\"DELETE\",\"revision\":3,\"node\":null,\"before\":{\"no\":3}}\n");
        let xml = text(&app, &format!("shopPart/history.xml?{few}")).await;
        assert!(xml.contains("<row><op>DELETE</op><revision>3</revision><node xsi:nil=\"true\"/>"), "{xml}");
        let (headers, first) = rows(&app, &format!("shopPart/history?{few}&first=2")).await;
        assert_eq!((first.len(), &headers["wellspring-complete"]), (2, &"false".parse().unwrap()));
        let (headers, rest) = rows(&app, &next(&headers).unwrap()).await;
        assert_eq!((rest.len(), &headers["wellspring-complete"]), (1, &"true".parse().unwrap()));
        assert!(next(&headers).is_none());
        let (_, none) = rows(&app, "shopPart/history?sourceUid=77").await;
        assert_eq!(none, Vec::<Value>::new());
        let url = format!("{}/data/shopPart/history.csv?sourceUid=3", app.url);
        let head = app.client.head(&url).bearer_auth(app.admin()).send().await.unwrap();
        assert_eq!(head.headers()["content-disposition"], "attachment; filename=\"history.csv\"");
        assert_eq!(head.text().await.unwrap(), "");
    }

    async fn the_past_is_refused_as_graphql_refuses_it(backend) {
        let (app, cursor) = parts(backend).await;
        app.source("shop/part/other/3", &json!({"no": 99})).await;
        app.settled().await;
        let admin = app.admin();
        let cases = [
            ("shopPart?asOf=zzz".to_owned(), 400, "BAD_REQUEST"),
            (format!("shopPart?asOf={cursor}&asOf={cursor}"), 400, "BAD_REQUEST"),
            ("shopPart?sourceUid=3".to_owned(), 400, "BAD_REQUEST"),
            ("shopPart/history".to_owned(), 400, "BAD_REQUEST"),
            (format!("shopPart/history?sourceUid=3&asOf={cursor}"), 400, "BAD_REQUEST"),
            ("shopPart/history?sourceUid=3".to_owned(), 409, "CONFLICT"),
            ("shopPart/history?sourceUid=3&fields=node.colour".to_owned(), 400, "BAD_REQUEST"),
            ("shopPart/history?sourceUid=3&after=zzz".to_owned(), 400, "BAD_REQUEST"),
            ("shopPart/past?sourceUid=3".to_owned(), 404, "NOT_FOUND"),
            ("shopPart/history.xlsx?sourceUid=3".to_owned(), 404, "NOT_FOUND"),
            ("shopNothing/history?sourceUid=3".to_owned(), 404, "NOT_FOUND"),
        ];
        for (path, status, code) in cases {
            assert_eq!(refused(&app, &admin, &path).await, (status, code.to_owned()), "{path}");
        }
        assert_eq!(rows(&app, "shopPart/history?sourceUid=3&sourceName=erp").await.1.len(), 3);
        let nobody = app.token("source", json!({}));
        for path in [format!("shopPart?asOf={cursor}"), "shopPart/history?sourceUid=3".to_owned()] {
            assert_eq!(refused(&app, &nobody, &path).await, (404, "NOT_FOUND".to_owned()), "{path}");
        }
    }

    async fn the_past_is_within_what_its_reader_sees(backend) {
        let app = shop(backend).await;
        let text = |fields: &str| format!(
            "name = \"acme\"\nversion = 1\nconsumers = [{{ claim = \"client\", value = \"acme\" }}]\n\
             [collections.shopOrder]\nfields = {fields}\nrename = {{ total = \"amount\" }}\n\
             where = {{ region = {{ eq = \"north\" }} }}\n");
        applied(&app, &text(r#"["total", "_record.sourceUid"]"#)).await;
        let carl = consumer(&app);
        let answer = get(&app, &carl, "shopOrder/history?sourceUid=1&fields=op,node.amount,node._record").await;
        let told: Value = answer.json().await.unwrap();
        assert_eq!(told, json!([{"op": "UPSERT", "node": {"amount": 10, "_record": {"sourceUid": "1"}}}]));
        let answer = get(&app, &carl, "shopOrder/history?sourceUid=2").await;
        assert_eq!(answer.json::<Value>().await.unwrap(), json!([]), "of another region");
        assert_eq!(refused(&app, &carl, "shopOrder/history?sourceUid=1&sourceName=web").await.0, 400);
        assert_eq!(refused(&app, &carl, "shopOrder/history?sourceUid=1&fields=node.placed").await.0, 400);
        applied(&app, &text(r#"["total"]"#).replace("version = 1", "version = 2")).await;
        let refusal = refused(&app, &carl, "shopOrder/history?sourceUid=1").await;
        assert_eq!(refusal, (404, "NOT_FOUND".to_owned()), "who sees no uid names no row");
    }
}

on_backends! { [embedded Embedded, postgres Postgres]
    async fn what_is_too_long_ago_says_so(backend) {
        let app = TestApp::start_with(backend, |config| config.consistency.as_of_changes_max = 3).await;
        app.source("shop/part/erp/1", &json!({"no": 1})).await;
        app.settled().await;
        let data = app.data("{ shopPart { pageInfo { cursor } } }").await;
        let cursor = data["shopPart"]["pageInfo"]["cursor"].as_str().unwrap().to_owned();
        for n in 0..5 {
            app.source("shop/part/erp/1", &json!({"no": n + 2})).await;
            app.settled().await;
        }
        let refusal = refused(&app, &app.admin(), &format!("shopPart?asOf={cursor}")).await;
        assert_eq!(refusal, (410, "CURSOR_TOO_OLD".to_owned()));
    }
}
