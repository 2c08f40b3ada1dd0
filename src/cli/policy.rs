//! `wellspring policy`: policies are checked, explained and tested where the data is. Reads only.

mod explain;
mod test;
mod who;

use std::io::{self, Write};

use clap::Subcommand;

use super::{Answer, Settings, print, runtime};
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::http::auth::Keys;
use crate::policy::{Engine, Findings};
use crate::store::Store;
use crate::telemetry::Clock;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Check the policy files: syntax, rules, bounds, and the shapes of the collections that there are.
    Check(Settings),
    /// Say what somebody may see or do, and by which rules; exit with 1 when that is nothing.
    Explain(Box<explain::Options>),
    /// Run the cases that stand beside the policies, `*.test.yaml`; exit with 1 when one fails.
    Test(test::Options),
}

pub(super) fn run(command: &Command) -> Result<Answer> {
    let answer = match command {
        Command::Check(settings) => checked(settings),
        Command::Explain(options) => explain::run(options),
        Command::Test(options) => test::run(options),
    };
    match answer {
        Err(error) if error.code() == Code::Unprocessable => {
            let _ = writeln!(io::stderr(), "{}", error.message());
            Ok(Answer::No)
        }
        answer => answer,
    }
}

fn checked(settings: &Settings) -> Result<Answer> {
    let config = loaded(settings)?;
    let Findings { misfits, sleeping } = check(&config)?;
    for warning in &sleeping {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    for misfit in &misfits {
        let _ = writeln!(io::stderr(), "{misfit}");
    }
    Ok(if misfits.is_empty() { Answer::Yes } else { Answer::No })
}

/// The configuration, whose policy directory must be there.
fn loaded(settings: &Settings) -> Result<Config> {
    let config = settings.load()?;
    if let Some(directory) = config.policy.directory.as_ref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Err(Error::bad_request(format!(
            "`{directory}` is not a directory; check `policy.directory`"
        )));
    }
    Ok(config)
}

/// What there is to say about policies that can be loaded.
fn check(config: &Config) -> Result<Findings> {
    let engine = Engine::load(&config.policy, &config.store.data)?;
    if !config.key_file().is_file() {
        let directory = config.store.data.display();
        let text =
            format!("nothing has been served from `{directory}`, so no collections were checked against");
        let _ = writeln!(io::stderr(), "warning: {text}");
        return Ok(Findings::default());
    }
    let store = match runtime()?.block_on(opened(config)) {
        Ok(store) => store,
        Err(error) if error.code() == Code::NotFound => return Ok(Findings::default()),
        Err(error) => return Err(error),
    };
    let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
    Ok(engine.check(&collections))
}

/// The database, for reading only.
async fn opened(config: &Config) -> Result<Store> {
    let keys = Keys::read(&config.key_file(), &config.auth)?;
    Store::open_read_only(&config.store, keys.signer(), Clock::system()).await
}
