//! The resolvers of modes, and of what waits for a steward.

use serde_json::Value;

use super::{Arguments, find};
use crate::config::Mode;
use crate::error::{Error, Result};
use crate::graphql::{Context, Services};

pub(super) async fn set_mode(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let mode = input.text("mode").map(|name| {
        Mode::by_name(&name).ok_or_else(|| Error::bad_request(format!("there is no mode `{name}`")))
    });
    let (collection, path) = (input.required("collection")?, input.text("path").unwrap_or_default());
    services.publishing.set_mode(&context.actor, &collection, &path, mode.transpose()?).await
}

pub(super) async fn accept_fields(
    services: &Services,
    context: &Context,
    input: Arguments<'_>,
) -> Result<Value> {
    let paths = input.texts("paths").unwrap_or_default();
    services.publishing.accept_fields(&context.actor, &input.required("collection")?, &paths).await
}

pub(super) async fn reject_fields(
    services: &Services,
    context: &Context,
    input: Arguments<'_>,
) -> Result<Value> {
    let paths = input.texts("paths").unwrap_or_default();
    services.publishing.reject_fields(&context.actor, &input.required("collection")?, &paths).await
}

pub(super) async fn shape_diff(
    services: &Services,
    context: &Context,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let visible = find(&services.publishing, &context.actor, &arguments.required("collection")?).await?;
    services.publishing.shape_diff(&visible, arguments.whole("from"), arguments.whole("to")).await
}
