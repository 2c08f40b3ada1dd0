//! What the real binary logs and counts: one truthful line for each request and each record.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::support::{Subscription, TestApp, eventually, on_backends, soon};

/// The copies go one hop too far and are parked.
const CONFIG: &str = r#"
[log]
format = "json"
filter = "wellspring=info"
[provisioning]
hops_max = 0
[[provisioning.masks]]
name = "too-far"
category = "far"
subcategory = "away"
to_subcategory = "farther"
fields = ["/x"]
mask = "hash"
"#;

/// The binary, killed when dropped.
struct Server {
    child: Child,
    url: String,
    client: Client,
    directory: TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file("wellspring.toml"), CONFIG).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(file("wellspring.toml"));
        command.arg("--data").arg(file("data"));
        let log = fs::File::create(file("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| Some(line.unwrap().split_once("listening on ")?.1.trim().to_owned()));
        let client = Client::builder().no_proxy().build().unwrap();
        Server { child, url: url.expect("it listens"), client, directory }
    }

    fn token(&self, role: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        command.args(["token", "--subject", role, "--role", role, "--data"]);
        let output = command.arg(self.directory.path().join("data")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn post(&self, path: &str, role: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(self.token(role))
    }

    /// The line that holds all of `wanted`, once it is there; there is no other of the same.
    async fn line(&self, target: &str, wanted: &Value) -> Value {
        let wanted = wanted.as_object().unwrap();
        let fits = |line: &Value| line["target"] == target && wanted.iter().all(|(k, v)| line[k] == *v);
        eventually(&format!("{target} {wanted:?}"), async || {
            let text = fs::read_to_string(self.directory.path().join("log")).unwrap();
            // The last line may be half written.
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found: Vec<Value> = lines.filter(fits).collect();
            assert!(found.len() < 2, "{found:?}");
            found.into_iter().next().ok_or(text)
        })
        .await
    }

    async fn request(&self, wanted: Value) -> Value {
        self.line("wellspring::request", &wanted).await
    }

    async fn counted(&self, sample: &str) {
        eventually(sample, async || {
            let text =
                self.client.get(format!("{}/metrics", self.url)).send().await.unwrap().text().await.unwrap();
            if text.lines().any(|line| line == sample) { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_and_its_request_have_a_line_and_a_count() {
    let server = Server::start();
    let send = async |path: &str, role: &str, id: &str| {
        let request = server.post(&format!("/source/{path}"), role).header("x-request-id", id);
        let answer = request.json(&json!({"x": 1})).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, receipt) = send("near/by/test/1", "source", "done").await;
    assert_eq!(status, 202);
    let line = server.request(json!({"request_id": "done"})).await;
    assert_eq!(
        (&line["status"], &line["code"], &line["subject"]),
        (&json!(202), &json!("202"), &json!("source"))
    );
    assert_eq!(line["route"], "/source/{category}/{subcategory}/{source_name}/{source_uid}");
    assert_eq!((&line["complete"], &line["level"]), (&json!(true), &json!("INFO")), "{line}");
    let line = server.line("wellspring::settled", &json!({"record": receipt["id"]})).await;
    assert_eq!(
        (&line["outcome"], &line["category"], &line["revision"]),
        (&json!("done"), &json!("near"), &json!(1))
    );
    assert!(line["settled_at_us"].as_i64() >= line["ingested_at_us"].as_i64(), "{line}");

    let (status, receipt) = send("far/away/test/1", "source", "far").await;
    assert_eq!(status, 202);
    server.line("wellspring::settled", &json!({"record": receipt["id"]})).await;
    let line = server.line("wellspring::settled", &json!({"outcome": "parked"})).await;
    assert_eq!(line["category"], "far", "{line}");

    let (status, _) = send("near/by/test/2", "consumer", "denied").await;
    assert_eq!(status, 403);
    let line = server.request(json!({"request_id": "denied"})).await;
    assert_eq!(
        (&line["status"], &line["code"], &line["subject"]),
        (&json!(403), &json!("FORBIDDEN"), &json!("consumer"))
    );

    let route = "/source/{category}/{subcategory}/{source_name}/{source_uid}";
    server.counted(&format!("wellspring_requests_total{{route=\"{route}\",code=\"202\"}} 2")).await;
    server.counted(&format!("wellspring_requests_total{{route=\"{route}\",code=\"FORBIDDEN\"}} 1")).await;
    server.counted("wellspring_records_settled_total{outcome=\"parked\"} 1").await;
    server.counted("wellspring_dead_letters_parked 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_in_an_answer_is_in_its_line() {
    let server = Server::start();
    let ask = async |query: &str, id: &str| {
        let request = server.post("/graphql", "consumer").header("x-request-id", id);
        let answer = request.json(&json!({"query": query})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let denied = "{ __typename deadLetters { key } }";
    let answer = ask(denied, "field").await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
    let line = server.request(json!({"request_id": "field"})).await;
    assert_eq!((&line["status"], &line["code"]), (&json!(200), &json!("FORBIDDEN")), "{line}");
    ask("{ nothing }", "invalid").await;
    assert_eq!(server.request(json!({"request_id": "invalid"})).await["code"], "BAD_REQUEST");
    ask("{ __typename }", "good").await;
    assert_eq!(server.request(json!({"request_id": "good"})).await["code"], "200");

    // The same on a socket, each under the number that the client gave it.
    let _denied = Subscription::open(&server.url, &server.token("consumer"), denied).await;
    let line = server.request(json!({"operation": "1", "code": "FORBIDDEN"})).await;
    assert_eq!(line["items"], 1, "{line}");
    let _invalid = Subscription::open(&server.url, &server.token("consumer"), "{ nothing }").await;
    server.request(json!({"operation": "1", "code": "BAD_REQUEST", "items": 0})).await;
    let _good = Subscription::open(&server.url, &server.token("consumer"), "{ __typename }").await;
    server.request(json!({"operation": "1", "code": "200", "items": 1})).await;
    for (code, count) in [("200", 1), ("FORBIDDEN", 1), ("BAD_REQUEST", 1)] {
        for route in ["/graphql", "/graphql socket"] {
            let sample = format!("wellspring_requests_total{{route=\"{route}\",code=\"{code}\"}} {count}");
            server.counted(&sample).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_closed_out_at_its_end() {
    let server = Server::start();
    for n in 0..3 {
        let request = server.post(&format!("/source/near/by/test/{n}"), "admin").json(&json!({"x": n}));
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    eventually("rows", async || {
        let request = server.post("/graphql", "admin").json(&json!({"query": "{ nearBy { totalCount } }"}));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        if answer["data"]["nearBy"]["totalCount"] == 3 { Ok(()) } else { Err(answer) }
    })
    .await;

    let query = json!({"query": "subscription { nearBy(snapshot: true) { op } }"});
    let request = server.post("/graphql", "admin").header("accept", "text/event-stream");
    let mut events = request.header("x-request-id", "stream").json(&query).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("CAUGHT_UP") {
        let chunk = soon("an event", events.chunk()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let log = fs::read_to_string(server.directory.path().join("log")).unwrap();
    assert!(!log.contains("\"stream\""), "an open stream is not closed out");
    drop(events);
    let line = server.request(json!({"request_id": "stream"})).await;
    assert_eq!((&line["status"], &line["items"], &line["complete"]), (&json!(200), &json!(4), &json!(false)));

    let request =
        server.client.get(format!("{}/data/nearBy.csv", server.url)).bearer_auth(server.token("admin"));
    let body = request.header("x-request-id", "export").send().await.unwrap().text().await.unwrap();
    let line = server.request(json!({"request_id": "export"})).await;
    assert_eq!(
        (&line["items"], &line["bytes"], &line["complete"]),
        (&json!(3), &json!(body.len()), &json!(true))
    );
}

on_backends! { [postgres Postgres]
    async fn a_client_that_leaves_is_counted_too(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.server.request_timeout_ms = 3_600_000;
            config.store.statement_timeout_ms = 3_600_000;
        })
        .await;
        let url = app.config().store.database_url.clone().unwrap();
        let mut holder = PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("begin; lock table record in exclusive mode").execute(&mut holder).await.unwrap();
        let metric = async |sample: &str| {
            eventually(sample, async || {
                let answer = app.client.get(format!("{}/metrics", app.url)).send().await.unwrap();
                let text = answer.text().await.unwrap();
                if text.lines().any(|line| line == sample) { Ok(()) } else { Err(text) }
            })
            .await;
        };
        let request = Client::new().post(format!("{}/source/near/by/test/1", app.url)).bearer_auth(app.admin());
        let asking = tokio::spawn(request.json(&json!({"x": 1})).send());
        metric("wellspring_requests_open 1").await;
        asking.abort();
        let route = "/source/{category}/{subcategory}/{source_name}/{source_uid}";
        metric(&format!("wellspring_requests_total{{route=\"{route}\",code=\"CANCELLED\"}} 1")).await;
        holder.close().await.unwrap();
    }
}
