//! Compiling plans: operations for what is selected, as rules let it be seen. Must not see a row.

use super::{Extras, Op, Plan, Source};
use crate::query::columns::numbered;
use crate::query::list::{Item, Member as ItemMember, Named, Part as ItemPart};
use crate::query::selection::{Part, record_type};
use crate::query::told::{Told, WHOLE};
use crate::query::{
    By, Cases, ColumnRef, EntryPart, Form, Mask, Member, MetaField, Node, Rules, What, write,
};
use crate::shape::Scalar;

/// A plan that is being compiled.
pub(super) struct Builder<'a> {
    pub(super) plan: Plan,
    pub(super) rules: &'a dyn Rules,
    pub(super) extras: Extras,
    /// What is written at the next operation.
    pub(super) literal: Vec<u8>,
}

impl Builder<'_> {
    /// Writes what has been gathered of constant text.
    pub(super) fn flush(&mut self) {
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
    pub(super) fn source(&mut self, source: Source) -> usize {
        let sources = &mut self.plan.sources;
        sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            sources.push(source);
            sources.len() - 1
        })
    }

    pub(super) fn column(&mut self, column: ColumnRef) -> usize {
        self.source(Source::Column(column))
    }

    fn key(&mut self, key: &str, first: bool) {
        write::member(key, first, &mut self.literal);
    }

    /// The members of an object.
    pub(super) fn object(&mut self, nodes: &[Node]) {
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
                What::Rest => self.rest(),
                What::Related(place, key) => {
                    let (column, scalar, place) = (self.column(key.column.clone()), key.scalar, *place);
                    self.push(Op::Related { column, scalar, place });
                }
            }
        }
        self.literal.push(b'}');
    }

    /// What is not published.
    pub(super) fn rest(&mut self) {
        if !self.extras.rest {
            return self.null();
        }
        let column = self.source(Source::Rest);
        self.push(Op::Value { column, scalar: Scalar::Json });
    }

    fn null(&mut self) {
        self.literal.extend_from_slice(b"null");
    }

    pub(super) fn meta(&mut self, what: &MetaField) {
        match what {
            MetaField::Typename(own) => write::text(record_type(own, self.rules), &mut self.literal),
            MetaField::Column(member) => self.guarded(member.id, |builder| builder.column_of(member)),
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

    /// A member of `_record` that may be seen.
    pub(super) fn column_of(&mut self, member: &Member) {
        let mask = self.rules.mask(member.id).cloned();
        let column = self.column(member.column.clone());
        let scalar = member.scalar;
        if member.list {
            let form = Form::List(Box::new(Form::Scalar(scalar)));
            let item = self.item(&form, mask.as_ref());
            return self.push(Op::Text { column, item });
        }
        self.push(match (&member.column, mask) {
            (ColumnRef::RecordId, mask) => Op::Id { column, mask },
            (_, None) => Op::Value { column, scalar },
            (_, Some(mask)) => Op::Masked { column, scalar, mask },
        });
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

    pub(super) fn shown(&mut self, id: u32, form: &Form) {
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

    fn member(&mut self, node: &Node) -> ItemMember {
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
        ItemMember::new(&name, &node.key, item, condition)
    }
}
