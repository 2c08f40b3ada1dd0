//! Keys that verify tokens, and their lists (RFC 7517, RFC 8037). Each key is for one algorithm: what a token says of
//! that is only ever compared with it. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::token::Token;
use super::unknown;
use crate::config::Algorithm;
use crate::error::{Error, Result};

/// RSA keys below are broken or nearly so (RFC 7518, 3.3); above, verifying costs too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// The shortest secret of HS256, in bytes (RFC 7518, 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// A key and the one algorithm that it is for.
pub(super) struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(algorithm: Algorithm, decoding: DecodingKey) -> Self {
        let mut validation = Validation::new(library(algorithm));
        // Times and audiences are checked elsewhere: those against the clock that was passed in.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Key { algorithm, decoding, validation }
    }

    /// A key of HS256.
    pub(super) fn secret(secret: &[u8]) -> Self {
        Key::new(Algorithm::HS256, DecodingKey::from_secret(secret))
    }

    /// The claims of a token that this key has signed.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, whatever it was.
    pub(super) fn claims(&self, token: &Token<'_>) -> Result<Map<String, Value>> {
        if token.algorithm != name(self.algorithm) {
            return Err(unknown("its key is for another algorithm"));
        }
        let decoded = jsonwebtoken::decode(token.text, &self.decoding, &self.validation);
        Ok(decoded.map_err(unknown)?.claims)
    }
}

fn library(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 => "HS256",
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
    }
}

/// The keys of one issuer, by their ids.
#[derive(Default)]
pub(super) struct KeySet {
    named: HashMap<String, Arc<Key>>,
    unnamed: Vec<Arc<Key>>,
}

impl KeySet {
    /// The key that a token names; one that names none is of the only key that there is (OpenID Connect Core, 10.1).
    pub(super) fn get(&self, kid: Option<&str>) -> Option<Arc<Key>> {
        let found = match kid {
            Some(kid) => self.named.get(kid),
            None if self.len() == 1 => self.named.values().chain(&self.unnamed).next(),
            None => None,
        };
        found.cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.named.len() + self.unnamed.len()
    }
}

#[derive(Deserialize)]
struct Listed {
    keys: Vec<Map<String, Value>>,
}

/// Reads a list of keys. Those that are not for signatures by one of `algorithms` are left out, each with a remark; so
/// are all that share an id, as nobody could say which was meant.
///
/// # Errors
/// `BAD_REQUEST` when it is no list of keys, or has more than `keys_max`.
pub(super) fn parse(text: &[u8], keys_max: usize, algorithms: &[Algorithm]) -> Result<(KeySet, Vec<String>)> {
    let listed: Listed = serde_json::from_slice(text).map_err(|error| {
        Error::bad_request(format!("it is not a JWK set, `{{\"keys\": [...]}}`: {error}"))
    })?;
    if listed.keys.len() > keys_max {
        return Err(Error::bad_request(format!("it has more than {keys_max} keys (`auth.jwks_keys_max`)")));
    }
    let (mut set, mut remarks) = (KeySet::default(), Vec::new());
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for jwk in &listed.keys {
        if let Some(kid) = text_of(jwk, "kid") {
            *seen.entry(kid).or_default() += 1;
        }
    }
    for (at, jwk) in listed.keys.iter().enumerate() {
        let kid = text_of(jwk, "kid");
        let told = kid.map_or_else(|| format!("key {}", at + 1), |kid| format!("key `{kid}`"));
        if kid.is_some_and(|kid| seen.get(kid).is_some_and(|count| *count > 1)) {
            remarks.push(format!("{told} is not used: several have this `kid`"));
            continue;
        }
        match (key(jwk, algorithms), kid) {
            (Ok(key), Some(kid)) => drop(set.named.insert(kid.to_owned(), Arc::new(key))),
            (Ok(key), None) => set.unnamed.push(Arc::new(key)),
            (Err(why), _) => remarks.push(format!("{told} is not used: {why}")),
        }
    }
    Ok((set, remarks))
}

fn text_of<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name).and_then(Value::as_str)
}

/// The key, or why it is none for tokens.
fn key(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> std::result::Result<Key, String> {
    let text = |name: &str| text_of(jwk, name);
    if text("use").is_some_and(|purpose| purpose != "sig") {
        return Err("it is not for signatures (`use`)".into());
    }
    if let Some(Value::Array(operations)) = jwk.get("key_ops")
        && !operations.iter().any(|operation| operation == "verify")
    {
        return Err("it is not for verifying (`key_ops`)".into());
    }
    if jwk.contains_key("d") {
        return Err(
            "it is a private key; list the public one, and replace this pair if others could read it".into(),
        );
    }
    let curve = text("crv").unwrap_or_default();
    let (algorithm, decoding) = match text("kty") {
        Some("RSA") => (Algorithm::RS256, rsa(jwk)?),
        Some("EC") if curve == "P-256" => {
            let (x, y) = (coordinate(jwk, "x")?, coordinate(jwk, "y")?);
            (Algorithm::ES256, DecodingKey::from_ec_components(x, y).map_err(|error| error.to_string())?)
        }
        Some("OKP") if curve == "Ed25519" => {
            let x = coordinate(jwk, "x")?;
            (Algorithm::EdDSA, DecodingKey::from_ed_components(x).map_err(|error| error.to_string())?)
        }
        Some("oct") => {
            let secret = bytes(jwk, "k")?;
            if secret.len() < SECRET_BYTES_MIN {
                return Err(format!("its secret has fewer than {SECRET_BYTES_MIN} bytes"));
            }
            (Algorithm::HS256, DecodingKey::from_secret(&secret))
        }
        _ => {
            return Err(
                "its kind is not read here; there are RSA, EC with P-256, OKP with Ed25519, and oct".into()
            );
        }
    };
    if text("alg").is_some_and(|alg| alg != name(algorithm)) {
        return Err(format!("its `alg` is another one than `{}`", name(algorithm)));
    }
    if !algorithms.contains(&algorithm) {
        return Err(format!("`{}` is not among the issuer's `algorithms`", name(algorithm)));
    }
    Ok(Key::new(algorithm, decoding))
}

fn rsa(jwk: &Map<String, Value>) -> std::result::Result<DecodingKey, String> {
    let (modulus, exponent) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    let significant = modulus.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
    let zeros = significant.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (significant.len() * 8).saturating_sub(zeros);
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("it has {bits} bits; take one of {least} to {most}"));
    }
    Ok(DecodingKey::from_rsa_raw_components(&significant, &exponent))
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> std::result::Result<Vec<u8>, String> {
    let text = text_of(jwk, name).ok_or_else(|| format!("`{name}` is missing"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("`{name}` is not base64url: {error}"))
}

/// A coordinate of a curve of 256 bits.
fn coordinate<'a>(jwk: &'a Map<String, Value>, name: &str) -> std::result::Result<&'a str, String> {
    match bytes(jwk, name)?.len() {
        32 => Ok(text_of(jwk, name).unwrap_or_default()),
        other => Err(format!("`{name}` has {other} bytes instead of 32")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use serde_json::json;

    use super::*;

    const ALL: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn why_not(jwk: Value, algorithms: &[Algorithm]) -> String {
        let text = json!({ "keys": [jwk] }).to_string();
        let (set, remarks) = parse(text.as_bytes(), 10, algorithms).unwrap();
        assert_eq!(set.len() + remarks.len(), 1);
        remarks.concat()
    }

    #[test]
    fn keys_that_are_not_for_tokens_are_left_out() {
        let x = b64(&[7; 32]);
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        let with = |name: &str, value: Value| {
            let mut key = ed.as_object().unwrap().clone();
            key.insert(name.to_owned(), value);
            Value::Object(key)
        };
        assert_eq!(why_not(ed.clone(), &ALL), "");
        assert_eq!(why_not(with("use", json!("sig")), &ALL), "");
        assert_eq!(why_not(with("key_ops", json!(["verify"])), &ALL), "");
        assert!(why_not(with("use", json!("enc")), &ALL).contains("`use`"));
        assert!(why_not(with("key_ops", json!(["sign"])), &ALL).contains("`key_ops`"));
        assert!(why_not(with("d", json!(x)), &ALL).contains("private"));
        assert!(why_not(with("alg", json!("HS256")), &ALL).contains("`alg`"));
        assert!(why_not(with("x", json!("AA")), &ALL).contains("instead of 32"));
        assert!(why_not(with("crv", json!("X25519")), &ALL).contains("kind"));
        assert!(why_not(ed.clone(), &[Algorithm::RS256]).contains("`algorithms`"));
        let secret = |bytes: &[u8]| json!({"kty": "oct", "k": b64(bytes)});
        assert_eq!(why_not(secret(&[1; 32]), &ALL), "");
        assert!(why_not(secret(&[1; 31]), &ALL).contains("fewer than 32"));
        assert!(why_not(secret(&[1; 32]), &[Algorithm::EdDSA]).contains("`algorithms`"));
    }

    #[test]
    fn short_rsa_keys_are_refused_however_they_are_written() {
        let rsa = |modulus: &[u8]| json!({"kty": "RSA", "n": b64(modulus), "e": "AQAB"});
        assert_eq!(why_not(rsa(&[0xff; 256]), &ALL), "");
        assert!(why_not(rsa(&[0xff; 128]), &ALL).contains("1024 bits"));
        assert!(why_not(rsa(&[0x7f; 256]), &ALL).contains("2047 bits"));
        let padded = [[0; 128], [0xff; 128]].concat();
        assert!(why_not(rsa(&padded), &ALL).contains("1024 bits"));
        assert!(why_not(rsa(&[0xff; 1_025]), &ALL).contains("8200 bits"));
        assert!(why_not(rsa(&[]), &ALL).contains("0 bits"));
    }

    #[test]
    fn a_token_without_an_id_is_of_the_only_key() {
        let key = |kid: Option<&str>, byte: u8| {
            let x = b64(&[byte; 32]);
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid})
        };
        let set =
            |keys: Vec<Value>| parse(json!({ "keys": keys }).to_string().as_bytes(), 10, &ALL).unwrap().0;
        assert!(set(vec![key(Some("a"), 1)]).get(None).is_some());
        assert!(set(vec![key(None, 1)]).get(None).is_some());
        let two = set(vec![key(Some("a"), 1), key(None, 2)]);
        assert!(two.get(None).is_none() && two.get(Some("a")).is_some() && two.get(Some("b")).is_none());
        let twice = set(vec![key(Some("a"), 1), key(Some("a"), 2), key(Some("b"), 3)]);
        assert!(twice.get(Some("a")).is_none() && twice.get(Some("b")).is_some());
    }

    #[test]
    fn what_is_no_list_of_keys_is_an_error() {
        for text in ["", "[]", "{}", r#"{"keys": [1]}"#, r#"{"keys": {}}"#, r#"{"keys": [], "keys": []}"#] {
            assert!(parse(text.as_bytes(), 10, &ALL).is_err(), "{text}");
        }
        let many = json!({"keys": vec![json!({}); 11]}).to_string();
        assert!(parse(many.as_bytes(), 10, &ALL).err().unwrap().message().contains("jwks_keys_max"));
        assert_eq!(parse(br#"{"keys": []}"#, 10, &ALL).unwrap().0.len(), 0);
    }
}
