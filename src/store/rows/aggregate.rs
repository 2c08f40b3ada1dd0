//! Figures of groups, computed by the database over typed columns.

use super::planned;
use super::read::{Cells, OFFSET, member, rows_filter};
use super::sql::{Sql, column};
use crate::error::{Code, Error, Result};
use crate::policy::Scoped;
use crate::query::{
    Aggregate, Argument, Columns, FieldRef, Figure, Function, GroupField, Plain, Query, write,
};
use crate::shape::Scalar;
use crate::store::Store;
use crate::store::db::{Dialect, RowRef};

/// How a column of the statement is written.
#[derive(Clone, Copy)]
enum How {
    Plain(Scalar),
    /// A whole sum, as text: it may be longer than 64 bits.
    Digits,
    /// The same where the database has no such number: the sum of the upper halves, the column behind it that of the
    /// lower ones.
    Halves,
}

/// A member of a group's answer: constant text, or a column.
enum Part {
    Text(Vec<u8>),
    Column(usize),
}

impl Store {
    pub(super) async fn aggregate(
        &self,
        query: &Scoped<Query>,
        aggregate: &Aggregate,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let mut sql = Sql::new(self.db.dialect());
        let groups: Vec<String> = aggregate.group_by.iter().map(|field| column(&field.column)).collect();
        let mut columns = groups.clone();
        let mut hows: Vec<How> = aggregate.group_by.iter().map(|field| How::Plain(field.scalar)).collect();
        let mut writer =
            Writer { dialect: sql.dialect, columns: &mut columns, hows: &mut hows, parts: Vec::new() };
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
            for part in &parts {
                match part {
                    Part::Text(text) => out.extend_from_slice(text),
                    Part::Column(index) => {
                        let how = hows.get(*index).copied().unwrap_or(How::Digits);
                        value(&cells, *index, how, out)?;
                    }
                }
            }
            Ok(())
        };
        self.read_planned(collection, &select, &sql.params, false, &mut each).await?;
        out.push(b']');
        Ok(())
    }
}

fn value(cells: &Cells<'_, '_>, index: usize, how: How, out: &mut Vec<u8>) -> Result<()> {
    let digits;
    let (value, scalar) = match how {
        How::Halves => {
            let halves = cells.int(index)?.zip(cells.int(index + 1)?);
            digits = halves.map(|(upper, lower)| ((i128::from(upper) << 32) + i128::from(lower)).to_string());
            (digits.as_deref().map_or(Plain::Null, Plain::Text), Scalar::String)
        }
        How::Digits => (cells.text(index)?.map_or(Plain::Null, Plain::Text), Scalar::String),
        How::Plain(scalar) => {
            let value = match scalar {
                Scalar::Boolean => cells.bool(index)?.map_or(Plain::Null, Plain::Bool),
                Scalar::Int | Scalar::BigInt => cells.int(index)?.map_or(Plain::Null, Plain::Int),
                Scalar::Float => cells.float(index)?.map_or(Plain::Null, Plain::Float),
                _ => cells.text(index)?.map_or(Plain::Null, Plain::Text),
            };
            (value, scalar)
        }
    };
    value.write(scalar, out);
    Ok(())
}

struct Writer<'a> {
    dialect: Dialect,
    columns: &'a mut Vec<String>,
    hows: &'a mut Vec<How>,
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

    fn column(&mut self, sql: String, how: How) {
        self.parts.push(Part::Column(self.columns.len()));
        self.columns.push(sql);
        self.hows.push(how);
    }

    fn fields(&mut self, fields: &[(String, Figure)]) {
        for (index, (key, figure)) in fields.iter().enumerate() {
            self.text(|out| member(key, index == 0, out));
            match figure {
                Figure::Typename(name) => self.text(|out| write::text(name, out)),
                Figure::Count => self.column("count(*)".into(), How::Plain(Scalar::Int)),
                Figure::Group(fields) => self.group(fields),
                Figure::Function(function, arguments) => self.function(*function, arguments),
            }
        }
        self.text(|out| out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" }));
    }

    fn group(&mut self, fields: &[(String, GroupField)]) {
        for (index, (key, field)) in fields.iter().enumerate() {
            self.text(|out| member(key, index == 0, out));
            match field {
                GroupField::Typename(name) => self.text(|out| write::text(name, out)),
                GroupField::Value(place) => self.parts.push(Part::Column(*place)),
                GroupField::Absent => self.text(|out| out.extend_from_slice(b"null")),
            }
        }
        self.text(|out| out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" }));
    }

    fn function(&mut self, function: Function, arguments: &[(String, Argument)]) {
        for (index, (key, argument)) in arguments.iter().enumerate() {
            self.text(|out| member(key, index == 0, out));
            match argument {
                Argument::Typename(name) => self.text(|out| write::text(name, out)),
                Argument::Field(field) => self.call(function, field),
            }
        }
        self.text(|out| out.extend_from_slice(if arguments.is_empty() { b"{}" } else { b"}" }));
    }

    fn call(&mut self, function: Function, field: &FieldRef) {
        let name = column(&field.column);
        let (sql, how) = match function {
            Function::CountDistinct => (format!("count(distinct {name})"), How::Plain(Scalar::Int)),
            Function::Sum if field.scalar == Scalar::Float => {
                (format!("sum(cast({name} as double precision))"), How::Plain(Scalar::Float))
            }
            Function::Sum if self.dialect == Dialect::Sqlite => {
                // Its sum of integers stops at 64 bits.
                self.column(format!("sum({name} >> 32)"), How::Halves);
                self.columns.push(format!("sum({name} & 4294967295)"));
                return self.hows.push(How::Halves);
            }
            Function::Sum => (format!("cast(sum({name}) as text)"), How::Digits),
            Function::Avg => (format!("avg(cast({name} as double precision))"), How::Plain(Scalar::Float)),
            Function::Min => (format!("min({name})"), How::Plain(field.scalar)),
            Function::Max => (format!("max({name})"), How::Plain(field.scalar)),
        };
        self.column(sql, how);
    }
}
