//! Who asks: tokens of this server's own key and of the issuers that the configuration names. Must not decide what an
//! actor may do.

mod held;
mod issuer;
mod jwks;
mod keys;
mod mapping;
mod token;

use std::sync::Arc;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::Actor;
use crate::telemetry::Clock;

pub use issuer::{Issuer, Whence};
pub use keys::Keys;
use token::{Times, Token};

/// Everybody who is believed; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    keys: Keys,
    issuers: Arc<[Arc<Issuer>]>,
    times: Times,
    token_bytes_max: usize,
    clock: Clock,
}

impl Auth {
    /// The issuers have no keys yet: whoever runs the node [hands them over](Issuer::take).
    pub fn new(keys: Keys, config: &config::Auth, clock: Clock) -> Self {
        let issuers = config.issuers.iter().map(|one| Arc::new(Issuer::new(one, config))).collect();
        let (times, token_bytes_max) = (Times::new(config), config.token_bytes_max);
        Auth { keys, issuers, times, token_bytes_max, clock }
    }

    /// The issuers beside this server.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Who a token speaks for, at this moment. A token that names an issuer of the configuration is checked with the
    /// keys of that one alone, every other one with this server's own key.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says what is wrong with it, never more than its bearer knows; the cause is for the log.
    pub async fn actor(&self, token: &str) -> Result<Actor> {
        let token = Token::read(token, self.token_bytes_max)?;
        match self.issuer_of(&token)? {
            Some(issuer) => issuer.actor(&token, &self.clock).await,
            None => self.keys.actor(&token, self.clock.now_us()),
        }
    }

    fn issuer_of(&self, token: &Token<'_>) -> Result<Option<&Arc<Issuer>>> {
        if self.issuers.is_empty() {
            return Ok(None);
        }
        let named = token.named_issuer()?;
        Ok(self.issuers.iter().find(|issuer| Some(issuer.name()) == named.as_deref()))
    }

    /// How long what an actor was recognised by is still good for, in microseconds; `None` without a token.
    pub fn remaining_us(&self, actor: &Actor) -> Option<u64> {
        self.times.remaining_us(&actor.claims, self.clock.now_us())
    }
}

/// The one answer to a token whose signature was not found good: which part of it failed is nobody's business.
fn unknown(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    refused("this server does not take the token; get a new one from its issuer").with_cause(cause)
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::Unauthenticated, message)
}
