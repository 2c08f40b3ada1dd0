//! Following relations: a query with what it asks of other collections is a tree, each node of it scoped for the same
//! actor. A level is read when the rows above it are there, in one statement for all of them, and then put in where
//! they have marks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;

use super::reads::Path;
use super::{Publishing, Touched, Visible};
use crate::error::{Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Beyond, Budget, Collection, Filling, Followed, Link, Query, Selected, Wanted, compile_related,
};
use crate::record::Actor;
use crate::shape::Relation;

/// The most records in one statement.
const RECORDS_MAX: usize = 512;

/// A scoped query with those of the relations that it follows.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) query: Scoped<Query>,
    /// One for each of the query's relations, in their order.
    pub(super) branches: Vec<Tree>,
    /// How many rows were read of it, where it is a branch.
    rows: Arc<AtomicUsize>,
}

impl Tree {
    /// Adds what was read of its branches: each collection with its rows.
    pub(super) fn touched(&self, all: &mut Vec<Touched>) {
        for branch in &self.branches {
            let id = branch.query.get().collection().id;
            all.push((id, Path::Relation, branch.rows.load(Ordering::Relaxed)));
            branch.touched(all);
        }
    }
}

/// Where a relation leads to for an actor: none unless it sees both fields as they are, in every row, as it could
/// compare their values by it.
pub fn leads<'a>(from: &Visible, relation: &Relation, visible: &'a [Visible]) -> Option<&'a Visible> {
    let to = visible.iter().find(|(collection, _)| collection.field_name == relation.other)?;
    let end = |(collection, scope): &Visible, field: u32| {
        let mut ids = Default::default();
        let end = collection.end(field, &mut ids)?;
        ids.iter().all(|id| scope.comparable(*id)).then_some(end.scalar)
    };
    let (one, other) = (end(from, relation.field)?, end(to, relation.other_field)?);
    one.joins(other).then_some(to)
}

/// Where relations lead for an actor that sees these collections so.
pub(super) struct Around<'a>(pub(super) &'a [Visible]);

impl Beyond for Around<'_> {
    fn follow(&self, from: &Collection, name: &str) -> Option<Followed<'_>> {
        let from = self.0.iter().find(|(collection, _)| collection.id == from.id)?;
        let relation = from.0.shape.relation(name)?;
        let (collection, scope) = leads(from, relation, self.0)?;
        let link = Link::new(&from.0, relation, collection)?.of_rows(scope.rows().clone());
        Some(Followed { link, collection, comparable: Box::new(|id| scope.comparable(id)) })
    }
}

/// These collections with all that relations of them lead to, however many levels down, as far as a relation's name is
/// `mentioned`. `visible` gives those of some names that the actor may see.
///
/// # Errors
/// Those of `visible`.
pub fn reach(
    mut reached: Vec<Visible>,
    mentioned: impl Fn(&str) -> bool,
    visible: impl Fn(&BTreeSet<String>) -> Result<Vec<Visible>>,
) -> Result<Vec<Visible>> {
    let mut at = 0;
    while let Some((collection, _)) = reached.get(at) {
        let followed = collection.shape.relations().filter(|relation| mentioned(&relation.name));
        let is_new = |other: &str| reached.iter().all(|(known, _)| known.field_name != *other);
        let others = followed.map(|relation| relation.other.as_str()).filter(|other| is_new(other));
        let others: BTreeSet<String> = others.map(str::to_owned).collect();
        if !others.is_empty() {
            reached.extend(visible(&others)?);
        }
        at += 1;
    }
    Ok(reached)
}

fn mentioned<'a>(selected: &'a Selected, names: &mut HashSet<&'a str>) {
    names.insert(&selected.name);
    selected.arguments.iter().for_each(|(_, value)| {
        value.names(&mut |name| {
            names.insert(name);
        })
    });
    selected.children.iter().for_each(|child| mentioned(child, names));
}

impl Publishing {
    /// A collection with those that a selection of it follows relations to, as an actor may see them.
    pub(super) fn reached(&self, actor: &Actor, from: &Visible, field: &Selected) -> Result<Vec<Visible>> {
        let mut names = HashSet::new();
        mentioned(field, &mut names);
        let visible =
            |others: &BTreeSet<String>| self.visible_among(actor, others.iter().map(String::as_str));
        reach(vec![from.clone()], |name| names.contains(name), visible)
    }

    /// Scopes a query of `from`, with those of the relations that it follows among `visible`.
    ///
    /// # Errors
    /// Those of compiling and scoping: a relation that the actor cannot follow is not there.
    pub(super) fn tree(&self, from: &Visible, visible: &[Visible], query: Query) -> Result<Tree> {
        let mut branches = Vec::with_capacity(query.related().len());
        for related in query.related() {
            let to = leads(from, &related.relation, visible).ok_or_else(|| {
                Error::bad_request(format!("there is no field `{}`", related.relation.name))
            })?;
            let with = (&self.0.limits, &self.0.signer);
            let next = compile_related(&to.0, &related.relation, &related.selected, &Around(visible), with)?;
            branches.push(self.tree(to, visible, next)?);
        }
        Ok(Tree { query: from.1.apply(query)?, branches, rows: Arc::default() })
    }

    /// Puts in what is still to be read where `texts` have marks for it, taking that from `budget`. Of whose record or
    /// row it may tell is decided: marks stand only in rows that the query's scope has shown, and what relations lead
    /// to is read through a scope of its own.
    pub(super) fn filled<'a>(
        &'a self,
        tree: &'a Tree,
        texts: &'a mut [&'a mut Vec<u8>],
        budget: &'a Budget,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut wanted = Wanted::default();
            texts.iter().for_each(|text| wanted.add(text));
            if wanted.records.is_empty() && wanted.keys.is_empty() {
                return Ok(());
            }
            let rules = tree.query.scope().as_ref();
            let mut filling =
                Filling { told: HashMap::new(), found: HashMap::new(), rules, signer: &self.0.signer };
            let ids: Vec<_> = wanted.records.into_iter().collect();
            for part in ids.chunks(RECORDS_MAX) {
                let records = self.0.store.envelopes(part).await?;
                let envelopes = self.told(&records).await?;
                filling.told.extend(records.iter().map(|record| record.draft.id).zip(envelopes));
            }
            let ahead = budget.ahead();
            for (place, keys) in wanted.keys {
                let unknown = || Error::internal("a mark of an unknown relation");
                let branch = tree.branches.get(place).ok_or_else(unknown)?;
                let keys = keys.iter().map(String::as_str);
                let mut found = self.0.store.join(&branch.query, keys, &self.0.signer, &ahead).await?;
                branch.rows.fetch_add(found.rows, Ordering::Relaxed);
                let mut below: Vec<&mut Vec<u8>> = found.by_key.values_mut().collect();
                self.filled(branch, &mut below, &ahead).await?;
                filling.found.insert(place, found);
            }
            for text in texts {
                let mut out = Vec::with_capacity(text.len());
                filling.fill(text, budget, &mut out)?;
                **text = out;
            }
            Ok(())
        })
    }
}
