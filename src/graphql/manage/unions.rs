//! The resolvers of unions.

use serde_json::Value;

use super::Arguments;
use crate::error::Result;
use crate::graphql::{Context, Services};
use crate::publishing::AcceptUnion;
use crate::record::Json;

pub(super) async fn accept(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let texts = |items: &[Json]| items.iter().filter_map(Json::as_str).map(str::to_owned).collect();
    let asked = AcceptUnion {
        collection: input.required("collection")?,
        path: input.required("path")?,
        discriminator: input.required("discriminator")?,
        values: input.get("values").map(|_| texts(input.list("values"))),
    };
    services.publishing.accept_union(&context.actor, &asked).await
}

pub(super) async fn remove(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let (collection, path) = (input.required("collection")?, input.required("path")?);
    services.publishing.remove_union(&context.actor, &collection, &path).await
}
