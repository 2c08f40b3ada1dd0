//! One subscription: what is there (a snapshot, or what was missed), then what comes, each change opened by
//! the subscriber's own scope. Nothing is lost or doubled between the phases, because all of them go by
//! position.

use std::borrow::Borrow;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Publishing;
use super::judge;
use super::related::Tree;
use super::tail::Ear;
use crate::config;
use crate::error::{Code, Error, Result};
use crate::policy::{Said, Scoped};
use crate::query::{
    Ask, Budget, ChangeCursor, ChangeField, Changes, Collection, ColumnsUsed, Node, Projector, Query, Root,
    Selected, write,
};
use crate::record::{Actor, Json, Signer};
use crate::store::catalog::Catalog;
use crate::store::changes::Tailed;
use crate::store::rows::SnapshotPage;
use crate::store::wake::Topic;

/// How often what is read beside rows is read anew while shapes keep changing.
const REFILLS_MAX: usize = 4;
/// Rows of a snapshot read at once.
const SNAPSHOT_ROWS: usize = 200;
/// The position in cursors of a snapshot that is not complete: who resumes there gets it anew.
const INCOMPLETE: i64 = -1;

/// Leave to be open, as long as it is held.
pub(super) fn permit(publishing: &Publishing) -> Result<OwnedSemaphorePermit> {
    publishing.0.open.clone().try_acquire_owned().map_err(|_| {
        Error::new(Code::Backpressure, "this node has as many subscriptions as it may; try again later")
            .retry_after_ms(1_000)
    })
}

/// Opens a subscription. It is scoped by what the collection is now: it was planned a moment ago, and a field may have
/// become personal since.
pub(super) async fn open(
    publishing: Publishing,
    actor: Arc<Actor>,
    planned: &Collection,
    field: Selected,
) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
    let permit = permit(&publishing)?;
    let store = &publishing.0.store;
    let catalog = store.catalog.load();
    let versions = (catalog.version, publishing.0.policy.version());
    let collection = catalog.by_id(planned.id).cloned().ok_or_else(|| gone(planned))?;
    let tree = scoped(&publishing, &actor, (&catalog, &collection), &field)?;
    let query = &tree.query;
    let head = store.position(collection.id).await?;
    let ear = publishing.0.hubs.hear(collection.id, head);
    let changes = changes(query)?;
    let (after, snapshot) = (changes.after, changes.snapshot);
    let mut subscriber = Subscriber {
        catalog: store.wake.subscribe(Topic::Catalog),
        position: after.map_or(head, |after| after.position),
        rows: fingerprint(query),
        phase: Phase::Missed { until: head },
        caught_up: after.is_some() || snapshot,
        pending: VecDeque::new(),
        failed: None,
        ended: false,
        _permit: permit,
        publishing,
        actor,
        collection,
        field,
        tree,
        versions,
        ear,
    };
    match after {
        // Between the two scopes lie rows that no change tells of.
        Some(after) if after.position == INCOMPLETE || after.rows != subscriber.rows => {
            subscriber.reset().await?;
        }
        Some(after) => {
            subscriber.publishing.0.store.resumable(subscriber.collection.id, after.position).await?;
        }
        None if snapshot => subscriber.begin_snapshot().await?,
        None => {}
    }
    Ok(unfold(subscriber, |mut subscriber| async move {
        let item = subscriber.next().await?;
        Some((item, subscriber))
    })
    .boxed())
}

fn scoped(
    publishing: &Publishing,
    actor: &Actor,
    (catalog, collection): (&Catalog, &Arc<Collection>),
    field: &Selected,
) -> Result<Tree> {
    let from = publishing.0.policy.view(actor, &catalog.collections, collection)?.ok_or_else(|| {
        Error::not_found(format!("there is no collection `{}` for you (any more)", collection.field_name))
    })?;
    let visible = publishing.reached(actor, &from, field)?;
    publishing.scoped(&from, &visible, Root::Changes, field)
}

/// Of the rows that it may see, and of the types that they have: what was told of others does not go on.
pub(super) fn fingerprint(query: &Scoped<Query>) -> u64 {
    let retyped = query.get().collection().shape.retired.len() as u64;
    query.scope().rows().fingerprint() ^ retyped.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn gone(collection: &Collection) -> Error {
    Error::not_found(format!("the collection `{}` is gone", collection.field_name))
}

fn changes(query: &Scoped<Query>) -> Result<&Changes> {
    match query.get().ask() {
        Ask::Changes(changes) => Ok(changes),
        _ => Err(Error::internal("a subscription asks for something else than changes")),
    }
}

/// Where a subscription is.
enum Phase {
    /// Reading rows as of a position, behind a row.
    Snapshot { position: i64, after: i64 },
    /// Reading the log up to a position.
    Missed { until: i64 },
    /// Hearing what comes.
    Live,
}

struct Subscriber {
    publishing: Publishing,
    actor: Arc<Actor>,
    collection: Arc<Collection>,
    field: Selected,
    tree: Tree,
    /// The fingerprint of the rows that it may see.
    rows: u64,
    /// Of catalog and policies, when the query was scoped.
    versions: (i64, u64),
    ear: Ear,
    catalog: watch::Receiver<u64>,
    /// Everything up to here has been handed out or was not for this subscriber.
    position: i64,
    phase: Phase,
    /// `CAUGHT_UP` is still to be said.
    caught_up: bool,
    pending: VecDeque<Vec<u8>>,
    /// Why it cannot go on; said behind what is pending.
    failed: Option<Error>,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// A row of a change, as it is at hand.
#[derive(Clone, Copy)]
enum Image<'a> {
    None,
    Document(&'a Json),
    /// Written already, one for each `node` field.
    Written(&'a [Vec<u8>]),
}

impl Subscriber {
    async fn next(&mut self) -> Option<Result<Vec<u8>>> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Some(Ok(item));
            }
            if let Some(error) = self.failed.take() {
                self.ended = true;
                return Some(Err(error));
            }
            if self.ended {
                return None;
            }
            self.failed = self.step().await.err();
        }
    }

    async fn step(&mut self) -> Result<()> {
        self.follow().await?;
        let done = match self.phase {
            Phase::Snapshot { position, after } => self.snapshot_step(position, after).await,
            Phase::Missed { until } => self.missed_step(until).await,
            Phase::Live => self.live_step().await,
        };
        let filled = self.fill().await;
        if filled.is_err() {
            // They are not what they say yet; who resumes gets them again.
            self.pending.clear();
        }
        done.and(filled)
    }

    /// Puts in what is read beside the rows; anew as long as a shape changes meanwhile.
    async fn fill(&mut self) -> Result<()> {
        for _ in 0..REFILLS_MAX {
            match self.fill_once().await {
                Err(error) if error.is_stale() && self.publishing.refresh(self.versions.0).await => {
                    self.follow().await?;
                }
                filled => return filled,
            }
        }
        self.fill_once().await
    }

    async fn fill_once(&mut self) -> Result<()> {
        let budget = Budget::new(self.publishing.0.limits.answer_bytes_max);
        let mut pending: Vec<&mut Vec<u8>> = self.pending.iter_mut().collect();
        self.publishing.filled(&self.tree, &mut pending, &budget).await
    }

    /// Asks the scope again when a shape or a policy has changed.
    async fn follow(&mut self) -> Result<()> {
        let catalog = self.publishing.0.store.catalog.load();
        let versions = (catalog.version, self.publishing.0.policy.version());
        if versions == self.versions {
            return Ok(());
        }
        let policy_same = versions.1 == self.versions.1 && !judge::follows(&self.tree.query);
        self.versions = versions;
        let Some(collection) = catalog.by_id(self.collection.id).cloned() else {
            return Err(gone(&self.collection));
        };
        if Arc::ptr_eq(&collection, &self.collection) && policy_same {
            // It was another collection that was published.
            return Ok(());
        }
        let is_enum = |of: &Collection, id: &u32| {
            of.shape.field(*id).is_some_and(|field| field.enumeration().is_some())
        };
        let query = self.tree.query.get();
        if query.compared().iter().any(|id| is_enum(&collection, id) != is_enum(query.collection(), id)) {
            let text = "a field in `where` has become an enum, or is none any more; subscribe anew";
            return Err(Error::bad_request(text));
        }
        let rebuilt = collection.generation != self.collection.generation
            || collection.shape.retired != self.collection.shape.retired;
        self.collection = collection;
        // A cursor that was good at the start may be of the build before; it is not needed any more.
        self.field.arguments.retain(|(name, _)| name != "after");
        let tree = scoped(&self.publishing, &self.actor, (&catalog, &self.collection), &self.field)?;
        let rows = fingerprint(&tree.query);
        let other_rows = rows != self.rows;
        (self.tree, self.rows) = (tree, rows);
        if rebuilt || other_rows { self.reset().await } else { Ok(()) }
    }

    /// Tells the subscriber to drop what it holds, and begins a snapshot.
    async fn reset(&mut self) -> Result<()> {
        self.push("RESET", None, INCOMPLETE, Image::None, Image::None)?;
        self.caught_up = true;
        self.begin_snapshot().await
    }

    async fn begin_snapshot(&mut self) -> Result<()> {
        let position = self.publishing.0.store.position(self.collection.id).await?;
        self.position = position;
        self.phase = Phase::Snapshot { position, after: 0 };
        Ok(())
    }

    async fn snapshot_step(&mut self, position: i64, after: i64) -> Result<()> {
        let publishing = self.publishing.clone();
        let query = self.tree.query.clone();
        let selections: Vec<&[Node]> = changes(&query)?
            .fields
            .iter()
            .filter_map(
                |(_, field)| if let ChangeField::Node(nodes) = field { Some(nodes.as_slice()) } else { None },
            )
            .collect();
        let signer = &publishing.0.signer;
        let page = SnapshotPage {
            after,
            position,
            limit: SNAPSHOT_ROWS,
            bytes_max: publishing.0.subscriptions.batch_bytes_max,
            row_bytes_max: publishing.0.limits.answer_bytes_max,
            signer,
        };
        let written = self.pending.len();
        let mut each = |key: &str, nodes: &[Vec<u8>]| {
            self.push("UPSERT", Some(key), INCOMPLETE, Image::Written(nodes), Image::None).map(drop)
        };
        let read = publishing.0.store.snapshot_page(&query, &selections, page, &mut each).await;
        if read.as_ref().is_err_and(Error::is_stale) && publishing.refresh(self.versions.0).await {
            // The page is read again as the new shape has it.
            self.pending.truncate(written);
            return Ok(());
        }
        match read? {
            ControlFlow::Continue(after) => self.phase = Phase::Snapshot { position, after },
            ControlFlow::Break(()) => {
                let until = publishing.0.store.position(self.collection.id).await?;
                self.phase = Phase::Missed { until };
            }
        }
        Ok(())
    }

    async fn missed_step(&mut self, until: i64) -> Result<()> {
        let config::Subscriptions { tail_batch_max, batch_bytes_max, .. } = self.publishing.0.subscriptions;
        let store = &self.publishing.0.store;
        let batch = store.tail(self.collection.id, self.position, tail_batch_max.max(1), batch_bytes_max);
        let (changes, more) = batch.await?;
        // They may be of a shape or policy that is newer than the query.
        self.follow().await?;
        if !matches!(self.phase, Phase::Missed { .. }) {
            return Ok(());
        }
        if changes.is_empty() && self.position < until {
            // What is known to have happened is not there.
            self.publishing.0.store.resumable(self.collection.id, self.position).await?;
        }
        if !self.take_all(&changes).await? {
            // The rest is read again when this has been handed out.
            return Ok(());
        }
        if self.caught_up && self.position >= until {
            self.caught_up = false;
            self.push("CAUGHT_UP", None, self.position, Image::None, Image::None)?;
        }
        if !more {
            self.phase = Phase::Live;
        }
        Ok(())
    }

    async fn live_step(&mut self) -> Result<()> {
        let head = tokio::select! {
            head = self.ear.beyond(self.position) => head,
            // The catalog may have changed what is seen, or whether anything is.
            changed = self.catalog.changed() => {
                let stopping = "the node is stopping; resume elsewhere";
                return changed.map_err(|_| Error::new(Code::Unavailable, stopping));
            }
        };
        let mut heard: Vec<Arc<Tailed>> = self.ear.at(self.position + 1).into_iter().collect();
        if heard.is_empty() {
            // The tail has skipped it, or goes faster than this subscriber reads.
            self.phase = Phase::Missed { until: head };
            return Ok(());
        }
        // Its row may be of a shape or policy that is newer than the query.
        self.follow().await?;
        if judge::follows(&self.tree.query) {
            let more = (self.position + 2..=head).map_while(|position| self.ear.at(position));
            heard.extend(more.take(self.publishing.0.subscriptions.tail_batch_max));
        }
        if let Phase::Live = self.phase {
            self.take_all(&heard).await?;
        }
        Ok(())
    }

    /// Takes changes in their order, as long as not too much of them is waiting to be handed out; whether it was all.
    async fn take_all(&mut self, changes: &[impl Borrow<Tailed>]) -> Result<bool> {
        let said = match self.publishing.judged(&self.tree.query, changes).await {
            Err(error) if error.is_stale() && self.publishing.refresh(self.versions.0).await => {
                return Ok(false);
            }
            said => said?,
        };
        let mut written = 0;
        for (change, said) in changes.iter().zip(said) {
            if written >= self.publishing.0.subscriptions.batch_bytes_max {
                return Ok(false);
            }
            written += self.take(change.borrow(), said)?;
        }
        Ok(true)
    }

    /// Opens a change and hands out what is to be seen of it; how many bytes that is.
    fn take(&mut self, tailed: &Tailed, said: [Said; 2]) -> Result<usize> {
        self.position = tailed.pos;
        if tailed.generation != self.collection.generation {
            return Ok(0);
        }
        let opened = self.tree.query.open(tailed.change.clone(), self.tree.query.get().filter(), said);
        let Some((op, change)) = opened.told() else { return Ok(0) };
        let node = change.after.as_deref().map_or(Image::None, Image::Document);
        let before = change.before.as_deref().map_or(Image::None, Image::Document);
        self.push(op, Some(&change.key), tailed.pos, node, before)
    }

    fn cursor(&self, position: i64) -> String {
        let cursor = ChangeCursor { position, rows: self.rows };
        cursor.encode(&self.collection, &self.publishing.0.signer)
    }

    fn push(
        &mut self,
        op: &str,
        key: Option<&str>,
        position: i64,
        node: Image<'_>,
        before: Image<'_>,
    ) -> Result<usize> {
        let bytes_max = self.publishing.0.limits.answer_bytes_max;
        let projector = projector(&self.tree.query, &self.publishing.0.signer, bytes_max);
        let mut out = Vec::with_capacity(256);
        let mut nodes_seen = 0;
        for (index, (name, field)) in changes(&self.tree.query)?.fields.iter().enumerate() {
            write::member(name, index == 0, &mut out);
            if out.len() > bytes_max {
                return Err(Budget::new(bytes_max).spent());
            }
            match field {
                ChangeField::Typename(name) => write::text(name, &mut out),
                ChangeField::Cursor => {
                    write::text(&self.cursor(position), &mut out);
                }
                ChangeField::Op => write::text(op, &mut out),
                ChangeField::Key => projector.key(key, &mut out),
                ChangeField::Node(nodes) => {
                    image(&projector, nodes, node, nodes_seen, &mut out);
                    nodes_seen += 1;
                }
                ChangeField::Before(nodes) => image(&projector, nodes, before, 0, &mut out),
            }
        }
        out.push(b'}');
        let bytes = out.len();
        if bytes > bytes_max {
            return Err(Budget::new(bytes_max).spent());
        }
        self.pending.push_back(out);
        Ok(bytes)
    }
}

/// What shows images as the query's scope lets them be seen.
pub(super) fn projector<'a>(query: &'a Scoped<Query>, signer: &'a Signer, bytes_max: usize) -> Projector<'a> {
    let scope = query.scope();
    Projector { rules: scope.as_ref(), extras: scope.extras(), signer, bytes_max }
}

fn image(projector: &Projector<'_>, nodes: &[Node], image: Image<'_>, place: usize, out: &mut Vec<u8>) {
    match image {
        Image::None => out.extend_from_slice(b"null"),
        Image::Document(row) => projector.row(nodes, row, out),
        Image::Written(written) => match written.get(place) {
            Some(bytes) => out.extend_from_slice(bytes),
            None => out.extend_from_slice(b"null"),
        },
    }
}
