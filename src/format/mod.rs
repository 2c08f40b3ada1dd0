//! Translators between media types and JSON, in both directions: one file each, found by content type, name or
//! file extension.
//!
//! A translator cuts a streamed body into documents and hands each out as JSON text, so that one bad document
//! fails alone and no body is ever held whole. Must not know HTTP, and must not judge a document: whether it is
//! valid JSON and within the bounds of depth is sourcing's to say. Documents are given out one at a time, when they are
//! asked for: a few bytes of a table can be many documents. Rows go out one by one likewise. Adding a format is one
//! file, its `mod` line and one entry in [`all`], and in [`readable`] if it is read, too; the conformance test below
//! then runs on it.

mod csv;
mod json;
mod ndjson;
mod xml;

use bytes::Bytes;

use crate::config;
use crate::error::{Code, Error, Result};
use crate::query::TableCell;

/// The JSON text of one document, or why there is none at this place.
pub type Item = Result<Bytes>;

/// Bounds of a translation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest document, in bytes, before its translation and after it.
    pub item_bytes_max: usize,
    /// The most columns of a table.
    pub columns_max: usize,
    /// The longest name of a table's column, in bytes: it comes again in each row's document.
    pub column_name_bytes_max: usize,
}

impl From<&config::Sourcing> for Limits {
    fn from(sourcing: &config::Sourcing) -> Self {
        Limits {
            item_bytes_max: sourcing.record_bytes_max,
            columns_max: sourcing.table_columns_max,
            column_name_bytes_max: sourcing.table_name_bytes_max,
        }
    }
}

/// A form in which rows go out.
pub trait Format: Send + Sync {
    /// Its short name, which is also its file extension.
    fn name(&self) -> &'static str;

    /// Its media types, the usual one first; lower-case, without parameters.
    fn media_types(&self) -> &'static [&'static str];

    /// A translator for rows on their way out. `columns` are the leaves of a row, each with its names from the
    /// row's root.
    fn writer(&self, columns: &[Vec<String>]) -> Box<dyn Writer + Send>;

    /// Whether its writer takes rows as cells.
    fn takes_cells(&self) -> bool {
        self.writer(&[]).cells().is_some()
    }
}

/// A format that bodies are read in, too.
pub trait Readable: Format {
    /// A translator for one streamed body that may hold many documents.
    fn splitter(&self, limits: Limits) -> Box<dyn Splitter + Send>;

    /// Translates a body that is one document.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it holds none or several, `TOO_LARGE` when it passes the bound.
    fn document(&self, body: Bytes, limits: Limits) -> Result<Bytes> {
        let mut splitter = self.splitter(limits);
        let mut rest: &[u8] = &body;
        let mut next = || splitter.next(&mut rest).or_else(|| splitter.end());
        match (next(), next()) {
            (Some(item), None) => item,
            (None, _) => Err(Error::bad_request("the body holds no document; send one")),
            (Some(_), Some(_)) => Err(Error::bad_request(
                "the body holds several documents; send them to the batch route, without a source uid",
            )),
        }
    }
}

/// Cuts one body into documents as its bytes arrive, and never holds more than one.
pub trait Splitter {
    /// Takes from the front of `bytes` until a document is complete; `None` once all of them are taken.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Item>;

    /// After the body's end: what is left, an error if it ends too early; asked until there is `None`.
    fn end(&mut self) -> Option<Item>;
}

/// Writes rows, each given as the JSON text of an object, and holds none: what it appends for a row depends on nothing
/// but the row and on whether `out` ends with what [`Writer::begin`] has appended, so that rows can be taken back.
pub trait Writer {
    /// Appends what stands before the first row.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Appends one row.
    ///
    /// # Errors
    /// `INTERNAL` when the text is not a JSON object.
    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()>;

    /// How it takes rows as cells, which then need not become JSON first.
    fn cells(&mut self) -> Option<&mut dyn CellWriter> {
        None
    }

    /// Appends what stands after the last row.
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Writes rows that are given cell by cell, in the order of the columns.
pub trait CellWriter {
    /// Appends the cell of the column at this place.
    fn cell(&mut self, place: usize, cell: TableCell<'_>, out: &mut Vec<u8>);

    /// Appends what stands after a row's last cell.
    fn row_end(&mut self, out: &mut Vec<u8>);
}

/// Every format, JSON first: it is the default.
pub fn all() -> &'static [&'static dyn Format] {
    &[&json::Json, &ndjson::Ndjson, &csv::Csv, &xml::Xml]
}

/// Those that bodies are read in.
pub fn readable() -> &'static [&'static dyn Readable] {
    &[&json::Json, &ndjson::Ndjson, &csv::Csv]
}

/// The format for a media type; parameters and case do not matter, and every `…+json` is JSON.
pub fn by_media_type(media_type: &str) -> Option<&'static dyn Format> {
    let essence = essence(media_type);
    all().iter().copied().find(|format| format.media_types().contains(&essence.as_str()))
}

/// The format that reads a `Content-Type`, likewise.
pub fn readable_by_media_type(content_type: &str) -> Option<&'static dyn Readable> {
    let essence = essence(content_type);
    readable().iter().copied().find(|format| format.media_types().contains(&essence.as_str()))
}

fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence.ends_with("+json") { "application/json".to_owned() } else { essence }
}

/// The format with a short name or file extension, such as `csv`.
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    let name = plain_name(name);
    all().iter().copied().find(|format| format.name() == name)
}

/// The format that reads files with this extension, likewise.
pub fn readable_by_name(name: &str) -> Option<&'static dyn Readable> {
    let name = plain_name(name);
    readable().iter().copied().find(|format| format.name() == name)
}

fn plain_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "jsonl" => "ndjson".to_owned(),
        "geojson" => "json".to_owned(),
        _ => name,
    }
}

/// The error of a document that passes its bound.
fn too_large(limits: Limits) -> Error {
    let text = format!(
        "a record may have at most {} bytes as JSON; send it in parts or raise `sourcing.record_bytes_max`",
        limits.item_bytes_max
    );
    Error::new(Code::TooLarge, text)
}

/// The byte order mark that some tools write in front of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests;
