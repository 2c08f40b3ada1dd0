//! Images of rows: the document text that changes carry, with the names that are stored, output values and the member
//! `_record`. Compact, and without what is null: events are filtered and projected from it.

use std::collections::HashMap;

use uuid::Uuid;

use crate::error::Result;
use crate::query::write;
use crate::shape::{Cell, Column, Field, Kind, Published, Scalar, SqlType};
use crate::store::db::{Row, Value};

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

/// The columns of a row that tell its [`Origin`].
const ORIGIN: [&str; 11] = [
    "key",
    "rev",
    "record_id",
    "source_name",
    "source_uid",
    "author",
    "ingested_at",
    "occurred_at",
    "purposes",
    "rescued",
    "rest",
];

/// What is read of a row for its image, each behind `prefix`: what [`Images::read`] takes.
pub(super) fn selected(columns: &[Column], prefix: &str) -> String {
    let names = ORIGIN.into_iter().chain(columns.iter().map(|column| column.name.as_str()));
    names.map(|name| format!("{prefix}{name}")).collect::<Vec<_>>().join(",")
}

/// The columns of a row from this one on.
pub(super) fn cells(row: &Row, from: usize, columns: &[Column]) -> Vec<Cell> {
    let values = row.0.iter().skip(from);
    values
        .zip(columns)
        .map(|(value, column)| match (value, column.sql) {
            (Value::Bool(value), _) => Cell::Bool(*value),
            (Value::Int(value), SqlType::Bool) => Cell::Bool(*value != 0),
            (Value::Int(value), _) => Cell::Int(*value),
            (Value::Float(value), _) => Cell::Float(*value),
            (Value::Text(text), _) => Cell::Text(text.clone()),
            _ => Cell::Null,
        })
        .collect()
}

/// Writes images of the rows of one shape.
pub(super) struct Images<'a> {
    shape: &'a Published,
    columns: &'a [Column],
    places: HashMap<u32, usize>,
}

impl<'a> Images<'a> {
    /// For rows whose cells stand as `columns` do.
    pub(super) fn new(shape: &'a Published, columns: &'a [Column]) -> Self {
        let places = columns.iter().enumerate().map(|(index, column)| (column.field_id, index));
        Images { shape, columns, places: places.collect() }
    }

    /// The image of a row that was read as [`selected`] says, from the column `from` on; with its origin.
    pub(super) fn read(&self, row: &Row, from: usize) -> Result<(Origin, String)> {
        let optional = |index| row.opt_text(from + index).map(|text| text.map(str::to_owned));
        let origin = Origin {
            key: row.text(from)?.to_owned(),
            revision: row.i64(from + 1)?,
            record_id: row.uuid(from + 2)?,
            source_name: row.text(from + 3)?.to_owned(),
            source_uid: row.text(from + 4)?.to_owned(),
            author: row.text(from + 5)?.to_owned(),
            ingested_at: row.text(from + 6)?.to_owned(),
            occurred_at: optional(7)?,
            purposes: optional(8)?,
            rescued: optional(9)?,
            rest: optional(10)?,
        };
        let image = self.image(&origin, &cells(row, from + ORIGIN.len(), self.columns));
        Ok((origin, image))
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
