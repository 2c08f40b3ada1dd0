//! The executor: root fields of a query at once, of a mutation one after the other; collections answer in
//! bytes, the management part in values that are projected. Null goes up to the nearest place that may be
//! null. Must not know what fields mean.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};

use super::answer::{self, Fault};
use super::introspect::{self, Whole};
use super::model::TypeRef;
use super::names::{AGGREGATE, BY_KEY, HISTORY};
use super::plan::Node;
use super::prepare::Prepared;
use super::{Context, Engine, Response, Services, explain, manage, project};
use crate::contract::Transport;
use crate::error::{Error, Result};
use crate::publishing::{Ended, Path, Root, Touched, Visible};
use crate::query::{Budget, write};
use crate::record::{Json, write_string};

/// What a request is executed with.
pub(super) struct Execution<'a> {
    /// What prepares documents within it.
    pub(super) engine: &'a Engine,
    /// Who is asked.
    pub(super) services: &'a Services,
    /// Whole schemas.
    pub(super) whole: &'a Arc<Whole>,
    /// Who asks.
    pub(super) context: &'a Context,
    /// What is asked.
    pub(super) prepared: &'a Prepared,
    /// How large the answer may become.
    pub(super) budget: Budget,
}

/// A root field's outcome: bytes of a JSON value, or a fault.
type Outcome = std::result::Result<Vec<u8>, Fault>;

/// How large an answer is that is begun.
const USUAL_BYTES: usize = 4_096;

/// The answers of the fields of introspection, by their response keys.
type Introspected = HashMap<Arc<str>, Vec<u8>>;

impl Execution<'_> {
    /// Runs a query or mutation.
    pub(super) async fn run(&self) -> Response {
        let nodes = &self.prepared.nodes;
        let introspected = match self.introspect().await {
            Ok(introspected) => introspected,
            Err(error) => return answer::refusal(self.context, &[Fault::of(self.context, error)]),
        };
        let outcomes = match (self.prepared.kind, &**nodes) {
            (_, [only]) => return self.alone(only, &introspected).await,
            (OperationType::Mutation, _) => self.serially(&introspected).await,
            _ => {
                let roots: Vec<BoxFuture<'_, Outcome>> = nodes
                    .iter()
                    .map(|node| Box::pin(self.apart(node, &introspected)) as BoxFuture<'_, Outcome>)
                    .collect();
                let at_once = self.services.config.graphql.roots_at_once_max.max(1);
                stream::iter(roots).buffered(at_once).collect().await
            }
        };
        self.assemble(outcomes)
    }

    /// The answer of an only root field, which is written where it belongs.
    async fn alone(&self, node: &Node, introspected: &Introspected) -> Response {
        let mut body = Vec::with_capacity(USUAL_BYTES);
        body.extend_from_slice(answer::HEAD);
        write::member(&node.key, true, &mut body);
        let begun = body.len();
        if let Err(fault) = self.root(node, introspected, &mut body).await {
            body.truncate(if node.ty.is_required() { answer::HEAD.len() } else { begun });
            body.extend_from_slice(b"null");
            if !node.ty.is_required() {
                body.push(b'}');
            }
            return answer::finished(self.context, body, &[fault]);
        }
        body.push(b'}');
        answer::finished(self.context, body, &[])
    }

    /// Stops behind a failure that makes the whole answer null: what follows was not promised to happen.
    async fn serially(&self, introspected: &Introspected) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.prepared.nodes.len());
        for node in self.prepared.nodes.iter() {
            let outcome = self.apart(node, introspected).await;
            let fatal = outcome.is_err() && node.ty.is_required();
            outcomes.push(outcome);
            if fatal {
                break;
            }
        }
        outcomes
    }

    async fn introspect(&self) -> Result<Introspected> {
        let nodes = &self.prepared.nodes;
        if !nodes.iter().any(introspect::is_introspection) {
            return Ok(Introspected::new());
        }
        let limits = &self.services.config.graphql;
        introspect::affordable(nodes, limits)?;
        Box::pin(self.whole.answers(&self.context.actor, self.prepared, limits.answer_bytes_max)).await
    }

    async fn apart(&self, node: &Node, introspected: &Introspected) -> Outcome {
        let mut out = Vec::new();
        self.root(node, introspected, &mut out).await.map(|()| out)
    }

    /// Appends the value of a root field; on a fault something may have been appended.
    async fn root(
        &self,
        node: &Node,
        introspected: &Introspected,
        out: &mut Vec<u8>,
    ) -> std::result::Result<(), Fault> {
        let outcome = match &*node.name {
            "__typename" => {
                write_string(&node.parent, out);
                Ok(())
            }
            "__schema" | "__type" => {
                let told = introspected.get(&node.key).map_or(b"null".as_slice(), Vec::as_slice);
                out.extend_from_slice(told);
                self.budget.take(told.len())
            }
            _ => self.field(node, out).await,
        };
        outcome.map_err(|error| Fault::of(self.context, error).on(node.pos, vec![node.key.as_ref().into()]))
    }

    async fn field(&self, node: &Node, out: &mut Vec<u8>) -> Result<()> {
        let visible = &self.prepared.collections;
        if let Some((from, root)) = locate(visible, &node.name) {
            let selected = node.selected(&self.prepared.variables)?;
            let publishing = &self.services.publishing;
            let read = publishing.read(from, visible, root, &selected, &self.budget, out).await;
            return self.noted(from.0.id, root, read);
        }
        let arguments = node.filled(&self.prepared.variables)?;
        if &*node.name == "collections" {
            return Box::pin(self.collections(node, &arguments, out)).await;
        }
        // Apart, as it takes so much more room than a read, which would be moved about with it.
        let value = match &*node.name {
            "explain" => Json::from(Box::pin(explain::explain(self.engine, self.context, &arguments)).await?),
            _ => Box::pin(manage::resolve(self.services, self.context, node, &arguments)).await?,
        };
        let begun = out.len();
        project::project(&self.prepared.slice.model, &node.ty, &value, &node.children, out)?;
        self.budget.take(out.len() - begun)
    }

    /// Notes what was read; pages of an export are noted together, and what is asked anew is noted then.
    fn noted(&self, collection_id: i64, root: Root, read: Result<Vec<Touched>>) -> Result<()> {
        if self.context.transport == Transport::Rest || read.as_ref().is_err_and(Error::is_stale) {
            return read.map(drop);
        }
        let publishing = &self.services.publishing;
        let note = |collection_id: i64, path: Path, ended: Ended| {
            publishing.note(&self.context.actor, &self.context.request_id, collection_id, path, ended);
        };
        match &read {
            Ok(touched) => touched.iter().for_each(|(id, path, rows)| note(*id, *path, Ended::With(*rows))),
            Err(_) => note(collection_id, Path::Root(root), Ended::Failed),
        }
        read.map(drop)
    }

    async fn collections(&self, node: &Node, arguments: &[(String, Json)], out: &mut Vec<u8>) -> Result<()> {
        let model = &self.prepared.slice.model;
        let TypeRef::List(item) = node.ty.nullable() else {
            return Err(Error::internal("`collections` is a list"));
        };
        let (mut separator, mut taken, budget) = (false, out.len(), &self.budget);
        out.push(b'[');
        let write = |told: &Json| {
            if std::mem::replace(&mut separator, true) {
                out.push(b',');
            }
            project::project(model, item, told, &node.children, out)?;
            let added = out.len() - taken;
            taken = out.len();
            budget.take(added)
        };
        manage::collections(self.services, self.context, node, arguments, write).await?;
        out.push(b']');
        Ok(())
    }

    fn assemble(&self, outcomes: Vec<Outcome>) -> Response {
        let mut data =
            Vec::with_capacity(outcomes.iter().flatten().map(Vec::len).sum::<usize>() + USUAL_BYTES);
        data.extend_from_slice(answer::HEAD);
        let mut faults = Vec::new();
        let mut void = false;
        for (index, (node, outcome)) in self.prepared.nodes.iter().zip(outcomes).enumerate() {
            write::member(&node.key, index == 0, &mut data);
            match outcome {
                Ok(bytes) => data.extend_from_slice(&bytes),
                Err(fault) => {
                    data.extend_from_slice(b"null");
                    void |= node.ty.is_required();
                    faults.push(fault);
                }
            }
        }
        if void {
            data.truncate(answer::HEAD.len());
            data.extend_from_slice(b"null");
        } else {
            data.extend_from_slice(if self.prepared.nodes.is_empty() { b"{}" } else { b"}" });
        }
        answer::finished(self.context, data, &faults)
    }
}

/// The collection and kind that a root field's name stands for.
pub(super) fn locate<'a>(collections: &'a [Visible], name: &str) -> Option<(&'a Visible, Root)> {
    collections.iter().find_map(|visible| {
        let root = match name.strip_prefix(visible.0.field_name.as_str())? {
            "" => Root::List,
            BY_KEY => Root::ByKey,
            AGGREGATE => Root::Aggregate,
            HISTORY => Root::History,
            _ => return None,
        };
        Some((visible, root))
    })
}
