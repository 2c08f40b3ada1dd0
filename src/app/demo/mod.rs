//! The demo: a node that fills itself with real public data through its own public door, then lets a simulated
//! shop go on sending. Must not reach into services; whatever it does, a client could do.

mod door;
mod people;
mod shop;

use std::{convert::Infallible, fs, future::Future, path::Path, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{App, make_directory};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::telemetry::Clock;
use people::People;
use shop::Shop;

/// The rules that the demo shows.
const POLICY: &str = include_str!("../../../policies/demo.polar");

/// What the shop tells, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// The same seed tells the same story.
    pub seed: u64,
    /// How long the shop waits between two events.
    pub pace: Duration,
}

/// Serves, fills itself and keeps the shop going until `stop`. What people should read goes to `say`.
///
/// # Errors
/// As [`App::build`] and [`App::run_until`], and when the sample data cannot be sourced.
pub async fn run(
    config: Config,
    clock: Clock,
    story: Story,
    stop: impl Future<Output = ()>,
    mut say: impl FnMut(&str),
) -> Result<()> {
    if config.policy.directory.is_none() {
        make_directory(&config.store.data)?;
        write_policy(&config.store.data)?;
    }
    let app = App::build(config, clock.clone()).await?;
    let people = People::new(&app, clock.now_us())?;
    let (ready, address) = (app.ready().clone(), app.address());
    let stopping = CancellationToken::new();
    let serve = app.run_unready(async {
        stop.await;
        stopping.cancel();
    });
    let show = async {
        say(&format!("starting on {address}; /readyz says no until the demo's data can be queried"));
        let known = people.published().await?;
        let mut shop =
            Shop::open(story.seed, clock.now_us(), |field| known.iter().any(|(name, _)| name == field));
        people.fill(&mut shop, &clock, &mut say).await?;
        ready.set();
        say(&people.welcome());
        Ok(people.keep(&mut shop, &clock, story.pace, &mut say).await)
    };
    tokio::pin!(serve, show);
    let shown: Result<Infallible> = tokio::select! {
        ended = &mut serve => return ended,
        shown = &mut show => shown,
    };
    match shown {
        Err(error) if !stopping.is_cancelled() => Err(error),
        // The door closes while the node stops: no failure of the show.
        _ => serve.await,
    }
}

/// Puts the demo's rules where the node looks for them, unless somebody has put others there.
fn write_policy(data: &Path) -> Result<()> {
    let directory = data.join("policies");
    let written = match directory.is_dir() {
        true => Ok(()),
        false => {
            fs::create_dir_all(&directory).and_then(|()| fs::write(directory.join("demo.polar"), POLICY))
        }
    };
    written.map_err(|error| {
        let place = directory.display();
        Error::bad_request(format!(
            "the demo's policy cannot be written to `{place}` ({error}); check --data"
        ))
    })
}
