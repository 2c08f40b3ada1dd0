//! Data sets of a directory, as records.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use wellspring::{
    config,
    format::{self, Limits},
    record::{self, Json},
};

/// The files of a directory that a format reads, by name.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| extension(path).and_then(format::by_name).is_some());
    files.sort();
    files
}

/// The documents of a file.
pub fn documents(path: &Path) -> Vec<Bytes> {
    let format = extension(path).and_then(format::by_name).unwrap();
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

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
