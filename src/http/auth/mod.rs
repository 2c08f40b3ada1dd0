//! Who asks: tokens of this server's own key and of the issuers that the configuration names, and API keys. Must not
//! decide what an actor may do.

mod api_keys;
mod held;
mod issuer;
mod jwks;
mod keys;
mod mapping;
mod token;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::{API_KEY_PREFIX, Actor};
use crate::store::Store;
use crate::telemetry::Clock;

pub use issuer::{Issuer, Whence};
pub use keys::Keys;
use token::{Times, Token};

/// Longest pause that a timer is set to.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// Everybody who is believed; cheap to clone.
#[derive(Clone)]
pub struct Auth {
    keys: Keys,
    issuers: Arc<[Arc<Issuer>]>,
    times: Times,
    token_bytes_max: usize,
    store: Store,
    clock: Clock,
}

impl Auth {
    /// The issuers have no keys yet: whoever runs the node [hands them over](Issuer::take).
    pub fn new(keys: Keys, config: &config::Auth, store: Store, clock: Clock) -> Self {
        let issuers = config.issuers.iter().map(|one| Arc::new(Issuer::new(one, config))).collect();
        let (times, token_bytes_max) = (Times::new(config), config.token_bytes_max);
        Auth { keys, issuers, times, token_bytes_max, store, clock }
    }

    /// The issuers beside this server.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Who a token or an API key speaks for, at this moment. A token that names an issuer of the configuration is
    /// checked with the keys of that one alone, every other one with this server's own key.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says what is wrong with it, never more than its bearer knows; the cause is for the log.
    /// `UNAVAILABLE` when the database cannot be asked about an API key.
    pub async fn actor(&self, token: &str) -> Result<Arc<Actor>> {
        if token.starts_with(API_KEY_PREFIX) {
            return Box::pin(api_keys::actor(&self.store, token)).await.map(Arc::new);
        }
        if let Some(known) = self.keys.known(token, self.clock.now_us()) {
            return known;
        }
        let token = Token::read(token, self.token_bytes_max)?;
        match self.issuer_of(&token)? {
            Some(issuer) => Box::pin(issuer.actor(&token, &self.clock)).await.map(Arc::new),
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

    /// How long what an actor was recognised by is still good for, in microseconds; `None` when it has no end.
    pub fn remaining_us(&self, actor: &Actor) -> Option<u64> {
        match actor.key {
            Some(key) => Some(self.store.api_key_remaining_us(key)).filter(|remaining| *remaining < u64::MAX),
            None => self.times.remaining_us(&actor.claims, self.clock.now_us()),
        }
    }

    /// What is told when what an actor was recognised by is good no longer.
    pub fn over(actor: &Actor) -> &'static str {
        match actor.key {
            Some(_) => "the API key is not good any more; ask an administrator for a new one",
            None => "the token has expired; get a new one",
        }
    }

    /// Waits until what an actor was recognised by is good no longer: a token or key expires, a key is revoked.
    pub fn ended(&self, actor: &Actor) -> BoxFuture<'static, ()> {
        let (auth, actor) = (self.clone(), actor.clone());
        async move {
            let mut changed = auth.store.api_keys_changed();
            loop {
                let remaining = auth.remaining_us(&actor);
                if remaining == Some(0) {
                    return;
                }
                let remaining = remaining.map_or(FOREVER, Duration::from_micros).min(FOREVER);
                tokio::select! {
                    () = tokio::time::sleep(remaining) => {}
                    // What changes is for who asks by a key alone.
                    Ok(()) = changed.changed(), if actor.key.is_some() => {}
                }
            }
        }
        .boxed()
    }
}

/// The one answer to a token whose signature was not found good: which part of it failed is nobody's business.
fn unknown(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    refused("this server does not take the token; get a new one from its issuer").with_cause(cause)
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Code::Unauthenticated, message)
}
