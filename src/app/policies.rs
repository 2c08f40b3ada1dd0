//! Watches the policy files and the collections they speak of, and puts changes in force. A broken
//! change is logged once and the policies that were in force stay.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::policy::{Engine, Files, Misfit};
use crate::publishing::{Publishing, Seen};
use crate::query::Collection;
use crate::store::{Store, events::DenyingRule, wake::Topic};
use crate::telemetry::Metrics;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What has been said of the policies in force.
#[derive(Default)]
struct Told {
    /// What this node's log has.
    logged: BTreeSet<String>,
    /// Rules that deny, with the collection and the version that they do not fit, which are still to be told to
    /// stewards: the database may be away.
    open: Vec<(i64, i64, DenyingRule)>,
}

/// Checks the policies against the collections that there are, and says what it has not said yet. A rule that does
/// not fit its collection denies; it stops nothing, as a record can make any rule one.
async fn check(engine: &Arc<Engine>, store: &Store, mut told: Told) -> Told {
    let (engine, checking) = (engine.clone(), store.clone());
    // There may be thousands of collections.
    let checked = tokio::task::spawn_blocking(move || {
        check_now(&engine, &checking, &mut told);
        told
    });
    let mut told = checked.await.unwrap_or_default();
    tell(store, &mut told).await;
    told
}

fn check_now(engine: &Engine, store: &Store, told: &mut Told) {
    let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
    let found = engine.check(&collections);
    let logged = std::mem::take(&mut told.logged);
    for misfit in found.misfits {
        let text = misfit.to_string();
        if !logged.contains(&text) {
            tracing::error!("a rule does not fit its collection and denies: {text}");
            let named =
                |collection: &&Arc<Collection>| Some(&*collection.type_name) == misfit.class.as_deref();
            if let Some(collection) = collections.iter().find(named) {
                let version = i64::from(collection.shape.version);
                told.open.push((collection.id, version, denying(misfit)));
            }
        }
        told.logged.insert(text);
    }
    for sleeping in found.sleeping {
        if !logged.contains(&sleeping) {
            tracing::warn!("{sleeping}");
        }
        told.logged.insert(sleeping);
    }
}

fn denying(misfit: Misfit) -> DenyingRule {
    let Misfit { at, rule, .. } = misfit;
    // Nodes may have their files in different places, which are nobody's business.
    let file = at.file.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    DenyingRule { file, line: at.line, reason: at.reason, rule }
}

/// Tells stewards what is still to be told.
async fn tell(store: &Store, told: &mut Told) {
    match store.tell_rules(&told.open).await {
        Ok(_) => told.open.clear(),
        Err(error) => tracing::debug!(%error, "rules that deny cannot be told; trying again"),
    }
}

/// Puts the files in force that are still those of the look before: others may be half written. Answers whether it
/// did, and what this look has seen.
fn reload(engine: &Engine, before: Option<Files>) -> (Result<bool>, Option<Files>) {
    match engine.look() {
        Ok(Some(files)) if before.as_ref() == Some(&files) => {
            (engine.put_in_force(files).map(|()| true), before)
        }
        Ok(seen) => (Ok(false), seen),
        Err(error) => (Err(error), None),
    }
}

/// Puts contracts in force when they have changed, or a day has begun on which one is over. A database that is away
/// changes nothing.
async fn renew(
    publishing: &Publishing,
    store: &Store,
    known: Option<(i64, String)>,
) -> Option<(i64, String)> {
    let now = match publishing.contracts_state().await {
        Ok(now) if known.as_ref() != Some(&now) => now,
        _ => return known,
    };
    match publishing.renew_contracts().await {
        Ok(()) => {
            store.wake.notify(Topic::Catalog);
            Some(now)
        }
        Err(error) => {
            tracing::warn!(%error, "contracts were not read; those that were in force stay");
            known
        }
    }
}

/// Looks at files, collections and contracts until `stop`.
pub(super) async fn watch(
    engine: Arc<Engine>,
    (store, publishing): (Store, Publishing),
    metrics: Metrics,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut refused = None;
    let mut seen = None;
    let mut checked = store.catalog.load().version;
    // What is not in order is told at the start.
    let mut told = check(&engine, &store, Told::default()).await;
    let mut contracts = None;
    let mut drifted = Seen::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        contracts = renew(&publishing, &store, contracts).await;
        if let Err(error) = publishing.tell_drifts(&mut drifted).await {
            tracing::debug!(%error, "how collections have gone from contracts cannot be told; trying again");
        }
        let catalog = store.catalog.load().version;
        if catalog != checked {
            checked = catalog;
            told = check(&engine, &store, told).await;
        } else {
            tell(&store, &mut told).await;
        }
        let (reloading, before) = (engine.clone(), seen.take());
        let looking = tokio::task::spawn_blocking(move || reload(&reloading, before));
        let Ok((loaded, now)) = looking.await else { continue };
        seen = now;
        match loaded {
            Ok(changed) => {
                if changed {
                    tracing::info!("policies changed and are in force");
                    metrics.record_policy_load("loaded");
                    // Open subscriptions ask for their scope again.
                    store.wake.notify(Topic::Catalog);
                    told = check(&engine, &store, told).await;
                }
                if seen.is_none() {
                    refused = None;
                }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config;

    #[test]
    fn files_are_in_force_when_two_looks_agree() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("a.polar", "allow(_, \"read\", _: Row);\n");
        let config = config::Policy { directory: Some(directory.path().to_owned()), ..Default::default() };
        let engine = Engine::load(&config, directory.path()).unwrap();
        let mut seen = None;
        let mut step = || {
            let (loaded, now) = reload(&engine, seen.take());
            seen = now;
            (loaded.map_err(|error| error.message().to_owned()), engine.version())
        };
        assert_eq!(step(), (Ok(false), 1));
        // The rule that shows fields is written before the one that masks them.
        write("b.polar", "allow_field(_, _, _, _);\n");
        assert_eq!(step(), (Ok(false), 1));
        write("c.polar", "mask_field(_, _, _, \"null\");\n");
        assert_eq!(step(), (Ok(false), 1));
        assert_eq!(step(), (Ok(true), 2));
        assert_eq!(step(), (Ok(false), 2));
        write("c.polar", "mask_field(");
        assert_eq!(step(), (Ok(false), 2));
        assert!(step().0.unwrap_err().contains("c.polar"));
        assert_eq!(engine.version(), 2);
    }
}
