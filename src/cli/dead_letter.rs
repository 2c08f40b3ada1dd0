//! `wellspring dead-letter`.

use std::fmt::Write as _;

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Answer, print,
    remote::{Remote, Target},
    runtime,
};
use crate::error::Result;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List parked records, newest first, one a line.
    List {
        #[command(flatten)]
        target: Target,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        first: u32,
        /// Only those listed after this one, by its id.
        #[arg(long)]
        after: Option<String>,
    },
    /// Put a parked record and what queues behind it back to work.
    Redrive {
        #[command(flatten)]
        target: Target,
        /// The dead letter's id, as `list` shows it.
        id: String,
    },
}

const LIST: &str = "query($first: Int, $after: ID) { deadLetters(first: $first, after: $after) {
    id at state plugin key revision attempts followers reason } }";
const REDRIVE: &str = "mutation($id: ID!) { redrive(id: $id) { redriven } }";

pub(super) fn run(command: &Command) -> Result<Answer> {
    match command {
        Command::List { target, first, after } => {
            let data = ask(target, LIST, json!({"first": first, "after": after}))?;
            let letters = data.get("deadLetters").and_then(Value::as_array).cloned().unwrap_or_default();
            print(&table(&letters))
        }
        Command::Redrive { target, id } => {
            let data = ask(target, REDRIVE, json!({"id": id}))?;
            let count = data.pointer("/redrive/redriven").and_then(Value::as_i64).unwrap_or(0);
            print(&format!("{count} records are back at work"))
        }
    }
}

fn ask(target: &Target, query: &str, variables: Value) -> Result<Value> {
    let remote = Remote::new(&target.url, target.token.as_deref())?;
    runtime()?.block_on(remote.graphql(query, variables))
}

fn table(letters: &[Value]) -> String {
    let mut out = String::from("id\tat\tstate\tplugin\tkey\trevision\tattempts\tfollowers\treason\n");
    for letter in letters {
        let cells = ["id", "at", "state", "plugin", "key", "revision", "attempts", "followers", "reason"];
        let cells = cells.map(|name| match letter.get(name) {
            Some(Value::String(text)) => text.replace(['\t', '\n', '\r'], " "),
            Some(value) => value.to_string(),
            None => String::new(),
        });
        let _ = writeln!(out, "{}", cells.join("\t"));
    }
    out
}
