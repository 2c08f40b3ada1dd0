//! What every token must be like, whoever signed it: its form, its header and its times. Must not verify signatures.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use super::{refused, unknown};
use crate::config;
use crate::error::Result;

/// The media types of tokens that speak for somebody: RFC 7519 and RFC 9068.
const TYPES: [&str; 4] = ["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/// A token in its three parts, of which nothing is believed yet.
pub(super) struct Token<'a> {
    /// The whole of it.
    pub(super) text: &'a str,
    /// How it says that it is signed. Only a key decides that.
    pub(super) algorithm: String,
    /// Which key it names.
    pub(super) kid: Option<String>,
    payload: &'a str,
}

/// Whatever would change how a token is to be verified is refused by name; of the rest nothing is used.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it is none, or brings along how it wants to be verified.
    pub(super) fn read(text: &'a str, bytes_max: usize) -> Result<Self> {
        if text.len() > bytes_max {
            let advice = "get one with fewer claims, or have the operator raise `auth.token_bytes_max`";
            return Err(refused(format!("the token has more than {bytes_max} bytes; {advice}")));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(unknown("it does not have three parts"));
        };
        let header: Header = decoded(header)?;
        let asks = [
            ("cty", &header.cty),
            ("crit", &header.crit),
            ("b64", &header.b64),
            ("enc", &header.enc),
            ("zip", &header.zip),
            ("jwk", &header.jwk),
            ("jku", &header.jku),
            ("x5u", &header.x5u),
            ("x5c", &header.x5c),
        ];
        if let Some((name, _)) = asks.iter().find(|(_, value)| value.is_some()) {
            return Err(unknown(format!("its header has `{name}`")));
        }
        if header.typ.is_some_and(|typ| !TYPES.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
            return Err(unknown("its header has a `typ` of something else"));
        }
        Ok(Token { text, algorithm: header.alg, kid: header.kid, payload })
    }

    /// Which issuer it says that it is of.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when that cannot be read.
    pub(super) fn named_issuer(&self) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Named {
            iss: Option<Value>,
        }
        let named: Named = decoded(self.payload)?;
        Ok(named.iss.as_ref().and_then(Value::as_str).map(str::to_owned))
    }
}

/// A member that comes twice is an error of the types that know it.
fn decoded<T: DeserializeOwned>(part: &str) -> Result<T> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(unknown)?;
    serde_json::from_slice(&bytes).map_err(unknown)
}

/// How long tokens are good.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    leeway_s: i64,
    ttl_max_s: i64,
}

impl Times {
    pub(super) fn new(auth: &config::Auth) -> Self {
        let seconds = |bound: u64| i64::try_from(bound).unwrap_or(i64::MAX);
        Times { leeway_s: seconds(auth.leeway_s), ttl_max_s: seconds(auth.ttl_max_s) }
    }

    /// Checks `exp` and `nbf` of verified claims.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says which of them keeps it from being taken now.
    pub(super) fn check(self, claims: &Map<String, Value>, now_us: i64) -> Result<()> {
        let now = now_us / 1_000_000;
        let expires =
            seconds(claims, "exp").ok_or_else(|| refused("the token has no `exp`; get a new one"))?;
        if expires.saturating_add(self.leeway_s) <= now {
            return Err(refused("the token has expired; get a new one"));
        }
        if expires.saturating_sub(now) > self.ttl_max_s.saturating_add(self.leeway_s) {
            return Err(refused(
                "the token lives longer than this server allows; get one with a shorter life",
            ));
        }
        let from = seconds(claims, "nbf");
        if claims.contains_key("nbf") && from.is_none_or(|from| from.saturating_sub(self.leeway_s) > now) {
            return Err(refused("the token is not valid yet; check the clock of its issuer"));
        }
        Ok(())
    }

    /// How long verified claims are still good for, in microseconds; `None` when they have no end.
    pub(super) fn remaining_us(self, claims: &Map<String, Value>, now_us: i64) -> Option<u64> {
        let until = seconds(claims, "exp")?.saturating_add(self.leeway_s).saturating_mul(1_000_000);
        Some(u64::try_from(until.saturating_sub(now_us)).unwrap_or(0))
    }
}

/// Seconds of a numeric date, which may have a fraction; out of range saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, which is what is wanted")]
fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    Some(claims.get(name)?.as_f64()? as i64)
}
