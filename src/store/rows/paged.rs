//! The statements of pages: which rows, in which order, from where on, with what is asked beside them. Behind a cursor
//! they are read range by range, so that a page far behind costs no more than the first. Must not run them.

use std::sync::Arc;

use super::planned;
use super::read::{gate, rows_filter, select_list};
use super::sql::Sql;
use crate::error::Result;
use crate::policy::Scoped;
use crate::query::{ConnectionField, EdgeField, List, Order, PageCursor, PageInfo, Query, Source};

/// What of a page is asked beside its rows.
#[derive(Clone, Copy)]
pub(super) struct Beside {
    /// How many rows there are in all.
    pub(super) total: bool,
    /// The same, up to so many.
    pub(super) counted: Option<i64>,
    /// The position of the collection's last change.
    pub(super) position: bool,
}

impl Beside {
    pub(super) fn of(list: &List) -> Self {
        let asks = |wanted: fn(&ConnectionField) -> bool| list.fields.iter().any(|field| wanted(&field.what));
        let total = asks(|field| matches!(field, ConnectionField::TotalCount));
        let counted = list.fields.iter().find_map(|field| match &field.what {
            ConnectionField::Estimate(max, _) if !total => Some((*max).max(0)),
            _ => None,
        });
        let position = asks(|field| match field {
            ConnectionField::PageInfo(fields) => fields.iter().any(|(_, field)| *field == PageInfo::Cursor),
            _ => false,
        });
        Beside { total, counted, position }
    }

    /// The same where all are counted if any are.
    pub(super) fn exactly(self) -> Self {
        Beside { total: self.total || self.counted.is_some(), counted: None, ..self }
    }

    /// Whether rows are counted.
    pub(super) fn counts(self) -> bool {
        self.total || self.counted.is_some()
    }

    pub(super) fn is_asked(self) -> bool {
        self.counts() || self.position
    }
}

/// Whether a list shows cursors of its rows.
pub(super) fn has_cursors(list: &List) -> bool {
    let of_page =
        |(_, field): &(Arc<str>, PageInfo)| matches!(field, PageInfo::StartCursor | PageInfo::EndCursor);
    list.fields.iter().any(|field| match &field.what {
        ConnectionField::PageInfo(fields) => fields.iter().any(of_page),
        ConnectionField::Edges(fields) => fields.iter().any(|(_, field)| matches!(field, EdgeField::Cursor)),
        _ => false,
    })
}

/// Whether rows must bring their places: the columns of the order, and their number, which is null where there is only
/// what stands beside them.
pub(super) fn have_places(query: &Query, list: &List) -> bool {
    has_cursors(list) || Beside::of(list).is_asked() || query.as_of().is_some()
}

/// The place of an order's column among the statement's columns.
pub(super) fn place(sources: &mut Vec<Source>, order: &Order) -> usize {
    let source = order.source();
    sources.iter().position(|known| *known == source).unwrap_or_else(|| {
        sources.push(source);
        sources.len() - 1
    })
}

/// The statement, behind its `select`.
pub(super) fn statement(
    sql: &mut Sql,
    query: &Scoped<Query>,
    list: &List,
    sources: &[Source],
    beside: Beside,
) -> Result<String> {
    let collection = query.get().collection();
    // One more than asked tells whether there is more.
    let limit = list.limit + 1;
    let mut inner = Inner::new(sql, query, (list, list.from.as_ref(), limit), sources)?;
    if !beside.is_asked() {
        if !have_places(query.get(), list) {
            inner.columns.truncate(sources.len().max(1));
        }
        let gate = gate(sql, collection);
        return Ok(inner.select(&gate));
    }
    let Inner { columns, table, filter, .. } = &inner;
    let total = match beside {
        Beside { total: true, .. } => format!("(select count(*) from {table} where {filter})"),
        Beside { counted: Some(max), .. } => {
            let limit = max.saturating_add(1);
            format!("(select count(*) from (select 1 from {table} where {filter} limit {limit}) n)")
        }
        _ => "0".into(),
    };
    let position = if beside.position {
        format!("(select pos from collection_pos where collection_id = {})", collection.id)
    } else {
        "0".into()
    };
    let outer: Vec<String> = (0..columns.len()).map(|index| format!("q.c{index}")).collect();
    let place = |order: &Order| {
        let wanted = order.source();
        sources.iter().position(|source| *source == wanted).unwrap_or_default()
    };
    let places: Vec<String> = list.order.iter().map(|order| format!("q.c{}", place(order))).collect();
    let row_id = format!("q.c{}", sources.len());
    let outer_order = Sql::order(&list.order, list.backward, &places, &row_id);
    Ok(format!(
        "m.total, m.pos, {} from (select {total} as total, {position} as pos) m \
         left join (select {}) q on true {outer_order}",
        outer.join(", "),
        inner.select("")
    ))
}

/// The statement of a page's rows alone, behind its `select`: so many behind (or, backward, before) a place.
pub(super) fn rows(
    sql: &mut Sql,
    query: &Scoped<Query>,
    page: (&List, Option<&PageCursor>, usize),
    sources: &[Source],
) -> Result<String> {
    let inner = Inner::new(sql, query, page, sources)?;
    let gate = gate(sql, query.get().collection());
    Ok(inner.select(&gate))
}

/// From how many ranges a page behind a cursor is read one by one; more are one condition, which no index leads to.
const RANGES_MAX: usize = 5;

/// What the statement of a page's rows is made of.
struct Inner {
    table: String,
    /// The columns of the sources, and the row's number behind them.
    columns: Vec<String>,
    /// Which rows there are, on whichever page.
    filter: String,
    /// Those of the page: where they are; none when it is all of them.
    ranges: Vec<String>,
    /// The columns of the order.
    sorted: Vec<String>,
    /// Their order, and how many there are at most.
    order: String,
    /// The same of rows of the table `u`, which has the columns of the order as `o0`, `o1`, …, and the number as `r`.
    outer_order: String,
}

impl Inner {
    fn new(
        sql: &mut Sql,
        query: &Scoped<Query>,
        (list, from, limit): (&List, Option<&PageCursor>, usize),
        sources: &[Source],
    ) -> Result<Self> {
        let mut columns = select_list(sql, sources)?;
        columns.push("row_id".into());
        let mut filter = sql.rows(&rows_filter(query))?;
        if let Some(position) = query.get().as_of() {
            filter = format!("{filter} and pos <= {}", sql.param(position.into()));
        }
        let mut ranges = from.map_or(Ok(Vec::new()), |from| sql.ranges(&list.order, from, list.backward))?;
        if ranges.len() > RANGES_MAX {
            ranges = vec![format!("({})", ranges.join(" or "))];
        }
        let sorted = sql.ordered(&list.order)?;
        let order = Sql::order(&list.order, list.backward, &sorted, "row_id");
        let outer: Vec<String> = (0..sorted.len()).map(|index| format!("u.o{index}")).collect();
        let outer_order = Sql::order(&list.order, list.backward, &outer, "u.r");
        let table = planned(query.get().collection());
        let limited = |order: String| format!("{order} limit {limit}");
        let (order, outer_order) = (limited(order), limited(outer_order));
        Ok(Inner { table, columns, filter, ranges, sorted, order, outer_order })
    }

    /// The statement behind its `select`, its columns named `c0`, `c1`, …. Of several ranges so many rows are read
    /// each, in their order, as an index has them.
    fn select(&self, gate: &str) -> String {
        let named: Vec<String> =
            self.columns.iter().enumerate().map(|(index, column)| format!("{column} as c{index}")).collect();
        let (named, Inner { table, filter, order, outer_order, .. }) = (named.join(", "), self);
        if self.ranges.len() < 2 {
            let range = self.ranges.first().map_or(String::new(), |range| format!(" and {range}"));
            return format!("{named} from {table} where {filter}{range}{gate} {order}");
        }
        let sorted: String =
            self.sorted.iter().enumerate().map(|(index, column)| format!(", {column} as o{index}")).collect();
        let parts: Vec<String> = self
            .ranges
            .iter()
            .enumerate()
            .map(|(index, range)| {
                format!(
                    "select * from (select {named}{sorted}, row_id as r from {table} \
                     where {filter} and {range}{gate} {order}) u{index}"
                )
            })
            .collect();
        let outer: Vec<String> =
            (0..self.columns.len()).map(|index| format!("u.c{index} as c{index}")).collect();
        format!("{} from ({}) u {outer_order}", outer.join(", "), parts.join(" union all "))
    }
}
