//! The text of an API key, and what is kept of it. Pure.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// How every API key begins, so that people and scanners for secrets know one when they see it.
pub const API_KEY_PREFIX: &str = "wsk_";

/// The API key of 256 random bits.
pub fn api_key(random: [u8; 32]) -> String {
    format!("{API_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// By what a key is known again; `None` for a text that cannot be one. A hash that takes time, as for passwords, would
/// only cost whoever asks: 256 random bits are not guessed, however fast they can be tried.
pub fn api_key_hash(text: &str) -> Option<[u8; 32]> {
    let random = URL_SAFE_NO_PAD.decode(text.strip_prefix(API_KEY_PREFIX)?).ok()?;
    (random.len() == 32).then(|| Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_hash() {
        let key = api_key([7; 32]);
        assert_eq!(key.len(), 47);
        assert!(api_key_hash(&key).is_some_and(|hash| api_key_hash(&api_key([8; 32])) != Some(hash)));
        for wrong in [
            "",
            "wsk_",
            "wsk_AAAA",
            "wsk_!",
            &key.replace("wsk_", ""),
            &format!("{key}A"),
            &key.to_uppercase(),
        ] {
            assert_eq!(api_key_hash(wrong), None, "{wrong}");
        }
    }
}
