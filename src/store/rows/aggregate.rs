//! Figures of groups, computed by the database over typed columns.

use super::planned;
use super::read::{Cells, OFFSET, rows_filter};
use super::sql::{Sql, column};
use crate::error::{Code, Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Aggregate, Argument, Budget, Collection, Columns, FieldRef, Figure, Function, GroupField, Plain, Query,
    plain, write,
};
use crate::shape::{Enumeration, Scalar};
use crate::store::Store;
use crate::store::db::{Dialect, RowRef, is_out_of_range};

/// How a figure is made of the columns of the statement that begin at its place.
#[derive(Clone)]
enum How {
    /// The column's value.
    Plain(Scalar),
    /// The name of the column's text.
    Enum(Enumeration),
    Count,
    /// A whole sum, as [`Writer::whole_sum`] has it.
    WholeSum(Dialect),
    /// The same divided by the column behind it.
    WholeMean(Dialect),
    /// A sum of floats, as [`Writer::float_sum`] has it.
    FloatSum,
    /// The same divided by the column behind it.
    FloatMean,
}

/// Sums of floats below this cannot overflow, however many rows there are.
const SMALL_BELOW: &str = "cast(1e288 as double precision)";
/// What greater ones are divided by, a power of two so that they lose nothing, to be as safe.
const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// A member of a group's answer: constant text, or a figure.
enum Part {
    Text(Vec<u8>),
    Figure(usize, How),
}

impl Store {
    pub(super) async fn aggregate(
        &self,
        query: &Scoped<Query>,
        aggregate: &Aggregate,
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        // PostgreSQL says when a sum passes what a float can hold: only then that is gone round, which takes longer.
        let mut plainly = self.db.dialect() == Dialect::Postgres;
        loop {
            let (from, ahead) = (out.len(), budget.ahead());
            match self.aggregated(query, (aggregate, plainly), &ahead, out).await {
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
        budget: &Budget,
        out: &mut Vec<u8>,
    ) -> Result<usize> {
        let mut sql = Sql::new(self.db.dialect(), query.get().collection());
        let groups: Vec<String> =
            aggregate.group_by.iter().map(|field| column(sql.dialect, &field.column)).collect();
        let mut columns = groups.clone();
        let mut writer = Writer {
            dialect: sql.dialect,
            plainly,
            collection: query.get().collection(),
            groups: &aggregate.group_by,
            columns: &mut columns,
            parts: Vec::new(),
        };
        writer.fields(&aggregate.fields);
        let parts = writer.parts;
        if columns.is_empty() {
            columns.push("count(*)".into());
        }
        let filter = sql.condition(&rows_filter(query), false)?;
        let collection = query.get().collection();
        let mut select = format!("{} from {} where {filter}", columns.join(", "), planned(collection));
        if !groups.is_empty() {
            let order: Vec<String> = groups.iter().map(|name| format!("{name} nulls last")).collect();
            select.push_str(&format!(" group by {} order by {}", groups.join(", "), order.join(", ")));
            select.push_str(&format!(" limit {}", aggregate.groups_max + 1));
        }
        let mut count = 0;
        out.push(b'[');
        let mut each = |row: &RowRef<'_>| {
            count += 1;
            if count > aggregate.groups_max {
                let text = format!(
                    "there are more than {} groups; narrow them by `where` or group by less",
                    aggregate.groups_max
                );
                return Err(Error::new(Code::TooComplex, text));
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
                }
            }
            budget.take(out.len() - from)
        };
        self.read_near(collection, &select, &sql, false, &mut each).await?;
        out.push(b']');
        Ok(count)
    }
}

/// Appends a figure; one that its type cannot hold is null.
fn figure(cells: &Cells<'_, '_>, place: usize, how: &How, out: &mut Vec<u8>) -> Result<()> {
    match how {
        How::Plain(scalar) => plain(cells, place, *scalar)?.write(*scalar, out),
        How::Enum(values) => plain(cells, place, Scalar::String)?.named(values).write(Scalar::String, out),
        How::Count => cells.int(place)?.map_or(Plain::Null, Plain::Int).write(Scalar::Int, out),
        How::WholeSum(dialect) => match whole_sum(cells, place, *dialect)? {
            Some(sum) => write::text(&sum.to_string(), out),
            None => Plain::Null.write(Scalar::String, out),
        },
        How::WholeMean(dialect) => {
            let (sum, count) = (whole_sum(cells, place, *dialect)?, count(cells, place + 2)?);
            #[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
            float(sum.map(|sum| sum as f64 / count), out);
        }
        How::FloatSum => float(float_sum(cells, place, 1.0)?, out),
        How::FloatMean => float(float_sum(cells, place, count(cells, place + 2)?)?, out),
    }
    Ok(())
}

fn float(value: Option<f64>, out: &mut Vec<u8>) {
    value.filter(|value| value.is_finite()).map_or(Plain::Null, Plain::Float).write(Scalar::Float, out);
}

#[expect(clippy::cast_precision_loss, reason = "a mean is a float")]
fn count(cells: &Cells<'_, '_>, place: usize) -> Result<f64> {
    Ok(cells.int(place)?.unwrap_or_default() as f64)
}

fn whole_sum(cells: &Cells<'_, '_>, place: usize, dialect: Dialect) -> Result<Option<i128>> {
    match dialect {
        Dialect::Postgres => {
            cells.text(place)?.map(|digits| digits.parse().map_err(Error::internal)).transpose()
        }
        Dialect::Sqlite => {
            let halves = cells.int(place)?.zip(cells.int(place + 1)?);
            Ok(halves.map(|(upper, lower)| (i128::from(upper) << 32) + i128::from(lower)))
        }
    }
}

/// The sum divided by `by`.
fn float_sum(cells: &Cells<'_, '_>, place: usize, by: f64) -> Result<Option<f64>> {
    let (small, large) = (cells.float(place)?, cells.float(place + 1)?);
    Ok(match large {
        None => small.map(|small| small / by),
        Some(large) => Some((small.unwrap_or_default() / SCALE + large) / by * SCALE),
    })
}

struct Writer<'a> {
    dialect: Dialect,
    /// Whether floats are just summed up.
    plainly: bool,
    collection: &'a Collection,
    groups: &'a [FieldRef],
    columns: &'a mut Vec<String>,
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

    fn figure<const N: usize>(&mut self, how: How, columns: [String; N]) {
        self.parts.push(Part::Figure(self.columns.len(), how));
        self.columns.extend(columns);
    }

    fn fields(&mut self, fields: &[(String, Figure)]) {
        for (index, (key, figure)) in fields.iter().enumerate() {
            self.text(|out| write::member(key, index == 0, out));
            match figure {
                Figure::Typename(name) => self.text(|out| write::text(name, out)),
                Figure::Count => self.figure(How::Count, ["count(*)".into()]),
                Figure::Group(fields) => self.group(fields),
                Figure::Function(function, arguments) => self.function(*function, arguments),
            }
        }
        self.text(|out| out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" }));
    }

    fn group(&mut self, fields: &[(String, GroupField)]) {
        for (index, (key, field)) in fields.iter().enumerate() {
            self.text(|out| write::member(key, index == 0, out));
            match field {
                GroupField::Typename(name) => self.text(|out| write::text(name, out)),
                GroupField::Value(place) => {
                    let how = self.groups.get(*place).map_or(How::Plain(Scalar::String), |f| self.value(f));
                    self.parts.push(Part::Figure(*place, how));
                }
                GroupField::Absent => self.text(|out| out.extend_from_slice(b"null")),
            }
        }
        self.text(|out| out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" }));
    }

    fn function(&mut self, function: Function, arguments: &[(String, Argument)]) {
        for (index, (key, argument)) in arguments.iter().enumerate() {
            self.text(|out| write::member(key, index == 0, out));
            match argument {
                Argument::Typename(name) => self.text(|out| write::text(name, out)),
                Argument::Field(field) => self.call(function, field),
            }
        }
        self.text(|out| out.extend_from_slice(if arguments.is_empty() { b"{}" } else { b"}" }));
    }

    fn call(&mut self, function: Function, field: &FieldRef) {
        let name = column(self.dialect, &field.column);
        let count = format!("count({name})");
        let dialect = self.dialect;
        match (function, field.scalar) {
            (Function::CountDistinct, _) => self.figure(How::Count, [format!("count(distinct {name})")]),
            (Function::Sum, Scalar::Float) => self.figure(How::FloatSum, self.float_sum(&name)),
            (Function::Avg, Scalar::Float) => {
                let [small, large] = self.float_sum(&name);
                self.figure(How::FloatMean, [small, large, count]);
            }
            (Function::Sum, _) => self.figure(How::WholeSum(dialect), self.whole_sum(&name)),
            (Function::Avg, _) => {
                let [upper, lower] = self.whole_sum(&name);
                self.figure(How::WholeMean(dialect), [upper, lower, count]);
            }
            (Function::Min, _) => self.figure(self.value(field), [format!("min({name})")]),
            (Function::Max, _) => self.figure(self.value(field), [format!("max({name})")]),
        }
    }

    /// How a value of the field's own is written.
    fn value(&self, field: &FieldRef) -> How {
        match self.collection.enumeration(field) {
            Some(values) => How::Enum(values.clone()),
            None => How::Plain(field.scalar),
        }
    }

    /// A sum of whole numbers, which may be longer than 64 bits: as text; on SQLite, whose sums stop there, of the
    /// upper halves, then of the lower ones.
    fn whole_sum(&self, name: &str) -> [String; 2] {
        match self.dialect {
            Dialect::Postgres => [format!("cast(sum({name}) as text)"), "null".into()],
            Dialect::Sqlite => [format!("sum({name} >> 32)"), format!("sum({name} & 4294967295)")],
        }
    }

    /// A sum of floats, which may pass what a float can hold, on the way or in the end: of the small ones, and of the
    /// scaled great ones. Also a mean is made of these: PostgreSQL's own fails on what it squares.
    fn float_sum(&self, name: &str) -> [String; 2] {
        let value = format!("cast({name} as double precision)");
        if self.plainly {
            return [format!("sum({value})"), "null".into()];
        }
        [
            format!("sum(case when abs({value}) < {SMALL_BELOW} then {value} end)"),
            format!("sum(case when abs({value}) >= {SMALL_BELOW} then {value} / {SCALE:e} end)"),
        ]
    }
}
