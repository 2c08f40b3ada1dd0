//! Exports: a scoped list that is read page after page by one plan, its rows written as they come, without an answer
//! around them. Pages go by keys, each a statement of its own, so that no transaction stays open while a client reads.

use super::list::cursor_of;
use super::paged::{place, rows};
use super::read::{Cells as RowCells, plan};
use crate::error::{Error, Result};
use crate::format::Writer;
use crate::policy::Scoped;
use crate::query::{
    Ask, Budget, Cells, Columns, ConnectionField, List, Node, PageCursor, Plain, Plan, Query, Source,
    TableCell, write,
};
use crate::record::Signer;
use crate::shape::Scalar;
use crate::store::Store;
use crate::store::db::RowRef;

/// A list that is to be read, compiled once.
#[derive(Debug)]
pub struct Export {
    query: Scoped<Query>,
    rows: Rows,
    sources: Vec<Source>,
    /// Columns of the order among the plan's columns.
    order: Vec<usize>,
    /// Whether each row begins with its cursor.
    cursors: bool,
}

#[derive(Debug)]
enum Rows {
    Json(Plan),
    Cells(Cells),
}

/// How much of an export is read at once.
#[derive(Clone, Copy, Debug)]
pub struct ExportPage<'a> {
    /// Behind this place; none for the first page.
    pub from: Option<&'a PageCursor>,
    /// The most rows.
    pub rows_max: usize,
    /// The page ends with the row that reaches this many bytes.
    pub bytes_max: usize,
    /// The most bytes of one row.
    pub row_bytes_max: usize,
    /// Hashes masked values.
    pub signer: &'a Signer,
}

/// What was read of an export.
#[derive(Clone, Debug, Default)]
pub struct Exported {
    /// How many rows.
    pub rows: usize,
    /// Where the next page begins, when there is one.
    pub next: Option<PageCursor>,
}

impl Export {
    /// Compiles the rows of a scoped list; with `cells` they are handed on as cells, where that can be.
    ///
    /// # Errors
    /// `INTERNAL` when it is no list of nodes.
    pub fn new(query: Scoped<Query>, (cursors, cells): (bool, bool)) -> Result<Self> {
        let mut sources = Vec::new();
        let (list, nodes) = list(&query)?;
        let as_cells = cells
            .then(|| Cells::compile(nodes, query.scope().as_ref(), query.scope().extras(), &mut sources))
            .flatten();
        let rows = match as_cells {
            Some(cells) => Rows::Cells(cells),
            None => Rows::Json(plan(&query, nodes, &mut sources)),
        };
        let order = list.order.iter().map(|order| place(&mut sources, order)).collect();
        Ok(Export { query, rows, sources, order, cursors })
    }

    /// Whether its rows have [marks](crate::query::Filling) that must be filled; then it gives no cells.
    pub fn has_marks(&self) -> bool {
        match &self.rows {
            Rows::Json(plan) => plan.has_marks(),
            Rows::Cells(_) => false,
        }
    }

    /// Where the list begins.
    pub fn from(&self) -> Option<&PageCursor> {
        list(&self.query).ok().and_then(|(list, _)| list.from.as_ref())
    }

    /// The text of a place in it.
    ///
    /// # Errors
    /// As [`PageCursor::encode`].
    pub fn cursor(&self, place: &PageCursor, signer: &Signer) -> Result<String> {
        place.encode(self.query.get().collection(), signer)
    }
}

fn list(query: &Scoped<Query>) -> Result<(&List, &[Node])> {
    let Ask::List(list) = query.get().ask() else { return Err(Error::internal("an export is of a list")) };
    let nodes = list.fields.iter().find_map(|field| match &field.what {
        ConnectionField::Nodes(nodes) => Some(nodes.as_slice()),
        _ => None,
    });
    nodes.map(|nodes| (list, nodes)).ok_or_else(|| Error::internal("an export is of nodes"))
}

impl Store {
    /// Reads a page of an export and writes its rows.
    ///
    /// # Errors
    /// `TOO_COMPLEX` for a row beyond its bound, and a stale one when the shape is newer than the plan. Rows may
    /// have been written before one.
    pub async fn export(
        &self,
        export: &Export,
        page: ExportPage<'_>,
        writer: &mut (dyn Writer + Send),
        out: &mut Vec<u8>,
    ) -> Result<Exported> {
        let (list, _) = list(&export.query)?;
        let collection = export.query.get().collection();
        let mut sql = self.sql(collection);
        // One more than asked tells whether there is more; the text is one of few.
        let limit = page.rows_max.saturating_add(1).next_power_of_two();
        let select = rows(&mut sql, &export.query, (list, page.from, limit), &export.sources)?;
        let (start, mut exported) = (out.len(), Exported::default());
        let (mut last, mut ended, mut scratch) = (None, false, Vec::new());
        let mut each = |row: &RowRef<'_>| {
            if last.is_some() {
                (exported.next, ended) = (last.take(), true);
                return Err(Error::internal("the page is full"));
            }
            let cells = RowCells { row, offset: 0 };
            let row_id = || {
                let row_id = cells.int(export.sources.len())?;
                row_id.ok_or_else(|| Error::internal("a row has no number"))
            };
            let place = || cursor_of(list, &export.order, row_id()?, &cells);
            let cursor = export.cursors.then(|| export.cursor(&place()?, page.signer)).transpose()?;
            export.write(&cells, cursor.as_deref(), page, (&mut *writer, &mut scratch), out)?;
            exported.rows += 1;
            if exported.rows >= page.rows_max || out.len() - start >= page.bytes_max {
                last = Some(place()?);
            }
            Ok(())
        };
        match self.read_near(collection, &select, &sql, false, &mut each).await {
            Err(_) if ended => {}
            read => read?,
        }
        Ok(exported)
    }
}

impl Export {
    fn write(
        &self,
        row: &RowCells<'_, '_>,
        cursor: Option<&str>,
        page: ExportPage<'_>,
        (writer, scratch): (&mut (dyn Writer + Send), &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let budget = Budget::new(page.row_bytes_max);
        match (&self.rows, writer.cells()) {
            (Rows::Cells(cells), Some(table)) => {
                let (from, mut place) = (out.len(), 0);
                let mut each = |cell: TableCell<'_>| {
                    table.cell(place, cell, out);
                    place += 1;
                };
                if let Some(cursor) = cursor {
                    each(TableCell::Plain(Plain::Text(cursor), Scalar::String));
                }
                cells.write(row, page.signer, (page.row_bytes_max, scratch), &mut each)?;
                table.row_end(out);
                budget.take(out.len() - from)
            }
            (Rows::Cells(_), None) => Err(Error::internal("the format takes no cells")),
            (Rows::Json(plan), _) => {
                scratch.clear();
                if let Some(cursor) = cursor {
                    scratch.extend_from_slice(b"{\"_cursor\":");
                    write::text(cursor, scratch);
                }
                let from = scratch.len();
                plan.write(row, page.signer, &budget, scratch)?;
                if let Some(bracket) = scratch.get_mut(from).filter(|_| from > 0) {
                    // A row has always another member.
                    *bracket = b',';
                }
                writer.row(scratch, out)
            }
        }
    }
}
