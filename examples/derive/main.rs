//! Measures what it costs to derive the structure of a record, for each data set of a directory, as a multiple of
//! what `serde_json::from_slice` takes for the same records: of one that looks like one before it (known), of one that
//! looks like none before it in its collection (new), of the first one of a collection (first), and in full, by tree,
//! text and hash, without what is remembered. What else a machine does only ever adds, so the best of some rounds
//! counts.
//!
//! `cargo run --release --example derive -- DIRECTORY`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example ends with its figures or with the reason why not"
)]

#[path = "../sets/mod.rs"]
#[expect(unreachable_pub, dead_code, reason = "shared by examples")]
mod sets;

use std::{
    collections::HashSet,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use wellspring::{
    config,
    record::Json,
    shape::{Known, Structure},
};

/// Rounds of each measurement.
const ROUNDS: usize = 15;

/// Records of a round for new structures, at least.
const NEW_MIN: usize = 400;

fn main() {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "../shared/data".to_owned());
    println!("set\trecords\tstructures\tserde_json µs\tknown µs\tknown\tnew\tfirst\tin full");
    for path in sets::files(Path::new(&directory)) {
        measure(&path);
    }
}

fn measure(path: &Path) {
    let limits = config::Shape::default();
    let documents = sets::documents(path);
    let parsed: Vec<Json> = documents.iter().map(sets::parse).collect();
    let known = Known::new(&limits);
    let mut seen = HashSet::new();
    let mut different = Vec::new();
    for (document, json) in documents.iter().zip(&parsed) {
        if seen.insert(known.structure("a", "b", json).0) {
            different.push((document.clone(), json.clone()));
        }
    }
    if let [(_, json)] = different.as_slice() {
        // Alone it is always the first of its collection.
        let lacking = lacking(json);
        different.extend(lacking);
    }
    let reading = best(documents.len(), || documents.iter().for_each(read));
    let knowing = best(documents.len(), || {
        parsed.iter().for_each(|json| {
            black_box(known.structure("a", "b", black_box(json)));
        });
    });
    let deriving = best(documents.len(), || parsed.iter().for_each(|json| derive(json, &limits)));
    println!(
        "{}\t{}\t{}\t{reading:.2}\t{knowing:.2}\t{:.2}\t{:.2}\t{:.2}\t{:.2}",
        path.file_name().unwrap().display(),
        documents.len(),
        seen.len(),
        knowing / reading,
        unknown(&different, different.len()),
        unknown(&different, 1),
        deriving / reading,
    );
}

/// A document without one of its members, for each of them.
fn lacking(json: &Json) -> Vec<(Bytes, Json)> {
    let Json::Object(members) = json else { return Vec::new() };
    let without = |index| {
        let mut members = members.clone();
        members.remove(index);
        let json = Json::Object(members);
        (json.to_text().into(), json)
    };
    (0..members.len()).map(without).collect()
}

/// How many times the time of `serde_json` records take that all look different, so many of them in one collection.
fn unknown(records: &[(Bytes, Json)], together: usize) -> f64 {
    let limits = config::Shape::default();
    let passes = NEW_MIN.div_ceil(records.len());
    let reading =
        best(1, || (0..passes).for_each(|_| records.iter().for_each(|(document, _)| read(document))));
    let times = (0..ROUNDS).map(|_| {
        let groups: Vec<_> = (0..passes).flat_map(|_| records.chunks(together)).collect();
        let memories: Vec<Known> = groups.iter().map(|_| Known::new(&limits)).collect();
        let from = Instant::now();
        for (group, known) in groups.iter().zip(&memories) {
            for (_, json) in *group {
                black_box(known.structure("a", "b", black_box(json)));
            }
        }
        from.elapsed()
    });
    micros(times.min().unwrap(), 1) / reading
}

fn read(document: &Bytes) {
    black_box(serde_json::from_slice::<serde_json::Value>(black_box(document)).unwrap());
}

/// As every record once was: tree, text and hash.
fn derive(json: &Json, limits: &config::Shape) {
    black_box(wellspring::shape::fingerprint(&Structure::derive(black_box(json), limits).to_text()));
}

/// Microseconds a record.
fn best(records: usize, mut round: impl FnMut()) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let from = Instant::now();
        round();
        from.elapsed()
    });
    micros(times.min().unwrap(), records)
}

fn micros(time: Duration, records: usize) -> f64 {
    time.as_secs_f64() * 1e6 / records as f64
}
