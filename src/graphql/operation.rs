//! Which operation of a document is asked, and whether it may be asked so. Must not know collections.

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};

use super::Context;
use super::coerce;
use super::prepare::Transport;
use crate::error::{Code, Error, Result};

/// Picks the operation.
pub(super) fn choose<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> Result<&'a OperationDefinition> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(&operation.node),
        (DocumentOperations::Multiple(operations), Some(name)) if operations.contains_key(name) => operations
            .get(name)
            .map(|operation| &operation.node)
            .ok_or_else(|| Error::bad_request("no such operation")),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => operations
            .values()
            .next()
            .map(|operation| &operation.node)
            .ok_or_else(|| Error::bad_request("no operation")),
        (_, Some(name)) => {
            let name = coerce::short(name);
            Err(Error::bad_request(format!("the document has no operation named `{name}`")))
        }
        (DocumentOperations::Multiple(_), None) => {
            Err(Error::bad_request("the document has several operations: say which by `operationName`"))
        }
    }
}

/// Whether it may be asked in this way.
pub(super) fn allowed(kind: OperationType, context: &Context, transport: Transport) -> Result<()> {
    match kind {
        OperationType::Mutation if !context.mutations => {
            Err(Error::forbidden("a mutation needs POST with the content type `application/json`"))
        }
        OperationType::Subscription if transport == Transport::Single => Err(Error::bad_request(
            "a subscription needs a stream: connect by WebSocket with `graphql-transport-ws`, or send \
             `Accept: text/event-stream`",
        )),
        _ => Ok(()),
    }
}

/// A document has more levels than the actor's contract allows.
pub(super) fn too_deep(max: u32) -> Error {
    let text = format!("your contract has at most {max} fields inside each other; ask for fewer levels");
    Error::new(Code::TooComplex, text)
}
