//! Subscriptions: one root field, a stream of complete answers. What a change is, and who may see it, is
//! publishing's affair. Must not know transports.

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};

use super::answer::{self, Fault};
use super::execute::locate;
use super::plan::{Misplaced, Node};
use super::prepare::Prepared;
use super::project::project;
use super::{Context, Response, Services, manage};
use crate::error::{Code, Error, Result};
use crate::publishing::{Ended, Path, Publishing, Root};
use crate::query::Budget;
use crate::record::{Actor, Json, write_string};

/// Opens the stream of a prepared subscription.
pub(super) async fn open(
    services: &Services,
    context: Context,
    prepared: &Prepared,
) -> std::result::Result<BoxStream<'static, Response>, Response> {
    let node = match &*prepared.nodes {
        [node] if !node.name.starts_with("__") => node,
        nodes => return Err(answer::refusal(&context, &[Fault::at(&context, not_one(nodes))])),
    };
    let changes = match changes(services, &context, prepared, node).await {
        Ok(changes) => changes,
        Err(error) => {
            let misplaced = Misplaced { error, locations: vec![node.pos] };
            return Err(answer::refusal(&context, &[Fault::at(&context, misplaced)]));
        }
    };
    let mut start = b"{".to_vec();
    write_string(&node.key, &mut start);
    start.push(b':');
    let (key, pos) = (node.key.clone(), node.pos);
    let answers = changes.map(move |change| match change {
        Ok(value) => {
            let mut data = Vec::with_capacity(start.len() + value.len() + 1);
            data.extend_from_slice(&start);
            data.extend_from_slice(&value);
            data.push(b'}');
            answer::executed(&context, &data, &[])
        }
        Err(error) => {
            let fault = Fault::of(&context, error).on(pos, vec![key.as_ref().into()]);
            answer::executed(&context, b"null", &[fault])
        }
    });
    Ok(answers.boxed())
}

async fn changes(
    services: &Services,
    context: &Context,
    prepared: &Prepared,
    node: &Node,
) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
    if &*node.name == "events" {
        return events(services, context, prepared, node).await;
    }
    let Some(((collection, _), _)) = locate(&prepared.collections, &node.name) else {
        return Err(Error::internal("a subscription field without a collection"));
    };
    let field = node.selected(&prepared.variables)?;
    let (actor, publishing) = (context.actor.clone(), services.publishing.clone());
    let opened = publishing.subscribe(actor.clone(), collection, field).await;
    let (request, id, path) = (context.request_id.clone(), collection.id, Path::Root(Root::Changes));
    match opened {
        Ok(changes) => {
            publishing.note(&actor, &request, id, path, Ended::With(0));
            let mut open = Open { publishing, actor, request, id, events: 0 };
            Ok(changes.inspect(move |change| open.count(change)).boxed())
        }
        Err(error) => {
            // It was seen when the document was prepared, a moment ago.
            let gone = matches!(error.code(), Code::NotFound | Code::Forbidden);
            publishing.note(&actor, &request, id, path, if gone { Ended::Denied } else { Ended::Failed });
            Err(error)
        }
    }
}

/// An open subscription, whose end is noted with the number of its events.
struct Open {
    publishing: Publishing,
    actor: Arc<Actor>,
    request: String,
    id: i64,
    events: usize,
}

impl Open {
    fn count(&mut self, event: &Result<Vec<u8>>) {
        self.events += usize::from(event.is_ok());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.publishing.note(&self.actor, &self.request, self.id, Path::Ended, Ended::With(self.events));
    }
}

async fn events(
    services: &Services,
    context: &Context,
    prepared: &Prepared,
    node: &Node,
) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
    let arguments = node.filled(&prepared.variables)?;
    let mut asked = manage::events(&arguments);
    asked.changes = node.children.iter().any(|child| &*child.name == "changes");
    let events = services.publishing.events(context.actor.clone(), asked).await?;
    let (slice, node) = (prepared.slice.clone(), node.clone());
    let bytes_max = services.config.graphql.answer_bytes_max;
    let written = events.map(move |event| {
        let mut out = Vec::new();
        project(&slice.model, &node.ty, &Json::from(event?), &node.children, &mut out)?;
        Budget::new(bytes_max).take(out.len())?;
        Ok(out)
    });
    Ok(written.boxed())
}

fn not_one(nodes: &[Node]) -> Misplaced {
    let text = "a subscription has exactly one root field; open one for each collection";
    Misplaced { error: Error::bad_request(text), locations: nodes.iter().map(|node| node.pos).collect() }
}
