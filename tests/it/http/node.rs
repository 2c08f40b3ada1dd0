//! A node in this process, on a free port, in a directory of its own.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use wellspring::{
    app::App,
    config::Config,
    http::auth::Keys,
    telemetry::{Clock, Metrics},
};

/// A running node; dropping it stops it.
pub struct Node {
    pub url: String,
    pub client: Client,
    pub metrics: Metrics,
    keys: Keys,
    stop: CancellationToken,
    running: Option<tokio::task::JoinHandle<wellspring::error::Result<()>>>,
    _stop_on_drop: DropGuard,
    directory: tempfile::TempDir,
}

impl Node {
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_clock(Clock::system(), change).await
    }

    /// A node whose time is this.
    pub async fn with_clock(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.store.data = directory.path().join("data");
        config.server.listen = "127.0.0.1:0".into();
        change(&mut config);
        let app = App::build(config, clock).await.unwrap();
        let url = format!("http://{}", app.address());
        let (keys, metrics) = (app.keys().clone(), app.metrics().clone());
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run_until(stop.clone().cancelled_owned()));
        Node {
            url,
            client: Client::builder().no_proxy().build().unwrap(),
            metrics,
            keys,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            running: Some(running),
            directory,
        }
    }

    /// A token with these claims beside a fitting `exp`.
    pub fn token(&self, claims: Value) -> String {
        let mut claims = claims.as_object().unwrap().clone();
        let now = Clock::system().now_us() / 1_000_000;
        claims.entry("exp").or_insert_with(|| json!(now + 600));
        self.keys.sign(&claims).unwrap()
    }

    pub fn admin(&self) -> String {
        self.token(json!({"sub": "root", "roles": ["admin"]}))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    /// `POST /graphql` as admin; the whole answer.
    pub async fn graphql(&self, query: &str) -> Value {
        let request = self.post("/graphql").bearer_auth(self.admin()).json(&json!({"query": query}));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// Sources one document as admin.
    pub async fn source(&self, path: &str, document: &Value) -> Value {
        let request = self.post(&format!("/source/{path}")).bearer_auth(self.admin()).json(document);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Asks until the answer holds.
    pub async fn until(&self, query: &str, good: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let answer = self.graphql(query).await;
                if good(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asking).await.expect("not within 20 s")
    }

    /// Keeps its database from writing anything until the answer is dropped.
    pub fn hold_database(&self) -> rusqlite::Connection {
        let file = self.directory.path().join("data/wellspring.db");
        assert!(file.exists());
        let holder = rusqlite::Connection::open(file).unwrap();
        holder.execute_batch("pragma busy_timeout = 20000; begin immediate").unwrap();
        holder
    }

    /// Stops it and gives how it ended.
    pub async fn stop(mut self) -> wellspring::error::Result<()> {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap()
    }
}

/// The error code of a REST answer.
pub async fn code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    assert!(!body["error"]["message"].as_str().unwrap().is_empty(), "{body}");
    assert!(!body["error"]["requestId"].as_str().unwrap().is_empty(), "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}
