//! Data sets of a directory, as records, and what becomes of their shapes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use wellspring::{
    config,
    format::{self, Limits},
    record::{self, Json},
    shape::{Published, Shape, Structure},
};

/// The files of a directory that a format reads, by name.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| extension(path).and_then(format::readable_by_name).is_some());
    files.sort();
    files
}

/// The documents of a file.
pub fn documents(path: &Path) -> Vec<Bytes> {
    let format = extension(path).and_then(format::readable_by_name).unwrap();
    let mut splitter = format.splitter(Limits::from(&config::Sourcing::default()));
    let text = std::fs::read(path).unwrap();
    let mut rest = text.as_slice();
    let mut documents = Vec::new();
    while let Some(item) = splitter.next(&mut rest).or_else(|| splitter.end()) {
        documents.push(item.unwrap());
    }
    documents
}

/// A document as sourcing reads it.
pub fn parse(document: &Bytes) -> Json {
    record::parse(document, record::Limits::default()).unwrap()
}

/// The structures of documents, each once, in the order in which they come.
pub fn structures(documents: &[Bytes]) -> Vec<Structure> {
    let (limits, mut known) = (config::Shape::default(), HashSet::new());
    let structures = documents.iter().map(|document| Structure::derive(&parse(document), &limits));
    structures.filter(|structure| known.insert(structure.fingerprint())).collect()
}

/// What is published, and all that was seen, when each of these comes by itself.
pub fn one_by_one(structures: &[Structure]) -> (Published, Shape) {
    let limits = config::Shape::default();
    let (mut shape, mut published) = (Shape::default(), Published::default());
    for structure in structures {
        shape.merge(structure);
        published = shape.publish(&published, &limits).unwrap_or(published);
    }
    (published, shape)
}

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
