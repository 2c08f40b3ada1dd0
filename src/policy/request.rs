//! Whether somebody may ask in this way: how a request travels and how much it asks for, decided by `allow_request`
//! before anything is read. Where no policy has such a rule, every way is as good as any.

use crate::error::{Error, Result};
use crate::policy::engine::{Engine, describe, known_claims};
use crate::policy::machine::{Machine, World};
use crate::policy::value::Value;
use crate::query::Filter;
use crate::record::Actor;

/// The members of a request, as rules name them.
pub(super) const MEMBERS: [&str; 6] = ["transport", "format", "operation", "page", "depth", "contract"];

/// A request, as far as rules may look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `http`, `sse`, `websocket` or `rest`.
    pub transport: &'static str,
    /// `json`, `ndjson` or `csv`.
    pub format: &'static str,
    /// `query`, `mutation` or `subscription`.
    pub operation: &'static str,
    /// The most rows of a page that it asks for; 0 without pages.
    pub page: i64,
    /// How many fields stand inside each other.
    pub depth: i64,
    /// The name of the contract under which it is asked.
    pub contract: Option<String>,
}

impl Request {
    pub(super) fn member(&self, name: &str) -> Option<Value<'_>> {
        Some(match name {
            "transport" => Value::Text(self.transport),
            "format" => Value::Text(self.format),
            "operation" => Value::Text(self.operation),
            "page" => Value::Int(self.page),
            "depth" => Value::Int(self.depth),
            "contract" => self.contract.as_deref().map_or(Value::Missing, Value::Text),
            _ => return None,
        })
    }
}

impl Engine {
    /// Whether `actor` may ask in this way.
    ///
    /// # Errors
    /// `FORBIDDEN` that says how it was asked and what to do.
    pub fn allow_request(&self, actor: &Actor, request: &Request) -> Result<()> {
        let loaded = self.loaded.load();
        let program = &loaded.program;
        if program.named("allow_request", 2).is_empty() {
            return Ok(());
        }
        let user = known_claims(actor, program);
        let mut machine = Machine::new(
            World { program, user: &user, collection: None, around: None },
            self.config.steps_max,
        );
        match machine.ask("allow_request", vec![Value::User, Value::Request(request)]) {
            Ok(Filter::Const(true)) => return Ok(()),
            Ok(_) => {}
            Err(fault) => {
                let reason = describe(program, &fault);
                tracing::error!(subject = %actor.subject, %reason,
                    "policy cannot be decided; the request is denied");
            }
        }
        let Request { transport, format, operation, page, depth, .. } = request;
        Err(Error::forbidden(format!(
            "the policies do not let `{}` ask like this: a {operation} by `{transport}` as `{format}`, with pages of \
             up to {page} rows and {depth} fields inside each other; ask for smaller pages, fewer levels or in another \
             way, or ask an administrator what is allowed",
            actor.subject
        )))
    }
}
