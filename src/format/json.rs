//! JSON: one document, or the items of one top-level array, each with the very bytes it was sent with.
//!
//! Only the frame is looked at (strings, brackets, commas); an item that is not JSON inside is handed out as it
//! is and refused by whoever parses it. Must not hold more than one item.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::{BYTE_ORDER_MARK, Format, Item, Limits, Readable, Splitter, Writer, too_large};

/// `application/json`.
pub(super) struct Json;

impl Format for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn media_types(&self) -> &'static [&'static str] {
        &["application/json", "text/json"]
    }

    fn writer(&self, _: &[Vec<String>]) -> Box<dyn Writer + Send> {
        Box::new(Array)
    }
}

impl Readable for Json {
    fn splitter(&self, limits: Limits) -> Box<dyn Splitter + Send> {
        Box::new(Items {
            limits,
            place: Place::Start(0),
            item: Vec::new(),
            scan: Scan::default(),
            over: false,
        })
    }

    /// One document is the body itself; an array here is one document too.
    fn document(&self, body: Bytes, limits: Limits) -> Result<Bytes> {
        let body = body.strip_prefix(BYTE_ORDER_MARK).map(|rest| body.slice_ref(rest)).unwrap_or(body);
        if body.len() > limits.item_bytes_max {
            return Err(too_large(limits));
        }
        if body.iter().all(|byte| is_space(*byte)) {
            return Err(Error::bad_request("the body is empty; send one JSON document"));
        }
        Ok(body)
    }
}

/// What is often lines of documents under the wrong name; none of them was taken.
const SEVERAL: &str = "there is text after the document's end: documents one a line are sent as \
     `application/x-ndjson`, or as items of an array";

/// An array of the rows, one a line.
struct Array;

impl Writer for Array {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>) -> Result<()> {
        // A row ends with another bracket.
        let between: &[u8] = if out.ends_with(b"[") { b"\n" } else { b",\n" };
        out.extend_from_slice(between);
        out.extend_from_slice(row);
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n]\n");
    }
}

/// Where in the body the next byte stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Nothing but white space yet, after so many bytes of a byte order mark.
    Start(usize),
    /// Within the only document: the body is not an array.
    Single,
    /// After the only document.
    AfterSingle,
    /// Before an item; `true` when the array may also end here.
    Before(bool),
    /// Within an item.
    Within,
    /// After an item, before a comma or the end.
    After,
    /// After the array.
    End,
    /// A syntax error has ended it.
    Broken,
}

/// Where in an item the next byte stands.
#[derive(Default)]
struct Scan {
    depth: usize,
    string: bool,
    escaped: bool,
}

struct Items {
    limits: Limits,
    place: Place,
    item: Vec<u8>,
    scan: Scan,
    over: bool,
}

impl Splitter for Items {
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        while !bytes.is_empty() {
            let item = match self.place {
                Place::Single => {
                    self.single(bytes);
                    None
                }
                Place::Within => self.within(bytes),
                Place::Broken => {
                    *bytes = &[];
                    None
                }
                _ => self.between(bytes),
            };
            if item.is_some() {
                return item;
            }
        }
        None
    }

    fn end(&mut self) -> Option<Item> {
        match std::mem::replace(&mut self.place, Place::Broken) {
            Place::Single | Place::AfterSingle => Some(self.item()),
            Place::End | Place::Broken => None,
            Place::Start(_) => Some(Err(Error::bad_request("the body is empty; send a JSON array"))),
            _ => Some(Err(Error::bad_request("the body ends within its array; send the rest again"))),
        }
    }
}

impl Items {
    /// One byte outside of items.
    fn between(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        let (&byte, after) = bytes.split_first()?;
        self.place = match (self.place, byte) {
            (Place::Start(at), _) if BYTE_ORDER_MARK.get(at) == Some(&byte) => Place::Start(at + 1),
            (place, b' ' | b'\t' | b'\n' | b'\r') => place,
            (Place::Start(_), b'[') => Place::Before(true),
            (Place::Start(_), _) => {
                self.place = Place::Single;
                return None;
            }
            (Place::Before(true), b']') | (Place::After, b']') => Place::End,
            (Place::After, b',') => Place::Before(false),
            (Place::Before(_), byte) if !matches!(byte, b',' | b']' | b'}' | b':') => {
                self.place = Place::Within;
                return None;
            }
            (Place::AfterSingle, _) => return self.broken(SEVERAL),
            (Place::End, _) => {
                return self.broken("there is text after the array's end; the items in it were taken");
            }
            (Place::After, _) => {
                return self
                    .broken("a comma is missing between two items of the array; those before it were taken");
            }
            _ => return self.broken("an item of the array is missing; those before it were taken"),
        };
        *bytes = after;
        None
    }

    /// The bytes up to the only document's end, or all.
    fn single(&mut self, bytes: &mut &[u8]) {
        let (item, rest, ended) = self.scan.item(bytes);
        self.keep(item);
        *bytes = rest;
        if ended {
            self.place = Place::AfterSingle;
        }
    }

    /// The bytes up to the item's end, or all.
    fn within(&mut self, bytes: &mut &[u8]) -> Option<Item> {
        let (item, rest, ended) = self.scan.item(bytes);
        self.keep(item);
        *bytes = rest;
        ended.then(|| {
            self.scan = Scan::default();
            self.place = Place::After;
            self.item()
        })
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.over = self.over || self.item.len() + bytes.len() > self.limits.item_bytes_max;
        if self.over {
            self.item = Vec::new();
        } else {
            self.item.extend_from_slice(bytes);
        }
    }

    /// The item that has ended.
    fn item(&mut self) -> Item {
        let item = std::mem::take(&mut self.item);
        if std::mem::take(&mut self.over) { Err(too_large(self.limits)) } else { Ok(item.into()) }
    }

    fn broken(&mut self, what: &str) -> Option<Item> {
        self.place = Place::Broken;
        Some(Err(Error::bad_request(what)))
    }
}

impl Scan {
    /// Splits `bytes` at the end of the item; `true` when the end was in them.
    fn item<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8], bool) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.string {
                at += self.string_bytes(bytes.get(at..).unwrap_or_default());
                if !self.string && self.depth == 0 {
                    return cut(bytes, at);
                }
                continue;
            }
            match byte {
                b'"' => self.string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return cut(bytes, at + 1);
                    }
                }
                b',' | b']' | b'}' if self.depth == 0 => return cut(bytes, at),
                _ if self.depth == 0 && is_space(byte) => return cut(bytes, at),
                _ => {}
            }
            at += 1;
        }
        (bytes, &[], false)
    }

    /// How many of `bytes` belong to the string, its closing quote included.
    fn string_bytes(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        match memchr::memchr2(b'"', b'\\', bytes) {
            None => bytes.len(),
            Some(at) => {
                let closed = bytes.get(at) == Some(&b'"');
                self.string = !closed;
                self.escaped = !closed;
                at + 1
            }
        }
    }
}

fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8], bool) {
    let (item, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
    (item, rest, true)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
