//! Talking to a running server: GraphQL and plain requests, with the errors of either.

use std::time::Duration;

use clap::Args;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::error::{Code, Error, Result};

/// How long a server is waited for until it takes a connection, and until it says something. It bounds what it does
/// itself; one that hangs must not hold up for ever who asks it.
const TIMEOUTS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(600)];

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
    /// # Errors
    /// `BAD_REQUEST` when the URL is none of a server.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let server = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !url::Url::parse(url).is_ok_and(|url| server(&url)) {
            let text = format!("`{url}` is not the URL of a server; write --url http://127.0.0.1:8080");
            return Err(Error::bad_request(text));
        }
        Self::with_timeouts(url, token, TIMEOUTS)
    }

    fn with_timeouts(url: &str, token: Option<&str>, [connect, read]: [Duration; 2]) -> Result<Self> {
        let builder = Client::builder().no_proxy().connect_timeout(connect).read_timeout(read);
        let client = builder.build().map_err(Error::internal)?;
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
        let error = answer.pointer("/errors/0").or(answer.get("error"));
        match answer.get("data").filter(|_| error.is_none()) {
            Some(data) => Ok(data.clone()),
            None => Err(refused(status, error)),
        }
    }
}

/// What a server's error means here, one of GraphQL or of a plain request.
pub(super) fn refused(status: u16, error: Option<&Value>) -> Error {
    let told = |pointer| error.and_then(|error| error.pointer(pointer)?.as_str());
    let message = told("/message").unwrap_or("nothing that can be understood; check --url");
    let name = told("/code").or(told("/extensions/code")).unwrap_or_default();
    let code = match (status, name) {
        (_, "BACKPRESSURE" | "RATE_LIMITED") | (429, _) => Code::Backpressure,
        (_, "UNAVAILABLE" | "TIMEOUT") | (502..=504, _) => Code::Unavailable,
        (_, "NOT_FOUND") => Code::NotFound,
        (500, _) => Code::Internal,
        _ => Code::BadRequest,
    };
    let shown = if name.is_empty() { status.to_string() } else { name.to_owned() };
    Error::new(code, format!("the server says: {message} ({shown})"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use super::*;

    #[tokio::test]
    async fn a_server_that_hangs_is_given_up() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let remote = Remote::with_timeouts(&url, None, [Duration::from_millis(50); 2]).unwrap();
        let asked = remote.graphql("{ __typename }", Value::Null);
        let waited = tokio::time::timeout(Duration::from_secs(20), asked).await;
        assert_eq!(waited.unwrap().unwrap_err().code(), Code::Unavailable);
    }
}
