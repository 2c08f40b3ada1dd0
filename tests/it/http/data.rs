//! Rows by REST: formats, parameters, pages, and what a policy leaves of them.

use reqwest::{Response, header::HeaderMap};
use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends, on_every_backend};

/// Thirty-five parts, read ten at a time.
async fn parts(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        config.graphql.page_max = 10;
        config.graphql.page_default = 10;
        config.data.page_rows_max = 10;
    })
    .await;
    for n in 0..35 {
        let part = json!({"no": n, "name": format!("part \"{n}\", blue"), "size": {"mm": n * 7 % 10, "note": ""},
            "tags": ["a", "b"], "price": if n % 2 == 0 { json!(n) } else { Value::Null },
            "email": format!("p{n}@example.com")});
        app.source(&format!("shop/part/erp/{n}"), &part).await;
    }
    app.settled().await;
    app
}

async fn get(app: &TestApp, token: &str, path: &str) -> Response {
    app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(token).send().await.unwrap()
}

async fn text(app: &TestApp, path: &str) -> (HeaderMap, String) {
    let response = get(app, &app.admin(), path).await;
    assert_eq!(response.status(), 200, "{path}");
    (response.headers().clone(), response.text().await.unwrap())
}

async fn refused(app: &TestApp, path: &str) -> (u16, String, String) {
    let response = get(app, &app.admin(), path).await;
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    let part = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    (status, part("code"), part("message"))
}

on_every_backend! {
    async fn all_rows_come_in_every_format(backend) {
        let app = parts(backend).await;
        let (headers, body) = text(&app, "shopPart").await;
        assert_eq!(headers["content-type"], "application/json; charset=utf-8");
        let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
        assert_eq!(rows.len(), 35);
        assert!(rows.iter().all(|row| row["size"]["mm"].is_number() && row.get("_record").is_none()));

        let (headers, body) = text(&app, "shopPart.ndjson?order=size.mm:desc,no").await;
        assert!(headers["content-type"].to_str().unwrap().starts_with("application/x-ndjson"));
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let order: Vec<(i64, i64)> =
            lines.iter().map(|row| (-row["size"]["mm"].as_i64().unwrap(), row["no"].as_i64().unwrap())).collect();
        assert_eq!(order.len(), 35);
        assert!(order.is_sorted(), "{order:?}");

        let csv = "shopPart.csv?fields=no,name,size,tags,price,_record.sourceUid&order=no&first=2";
        let (_, body) = text(&app, csv).await;
        assert_eq!(
            body,
            "no,name,size.mm,size.note,tags,price,_record.sourceUid\r\n\
             0,\"part \"\"0\"\", blue\",0,\"\",\"[\"\"a\"\",\"\"b\"\"]\",0,0\r\n\
             1,\"part \"\"1\"\", blue\",7,\"\",\"[\"\"a\"\",\"\"b\"\"]\",,1\r\n"
        );
    }

    async fn rows_come_as_xml_and_as_files(backend) {
        let app = parts(backend).await;
        let xml = "shopPart.xml?fields=no,name,size,tags,price&order=no&first=2";
        let (headers, body) = text(&app, xml).await;
        assert_eq!(headers["content-type"], "application/xml; charset=utf-8");
        assert_eq!(headers["content-disposition"], "attachment; filename=\"shopPart.xml\"");
        assert_eq!(
            body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <rows xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n\
             <row><no>0</no><name>part \"0\", blue</name><size><mm>0</mm><note></note></size>\
             <tags><item>a</item><item>b</item></tags><price>0</price></row>\n\
             <row><no>1</no><name>part \"1\", blue</name><size><mm>7</mm><note></note></size>\
             <tags><item>a</item><item>b</item></tags><price xsi:nil=\"true\"/></row>\n</rows>\n"
        );
        let (_, body) = text(&app, "shopPart.xml").await;
        assert_eq!(body.matches("<row>").count(), 35);
        let response = app.client.get(format!("{}/data/shopPart", app.url)).bearer_auth(app.admin());
        let response = response.header("accept", "text/csv;q=0.3, text/xml;q=0.7, */*;q=0.1").send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/xml; charset=utf-8");
        assert!(response.headers().get("content-disposition").is_none());
        let url = format!("{}/data/shopPart.csv", app.url);
        let head = app.client.head(&url).bearer_auth(app.admin()).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-type"], "text/csv; charset=utf-8");
        assert_eq!(head.text().await.unwrap(), "");
        let options = app.client.request(reqwest::Method::OPTIONS, &url).send().await.unwrap();
        assert_eq!(options.status(), 204);
        assert_eq!(options.headers()["allow"], "GET, HEAD, OPTIONS");
    }

    async fn a_page_links_to_the_next_and_a_cursor_resumes(backend) {
        let app = parts(backend).await;
        let filter = "%7B%22no%22%3A%7B%22gte%22%3A%205%7D%7D";
        let (mut seen, mut path) = (Vec::new(), format!("shopPart?where={filter}&order=no&first=7"));
        loop {
            let (headers, body) = text(&app, &path).await;
            let rows: Vec<Value> = serde_json::from_str(&body).unwrap();
            seen.extend(rows.iter().map(|row| row["no"].as_i64().unwrap()));
            let Some(link) = headers.get("link") else { break };
            let (target, relation) = link.to_str().unwrap().split_once(">; ").unwrap();
            assert_eq!(relation, "rel=\"next\"");
            path = target.strip_prefix("</data/").unwrap().to_owned();
        }
        assert_eq!(seen, (5..35).collect::<Vec<i64>>());

        let (_, body) = text(&app, "shopPart.ndjson?order=no&fields=_cursor,no").await;
        let lines: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let cursor = lines[24]["_cursor"].as_str().unwrap();
        let (_, rest) = text(&app, &format!("shopPart.ndjson?order=no&fields=no&after={cursor}")).await;
        assert_eq!(rest.lines().count(), 10);
        assert_eq!(rest.lines().next(), Some(r#"{"no":25}"#));
    }

    async fn an_export_that_is_cut_goes_on_behind_its_last_row(backend) {
        let app = TestApp::start_with(backend, |config| config.data.page_bytes = 64 * 1024).await;
        let part = |n: usize, version: usize| json!({"no": n, "version": version, "text": "x".repeat(20_000)});
        for n in 0..120 {
            app.source(&format!("shop/part/erp/{n}"), &part(n, 1)).await;
        }
        app.settled().await;
        let writing = async {
            for n in 0..60 {
                // What is there is written again, and new rows come.
                app.source(&format!("shop/part/erp/{n}"), &part(n, 2)).await;
                app.source(&format!("shop/part/erp/{}", 1_000 + n), &part(1_000 + n, 1)).await;
            }
        };
        let reading = async {
            let (mut seen, mut cuts, mut after) = (Vec::new(), 0, String::new());
            loop {
                let path = format!("shopPart.ndjson?fields=_cursor,no,text{after}");
                let mut response = get(&app, &app.admin(), &path).await;
                assert_eq!(response.status(), 200);
                let (mut held, mut whole) = (Vec::new(), false);
                // The client goes away in the middle, each time but the last few.
                while cuts >= 4 || held.len() < 300_000 {
                    let Some(chunk) = response.chunk().await.unwrap() else {
                        whole = true;
                        break;
                    };
                    held.extend_from_slice(&chunk);
                }
                drop(response);
                let text = String::from_utf8(held).unwrap();
                for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                    let row: Value = serde_json::from_str(line).unwrap();
                    seen.push(row["no"].as_u64().unwrap());
                    after = format!("&after={}", row["_cursor"].as_str().unwrap());
                }
                if whole {
                    return (seen, cuts);
                }
                cuts += 1;
            }
        };
        let ((mut seen, cuts), ()) = tokio::join!(reading, writing);
        assert_eq!(cuts, 4);
        seen.retain(|no| *no < 1_000);
        seen.sort_unstable();
        assert_eq!(seen, (0..120).collect::<Vec<u64>>(), "each once");
    }

    async fn the_policy_holds_here_as_everywhere(backend) {
        let app = parts(backend).await;
        let steward = app.token("steward", json!({}));
        let body = get(&app, &steward, "shopPart.csv").await.text().await.unwrap();
        assert!(body.contains("blue") && !body.contains("example.com"), "{body}");
        let probe = "shopPart?where=%7B%22email%22%3A%7B%22eq%22%3A%22p1%40example.com%22%7D%7D";
        assert_eq!(get(&app, &steward, probe).await.status(), 400);
        assert_eq!(get(&app, &steward, "shopPart?order=email").await.status(), 400);
        let source = app.token("source", json!({}));
        for name in ["shopPart", "shopNothing"] {
            let response = get(&app, &source, name).await;
            assert_eq!(response.status(), 404);
            let body: Value = response.json().await.unwrap();
            assert!(body["error"]["message"].as_str().unwrap().starts_with("there is no collection"), "{body}");
        }
    }
}

on_backends! { [embedded Embedded]
    async fn what_is_wrong_is_named(backend) {
        let app = parts(backend).await;
        let cases = [
            ("shopPart.xlsx", 404, "NOT_FOUND", ".csv"),
            ("shopPart?limit=3", 400, "BAD_REQUEST", "`first`"),
            ("shopPart?first=0", 400, "BAD_REQUEST", "at least 1"),
            ("shopPart?first=1&first=2", 400, "BAD_REQUEST", "twice"),
            ("shopPart?where=no", 400, "BAD_REQUEST", "`where`"),
            ("shopPart?where=%7B%22colour%22%3A1%7D", 400, "BAD_REQUEST", "colour"),
            ("shopPart?order=no:up", 400, "BAD_REQUEST", "`desc`"),
            ("shopPart?order=colour", 400, "BAD_REQUEST", "colour"),
            ("shopPart?fields=colour", 400, "BAD_REQUEST", "colour"),
            ("shopPart?fields=size.colour", 400, "BAD_REQUEST", "size.colour"),
            ("shopPart?after=zzz", 400, "BAD_REQUEST", "cursor"),
        ];
        for (path, status, code, word) in cases {
            let (got, got_code, message) = refused(&app, path).await;
            assert_eq!((got, got_code.as_str()), (status, code), "{path}: {message}");
            assert!(message.contains(word), "{path}: {message}");
        }
        let response = app.client.get(format!("{}/data/shopPart", app.url)).bearer_auth(app.admin());
        let response = response.header("accept", "image/png").send().await.unwrap();
        assert_eq!(response.status(), 406);
        let response = app.client.get(format!("{}/data/shopPart", app.url)).bearer_auth(app.admin());
        let response = response.header("accept", "text/csv;q=0.9, application/json;q=0.1").send().await.unwrap();
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    }
}

on_backends! { [embedded Embedded]
    async fn an_export_beyond_its_time_is_broken_off(backend) {
        // Fifty pages of one row cannot be made within the one millisecond that they have.
        let app = TestApp::start_with(backend, |config| {
            config.data.page_rows_max = 1;
            config.data.export_timeout_ms = 1;
        })
        .await;
        for n in 0..50 {
            app.source(&format!("shop/part/erp/{n}"), &json!({"no": n})).await;
        }
        app.settled().await;
        let url = format!("{}/data/shopPart.ndjson", app.url);
        let whole = async { app.client.get(url).bearer_auth(app.admin()).send().await?.bytes().await };
        assert!(whole.await.is_err(), "a part must not look like the whole");
        // What holds its place gives it back.
        for _ in 0..40 {
            assert_eq!(get(&app, &app.admin(), "shopPart.ndjson?first=1").await.status(), 200);
        }
    }
}
