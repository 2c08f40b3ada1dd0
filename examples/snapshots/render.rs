//! From the shape of a data set to what a consumer is shown of it, and the texts that are kept of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use wellspring::{
    config, graphql,
    query::Collection,
    shape::{Published, Shape, collection_names, name_types},
};

use super::sets;

/// What has to be run when a snapshot is not what is rendered, and the change is wanted.
pub const ACCEPT: &str = "cargo run --release --example snapshots -- --accept";

/// Where schemas are kept.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

/// What the data set in a file is called.
pub fn name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Each set that is kept with its shape: that of its documents, where they are our own.
pub fn kept() -> Vec<(String, Shape)> {
    let files = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut sets: Vec<(String, Shape)> = files
        .filter_map(|path| {
            let shape = match path.extension()?.to_str()? {
                "shape" => Shape::from_text(&fs::read_to_string(&path).unwrap()).unwrap(),
                "ndjson" => sets::one_by_one(&sets::structures(&sets::documents(&path))).1,
                _ => return None,
            };
            Some((name(&path), shape))
        })
        .collect();
    sets.sort_by(|(one, _), (other, _)| one.cmp(other));
    sets
}

/// What is published of a shape that is there as a whole.
pub fn published(shape: &Shape) -> Published {
    shape.publish(&Published::default(), &config::Shape::default()).unwrap_or_default()
}

/// What the service tells of a collection of this name to whoever may see all of it.
pub fn sdl(set: &str, mut published: Published) -> String {
    let (field_name, type_name) = collection_names("data", set, &|_| false);
    name_types(&mut published, &type_name, &|_| false);
    graphql::sdl(&Collection {
        id: 1,
        category: "data".into(),
        subcategory: set.into(),
        field_name,
        type_name,
        generation: 1,
        shape: Arc::new(published),
        narrow: None,
    })
    .unwrap()
}

/// What the one schema has and the other has not, type by type; empty when they are the same.
pub fn difference(kept: &str, rendered: &str) -> String {
    let (was, is) = (types(kept), types(rendered));
    let mut out = String::new();
    for name in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let none = Vec::new();
        let (was, is) = (was.get(name).unwrap_or(&none), is.get(name).unwrap_or(&none));
        if was == is {
            continue;
        }
        out.push_str(&format!("{name}\n"));
        let mut only = |sign: char, these: &[String], those: &[String]| {
            let those: BTreeSet<&String> = those.iter().collect();
            let these: Vec<&String> = these.iter().filter(|member| !those.contains(member)).collect();
            these.iter().for_each(|member| out.push_str(&format!("{sign}   {member}\n")));
            these.len()
        };
        if only('-', was, is) + only('+', is, was) == 0 {
            out.push_str("    the same members in another order\n");
        }
    }
    out
}

/// The members of each type of a schema, each with its description, by the type's first line.
fn types(sdl: &str) -> BTreeMap<String, Vec<String>> {
    let mut types = BTreeMap::new();
    for text in sdl.split("\n\n") {
        let (mut members, mut described) = (Vec::new(), String::new());
        for line in text.lines() {
            if line.trim_start().starts_with('"') {
                described = format!("{} ", line.trim());
            } else {
                members.push(std::mem::take(&mut described) + line.trim());
            }
        }
        let name = members.first().map(|first| first.rsplit('"').next().unwrap_or(first).trim().to_owned());
        types.insert(name.unwrap_or_default(), members);
    }
    types
}
