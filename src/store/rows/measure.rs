//! Figures as SQL: what is counted and added in each group, and what is made of that. Whatever the values are, no step
//! may pass what its type holds, as PostgreSQL fails then and SQLite does not; what no figure can hold is null.

use super::sql::{Sql, column};
use crate::query::{Function, Measure};
use crate::shape::Scalar;
use crate::store::db::{Dialect, Value};

/// Sums of floats below this cannot overflow, however many rows there are.
const SMALL_BELOW: &str = "cast(1e288 as double precision)";
/// What greater ones are divided by, a power of two so that they lose nothing, to be as safe.
const SCALE: f64 = 18_446_744_073_709_551_616.0;

/// Squares of floats below this can be added up, however many rows there are.
const SQUARES_BELOW: &str = "cast(1e140 as double precision)";

impl Sql {
    /// A figure, made of the columns `a0`, `a1`, … of `counted`, to which it adds what is missing.
    /// Floats are summed up `plainly` where the database says when that passes what a float can hold.
    pub(super) fn measure(&mut self, measure: &Measure, plainly: bool, counted: &mut Vec<String>) -> String {
        let mut count = |text: String| {
            let place = counted.iter().position(|known| *known == text).unwrap_or_else(|| {
                counted.push(text);
                counted.len() - 1
            });
            format!("a{place}")
        };
        let Measure::Of(function, field) = measure else { return count("count(*)".into()) };
        let name = column(self.dialect, &field.column);
        match function {
            Function::CountDistinct => count(format!("count(distinct {name})")),
            Function::Min => count(format!("min({name})")),
            Function::Max => count(format!("max({name})")),
            Function::Sum if field.scalar == Scalar::Float => {
                self.float_sum(&floats(&name, plainly, &mut count), None)
            }
            Function::Sum => self.whole_sum(&self.halves(&name, &mut count)),
            Function::Stddev | Function::Variance => {
                let function = if *function == Function::Stddev { "stddev_samp" } else { "var_samp" };
                let value = format!("cast({name} as double precision)");
                let near = format!("case when abs({value}) < {SQUARES_BELOW} then {value} end");
                let (figure, most) =
                    (count(format!("{function}({near})")), count(format!("max(abs({value}))")));
                format!("(case when {most} < {SQUARES_BELOW} then {figure} end)")
            }
            Function::Percentile(part) => {
                let value = format!("cast({name} as double precision)");
                let part = format!("cast({} as double precision)", self.param(Value::Float(*part)));
                count(match self.dialect {
                    Dialect::Postgres => format!("percentile_cont({part}) within group (order by {value})"),
                    Dialect::Sqlite => format!("percentile_cont({value}, {part})"),
                })
            }
            Function::Avg => {
                let number = count(format!("count({name})"));
                if field.scalar == Scalar::Float {
                    return self.float_sum(&floats(&name, plainly, &mut count), Some(&number));
                }
                let [upper, lower] = self.halves(&name, &mut count);
                let float = |text: &str| format!("cast({text} as double precision)");
                // No sum of whole numbers is too small or too great for a float.
                format!(
                    "(({} * cast(4294967296 as double precision) + {}) / nullif({number}, 0))",
                    float(&upper),
                    float(&lower)
                )
            }
        }
    }

    /// A sum of whole numbers, which may be longer than 64 bits: what is above its lower 32 bits, and these. SQLite's
    /// sums stop at 64 bits, so there it is made of those of the halves.
    fn halves(&self, name: &str, count: &mut dyn FnMut(String) -> String) -> [String; 2] {
        match self.dialect {
            Dialect::Postgres => {
                let sum = format!("cast({} as numeric)", count(format!("sum({name})")));
                let lower = format!("mod(mod({sum}, 4294967296) + 4294967296, 4294967296)");
                [format!("div({sum} - {lower}, 4294967296)"), lower]
            }
            Dialect::Sqlite => {
                let upper = count(format!("sum({name} >> 32)"));
                let lower = count(format!("sum({name} & 4294967295)"));
                [format!("({upper} + ({lower} >> 32))"), format!("({lower} & 4294967295)")]
            }
        }
    }

    /// The text that `query::whole_sum` tells of.
    fn whole_sum(&self, [upper, lower]: &[String; 2]) -> String {
        let upper = format!("{upper} + 4611686018427387904");
        match self.dialect {
            Dialect::Postgres => {
                let digits = |number: &str, width: u8| format!("lpad(cast({number} as text), {width}, '0')");
                format!("(({} || {}) collate \"C\")", digits(&upper, 19), digits(lower, 10))
            }
            Dialect::Sqlite => {
                format!("(case when {lower} is not null then printf('%019d%010d', {upper}, {lower}) end)")
            }
        }
    }

    /// A sum of floats, or their mean by their number, of two sums: of the small values and of the scaled great ones.
    fn float_sum(&mut self, (small, large): &(String, Option<String>), number: Option<&str>) -> String {
        let (by, mean) = match number {
            Some(number) => {
                // A quotient that is too small would fail.
                let mean = "case when abs({small}) < 1e-307 then 0 else {small} / {number} end";
                (format!(" / {number}"), mean.replace("{small}", small).replace("{number}", number))
            }
            None => (String::new(), small.clone()),
        };
        let Some(large) = large else { return format!("({mean})") };
        let scale = format!("cast({SCALE:e} as double precision)");
        let most = self.param(Value::Float(f64::MAX / SCALE));
        // Beside great values small ones count only when they are not too small to be scaled.
        let scaled = format!("case when abs({small}) >= 1e200 then {small} / {scale} else 0 end");
        let all = format!("(({large} + ({scaled})){by})");
        format!(
            "(case when {large} is null or {large} = 0 then coalesce({mean}, {large}) \
             when abs({all}) <= cast({most} as double precision) then {all} * {scale} end)"
        )
    }
}

/// Of floats: the sum of the small ones, and the sum of the scaled great ones; `plainly` of all as they are.
fn floats(name: &str, plainly: bool, count: &mut dyn FnMut(String) -> String) -> (String, Option<String>) {
    let value = format!("cast({name} as double precision)");
    if plainly {
        return (count(format!("sum({value})")), None);
    }
    let small = count(format!("sum(case when abs({value}) < {SMALL_BELOW} then {value} end)"));
    let large = format!("sum(case when abs({value}) >= {SMALL_BELOW} then {value} / {SCALE:e} end)");
    (small, Some(count(large)))
}
