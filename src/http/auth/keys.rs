//! The one key of a database: its own tokens, HS256, are signed and checked with it. Must not know other issuers.

use std::{
    fmt,
    io::{ErrorKind, Write},
    path::Path,
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use quick_cache::{Weighter, sync::Cache};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::jwks::Key;
use super::mapping::subject;
use super::refused;
use super::token::{Times, Token};
use crate::config;
use crate::error::{Error, Result};
use crate::record::{Actor, Signer};

/// The shortest signing key, in bytes.
const KEY_BYTES_MIN: usize = 32;

/// The signing key of one database; cheap to clone.
#[derive(Clone)]
pub struct Keys {
    secret: Vec<u8>,
    key: Arc<Key>,
    times: Times,
    token_bytes_max: usize,
    known: Arc<Cache<String, Arc<Actor>, Size>>,
}

/// Weighs tokens by about how much memory they take, decoded claims included.
#[derive(Clone)]
struct Size;

/// About what a usual token weighs.
const USUAL_BYTES: usize = 2_048;

impl Weighter<String, Arc<Actor>> for Size {
    fn weight(&self, token: &String, _: &Arc<Actor>) -> u64 {
        (token.len() * 4 + 512) as u64
    }
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
        let key = Arc::new(Key::secret(&secret));
        let bytes = auth.tokens_known_bytes_max;
        let known = Arc::new(Cache::with_weighter(bytes / USUAL_BYTES + 1, bytes as u64, Size));
        Keys { secret, key, times: Times::new(auth), token_bytes_max: auth.token_bytes_max, known }
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

    /// Who a token of this key speaks for, at this moment.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` that says what is wrong with it, never more than its bearer knows.
    pub fn verify(&self, token: &str, now_us: i64) -> Result<Arc<Actor>> {
        self.actor(&Token::read(token, self.token_bytes_max)?, now_us)
    }

    /// The same of a token that was taken apart.
    ///
    /// # Errors
    /// As [`Keys::verify`].
    pub(super) fn actor(&self, token: &Token<'_>, now_us: i64) -> Result<Arc<Actor>> {
        let claims = self.key.claims(token)?;
        self.times.check(&claims, now_us)?;
        let actor = Arc::new(actor(claims)?);
        self.known.insert(token.text.to_owned(), actor.clone());
        Ok(actor)
    }

    /// Who a token speaks for that was verified before; the key is the same as long as the process lives, its times are
    /// those of this moment.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when it is good no longer.
    pub(super) fn known(&self, token: &str, now_us: i64) -> Option<Result<Arc<Actor>>> {
        let actor = self.known.get(token)?;
        Some(self.times.check(&actor.claims, now_us).map(|()| actor))
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

fn actor(claims: Map<String, Value>) -> Result<Actor> {
    let subject = subject("sub", claims.get("sub").and_then(Value::as_str).unwrap_or_default())?;
    let roles = match claims.get("roles") {
        None => Vec::new(),
        Some(Value::Array(roles)) if roles.iter().all(Value::is_string) => {
            roles.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Some(_) => return Err(refused("the token's `roles` must be a list of texts")),
    };
    Ok(Actor { subject, roles, claims, contract: None, key: None })
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
    use crate::error::Code;

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
    fn a_token_that_is_known_is_good_as_long_as_its_times_are() {
        let (_directory, keys) = keys();
        let text = token(&keys, &json!({"sub": "ann", "exp": 1_800_000_100}));
        assert!(keys.known(&text, NOW_US).is_none(), "nobody has verified it yet");
        let actor = keys.verify(&text, NOW_US).unwrap();
        assert_eq!(keys.known(&text, NOW_US).unwrap().unwrap(), actor);
        let expired = keys.known(&text, NOW_US + 131_000_000).unwrap().unwrap_err();
        assert_eq!(expired.code(), Code::Unauthenticated);
        let forged = format!("{}x", text.get(..text.len() - 1).unwrap());
        assert!(keys.known(&forged, NOW_US).is_none() && keys.verify(&forged, NOW_US).is_err());
        assert!(keys.known(&forged, NOW_US).is_none(), "what is refused is not known");
    }

    #[test]
    fn known_tokens_take_a_bounded_room() {
        let (_directory, mut keys) = keys();
        let auth = config::Auth { tokens_known_bytes_max: 20_000, ..config::Auth::default() };
        keys = Keys::new(keys.secret, &auth);
        let texts = (0..100).map(|n| token(&keys, &json!({"sub": format!("u{n}"), "exp": 1_800_000_100})));
        let texts: Vec<String> = texts.collect();
        texts.iter().for_each(|text| drop(keys.verify(text, NOW_US).unwrap()));
        let known = texts.iter().filter(|text| keys.known(text, NOW_US).is_some()).count();
        assert!((1..=24).contains(&known), "{known}");
    }

    #[test]
    fn a_token_gives_its_actor_with_every_claim() {
        let (_directory, keys) = keys();
        let claims = json!({"sub": "ann", "roles": ["consumer"], "exp": 1_800_000_100, "region": "EU"});
        let actor = keys.verify(&token(&keys, &claims), NOW_US).unwrap();
        assert_eq!(actor.subject, "ann");
        assert_eq!(actor.roles, ["consumer"]);
        assert_eq!(actor.claims.get("region"), Some(&json!("EU")));
        assert_eq!(keys.times.remaining_us(&actor.claims, NOW_US), Some(130_000_000));
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
            (json!({"sub": "a", "exp": 1_800_000_100, "nbf": "now"}), "not valid yet"),
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
