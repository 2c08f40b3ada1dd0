//! CSV: a header row, then one object a row. Cells get a type only where nothing of their text is lost.
//!
//! An empty cell is null and `""` the empty text, except under a header that quotes every name: there it is null
//! too, for who quotes everything writes null so. `true` and `false` are booleans; what is written as JSON writes a
//! number, fits 64 bits or has a decimal point, is that number with its exact text; everything else, such as `007`,
//! `+1` or `5e10`, stays text. Empty lines are passed over. Must not hold more than one row.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use csv_core::{ReadFieldResult, Reader};

use crate::error::{Code, Error, Result};
use crate::format::{
    BYTE_ORDER_MARK, CellWriter, Format, Item, Limits, Readable, Splitter, Writer, too_large,
};
use crate::query::{Plain, TableCell, write};
use crate::record::{self, Json};
use crate::shape::Scalar;

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
}

impl Readable for Csv {
    fn splitter(&self, limits: Limits) -> Box<dyn Splitter + Send> {
        Box::new(Rows {
            limits,
            reader: Reader::new(),
            text: vec![0; 1024],
            text_len: 0,
            cells: Vec::new(),
            quoted: None,
            over: None,
            ended: false,
            header: Header::Awaited,
        })
    }
}

/// A header of dotted names, then a line a row as RFC 4180 has it. Null is an empty cell and the empty text is
/// `""`; what is nested in a list is the list's JSON text. A row of nothing but one null is `""` too, because readers
/// pass over empty lines.
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

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let row = record::parse(row, record::Limits { depth_max: 500, values_max: usize::MAX })
            .map_err(Error::internal)?;
        for (index, names) in self.columns.iter().enumerate() {
            separate(index, out);
            let value = names.iter().try_fold(&row, |value, name| value.get(name));
            match value {
                None | Some(Json::Null) => self.null(out),
                Some(Json::String(text)) => cell(text, out),
                Some(value) => cell(&value.to_text(), out),
            }
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn cells(&mut self) -> Option<&mut dyn CellWriter> {
        Some(self)
    }

    fn end(&mut self, _: &mut Vec<u8>) {}
}

impl CellWriter for Table {
    fn cell(&mut self, place: usize, value: TableCell<'_>, out: &mut Vec<u8>) {
        separate(place, out);
        match value {
            TableCell::Json(text) => self.json(text, out),
            TableCell::Plain(Plain::Text(text), Scalar::Json) => self.json(text.as_bytes(), out),
            TableCell::Plain(Plain::Text(text), _) => cell(text, out),
            TableCell::Plain(Plain::Null, _) => self.null(out),
            TableCell::Plain(Plain::Float(number), _) if !number.is_finite() => self.null(out),
            // Numbers and booleans have nothing to quote.
            TableCell::Plain(Plain::Int(number), _) => write::int(number, out),
            TableCell::Plain(plain, scalar) => plain.write(scalar, out),
        }
    }

    fn row_end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
    }
}

impl Table {
    fn null(&self, out: &mut Vec<u8>) {
        if self.columns.len() == 1 {
            cell("", out);
        }
    }

    /// What is text or null in JSON, as such; all else as it stands.
    fn json(&self, text: &[u8], out: &mut Vec<u8>) {
        match text {
            b"null" => self.null(out),
            [b'"', ..] => match record::parse(text, record::Limits::ACCEPTED) {
                Ok(Json::String(text)) => cell(&text, out),
                _ => cell(&String::from_utf8_lossy(text), out),
            },
            _ => cell(&String::from_utf8_lossy(text), out),
        }
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let quoted = |byte: u8| matches!(byte, b'"' | b',' | b'\r' | b'\n');
    if !text.is_empty() && !text.bytes().any(quoted) {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

struct Rows {
    limits: Limits,
    reader: Reader,
    /// The text of the row's cells, one after the other, in its first `text_len` bytes.
    text: Vec<u8>,
    text_len: usize,
    cells: Vec<Cell>,
    /// Whether the cell that is being read began with a quote; `None` before its first byte.
    quoted: Option<bool>,
    /// Why the row that is being read is refused; its rest is not kept.
    over: Option<Error>,
    ended: bool,
    header: Header,
}

#[derive(Clone, Copy)]
struct Cell {
    /// Where in the row's text it ends.
    end: usize,
    quoted: bool,
}

enum Header {
    Awaited,
    Names(Names),
    /// Without a header no row has a meaning.
    Refused,
}

struct Names {
    /// The columns' names as JSON strings.
    texts: Vec<Vec<u8>>,
    /// Whether every name was quoted.
    quoted: bool,
}

impl Splitter for Rows {
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        // An empty input would mean the end of the body to the reader.
        while !bytes.is_empty() {
            if matches!(self.header, Header::Refused) {
                *bytes = &[];
                break;
            }
            let item = self.step(bytes);
            if item.is_some() {
                return item;
            }
        }
        None
    }

    fn end(&mut self) -> Option<Item> {
        while !self.ended && !matches!(self.header, Header::Refused) {
            let item = self.step(&mut [].as_slice());
            if item.is_some() {
                return item;
            }
        }
        None
    }
}

impl Rows {
    /// Lets the reader go on, at most to the end of a cell.
    fn step(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        if self.quoted.is_none() {
            // Before a row the reader passes over line ends, and before the first one over a byte order mark.
            let start = self.cells.is_empty();
            let over = |byte: &u8| start && (matches!(byte, b'\r' | b'\n') || BYTE_ORDER_MARK.contains(byte));
            self.quoted = bytes.iter().find(|byte| !over(byte)).map(|byte| *byte == b'"');
        }
        let text = self.text.get_mut(self.text_len..).unwrap_or_default();
        let (result, read, wrote) = self.reader.read_field(bytes, text);
        *bytes = bytes.get(read..).unwrap_or_default();
        self.text_len += wrote;
        if self.text_len > self.limits.item_bytes_max {
            self.over.get_or_insert_with(|| too_large(self.limits));
        }
        match result {
            ReadFieldResult::InputEmpty => {}
            ReadFieldResult::OutputFull if self.over.is_some() => self.text_len = 0,
            ReadFieldResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
            ReadFieldResult::Field { record_end } => {
                self.cell();
                if record_end {
                    return self.row();
                }
            }
            ReadFieldResult::End => self.ended = true,
        }
        None
    }

    /// The end of a cell.
    fn cell(&mut self) {
        let quoted = self.quoted.take() == Some(true);
        if self.cells.len() < self.limits.columns_max {
            return self.cells.push(Cell { end: self.text_len, quoted });
        }
        let max = self.limits.columns_max;
        self.over.get_or_insert_with(|| {
            let text = format!("a row may have at most {max} cells; raise `sourcing.table_columns_max`");
            Error::new(Code::TooLarge, text)
        });
    }

    /// The end of a row.
    fn row(&mut self) -> Option<Item> {
        let cells = std::mem::take(&mut self.cells);
        let text = self.text.get(..std::mem::take(&mut self.text_len)).unwrap_or_default();
        let over = self.over.take();
        let item = match (&self.header, over) {
            (Header::Names(names), None) => Some(object(names, text, &cells, self.limits)),
            (Header::Names(_), Some(error)) => Some(Err(error)),
            (_, over) => {
                let names = over.map_or_else(|| header(text, &cells, self.limits), Err);
                let (header, item) = match names {
                    Ok(names) => (Header::Names(names), None),
                    Err(error) => (Header::Refused, Some(Err(error))),
                };
                self.header = header;
                item
            }
        };
        self.cells = cells;
        self.cells.clear();
        item
    }
}

/// The cells' texts.
fn texts<'a>(text: &'a [u8], cells: &'a [Cell]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(cells.iter().map(|cell| cell.end));
    starts.zip(cells).map(|(start, cell)| text.get(start..cell.end).unwrap_or_default())
}

/// The column names, ready to be written; a name that comes again is numbered.
fn header(text: &[u8], cells: &[Cell], limits: Limits) -> Result<Names> {
    let mut taken = HashSet::new();
    // Where to go on numbering a name: looking from 2 each time would cost the square of the columns.
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::with_capacity(cells.len());
    for (index, cell) in texts(text, cells).enumerate() {
        let cell = if index == 0 { cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell) } else { cell };
        let name = utf8(cell)?.trim();
        if name.len() > limits.column_name_bytes_max {
            let text = format!(
                "the name of column {} has {} bytes; the most is {} (`sourcing.table_name_bytes_max`)",
                index + 1,
                name.len(),
                limits.column_name_bytes_max
            );
            return Err(Error::new(Code::TooLarge, text));
        }
        let mut free = name.to_owned();
        while !taken.insert(free.clone()) {
            let number = numbers.entry(name).or_insert(1);
            *number += 1;
            free = format!("{name}_{number}");
        }
        names.push(serde_json::to_vec(&free).map_err(Error::internal)?);
    }
    Ok(Names { texts: names, quoted: cells.iter().all(|cell| cell.quoted) })
}

/// One row as a JSON object. A cell beyond the header has no name: only an empty one can be passed over.
fn object(names: &Names, text: &[u8], cells: &[Cell], limits: Limits) -> Item {
    let mut out = Bounded { bytes: vec![b'{'], max: limits.item_bytes_max };
    // What the bounded text does not take is too large; nothing else can fail.
    let full = |_| too_large(limits);
    for (index, (cell, Cell { quoted, .. })) in texts(text, cells).zip(cells).enumerate() {
        let Some(name) = names.texts.get(index) else {
            if cell.is_empty() {
                continue;
            }
            let columns = names.texts.len();
            return Err(Error::new(
                Code::Unprocessable,
                format!("the row has more cells than the header's {columns}; quote cells that hold a comma"),
            ));
        };
        let comma: &[u8] = if index > 0 { b"," } else { b"" };
        [comma, name, b":"].iter().try_for_each(|part| out.write_all(part)).map_err(full)?;
        match utf8(cell)? {
            "" if *quoted && !names.quoted => out.write_all(b"\"\""),
            "" => out.write_all(b"null"),
            "true" | "false" => out.write_all(cell),
            number if is_number(number) => out.write_all(cell),
            text => serde_json::to_writer(&mut out, text).map_err(io::Error::from),
        }
        .map_err(full)?;
    }
    out.write_all(b"}").map_err(full)?;
    Ok(out.bytes.into())
}

/// Takes no more bytes than the document may have.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
