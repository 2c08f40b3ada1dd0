//! Whom an API key speaks for. Must not make keys, nor say more of one that is not good than that.

use crate::error::{Code, Error, Result};
use crate::record::{Actor, Bound, api_key_hash};
use crate::store::Store;
use crate::store::api_keys::ApiKey;

use super::refused;

/// The actor of a key, at this moment. How often somebody may try is not bounded: a try costs a hash and a look at what
/// is in memory, and keys are not guessed, while a bound would let anybody keep others out.
///
/// # Errors
/// `UNAUTHENTICATED` for one that is not good, whatever the reason; `UNAVAILABLE` when that cannot be told.
pub(super) async fn actor(store: &Store, text: &str) -> Result<Actor> {
    let unknown = || refused("this server does not take the API key; ask an administrator for a new one");
    let hash = api_key_hash(text).ok_or_else(unknown)?;
    let found = store.api_key(&hash).await.map_err(|error| {
        let text = "whether the API key is still good cannot be told at the moment; try again shortly";
        Error::new(Code::Unavailable, text).with_cause(error)
    })?;
    Ok(speaker(&*found.ok_or_else(unknown)?))
}

fn speaker(key: &ApiKey) -> Actor {
    let mut claims = key.claims.clone();
    claims.insert("sub".into(), key.subject.clone().into());
    claims.insert("roles".into(), key.roles.clone().into());
    Actor {
        subject: key.subject.clone(),
        roles: key.roles.clone(),
        claims,
        contract: key.contract.as_deref().map(pledge),
        key: Some(key.id),
    }
}

/// Until it is known which version holds, it is of none: then nothing is shown.
fn pledge(contract: &str) -> Bound {
    let (name, version) = contract.split_once('@').unwrap_or((contract, "0"));
    let version = version.parse().unwrap_or(0);
    Bound { name: name.to_owned(), version, depth_max: None, cost_max: None, concurrent_max: None }
}
