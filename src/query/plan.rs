//! Read plans: how the columns of a row become the JSON of a selection. Compiled once for a selection and a
//! scope, then run for every row without looking at names again.
//!
//! [`tree`](super::tree) says the same for documents, more slowly and more plainly; a test holds the two
//! together.

mod build;
mod cells;

use std::cell::Cell;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::query::columns::{Columns, plain};
use crate::query::list::{Around, Item, project};
use crate::query::marks;
use crate::query::told::Told;
use crate::query::{Budget, Cast, ColumnRef, FieldRef, Filter, Link, Mask, Node, Plain, Rules};
use crate::record::Signer;
use crate::shape::{Enumeration, Scalar};
use build::Builder;
pub use cells::{Cell as TableCell, Cells};

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
    /// A column of the row that these relations lead to.
    Beyond(Vec<Link>, FieldRef),
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

    /// Whether rows that it writes may have marks.
    pub fn has_marks(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Told { .. } | Op::Related { .. }))
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
        let values = Values::of(row, (&self.flags, &self.texts), signer, end)?;
        let mut at = 0;
        while let Some(op) = self.ops.get(at) {
            at += 1;
            match op {
                Op::Literal(bytes) => out.extend_from_slice(bytes),
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
                value => values.write(value, out)?,
            }
            // One value can be large, and be asked for under many names.
            if out.len() > end {
                return Err(budget.spent());
            }
        }
        budget.take(out.len() - from)
    }
}

/// The values of one row, which are written one by one.
struct Values<'a, R> {
    row: &'a R,
    /// Which of the row's conditions hold.
    shown: Vec<bool>,
    /// The row's texts that say which variants there are.
    texts: Vec<Option<&'a str>>,
    signer: &'a Signer,
    /// How long the output may become.
    end: usize,
}

impl<'a, R: Columns> Values<'a, R> {
    fn of(row: &'a R, (flags, texts): (&[usize], &[usize]), signer: &'a Signer, end: usize) -> Result<Self> {
        let mut shown = Vec::with_capacity(flags.len());
        for column in flags {
            shown.push(row.bool(*column)? == Some(true));
        }
        let texts = texts.iter().map(|column| row.text(*column)).collect::<Result<Vec<_>>>()?;
        Ok(Values { row, shown, texts, signer, end })
    }

    /// Appends the JSON of a value; of what is no value, nothing.
    #[inline]
    fn write(&self, value: &Op, out: &mut Vec<u8>) -> Result<()> {
        match value {
            Op::Value { column, scalar } => plain(self.row, *column, *scalar)?.write(*scalar, out),
            Op::Masked { column, scalar, mask } => {
                mask.apply(plain(self.row, *column, *scalar)?, *scalar, self.signer, out);
            }
            Op::Cast { column, cast, mask } => {
                let fits =
                    cast.write(plain(self.row, *column, cast.from)?, (mask.as_ref(), self.signer), out);
                cast.must(fits)?;
            }
            Op::Enum { column, values } => {
                plain(self.row, *column, Scalar::String)?.named(values).write(Scalar::String, out);
            }
            Op::Id { column, mask } => {
                let mut buffer = Uuid::encode_buffer();
                let id = self.row.uuid(*column)?;
                let id = id.map(|id| &*id.hyphenated().encode_lower(&mut buffer));
                let plain = id.map_or(Plain::Null, Plain::Text);
                match mask {
                    Some(mask) => mask.apply(plain, Scalar::Uuid, self.signer, out),
                    None => plain.write(Scalar::Uuid, out),
                }
            }
            Op::Told { column, member, part } => match self.row.uuid(*column)? {
                Some(record) => marks::told(member, *part, record, out),
                None => out.extend_from_slice(b"null"),
            },
            Op::Related { column, scalar, place } => {
                marks::related(*place, plain(self.row, *column, *scalar)?, out)?;
            }
            Op::Text { column, item } => {
                let misfit = Cell::new(None);
                let around = Around {
                    shown: &self.shown,
                    texts: &self.texts,
                    signer: self.signer,
                    end: self.end,
                    misfit: &misfit,
                };
                selected(self.row.text(*column)?, item, around, out)?;
            }
            Op::Literal(_) | Op::Object { .. } | Op::Cases { .. } | Op::Skip(_) | Op::Shown { .. } => {}
        }
        Ok(())
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
