//! `wellspring policy`.

use std::io::{self, Write};

use clap::Subcommand;

use super::{Answer, Settings, runtime};
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
}

pub(super) fn run(command: &Command) -> Result<Answer> {
    let Command::Check(settings) = command;
    let config = settings.load()?;
    if let Some(directory) = config.policy.directory.as_ref().filter(|directory| !directory.is_dir()) {
        let directory = directory.display();
        return Err(Error::bad_request(format!(
            "`{directory}` is not a directory; check `policy.directory`"
        )));
    }
    match check(&config) {
        Ok(Findings { misfits, sleeping }) => {
            for warning in &sleeping {
                let _ = writeln!(io::stderr(), "warning: {warning}");
            }
            for misfit in &misfits {
                let _ = writeln!(io::stderr(), "{misfit}");
            }
            Ok(if misfits.is_empty() { Answer::Yes } else { Answer::No })
        }
        Err(error) if error.code() == Code::Unprocessable => {
            let _ = writeln!(io::stderr(), "{}", error.message());
            Ok(Answer::No)
        }
        Err(error) => Err(error),
    }
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
    let keys = Keys::read(&config.key_file(), &config.auth)?;
    let opened = runtime()?.block_on(Store::open_read_only(&config.store, keys.signer(), Clock::system()));
    let store = match opened {
        Ok(store) => store,
        Err(error) if error.code() == Code::NotFound => return Ok(Findings::default()),
        Err(error) => return Err::<_, Error>(error),
    };
    let collections: Vec<_> = store.catalog.load().collections.values().cloned().collect();
    Ok(engine.check(&collections))
}
