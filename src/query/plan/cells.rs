//! Rows as cells of a table: what each leaf of a selection is in a row, handed on as a typed value, so that formats of
//! tables need no JSON. Says the same as [`Plan`], and a test holds the two together.

use super::build::Builder;
use super::{Extras, Op, Plan, Source, Values};
use crate::error::Result;
use crate::query::columns::{Columns, plain};
use crate::query::{ColumnRef, Form, MetaField, Node, Plain, Rules, What};
use crate::record::{Json, Limits, Signer, parse};
use crate::shape::Scalar;

/// The value of one leaf.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// As a column has it.
    Plain(Plain<'a>, Scalar),
    /// As JSON text.
    Json(&'a [u8]),
}

const NULL: Cell<'static> = Cell::Plain(Plain::Null, Scalar::Json);

/// A compiled selection whose leaves are cells.
#[derive(Debug, Default)]
pub struct Cells {
    leaves: Vec<Leaf>,
    flags: Vec<usize>,
    texts: Vec<usize>,
}

/// One leaf, or several that one text holds.
#[derive(Debug)]
struct Leaf {
    /// Columns that must be true: the objects around it are there, and it is shown in this row.
    guards: Vec<usize>,
    what: Leaves,
}

#[derive(Debug)]
enum Leaves {
    /// So many that nobody may see.
    Nulls(usize),
    Value(Op),
    /// Members of an object that a text holds, each with its keys.
    Members(Op, Vec<Vec<String>>),
}

impl Cells {
    /// Compiles a selection as `rules` let it be seen; its columns are added to `sources`. None when it has what is no
    /// value of the row itself: what records tell, related rows, variants.
    pub fn compile(
        nodes: &[Node],
        rules: &dyn Rules,
        extras: Extras,
        sources: &mut Vec<Source>,
    ) -> Option<Self> {
        let plan = Plan { sources: sources.clone(), ..Plan::default() };
        let builder = Builder { plan, rules, extras, literal: Vec::new() };
        let mut compiler = Compiler { builder, guards: Vec::new(), leaves: Vec::new() };
        compiler.nodes(nodes)?;
        let Compiler { builder, leaves, .. } = compiler;
        let Plan { sources: all, flags, texts, .. } = builder.plan;
        *sources = all;
        Some(Cells { leaves, flags, texts })
    }

    /// Hands each cell of a row on, in their order. `scratch` is for what must become text first; one cell has at most
    /// `bytes_max` of it.
    ///
    /// # Errors
    /// As [`Plan::write`](super::Plan::write).
    pub fn write<R: Columns>(
        &self,
        row: &R,
        signer: &Signer,
        (bytes_max, scratch): (usize, &mut Vec<u8>),
        each: &mut dyn FnMut(Cell<'_>),
    ) -> Result<()> {
        let values = Values::of(row, (&self.flags, &self.texts), signer, bytes_max)?;
        for leaf in &self.leaves {
            let mut there = true;
            for guard in &leaf.guards {
                there = there && row.bool(*guard)? == Some(true);
            }
            match &leaf.what {
                Leaves::Nulls(count) => (0..*count).for_each(|_| each(NULL)),
                Leaves::Members(_, paths) if !there => paths.iter().for_each(|_| each(NULL)),
                Leaves::Value(_) if !there => each(NULL),
                Leaves::Value(Op::Value { column, scalar }) => {
                    each(Cell::Plain(plain(row, *column, *scalar)?, *scalar));
                }
                Leaves::Value(Op::Enum { column, values }) => {
                    let text = plain(row, *column, Scalar::String)?;
                    each(Cell::Plain(text.named(values), Scalar::String));
                }
                Leaves::Value(value) => {
                    scratch.clear();
                    values.write(value, scratch)?;
                    each(Cell::Json(scratch));
                }
                Leaves::Members(object, paths) => {
                    scratch.clear();
                    values.write(object, scratch)?;
                    let object = parse(scratch, Limits::ACCEPTED).unwrap_or(Json::Null);
                    for path in paths {
                        scratch.clear();
                        let value = path.iter().try_fold(&object, |value, name| value.get(name));
                        value.unwrap_or(&Json::Null).write(scratch);
                        each(Cell::Json(scratch));
                    }
                }
            }
        }
        Ok(())
    }
}

struct Compiler<'a> {
    builder: Builder<'a>,
    guards: Vec<usize>,
    leaves: Vec<Leaf>,
}

impl Compiler<'_> {
    fn nodes(&mut self, nodes: &[Node]) -> Option<()> {
        for node in nodes {
            match &node.what {
                What::Field { id, form, .. } => self.field(*id, form)?,
                What::Record(members) => {
                    for member in members {
                        match &member.what {
                            MetaField::Column(column) => {
                                self.guarded(column.id, 1, |compiler| compiler.meta(&member.what))?;
                            }
                            MetaField::Rescued => self.meta(&member.what)?,
                            MetaField::Typename(_) | MetaField::Told(_) | MetaField::Parts(..) => {
                                return None;
                            }
                        }
                    }
                }
                What::Rest => self.value(|builder| builder.rest())?,
                What::Typename(_) | What::Cases(_) | What::Related(..) => return None,
            }
        }
        Some(())
    }

    fn meta(&mut self, what: &MetaField) -> Option<()> {
        self.value(|builder| match what {
            MetaField::Column(member) => builder.column_of(member),
            other => builder.meta(other),
        })
    }

    fn field(&mut self, id: u32, form: &Form) -> Option<()> {
        let mut paths = Vec::new();
        match form {
            Form::Object(nodes) | Form::Packed(nodes) => leaves(nodes, &mut Vec::new(), &mut paths),
            _ => paths.push(Vec::new()),
        }
        let count = paths.len();
        self.guarded(id, count, |compiler| match form {
            // No mask can stand for an object.
            Form::Object(_) | Form::Packed(_) if compiler.builder.rules.mask(id).is_some() => {
                compiler.leaf(Leaves::Nulls(count));
                Some(())
            }
            Form::Object(nodes) => {
                let presence = compiler.builder.column(ColumnRef::Presence(id));
                compiler.guards.push(presence);
                compiler.nodes(nodes)?;
                compiler.guards.pop();
                Some(())
            }
            Form::Packed(_) => {
                let op = compiler.op(|builder| builder.shown(id, form))?;
                compiler.leaf(match op {
                    Some(op) => Leaves::Members(op, paths),
                    None => Leaves::Nulls(count),
                });
                Some(())
            }
            form => compiler.value(|builder| builder.shown(id, form)),
        })
    }

    /// What is below the field with this id, so many leaves, where it may be seen.
    fn guarded(&mut self, id: u32, count: usize, inner: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.builder.rules.hidden(id) {
            self.leaf(Leaves::Nulls(count));
            return Some(());
        }
        let Some(condition) = self.builder.rules.condition(id).cloned() else { return inner(self) };
        let guard = self.builder.source(Source::Condition(condition));
        self.guards.push(guard);
        inner(self)?;
        self.guards.pop();
        Some(())
    }

    fn value(&mut self, build: impl FnOnce(&mut Builder<'_>)) -> Option<()> {
        let op = self.op(build)?;
        self.leaf(op.map_or(Leaves::Nulls(1), Leaves::Value));
        Some(())
    }

    fn leaf(&mut self, what: Leaves) {
        self.leaves.push(Leaf { guards: self.guards.clone(), what });
    }

    /// The one operation that is built; `Some(None)` when that is null for everybody.
    fn op(&mut self, build: impl FnOnce(&mut Builder<'_>)) -> Option<Option<Op>> {
        build(&mut self.builder);
        let literal = std::mem::take(&mut self.builder.literal);
        let mut ops = std::mem::take(&mut self.builder.plan.ops);
        match (ops.pop(), ops.is_empty(), literal.as_slice()) {
            (Some(op), true, b"") => Some(Some(op)),
            (None, true, b"null") => Some(None),
            _ => None,
        }
    }
}

/// The keys of each leaf below an object.
fn leaves(nodes: &[Node], above: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    for node in nodes {
        above.push(node.key.to_string());
        match &node.what {
            What::Field { form: Form::Object(below) | Form::Packed(below), .. } => {
                leaves(below, above, paths)
            }
            _ => paths.push(above.clone()),
        }
        above.pop();
    }
}
