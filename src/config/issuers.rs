//! Issuers of tokens beside this server: which of their tokens are taken, and what these may say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Config;
use crate::error::{Error, Result};

/// Members of an actor that no mapping gives: they are what was verified, or what binds it.
pub const RESERVED_CLAIMS: [&str; 10] =
    ["sub", "subject", "roles", "iss", "aud", "exp", "nbf", "iat", "jti", "contract"];

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever can verify can sign, too.
    HS256,
    /// RSA, PKCS #1 v1.5, with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

/// An issuer whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// Its name, as the claim `iss` has it, to the letter.
    pub issuer: String,
    /// What its tokens must be for: at least one of these stands in the claim `aud`.
    pub audiences: Vec<String>,
    /// How its tokens may be signed; each key decides for itself which of these it is for.
    #[serde(default = "public_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Its keys (RFC 7517) as a file, which is read again when it changes.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Its keys (RFC 7517) at a URL, which is asked again from time to time and for keys that are not known.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// The roles that its tokens can give at most; others that they name are not given.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Where roles are: a list of texts, or a text with spaces between them.
    #[serde(default = "roles_claim")]
    pub roles_from: String,
    /// The roles of whoever has none by its token.
    #[serde(default)]
    pub default_roles: Vec<String>,
    /// Where the subject is.
    #[serde(default = "subject_claim")]
    pub subject_from: String,
    /// What is put before the subject, so that subjects of two issuers are two.
    #[serde(default)]
    pub subject_prefix: String,
    /// Claims by the names that policies know them by, and where they are; a token that lacks one is refused.
    #[serde(default)]
    pub claims: BTreeMap<String, ClaimFrom>,
    /// Where an object is whose members are claims, too, under their own names.
    #[serde(default)]
    pub claims_from: Option<String>,
}

/// Where a claim is in a token: a JSON pointer, or the name of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimFrom {
    /// There.
    At(String),
    /// There, or else this value.
    Or {
        /// Where.
        from: String,
        /// What it is when it is not there.
        default: Value,
    },
}

fn public_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn roles_claim() -> String {
    "roles".into()
}

fn subject_claim() -> String {
    "sub".into()
}

/// Refuses issuers whose tokens could not be told apart, or could say what was not meant.
///
/// # Errors
/// `BAD_REQUEST` that names the issuer and what to do.
pub(super) fn check(config: &Config) -> Result<()> {
    let issuers = &config.auth.issuers;
    for (at, one) in issuers.iter().enumerate() {
        let refuse = |text: String| {
            Err(Error::bad_request(format!("`auth.issuers`: the issuer `{}` {text}", one.issuer)))
        };
        if one.issuer.is_empty() {
            return refuse("has no name; give the text that its tokens have as `iss`".into());
        }
        if one.audiences.is_empty() || one.audiences.iter().any(String::is_empty) {
            return refuse("needs `audiences`: what its tokens for this server have as `aud`".into());
        }
        if one.algorithms.is_empty() {
            return refuse("needs `algorithms`: leave it out for `RS256`, `ES256` and `EdDSA`".into());
        }
        match (&one.jwks_file, one.jwks_url.as_deref()) {
            (Some(_), None) => {}
            (None, Some(url)) if !is_web(url) => {
                return refuse(format!(
                    "has `{url}` as `jwks_url`; it must begin with `https://` or `http://`"
                ));
            }
            (None, Some(_)) if one.algorithms.contains(&Algorithm::HS256) => {
                return refuse(
                    "has `HS256` and `jwks_url`; who can read such a key can sign, so give it as `jwks_file`"
                        .into(),
                );
            }
            (None, Some(_)) => {}
            _ => return refuse("needs one of `jwks_file` and `jwks_url`".into()),
        }
        if let Some(role) = one.default_roles.iter().find(|role| !one.roles.contains(role)) {
            return refuse(format!("has the default role `{role}`, which is not among its `roles`"));
        }
        let usual = |name: &String| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if let Some(name) = one.claims.keys().find(|name| !usual(name)) {
            return refuse(format!("has a claim `{name}`; use letters, digits, `_` and `-`"));
        }
        if let Some(name) = one.claims.keys().find(|name| RESERVED_CLAIMS.contains(&name.as_str())) {
            return refuse(format!("maps `{name}`, which no mapping gives; use another name"));
        }
        for other in issuers.iter().take(at) {
            if other.issuer == one.issuer {
                return refuse("is there twice; give it all its `audiences` at once".into());
            }
            let (a, b) = (&other.subject_prefix, &one.subject_prefix);
            let shared = a == b && !a.is_empty();
            if !shared && (a.starts_with(b.as_str()) || b.starts_with(a.as_str())) {
                return refuse(format!(
                    "could name the subjects of `{}`; give both a `subject_prefix`, of which none begins the other \
                     (the same one says that their subjects are the same)",
                    other.issuer
                ));
            }
        }
    }
    Ok(())
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(name: &str) -> Issuer {
        Issuer {
            issuer: name.into(),
            audiences: vec!["wellspring".into()],
            algorithms: public_algorithms(),
            jwks_file: Some("keys.json".into()),
            jwks_url: None,
            roles: vec!["consumer".into()],
            roles_from: roles_claim(),
            default_roles: Vec::new(),
            subject_from: subject_claim(),
            subject_prefix: format!("{name}|"),
            claims: BTreeMap::new(),
            claims_from: None,
        }
    }

    fn refused(issuers: Vec<Issuer>) -> String {
        let mut config = Config::default();
        config.auth.issuers = issuers;
        check(&config).err().map(|error| error.message().to_owned()).unwrap_or_default()
    }

    #[test]
    fn what_could_be_meant_otherwise_is_refused() {
        let changed = |change: fn(&mut Issuer)| {
            let mut one = issuer("a");
            change(&mut one);
            refused(vec![one])
        };
        assert_eq!(changed(|_| ()), "");
        assert!(changed(|one| one.audiences.clear()).contains("`audiences`"));
        assert!(changed(|one| one.jwks_file = None).contains("one of `jwks_file` and `jwks_url`"));
        assert!(changed(|one| one.jwks_url = Some("https://x".into())).contains("one of"));
        let by_url = |one: &mut Issuer| {
            one.jwks_file = None;
            one.jwks_url = Some("https://x/keys".into());
        };
        assert_eq!(changed(by_url), "");
        assert!(
            changed(|one| {
                one.jwks_file = None;
                one.jwks_url = Some("file:///etc/passwd".into());
            })
            .contains("must begin with")
        );
        assert!(
            changed(|one| {
                one.jwks_file = None;
                one.jwks_url = Some("https://x/keys".into());
                one.algorithms.push(Algorithm::HS256);
            })
            .contains("can sign")
        );
        assert!(changed(|one| one.default_roles.push("admin".into())).contains("`admin`"));
        let mapped = |one: &mut Issuer, name: &str| {
            one.claims.insert(name.into(), ClaimFrom::At("/x".into()));
        };
        for name in RESERVED_CLAIMS {
            let mut one = issuer("a");
            mapped(&mut one, name);
            assert!(refused(vec![one]).contains("no mapping gives"), "{name}");
        }
        let mut one = issuer("a");
        mapped(&mut one, "a b");
        assert!(refused(vec![one]).contains("letters"));
    }

    #[test]
    fn subjects_of_two_issuers_are_two_unless_it_is_said() {
        let with = |prefix: &str, name: &str| Issuer { subject_prefix: prefix.into(), ..issuer(name) };
        assert_eq!(refused(vec![with("a|", "a"), with("b|", "b")]), "");
        assert_eq!(refused(vec![with("x|", "a"), with("x|", "b")]), "");
        for (first, second) in [("", ""), ("", "b|"), ("a", "a|"), ("a|b", "a|")] {
            assert!(refused(vec![with(first, "a"), with(second, "b")]).contains("subject_prefix"));
        }
        assert!(refused(vec![issuer("a"), issuer("a")]).contains("twice"));
    }
}
