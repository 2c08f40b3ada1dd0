//! Rows as they were at a position: those that have not changed since, and those that changes since then have before
//! images of. The first are asked for, in the order and from the place that a page wants; the others are opened by the
//! scope and put between them. Both are of the position that the statement has found to be the last, so that nothing is
//! missed or doubled while others write.

use std::cmp::Ordering;
use std::sync::Arc;

use super::linked::cell;
use super::list::{Page, literal};
use super::paged::{Beside, statement};
use super::read::{Cells, OFFSET, several};
use super::sql::Sql;
use crate::error::{Code, Error, Result};
use crate::policy::{Scoped, Sealed};
use crate::query::{
    Budget, Change, Collection, ColumnRef, Connection, ConnectionField, ENVELOPE, FieldRef, List, Literal,
    Node, Order, Query, RECORD, Source, by_record, column_of,
};
use crate::record::{Json, Signer};
use crate::store::Store;
use crate::store::changes::change;
use crate::store::db::{Row, RowRef, Value};

/// A row as it was, its columns as the statement has them.
struct Past {
    row: Row,
    /// Its place in the order.
    place: Vec<Option<Literal>>,
}

impl Past {
    fn new(list: &List, places: &[usize], row: Row) -> Result<Self> {
        let values = list.order.iter().zip(places).map(|(order, place)| {
            let row = &RowRef::Copied(&row);
            literal(order, &Cells { row, offset: 0 }, *place)
        });
        let place = values.collect::<Result<_>>()?;
        Ok(Past { row, place })
    }
}

/// The first change of each row behind `$2` and up to `$3`, and how many changes that row has there. Which comes first
/// of the two must be said: SQLite would look for all first changes anew at each change.
const FIRST: &str = "with f as materialized (select min(pos) as pos, count(*) as n from change \
     where collection_id = $1 and pos > $2 and pos <= $3 group by key) \
     select c.pos, c.generation, c.key, c.rev, c.op, c.before, null, c.at, f.n \
     from f cross join change c where c.collection_id = $1 and c.pos = f.pos";

impl Store {
    /// One row as it was, by its key.
    pub(super) async fn by_key_as_of(
        &self,
        query: &Scoped<Query>,
        nodes: &[Node],
        position: i64,
        with: (&Signer, &Budget),
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let what = ConnectionField::Nodes(nodes.to_vec());
        let list = List {
            order: vec![by_record(query.get().collection())?],
            limit: 2,
            backward: false,
            from: None,
            fingerprint: 0,
            fields: vec![Connection { key: Arc::default(), what }],
        };
        let page = self.page_as_of(query, &list, position, with).await?;
        match page.count {
            0 => out.extend_from_slice(b"null"),
            1 => page.write_first(out),
            _ => return Err(several()),
        }
        Ok(page.count)
    }

    /// A page of rows as they were. The order ends with what no two rows share.
    pub(super) async fn page_as_of<'a>(
        &self,
        query: &'a Scoped<Query>,
        list: &'a List,
        position: i64,
        (signer, budget): (&'a Signer, &'a Budget),
    ) -> Result<Page<'a>> {
        let collection = query.get().collection();
        let mut sought = list.clone();
        if let Some(from) = &mut sought.from {
            // The order alone tells rows apart: no number is behind the cursor's.
            from.row_id = if list.backward { i64::MIN } else { i64::MAX };
        }
        let (mut page, sources) = Page::new(query, list, signer, budget);
        let mut sql = Sql::new(self.db.dialect(), collection);
        let beside = Beside { position: true, ..Beside::of(list).exactly() };
        let select = statement(&mut sql, query, &sought, &sources, beside)?;
        let (mut rows, mut total, mut last) = (Vec::new(), 0, 0);
        let mut each = |row: &RowRef<'_>| {
            total = row.i64(OFFSET)?.unwrap_or_default();
            last = row.i64(OFFSET + 1)?.unwrap_or_default();
            let mut row = row.to_row()?;
            row.0.drain(..OFFSET + 2);
            // Without rows the figures still come, with nulls beside them.
            if row.opt_i64(sources.len())?.is_some() {
                rows.push(row);
            }
            Ok(())
        };
        self.read_planned(collection, &select, &sql, false, &mut each).await?;
        let mut all =
            rows.into_iter().map(|row| Past::new(list, &page.order, row)).collect::<Result<Vec<_>>>()?;
        for sealed in self.undone(collection, position, last).await? {
            let Some(image) = query.before(sealed, query.get().filter()) else { continue };
            total += 1;
            let past = Past::new(list, &page.order, columns(collection, &sources, &image)?)?;
            let behind = |from: &[Option<Literal>]| ordering(list, &past.place, from) == Ordering::Greater;
            if list.from.as_ref().is_none_or(|from| behind(&from.values)) {
                all.push(past);
            }
        }
        all.sort_by(|one, other| ordering(list, &one.place, &other.place));
        for past in all.iter().take(list.limit.saturating_add(1)) {
            page.row(&Cells { row: &RowRef::Copied(&past.row), offset: 0 })?;
        }
        (page.total, page.position) = (total, position.min(last));
        Ok(page)
    }

    /// What was before the changes behind a position, up to the last: the first of each row.
    async fn undone(&self, collection: &Collection, position: i64, last: i64) -> Result<Vec<Sealed<Change>>> {
        let count = last.saturating_sub(position);
        if count <= 0 {
            return Ok(Vec::new());
        }
        let max = self.catalog.limits().as_of_changes_max;
        if count > max {
            return Err(too_old(format!(
                "the collection has changed more often since then than `consistency.as_of_changes_max`, which is {max}"
            )));
        }
        let params = [collection.id.into(), position.into(), last.into()];
        let (mut sealed, mut found, mut at) = (Vec::new(), 0, None::<(i64, i64)>);
        let mut each = |row: &RowRef<'_>| {
            let row = row.to_row()?;
            found += row.i64(8)?;
            let tailed = change(collection.id, &row)?;
            let here = (tailed.pos, row.i64(7)?);
            at = Some(at.map_or(here, |first| first.min(here)));
            if tailed.generation != collection.generation {
                return Err(too_old("the collection was built anew since then".into()));
            }
            sealed.push(tailed.change);
            Ok(())
        };
        self.db.read_large(FIRST, &params, &mut each).await?;
        if found != count {
            return Err(too_old("the changes since then are no longer kept".into()));
        }
        if let Some((_, at)) = at
            && self.retyped_at(collection).await?.is_some_and(|retyped| retyped >= at)
        {
            return Err(too_old("a field has another type since then".into()));
        }
        Ok(sealed)
    }

    /// When a field got another type at last, Unix microseconds.
    async fn retyped_at(&self, collection: &Collection) -> Result<Option<i64>> {
        let retired = collection.shape.retired.len();
        if retired == 0 {
            return Ok(None);
        }
        let sql = "select at, published from shape_version where collection_id = $1 order by version desc";
        let mut since = None;
        for row in self.db.query(sql, &[collection.id.into()]).await? {
            if crate::store::catalog::published(row.text(1)?)?.retired.len() < retired {
                break;
            }
            since = Some(row.i64(0)?);
        }
        Ok(since)
    }
}

fn too_old(why: String) -> Error {
    Error::new(Code::CursorTooOld, format!("{why}; ask as of a later cursor, or without `asOf`"))
}

/// Which of two rows comes first on the way of the list, as [`Sql::order`] has it.
fn ordering(list: &List, one: &[Option<Literal>], other: &[Option<Literal>]) -> Ordering {
    let of = |order: &Order, one: &Option<Literal>, other: &Option<Literal>| match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) if order.nulls_first => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) if order.nulls_first => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) if order.descending => compare(other, one),
        (Some(one), Some(other)) => compare(one, other),
    };
    let mut parts =
        list.order.iter().zip(one.iter().zip(other)).map(|(order, (one, other))| of(order, one, other));
    let first = parts.find(|ordering| *ordering != Ordering::Equal).unwrap_or(Ordering::Equal);
    if list.backward { first.reverse() } else { first }
}

#[allow(clippy::cast_precision_loss, reason = "both databases compare mixed numbers as floats, too")]
fn compare(one: &Literal, other: &Literal) -> Ordering {
    match (one, other) {
        (Literal::Bool(one), Literal::Bool(other)) => one.cmp(other),
        (Literal::Int(one), Literal::Int(other)) => one.cmp(other),
        (Literal::Float(one), Literal::Float(other)) => one.partial_cmp(other).unwrap_or(Ordering::Equal),
        (Literal::Int(one), Literal::Float(other)) => {
            (*one as f64).partial_cmp(other).unwrap_or(Ordering::Equal)
        }
        (Literal::Float(one), Literal::Int(other)) => {
            one.partial_cmp(&(*other as f64)).unwrap_or(Ordering::Equal)
        }
        // Bytes of UTF-8 order as code points do.
        (Literal::Text(one), Literal::Text(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}

/// An image as the columns of a statement, the row's number behind them: it has none any more.
fn columns(collection: &Collection, sources: &[Source], image: &Arc<Json>) -> Result<Row> {
    let mut values = Vec::with_capacity(sources.len() + 1);
    for source in sources {
        values.push(match source {
            Source::Column(column) => held(collection, column, image)?,
            Source::Rescued => text(image.get(RECORD).and_then(|record| record.get("rescued"))),
            Source::Rest => text(image.get("_rest")),
            Source::Condition(filter) => Value::Bool(filter.eval(image)),
            Source::Beyond(..) => return Err(Error::internal("an image has no related rows")),
        });
    }
    values.push(Value::Int(0));
    Ok(Row(values))
}

fn text(value: Option<&Json>) -> Value {
    Value::opt_text(value.filter(|value| !matches!(value, Json::Null)).map(Json::to_text))
}

fn held(collection: &Collection, column: &ColumnRef, image: &Json) -> Result<Value> {
    let unknown = || Error::internal("an image has no such column");
    let field = match column {
        ColumnRef::Field(id) | ColumnRef::Presence(id) => {
            column_of(&collection.shape, *id).ok_or_else(unknown)?
        }
        ColumnRef::Narrowed(id, narrowing) => {
            let field = column_of(&collection.shape, *id).ok_or_else(unknown)?;
            let (_, held) = cell(&field, image);
            return Ok(Value::opt_int(narrowing.number(plain_of(&held))));
        }
        ColumnRef::Item(..) | ColumnRef::EntryKey(_) | ColumnRef::Of(..) | ColumnRef::Grouped(_) => {
            return Err(unknown());
        }
        member => {
            let member = ENVELOPE.iter().find(|known| known.column == *member).ok_or_else(unknown)?;
            let path = [RECORD.to_owned(), member.name.to_owned()].into();
            FieldRef { column: member.column.clone(), scalar: member.scalar, list: member.list, path }
        }
    };
    Ok(cell(&field, image).1)
}

fn plain_of(value: &Value) -> crate::query::Plain<'_> {
    match value {
        Value::Int(number) => crate::query::Plain::Int(*number),
        Value::Float(number) => crate::query::Plain::Float(*number),
        _ => crate::query::Plain::Null,
    }
}
