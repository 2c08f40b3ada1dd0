//! Resolvers of advice about indexes. Must not contain business rules.

use serde_json::Value;

use super::Arguments;
use crate::error::Result;
use crate::graphql::{Context, Services};

/// `indexAdvice`
pub(super) async fn list(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    services.publishing.index_advice(&context.actor, arguments.text("collection").as_deref()).await
}

/// `applyIndexAdvice`
pub(super) async fn apply(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    services.publishing.apply_index_advice(&context.actor, &arguments.required("id")?).await
}

/// `dropIndex`
pub(super) async fn drop(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    services.publishing.drop_index(&context.actor, &arguments.required("id")?).await
}
