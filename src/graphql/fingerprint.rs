//! What tells the schema of one collection, as one actor may see it, from others. Must not build any.

use super::collection::Visibility;
use crate::query::{Collection, ENVELOPE, TOLD};
use crate::shape::Field as Shaped;

/// Which fields are shown how, in a form that two equal schemas share and two different ones do not.
pub(super) fn fingerprint(collection: &Collection, shown: Visibility<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&collection.id.to_le_bytes());
    out.extend_from_slice(&collection.generation.to_le_bytes());
    out.extend_from_slice(&collection.shape.version.to_le_bytes());
    match &collection.narrow {
        None => codes(&collection.shape.fields, shown, out),
        Some(narrow) => {
            out.extend_from_slice(narrow.label.as_bytes());
            out.extend([0, u8::from(narrow.record), u8::from(narrow.rest)]);
            named_codes(&collection.shape.fields, shown, out);
        }
    }
    let members = ENVELOPE.iter().map(|member| member.id).chain(TOLD.iter().map(|told| told.id));
    out.extend(members.map(|id| shown(id) as u8));
    out.push(u8::MAX);
}

/// As [`codes`], of fields that may be others, or have other names, than those of the same version elsewhere.
fn named_codes(fields: &[Shaped], shown: Visibility<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&fields.len().to_le_bytes());
    for field in fields {
        out.extend_from_slice(&field.id.to_le_bytes());
        out.extend_from_slice(field.name.as_bytes());
        out.extend([0, shown(field.id) as u8]);
        named_codes(field.children(), shown, out);
    }
}

fn codes(fields: &[Shaped], shown: Visibility<'_>, out: &mut Vec<u8>) {
    for field in fields {
        out.push(shown(field.id) as u8);
        codes(field.children(), shown, out);
    }
}
