//! `wellspring schema`: what there is, as GraphQL's SDL, as OpenAPI or as JSON Schema.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    Answer, print,
    remote::{Remote, refused},
    runtime,
};
use crate::error::Result;

#[derive(Args)]
pub(super) struct Options {
    /// A server's address; without it the management part is printed.
    #[arg(long)]
    url: Option<String>,
    /// A token of the server; its actor's collections are printed too.
    #[arg(long, requires = "url")]
    token: Option<String>,
    /// Print what this contract gives, as `name` or `name@version`.
    #[arg(long, value_name = "NAME", requires = "url", conflicts_with = "json_schema")]
    contract: Option<String>,
    /// Print the REST side as OpenAPI 3.1.
    #[arg(long, requires = "url", conflicts_with = "json_schema")]
    openapi: bool,
    /// Print JSON Schema (draft 2020-12) of the documents of this collection; of all, by their names, without one.
    #[arg(long, value_name = "COLLECTION", num_args = 0..=1, requires = "url")]
    json_schema: Option<Option<String>>,
}

const ONE: &str = "query($name: String!) { collection(name: $name) { jsonSchema } }";
const ALL: &str = "{ collections { name jsonSchema } }";

pub(super) fn run(options: &Options) -> Result<Answer> {
    let Some(url) = &options.url else {
        return print(crate::graphql::MANAGEMENT_SDL);
    };
    let remote = Remote::new(url, options.token.as_deref())?;
    if let Some(name) = &options.json_schema {
        let schema = runtime()?.block_on(json_schema(&remote, name.as_deref()))?;
        return print(&format!("{schema:#}\n"));
    }
    runtime()?.block_on(async {
        let path = if options.openapi { "/openapi.json" } else { "/graphql/schema" };
        let mut request = remote.request(reqwest::Method::GET, path);
        if let Some(contract) = &options.contract {
            request = request.header("wellspring-contract", contract);
        }
        let (status, text) = remote.send(request).await?;
        if status == 200 {
            return print(&text);
        }
        let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Err(refused(status, body.get("error")))
    })
}

async fn json_schema(remote: &Remote, name: Option<&str>) -> Result<Value> {
    if name.is_some() {
        let mut data = remote.graphql(ONE, json!({ "name": name })).await?;
        return Ok(data.pointer_mut("/collection/jsonSchema").map(Value::take).unwrap_or_default());
    }
    let mut data = remote.graphql(ALL, json!({})).await?;
    let all = data.get_mut("collections").and_then(Value::as_array_mut).into_iter().flatten();
    let named = all.filter_map(|one| {
        let name = one.get("name")?.as_str()?.to_owned();
        Some((name, one.get_mut("jsonSchema")?.take()))
    });
    Ok(Value::Object(named.collect::<Map<_, _>>()))
}
