//! The database's signing key: markers that only its holders can make. Pure; reading the key file is not here.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// Makes lineage markers with HMAC-SHA256; cheap to clone, and never prints its key.
#[derive(Clone)]
pub struct Signer(Arc<Hmac<Sha256>>);

impl Signer {
    /// A signer with this key.
    pub fn new(key: &[u8]) -> Self {
        // An HMAC key may have any length; the digest of one that were refused would serve as well.
        let mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| {
            Hmac::<Sha256>::new(&Sha256::digest(key).as_slice().iter().copied().collect())
        });
        Signer(Arc::new(mac))
    }

    /// The marker over these parts; each is preceded by its length, so that parts cannot run into each other.
    pub fn mark(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::clone(&self.0);
        for part in parts {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// What tells keys apart without telling anything about them; 32 hex digits.
    pub fn fingerprint(&self) -> String {
        let mark = self.mark(&[b"wellspring key fingerprint"]);
        super::hex(mark.iter().take(16))
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_depend_on_key_and_on_how_parts_are_cut() {
        let signer = Signer::new(b"key");
        assert_eq!(signer.mark(&[b"ab", b"c"]), signer.clone().mark(&[b"ab", b"c"]));
        assert_ne!(signer.mark(&[b"ab", b"c"]), signer.mark(&[b"a", b"bc"]));
        assert_ne!(signer.mark(&[b"ab"]), Signer::new(b"other").mark(&[b"ab"]));
        assert_ne!(signer.fingerprint(), Signer::new(&[7; 200]).fingerprint());
        assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.fingerprint()));
    }
}
