//! Tokens: HS256, signed and checked with the one key of the database. Must not decide what an actor may do.

use std::{
    fmt,
    io::{ErrorKind, Write},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::record::{Actor, Signer};

/// The shortest signing key, in bytes.
const KEY_BYTES_MIN: usize = 32;

/// The signing key of one database; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    secret: Vec<u8>,
    validation: Validation,
    leeway_s: i64,
    ttl_max_s: i64,
}

impl Keys {
    /// Reads the key file.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it cannot be read or is shorter than 32 bytes.
    pub fn read(path: &Path, auth: &config::Auth) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| {
            let file = path.display();
            Error::bad_request(format!(
                "the signing key `{file}` cannot be read ({error}); start the server once, or check `auth.key_file`"
            ))
        })?;
        let secret = bytes.trim_ascii().to_vec();
        if secret.len() < KEY_BYTES_MIN {
            let file = path.display();
            return Err(Error::bad_request(format!(
                "the signing key `{file}` has fewer than {KEY_BYTES_MIN} bytes; replace it by a longer random text"
            )));
        }
        Ok(Self::new(secret, auth))
    }

    /// Reads the key file, or makes one that only its owner can read.
    ///
    /// # Errors
    /// As [`Keys::read`], and when it can be neither read nor made.
    pub fn read_or_create(path: &Path, auth: &config::Auth) -> Result<Self> {
        match create(path) {
            Ok(()) => tracing::info!(file = %path.display(), "signing key made"),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                let file = path.display();
                let text =
                    format!("the signing key `{file}` cannot be made ({error}); check `auth.key_file`");
                return Err(Error::bad_request(text));
            }
        }
        Self::read(path, auth)
    }

    fn new(secret: Vec<u8>, auth: &config::Auth) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Times are checked here against the clock that was passed in, not by the library's own.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let leeway_s = i64::try_from(auth.leeway_s).unwrap_or(i64::MAX);
        let ttl_max_s = i64::try_from(auth.ttl_max_s).unwrap_or(i64::MAX);
        Keys { secret, validation, leeway_s, ttl_max_s }
    }

    /// A key for one purpose, derived from this one; equal on all nodes of a database.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return [0; 32] };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// What lineage is signed with, and what a database recognises its key by.
    pub fn signer(&self) -> Signer {
        Signer::new(&self.derive("lineage"))
    }

    /// Who a token speaks for, at this moment.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says what is wrong with it, never more than its bearer knows.
    pub fn verify(&self, token: &str, now_us: i64) -> Result<Actor> {
        let key = DecodingKey::from_secret(&self.secret);
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &self.validation)
            .map_err(|cause| refused("the token is not one of this server; get a new one").with_cause(cause))?
            .claims;
        let now = now_us / 1_000_000;
        let seconds = |name: &str| claims.get(name).and_then(Value::as_f64).map(whole_seconds);
        let expires = seconds("exp").ok_or_else(|| refused("the token has no `exp`; get a new one"))?;
        if expires.saturating_add(self.leeway_s) <= now {
            return Err(refused("the token has expired; get a new one"));
        }
        if expires.saturating_sub(now) > self.ttl_max_s.saturating_add(self.leeway_s) {
            return Err(refused(
                "the token lives longer than this server allows; get one with a shorter life",
            ));
        }
        if seconds("nbf").is_some_and(|from| from.saturating_sub(self.leeway_s) > now) {
            return Err(refused("the token is not valid yet; check the clock of its issuer"));
        }
        actor(claims)
    }

    /// How long a token of this actor is still good for, in microseconds; `None` without a token.
    pub fn remaining_us(&self, actor: &Actor, now_us: i64) -> Option<u64> {
        let expires = whole_seconds(actor.claims.get("exp").and_then(Value::as_f64)?);
        let until = expires.saturating_add(self.leeway_s).saturating_mul(1_000_000);
        Some(u64::try_from(until.saturating_sub(now_us)).unwrap_or(0))
    }

    /// Signs claims.
    ///
    /// # Errors
    /// Only when the claims cannot be written as JSON.
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String> {
        let key = EncodingKey::from_secret(&self.secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(Error::internal)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

fn refused(message: &str) -> Error {
    Error::new(Code::Unauthenticated, message)
}

/// Seconds of a numeric date, which may have a fraction; out of range saturates.
#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, which is what is wanted")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}

fn actor(claims: Map<String, Value>) -> Result<Actor> {
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    if subject.is_empty() || subject.len() > 512 || subject.chars().any(char::is_control) {
        return Err(refused("the token's `sub` must have 1 to 512 bytes and no control characters"));
    }
    let roles = match claims.get("roles") {
        None => Vec::new(),
        Some(Value::Array(roles)) if roles.iter().all(Value::is_string) => {
            roles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(_) => return Err(refused("the token's `roles` must be a list of texts")),
    };
    Ok(Actor { subject: subject.to_owned(), roles, claims, contract: None })
}

fn create(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let secret: [u8; 32] = rand::random();
    file.write_all(URL_SAFE_NO_PAD.encode(secret).as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use serde_json::json;

    use super::*;

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn keys() -> (tempfile::TempDir, Keys) {
        let directory = tempfile::tempdir().unwrap();
        let keys =
            Keys::read_or_create(&directory.path().join("signing.key"), &config::Auth::default()).unwrap();
        (directory, keys)
    }

    fn token(keys: &Keys, claims: &Value) -> String {
        keys.sign(claims.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_token_gives_its_actor_with_every_claim() {
        let (_directory, keys) = keys();
        let claims = json!({"sub": "ann", "roles": ["consumer"], "exp": 1_800_000_100, "region": "EU"});
        let actor = keys.verify(&token(&keys, &claims), NOW_US).unwrap();
        assert_eq!(actor.subject, "ann");
        assert_eq!(actor.roles, ["consumer"]);
        assert_eq!(actor.claims.get("region"), Some(&json!("EU")));
        assert_eq!(keys.remaining_us(&actor, NOW_US), Some(130_000_000));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let (_directory, keys) = keys();
        let (_other_directory, other) = self::keys();
        let cases = [
            (json!({"sub": "a", "exp": 1_799_999_970}), "expired"),
            (json!({"sub": "a"}), "`exp`"),
            (json!({"sub": "a", "exp": 1_900_000_000}), "longer"),
            (json!({"sub": "a", "exp": 1_800_000_100, "nbf": 1_800_000_031}), "not valid yet"),
            (json!({"sub": "", "exp": 1_800_000_100}), "`sub`"),
            (json!({"exp": 1_800_000_100}), "`sub`"),
            (json!({"sub": "a", "roles": "admin", "exp": 1_800_000_100}), "`roles`"),
        ];
        for (claims, expected) in cases {
            let error = keys.verify(&token(&keys, &claims), NOW_US).unwrap_err();
            assert_eq!(error.code(), Code::Unauthenticated);
            assert!(error.message().contains(expected), "{claims}: {error}");
        }
        let good = json!({"sub": "a", "exp": 1_800_000_100});
        assert!(keys.verify(&token(&other, &good), NOW_US).is_err());
        assert!(keys.verify(&token(&keys, &json!({"sub": "a", "exp": 1_799_999_971})), NOW_US).is_ok());
        assert!(keys.verify("a.b.c", NOW_US).is_err());
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), "eyJzdWIiOiJhIn0");
        assert!(keys.verify(&unsigned, NOW_US).is_err());
    }

    #[test]
    fn the_key_file_is_kept_and_private() {
        let (directory, keys) = keys();
        let path = directory.path().join("signing.key");
        let again = Keys::read_or_create(&path, &config::Auth::default()).unwrap();
        assert_eq!(keys.signer().fingerprint(), again.signer().fingerprint());
        assert_ne!(keys.derive("a"), keys.derive("b"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(Keys::read(&path, &config::Auth::default()).unwrap_err().message().contains("fewer"));
    }
}
