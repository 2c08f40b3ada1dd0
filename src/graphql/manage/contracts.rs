//! Resolvers of contracts. Must not contain business rules.

use serde_json::Value;

use super::Arguments;
use crate::error::Result;
use crate::graphql::{Context, Services};
use crate::record::Json;

/// `applyContract`
pub(super) async fn apply(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let dry = input.get("dryRun") == Some(&Json::Bool(true));
    services.publishing.apply_contract(&context.actor, &input.required("text")?, dry).await
}
