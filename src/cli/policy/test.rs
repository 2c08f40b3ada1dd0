//! `wellspring policy test`: runs the cases that stand beside the policies, and says of each whether it holds.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Answer, Code, Engine, Error, Result, Settings, loaded, opened, print, runtime};
use crate::policy::run_cases;

/// How files of cases end.
const ENDING: &str = ".test.yaml";

#[derive(Args)]
pub(in crate::cli) struct Options {
    #[command(flatten)]
    settings: Settings,
    /// Files of cases; without them all `*.test.yaml` beside the policies.
    files: Vec<PathBuf>,
}

pub(super) fn run(options: &Options) -> Result<Answer> {
    let config = loaded(&options.settings)?;
    let engine = Engine::load(&config.policy, &config.store.data)?;
    let directory = config.policy.directory.clone().unwrap_or_else(|| config.store.data.join("policies"));
    let files = if options.files.is_empty() { beside(&directory)? } else { options.files.clone() };
    // With a database its shapes hold; what it has none of is inferred.
    let asked = options.settings.data.is_some() || config.store.database_url.is_some();
    let asked = asked && config.key_file().is_file();
    let live = match asked.then(|| runtime()?.block_on(opened(&config))) {
        Some(Ok(store)) => store.catalog.load().collections.values().cloned().collect(),
        Some(Err(error)) if error.code() != Code::NotFound => return Err(error),
        _ => Vec::new(),
    };
    let (mut out, mut passed, mut failed) = (String::new(), 0_usize, 0_usize);
    for file in &files {
        let shown = file.display().to_string();
        let text = std::fs::read_to_string(file)
            .map_err(|error| Error::bad_request(format!("`{shown}` cannot be read: {error}")))?;
        let _ = writeln!(out, "{shown}");
        for outcome in run_cases(&engine, &config, &live, (&shown, &text))? {
            let verdict = if outcome.failures.is_empty() { "ok    " } else { "FAILED" };
            let _ = writeln!(out, "  {verdict}  {}", outcome.name);
            for failure in &outcome.failures {
                let _ = writeln!(out, "          {failure}");
            }
            *if outcome.failures.is_empty() { &mut passed } else { &mut failed } += 1;
        }
    }
    let _ = writeln!(out, "\n{passed} passed, {failed} failed");
    print(&out)?;
    Ok(if failed == 0 { Answer::Yes } else { Answer::No })
}

/// The files of cases in a directory, by their names.
fn beside(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_one = |path: &PathBuf| path.to_string_lossy().ends_with(ENDING);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_one).collect();
    files.sort();
    if files.is_empty() {
        let directory = directory.display();
        return Err(Error::bad_request(format!(
            "there is no `*{ENDING}` in `{directory}`; name a file, or put one there: the README shows how"
        )));
    }
    Ok(files)
}
