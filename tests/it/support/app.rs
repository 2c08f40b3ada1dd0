//! A node in this process, on any backend, and what a client does with it.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use wellspring::{
    app::App,
    config::{Config, Exposure},
    error::Result,
    http::auth::Keys,
    telemetry::Clock,
};

use super::{
    backend::{Backend, fresh_database},
    live::Subscription,
    servers::Redis,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node; dropping it stops it.
pub struct TestApp {
    pub url: String,
    pub client: Client,
    config: Config,
    keys: Keys,
    running: Option<JoinHandle<Result<()>>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
    redis: Option<Arc<Redis>>,
    directory: Arc<TempDir>,
}

/// Gives a node policies of its own, as names and texts of files.
pub fn write_policies(config: &Config, files: &[(&str, &str)]) {
    let directory = config.store.data.join("policies");
    std::fs::create_dir_all(&directory).unwrap();
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
}

impl TestApp {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| ()).await
    }

    /// A node whose configuration `change` has changed.
    pub async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".into();
        config.store.data = directory.path().join("data");
        // What is new is seen at once, as with SQLite, unless a test says otherwise.
        config.shape.exposure = Exposure::Open;
        let mut redis = None;
        if backend != Backend::Embedded {
            config.store.database_url = Some(fresh_database().await);
            config.store.connections_max = 8;
        }
        if backend == Backend::Scaled {
            redis = Redis::start().map(Arc::new);
            config.stream.redis_url = redis.as_ref().map(|redis| redis.url());
        }
        change(&mut config);
        Self::run(config, redis, directory).await
    }

    /// A second node on the same database and stream.
    pub async fn beside(&self) -> Self {
        let mut config = self.config.clone();
        config.auth.key_file = Some(self.config.key_file());
        config.store.data = self.directory.path().join("second");
        Self::run(config, self.redis.clone(), self.directory.clone()).await
    }

    /// Stops it and starts it anew on what it has kept.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| ()).await
    }

    /// The same, with a configuration that `change` has changed.
    pub async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        let (mut config, redis, directory) =
            (self.config.clone(), self.redis.clone(), self.directory.clone());
        change(&mut config);
        self.end().await;
        drop(self);
        Self::run(config, redis, directory).await
    }

    async fn run(config: Config, redis: Option<Arc<Redis>>, directory: Arc<TempDir>) -> Self {
        let app = App::build(config.clone(), Clock::system()).await.unwrap();
        let stop = CancellationToken::new();
        TestApp {
            url: format!("http://{}", app.address()),
            client: Client::builder().no_proxy().build().unwrap(),
            config,
            keys: app.keys().clone(),
            running: Some(tokio::spawn(app.run_until(stop.clone().cancelled_owned()))),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
            redis,
            directory,
        }
    }

    /// Stops it and expects a good end.
    pub async fn end(&mut self) {
        self.stop.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap().unwrap();
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Its signing key.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A token of one role with further claims.
    pub fn token(&self, role: &str, claims: Value) -> String {
        let mut all = claims.as_object().cloned().unwrap_or_default();
        all.entry("sub").or_insert_with(|| json!(role));
        all.entry("roles").or_insert_with(|| json!([role]));
        all.insert("exp".into(), json!(Clock::system().now_us() / 1_000_000 + 600));
        self.keys.sign(&all).unwrap()
    }

    pub fn admin(&self) -> String {
        self.token("admin", json!({}))
    }

    /// The whole answer to a GraphQL request.
    pub async fn ask(&self, token: &str, query: &str, variables: Value) -> Value {
        let body = json!({"query": query, "variables": variables});
        let request = self.client.post(format!("{}/graphql", self.url)).bearer_auth(token).json(&body);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// `data` of an answer without errors, asked as admin.
    pub async fn data(&self, query: &str) -> Value {
        self.data_as(&self.admin(), query).await
    }

    /// `data` of an answer without errors.
    pub async fn data_as(&self, token: &str, query: &str) -> Value {
        let mut answer = self.ask(token, query, json!({})).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// `data`, as admin, once it holds.
    pub async fn data_until(&self, query: &str, good: impl Fn(&Value) -> bool) -> Value {
        self.data_until_as(&self.admin(), query, good).await
    }

    /// `data` once it holds; until then errors are looked over, as of a collection that is not there yet.
    pub async fn data_until_as(&self, token: &str, query: &str, good: impl Fn(&Value) -> bool) -> Value {
        eventually(query, async || {
            let mut answer = self.ask(token, query, json!({})).await;
            if answer.get("errors").is_none() && good(&answer["data"]) {
                return Ok(answer["data"].take());
            }
            Err(answer)
        })
        .await
    }

    /// The codes of the errors that a query is answered with.
    pub async fn codes(&self, token: &str, query: &str) -> Vec<String> {
        let answer = self.ask(token, query, json!({})).await;
        let errors = answer["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["extensions"]["code"].as_str().unwrap_or("none").to_owned()).collect()
    }

    /// Sends one document as a source; its receipt.
    pub async fn source(&self, path: &str, document: &Value) -> Value {
        let (status, answer) = self.post(path, "application/json", document.to_string(), &[]).await;
        assert_eq!(status, 202, "{path}: {answer}");
        answer
    }

    /// Posts a body to a source route as a source: status and answer.
    pub async fn post(
        &self,
        path: &str,
        media_type: &str,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> (u16, Value) {
        let url = format!("{}/source/{path}", self.url);
        let mut request = self.client.post(url).bearer_auth(self.token("source", json!({})));
        request = request.header("content-type", media_type).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Takes a document back; its receipt.
    pub async fn retract(&self, path: &str) -> Value {
        let parts: Vec<&str> = path.split('/').collect();
        let input = json!({
            "category": parts[0], "subcategory": parts[1], "sourceName": parts[2], "sourceUid": parts[3],
        });
        let query =
            "mutation($input: RetractInput!) { retract(input: $input) { id key revision duplicate status } }";
        let token = self.token("source", json!({}));
        let answer = self.ask(&token, query, json!({"input": input})).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"]["retract"].clone()
    }

    /// Waits until everything that was accepted is settled, and this node knows the collections that it made.
    pub async fn settled(&self) {
        let query = "{ lag { outbox pending } sources { category subcategory } collections { category subcategory } }";
        self.data_until(query, |data| {
            let made = data["collections"].as_array().cloned().unwrap_or_default();
            let known = |source: &Value| {
                let same = |part: &str, other: &Value| other[part] == source[part];
                made.iter().any(|other| same("category", other) && same("subcategory", other))
            };
            let sources = data["sources"].as_array().cloned().unwrap_or_default();
            data["lag"]["outbox"] == "0" && data["lag"]["pending"] == "0" && sources.iter().all(known)
        })
        .await;
    }

    pub async fn subscribe(&self, token: &str, query: &str) -> Subscription {
        Subscription::open(&self.url, token, query).await
    }
}

/// Asks until there is an answer; fails with the last refusal when it takes too long.
pub async fn eventually<T, E: Debug>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    let mut last = None;
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(refusal) => last = Some(refusal),
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.unwrap_or_else(|_| panic!("waited too long for {what}; at last: {last:?}"))
}

/// What is ready within the time that anything may take.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
