//! Figures of groups, computed by the database over typed columns: one statement counts and adds, makes the figures of
//! that, and chooses among the groups. So what is shown, compared and ordered by is one value, and the next page goes
//! on where the last one ended.

use std::sync::Arc;
use std::time::Instant;

use super::planned;
use super::read::{Cells, OFFSET, rows_filter};
use super::sql::Sql;
use crate::error::{Code, Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Aggregate, Argument, Budget, Collection, Columns, FieldRef, Figure, GroupField, Measure, Order,
    PageCursor, Plain, Query, plain, whole_sum_of, write,
};
use crate::record::Signer;
use crate::shape::{Enumeration, Scalar};
use crate::store::Store;
use crate::store::advice::Way;
use crate::store::db::{Dialect, RowRef, is_out_of_range};

/// How a figure is made of its column.
enum How {
    /// The column's value.
    Plain(Scalar),
    /// The name of the column's text.
    Enum(Enumeration),
    /// A number of rows or values, of whatever size.
    Count,
    /// A whole sum, as [`whole_sum`](crate::query::whole_sum) has it.
    WholeSum,
}

/// A member of a group's answer: constant text, a figure of a column, or where the next page begins.
enum Part {
    Text(Vec<u8>),
    Figure(usize, How),
    Cursor,
}

impl Store {
    pub(super) async fn aggregate(
        &self,
        query: &Scoped<Query>,
        aggregate: &Aggregate,
        signer: &Signer,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        // PostgreSQL says when a sum passes what a float can hold: only then that is gone round, which takes longer.
        // Pages all add in that way, as their cursors are compared with the sums of others.
        let one = !aggregate.paged && aggregate.from.is_none();
        let mut plainly = self.db.dialect() == Dialect::Postgres && one;
        loop {
            let (from, ahead) = (out.len(), budget.ahead());
            match self.aggregated(query, (aggregate, plainly), (signer, &ahead), out).await {
                Err(error) if plainly && is_out_of_range(&error) => out.truncate(from),
                Err(error) => return Err(error),
                Ok(count) => return budget.take(out.len() - from).map(|()| count),
            }
            plainly = false;
        }
    }

    async fn aggregated(
        &self,
        query: &Scoped<Query>,
        (aggregate, plainly): (&Aggregate, bool),
        (signer, budget): (&Signer, &Budget),
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let collection = query.get().collection();
        let mut sql = self.sql(collection);
        let select = statement(&mut sql, query, aggregate, plainly)?;
        let mut writer = Writer { collection, aggregate, parts: Vec::new() };
        writer.fields(&aggregate.fields);
        let parts = writer.parts;
        let mut count = 0;
        out.push(b'[');
        let mut each = |row: &RowRef<'_>| {
            count += 1;
            if count > aggregate.limit {
                return Err(too_many(aggregate.limit));
            }
            if count > 1 {
                out.push(b',');
            }
            let cells = Cells { row, offset: OFFSET };
            let from = out.len();
            for part in &parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text),
                    Part::Figure(place, how) => figure(&cells, *place, how, out)?,
                    Part::Cursor => {
                        let cursor = cursor(aggregate, &cells)?;
                        write::text(&cursor.encode(collection, signer)?, out);
                    }
                }
            }
            budget.take(out.len() - from)
        };
        let begun = Instant::now();
        self.read_near(collection, &select, &sql, false, &mut each).await?;
        // How many rows lie between bounds, or have words, is not told by how many groups there are.
        let way = || {
            let way = Way::of(&rows_filter(query), &[], false).filter(|way| !way.equal.is_empty());
            way.map(|way| Way { words: None, ..way })
        };
        self.watch.note((collection.id, &select), (begun, count), way);
        out.push(b']');
        Ok(count)
    }
}

fn too_many(max: usize) -> Error {
    let text = format!(
        "there are more than {max} groups; narrow them by `where` or `having`, group by less, or ask for pages by \
         `first` and `after`"
    );
    Error::new(Code::TooComplex, text)
}

/// The statement, behind its `select`: the columns `g0`, `g1`, … of the groups.
fn statement(sql: &mut Sql, query: &Scoped<Query>, aggregate: &Aggregate, plainly: bool) -> Result<String> {
    let Aggregate { group_by, measures, order, .. } = aggregate;
    let mut counted: Vec<String> = group_by.iter().map(|key| sql.group_key(key)).collect();
    let mut told: Vec<String> = (0..group_by.len()).map(|place| format!("a{place}")).collect();
    for measure in measures {
        told.push(sql.measure(measure, plainly, &mut counted));
    }
    if counted.is_empty() {
        counted.push("count(*)".into());
    }
    let filter = sql.rows(&rows_filter(query))?;
    let counted: Vec<String> =
        counted.iter().enumerate().map(|(place, column)| format!("{column} as a{place}")).collect();
    let mut groups =
        format!("select {} from {} where {filter}", counted.join(", "), planned(query.get().collection()));
    if !group_by.is_empty() {
        let places: Vec<String> = (1..=group_by.len()).map(|place| place.to_string()).collect();
        groups.push_str(&format!(" group by {}", places.join(", ")));
    }
    // The order names all that groups differ by: of the number that decides between equal rows they all have one.
    let mut shown: Vec<String> =
        told.iter().enumerate().map(|(place, column)| format!("{column} as g{place}")).collect();
    shown.push("0 as row_id".into());
    let mut select = format!("* from (select {} from ({groups}) a) g", shown.join(", "));
    select.push_str(&format!(" where {}", sql.condition(&aggregate.having, false)?));
    if let Some(from) = &aggregate.from {
        select.push_str(&format!(" and {}", sql.keyset(order, from, false)?));
    }
    let columns = sql.ordered(order)?;
    select.push_str(&format!(" {}", Sql::order(order, false, &columns, "row_id")));
    select.push_str(&format!(" limit {}", aggregate.limit + usize::from(!aggregate.paged)));
    Ok(select)
}

/// Appends a figure; one that its type cannot hold is null.
fn figure(cells: &Cells<'_, '_>, place: usize, how: &How, out: &mut Vec<u8>) -> Result<()> {
    match how {
        How::Plain(Scalar::Float) => {
            let value = cells.float(place)?.filter(|value| value.is_finite());
            value.map_or(Plain::Null, Plain::Float).write(Scalar::Float, out);
        }
        How::Plain(scalar) => plain(cells, place, *scalar)?.write(*scalar, out),
        How::Enum(values) => plain(cells, place, Scalar::String)?.named(values).write(Scalar::String, out),
        How::Count => cells.int(place)?.map_or(Plain::Null, Plain::Int).write(Scalar::Int, out),
        How::WholeSum => match cells.text(place)?.map(whole_sum_of) {
            Some(Some(sum)) => write::text(&sum.to_string(), out),
            Some(None) => return Err(Error::internal("a sum is not of its form")),
            None => Plain::Null.write(Scalar::String, out),
        },
    }
    Ok(())
}

fn cursor(aggregate: &Aggregate, cells: &Cells<'_, '_>) -> Result<PageCursor> {
    let place = |order: &Order| match order.field.column {
        crate::query::ColumnRef::Grouped(place) => Ok(place),
        _ => Err(Error::internal("groups are ordered by their own columns")),
    };
    let values = aggregate.order.iter().map(|order| super::list::literal(order, cells, place(order)?));
    Ok(PageCursor { order: aggregate.fingerprint, values: values.collect::<Result<_>>()?, row_id: 0 })
}

struct Writer<'a> {
    collection: &'a Collection,
    aggregate: &'a Aggregate,
    parts: Vec<Part>,
}

impl Writer<'_> {
    fn text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Part::Text(text)) = self.parts.last_mut() {
            return write(text);
        }
        let mut text = Vec::new();
        write(&mut text);
        self.parts.push(Part::Text(text));
    }

    /// Writes an object, each of its members by `each`.
    fn object<T>(&mut self, members: &[(Arc<str>, T)], each: &mut dyn FnMut(&mut Self, &T)) {
        for (index, (key, member)) in members.iter().enumerate() {
            self.text(|out| write::member(key, index == 0, out));
            each(self, member);
        }
        self.text(|out| out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" }));
    }

    fn fields(&mut self, fields: &[(Arc<str>, Figure)]) {
        self.object(fields, &mut |writer, figure| match figure {
            Figure::Typename(name) => writer.text(|out| write::text(name, out)),
            Figure::Cursor => writer.parts.push(Part::Cursor),
            Figure::Measure(place) => writer.measure(*place),
            Figure::Group(fields) => writer.object(fields, &mut |writer, field| match field {
                GroupField::Typename(name) => writer.text(|out| write::text(name, out)),
                GroupField::Value(place) => writer.key(*place),
                GroupField::Absent => writer.text(|out| out.extend_from_slice(b"null")),
            }),
            Figure::Function(arguments) => writer.object(arguments, &mut |writer, argument| match argument {
                Argument::Typename(name) => writer.text(|out| write::text(name, out)),
                Argument::Measure(place) => writer.measure(*place),
            }),
        });
    }

    fn key(&mut self, place: usize) {
        let key = self.aggregate.group_by.get(place);
        let how = key.map_or(How::Plain(Scalar::String), |key| self.value(&key.field));
        self.parts.push(Part::Figure(place, how));
    }

    fn measure(&mut self, place: usize) {
        use crate::query::Function::{CountDistinct, Max, Min, Sum};
        let how = match self.aggregate.measures.get(place) {
            Some(Measure::Of(Sum, field)) if field.scalar != Scalar::Float => How::WholeSum,
            Some(Measure::Of(Min | Max, field)) => self.value(field),
            Some(Measure::Count | Measure::Of(CountDistinct, _)) => How::Count,
            Some(measure) => How::Plain(measure.scalar()),
            None => How::Plain(Scalar::String),
        };
        self.parts.push(Part::Figure(self.aggregate.group_by.len() + place, how));
    }

    /// How a value of the field's own is written.
    fn value(&self, field: &FieldRef) -> How {
        match self.collection.enumeration(field) {
            Some(values) => How::Enum(values.clone()),
            None => How::Plain(field.scalar),
        }
    }
}
