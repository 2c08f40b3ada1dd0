//! The resolvers of unions.

use serde_json::Value;

use super::Arguments;
use crate::error::Result;
use crate::graphql::{Context, Services};
use crate::publishing::AcceptUnion;

pub(super) async fn accept(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let asked = AcceptUnion {
        collection: input.required("collection")?,
        path: input.required("path")?,
        discriminator: input.required("discriminator")?,
        values: input.texts("values"),
    };
    services.publishing.accept_union(&context.actor, &asked).await
}

pub(super) async fn remove(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let (collection, path) = (input.required("collection")?, input.required("path")?);
    services.publishing.remove_union(&context.actor, &collection, &path).await
}
