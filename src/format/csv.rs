//! CSV: a header row, then one object a row. Cells get a type only where nothing of their text is lost.
//!
//! An empty cell is null; `true` and `false` are booleans; what is written as JSON writes a number, fits 64 bits
//! or has a decimal point, is that number with its exact text; everything else, such as `007`, `+1` or `5e10`,
//! stays text. Must not hold more than one row.

use csv_core::{ReadRecordResult, Reader};

use crate::error::{Code, Error, Result};
use crate::format::{BYTE_ORDER_MARK, Format, Item, Limits, Splitter, Writer, too_large};
use crate::record::{self, Json};

/// `text/csv`.
pub(super) struct Csv;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["text/csv", "application/csv"]
    }

    fn writer(&self, columns: &[Vec<String>]) -> Box<dyn Writer + Send> {
        Box::new(Table { columns: columns.to_vec() })
    }

    fn splitter(&self, limits: Limits) -> Box<dyn Splitter + Send> {
        Box::new(Rows {
            limits,
            reader: Reader::new(),
            text: vec![0; 1024],
            text_len: 0,
            ends: vec![0; 32],
            ends_len: 0,
            over: false,
            header: None,
        })
    }
}

/// A header of dotted names, then a line a row as RFC 4180 has it. Null is an empty cell and the empty text is
/// `""`; what is nested in a list is the list's JSON text.
struct Table {
    columns: Vec<Vec<String>>,
}

impl Writer for Table {
    fn begin(&mut self, out: &mut Vec<u8>) {
        for (index, names) in self.columns.iter().enumerate() {
            separate(index, out);
            cell(&names.join("."), out);
        }
        out.extend_from_slice(b"\r\n");
    }

    fn row(&mut self, row: &str, out: &mut Vec<u8>) -> Result<()> {
        let row = record::parse(row.as_bytes(), record::Limits { depth_max: 500, values_max: usize::MAX })
            .map_err(Error::internal)?;
        for (index, names) in self.columns.iter().enumerate() {
            separate(index, out);
            let value = names.iter().try_fold(&row, |value, name| value.get(name));
            match value {
                None | Some(Json::Null) => {}
                Some(Json::String(text)) => cell(text, out),
                Some(value) => cell(&value.to_text(), out),
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn cell(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

struct Rows {
    limits: Limits,
    reader: Reader,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    over: bool,
    /// The column names as JSON strings; `None` before the first row.
    header: Option<Result<Vec<Vec<u8>>, ()>>,
}

impl Splitter for Rows {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Item>) {
        let mut rest = chunk;
        // An empty input would mean the end of the body to the reader.
        while !rest.is_empty() && !matches!(self.header, Some(Err(()))) {
            let read = self.read(rest, out);
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    fn finish(mut self: Box<Self>, out: &mut Vec<Item>) {
        while !matches!(self.header, Some(Err(()))) && !self.step(&[], out).1 {}
    }
}

impl Rows {
    fn read(&mut self, bytes: &[u8], out: &mut Vec<Item>) -> usize {
        self.step(bytes, out).0
    }

    /// Lets the reader go on: how many bytes it took, and whether the body has ended.
    fn step(&mut self, bytes: &[u8], out: &mut Vec<Item>) -> (usize, bool) {
        let text = self.text.get_mut(self.text_len..).unwrap_or_default();
        let ends = self.ends.get_mut(self.ends_len..).unwrap_or_default();
        let (result, read, wrote, ended) = self.reader.read_record(bytes, text, ends);
        self.text_len += wrote;
        self.ends_len += ended;
        // A row's bounds: its text, and its cells, which cost memory even when they are empty.
        if self.text_len + self.ends_len > self.limits.item_bytes_max {
            self.over = true;
        }
        match result {
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull if self.over => self.text_len = 0,
            ReadRecordResult::OutputEndsFull if self.over => self.ends_len = 0,
            ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::Record => self.row(out),
            ReadRecordResult::End => return (read, true),
        }
        (read, false)
    }

    /// The end of a row.
    fn row(&mut self, out: &mut Vec<Item>) {
        let over = std::mem::take(&mut self.over);
        let text = self.text.get(..std::mem::take(&mut self.text_len)).unwrap_or_default();
        let ends = self.ends.get(..std::mem::take(&mut self.ends_len)).unwrap_or_default();
        let cells = || {
            let starts = std::iter::once(0).chain(ends.iter().copied());
            starts.zip(ends).map(|(start, end)| text.get(start..*end).unwrap_or_default())
        };
        match &self.header {
            _ if over => {
                self.header.get_or_insert(Err(()));
                out.push(Err(too_large(self.limits)));
            }
            Some(Ok(names)) => out.push(object(names, cells())),
            _ => {
                self.header = Some(header(cells()).map_err(|error| out.push(Err(error))));
            }
        }
    }
}

/// The column names, ready to be written; a name that comes again is numbered.
fn header<'a>(cells: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>> {
    let mut names: Vec<String> = Vec::new();
    for (index, cell) in cells.enumerate() {
        let cell = if index == 0 { cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell) } else { cell };
        let name = utf8(cell)?.trim();
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !names.contains(name));
        names.extend(free);
    }
    names.iter().map(|name| serde_json::to_vec(name).map_err(Error::internal)).collect()
}

/// One row as a JSON object. A cell beyond the header has no name: only an empty one can be passed over.
fn object<'a>(names: &[Vec<u8>], cells: impl Iterator<Item = &'a [u8]>) -> Item {
    let mut out = vec![b'{'];
    for (index, cell) in cells.enumerate() {
        let text = utf8(cell)?;
        match names.get(index) {
            None if text.is_empty() => continue,
            None => {
                let columns = names.len();
                return Err(Error::new(
                    Code::Unprocessable,
                    format!(
                        "the row has more cells than the header's {columns}; quote cells that hold a comma"
                    ),
                ));
            }
            Some(name) => {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(name);
                out.push(b':');
            }
        }
        match text {
            "" => out.extend_from_slice(b"null"),
            "true" | "false" => out.extend_from_slice(cell),
            number if is_number(number) => out.extend_from_slice(cell),
            text => serde_json::to_writer(&mut out, text).map_err(Error::internal)?,
        }
    }
    out.push(b'}');
    Ok(out.into())
}

fn utf8(cell: &[u8]) -> Result<&str> {
    std::str::from_utf8(cell)
        .map_err(|_| Error::new(Code::Unprocessable, "the row is not UTF-8; convert the file first"))
}

/// Whether the text is a JSON number that is surely meant as one.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    if !digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
        return false;
    }
    let Some(fraction) = fraction else { return text.parse::<i64>().is_ok() };
    let (fraction, exponent) = match fraction.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (fraction, None),
    };
    digits(fraction)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}
