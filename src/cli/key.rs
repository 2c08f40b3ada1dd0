//! `wellspring key`: API keys of a running server.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Answer, print,
    remote::{Remote, Target},
    runtime, token,
};
use crate::error::{Error, Result};
use crate::query::write;
use crate::telemetry::Clock;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make an API key; print it and nothing else: it is shown this once. Needs an administrator's token.
    Create(Create),
    /// List all API keys, all but the keys themselves.
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Revoke an API key: within a second it is good on no node.
    Revoke {
        #[command(flatten)]
        target: Target,
        /// Its id, as `list` tells it.
        id: String,
    },
}

#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    target: Target,
    /// Whom the key speaks for.
    #[arg(long)]
    subject: String,
    /// What it is called, for those who list keys; without it as its subject.
    #[arg(long)]
    name: Option<String>,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// A further claim; the value is JSON, or else text. May be given several times.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// The contract under which it reads, and does nothing else: `name` or `name@version`.
    #[arg(long)]
    contract: Option<String>,
    /// How long it is good for, such as `12h`, `90d`; without it until it is revoked.
    #[arg(long)]
    ttl: Option<String>,
}

const CREATE: &str =
    "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { key apiKey { id expiresAt } } }";
const REVOKE: &str = "mutation($id: ID!) { revokeApiKey(id: $id) { id name subject revokedAt } }";
const LIST: &str = "query($after: ID) { apiKeys(after: $after) {
    id name subject roles contract createdAt createdBy expiresAt revokedAt lastUsedAt } }";

pub(super) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Create(create) => made(create),
        Command::List { target } => print(&runtime()?.block_on(list(target))?),
        Command::Revoke { target, id } => {
            let remote = Remote::new(&target.url, target.token.as_deref())?;
            let data = runtime()?.block_on(remote.graphql(REVOKE, json!({ "id": id })))?;
            let cell = |name: &str| text(data.pointer(&format!("/revokeApiKey/{name}")));
            print(&format!("{} of {} is revoked since {}", cell("id"), cell("subject"), cell("revokedAt")))
        }
    }
}

fn made(create: &Create) -> Result<Answer> {
    let claims = token::named(&create.claims, &["sub", "roles"])?;
    let expires_at = create.ttl.as_deref().map(|ttl| {
        let seconds = token::seconds(ttl)
            .ok_or_else(|| Error::bad_request(format!("`{ttl}` is not a time such as `12h`, `90d`")))?;
        let at = Clock::system().now_us().saturating_add(seconds.saturating_mul(1_000_000));
        write::instant(at)
            .ok_or_else(|| Error::bad_request(format!("`{ttl}` is too long; leave it out for no end")))
    });
    let input = json!({
        "name": create.name.as_ref().unwrap_or(&create.subject),
        "subject": create.subject,
        "roles": create.roles,
        "claims": claims,
        "contract": create.contract,
        "expiresAt": expires_at.transpose()?,
    });
    let remote = Remote::new(&create.target.url, create.target.token.as_deref())?;
    let data = runtime()?.block_on(remote.graphql(CREATE, json!({ "input": input })))?;
    print(&text(data.pointer("/createApiKey/key")))
}

async fn list(target: &Target) -> Result<String> {
    let remote = Remote::new(&target.url, target.token.as_deref())?;
    let mut out =
        String::from("id\tname\tsubject\troles\tcontract\tcreated\tby\texpires\tlast used\tstate\n");
    let mut after = Value::Null;
    loop {
        let data = remote.graphql(LIST, json!({ "after": after })).await?;
        let page = data.get("apiKeys").and_then(Value::as_array).cloned().unwrap_or_default();
        for one in &page {
            let cell = |name: &str| text(one.get(name));
            let roles = one.get("roles").and_then(Value::as_array).into_iter().flatten();
            let roles: Vec<&str> = roles.filter_map(Value::as_str).collect();
            let state = if one.get("revokedAt").is_some_and(Value::is_string) { "revoked" } else { "" };
            let (id, name, subject, contract) = (cell("id"), cell("name"), cell("subject"), cell("contract"));
            let (created, by, expires) = (cell("createdAt"), cell("createdBy"), cell("expiresAt"));
            let (roles, used) = (roles.join(","), cell("lastUsedAt"));
            let _ = writeln!(
                out,
                "{id}\t{name}\t{subject}\t{roles}\t{contract}\t{created}\t{by}\t{expires}\t{used}\t{state}"
            );
        }
        match page.last().and_then(|last| last.get("id")) {
            Some(last) => after = last.clone(),
            None => return Ok(out),
        }
    }
}

/// A value in one cell of a line.
fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().replace(['\t', '\n', '\r'], " ")
}
