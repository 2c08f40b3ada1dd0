//! What the verified claims of an issuer's token say in this server's words: subject, roles, and the claims that
//! policies know. Pure; gives nothing that the configuration does not name.

use serde_json::{Map, Value};

use super::refused;
use crate::config::{ClaimFrom, Issuer, RESERVED_CLAIMS};
use crate::error::Result;
use crate::record::Actor;

/// The actor that verified claims speak for.
///
/// # Errors
/// `UNAUTHENTICATED` that names the claim that is missing or of another form.
pub(super) fn actor(rules: &Issuer, verified: Map<String, Value>) -> Result<Actor> {
    let expires = verified.get("exp").cloned().unwrap_or_default();
    let verified = Value::Object(verified);
    let own = at(&verified, &rules.subject_from).and_then(Value::as_str).filter(|own| !own.is_empty());
    let own = own.ok_or_else(|| lacks(&rules.subject_from))?;
    let subject = subject(&rules.subject_from, &format!("{}{own}", rules.subject_prefix))?;
    let roles = roles(rules, &verified)?;
    let mut claims = Map::new();
    if let Some(from) = &rules.claims_from {
        let Some(Value::Object(members)) = at(&verified, from) else { return Err(lacks(from)) };
        let free = members.iter().filter(|(name, _)| !RESERVED_CLAIMS.contains(&name.as_str()));
        claims.extend(free.map(|(name, value)| (name.clone(), value.clone())));
    }
    for (name, from) in &rules.claims {
        let (from, default) = match from {
            ClaimFrom::At(from) => (from, None),
            ClaimFrom::Or { from, default } => (from, Some(default)),
        };
        let value = at(&verified, from).or(default).ok_or_else(|| lacks(from))?;
        claims.insert(name.clone(), value.clone());
    }
    claims.insert("sub".into(), subject.clone().into());
    claims.insert("roles".into(), roles.clone().into());
    claims.insert("iss".into(), rules.issuer.clone().into());
    claims.insert("exp".into(), expires);
    Ok(Actor { subject, roles, claims, contract: None, key: None })
}

/// A subject of 1 to 512 bytes without control characters, which the token has there.
///
/// # Errors
/// `UNAUTHENTICATED` when it is not.
pub(super) fn subject(from: &str, text: &str) -> Result<String> {
    if text.is_empty() || text.len() > 512 || text.chars().any(char::is_control) {
        return Err(refused(format!(
            "the token's `{from}` must have 1 to 512 bytes and no control characters"
        )));
    }
    Ok(text.to_owned())
}

/// The roles that a token names and its issuer may give.
fn roles(rules: &Issuer, verified: &Value) -> Result<Vec<String>> {
    let wrong = || {
        let from = &rules.roles_from;
        refused(format!("the token's `{from}` must be a list of texts; ask its issuer for another one"))
    };
    let named: Vec<&str> = match at(verified, &rules.roles_from) {
        None => Vec::new(),
        Some(Value::String(text)) => text.split_whitespace().collect(),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect::<Result<_>>()?
        }
        Some(_) => return Err(wrong()),
    };
    let given: Vec<String> =
        rules.roles.iter().filter(|role| named.contains(&role.as_str())).cloned().collect();
    Ok(if given.is_empty() { rules.default_roles.clone() } else { given })
}

/// What is at a JSON pointer (RFC 6901), or at the member of this name; null is nothing.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let is_pointer = path.is_empty() || path.starts_with('/');
    let found = if is_pointer { value.pointer(path) } else { value.get(path) };
    found.filter(|found| !found.is_null())
}

fn lacks(path: &str) -> crate::error::Error {
    refused(format!(
        "the token lacks `{path}`, which this server asks for; ask its issuer for one that has it"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]

    use serde_json::json;

    use super::*;

    fn rules(more: Value) -> Issuer {
        let mut rules = json!({
            "issuer": "https://id", "audiences": ["w"], "jwks_file": "k", "roles": ["consumer", "steward"],
        });
        rules.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(rules).unwrap()
    }

    fn of(more: Value, claims: &Value) -> Result<Actor> {
        actor(&rules(more), claims.as_object().unwrap().clone())
    }

    #[test]
    fn roles_are_those_that_the_issuer_may_give() {
        let roles = |more: Value, claims: Value| of(more, &claims).map(|actor| actor.roles);
        let keycloak = json!({"roles_from": "/realm_access/roles"});
        let token = json!({"sub": "a", "realm_access": {"roles": ["admin", "steward", "offline_access"]}});
        let actor = of(keycloak.clone(), &token).unwrap();
        assert_eq!(actor.roles, ["steward"]);
        assert_eq!(actor.claims.get("roles"), Some(&json!(["steward"])));
        assert!(!actor.has_role("admin"));
        let scoped = roles(json!({"roles_from": "scope"}), json!({"sub": "a", "scope": "openid consumer"}));
        assert_eq!(scoped.unwrap(), ["consumer"]);
        let spaced = json!({"sub": "a", "https://x.com/roles": ["consumer"]});
        assert_eq!(roles(json!({"roles_from": "https://x.com/roles"}), spaced).unwrap(), ["consumer"]);
        let default = json!({"default_roles": ["consumer"]});
        assert_eq!(roles(default.clone(), json!({"sub": "a"})).unwrap(), ["consumer"]);
        assert_eq!(roles(default.clone(), json!({"sub": "a", "roles": ["admin"]})).unwrap(), ["consumer"]);
        assert_eq!(roles(default, json!({"sub": "a", "roles": ["steward"]})).unwrap(), ["steward"]);
        assert_eq!(roles(json!({}), json!({"sub": "a"})).unwrap(), [""; 0]);
        for wrong in [json!([1]), json!({"admin": true}), json!(1)] {
            assert!(roles(json!({}), json!({"sub": "a", "roles": wrong})).is_err());
        }
    }

    #[test]
    fn claims_are_those_that_are_mapped() {
        let token = json!({
            "sub": "a", "exp": 5, "region": "EU", "client": "acme",
            "https://hasura.io/jwt/claims": {"x-hasura-user-id": "7", "sub": "root", "roles": ["admin"],
                "subject": "root", "iss": "me", "exp": 9, "team": "red"},
        });
        let plain = of(json!({}), &token).unwrap();
        assert_eq!(plain.claims.keys().collect::<Vec<_>>(), ["exp", "iss", "roles", "sub"]);
        let mapped = json!({
            "claims": {"user": "/https:~1~1hasura.io~1jwt~1claims/x-hasura-user-id", "region": "region",
                "tier": {"from": "/tier", "default": "free"}},
            "claims_from": "https://hasura.io/jwt/claims",
        });
        let mapped = of(mapped, &token).unwrap();
        assert_eq!(mapped.subject, "a");
        let expected = json!({
            "sub": "a", "exp": 5, "iss": "https://id", "roles": [], "region": "EU", "user": "7", "tier": "free",
            "team": "red", "x-hasura-user-id": "7",
        });
        assert_eq!(Value::Object(mapped.claims), expected);
        let whole = of(json!({"claims_from": ""}), &token).unwrap();
        assert_eq!(whole.claims.get("client"), Some(&json!("acme")));
        assert_eq!(whole.claims.get("iss"), Some(&json!("https://id")));
    }

    #[test]
    fn what_is_asked_for_must_be_there() {
        let lacking = [
            (json!({}), json!({})),
            (json!({}), json!({"sub": ""})),
            (json!({}), json!({"sub": 7})),
            (json!({}), json!({"sub": null})),
            (json!({"subject_from": "/email"}), json!({"sub": "a"})),
            (json!({"claims": {"region": "/region"}}), json!({"sub": "a"})),
            (json!({"claims": {"region": "/region"}}), json!({"sub": "a", "region": null})),
            (json!({"claims_from": "/x"}), json!({"sub": "a", "x": ["b"]})),
            (json!({}), json!({"sub": "a\nb"})),
        ];
        for (more, claims) in lacking {
            assert!(of(more.clone(), &claims).is_err(), "{more} {claims}");
        }
        let prefixed = of(json!({"subject_prefix": "id|"}), &json!({"sub": "a"})).unwrap();
        assert_eq!((prefixed.subject.as_str(), prefixed.claims.get("sub")), ("id|a", Some(&json!("id|a"))));
    }
}
