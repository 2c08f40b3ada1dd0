//! What a node does after another has taken its lease, before that one has done anything: nothing of it holds. The
//! fence alone refuses it here: there is no row yet that a late write would meet.

use super::{Bench, Moody, drain};
use crate::provisioning::Outcome;
use crate::provisioning::decide::decide_all;
use crate::provisioning::settle::Settlement;
use crate::store::ledger::{Role, Stretch};

/// Another node takes the lease, as it may once it has ended, and does nothing under it yet.
async fn taken_by_another(bench: &Bench, role: Role) {
    let taken = bench.store.take(role, &[0], "another", 600_000, true, 0).await.unwrap();
    assert_eq!(taken.len(), 1);
}

on_both_databases! {
    async fn what_was_decided_before_is_not_settled(bench) {
        let all = [Moody::new("p") as _];
        let (old, new) = (bench.node(&all, None).await, bench.node(&all, None).await);
        drain(&old).await;
        bench.source("a").await;
        old.relay_step().await.unwrap();
        let fence = old.inner.worker.lock().await.leases().fence(0).unwrap();
        let rows = bench.store.claimed(0, 0, 1, 10).await.unwrap();
        let items = old.inner.items(rows).await.unwrap();
        let known = old.inner.plugins().await.unwrap().known;
        let thoughts = decide_all(items, known, old.inner.hops_max()).await.unwrap();
        taken_by_another(&bench, Role::Worker).await;
        let stretch = Stretch { p: 0, fence, above: 0, upto: 1 };
        let late = old.inner.settle_all(stretch, thoughts).await.unwrap();
        assert!(matches!(late, Settlement::Lost), "{late:?}");
        assert_eq!(bench.count("select count(*) from ledger").await, 0);
        assert_eq!(bench.count("select count(*) from outbox where pseq = 1").await, 1);
        assert_eq!(bench.count("select settled from partition").await, 0);
        bench.store.give_back(Role::Worker, &[0], "another").await.unwrap();
        drain(&new).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 1);
        assert_eq!(old.worker_step().await.unwrap(), Outcome::Idle);
    }

    async fn a_try_of_a_letter_neither_settles_nor_changes_it(bench) {
        let moody = Moody::stumbling("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        drain(&node).await;
        let fence = node.inner.worker.lock().await.leases().fence(0).unwrap();
        taken_by_another(&bench, Role::Worker).await;
        bench.advance(61_000_000);
        let before = bench.letter().await;
        for heals in [false, true] {
            if heals {
                moody.calm();
            }
            assert!(node.inner.retry_due(0, fence).await.unwrap().lost, "heals: {heals}");
            let after = bench.letter().await;
            assert_eq!(after, before, "heals: {heals}");
            assert_eq!(bench.count("select count(*) from ledger").await, 0, "heals: {heals}");
        }
        bench.store.give_back(Role::Worker, &[0], "another").await.unwrap();
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 1);
    }

    async fn a_relay_gives_no_numbers(bench) {
        let node = bench.moody(&[&Moody::new("p")]).await;
        drain(&node).await;
        bench.source("a").await;
        let fence = node.inner.relay.lock().await.leases().fence(0).unwrap();
        taken_by_another(&bench, Role::Relay).await;
        assert_eq!(bench.store.claim(0, fence, 0, 10).await.unwrap(), None);
        assert_eq!(bench.count("select count(*) from outbox where pseq is null").await, 1);
        bench.store.give_back(Role::Relay, &[0], "another").await.unwrap();
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 1);
    }
}

/// Of two partitions that are settled together, one is another node's by now: only the other one is settled.
async fn only_what_is_still_its_own(bench: Bench) {
    let node = bench.node(&[Moody::new("p") as _], None).await;
    drain(&node).await;
    for uid in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        bench.source(uid).await;
    }
    while node.relay_step().await.unwrap() != Outcome::Idle {}
    let (mut stretches, mut each) = (Vec::new(), Vec::new());
    for p in [0, 1] {
        let fence = node.inner.worker.lock().await.leases().fence(p).unwrap();
        let upto = bench.count(&format!("select pseq from partition where p = {p}")).await;
        assert!(upto > 0, "there are records in partition {p}");
        stretches.push(Stretch { p, fence, above: 0, upto });
        each.push((p, 0, upto));
    }
    let rows = bench.store.claimed_in(&each).await.unwrap();
    let items = node.inner.items(rows.into_values().flatten().collect()).await.unwrap();
    let known = node.inner.plugins().await.unwrap().known;
    let thoughts = decide_all(items, known, node.inner.hops_max()).await.unwrap();
    taken_by_another(&bench, Role::Worker).await;
    let settled = node.inner.settle_each(&stretches, thoughts).await;
    let settled: Vec<Settlement> = settled.into_iter().map(Result::unwrap).collect();
    let upto = stretches[1].upto;
    assert!(matches!(settled[0], Settlement::Lost), "{settled:?}");
    assert!(matches!(settled[1], Settlement::Done { settled, .. } if settled == upto), "{settled:?}");
    assert_eq!(bench.count("select count(*) from ledger").await, upto);
    assert_eq!(bench.count("select count(*) from outbox where partition = 1").await, 0);
    assert_eq!(bench.count("select cast(sum(n) as bigint) from outbox").await, stretches[0].upto);
    assert_eq!(bench.count("select settled from partition where p = 0").await, 0);
    bench.store.give_back(Role::Worker, &[0], "another").await.unwrap();
    drain(&node).await;
    assert_eq!(bench.count("select count(*) from ledger").await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_partitions_settled_together_only_what_is_its_own_on_sqlite() {
    only_what_is_still_its_own(Bench::new(2).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_partitions_settled_together_only_what_is_its_own_on_postgres() {
    if let Some(bench) = Bench::postgres(2).await {
        only_what_is_still_its_own(bench).await;
    }
}
