//! Parts of values as SQL, the same on both databases: times are texts of one width in UTC, so that all units but the
//! week are cut from the text. Must not know what is counted.

use super::sql::{Sql, column};
use crate::query::{GroupKey, Part, TimeUnit};
use crate::shape::Scalar;
use crate::store::db::{Dialect, Value};

/// 2^53: below it a float tells every whole number.
const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;

impl Sql {
    /// What rows are grouped by. It must be made once, as its constants are parameters.
    pub(super) fn group_key(&mut self, key: &GroupKey) -> String {
        let value = column(self.dialect, &key.field.column);
        match key.part {
            None => value,
            Some(Part::Truncated(unit)) => {
                truncated(self.dialect, &value, unit, key.field.scalar == Scalar::DateTime)
            }
            Some(Part::Whole(width)) => {
                let least = if key.field.scalar == Scalar::Int { i64::from(i32::MIN) } else { i64::MIN };
                whole(&value, width, least)
            }
            Some(Part::Float(width)) => self.float(&value, width),
        }
    }

    fn float(&mut self, value: &str, width: f64) -> String {
        let mut param = |value: f64| format!("cast({} as double precision)", self.param(Value::Float(value)));
        let (width, most, less) = (param(width), param(width * WHOLE_BELOW), param(-width));
        let value = format!("cast({value} as double precision)");
        let times = format!("({value} / {width})");
        let floor = match self.dialect {
            Dialect::Postgres => format!("floor{times}"),
            Dialect::Sqlite => {
                let cut = format!("cast({times} as integer)");
                format!("({cut} - ({times} < {cut}))")
            }
        };
        // What is narrower than a bucket could be too small for a quotient.
        format!(
            "(case when abs({value}) < {width} then \
             (case when {value} < 0 then {less} else cast(0 as double precision) end) \
             when abs({value}) < {most} then {floor} * {width} else {value} end)"
        )
    }
}

fn whole(value: &str, width: i64, least: i64) -> String {
    let value = format!("cast({value} as bigint)");
    let least = format!("cast('{least}' as bigint)");
    let above = format!("((({value} % {width}) + {width}) % {width})");
    format!("(case when {value} < {least} + {above} then {least} else {value} - {above} end)")
}

fn truncated(dialect: Dialect, value: &str, unit: TimeUnit, timed: bool) -> String {
    let midnight = if timed { "T00:00:00.000000Z" } else { "" };
    let cut = |length: usize, rest: &str| format!("(substr({value}, 1, {length}) || '{rest}')");
    match unit {
        TimeUnit::Year => cut(4, &format!("-01-01{midnight}")),
        TimeUnit::Month => cut(7, &format!("-01{midnight}")),
        TimeUnit::Day if timed => cut(10, midnight),
        TimeUnit::Day => value.to_owned(),
        TimeUnit::Hour => cut(13, ":00:00.000000Z"),
        TimeUnit::Minute => cut(16, ":00.000000Z"),
        TimeUnit::Quarter => {
            let month = format!("substr({value}, 6, 2)");
            format!(
                "(substr({value}, 1, 5) || case when {month} < '04' then '01' when {month} < '07' then '04' \
                 when {month} < '10' then '07' else '10' end || '-01{midnight}')"
            )
        }
        TimeUnit::Week => format!("({} || '{midnight}')", monday(dialect, value)),
    }
}

/// The last Monday up to a day; the first day that there is, 1 January of the year 1, is one.
fn monday(dialect: Dialect, value: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("date(substr({value}, 1, 10), '-6 days', 'weekday 1')"),
        Dialect::Postgres => {
            let number = |from: u8, length: u8| format!("cast(substr({value}, {from}, {length}) as integer)");
            let day = format!("make_date({}, {}, {})", number(1, 4), number(6, 2), number(9, 2));
            let monday = format!("({day} - (cast(extract(isodow from {day}) as integer) - 1))");
            format!("to_char(cast({monday} as timestamp), 'YYYY-MM-DD')")
        }
    }
}
