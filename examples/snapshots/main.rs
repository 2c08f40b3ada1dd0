//! Compares what a consumer is shown of data sets with what somebody has looked at and found right: the schemas in
//! `tests/snapshots`. Prints what differs and ends with 1; with `--accept` keeps what is new instead. Without a
//! directory it renders what is kept there. With one it reads the data sets in it, tells what of them would have
//! another type, or none, if their documents came one by one, and keeps beside each schema the shape that a test
//! renders it from: names, kinds and formats, no values.
//!
//! `cargo run --release --example snapshots -- [DIRECTORY…] [--accept]`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example ends with its figures or with the reason why not"
)]

#[path = "../sets/mod.rs"]
#[expect(unreachable_pub, reason = "shared by examples")]
mod sets;

#[expect(unreachable_pub, reason = "shared with a test")]
mod render;

use std::{collections::BTreeMap, fs, io, path::Path, process::ExitCode};

use serde::Serialize;
use serde_json::{Serializer, Value, ser::Formatter};
use wellspring::shape::{Published, Shape, type_of};

fn main() -> ExitCode {
    let (flags, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let accept = flags.iter().any(|flag| flag == "--accept");
    let directory = render::directory();
    let mut changed = Vec::new();
    let mut check = |set: &str, rendered: String| {
        let file = directory.join(set).with_extension("graphql");
        let difference = render::difference(&fs::read_to_string(&file).unwrap_or_default(), &rendered);
        if !difference.is_empty() {
            println!("== {set}\n{difference}");
            changed.push((file, rendered));
        }
    };
    if names.is_empty() {
        for (set, shape) in render::kept() {
            check(&set, render::sdl(&set, render::published(&shape)));
        }
    }
    for path in names.iter().flat_map(|name| sets::files(Path::new(name))) {
        let set = render::name(&path);
        let (one_by_one, shape) = sets::one_by_one(&sets::structures(&sets::documents(&path)));
        let published = render::published(&shape);
        tell_order(&set, &published, &one_by_one);
        check(&set, render::sdl(&set, published));
        if accept && !directory.join(path.file_name().unwrap()).exists() {
            fs::write(directory.join(&set).with_extension("shape"), lines(&shape)).unwrap();
        }
    }
    if accept {
        changed.iter().for_each(|(file, rendered)| fs::write(file, rendered).unwrap());
    } else if !changed.is_empty() {
        println!("if that is right: {}", render::ACCEPT);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What of a set depends on the order in which its documents come.
fn tell_order(set: &str, at_once: &Published, one_by_one: &Published) {
    let types = |published: &Published| -> BTreeMap<String, String> {
        let told = |kind, name: &str| format!("{name}: {}", type_of(kind));
        published.fields().map(|field| (field.path.clone(), told(&field.kind, &field.name))).collect()
    };
    let (at_once, one_by_one) = (types(at_once), types(one_by_one));
    for (path, told) in &at_once {
        match one_by_one.get(path) {
            None => println!("{set} {path}: `{told}`, and one by one nothing"),
            Some(other) if other != told => println!("{set} {path}: `{told}`, and one by one `{other}`"),
            _ => {}
        }
    }
    for (path, told) in one_by_one.iter().filter(|(path, _)| !at_once.contains_key(*path)) {
        println!("{set} {path}: nothing, and one by one `{told}`");
    }
}

/// A shape's canonical text with a line for each member.
fn lines(shape: &Shape) -> String {
    let value: Value = serde_json::from_str(&shape.to_text()).unwrap();
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut out, Lines { depth: 0 })).unwrap();
    out.push(b'\n');
    String::from_utf8(out).unwrap()
}

struct Lines {
    depth: usize,
}

impl Formatter for Lines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        writer.write_all(b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        writer.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(if first { b"\n" } else { b",\n" })?;
        writer.write_all(" ".repeat(self.depth).as_bytes())
    }
}
