//! Watches the policy files and the collections they speak of, and puts changes in force. A broken
//! change is logged once and the policies that were in force stay.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::policy::Engine;
use crate::store::{Store, wake::Topic};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Checks the policies against the collections that there are, and tells what is not in `told` yet. A rule that does
/// not fit its collection denies; it stops nothing, as a record can make any rule one.
fn check(engine: &Engine, store: &Store, told: &mut BTreeSet<String>) {
    let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
    let found = engine.check(&collections);
    for misfit in found.misfits.iter().filter(|misfit| !told.contains(*misfit)) {
        tracing::error!("a rule does not fit its collection and denies: {misfit}");
    }
    for sleeping in found.sleeping.iter().filter(|sleeping| !told.contains(*sleeping)) {
        tracing::warn!("{sleeping}");
    }
    *told = found.misfits.into_iter().chain(found.sleeping).collect();
}

/// Looks at files and collections until `stop`.
pub(super) async fn watch(engine: Arc<Engine>, store: Store, metrics: Metrics, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    let mut checked = store.catalog.load().version;
    // What is not in order is told at the start.
    let mut told = BTreeSet::new();
    check(&engine, &store, &mut told);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let catalog = store.catalog.load().version;
        if catalog != checked {
            checked = catalog;
            check(&engine, &store, &mut told);
        }
        let reloading = engine.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || reloading.reload()).await else { continue };
        match loaded {
            Ok(changed) => {
                if changed {
                    tracing::info!("policies changed and are in force");
                    metrics.record_policy_load("loaded");
                    // Open subscriptions ask for their scope again.
                    store.wake.notify(Topic::Catalog);
                    check(&engine, &store, &mut told);
                }
                refused = None;
            }
            Err(error) => {
                let text = error.message().to_owned();
                if refused.as_ref() != Some(&text) {
                    tracing::error!("policies not changed, the old ones stay in force: {text}");
                    metrics.record_policy_load("refused");
                    refused = Some(text);
                }
            }
        }
    }
}
