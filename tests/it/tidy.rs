//! Checks on the source itself: the order of the layers, who may name which crate, sizes, and that each file says
//! what it is for.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// From low to high: a module names itself and what stands before it.
const LAYERS: &[&str] = &[
    "error",
    "config",
    "telemetry",
    "record",
    "shape",
    "query",
    "format",
    "contract",
    "policy",
    "plugin",
    "store",
    "stream",
    "sourcing",
    "provisioning",
    "publishing",
    "graphql",
    "http",
    "app",
    "cli",
];

/// Outside crates that only their owners name.
const OWNERS: &[(&str, &[&str])] = &[
    ("csv_core", &["format"]),
    ("quick_xml", &["format"]),
    ("oso", &["policy"]),
    ("polar_core", &["policy"]),
    ("sea_orm", &["store"]),
    ("sea_orm_migration", &["store"]),
    ("sqlx", &["store"]),
    ("rusqlite", &["store"]),
    ("redis", &["stream"]),
    ("async_graphql", &["graphql"]),
    ("async_graphql_value", &["graphql"]),
    ("async_graphql_axum", &["http"]),
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("hyper_util", &["http"]),
    ("clap", &["cli"]),
    ("reqwest", &["app", "cli"]),
    ("indicatif", &["cli"]),
    ("jiter", &["record"]),
    ("deunicode", &["shape"]),
    ("siphasher", &["shape"]),
    ("zstd", &["store"]),
    ("figment", &["config"]),
    ("jsonwebtoken", &["http", "cli"]),
    ("prometheus_client", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("hmac", &["record", "plugin", "http"]),
    ("toml", &["contract"]),
    ("serde_saphyr", &["policy"]),
    ("jiff", &["record", "shape", "query", "contract", "policy", "provisioning", "graphql", "http", "app"]),
];

/// The raw log, closed to those that serve consumers: what they call of the store is bounded by a policy.
const RAW_LOG: &[&str] = &["records", "recent", "latest", "way", "claimed", "claimed_in", "claimed_first"];
const RAW_LOG_CLOSED_TO: &[&str] = &["publishing", "graphql", "http"];
/// Who reads raw records for `record` and `records`, which need a role.
const RAW_LOG_OPEN_TO: &str = "src/publishing/manage.rs";

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 120;

#[test]
fn the_source_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for top in ["src", "migrations", "tests", "benches"] {
        for path in rust_files(&root.join(top)) {
            let text = fs::read_to_string(&path).expect("a source file is text");
            let path = path.strip_prefix(root).expect("it is below the root");
            check(path, &text, &mut faults);
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_library_lists_its_modules_in_the_order_of_the_layers() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let text = text.expect("the library is there");
    let modules = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    // A layer without code yet has no module.
    let ranks: Vec<_> = modules.map(|name| LAYERS.iter().position(|layer| *layer == name)).collect();
    assert!(ranks.iter().all(Option::is_some) && ranks.is_sorted(), "{ranks:?}");
}

#[test]
fn breaches_are_found() {
    let text = "use std::fmt;\n\
                use crate::store::find;\n\
                use sea_orm::DbErr;\n\
                fn f(x: my_sea_orm::X, y: crate::store_rows::Y) {}\n\
                // crate::http may be named in a comment\n\
                use crate::{record, http};\n\
                use super::super::error;\n\
                let task = tokio::spawn(work);\n";
    let mut faults = Vec::new();
    check(Path::new("src/policy/mod.rs"), text, &mut faults);
    let raw = "//! Reads.\nself.store.latest(key).await\n";
    check(Path::new("src/http/data.rs"), raw, &mut faults);
    check(Path::new(RAW_LOG_OPEN_TO), raw, &mut faults);
    let expected = [
        "src/policy/mod.rs:1: open the file with `//!`: what it is for, what it must not do",
        "src/policy/mod.rs:2: `policy` must not name `store`, which stands above it",
        "src/policy/mod.rs:3: only store may name `sea_orm`",
        "src/policy/mod.rs:6: name the module in full, one `use crate::module::…` a line",
        "src/policy/mod.rs:7: name the module in full, one `use crate::module::…` a line",
        "src/policy/mod.rs:8: only `app` starts tasks; return the future to it",
        "src/http/data.rs:2: the raw log is closed to `http`: `latest` is not for consumers",
    ];
    assert_eq!(faults, expected);
}

fn check(path: &Path, text: &str, faults: &mut Vec<String>) {
    let layer = layer_of(path);
    let lines = text.lines().count();
    if lines > LINES_MAX {
        faults.push(format!("{}: {lines} lines are more than {LINES_MAX}; split it", path.display()));
    }
    for (index, line) in text.lines().enumerate() {
        let mut fault = |what: &str| faults.push(format!("{}:{}: {what}", path.display(), index + 1));
        if index == 0 && !line.starts_with("//!") {
            fault("open the file with `//!`: what it is for, what it must not do");
        }
        if line.chars().count() > COLUMNS_MAX {
            fault("the line is longer than 120 columns");
        }
        if ["TO", "FIX", "XX"].iter().zip(["DO", "ME", "X"]).any(|(a, b)| has_word(line, &format!("{a}{b}")))
        {
            fault("do it, or leave it out");
        }
        if !line.trim_start().starts_with("//") {
            check_names(layer, line, &mut fault);
            check_calls(path, layer, line, &mut fault);
        }
    }
}

/// What one line of code may name. Files outside of the layers (`lib.rs`, tests) may name everything.
fn check_names(layer: Option<&str>, line: &str, fault: &mut impl FnMut(&str)) {
    let Some(layer) = layer else { return };
    let Some(rank) = LAYERS.iter().position(|other| *other == layer) else {
        return fault(&format!("`{layer}` has no place among the layers"));
    };
    if line.contains("crate::{") || line.contains("super::super::") {
        fault("name the module in full, one `use crate::module::…` a line");
    }
    for above in &LAYERS[rank + 1..] {
        if has_word(line, &format!("crate::{above}")) {
            fault(&format!("`{layer}` must not name `{above}`, which stands above it"));
        }
    }
    for (outside, owners) in OWNERS.iter().filter(|(_, owners)| !owners.contains(&layer)) {
        if has_word(line, &format!("{outside}::")) {
            fault(&format!("only {} may name `{outside}`", owners.join(" and ")));
        }
    }
}

/// What one line of code may call: only `app` starts tasks, and the raw log is not read for consumers.
fn check_calls(path: &Path, layer: Option<&str>, line: &str, fault: &mut impl FnMut(&str)) {
    let Some(layer) = layer.filter(|_| !path.iter().any(|part| part == "tests" || part == "tests.rs")) else {
        return;
    };
    if layer != "app" && has_word(line, "tokio::spawn") {
        fault("only `app` starts tasks; return the future to it");
    }
    if RAW_LOG_CLOSED_TO.contains(&layer) && path != Path::new(RAW_LOG_OPEN_TO) {
        for call in RAW_LOG.iter().filter(|call| line.contains(&format!("store.{call}("))) {
            fault(&format!("the raw log is closed to `{layer}`: `{call}` is not for consumers"));
        }
    }
}

/// Whether `word` stands in `line` without being the head or tail of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let open = line[..at].chars().next_back().is_none_or(|c| !in_name(c) && c != ':');
        let closed = line[at + word.len()..].chars().next().is_none_or(|c| !in_name(c));
        open && (closed || word.ends_with(':'))
    })
}

fn layer_of(path: &Path) -> Option<&str> {
    let inside = path.strip_prefix("src").ok()?;
    let first = inside.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&name)).then_some(name)
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}
