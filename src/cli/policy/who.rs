//! Who is asked about: an actor as JSON, or by options as `wellspring token` has them.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::token;
use crate::error::{Error, Result};
use crate::policy::actor;
use crate::record::Actor;

#[derive(Args)]
pub(super) struct Who {
    /// Who asks, as a JSON object: `subject`, `roles`, and each claim beside them.
    #[arg(long, value_name = "JSON", conflicts_with_all = ["subject", "role", "claims"])]
    actor: Option<String>,
    /// Who asks; without it `anonymous`.
    #[arg(long)]
    subject: Option<String>,
    /// A role; may be given several times.
    #[arg(long = "role", value_name = "ROLE")]
    role: Vec<String>,
    /// A further claim; the value is JSON, or else text. May be given several times.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
}

impl Who {
    pub(super) fn actor(&self) -> Result<Actor> {
        let members: Map<String, Value> = match &self.actor {
            Some(text) => serde_json::from_str(text).map_err(|error| {
                let example = r#"{"subject":"ana","roles":["clerk"],"region":"eu"}"#;
                Error::bad_request(format!("`--actor` is a JSON object such as `{example}`: {error}"))
            })?,
            None => {
                let mut members = token::named(&self.claims, &["subject", "roles"])?;
                members.extend(self.subject.clone().map(|subject| ("subject".to_owned(), subject.into())));
                members.insert("roles".to_owned(), self.role.clone().into());
                members
            }
        };
        actor(members).map_err(|reason| Error::bad_request(format!("the actor: {reason}")))
    }
}
