//! Projecting documents: the selection of a row given as the image that changes carry. Serves events, and is
//! the reference for [`Plan`](super::Plan).

use std::sync::Arc;

use crate::query::marks;
use crate::query::selection::{Part, record_type};
use crate::query::told::{Told, WHOLE};
use crate::query::{
    By, Cases, EntryPart, Extras, Form, Mask, MetaField, Node, Plain, RECORD, Rules, What, envelope, write,
};
use crate::record::{Json, Signer};
use crate::shape::Scalar;

/// Projects images of rows as a scope lets them be seen.
#[derive(Clone, Copy)]
pub struct Projector<'a> {
    /// How fields are shown.
    pub rules: &'a dyn Rules,
    /// How `_rest` and `_record.rescued` are shown.
    pub extras: Extras,
    /// Hashes masked values.
    pub signer: &'a Signer,
    /// Nothing more is appended to what is longer: whoever made it sees by the length that it is of no use.
    pub bytes_max: usize,
}

impl Projector<'_> {
    /// Appends the selection of one row.
    pub fn row(&self, nodes: &[Node], row: &Json, out: &mut Vec<u8>) {
        self.object(nodes, row, row, out);
    }

    /// Appends the key of a row whose other values are not at hand: null when those decide whether it is shown.
    pub fn key(&self, key: Option<&str>, out: &mut Vec<u8>) {
        self.alone("key", key.map_or(Plain::Null, Plain::Text), out);
    }

    /// The same of any member of the envelope.
    pub fn alone(&self, name: &str, plain: Plain<'_>, out: &mut Vec<u8>) {
        match envelope(name).map(|member| (member.id, member.scalar)) {
            Some((id, scalar)) if !self.rules.hidden(id) && self.rules.condition(id).is_none() => {
                match self.rules.mask(id) {
                    Some(mask) => mask.apply(plain, scalar, self.signer, out),
                    None => plain.write(scalar, out),
                }
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn object(&self, nodes: &[Node], object: &Json, row: &Json, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write::text(&node.key, out);
            out.push(b':');
            match &node.what {
                What::Typename(name) => write::text(name, out),
                What::Field { id, name, form } => self.field(*id, form, object.get(name), row, out),
                What::Cases(cases) => self.cases(cases, row, row, out),
                What::Record(members) => {
                    let record = object.get(RECORD).unwrap_or(&Json::Null);
                    out.push(b'{');
                    for (index, member) in members.iter().enumerate() {
                        if index > 0 {
                            out.push(b',');
                        }
                        write::text(&member.key, out);
                        out.push(b':');
                        self.meta(&member.what, record, row, out);
                    }
                    out.push(b'}');
                }
                What::Rest if self.extras.rest => copy(object.get("_rest"), out),
                What::Rest => out.extend_from_slice(b"null"),
                What::Related(place, key) => {
                    let value = key.path.iter().try_fold(row, |value, name| value.get(name));
                    if marks::related(*place, Plain::of(value, key.scalar), out).is_err() {
                        out.extend_from_slice(b"null");
                    }
                }
            }
        }
        out.push(b'}');
    }

    fn cases(&self, cases: &Cases, object: &Json, row: &Json, out: &mut Vec<u8>) {
        let text = match &cases.by {
            By::Column(field) => field.path.iter().try_fold(row, |value, name| value.get(name)),
            By::Member(name) => object.get(name),
        };
        let text = text.and_then(Json::as_str);
        match cases.nodes.iter().find(|(value, _)| Some(value.as_str()) == text) {
            Some((_, nodes)) => self.object(nodes, object, row, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn meta(&self, what: &MetaField, record: &Json, row: &Json, out: &mut Vec<u8>) {
        match what {
            MetaField::Typename(own) => write::text(record_type(own, self.rules), out),
            MetaField::Column(member) => {
                let form = Form::Scalar(member.scalar);
                let form = if member.list { Form::List(Box::new(form)) } else { form };
                self.field(member.id, &form, record.get(member.name), row, out);
            }
            MetaField::Told(member) => match self.shown(member.id, row) {
                true => told(member, WHOLE, record, out),
                false => out.extend_from_slice(b"null"),
            },
            MetaField::Parts(member, parts) => {
                // No mask can stand for an object.
                if !self.shown(member.id, row) || self.rules.mask(member.id).is_some() {
                    return out.extend_from_slice(b"null");
                }
                for (index, (key, part)) in parts.iter().enumerate() {
                    write::member(key, index == 0, out);
                    match part {
                        Part::Typename(name) => write::text(name, out),
                        Part::Value(place) => told(member, *place, record, out),
                    }
                }
                out.push(b'}');
            }
            MetaField::Rescued if self.extras.rescued => copy(record.get("rescued"), out),
            MetaField::Rescued => out.extend_from_slice(b"null"),
        }
    }

    /// Whether the field with this id is shown in this row.
    fn shown(&self, id: u32, row: &Json) -> bool {
        !self.rules.hidden(id) && self.rules.condition(id).is_none_or(|condition| condition.eval(row))
    }

    fn field(&self, id: u32, form: &Form, value: Option<&Json>, row: &Json, out: &mut Vec<u8>) {
        if !self.shown(id, row) {
            return out.extend_from_slice(b"null");
        }
        self.value(form, self.rules.mask(id), value, row, out);
    }

    fn value(&self, form: &Form, mask: Option<&Mask>, value: Option<&Json>, row: &Json, out: &mut Vec<u8>) {
        if out.len() > self.bytes_max {
            return;
        }
        match (form, mask, value) {
            // Images from before a widening have numbers in the form of then.
            (Form::Scalar(scalar @ Scalar::BigInt), None, Some(value @ Json::Number(_)))
            | (Form::Scalar(scalar @ Scalar::Float), None, Some(value @ Json::String(_))) => {
                Plain::of(Some(value), *scalar).write(*scalar, out);
            }
            (Form::Scalar(_), None, value) => copy(value, out),
            (Form::Scalar(Scalar::Json), Some(mask), value) => {
                let text = value.filter(|value| !matches!(value, Json::Null)).map(Json::to_text);
                let plain = text.as_deref().map_or(Plain::Null, Plain::Text);
                mask.apply(plain, Scalar::Json, self.signer, out);
            }
            (Form::Scalar(scalar), Some(mask), value) => {
                mask.apply(Plain::of(value, *scalar), *scalar, self.signer, out);
            }
            (Form::Cast(cast), mask, value) => {
                cast.write(Plain::of(value, cast.from), (mask, self.signer), out);
            }
            (Form::Enum(values), None, value) => {
                Plain::of(value, Scalar::String).named(values).write(Scalar::String, out);
            }
            (Form::Enum(_), Some(mask), value) => {
                mask.apply(Plain::of(value, Scalar::String), Scalar::String, self.signer, out);
            }
            (Form::Object(nodes) | Form::Packed(nodes), None, Some(object @ Json::Object(_))) => {
                self.object(nodes, object, row, out)
            }
            (Form::Cases(cases) | Form::PackedCases(cases), None, Some(object @ Json::Object(_))) => {
                self.cases(cases, object, row, out);
            }
            (Form::List(form), mask, Some(Json::Array(items))) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(form, mask, Some(item), row, out);
                }
                out.push(b']');
            }
            // No mask can stand for keys.
            (Form::Map(entries), None, Some(Json::Object(members))) => {
                out.push(b'[');
                let shown = members.iter().filter(|(key, _)| entries.has(key)).take(entries.first);
                for (index, (key, value)) in shown.enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.entry(&entries.parts, key, value, row, out);
                }
                out.push(b']');
            }
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn entry(&self, parts: &[(Arc<str>, EntryPart)], key: &str, value: &Json, row: &Json, out: &mut Vec<u8>) {
        for (index, (name, part)) in parts.iter().enumerate() {
            write::member(name, index == 0, out);
            match part {
                EntryPart::Typename(name) => write::text(name, out),
                EntryPart::Key => write::text(key, out),
                EntryPart::Value(form) => self.value(form, None, Some(value), row, out),
            }
        }
        out.push(b'}');
    }
}

fn told(member: &Told, part: u8, record: &Json, out: &mut Vec<u8>) {
    match record.get("id").and_then(Json::as_str).and_then(|id| id.parse().ok()) {
        Some(id) => marks::told(member, part, id, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn copy(value: Option<&Json>, out: &mut Vec<u8>) {
    value.unwrap_or(&Json::Null).write(out);
}
