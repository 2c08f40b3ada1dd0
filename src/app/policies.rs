//! Watches the policy files and the collections they speak of, and puts changes in force. A broken
//! change is logged once and the policies that were in force stay.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::policy::Engine;
use crate::store::{Store, wake::Topic};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Checks the policies against the collections that there are; warns of rules that wait for one.
///
/// # Errors
/// `UNPROCESSABLE` with file, line and caret of a rule that can never hold.
pub(super) fn check(engine: &Engine, store: &Store) -> Result<()> {
    let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
    for warning in engine.check(&collections)? {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Looks at files and collections until `stop`.
pub(super) async fn watch(engine: Arc<Engine>, store: Store, metrics: Metrics, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    let mut checked = store.catalog.load().version;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let catalog = store.catalog.load().version;
        if catalog != checked {
            checked = catalog;
            // Rules that wait were spoken of at the start; a collection less to wait for is no news.
            let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
            if let Err(error) = engine.check(&collections) {
                // Such a rule is never true, so it denies; the others stay in force.
                tracing::error!("a rule does not fit the collections: {}", error.message());
            }
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
                    // What does not fit has been refused by the reload; this only warns.
                    let _ = check(&engine, &store);
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
