//! The demo's clients: they come in by the public door, with tokens, like everybody. Must not touch a service
//! from inside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::http::auth::Keys;

/// How long the demo's tokens live, in seconds.
const TOKEN_LIFE_S: i64 = 7 * 24 * 3600;

/// One who knocks: an address and a token.
#[derive(Clone)]
pub(super) struct Door {
    client: Client,
    url: String,
    token: String,
}

impl Door {
    /// The door at `address` for somebody with these claims.
    ///
    /// # Errors
    /// `INTERNAL` when no client or token can be made.
    pub(super) fn new(address: SocketAddr, keys: &Keys, claims: Value, now_us: i64) -> Result<Self> {
        let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
        let mut all: Map<String, Value> = claims.as_object().cloned().unwrap_or_default();
        all.insert("exp".into(), json!(now_us / 1_000_000 + TOKEN_LIFE_S));
        // A proxy of the environment must not stand between the demo and itself.
        let client = Client::builder().no_proxy().build().map_err(Error::internal)?;
        let url = format!("http://{}", SocketAddr::new(host, address.port()));
        Ok(Door { client, url, token: keys.sign(&all)? })
    }

    /// Where the server is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The playground, opened as this one.
    pub(super) fn playground(&self) -> String {
        format!("{}/graphiql#token={}", self.url, self.token)
    }

    /// Sends one document.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it is not accepted.
    pub(super) async fn source(&self, path: &str, uid: &str, document: &Value) -> Result<()> {
        let url = format!("{}/source/{path}/{uid}", self.url);
        self.answer(self.client.post(url).json(document)).await.map(drop)
    }

    /// Sends a batch and says how many documents were accepted; sending it again changes nothing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when not all of it is accepted.
    pub(super) async fn source_batch(
        &self,
        path_and_query: &str,
        media_type: &'static str,
        body: &'static str,
    ) -> Result<u64> {
        let url = format!("{}/source/{path_and_query}", self.url);
        let request = self.client.post(url).header("content-type", media_type);
        let answer = self.answer(request.header("idempotency-key", "samples").body(body)).await?;
        match answer.pointer("/rejected/0") {
            None => Ok(answer.get("accepted").and_then(Value::as_u64).unwrap_or(0)),
            Some(first) => Err(Error::unavailable("the sample data was not accepted", first.to_string())),
        }
    }

    /// Takes a document back.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it is not accepted.
    pub(super) async fn retract(&self, path: &str, uid: &str) -> Result<()> {
        let mut parts = path.split('/');
        let mut part = || parts.next().unwrap_or_default();
        let input = json!({
            "category": part(), "subcategory": part(), "sourceName": part(), "sourceUid": uid,
        });
        let query = "mutation($input: RetractInput!) { retract(input: $input) { id } }";
        self.graphql(query, json!({ "input": input })).await.map(drop)
    }

    /// Asks; `data` of the answer.
    ///
    /// # Errors
    /// `UNAVAILABLE` when there is no answer, or one with errors.
    pub(super) async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let mut answer = self.answer(self.client.post(format!("{}/graphql", self.url)).json(&body)).await?;
        match answer.get("errors") {
            None => Ok(answer.get_mut("data").map(Value::take).unwrap_or_default()),
            Some(errors) => Err(Error::unavailable("the demo's query failed", errors.to_string())),
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let away = |cause| Error::unavailable("the demo cannot reach its own door", cause);
        let response = request.bearer_auth(&self.token).send().await.map_err(away)?;
        let status = response.status();
        let text = response.text().await.map_err(away)?;
        if !status.is_success() {
            return Err(Error::unavailable("the demo's own door refused", format!("{status}: {text}")));
        }
        serde_json::from_str(&text).map_err(Error::internal)
    }
}
