//! Images of rows: the document text that changes carry, with the names that are stored, output values and the member
//! `_record`. Compact, and without what is null: events are filtered and projected from it.

use std::collections::HashMap;

use uuid::Uuid;

use crate::query::write;
use crate::shape::{Cell, Column, Field, Kind, Published, Scalar};

/// What a row says of its record.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) key: String,
    pub(super) revision: i64,
    pub(super) record_id: Uuid,
    pub(super) source_name: String,
    pub(super) source_uid: String,
    pub(super) author: String,
    pub(super) ingested_at: String,
    pub(super) occurred_at: Option<String>,
    /// JSON text.
    pub(super) purposes: Option<String>,
    /// JSON text.
    pub(super) rescued: Option<String>,
    /// JSON text.
    pub(super) rest: Option<String>,
}

/// Writes images of the rows of one shape.
pub(super) struct Images<'a> {
    shape: &'a Published,
    places: HashMap<u32, usize>,
}

impl<'a> Images<'a> {
    /// For rows whose cells stand as `columns` do.
    pub(super) fn new(shape: &'a Published, columns: &[Column]) -> Self {
        let places = columns.iter().enumerate().map(|(index, column)| (column.field_id, index));
        Images { shape, places: places.collect() }
    }

    /// The image of one row.
    pub(super) fn image(&self, origin: &Origin, cells: &[Cell]) -> String {
        let mut out = Vec::with_capacity(512);
        out.push(b'{');
        self.fields(&self.shape.fields, cells, &mut out);
        if let Some(rest) = &origin.rest {
            member("_rest", &mut out);
            out.extend_from_slice(rest.as_bytes());
        }
        member(crate::query::RECORD, &mut out);
        envelope(origin, &mut out);
        out.push(b'}');
        // Everything written came from text.
        String::from_utf8(out).unwrap_or_default()
    }

    fn cell<'c>(&self, id: u32, cells: &'c [Cell]) -> &'c Cell {
        let place = self.places.get(&id);
        place.and_then(|place| cells.get(*place)).unwrap_or(&Cell::Null)
    }

    fn fields(&self, fields: &[Field], cells: &[Cell], out: &mut Vec<u8>) {
        for field in fields {
            match &field.kind {
                Kind::Object(children) => {
                    if self.cell(field.id, cells) == &Cell::Bool(true) {
                        member(field.stored(), out);
                        out.push(b'{');
                        self.fields(children, cells, out);
                        out.push(b'}');
                    }
                }
                Kind::Scalar(scalar) => self.leaf(field, *scalar, cells, out),
                // They are kept as their text.
                Kind::List(_) | Kind::Packed(_) | Kind::Map(_) => self.leaf(field, Scalar::Json, cells, out),
            }
        }
    }

    fn leaf(&self, field: &Field, scalar: Scalar, cells: &[Cell], out: &mut Vec<u8>) {
        let cell = self.cell(field.id, cells);
        if cell == &Cell::Null {
            return;
        }
        member(field.stored(), out);
        match (cell, scalar) {
            (Cell::Int(number), Scalar::BigInt) => write::big_int(*number, out),
            (Cell::Int(number), _) => write::int(*number, out),
            (Cell::Float(number), _) => write::float(*number, out),
            (Cell::Bool(value), _) => write::bool(*value, out),
            (Cell::Text(text), Scalar::Json) => out.extend_from_slice(text.as_bytes()),
            (Cell::Text(text), _) => write::text(text, out),
            (Cell::Null, _) => out.extend_from_slice(b"null"),
        }
    }
}

fn envelope(origin: &Origin, out: &mut Vec<u8>) {
    let mut text = |name: &str, value: &str, first: bool| {
        write::member(name, first, out);
        write::text(value, out);
    };
    text("id", &origin.record_id.to_string(), true);
    text("key", &origin.key, false);
    text("sourceName", &origin.source_name, false);
    text("sourceUid", &origin.source_uid, false);
    text("author", &origin.author, false);
    text("ingestedAt", &origin.ingested_at, false);
    if let Some(occurred_at) = &origin.occurred_at {
        text("occurredAt", occurred_at, false);
    }
    member("revision", out);
    write::int(origin.revision, out);
    for (name, json) in [("purposes", &origin.purposes), ("rescued", &origin.rescued)] {
        if let Some(json) = json {
            member(name, out);
            out.extend_from_slice(json.as_bytes());
        }
    }
    out.push(b'}');
}

fn member(name: &str, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    write::text(name, out);
    out.push(b':');
}
