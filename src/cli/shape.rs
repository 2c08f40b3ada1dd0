//! `wellspring shape`.

use std::fmt::Write as _;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    Answer, print,
    remote::{Remote, Target},
    runtime,
};
use crate::error::Result;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Compare two versions of a collection's shape: what is different, one a line, and which compatibility holds.
    Diff {
        #[command(flatten)]
        target: Target,
        /// The collection's name.
        collection: String,
        /// The earlier version; without it the one before the later one.
        #[arg(long, value_name = "VERSION")]
        from: Option<u32>,
        /// The later version; without it the one that there is now.
        #[arg(long, value_name = "VERSION")]
        to: Option<u32>,
        /// Exit with 1 unless this holds: `backward`, whoever reads the earlier version can read the later one;
        /// `forward`, the other way round; `full`, both.
        #[arg(long)]
        require: Option<Compatibility>,
    },
}

/// What may be required.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Compatibility {
    Backward,
    Forward,
    Full,
}

const DIFF: &str = "query($collection: String!, $from: Int, $to: Int) {
    shapeDiff(collection: $collection, from: $from, to: $to) {
        from to changes { path change from to backward forward } compatible { backward forward full } } }";

pub(super) fn run(command: &Command) -> Result<Answer> {
    let Command::Diff { target, collection, from, to, require } = command;
    let remote = Remote::new(&target.url, target.token.as_deref())?;
    let variables = json!({"collection": collection, "from": from, "to": to});
    let data = runtime()?.block_on(remote.graphql(DIFF, variables))?;
    let diff = data.get("shapeDiff").cloned().unwrap_or_default();
    let holds = |name: &str| diff.pointer(&format!("/compatible/{name}")) == Some(&Value::Bool(true));
    print(&table(&diff, &holds))?;
    let required = require.map(|required| match required {
        Compatibility::Backward => holds("backward"),
        Compatibility::Forward => holds("forward"),
        Compatibility::Full => holds("full"),
    });
    Ok(if required == Some(false) { Answer::No } else { Answer::Yes })
}

fn table(diff: &Value, holds: &impl Fn(&str) -> bool) -> String {
    let mut out = String::from("path\tchange\tfrom\tto\tbackward\tforward\n");
    let word = |holds: bool| if holds { "yes" } else { "no" };
    for change in diff.get("changes").and_then(Value::as_array).into_iter().flatten() {
        let cells =
            ["path", "change", "from", "to", "backward", "forward"].map(|name| match change.get(name) {
                Some(Value::String(text)) => text.replace(['\t', '\n', '\r'], " "),
                Some(Value::Bool(holds)) => word(*holds).to_owned(),
                _ => String::new(),
            });
        let _ = writeln!(out, "{}", cells.join("\t"));
    }
    let [backward, forward, full] = ["backward", "forward", "full"].map(|name| word(holds(name)));
    let [from, to] = ["from", "to"].map(|name| diff.get(name).and_then(Value::as_i64).unwrap_or_default());
    let _ = writeln!(
        out,
        "version {from} to {to} compatible: backward {backward}, forward {forward}, full {full}"
    );
    out
}
