//! `explain`: a document is prepared as if it were asked, and what its root fields would do is told instead. Must not
//! decide who is told.

use serde_json::Value;

use async_graphql::parser::types::OperationType;

use super::execute::locate;
use super::prepare::Transport;
use super::{Context, Engine, Request};
use crate::error::{Error, Result};
use crate::publishing::{Ended, Root};
use crate::record::Json;

/// What the collections' fields of a query do, in its order. That they were looked at is noted like a read which gave
/// no row out.
///
/// # Errors
/// Those of the query; `BAD_REQUEST` for what is no query.
pub(super) async fn explain(
    engine: &Engine,
    context: &Context,
    arguments: &[(String, Json)],
) -> Result<Value> {
    let given = |name: &str| arguments.iter().find(|(given, _)| given == name).map(|(_, value)| value);
    let text = |name: &str| given(name).and_then(Json::as_str);
    let variables = match given("variables") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Object(members)) => members.clone(),
        Some(_) => return Err(Error::bad_request("`variables` must be an object")),
    };
    let request = Request {
        query: text("query").unwrap_or_default().into(),
        operation_name: text("operationName").map(str::to_owned),
        variables,
    };
    let prepared = engine.prepare(context, &request, Transport::Single).await.map_err(|faults| {
        let first = faults.into_iter().next().map(|fault| fault.into_error());
        first.unwrap_or_else(|| Error::internal("a refusal without a fault"))
    })?;
    if prepared.kind != OperationType::Query {
        return Err(Error::bad_request("only queries are explained"));
    }
    let publishing = &engine.inner.services.publishing;
    let mut told = Vec::new();
    for node in prepared.nodes.iter() {
        let Some((from, root)) = locate(&prepared.collections, &node.name) else { continue };
        let selected = node.selected(&prepared.variables)?;
        let asked: (Root, _) = (root, &selected);
        let explained = publishing.explain(&context.actor, from, &prepared.collections, asked).await;
        let ended = if explained.is_ok() { Ended::With(0) } else { Ended::Failed };
        let (actor, request, path) = (&context.actor, &context.request_id, context.path(root));
        publishing.note(actor, request, from.0.id, path, ended);
        told.extend(explained?);
    }
    Ok(told.into())
}
