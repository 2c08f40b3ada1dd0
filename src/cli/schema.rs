//! `wellspring schema`.

use clap::Args;

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
}

pub(super) fn run(options: &Options) -> Result<Answer> {
    let Some(url) = &options.url else {
        return print(crate::graphql::MANAGEMENT_SDL);
    };
    let remote = Remote::new(url, options.token.as_deref())?;
    runtime()?.block_on(async {
        let (status, text) = remote.send(remote.request(reqwest::Method::GET, "/graphql/schema")).await?;
        if status == 200 {
            return print(&text);
        }
        let body: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Err(refused(status, body.get("error")))
    })
}
