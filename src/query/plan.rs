//! Read plans: how the columns of a row become the JSON of a selection. Compiled once for a selection and a
//! scope, then run for every row without looking at names again.
//!
//! [`tree`](super::tree) says the same for documents, more slowly and more plainly; a test holds the two
//! together.

use std::cell::Cell;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::columns::{Columns, numbered, plain};
use crate::query::list::{Around, Item, Member, Named, Part as ItemPart, project};
use crate::query::marks;
use crate::query::selection::{Part, record_type};
use crate::query::told::{Told, WHOLE};
use crate::query::{
    Budget, By, Cases, Cast, ColumnRef, EntryPart, Filter, Form, Mask, MetaField, Node, Plain, Rules, What,
    write,
};
use crate::record::Signer;
use crate::shape::{Enumeration, Scalar};

/// What a plan needs in one column of the statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A column.
    Column(ColumnRef),
    /// The column `rescued`.
    Rescued,
    /// The column `rest`.
    Rest,
    /// Whether this condition holds in the row.
    Condition(Filter),
}

#[derive(Debug)]
enum Op {
    Literal(Vec<u8>),
    Value {
        column: usize,
        scalar: Scalar,
    },
    Masked {
        column: usize,
        scalar: Scalar,
        mask: Mask,
    },
    /// In the type that a contract keeps.
    Cast {
        column: usize,
        cast: Cast,
        mask: Option<Mask>,
    },
    /// The name of a text, null when it has none.
    Enum {
        column: usize,
        values: Enumeration,
    },
    Id {
        column: usize,
        mask: Option<Mask>,
    },
    /// What the record in this column tells.
    Told {
        column: usize,
        member: &'static Told,
        part: u8,
    },
    /// What the relation at this place leads to, by the key in this column.
    Related {
        column: usize,
        scalar: Scalar,
        place: usize,
    },
    /// What is selected of the JSON text in a column: of a list, a map or a packed object.
    Text {
        column: usize,
        item: Item,
    },
    /// The object that follows is there, or null stands for it and this many operations are skipped.
    Object {
        presence: usize,
        skip: usize,
    },
    /// Of what follows, what begins so many operations on is for rows with this text in the column; null stands for it
    /// in others, and all of it is skipped.
    Cases {
        column: usize,
        cases: Vec<(String, usize)>,
        skip: usize,
    },
    /// So many operations are skipped.
    Skip(usize),
    /// What follows is shown in this row, or null stands for it and this many operations are skipped.
    Shown {
        condition: usize,
        skip: usize,
    },
}

/// A compiled selection.
#[derive(Debug, Default)]
pub struct Plan {
    ops: Vec<Op>,
    sources: Vec<Source>,
    /// Columns of conditions that are asked within lists, by their numbers.
    flags: Vec<usize>,
    /// Columns of discriminators that are asked within texts, by their numbers.
    texts: Vec<usize>,
}

impl Plan {
    /// Compiles a selection as `rules` let it be seen; its columns are added behind `sources`.
    pub fn compile(nodes: &[Node], rules: &dyn Rules, extras: Extras, sources: Vec<Source>) -> Self {
        let plan = Plan { sources, ..Plan::default() };
        let mut builder = Builder { plan, rules, extras, literal: Vec::new() };
        builder.object(nodes);
        builder.flush();
        builder.plan
    }

    /// The columns that the statement must have, in order.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Takes the columns over into another plan of the same statement.
    pub fn into_sources(&mut self) -> Vec<Source> {
        std::mem::take(&mut self.sources)
    }

    /// Appends one row; what is written is taken from the budget.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when it does not go far enough; `INTERNAL` when the row does not have what was asked for; one
    /// that is stale when its shape is newer than the
    /// plan's.
    pub fn write<R: Columns>(
        &self,
        row: &R,
        signer: &Signer,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let from = out.len();
        let end = from.saturating_add(budget.left());
        let mut shown = Vec::with_capacity(self.flags.len());
        for column in &self.flags {
            shown.push(row.bool(*column)? == Some(true));
        }
        let texts = self.texts.iter().map(|column| row.text(*column)).collect::<Result<Vec<_>>>()?;
        let mut at = 0;
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match op {
                Op::Literal(bytes) => out.extend_from_slice(bytes),
                Op::Value { column, scalar } => plain(row, *column, *scalar)?.write(*scalar, out),
                Op::Masked { column, scalar, mask } => {
                    mask.apply(plain(row, *column, *scalar)?, *scalar, signer, out);
                }
                Op::Cast { column, cast, mask } => {
                    let fits = cast.write(plain(row, *column, cast.from)?, (mask.as_ref(), signer), out);
                    cast.must(fits)?;
                }
                Op::Enum { column, values } => {
                    plain(row, *column, Scalar::String)?.named(values).write(Scalar::String, out);
                }
                Op::Id { column, mask } => {
                    let mut buffer = Uuid::encode_buffer();
                    let id = row.uuid(*column)?;
                    let id = id.map(|id| &*id.hyphenated().encode_lower(&mut buffer));
                    let plain = id.map_or(Plain::Null, Plain::Text);
                    match mask {
                        Some(mask) => mask.apply(plain, Scalar::Uuid, signer, out),
                        None => plain.write(Scalar::Uuid, out),
                    }
                }
                Op::Told { column, member, part } => match row.uuid(*column)? {
                    Some(record) => marks::told(member, *part, record, out),
                    None => out.extend_from_slice(b"null"),
                },
                Op::Related { column, scalar, place } => {
                    marks::related(*place, plain(row, *column, *scalar)?, out)?;
                }
                Op::Text { column, item } => {
                    let misfit = Cell::new(None);
                    let around = Around { shown: &shown, texts: &texts, signer, end, misfit: &misfit };
                    selected(row.text(*column)?, item, around, out)?;
                }
                Op::Cases { column, cases, skip } => {
                    let text = row.text(*column)?;
                    let case = cases.iter().find(|(value, _)| Some(value.as_str()) == text);
                    if case.is_none() {
                        out.extend_from_slice(b"null");
                    }
                    at += case.map_or(*skip, |(_, from)| *from);
                }
                Op::Skip(skip) => at += skip,
                Op::Object { presence: column, skip } | Op::Shown { condition: column, skip } => {
                    if row.bool(*column)? != Some(true) {
                        out.extend_from_slice(b"null");
                        at += skip;
                    }
                }
            }
            // One value can be large, and be asked for under many names.
            if out.len() > end {
                return Err(budget.spent());
            }
        }
        budget.take(out.len() - from)
    }
}

/// Appends what is selected of the JSON text of a column. Beyond its end nothing more is written.
fn selected(text: Option<&str>, item: &Item, around: Around<'_>, out: &mut Vec<u8>) -> Result<()> {
    let Some(text) = text else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    let written = project(text, item, around, out);
    if let Some(cast) = around.misfit.get() {
        cast.must(false)?;
    }
    if written.is_none() && out.len() <= around.end {
        return Err(Error::stale("a column holds other text than was planned"));
    }
    Ok(())
}

/// What a scope says of members that are no published fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `_rest` may be seen.
    pub rest: bool,
    /// `_record.rescued` may be seen.
    pub rescued: bool,
}

struct Builder<'a> {
    plan: Plan,
    rules: &'a dyn Rules,
    extras: Extras,
    literal: Vec<u8>,
}

impl Builder<'_> {
    fn flush(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            self.plan.ops.push(Op::Literal(literal));
        }
    }

    fn push(&mut self, op: Op) {
        self.flush();
        self.plan.ops.push(op);
    }

    /// The place of a source among the statement's columns; each stands there once.
    fn source(&mut self, source: Source) -> usize {
        let sources = &mut self.plan.sources;
        sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        })
    }

    fn column(&mut self, column: ColumnRef) -> usize {
        self.source(Source::Column(column))
    }

    fn key(&mut self, key: &str, first: bool) {
        self.literal.push(if first { b'{' } else { b',' });
        write::text(key, &mut self.literal);
        self.literal.push(b':');
    }

    fn object(&mut self, nodes: &[Node]) {
        if nodes.is_empty() {
            self.literal.push(b'{');
        }
        for (index, node) in nodes.iter().enumerate() {
            self.key(&node.key, index == 0);
            match &node.what {
                What::Typename(name) => write::text(name, &mut self.literal),
                What::Field { id, form, .. } => self.field(*id, form),
                What::Cases(cases) => self.cases(cases),
                What::Record(members) => {
                    for (index, member) in members.iter().enumerate() {
                        self.key(&member.key, index == 0);
                        self.meta(&member.what);
                    }
                    self.literal.push(b'}');
                }
                What::Rest if self.extras.rest => {
                    let column = self.source(Source::Rest);
                    self.push(Op::Value { column, scalar: Scalar::Json });
                }
                What::Rest => self.null(),
                What::Related(place, key) => {
                    let (column, scalar, place) = (self.column(key.column.clone()), key.scalar, *place);
                    self.push(Op::Related { column, scalar, place });
                }
            }
        }
        self.literal.push(b'}');
    }

    fn null(&mut self) {
        self.literal.extend_from_slice(b"null");
    }

    fn meta(&mut self, what: &MetaField) {
        match what {
            MetaField::Typename(own) => write::text(record_type(own, self.rules), &mut self.literal),
            MetaField::Column(member) => self.guarded(member.id, |builder| {
                let mask = builder.rules.mask(member.id).cloned();
                let column = builder.column(member.column.clone());
                let scalar = member.scalar;
                if member.list {
                    let form = Form::List(Box::new(Form::Scalar(scalar)));
                    let item = builder.item(&form, mask.as_ref());
                    return builder.push(Op::Text { column, item });
                }
                builder.push(match (&member.column, mask) {
                    (ColumnRef::RecordId, mask) => Op::Id { column, mask },
                    (_, None) => Op::Value { column, scalar },
                    (_, Some(mask)) => Op::Masked { column, scalar, mask },
                });
            }),
            MetaField::Told(member) => {
                self.guarded(member.id, |builder| builder.told(member, WHOLE));
            }
            // No mask can stand for an object.
            MetaField::Parts(member, _) if self.rules.mask(member.id).is_some() => self.null(),
            MetaField::Parts(member, parts) => self.guarded(member.id, |builder| {
                for (index, (key, part)) in parts.iter().enumerate() {
                    builder.key(key, index == 0);
                    match part {
                        Part::Typename(name) => write::text(name, &mut builder.literal),
                        Part::Value(place) => builder.told(member, *place),
                    }
                }
                builder.literal.push(b'}');
            }),
            MetaField::Rescued if self.extras.rescued => {
                let column = self.source(Source::Rescued);
                self.push(Op::Value { column, scalar: Scalar::Json });
            }
            MetaField::Rescued => self.null(),
        }
    }

    fn told(&mut self, member: &'static Told, part: u8) {
        let column = self.column(ColumnRef::RecordId);
        self.push(Op::Told { column, member, part });
    }

    fn field(&mut self, id: u32, form: &Form) {
        self.guarded(id, |builder| builder.shown(id, form));
    }

    /// What stands for the field with this id: null where it may not be seen.
    fn guarded(&mut self, id: u32, inner: impl FnOnce(&mut Self)) {
        if self.rules.hidden(id) {
            return self.null();
        }
        match self.rules.condition(id).cloned() {
            None => inner(self),
            Some(condition) => {
                let condition = self.source(Source::Condition(condition));
                self.skippable(|skip| Op::Shown { condition, skip }, inner);
            }
        }
    }

    /// Puts an operation before others that says how many of them are skipped.
    fn skippable(&mut self, op: impl FnOnce(usize) -> Op, inner: impl FnOnce(&mut Self)) {
        self.flush();
        let place = self.plan.ops.len();
        inner(self);
        self.flush();
        let skip = self.plan.ops.len() - place;
        self.plan.ops.insert(place, op(skip));
    }

    fn shown(&mut self, id: u32, form: &Form) {
        let mask = self.rules.mask(id).cloned();
        match (form, mask) {
            (Form::Scalar(scalar), mask) => {
                let (column, scalar) = (self.column(ColumnRef::Field(id)), *scalar);
                self.push(match mask {
                    None => Op::Value { column, scalar },
                    Some(mask) => Op::Masked { column, scalar, mask },
                });
            }
            (Form::Cast(cast), mask) => {
                let (column, cast) = (self.column(ColumnRef::Field(id)), *cast);
                self.push(Op::Cast { column, cast, mask });
            }
            (Form::Enum(values), None) => {
                let (column, values) = (self.column(ColumnRef::Field(id)), values.clone());
                self.push(Op::Enum { column, values });
            }
            // Masks are of the text.
            (Form::Enum(_), Some(mask)) => {
                let (column, scalar) = (self.column(ColumnRef::Field(id)), Scalar::String);
                self.push(Op::Masked { column, scalar, mask });
            }
            // No mask can stand for an object.
            (
                Form::Object(_) | Form::Packed(_) | Form::Map(_) | Form::Cases(_) | Form::PackedCases(_),
                Some(_),
            ) => self.null(),
            (Form::Cases(cases), None) => {
                let presence = self.column(ColumnRef::Presence(id));
                self.skippable(|skip| Op::Object { presence, skip }, |builder| builder.cases(cases));
            }
            (Form::Object(nodes), None) => {
                let presence = self.column(ColumnRef::Presence(id));
                self.skippable(|skip| Op::Object { presence, skip }, |builder| builder.object(nodes));
            }
            (form @ (Form::List(_) | Form::Packed(_) | Form::PackedCases(_) | Form::Map(_)), mask) => {
                let column = self.column(ColumnRef::Field(id));
                let item = self.item(form, mask.as_ref());
                self.push(Op::Text { column, item });
            }
        }
    }

    /// The row, or the object in columns, as the variant that it is.
    fn cases(&mut self, cases: &Cases) {
        // Within a row every discriminator has a column.
        let By::Column(field) = &cases.by else { return self.null() };
        let column = self.column(field.column.clone());
        self.flush();
        let place = self.plan.ops.len();
        self.plan.ops.push(Op::Skip(0));
        let (mut starts, mut ends) = (Vec::with_capacity(cases.nodes.len()), Vec::new());
        for (value, nodes) in &cases.nodes {
            starts.push((value.clone(), self.plan.ops.len() - place - 1));
            self.object(nodes);
            self.push(Op::Skip(0));
            ends.push(self.plan.ops.len() - 1);
        }
        let end = self.plan.ops.len();
        for at in ends {
            if let Some(op) = self.plan.ops.get_mut(at) {
                *op = Op::Skip(end - at - 1);
            }
        }
        if let Some(op) = self.plan.ops.get_mut(place) {
            *op = Op::Cases { column, cases: starts, skip: end - place - 1 };
        }
    }

    fn item(&mut self, form: &Form, mask: Option<&Mask>) -> Item {
        match (form, mask) {
            (Form::Scalar(Scalar::Int), None) => Item::Int,
            (Form::Scalar(Scalar::BigInt), None) => Item::BigInt,
            (Form::Scalar(Scalar::Float), None) => Item::Float,
            (Form::Scalar(_), None) => Item::Copy,
            (Form::Scalar(scalar), Some(mask)) => Item::Masked(*scalar, mask.clone()),
            (Form::Cast(cast), mask) => Item::Cast(*cast, mask.cloned()),
            (Form::Enum(values), None) => Item::Enum(values.clone()),
            (Form::Enum(_), Some(mask)) => Item::Masked(Scalar::String, mask.clone()),
            (
                Form::Object(_) | Form::Packed(_) | Form::Map(_) | Form::Cases(_) | Form::PackedCases(_),
                Some(_),
            ) => Item::Null,
            (Form::Cases(cases) | Form::PackedCases(cases), None) => {
                let by = match &cases.by {
                    By::Member(name) => Named::Member(name.as_bytes().to_vec()),
                    By::Column(field) => {
                        let column = self.column(field.column.clone());
                        Named::Row(numbered(&mut self.plan.texts, column))
                    }
                };
                let of = |(value, nodes): &(String, Vec<Node>)| {
                    (value.clone(), nodes.iter().map(|node| self.member(node)).collect())
                };
                Item::Cases(by, cases.nodes.iter().map(of).collect())
            }
            (Form::Object(nodes) | Form::Packed(nodes), None) => {
                Item::Object(nodes.iter().map(|node| self.member(node)).collect())
            }
            (Form::List(inner), mask) => Item::List(Box::new(self.item(inner, mask))),
            (Form::Map(entries), None) => {
                let parts = entries.parts.iter().map(|(name, part)| match part {
                    EntryPart::Typename(own) => ItemPart::typename(name, own),
                    EntryPart::Key => ItemPart::key(name),
                    EntryPart::Value(form) => ItemPart::value(name, self.item(form, None)),
                });
                Item::map(entries.keys.as_ref(), entries.first, parts.collect())
            }
        }
    }

    fn member(&mut self, node: &Node) -> Member {
        let (name, id, item) = match &node.what {
            What::Typename(name) => {
                let mut text = Vec::new();
                write::text(name, &mut text);
                (String::new(), None, Item::Text(text))
            }
            What::Field { id, name, form } if !self.rules.hidden(*id) => {
                let mask = self.rules.mask(*id).cloned();
                (name.clone(), Some(*id), self.item(form, mask.as_ref()))
            }
            What::Field { .. } | What::Cases(_) | What::Record(_) | What::Rest | What::Related(..) => {
                (String::new(), None, Item::Null)
            }
        };
        let condition = id.and_then(|id| self.rules.condition(id).cloned()).map(|condition| {
            let column = self.source(Source::Condition(condition));
            numbered(&mut self.plan.flags, column)
        });
        Member::new(&name, &node.key, item, condition)
    }
}
