//! An issuer whose tokens are taken: its keys, what its tokens must be for, and whom they speak for. Must not fetch its
//! keys itself: whoever runs the node reads them and hands them over.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::held::{Bounds, Held};
use super::token::{Times, Token};
use super::{jwks, mapping, refused, unknown};
use crate::config;
use crate::error::Result;
use crate::record::Actor;
use crate::telemetry::Clock;

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whence {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url(String),
}

/// One issuer.
pub struct Issuer {
    rules: config::Issuer,
    times: Times,
    held: Held,
    keys_max: usize,
}

impl Issuer {
    pub(super) fn new(rules: &config::Issuer, auth: &config::Auth) -> Self {
        let us = |count: u64, unit: u64| i64::try_from(count.saturating_mul(unit)).unwrap_or(i64::MAX);
        let pause_us = us(auth.jwks_pause_ms, 1_000);
        let bounds = Bounds {
            age_max_us: us(auth.jwks_age_max_s, 1_000_000),
            // Reading a file bothers nobody else.
            pause_us: if rules.jwks_file.is_some() { 0 } else { pause_us },
            patience: Duration::from_millis(auth.jwks_timeout_ms),
        };
        Issuer {
            rules: rules.clone(),
            times: Times::new(auth),
            held: Held::new(bounds),
            keys_max: auth.jwks_keys_max,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.rules.issuer
    }

    /// Where its keys are; `None` only of one that the configuration would have refused.
    pub fn whence(&self) -> Option<Whence> {
        let file = self.rules.jwks_file.clone().map(Whence::File);
        file.or_else(|| self.rules.jwks_url.clone().map(Whence::Url))
    }

    /// Who a token of this issuer speaks for.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`; of a token that none of its keys has signed it tells nothing else.
    pub(super) async fn actor(&self, token: &Token<'_>, clock: &Clock) -> Result<Actor> {
        let Some(key) = self.held.key(token.kid.as_deref(), clock).await else {
            let stale = self.held.is_stale(clock.now_us());
            return Err(unknown(if stale {
                "there are no keys of its issuer"
            } else {
                "its key is not known"
            }));
        };
        let claims = key.claims(token)?;
        self.times.check(&claims, clock.now_us())?;
        self.is_for_us(&claims)?;
        mapping::actor(&self.rules, claims)
    }

    fn is_for_us(&self, claims: &Map<String, Value>) -> Result<()> {
        let ours = |value: &Value| self.rules.audiences.iter().any(|audience| value == audience.as_str());
        let named = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(ours),
            Some(audience) => ours(audience),
            None => false,
        };
        if named && claims.get("iss").is_some_and(|issuer| issuer == self.name()) {
            return Ok(());
        }
        Err(refused("the token is not for this server; ask its issuer for one whose `aud` is this server's"))
    }

    /// Takes the text of its keys as it was read now; whether they are others than before, with remarks about those
    /// that are not used.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it is no list of keys: those that were in force stay.
    pub fn take(&self, text: &[u8], now_us: i64) -> Result<Option<Vec<String>>> {
        if self.held.is(text) {
            self.held.confirm(now_us);
            return Ok(None);
        }
        let (set, remarks) = jwks::parse(text, self.keys_max, &self.rules.algorithms)?;
        self.held.put(set, text, now_us);
        Ok(Some(remarks))
    }

    /// A reading of its keys begins.
    pub fn begin(&self, now_us: i64) {
        self.held.begin(now_us);
    }

    /// It has come to an end, well or not.
    pub fn end(&self) {
        self.held.end();
    }

    /// Waits until somebody comes with a key that is not known, and newer ones may be read.
    pub async fn asked(&self) {
        self.held.asked().await;
    }

    /// Whether its keys are too old to be used, or there are none yet.
    pub fn is_stale(&self, now_us: i64) -> bool {
        self.held.is_stale(now_us)
    }

    /// How many keys it has.
    pub fn keys(&self) -> usize {
        self.held.len()
    }
}
