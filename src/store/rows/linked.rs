//! Conditions on related rows as SQL, and conditions on images that follow relations: the store is asked, as only it
//! has the other rows. Rows are told apart by the number of their condition. Must not judge who may follow a relation.

use super::read::{OFFSET, rows_filter};
use super::sql::{Sql, column, column_of};
use super::{planned, table, versioned};
use crate::error::Result;
use crate::policy::{Doubt, Said, Scoped};
use crate::query::{ColumnRef, FieldRef, Filter, Link, Plain, Query, Source};
use crate::record::Json;
use crate::shape::{Scalar, SqlType};
use crate::store::Store;
use crate::store::db::{Dialect, RowRef, Type, Value};

/// The text of a whole number of 64 bits, as it is written: nothing else is equal to that number.
const WHOLE: &str = "'^(0|-?[1-9][0-9]{0,18})$'";

/// The most values in one statement about images.
const VALUES_MAX: usize = 8_192;

/// The first number of related rows that an order leads to: above all that conditions give.
const ORDERED: u32 = 1 << 23;
/// What is added to the number of a related row for another one of the same key that came earlier.
const EARLIER: u32 = 1 << 24;

/// The name of a related row among the tables of a statement.
pub(super) fn alias(number: u32) -> String {
    format!("r{number}")
}

impl Sql {
    /// Whether there is a related row for which this holds. Of several with the key of a relation to one row the first
    /// that came is meant, as it is where the relation is followed.
    pub(super) fn related(&mut self, link: &Link, number: u32, when: &Filter) -> Result<String> {
        self.related.insert((link.collection, link.version));
        self.within += 1;
        let rows = self.related_rows(link, number, when);
        self.within -= 1;
        Ok(format!("exists (select 1 from {})", rows?))
    }

    fn related_rows(&mut self, link: &Link, number: u32, when: &Filter) -> Result<String> {
        let (rows, condition) = (self.of_key(link, number)?, self.condition(when, false)?);
        Ok(format!("{rows} and {condition}{}", self.is_first(link, number)?))
    }

    /// A column of the row that relations to one lead to, as a value of the row; null when there is none.
    pub(super) fn beyond(&mut self, source: &Source, through: &[Link], field: &FieldRef) -> Result<String> {
        if let Some((_, text)) = self.beyond.iter().find(|(known, _)| known == source) {
            return Ok(text.clone());
        }
        self.within += 1;
        let led = self.led(through, field);
        self.within -= 1;
        let (value, rows) = led?;
        // Of several rows with the key of a relation to one the first that came is meant.
        let text = rows.into_iter().rev().fold(value, |value, (rows, row)| {
            format!("(select {value} from {rows} order by {row}.row_id limit 1)")
        });
        self.beyond.push((source.clone(), text.clone()));
        Ok(text)
    }

    /// A column of the row that relations lead to, and for each of them the rows, with the name that they have there.
    fn led(&mut self, through: &[Link], field: &FieldRef) -> Result<(String, Vec<(String, String)>)> {
        let (mut rows, mut field) = (Vec::with_capacity(through.len()), field.clone());
        let mut above = None;
        for (number, link) in (ORDERED..).zip(through) {
            self.related.insert((link.collection, link.version));
            let mut link = link.clone();
            if let Some(above) = above.replace(number) {
                link.from = link.from.of_related(above);
            }
            rows.push((self.of_key(&link, number)?, alias(number)));
        }
        if let Some(number) = above {
            field = field.of_related(number);
        }
        Ok((self.field(&field), rows))
    }

    /// The rows with the key that a relation leads by, as far as they are to be seen: what stands behind `from`.
    fn of_key(&mut self, link: &Link, number: u32) -> Result<String> {
        let (row, own) = (alias(number), self.key(link));
        let table = versioned(link.collection, link.generation, link.version);
        let key = column_of(self.dialect, &format!("{row}."), &link.to.column);
        let seen = self.seen(link, number)?;
        Ok(format!("{table} {row} where {key} = {own}{seen}"))
    }

    /// Whether a row of a relation to one is the first of its key, among those that are to be seen.
    fn is_first(&mut self, link: &Link, number: u32) -> Result<String> {
        if link.many || link.to.column == ColumnRef::Key {
            return Ok(String::new());
        }
        let (row, earlier) = (alias(number), alias(number + EARLIER));
        let table = versioned(link.collection, link.generation, link.version);
        let [key, same] =
            [&row, &earlier].map(|row| column_of(self.dialect, &format!("{row}."), &link.to.column));
        let seen = self.seen(link, number + EARLIER)?;
        Ok(format!(
            " and not exists (select 1 from {table} {earlier} where {same} = {key} \
             and {earlier}.row_id < {row}.row_id{seen})"
        ))
    }

    /// Whether the row with this number is to be seen by the one who follows the relation.
    fn seen(&mut self, link: &Link, number: u32) -> Result<String> {
        match &link.rows {
            Filter::Const(true) => Ok(String::new()),
            rows => Ok(format!(" and {}", self.condition(&rows.clone().of_related(number), false)?)),
        }
    }

    /// The value that leads to the other collection's rows, as their column has it.
    fn key(&self, link: &Link) -> String {
        let value = self.field(&link.from);
        match (link.from.scalar.sql(), link.to.scalar.sql(), self.dialect) {
            (SqlType::Int, SqlType::Text, Dialect::Sqlite) => format!("cast({value} as text)"),
            (SqlType::Int, SqlType::Text, Dialect::Postgres) => {
                format!("cast({value} as text) collate \"C\"")
            }
            // Only the one text that a number is written as is equal to it.
            (SqlType::Text, SqlType::Int, Dialect::Sqlite) => format!(
                "(case when cast(cast({value} as integer) as text) = {value} then cast({value} as integer) end)"
            ),
            (SqlType::Text, SqlType::Int, Dialect::Postgres) => format!(
                "(case when {value} ~ {WHOLE} then case when cast({value} as numeric) between {} and {} \
                 then cast({value} as bigint) end end)",
                i64::MIN,
                i64::MAX
            ),
            _ => value,
        }
    }
}

impl Store {
    /// What is to be seen of images that conditions on related rows decide about, which are taken as they are now: one
    /// statement for all of them, as far as it has room.
    ///
    /// # Errors
    /// A stale one when a shape is newer than the query.
    pub async fn judge(&self, query: &Scoped<Query>, doubts: &[Doubt]) -> Result<Vec<Said>> {
        let mut fields: Vec<FieldRef> = Vec::new();
        let mut filter = rows_filter(query);
        filter.fields(&mut |field| {
            let mut field = field.clone();
            if let ColumnRef::Narrowed(id, narrowing) = field.column {
                // The column itself, as it is since it was widened.
                field.column = ColumnRef::Field(id);
                field.scalar = if narrowing.is_float() { Scalar::Float } else { Scalar::BigInt };
            }
            let beyond =
                matches!(field.column, ColumnRef::Item(..) | ColumnRef::EntryKey(_) | ColumnRef::Of(..));
            if !beyond && fields.iter().all(|known| known.column != field.column) {
                fields.push(field);
            }
        });
        let mut said = vec![Said::Unseen; doubts.len()];
        let portion = (VALUES_MAX / (fields.len() + 3)).max(1);
        for (doubts, said) in doubts.chunks(portion).zip(said.chunks_mut(portion)) {
            self.judge_some(query, (&filter, &fields), doubts, said).await?;
        }
        Ok(said)
    }

    async fn judge_some(
        &self,
        query: &Scoped<Query>,
        (filter, fields): (&Filter, &[FieldRef]),
        doubts: &[Doubt],
        said: &mut [Said],
    ) -> Result<()> {
        let collection = query.get().collection();
        let mut sql = Sql::new(self.db.dialect(), collection);
        let names = fields.iter().map(|field| column(sql.dialect, &field.column));
        let named = ["n", "at_key", "at_rev"].map(str::to_owned).into_iter().chain(names);
        let named: Vec<String> =
            named.enumerate().map(|(place, name)| format!("column{} as {name}", place + 1)).collect();
        // The last is repeated up to a power of two: few statement texts, so that plans are reused.
        let padding = doubts.len().next_power_of_two() - doubts.len();
        let last = doubts.len().saturating_sub(1);
        let padded = doubts
            .iter()
            .enumerate()
            .chain(doubts.last().map(|doubt| (last, doubt)).into_iter().cycle().take(padding));
        let rows: Vec<String> = padded.map(|(place, doubt)| row(&mut sql, fields, place, doubt)).collect();
        let (root, condition) = (table(collection), sql.condition(filter, false)?);
        // Images stand where the collection's rows would, by its name; the rows themselves tell which are current.
        let select = format!(
            "n, (at_key is null or exists (select 1 from {} as now where now.key = {root}.at_key \
             and now.rev = {root}.at_rev)) from (select {} from (values {}) v) {root} where {condition}",
            planned(collection),
            named.join(", "),
            rows.join(","),
        );
        let mut each = |row: &RowRef<'_>| {
            let place = row.i64(OFFSET)?.and_then(|place| usize::try_from(place).ok());
            if let Some(said) = place.and_then(|place| said.get_mut(place)) {
                let current = row.bool(OFFSET + 1)?.unwrap_or_default();
                *said = if current { Said::Seen } else { Said::Superseded };
            }
            Ok(())
        };
        self.read_planned(collection, &select, &sql, false, &mut each).await
    }
}

/// An image as a row of values: its place, key and revision where it must be current, and what conditions look at.
fn row(sql: &mut Sql, fields: &[FieldRef], place: usize, doubt: &Doubt) -> String {
    let (key, revision) = doubt.current().unzip();
    let ahead = [
        (Type::Int, Value::opt_int(i64::try_from(place).ok())),
        (Type::Text, Value::opt_text(key)),
        (Type::Int, Value::opt_int(revision)),
    ];
    let cells = fields.iter().map(|field| cell(field, doubt.image()));
    let marks: Vec<String> =
        ahead.into_iter().chain(cells).map(|(ty, value)| typed(sql, ty, value)).collect();
    format!("({})", marks.join(","))
}

/// A parameter of that type, where nothing beside it tells.
fn typed(sql: &mut Sql, ty: Type, value: Value) -> String {
    let mark = sql.param(value);
    match (sql.dialect, ty) {
        (Dialect::Sqlite, _) => mark,
        (Dialect::Postgres, Type::Bool) => format!("cast({mark} as boolean)"),
        (Dialect::Postgres, Type::Int) => format!("cast({mark} as bigint)"),
        (Dialect::Postgres, Type::Float) => format!("cast({mark} as double precision)"),
        (Dialect::Postgres, Type::Uuid) => format!("cast({mark} as uuid)"),
        (Dialect::Postgres, Type::Text | Type::Bytes) => format!("cast({mark} as text) collate \"C\""),
    }
}

/// What the column of a field has of an image.
pub(super) fn cell(field: &FieldRef, image: &Json) -> (Type, Value) {
    let found = field.path.iter().try_fold(image, |value, name| value.get(name));
    let found = found.filter(|value| !matches!(value, Json::Null));
    match field.column {
        ColumnRef::Presence(_) => (Type::Bool, Value::Bool(matches!(found, Some(Json::Object(_))))),
        ColumnRef::RecordId => {
            let id = found.and_then(Json::as_str).and_then(|text| text.parse().ok());
            (Type::Uuid, Value::opt_uuid(id))
        }
        _ if field.list || field.scalar == Scalar::Json => {
            (Type::Text, Value::opt_text(found.map(Json::to_text)))
        }
        _ => {
            let ty = match field.scalar.sql() {
                SqlType::Bool => Type::Bool,
                SqlType::Int => Type::Int,
                SqlType::Float => Type::Float,
                SqlType::Text => Type::Text,
            };
            let value = match Plain::of(found, field.scalar) {
                Plain::Null => Value::Null(ty),
                Plain::Bool(value) => Value::Bool(value),
                Plain::Int(number) => Value::Int(number),
                Plain::Float(number) => Value::Float(number),
                Plain::Text(text) => text.into(),
            };
            (ty, value)
        }
    }
}
