//! Counts how right the semantic tags are: derives, record by record, what is published of the data sets in a
//! directory, and compares each field's tags with labels made by hand. Prints, for each tag, what is right, what is
//! wrong and what is missing.
//!
//! `cargo run --example tags -- DIRECTORY`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example ends with its figures or with the reason why not"
)]

#[path = "../sets/mod.rs"]
#[expect(unreachable_pub, dead_code, reason = "shared by examples")]
mod sets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use wellspring::shape::Field;

/// Set, path and tag, tab-separated; the first that matches holds. `**` stands for any beginning of a path, `*` in a
/// name for any text, the tag `-` for none, which is what fields without a label have.
const LABELS: &str = include_str!("labels.tsv");

/// Right, wrong and missing fields of one tag.
#[derive(Default)]
struct Count {
    right: usize,
    wrong: Vec<String>,
    missing: Vec<String>,
}

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "../shared/data".to_owned());
    let labels: Vec<[&str; 3]> = LABELS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect::<Vec<_>>().try_into().unwrap())
        .collect();
    let sets: BTreeSet<&str> = labels.iter().map(|[set, ..]| *set).collect();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    for set in sets {
        let documents = sets::documents(&Path::new(&directory).join(set));
        let structures = sets::structures(&documents);
        println!("{} structures", structures.len());
        let (published, _) = sets::one_by_one(&structures);
        let mut fields = 0;
        for field in published.fields().filter(|field| field.children().is_empty()) {
            fields += 1;
            let label = label(&labels, set, field);
            let tags: BTreeSet<&str> = field.tags.iter().map(|tag| family(tag)).collect();
            for tag in tags.iter().copied().chain(label).collect::<BTreeSet<_>>() {
                let count = counts.entry(tag.to_owned()).or_default();
                let place = format!("{set} {}", field.path);
                match (tags.contains(tag), label == Some(tag)) {
                    (true, true) => count.right += 1,
                    (true, false) => count.wrong.push(place),
                    _ => count.missing.push(place),
                }
            }
        }
        println!("{set}: {} records, {fields} leaves", documents.len());
    }
    println!("\ntag\tright\twrong\tmissing");
    for (tag, count) in &counts {
        println!("{tag}\t{}\t{}\t{}", count.right, count.wrong.len(), count.missing.len());
    }
    for (tag, count) in &counts {
        count.wrong.iter().for_each(|place| println!("wrong   {tag}\t{place}"));
        count.missing.iter().for_each(|place| println!("missing {tag}\t{place}"));
    }
}

/// Instants are one kind of thing, however they are written.
fn family(tag: &str) -> &str {
    if tag.starts_with("time.instant") { "time.instant" } else { tag }
}

fn label<'a>(labels: &[[&'a str; 3]], set: &str, field: &Field) -> Option<&'a str> {
    let path: Vec<&str> = field.path.split('/').skip(1).collect();
    let fits = |[of, pattern, _]: &&[&str; 3]| *of == set && matches(pattern, &path);
    labels.iter().find(fits).map(|[.., tag]| *tag).filter(|tag| *tag != "-")
}

fn matches(pattern: &str, path: &[&str]) -> bool {
    let steps: Vec<&str> = pattern.split('/').skip(1).collect();
    let (steps, path) = match pattern.strip_prefix("**/") {
        Some(_) => (steps.as_slice(), path.get(path.len().saturating_sub(steps.len())..).unwrap_or_default()),
        None => (steps.as_slice(), path),
    };
    let fits = |(step, name): (&&str, &&str)| match step.split_once('*') {
        Some((head, tail)) => name.len() >= step.len() - 1 && name.starts_with(head) && name.ends_with(tail),
        None => step == name,
    };
    steps.len() == path.len() && steps.iter().zip(path).all(fits)
}
