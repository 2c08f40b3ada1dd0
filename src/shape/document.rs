//! From a row back to a document: stored names, output form. What change images hold and what readers
//! return.

use super::{Cell, Field, Kind, Published, Scalar, values};
use crate::record::write_string;

/// The row as compact JSON text: every published field in published order, nested objects nested, what is
/// absent `null`, a `BigInt` as a string, lists as they are stored. `cells` are those of
/// [`Published::columns`].
pub fn document(published: &Published, cells: &[Cell]) -> String {
    let mut out = Vec::with_capacity(64 * cells.len());
    object(&published.fields, &mut cells.iter(), &mut out);
    // Everything written came from `str`.
    String::from_utf8(out).unwrap_or_default()
}

fn object(fields: &[Field], cells: &mut std::slice::Iter<'_, Cell>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(field.stored(), out);
        out.push(b':');
        let cell = cells.next().unwrap_or(&Cell::Null);
        match (&field.kind, cell) {
            (Kind::Object(children), Cell::Bool(true)) => object(children, cells, out),
            (Kind::Object(children), _) => {
                skip(children, cells);
                out.extend_from_slice(b"null");
            }
            (Kind::Scalar(scalar), cell) => values::write(cell, *scalar, out),
            // Their text is JSON already.
            (Kind::List(_) | Kind::Packed(_) | Kind::Map(_), cell) => values::write(cell, Scalar::Json, out),
        }
    }
    out.push(b'}');
}

fn skip(fields: &[Field], cells: &mut std::slice::Iter<'_, Cell>) {
    for field in fields {
        cells.next();
        if let Kind::Object(children) = &field.kind {
            skip(children, cells);
        }
    }
}
