//! From a document to a row. Every value ends in a cell, in `rest` or among what was rescued, which is also where
//! values are that modes hold back: nothing is dropped. Members without a value that are not published are the one
//! exception: a `null` says what their absence says.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::publish::pointer_token;
use super::retype;
use super::values::{self, Fit};
use super::{Cell, Conformed, Enumeration, Field, Kind, Misfit, Published, Scalar};
use crate::config::Mode;
use crate::record::{Json, write_string};

/// Objects of up to this many members are searched one by one.
const FEW: usize = 12;

/// Turns a document into the cells of a row of this published shape.
pub fn conform(published: &Published, document: &Json) -> Conformed {
    let (mut row, rest) = Row::of(published, document);
    for (keys, field) in published.built() {
        build(&mut row, &keys, &field, document);
    }
    Conformed { cells: row.cells, rest: rest.to_text(), rescued: row.rescued }
}

/// What of a document does not fit this published shape where its mode is to reject.
pub fn refusals(published: &Published, document: &Json) -> Vec<Misfit> {
    if !published.rejects() {
        return Vec::new();
    }
    Row::of(published, document).0.refused
}

/// Adds the cell of a field that is built, and what does not fit it.
fn build(row: &mut Row<'_>, keys: &[&str], field: &Field, document: &Json) {
    let mut built = Row::default();
    let mut value = Some(document);
    for key in keys {
        built.path.push(Step::Key(key));
        value = match value {
            // Of equal keys the last counts.
            Some(Json::Object(members)) => {
                members.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value)
            }
            _ => None,
        };
    }
    match value {
        None | Some(Json::Null) => built.cells.push(Cell::Null),
        Some(value) => {
            built.at(field);
            built.value(&field.kind, value, &mut Rest::default());
        }
    }
    row.cells.append(&mut built.cells);
    for misfit in built.rescued {
        if row.rescued.iter().all(|known| known.path != misfit.path || known.value != misfit.value) {
            row.rescued.push(misfit);
        }
    }
}

/// A step of a JSON pointer.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    /// A key of a map.
    Entry(&'a str),
    Index(usize),
}

impl Step<'_> {
    fn token(self) -> String {
        match self {
            Step::Key(key) | Step::Entry(key) => pointer_token(key),
            Step::Index(index) => index.to_string(),
        }
    }
}

/// What is not published of one object, by the keys of the source; items of lists stand under their index.
#[derive(Default)]
struct Rest<'a> {
    members: Vec<(Step<'a>, Left<'a>)>,
}

enum Left<'a> {
    Whole(&'a Json),
    Part(Rest<'a>),
}

impl<'a> Rest<'a> {
    fn add(&mut self, step: Step<'a>, part: Rest<'a>) {
        if !part.members.is_empty() {
            self.members.push((step, Left::Part(part)));
        }
    }

    fn to_text(&self) -> Option<String> {
        if self.members.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        self.write(&mut out);
        // Everything written came from `str`.
        String::from_utf8(out).ok()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (step, left)) in self.members.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            match step {
                Step::Key(key) | Step::Entry(key) => write_string(key, out),
                Step::Index(index) => write_string(&index.to_string(), out),
            }
            out.push(b':');
            match left {
                Left::Whole(value) => value.write(out),
                Left::Part(rest) => rest.write(out),
            }
        }
        out.push(b'}');
    }
}

/// Finds the published field of a key: by guess for members in published order, else by search.
pub(super) struct Fields<'a> {
    pub(super) fields: &'a [Field],
    /// Made when a guess was wrong for the first time.
    index: OnceCell<HashMap<&'a str, usize>>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(fields: &'a [Field]) -> Self {
        Fields { fields, index: OnceCell::new() }
    }

    pub(super) fn find(&self, key: &str, hint: usize) -> Option<usize> {
        if self.fields.get(hint).is_some_and(|field| field.key == key) {
            return Some(hint);
        }
        if self.fields.len() <= FEW {
            return self.fields.iter().position(|field| field.key == key);
        }
        let all = || self.fields.iter().enumerate().map(|(at, field)| (field.key.as_str(), at)).collect();
        self.index.get_or_init(all).get(key).copied()
    }
}

/// What people call a value of this kind, which is no scalar.
fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) => "a list",
        Kind::Map(_) => "a map",
        _ => "an object",
    }
}

/// What was written from `str`s only.
fn text(out: Vec<u8>) -> Cell {
    Cell::Text(String::from_utf8(out).unwrap_or_default())
}

/// The row at work.
#[derive(Default)]
struct Row<'a> {
    cells: Vec<Cell>,
    rescued: Vec<Misfit>,
    /// Of these, what does not fit where the mode is to reject.
    refused: Vec<Misfit>,
    path: Vec<Step<'a>>,
    /// The texts that the field at work may have, if it is an enum.
    accepted: Option<&'a Enumeration>,
    /// The shape, when modes may hold back what is not published.
    held: Option<&'a Published>,
    /// A steward has chosen the type of the field at work.
    retyped: bool,
}

impl<'a> Row<'a> {
    /// The row of a document, and what is not published of it.
    fn of(published: &'a Published, document: &'a Json) -> (Self, Rest<'a>) {
        let held = published.holds().then_some(published);
        let mut row = Row { held, ..Row::default() };
        let mut rest = Rest::default();
        match document {
            Json::Object(members) => row.object(&published.fields, members, &mut rest),
            other => {
                row.misfit(other, "not an object".into());
                row.absent(&published.fields);
            }
        }
        (row, rest)
    }

    /// Rescues a value that does not fit the type that is published for it.
    fn misfit(&mut self, value: &Json, reason: String) {
        let mode = self.held.map_or(Mode::Open, |held| held.mode(&self.location()));
        let reason = match mode {
            Mode::Open => reason,
            mode => format!("{reason}; the mode here is {}", mode.name()),
        };
        self.rescue(value, reason);
        if mode == Mode::Reject {
            self.refused.extend(self.rescued.last().cloned());
        }
    }

    /// Where the value stands, as paths of fields tell it.
    fn location(&self) -> String {
        let token = |step: &Step<'_>| match step {
            Step::Key(key) => format!("/{}", pointer_token(key)),
            Step::Entry(_) => "/~*".to_owned(),
            Step::Index(_) => "/*".to_owned(),
        };
        self.path.iter().map(token).collect()
    }

    /// What becomes of a member that is not published: it is rescued where modes hold it back, else left over.
    fn unpublished(&mut self, key: &'a str, value: &'a Json, rest: &mut Rest<'a>) {
        self.path.push(Step::Key(key));
        let location = self.held.map(|held| (held, self.location()));
        let held = location.and_then(|(held, at)| Some((held.holds_back(&at)?, held.mode(&at))));
        match held {
            Some((reason, mode)) => {
                self.rescue(value, reason.to_owned());
                if mode == Mode::Reject {
                    self.refused.extend(self.rescued.last().cloned());
                }
            }
            None => rest.members.push((Step::Key(key), Left::Whole(value))),
        }
        self.path.pop();
    }

    /// Goes on with this field.
    fn at(&mut self, field: &'a Field) {
        self.accepted = field.enumeration();
        self.retyped = field.decided.retyped.is_some();
    }

    fn rescue(&mut self, value: &Json, reason: String) {
        let path = self.path.iter().map(|step| format!("/{}", step.token())).collect();
        self.rescued.push(Misfit { path, reason, value: value.to_text() });
    }

    fn shadowed(&mut self, key: &'a str, value: &Json) {
        self.path.push(Step::Key(key));
        self.rescue(value, "its key comes again later in the same object".into());
        self.path.pop();
    }

    /// The values of an object's fields, in published order. What is not published goes to `rest`, what a
    /// later member replaces is rescued.
    fn select(
        &mut self,
        fields: &Fields<'a>,
        all: &'a [(String, Json)],
        rest: &mut Rest<'a>,
    ) -> Vec<Option<&'a Json>> {
        let mut values: Vec<Option<&'a Json>> = vec![None; fields.fields.len()];
        let mut others: Vec<(&'a str, &'a Json)> = Vec::new();
        let mut hint = 0;
        for (key, value) in all {
            let at = fields.find(key, hint);
            hint = at.map_or(hint, |at| at + 1);
            match at.and_then(|at| values.get_mut(at)) {
                None => others.push((key, value)),
                Some(slot) => {
                    if let Some(earlier) = slot.replace(value) {
                        self.shadowed(key, earlier);
                    }
                }
            }
        }
        // Only many members need an index to see which of them come again.
        let last: Option<HashMap<&str, usize>> = (others.len() > FEW)
            .then(|| others.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect());
        for (at, (key, value)) in others.iter().enumerate() {
            let again = match &last {
                Some(last) => last.get(key) != Some(&at),
                None => others.iter().skip(at + 1).any(|(later, _)| later == key),
            };
            if again {
                self.shadowed(key, value);
            } else if **value != Json::Null {
                self.unpublished(key, value, rest);
            }
        }
        values
    }

    fn object(&mut self, fields: &'a [Field], all: &'a [(String, Json)], rest: &mut Rest<'a>) {
        let values = self.select(&Fields::of(fields), all, rest);
        for (field, value) in fields.iter().zip(values) {
            match value {
                None | Some(Json::Null) => self.absent(std::slice::from_ref(field)),
                Some(value) => {
                    self.path.push(Step::Key(&field.key));
                    self.at(field);
                    let mut part = Rest::default();
                    self.value(&field.kind, value, &mut part);
                    self.path.pop();
                    rest.add(Step::Key(&field.key), part);
                }
            }
        }
    }

    /// The cells of fields that have no value.
    fn absent(&mut self, fields: &[Field]) {
        for field in fields {
            self.cells.push(Cell::Null);
            if let Kind::Object(children) = &field.kind {
                self.absent(children);
            }
        }
    }

    fn value(&mut self, kind: &'a Kind, value: &'a Json, rest: &mut Rest<'a>) {
        match (kind, value) {
            (Kind::Scalar(scalar), value) => {
                let cell = self.scalar(*scalar, value);
                self.cells.push(cell);
            }
            (Kind::Object(fields), Json::Object(members)) => {
                self.cells.push(Cell::Bool(true));
                self.object(fields, members, rest);
            }
            (Kind::Object(fields), value) => {
                self.misfit(value, format!("published as an object, this is {}", values::called(value)));
                self.cells.push(Cell::Null);
                self.absent(fields);
            }
            (Kind::Packed(fields), Json::Object(members)) => {
                let mut out = Vec::new();
                self.item_object(&Fields::of(fields), members, rest, &mut out);
                self.cells.push(text(out));
            }
            (Kind::Packed(_), value) => {
                self.misfit(value, format!("published as an object, this is {}", values::called(value)));
                self.cells.push(Cell::Null);
            }
            (Kind::List(item), Json::Array(items)) => {
                let mut out = Vec::new();
                self.list(item, items, rest, &mut out);
                self.cells.push(text(out));
            }
            (Kind::Map(kind), Json::Object(members)) => {
                let mut out = Vec::new();
                self.map(kind, members, rest, &mut out);
                self.cells.push(text(out));
            }
            (kind @ (Kind::List(_) | Kind::Map(_)), value) => {
                self.misfit(
                    value,
                    format!("published as {}, this is {}", wanted(kind), values::called(value)),
                );
                self.cells.push(Cell::Null);
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Json) -> Cell {
        let read = if self.retyped { retype::read(value, scalar) } else { None };
        match values::fit(read.as_ref().unwrap_or(value), scalar) {
            Fit::Cell(Cell::Text(text)) if self.accepted.is_some_and(|all| all.name(&text).is_none()) => {
                self.misfit(value, "none of the values that its enum has".to_owned());
                Cell::Null
            }
            Fit::Cell(cell) => cell,
            Fit::Nearly(cell, reason) => {
                self.rescue(value, reason.to_owned());
                cell
            }
            Fit::Misfit(reason) => {
                self.misfit(value, reason);
                Cell::Null
            }
        }
    }

    fn list(&mut self, kind: &'a Kind, items: &'a [Json], rest: &mut Rest<'a>, out: &mut Vec<u8>) {
        let fields = match kind {
            Kind::Object(fields) => Some(Fields::of(fields)),
            _ => None,
        };
        out.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.path.push(Step::Index(index));
            let mut part = Rest::default();
            self.item(kind, fields.as_ref(), item, &mut part, out);
            self.path.pop();
            rest.add(Step::Index(index), part);
        }
        out.push(b']');
    }

    /// Writes an object whose keys are data.
    fn map(&mut self, kind: &'a Kind, members: &'a [(String, Json)], rest: &mut Rest<'a>, out: &mut Vec<u8>) {
        let fields = match kind {
            Kind::Object(fields) => Some(Fields::of(fields)),
            _ => None,
        };
        let last: HashMap<&str, usize> =
            members.iter().enumerate().map(|(at, (key, _))| (key.as_str(), at)).collect();
        out.push(b'{');
        for (at, (key, value)) in members.iter().enumerate() {
            if last.get(key.as_str()) != Some(&at) {
                self.shadowed(key, value);
                continue;
            }
            self.path.push(Step::Entry(key));
            if memchr::memchr(0, key.as_bytes()).is_some() {
                self.misfit(value, "a key with U+0000, which databases cannot hold".into());
            } else {
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                let mut part = Rest::default();
                self.item(kind, fields.as_ref(), value, &mut part, out);
                rest.add(Step::Key(key), part);
            }
            self.path.pop();
        }
        out.push(b'}');
    }

    /// Writes one value within a list or a map; `fields` are those of `kind`, when it is an object.
    fn item(
        &mut self,
        kind: &'a Kind,
        fields: Option<&Fields<'a>>,
        value: &'a Json,
        rest: &mut Rest<'a>,
        out: &mut Vec<u8>,
    ) {
        match (kind, value) {
            (_, Json::Null) => out.extend_from_slice(b"null"),
            (Kind::Scalar(scalar), value) => values::write(&self.scalar(*scalar, value), *scalar, out),
            (Kind::List(item), Json::Array(items)) => self.list(item, items, rest, out),
            (Kind::Map(value), Json::Object(members)) => self.map(value, members, rest, out),
            (Kind::Object(children), Json::Object(members)) => match fields {
                Some(fields) => self.item_object(fields, members, rest, out),
                None => self.item_object(&Fields::of(children), members, rest, out),
            },
            (kind, value) => {
                self.misfit(
                    value,
                    format!("published as {}, this is {}", wanted(kind), values::called(value)),
                );
                out.extend_from_slice(b"null");
            }
        }
    }

    /// Writes an object within a list: the members that are there, by the names that are stored, in published
    /// order.
    fn item_object(
        &mut self,
        fields: &Fields<'a>,
        members: &'a [(String, Json)],
        rest: &mut Rest<'a>,
        out: &mut Vec<u8>,
    ) {
        let values = self.select(fields, members, rest);
        out.push(b'{');
        let mut first = true;
        for (field, value) in fields.fields.iter().zip(values) {
            let Some(value) = value.filter(|value| **value != Json::Null) else { continue };
            if !first {
                out.push(b',');
            }
            first = false;
            write_string(field.stored(), out);
            out.push(b':');
            self.path.push(Step::Key(&field.key));
            self.at(field);
            let mut part = Rest::default();
            self.item(&field.kind, None, value, &mut part, out);
            self.path.pop();
            rest.add(Step::Key(&field.key), part);
        }
        out.push(b'}');
    }
}
