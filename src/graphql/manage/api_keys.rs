//! Resolvers of API keys. Must not contain business rules.

use serde_json::{Map, Value};

use super::Arguments;
use crate::error::{Error, Result};
use crate::graphql::{Context, Services};
use crate::publishing::NewKey;
use crate::record::Json;

/// `apiKeys`
pub(super) async fn list(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    let first = arguments.first(&services.config.graphql)?;
    services.publishing.api_keys(&context.actor, first, arguments.uuid("after")?).await
}

/// `createApiKey`
pub(super) async fn create(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let claims = match input.get("claims").map(Json::to_value) {
        None => Map::new(),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Error::bad_request("`claims` must be an object")),
    };
    let new = NewKey {
        name: input.required("name")?,
        subject: input.required("subject")?,
        roles: input.texts("roles").unwrap_or_default(),
        claims,
        contract: input.text("contract"),
        expires_at: input.instant("expiresAt")?,
    };
    services.publishing.create_api_key(&context.actor, new).await
}

/// `revokeApiKey`
pub(super) async fn revoke(
    services: &Services,
    context: &Context,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let id = arguments.uuid("id")?.unwrap_or_default();
    services.publishing.revoke_api_key(&context.actor, id).await
}
