//! Plugins that begin, end and begin again, and nodes that have them or not.

use std::sync::Arc;

use super::{Bench, Moody, drain, hide, relay};
use crate::plugin::Plugin;
use crate::provisioning::{Provisioning, verify};
use crate::record::Actor;
use crate::store::ledger::Role;

fn admin() -> Actor {
    Actor { subject: "ada".into(), roles: vec!["admin".into()], ..Actor::anonymous() }
}

fn plugins(names: &[&str]) -> Vec<Arc<dyn Plugin>> {
    names.iter().map(|name| Moody::new(name) as Arc<dyn Plugin>).collect()
}

/// Steps of a node that could have every lease: those of others have ended.
async fn insist(bench: &Bench, node: &Provisioning) {
    relay(node).await;
    let states = async || bench.store.partition_states(Role::Worker, 0).await.unwrap();
    while states().await.iter().any(|partition| !partition.free) {
        tokio::task::yield_now().await;
    }
    for _ in 0..4 {
        node.worker_step().await.unwrap();
    }
}

async fn settled_by(bench: &Bench, plugin: &str) -> i64 {
    let sql = format!(
        "select count(*) from ledger l join plugin p on p.id = l.plugin_id where p.name = '{plugin}'"
    );
    bench.count(&sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lacks_an_enabled_plugin_settles_nothing() {
    let Some(bench) = Bench::postgres(2).await else { return };
    let old = bench.node(&plugins(&["p"]), None).await;
    bench.source("before").await;
    drain(&old).await;
    // A rollout: the new node has one plugin more, and the old one has all leases.
    let new = bench.node(&plugins(&["p", "q"]), None).await;
    bench.source("a").await;
    insist(&bench, &old).await;
    assert_eq!(settled_by(&bench, "p").await, 1, "only what came before");
    let lag = old.lag(&admin()).await.unwrap();
    assert_eq!(lag["blockedBy"], serde_json::json!(["q"]));
    drain(&new).await;
    assert_eq!((settled_by(&bench, "p").await, settled_by(&bench, "q").await), (2, 1));
    assert_eq!(new.lag(&admin()).await.unwrap()["blockedBy"], serde_json::json!([]));
    // It is rolled back: what the new node began somebody must end.
    drop(new);
    bench.source("b").await;
    insist(&bench, &old).await;
    assert_eq!(settled_by(&bench, "p").await, 2);
    let told = old.disable_plugin(&admin(), "q").await.unwrap();
    assert_eq!((&told["state"], &told["configured"]), (&"DISABLED".into(), &false.into()));
    drain(&old).await;
    assert_eq!((settled_by(&bench, "p").await, settled_by(&bench, "q").await), (3, 1));
    // A node that still has it does not bring it back by starting.
    let late = bench.node(&plugins(&["p", "q"]), None).await;
    bench.source("c").await;
    drain(&late).await;
    assert_eq!((settled_by(&bench, "p").await, settled_by(&bench, "q").await), (4, 1));
    assert_eq!(old.enable_plugin(&admin(), "q").await.unwrap_err().code().as_str(), "CONFLICT");
    late.enable_plugin(&admin(), "q").await.unwrap();
    bench.source("d").await;
    drain(&late).await;
    assert_eq!((settled_by(&bench, "p").await, settled_by(&bench, "q").await), (5, 2));
}

#[tokio::test]
async fn what_the_only_process_does_not_have_any_more_is_removed_until_it_has_it_again() {
    let mut bench = Bench::new(1).await;
    for (masked, copies) in [(true, 1), (false, 1), (true, 2)] {
        bench.config.provisioning.masks = if masked { vec![hide("/v", "null")] } else { Vec::new() };
        let node = bench.built_in();
        drain(&node).await;
        bench.document("a", Some("{\"v\":1}")).await;
        drain(&node).await;
        assert_eq!(settled_by(&bench, "hide").await, copies, "configured: {masked}");
        let report = verify(&bench.store, &bench.config).await.unwrap();
        assert!(report.is_sound(), "configured: {masked}: {report:?}");
        bench.advance(120_000_000);
    }
}

on_both_databases! {
    async fn a_plugin_owes_nothing_of_what_came_while_it_was_disabled(bench) {
        let mut bench = bench;
        bench.config.provisioning.masks = vec![hide("/v", "null")];
        let node = bench.built_in();
        drain(&node).await;
        bench.document("before", Some("{\"v\":1}")).await;
        drain(&node).await;
        bench.advance(120_000_000);
        // Pending when it is disabled: not asked about it any more.
        bench.document("pending", Some("{\"v\":2}")).await;
        assert_eq!(node.disable_plugin(&admin(), "hide").await.unwrap()["state"], "DISABLED");
        bench.document("between", Some("{\"v\":3}")).await;
        drain(&node).await;
        assert_eq!(settled_by(&bench, "hide").await, 1);
        bench.advance(1_000_000);
        assert_eq!(node.enable_plugin(&admin(), "hide").await.unwrap()["state"], "ENABLED");
        bench.document("after", Some("{\"v\":4}")).await;
        drain(&node).await;
        assert_eq!(settled_by(&bench, "hide").await, 2);
        let report = verify(&bench.store, &bench.config).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.records, report.settled), (6, 6));
        // What it owed before it still owes.
        bench.execute("delete from ledger where plugin_id = (select id from plugin where name = 'hide')", &[]).await;
        let report = verify(&bench.store, &bench.config).await.unwrap();
        assert_eq!(report.unaccounted.len(), 2, "{report:?}");
        let refused = node.disable_plugin(&admin(), "materialize").await.unwrap_err();
        assert_eq!(refused.code().as_str(), "CONFLICT");
        let unknown = node.disable_plugin(&admin(), "nobody").await.unwrap_err();
        assert_eq!(unknown.code().as_str(), "NOT_FOUND");
        let consumer = Actor { roles: vec!["consumer".into()], ..Actor::anonymous() };
        assert_eq!(node.disable_plugin(&consumer, "hide").await.unwrap_err().code().as_str(), "FORBIDDEN");
    }

    async fn what_a_plugin_parked_before_it_was_disabled_is_settled_after_a_redrive(bench) {
        let moody = Moody::refusing("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        drain(&node).await;
        bench.store.disable("p", "disabled").await.unwrap();
        bench.store.enable("p").await.unwrap();
        moody.calm();
        let id = bench.letter().await.id;
        bench.store.redrive(id, "me", 1).await.unwrap();
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger where tags = '[\"seen\"]'").await, 1);
    }

    async fn a_disabled_plugin_is_not_asked_about_what_was_to_be_tried_again(bench) {
        let moody = Moody::stumbling("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        bench.source("a").await;
        drain(&node).await;
        node.disable_plugin(&admin(), "p").await.unwrap();
        moody.calm();
        bench.advance(61_000_000);
        drain(&node).await;
        assert_eq!(settled_by(&bench, "p").await, 0);
        let letter = bench.letter().await;
        assert_eq!((letter.state.as_str(), letter.code.as_str()), ("parked", "DISABLED"));
        let refused = node.redrive(&admin(), letter.id).await.unwrap_err();
        assert_eq!(refused.code().as_str(), "CONFLICT");
        assert!(letter.reason.contains("`enablePlugin`") && refused.message().contains("`enablePlugin`"));
        node.enable_plugin(&admin(), "p").await.unwrap();
        bench.store.redrive(letter.id, "me", 1).await.unwrap();
        drain(&node).await;
        assert_eq!(settled_by(&bench, "p").await, 2);
    }

    async fn a_lease_whose_taking_was_cut_short_is_not_used_before_plugins_are_read(bench) {
        let mut bench = bench;
        // None is renewed in this test: then plugins would be read anyway.
        bench.config.stream.lease_ms = 600_000;
        let node = bench.node(&plugins(&["p"]), None).await;
        drain(&node).await;
        bench.source("a").await;
        node.relay_step().await.unwrap();
        // Another node brings a plugin; this one takes its lease again, and learns no more than that.
        bench.store.register("q", 1, false).await.unwrap();
        let owner = &node.inner.node;
        let taken = bench.store.take(Role::Worker, &[0], owner, 600_000, false, 0).await.unwrap();
        assert_eq!(taken.len(), 1);
        for _ in 0..4 {
            node.worker_step().await.unwrap();
        }
        assert_eq!(settled_by(&bench, "p").await, 0);
        bench.store.disable("q", "disabled").await.unwrap();
        drain(&node).await;
        assert_eq!(settled_by(&bench, "p").await, 1);
    }
}
