//! What a query does, told to who looks after the node: the statement of each root field and of each relation below it,
//! how the database runs it, and what the policies add. Rows are read for it as the query reads them, and none is given
//! out. Must not tell more of a collection than who asks may know of it.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::related::Tree;
use super::{Publishing, Visible};
use crate::error::{Error, Result};
use crate::policy::{Action, Ruling, filter_text};
use crate::query::{Ask, Budget, Collection, ENVELOPE, Query, Root, Selected, Wanted};
use crate::record::Actor;
use crate::store::Store;

/// An explanation while it is made.
struct Explaining<'a> {
    publishing: &'a Publishing,
    actor: &'a Actor,
    /// Notes the statements that it runs.
    store: Store,
    budget: Budget,
    told: Vec<Value>,
}

/// How much is told of one collection.
struct Open {
    /// The statement and what the policies add, which name all fields.
    statement: bool,
    /// The plan, which counts rows that the scope leaves out.
    plan: bool,
}

impl Publishing {
    /// What a root field of the actor's own query does, as the GraphQL type `ExplainedField` has it: the field, then
    /// the relations below it. Who may steward is told statements of collections whose fields it all sees, where they
    /// follow no relations, and plans of those that it sees whole; who may administer is told all.
    ///
    /// # Errors
    /// `FORBIDDEN` for all others; `BAD_REQUEST` for what is not read with one statement; those of the query.
    pub async fn explain(
        &self,
        actor: &Actor,
        from: &Visible,
        visible: &[Visible],
        (root, field): (Root, &Selected),
    ) -> Result<Vec<Value>> {
        if !self.administers(actor) {
            self.0.policy.allow(actor, Action::Steward)?;
        }
        if let Some(cursor) = field.text("minCursor")? {
            self.wait_for(cursor).await?;
        }
        let tree = self.scoped(from, visible, root, field)?;
        if tree.query.get().as_of().is_some() || matches!(tree.query.get().ask(), Ask::History(_)) {
            let text = "what was is told from changes, which are not explained; ask without `asOf` and for no history";
            return Err(Error::bad_request(text));
        }
        let budget = Budget::new(self.0.limits.answer_bytes_max);
        let store = self.0.store.recording();
        let mut explaining = Explaining { publishing: self, actor, store, budget, told: Vec::new() };
        let path = vec![field.response_key.to_string()];
        explaining.root(&tree, path).await?;
        Ok(explaining.told)
    }
}

impl Explaining<'_> {
    async fn root(&mut self, tree: &Tree, path: Vec<String>) -> Result<()> {
        let (mut text, begun) = (Vec::new(), Instant::now());
        let signer = &self.publishing.0.signer;
        let rows = self.store.fetch(&tree.query, signer, &self.budget, &mut text).await?;
        let took = millis(begun);
        self.tell(tree, &path, (rows, took)).await?;
        self.below(tree, path, vec![text]).await
    }

    /// What is read for the rows in `texts`, as far as their marks ask for it.
    fn below<'a>(
        &'a mut self,
        tree: &'a Tree,
        path: Vec<String>,
        texts: Vec<Vec<u8>>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut wanted = Wanted::default();
            texts.iter().for_each(|text| wanted.add(text));
            for (place, branch) in tree.branches.iter().enumerate() {
                let related = tree.query.get().related().get(place);
                let (Some(keys), Some(related)) = (wanted.keys.get(&place), related) else { continue };
                let mut path = path.clone();
                path.push(related.selected.response_key.to_string());
                let keys = keys.iter().map(String::as_str);
                let (ahead, begun) = (self.budget.ahead(), Instant::now());
                let signer = &self.publishing.0.signer;
                let found = self.store.join(&branch.query, keys, signer, &ahead).await?;
                let took = millis(begun);
                self.tell(branch, &path, (found.rows, took)).await?;
                self.below(branch, path, found.by_key.into_values().collect()).await?;
            }
            Ok(())
        })
    }

    /// Tells of the statements that were run for one level, mostly one.
    async fn tell(&mut self, tree: &Tree, path: &[String], (rows, took): (usize, f64)) -> Result<()> {
        let collection = tree.query.get().collection();
        let rows = i32::try_from(rows).unwrap_or(i32::MAX);
        let open = self.open(tree);
        let rules = open.statement.then(|| self.rules(collection));
        let scope = open.statement.then(|| filter_text(tree.query.scope().rows()));
        for statement in self.store.recorded() {
            let plan = self.store.plan(&statement).await?;
            let rules = rules.iter().flatten();
            self.told.push(json!({
                "path": path,
                "collection": collection.field_name,
                "sql": open.statement.then_some(&statement.text),
                "constants": if open.statement { statement.constants() } else { Vec::new() },
                "scope": scope,
                "rules": rules.map(rule).collect::<Vec<_>>(),
                "indexes": plan.indexes,
                "plan": open.plan.then_some(plan.told),
                "rows": rows,
                "timeMs": took,
            }));
        }
        Ok(())
    }

    fn open(&self, tree: &Tree) -> Open {
        if self.publishing.administers(self.actor) {
            return Open { statement: true, plan: true };
        }
        let (query, scope): (&Query, _) = (tree.query.get(), tree.query.scope());
        let own = query.collection().shape.fields().map(|field| field.id);
        let mut ids = own.chain(ENVELOPE.iter().map(|member| member.id));
        // What follows relations names other collections' fields, too, and counts their rows.
        let statement = ids.all(|id| scope.comparable(id)) && !query.follows();
        Open { statement, plan: statement && scope.is_whole() }
    }

    fn rules(&self, collection: &Arc<Collection>) -> Vec<Ruling> {
        let catalog = self.publishing.0.store.catalog.load();
        self.publishing.0.policy.row_rules(self.actor, &catalog.collections, collection)
    }
}

fn rule(ruling: &Ruling) -> Value {
    // Where the file is concerns nobody.
    let place = ruling.place.rsplit(['/', '\\']).next();
    json!({ "at": place, "rule": ruling.rule, "when": filter_text(&ruling.when) })
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1_000.0
}
