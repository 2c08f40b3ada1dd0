//! NDJSON: one JSON document a line. Empty lines are passed over. Must not hold more than one line.

use bytes::Bytes;

use crate::error::Result;
use crate::format::{BYTE_ORDER_MARK, Format, Item, Limits, Readable, Splitter, Writer, too_large};

/// `application/x-ndjson`.
pub(super) struct Ndjson;

impl Format for Ndjson {
    fn name(&self) -> &'static str {
        "ndjson"
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]
    }

    fn writer(&self, _: &[Vec<String>]) -> Box<dyn Writer + Send> {
        Box::new(Rows)
    }
}

impl Readable for Ndjson {
    fn splitter(&self, limits: Limits) -> Box<dyn Splitter + Send> {
        Box::new(Lines { limits, line: Vec::new(), over: false, first: true })
    }
}

/// One row a line.
struct Rows;

impl Writer for Rows {
    fn begin(&mut self, _: &mut Vec<u8>) {}

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(row);
        out.push(b'\n');
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

struct Lines {
    limits: Limits,
    line: Vec<u8>,
    over: bool,
    first: bool,
}

impl Splitter for Lines {
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        while let Some(at) = memchr::memchr(b'\n', bytes) {
            let (line, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
            self.keep(line);
            *bytes = after.get(1..).unwrap_or_default();
            let item = self.line();
            if item.is_some() {
                return item;
            }
        }
        self.keep(std::mem::take(bytes));
        None
    }

    fn end(&mut self) -> Option<Item> {
        self.line()
    }
}

impl Lines {
    fn keep(&mut self, bytes: &[u8]) {
        self.over = self.over || self.line.len() + bytes.len() > self.limits.item_bytes_max;
        if self.over {
            self.line = Vec::new();
        } else {
            self.line.extend_from_slice(bytes);
        }
    }

    /// The line that has ended, unless it is empty.
    fn line(&mut self) -> Option<Item> {
        let line = std::mem::take(&mut self.line);
        let first = std::mem::take(&mut self.first);
        if std::mem::take(&mut self.over) {
            return Some(Err(too_large(self.limits)));
        }
        let text = if first { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        let text = text.trim_ascii();
        (!text.is_empty()).then(|| Ok(Bytes::copy_from_slice(text)))
    }
}
