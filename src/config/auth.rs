//! The section that says who is believed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Issuer;

section! {
    /// Who is believed.
    Auth {
        /// File of the HS256 signing key; none is `signing.key` in the data directory.
        key_file: Option<PathBuf> = None,
        /// Clock skew forgiven in `exp` and `nbf`, in seconds.
        leeway_s: u64 = 30,
        /// The longest life of a token that is accepted, in seconds.
        ttl_max_s: u64 = 31_536_000,
        /// The most API keys that are good at the same time.
        keys_max: usize = 1_000,
        /// The most bytes that roles and claims of an API key may have.
        key_bytes_max: usize = 8 * 1024,
        /// How long API keys that were revoked or have expired are still listed, in seconds.
        keys_ended_kept_s: u64 = 7_776_000,
        /// The largest token, in bytes.
        token_bytes_max: usize = 16 * 1024,
        /// The most bytes of tokens of this server's own key that are known as verified, with what they say; their
        /// times are checked at each request all the same. 0 verifies each token anew.
        tokens_known_bytes_max: usize = 4 * 1024 * 1024,
        /// Issuers whose tokens are taken beside those of this server's own key: name, audiences, keys, and what their
        /// tokens can give at most.
        issuers: Vec<Issuer> = Vec::new(),
        /// How often the keys of an issuer are asked for at its `jwks_url`, in milliseconds; a `jwks_file` is looked at
        /// twice a second.
        jwks_period_ms: u64 = 300_000,
        /// The shortest time between two such questions, whatever keys tokens name, in milliseconds.
        jwks_pause_ms: u64 = 10_000,
        /// How long keys are good that could not be asked for again, in seconds; then their tokens are refused.
        jwks_age_max_s: u64 = 86_400,
        /// How long such a question may take, in milliseconds.
        jwks_timeout_ms: u64 = 5_000,
        /// The most bytes that the keys of an issuer may have.
        jwks_bytes_max: usize = 256 * 1024,
        /// The most keys that an issuer may have.
        jwks_keys_max: usize = 100,
    }
}
