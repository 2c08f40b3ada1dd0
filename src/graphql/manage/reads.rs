//! What has been read, and what stewards have decided. Must not decide who may know of it.

use serde_json::Value;

use super::{Arguments, Context, Services};
use crate::error::{Error, Result};
use crate::record::Json;
use crate::store::reads::Wanted;

pub(super) async fn decisions(
    services: &Services,
    context: &Context,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let wrong = || Error::bad_request("`after` must be the id of a decision, a whole number");
    let wanted = Wanted {
        first: arguments.first(&services.config.graphql)?,
        before: arguments.text("after").map(|text| text.parse().map_err(|_| wrong())).transpose()?,
        subject: arguments.text("subject"),
        collections: None,
        allowed: arguments.get("allowed").map(|allowed| *allowed == Json::Bool(true)),
    };
    let collection = arguments.text("collection");
    services.publishing.reads(&context.actor, wanted, collection.as_deref()).await
}

pub(super) async fn shape_decisions(
    services: &Services,
    context: &Context,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let wrong = || Error::bad_request("`after` must be the id of a decision, a whole number");
    let after = arguments.text("after").map(|text| text.parse().map_err(|_| wrong())).transpose()?;
    let first = arguments.first(&services.config.graphql)?;
    services.publishing.decisions(&context.actor, &arguments.required("collection")?, first, after).await
}
