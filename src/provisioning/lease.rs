//! Which partitions this node works on: leases in the database, each with a fence that rises when the lease changes
//! hands. Losing one is found out at the next look or at the next commit, whichever is first; both are safe.

use std::collections::BTreeMap;

use super::Inner;
use crate::error::Result;
use crate::store::db::Dialect;
use crate::store::ledger::{Partition, Role};

/// The leases of one role that this node believes to have.
pub(super) struct Leases {
    role: Role,
    owner: String,
    held: BTreeMap<u32, i64>,
    renewed_at: i64,
    /// An embedded database has one process (its directory is locked): who starts takes over at once.
    taken_over: bool,
    /// How many partitions are this node's part, as far as it knows.
    share: usize,
}

impl Leases {
    pub(super) fn new(role: Role, owner: &str) -> Self {
        Leases {
            role,
            owner: owner.into(),
            held: BTreeMap::new(),
            renewed_at: 0,
            taken_over: false,
            share: 0,
        }
    }

    /// The fence under which this node works on the partition.
    pub(super) fn fence(&self, p: u32) -> Option<i64> {
        self.held.get(&p).copied()
    }

    /// The partitions that this node works on.
    pub(super) fn held(&self) -> Vec<u32> {
        self.held.keys().copied().collect()
    }

    /// Another node has it now.
    pub(super) fn lose(&mut self, p: u32) {
        tracing::info!(partition = p, role = ?self.role, "another node has taken the partition");
        self.held.remove(&p);
    }

    /// Whether the leases must be looked at before anything else.
    pub(super) fn due(&self, inner: &Inner, now: i64) -> bool {
        self.held.is_empty() || self.renewal_due(inner, now)
    }

    fn renewal_due(&self, inner: &Inner, now: i64) -> bool {
        let third = inner.parts.config.stream.lease_ms.saturating_mul(1_000) / 3;
        let third = i64::try_from(third).unwrap_or(i64::MAX);
        // A clock that jumps back must not stop the renewals.
        inner.parts.store.db.dialect() == Dialect::Postgres && !(0..third).contains(&(now - self.renewed_at))
    }

    /// Goes by what the database says is this node's, renews it, keeps to this node's share, takes what is free and
    /// then looks again: who had it before may have moved on in between.
    pub(super) async fn keep(&mut self, inner: &Inner, all: &mut Vec<Partition>, now: i64) -> Result<()> {
        let (store, lease_ms) = (&inner.parts.store, inner.parts.config.stream.lease_ms);
        // Also a lease whose taking was cut short: nobody has read the plugins under it.
        let fresh = self.adopt(all);
        let shared = store.db.dialect() == Dialect::Postgres;
        let renew = self.renewal_due(inner, now);
        let some_free = all.iter().any(|a| a.free && self.fence(a.p).is_none());
        let look = renew || some_free || fresh || !self.taken_over;
        // A node that lacks a plugin could not settle as others do, and must not count as one that shares the work.
        if self.role == Role::Worker && look && !inner.has_all_plugins().await? {
            return self.give_back(inner).await;
        }
        let left_over = self.held.len() >= self.share && some_free;
        if !shared {
            self.share = all.len();
        } else if renew || left_over {
            let nodes = store.attend(self.role, &self.owner, lease_ms, now).await?;
            self.share = all.len().div_ceil(usize::try_from(nodes).unwrap_or(1).max(1));
        }
        if self.held.len() > self.share {
            let extra = self.held().split_off(self.share);
            store.give_back(self.role, &extra, &self.owner).await?;
            self.held.retain(|p, _| !extra.contains(p));
        }
        if shared && renew {
            if !self.held.is_empty() {
                store.renew(self.role, &self.held(), &self.owner, lease_ms, now).await?;
            }
            self.renewed_at = now;
        }
        let force = !self.taken_over && !shared;
        let mut wanted: Vec<u32> =
            all.iter().filter(|a| (a.free || force) && self.fence(a.p).is_none()).map(|a| a.p).collect();
        wanted.truncate(self.share.saturating_sub(self.held.len()));
        if wanted.is_empty() {
            return Ok(());
        }
        store.take(self.role, &wanted, &self.owner, lease_ms, force, now).await?;
        self.taken_over = true;
        if self.role == Role::Worker {
            // What was published with a barrier is known before anything is written under these leases.
            store.catalog.refresh().await?;
        }
        // Again: a change before the taking may have come after the look, and one after it takes these leases away.
        if self.role == Role::Worker && !inner.has_all_plugins().await? {
            store.give_back(self.role, &wanted, &self.owner).await?;
            return self.give_back(inner).await;
        }
        *all = store.partition_states(self.role, now).await?;
        self.adopt(all);
        Ok(())
    }

    /// Goes by what the database says is this node's; whether any of it was not believed to be so before.
    fn adopt(&mut self, all: &[Partition]) -> bool {
        let mine = all.iter().filter(|a| a.owner.as_deref() == Some(&self.owner));
        let before = std::mem::replace(&mut self.held, mine.map(|a| (a.p, a.fence)).collect());
        self.held.iter().any(|lease| !before.iter().any(|known| known == lease))
    }

    /// Gives everything back, so that other nodes need not wait.
    pub(super) async fn give_back(&mut self, inner: &Inner) -> Result<()> {
        let held = self.held();
        self.held.clear();
        if inner.parts.store.db.dialect() == Dialect::Postgres {
            inner.parts.store.leave(self.role, &self.owner, inner.parts.clock.now_us()).await?;
        }
        if held.is_empty() {
            return Ok(());
        }
        inner.parts.store.give_back(self.role, &held, &self.owner).await
    }
}
