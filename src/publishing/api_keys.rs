//! API keys: made, listed and revoked by administrators. Must not decide whether a key is good (`http::auth` does).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Publishing, short};
use crate::config::RESERVED_CLAIMS;
use crate::error::{Code, Error, Result};
use crate::policy::Action;
use crate::query::write;
use crate::record::{Actor, api_key, api_key_hash};
use crate::store::api_keys::ApiKey;

/// What a key is to be.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// What it is called.
    pub name: String,
    /// Whom it speaks for.
    pub subject: String,
    /// In which roles.
    pub roles: Vec<String>,
    /// With which further claims.
    pub claims: Map<String, Value>,
    /// Under which contract.
    pub contract: Option<String>,
    /// From when on it is not good any more, Unix microseconds.
    pub expires_at: Option<i64>,
}

impl Publishing {
    /// Makes a key: the GraphQL type `CreateApiKeyPayload`, the only place where the key itself is told.
    ///
    /// Nobody gives a key roles that they do not have, and no key makes another: one that has got into wrong hands
    /// would else outlive its revocation.
    ///
    /// # Errors
    /// `FORBIDDEN`; `BAD_REQUEST` for what no key can be; `NOT_FOUND` for a contract that is not in force; `CONFLICT`
    /// when there are as many keys as there may be.
    pub async fn create_api_key(&self, actor: &Actor, new: NewKey) -> Result<Value> {
        self.0.policy.allow(actor, Action::Administer)?;
        if actor.key.is_some() {
            return Err(Error::forbidden("an API key makes no other; ask with a token of an administrator"));
        }
        self.check_key(actor, &new)?;
        let key = api_key(rand::random());
        let hash = api_key_hash(&key).ok_or_else(|| Error::internal("a new API key is none"))?;
        let NewKey { name, subject, roles, claims, contract, expires_at } = new;
        let one = ApiKey {
            id: Uuid::nil(),
            name,
            subject,
            roles,
            claims,
            contract,
            created_at: 0,
            created_by: actor.subject.clone(),
            expires_at,
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        };
        let made = self.0.store.create_api_key(one, hash, &self.0.auth).await?;
        tracing::info!(id = %made.id, subject = made.subject, by = made.created_by, "an API key was made");
        Ok(json!({ "key": key, "apiKey": told(&made) }))
    }

    fn check_key(&self, actor: &Actor, new: &NewKey) -> Result<()> {
        text("name", &new.name, 200)?;
        text("subject", &new.subject, 512)?;
        for role in &new.roles {
            text("roles", role, 200)?;
            if !actor.has_role(role) {
                let role = short(role);
                let text = format!("you cannot give the role `{role}`, as you do not have it; leave it out");
                return Err(Error::forbidden(text));
            }
        }
        if let Some(name) = new.claims.keys().find(|name| RESERVED_CLAIMS.contains(&name.as_str())) {
            return Err(Error::bad_request(format!("`{name}` cannot be a claim of a key; use another name")));
        }
        let bytes_max = self.0.auth.key_bytes_max;
        let written = serde_json::to_string(&(&new.roles, &new.claims)).map_err(Error::internal)?;
        if written.len() > bytes_max {
            let text = format!("roles and claims have more than {bytes_max} bytes (`auth.key_bytes_max`)");
            return Err(Error::new(Code::TooLarge, text));
        }
        if new.expires_at.is_some_and(|expires_at| expires_at <= self.0.store.clock.now_us()) {
            return Err(Error::bad_request(
                "`expiresAt` is over already; give a time to come, or leave it out",
            ));
        }
        let Some(contract) = &new.contract else { return Ok(()) };
        match self.0.policy.contracts().named(contract) {
            Some(_) => Ok(()),
            None => Err(Error::not_found(format!(
                "there is no contract `{}` in force; `contracts` lists them",
                short(contract)
            ))),
        }
    }

    /// Revokes a key: the GraphQL type `ApiKey`.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn revoke_api_key(&self, actor: &Actor, id: Uuid) -> Result<Value> {
        self.0.policy.allow(actor, Action::Administer)?;
        let key = self.0.store.revoke_api_key(id, &actor.subject).await?;
        tracing::info!(%id, subject = key.subject, by = actor.subject, "an API key is revoked");
        Ok(told(&key))
    }

    /// At most so many keys, the newest first, behind the one of an id: a list of the GraphQL type `ApiKey`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `UNAVAILABLE` when the database is away.
    pub async fn api_keys(&self, actor: &Actor, first: usize, after: Option<Uuid>) -> Result<Value> {
        self.0.policy.allow(actor, Action::Administer)?;
        Ok(self.0.store.all_api_keys(first, after).await?.iter().map(told).collect())
    }
}

fn text(what: &str, text: &str, bytes_max: usize) -> Result<()> {
    if text.is_empty() || text.len() > bytes_max || text.chars().any(char::is_control) {
        let text = format!("`{what}` must have 1 to {bytes_max} bytes and no control characters");
        return Err(Error::bad_request(text));
    }
    Ok(())
}

fn told(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "subject": key.subject,
        "roles": key.roles,
        "claims": key.claims,
        "contract": key.contract,
        "createdAt": write::instant(key.created_at),
        "createdBy": key.created_by,
        "expiresAt": key.expires_at.and_then(write::instant),
        "revokedAt": key.revoked_at.and_then(write::instant),
        "revokedBy": key.revoked_by,
        "lastUsedAt": key.last_used_at.and_then(write::instant),
    })
}
