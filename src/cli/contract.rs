//! `wellspring contract`: contracts as files.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Answer, print,
    remote::{Remote, Target},
    runtime,
};
use crate::error::{Error, Result};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Apply a contract from a file, TOML or JSON, and say what it changes of the version before.
    Apply {
        #[command(flatten)]
        target: Target,
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// Say what applying a file would change, and change nothing; exit with 1 when that could break a client.
    Diff {
        #[command(flatten)]
        target: Target,
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// List all versions of all contracts, and how far collections have gone from them; exit with 1 when one is broken.
    List {
        #[command(flatten)]
        target: Target,
    },
}

const APPLY: &str = "mutation($input: ApplyContractInput!) { applyContract(input: $input) {
    name version applied breaking changes { path text breaking } } }";
const LIST: &str =
    "{ contracts { name version sunset over appliedAt appliedBy drifts { collection path text broken } } }";

pub(super) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::Apply { target, file } => applied(target, file, false),
        Command::Diff { target, file } => applied(target, file, true),
        Command::List { target } => {
            let remote = Remote::new(&target.url, target.token.as_deref())?;
            let data = runtime()?.block_on(remote.graphql(LIST, json!({})))?;
            list(&data)
        }
    }
}

fn applied(target: &Target, file: &Path, dry: bool) -> Result<Answer> {
    let text = read(file)?;
    let remote = Remote::new(&target.url, target.token.as_deref())?;
    let variables = json!({"input": {"text": text, "dryRun": dry}});
    let data = runtime()?.block_on(remote.graphql(APPLY, variables))?;
    let done = data.get("applyContract").cloned().unwrap_or_default();
    let word = |name: &str| done.get(name).map(plain).unwrap_or_default();
    let mut out = String::new();
    for change in done.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let breaks = if change.get("breaking") == Some(&Value::Bool(true)) { "breaking" } else { "" };
        let cell = |name: &str| change.get(name).map(plain).unwrap_or_default();
        let _ = writeln!(out, "{}\t{}\t{breaks}", cell("path"), cell("text"));
    }
    let breaking = done.get("breaking") == Some(&Value::Bool(true));
    let what = match (dry, word("applied").as_str()) {
        (true, _) if breaking => "would break clients of the version before",
        (true, _) => "would break nothing",
        (false, "true") => "applied",
        (false, _) => "is there already",
    };
    let _ = writeln!(out, "{}@{} {what}", word("name"), word("version"));
    print(&out)?;
    Ok(if dry && breaking { Answer::No } else { Answer::Yes })
}

fn list(data: &Value) -> Result<Answer> {
    let mut out = String::from("contract\tsunset\tapplied\tby\tstate\n");
    let mut broken = false;
    for one in data.get("contracts").and_then(Value::as_array).into_iter().flatten() {
        let cell = |name: &str| one.get(name).map(plain).unwrap_or_default();
        let drifts = one.get("drifts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let breaks = drifts.iter().any(|drift| drift.get("broken") == Some(&Value::Bool(true)));
        broken |= breaks;
        let state = match (one.get("over"), breaks, drifts.is_empty()) {
            (Some(Value::Bool(true)), ..) => "over",
            (_, true, _) => "broken",
            (_, false, false) => "drifted",
            (_, false, true) => "kept",
        };
        let (name, version) = (cell("name"), cell("version"));
        let (sunset, at, by) = (cell("sunset"), cell("appliedAt"), cell("appliedBy"));
        let _ = writeln!(out, "{name}@{version}\t{sunset}\t{at}\t{by}\t{state}");
        for drift in drifts {
            let cell = |name: &str| drift.get(name).map(plain).unwrap_or_default();
            let _ = writeln!(out, "  {}{}: {}", cell("collection"), cell("path"), cell("text"));
        }
    }
    print(&out)?;
    Ok(if broken { Answer::No } else { Answer::Yes })
}

/// A value in one cell of a line.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(['\t', '\n', '\r'], " "),
        other => other.to_string(),
    }
}

fn read(file: &Path) -> Result<String> {
    let shown = file.display();
    let unreadable = |error: std::io::Error| Error::bad_request(format!("`{shown}` cannot be read: {error}"));
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(unreadable)
}
