//! Watches the policy files and puts changes in force. A broken change is logged once and the policies that were in
//! force stay.

use std::{sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::policy::Engine;
use crate::telemetry::Metrics;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at the files until `stop`.
pub(super) async fn watch(engine: Arc<Engine>, metrics: Metrics, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let engine = engine.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || engine.reload()).await else { continue };
        match loaded {
            Ok(changed) => {
                if changed {
                    tracing::info!("policies changed and are in force");
                    metrics.record_policy_load("loaded");
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
