//! Keys that sign tokens, and what their lists have of them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use serde_json::{Map, Value, json};

/// Made for these tests.
const RSA: &[u8] = include_bytes!("rsa2048.der");

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// One key.
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
    public: Value,
}

impl Signer {
    pub fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::from_der(RSA).unwrap();
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        let public = json!({"kty": "RSA", "n": b64(public.n), "e": b64(public.e)});
        Signer { kid: kid.into(), algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(RSA), public }
    }

    pub fn ec(kid: &str) -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).unwrap();
        let point = pair.public_key().as_ref().to_owned();
        let public = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
        let key = EncodingKey::from_ec_der(document.as_ref());
        Signer { kid: kid.into(), algorithm: Algorithm::ES256, key, public }
    }

    pub fn ed(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let public = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key())});
        let key = EncodingKey::from_ed_der(document.as_ref());
        Signer { kid: kid.into(), algorithm: Algorithm::EdDSA, key, public }
    }

    pub fn secret(kid: &str, secret: &[u8]) -> Self {
        let public = json!({"kty": "oct", "k": b64(secret)});
        Signer { kid: kid.into(), algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret), public }
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// As a list of keys has it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk["alg"] = format!("{:?}", self.algorithm).into();
        jwk
    }

    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        let header = json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT", "kid": self.kid});
        self.sign_with(&header, claims)
    }

    /// Signed as this key does, whatever the header says.
    pub fn sign_with(&self, header: &Value, claims: &Map<String, Value>) -> String {
        let claims = serde_json::to_string(claims).unwrap();
        self.sign_parts(&b64(header.to_string()), &b64(claims))
    }

    pub fn sign_parts(&self, header: &str, payload: &str) -> String {
        let message = format!("{header}.{payload}");
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}
