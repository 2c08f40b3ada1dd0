//! Pages of rows: keyset pagination both ways, with what a connection says about itself, in one statement, which
//! `paged` writes.

use std::sync::Arc;
use std::time::Instant;

use super::estimate::CountKind;
use super::paged::{Beside, has_cursors, have_places, place, statement};
use super::read::{Cells, INLINE_ROWS_MAX, OFFSET, is_indexed, plan, rows_filter};
use crate::error::{Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Budget, ChangeCursor, Collection, Columns, ConnectionField, EdgeField, Filter, List, Literal, Order,
    PageCursor, PageInfo, Plan, Query, Source, write,
};
use crate::record::Signer;
use crate::shape::Scalar;
use crate::store::Store;
use crate::store::advice::Way;
use crate::store::db::{Dialect, RowRef};

/// Rows as they are written: where each ends.
#[derive(Default)]
struct Rows {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Rows {
    fn begin(&mut self, separated: bool) {
        if separated {
            self.bytes.push(b',');
        }
    }

    fn end(&mut self, in_place: bool) {
        if !in_place {
            self.ends.push(self.bytes.len());
        }
    }

    /// Makes room for as many more like those that there are, `times` as many as now.
    fn expect(&mut self, times: usize, most: usize) {
        self.bytes.reserve(self.bytes.len().saturating_mul(times).min(most).min(EXPECTED_BYTES_MAX));
    }

    /// Appends them as a list, turned round for a page from the end.
    fn write(&self, backward: bool, out: &mut Vec<u8>) {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let mut rows: Vec<&[u8]> =
            starts.zip(&self.ends).filter_map(|(from, to)| self.bytes.get(from..*to)).collect();
        if backward {
            rows.reverse();
        }
        out.reserve(self.bytes.len() + rows.len() + 2);
        out.push(b'[');
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(row);
        }
        out.push(b']');
    }
}

/// After how many rows it is reckoned how much room the others take, and the most that is: else an answer is copied
/// over and over while it grows.
const EXPECTED_AFTER: usize = 16;
const EXPECTED_BYTES_MAX: usize = 1 << 20;

/// How one member of the connection takes the rows in.
enum Sink {
    Nodes(Plan, Rows),
    Edges(Vec<(Vec<u8>, Edge)>, Rows),
    /// Takes none.
    Other,
}

enum Edge {
    Text(Vec<u8>),
    Node(Plan),
    Cursor,
}

/// The page while it is read.
pub(super) struct Page<'a> {
    query: &'a Scoped<Query>,
    list: &'a List,
    signer: &'a Signer,
    budget: &'a Budget,
    sinks: Vec<Sink>,
    /// Whether the rows stand already where they belong, in the answer that the first member has taken over.
    in_place: bool,
    /// Columns of the order among the plan's columns; none in rows without a place.
    pub(super) order: Vec<usize>,
    /// The column of the row's number, behind all others, in rows that have a place.
    row_id: Option<usize>,
    /// Whether cursors are asked for.
    cursors: bool,
    /// How many rows it has.
    pub(super) count: usize,
    more: bool,
    first: Option<PageCursor>,
    last: Option<PageCursor>,
    pub(super) total: i64,
    /// How far that is true.
    kind: CountKind,
    pub(super) position: i64,
}

impl Store {
    pub(super) async fn list(
        &self,
        query: &Scoped<Query>,
        list: &List,
        signer: &Signer,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        if let Some(position) = query.get().as_of() {
            let page = Box::pin(self.page_as_of(query, list, position, (signer, budget))).await?;
            page.write(out)?;
            return Ok(page.count);
        }
        let (mut page, sources) = Page::new(query, list, signer, budget);
        let mut sql = self.sql(query.get().collection());
        let beside = Beside::of(list);
        let select = statement(&mut sql, query, list, &sources, beside)?;
        let told = beside.is_asked();
        page.take_over(out);
        let mut each = |row: &RowRef<'_>| {
            if told {
                page.total = row.i64(OFFSET)?.unwrap_or_default();
                page.position = row.i64(OFFSET + 1)?.unwrap_or_default();
            }
            page.row(&Cells { row, offset: if told { OFFSET + 2 } else { 0 } })
        };
        let filter = rows_filter(query);
        let id = query.get().collection().id;
        let led = list.from.is_none() && self.watch.leads(id, &filter, &list.order);
        let indexed = is_indexed(&filter) || led || (filter == Filter::Const(true) && list.order.is_empty());
        let inline = list.limit <= INLINE_ROWS_MAX && !beside.counts() && indexed;
        let (begun, begins) = (Instant::now(), self.db.dialect() == Dialect::Postgres);
        let read = self.read_near(query.get().collection(), &select, &sql, inline, &mut each).await;
        page.give_back(out);
        read?;
        if let Some(max) = beside.counted.filter(|max| page.total > *max) {
            (page.total, page.kind) = match self.estimate(query).await? {
                Some(about) => (about.max(page.total), CountKind::Estimate),
                None => (max, CountKind::AtLeast),
            };
        }
        let way = || Way::of(&filter, &list.order, begins);
        self.watch.note((id, &select), (begun, page.count), way);
        page.write(out)?;
        Ok(page.count)
    }
}

fn sink(query: &Scoped<Query>, field: &ConnectionField, sources: &mut Vec<Source>) -> Sink {
    match field {
        ConnectionField::Nodes(nodes) => Sink::Nodes(plan(query, nodes, sources), Rows::default()),
        ConnectionField::Edges(fields) => {
            let mut edges = Vec::with_capacity(fields.len());
            for (index, (key, field)) in fields.iter().enumerate() {
                let mut head = Vec::new();
                write::member(key, index == 0, &mut head);
                edges.push((
                    head,
                    match field {
                        EdgeField::Typename(name) => {
                            let mut text = Vec::new();
                            write::text(name, &mut text);
                            Edge::Text(text)
                        }
                        EdgeField::Node(nodes) => Edge::Node(plan(query, nodes, sources)),
                        EdgeField::Cursor => Edge::Cursor,
                    },
                ));
            }
            Sink::Edges(edges, Rows::default())
        }
        ConnectionField::Typename(_)
        | ConnectionField::PageInfo(_)
        | ConnectionField::TotalCount
        | ConnectionField::Estimate(..) => Sink::Other,
    }
}

impl<'a> Page<'a> {
    /// An empty page, and the columns that it takes; where rows [have places](have_places) their number must follow
    /// them.
    pub(super) fn new(
        query: &'a Scoped<Query>,
        list: &'a List,
        signer: &'a Signer,
        budget: &'a Budget,
    ) -> (Self, Vec<Source>) {
        let mut sources = Vec::new();
        let sinks = list.fields.iter().map(|field| sink(query, &field.what, &mut sources)).collect();
        let places = have_places(query.get(), list);
        let sorted = list.order.iter().filter(|_| places);
        let order = sorted.map(|order| place(&mut sources, order)).collect();
        let page = Page {
            query,
            list,
            signer,
            budget,
            sinks,
            in_place: false,
            order,
            row_id: places.then_some(sources.len()),
            cursors: has_cursors(list),
            count: 0,
            more: false,
            first: None,
            last: None,
            total: 0,
            kind: CountKind::Exact,
            position: 0,
        };
        (page, sources)
    }

    /// Has the rows written where they belong, behind what `out` has, so that they are not copied: where they come in
    /// their order and the first member is the only one that has them.
    fn take_over(&mut self, out: &mut Vec<u8>) {
        let Some(((first, others), field)) = self.sinks.split_first_mut().zip(self.list.fields.first())
        else {
            return;
        };
        if let Sink::Nodes(_, rows) | Sink::Edges(_, rows) = first
            && others.iter().all(|sink| matches!(sink, Sink::Other))
            && !self.list.backward
        {
            write::member(&field.key, true, out);
            out.push(b'[');
            rows.bytes = std::mem::take(out);
            self.in_place = true;
        }
    }

    /// Gives the answer back, with the rows that it has been given.
    fn give_back(&mut self, out: &mut Vec<u8>) {
        if let (true, Some(Sink::Nodes(_, rows) | Sink::Edges(_, rows))) =
            (self.in_place, self.sinks.first_mut())
        {
            *out = std::mem::take(&mut rows.bytes);
        }
    }

    /// Forgets its rows, to be another page of the same kind.
    pub(super) fn clear(&mut self) {
        (self.count, self.more, self.total) = (0, false, 0);
        (self.first, self.last) = (None, None);
        for sink in &mut self.sinks {
            match sink {
                Sink::Nodes(_, rows) | Sink::Edges(_, rows) => *rows = Rows::default(),
                Sink::Other => {}
            }
        }
    }

    pub(super) fn row<R: Columns>(&mut self, cells: &R) -> Result<()> {
        // Without rows the figures still come, with nulls beside them.
        let row_id = self.row_id.map(|place| cells.int(place)).transpose()?;
        if row_id == Some(None) {
            return Ok(());
        }
        let row_id = row_id.flatten().unwrap_or_default();
        if self.count == self.list.limit {
            self.more = true;
            return Ok(());
        }
        self.count += 1;
        let (mut cursor, in_place, separated) = (None, self.in_place, self.in_place && self.count > 1);
        let times = if self.count == EXPECTED_AFTER + 1 { self.list.limit / EXPECTED_AFTER } else { 0 };
        for sink in &mut self.sinks {
            if let (Sink::Nodes(_, rows) | Sink::Edges(_, rows), 1..) = (&mut *sink, times) {
                rows.expect(times, self.budget.left());
            }
            match sink {
                Sink::Nodes(plan, rows) => {
                    rows.begin(separated);
                    plan.write(cells, self.signer, self.budget, &mut rows.bytes)?;
                    rows.end(in_place);
                }
                Sink::Edges(fields, rows) => {
                    rows.begin(separated);
                    for (head, field) in fields.iter() {
                        rows.bytes.extend_from_slice(head);
                        match field {
                            Edge::Text(text) => rows.bytes.extend_from_slice(text),
                            Edge::Node(plan) => {
                                plan.write(cells, self.signer, self.budget, &mut rows.bytes)?
                            }
                            Edge::Cursor => {
                                let made = cursor_of(self.list, &self.order, row_id, cells)?;
                                let text = made.encode(self.query.get().collection(), self.signer)?;
                                write::text(&text, &mut rows.bytes);
                                self.budget.take(text.len())?;
                                cursor = Some(made);
                            }
                        }
                    }
                    rows.bytes.push(b'}');
                    rows.end(in_place);
                }
                Sink::Other => {}
            }
        }
        let cursor = match cursor {
            _ if !self.cursors => return Ok(()),
            Some(cursor) => cursor,
            None => cursor_of(self.list, &self.order, row_id, cells)?,
        };
        if self.first.is_none() {
            self.first = Some(cursor.clone());
        }
        self.last = Some(cursor);
        Ok(())
    }

    /// Appends the first row of its first member, which has rows.
    pub(super) fn write_first(&self, out: &mut Vec<u8>) {
        if let Some(Sink::Nodes(_, rows)) = self.sinks.first() {
            let end = rows.ends.first().copied().unwrap_or_default();
            out.extend_from_slice(rows.bytes.get(..end).unwrap_or_default());
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let backward = self.list.backward;
        for (index, (field, sink)) in self.list.fields.iter().zip(&self.sinks).enumerate() {
            if index == 0 && self.in_place {
                out.push(b']');
                continue;
            }
            write::member(&field.key, index == 0, out);
            match (&field.what, sink) {
                (_, Sink::Nodes(_, rows) | Sink::Edges(_, rows)) => rows.write(backward, out),
                (ConnectionField::Typename(name), _) => write::text(name, out),
                (ConnectionField::TotalCount, _) => write::int(self.total, out),
                (ConnectionField::Estimate(_, fields), _) => self.kind.write(self.total, fields, out),
                (ConnectionField::PageInfo(fields), _) => self.page_info(fields, out)?,
                _ => out.extend_from_slice(b"null"),
            }
        }
        if self.list.fields.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }

    fn page_info(&self, fields: &[(Arc<str>, PageInfo)], out: &mut Vec<u8>) -> Result<()> {
        let collection: &Collection = self.query.get().collection();
        let from = self.list.from.is_some();
        let (start, end) =
            if self.list.backward { (&self.last, &self.first) } else { (&self.first, &self.last) };
        let cursor = |cursor: &Option<PageCursor>, out: &mut Vec<u8>| -> Result<()> {
            match cursor {
                Some(cursor) => write::text(&cursor.encode(collection, self.signer)?, out),
                None => out.extend_from_slice(b"null"),
            }
            Ok(())
        };
        for (index, (key, field)) in fields.iter().enumerate() {
            write::member(key, index == 0, out);
            match field {
                PageInfo::Typename => write::text("PageInfo", out),
                PageInfo::HasNextPage => write::bool(if self.list.backward { from } else { self.more }, out),
                PageInfo::HasPreviousPage => {
                    write::bool(if self.list.backward { self.more } else { from }, out)
                }
                PageInfo::StartCursor => cursor(start, out)?,
                PageInfo::EndCursor => cursor(end, out)?,
                PageInfo::Cursor => {
                    let rows = self.query.scope().rows().fingerprint();
                    let cursor = ChangeCursor { position: self.position, rows };
                    write::text(&cursor.encode(collection, self.signer), out);
                }
            }
        }
        if fields.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
        Ok(())
    }
}

pub(super) fn cursor_of<R: Columns>(
    list: &List,
    places: &[usize],
    row_id: i64,
    cells: &R,
) -> Result<PageCursor> {
    let values = list.order.iter().zip(places).map(|(order, place)| literal(order, cells, *place));
    Ok(PageCursor { order: list.fingerprint, values: values.collect::<Result<_>>()?, row_id })
}

/// What a row has of a column of the order.
pub(super) fn literal<R: Columns>(order: &Order, cells: &R, place: usize) -> Result<Option<Literal>> {
    if order.field.column == crate::query::ColumnRef::RecordId {
        return Ok(cells.uuid(place)?.map(|id| Literal::Text(id.to_string())));
    }
    Ok(match order.field.scalar {
        Scalar::Boolean => cells.bool(place)?.map(Literal::Bool),
        Scalar::Int | Scalar::BigInt => cells.int(place)?.map(Literal::Int),
        Scalar::Float => cells.float(place)?.map(Literal::Float),
        Scalar::Json => return Err(Error::internal("JSON has no order")),
        _ => cells.text(place)?.map(|text| Literal::Text(text.to_owned())),
    })
}
