//! Talking to a running server: GraphQL and plain requests, with the errors of either.

use clap::Args;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::error::{Code, Error, Result};

/// Which server, and as whom.
#[derive(Args, Clone)]
pub(super) struct Target {
    /// The server's address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(super) url: String,
    /// A token of the server.
    #[arg(long)]
    pub(super) token: Option<String>,
}

/// A client of one server.
pub(super) struct Remote {
    client: Client,
    url: String,
    token: Option<String>,
}

impl Remote {
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let client = Client::builder().no_proxy().build().map_err(Error::internal)?;
        Ok(Remote { client, url: url.trim_end_matches('/').to_owned(), token: token.map(str::to_owned) })
    }

    /// A request with the token.
    pub(super) fn request(&self, method: reqwest::Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and gives status and body.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<(u16, String)> {
        let away = |error: reqwest::Error| {
            Error::unavailable(format!("`{}` does not answer; check --url", self.url), error)
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(away)?))
    }

    /// Runs an operation and gives its `data`.
    pub(super) async fn graphql(&self, query: &str, variables: Value) -> Result<Value> {
        let body = json!({"query": query, "variables": variables});
        let (status, text) = self.send(self.request(reqwest::Method::POST, "/graphql").json(&body)).await?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| {
            Error::unavailable(
                format!("`{}` answered {status} with something else than JSON", self.url),
                error,
            )
        })?;
        if let Some(error) = answer.pointer("/errors/0") {
            return Err(refused(status, error.get("message"), error.pointer("/extensions/code")));
        }
        answer.get("data").cloned().ok_or_else(|| refused(status, None, None))
    }
}

/// What a server's error means here.
pub(super) fn refused(status: u16, message: Option<&Value>, code: Option<&Value>) -> Error {
    let message = message.and_then(Value::as_str).unwrap_or("the server refused without a reason");
    let name = code.and_then(Value::as_str).unwrap_or_default();
    let code = match (status, name) {
        (_, "BACKPRESSURE" | "RATE_LIMITED") | (429, _) => Code::Backpressure,
        (_, "UNAVAILABLE" | "TIMEOUT") | (502..=504, _) => Code::Unavailable,
        (_, "NOT_FOUND") => Code::NotFound,
        (500, _) => Code::Internal,
        _ => Code::BadRequest,
    };
    Error::new(code, format!("the server says: {message} ({status} {name})"))
}
