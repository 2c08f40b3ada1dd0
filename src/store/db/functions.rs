//! What SQLite lacks, as functions of its connections: what a text is searched for, and figures by the names that they
//! have on PostgreSQL. A variance keeps three numbers; a percentile keeps all values of its group, so those of a
//! connection are counted together and bounded. A variance must not be given values whose squares a float cannot hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, Result, ffi};

use crate::query::{Search, words};

/// Adds `wellspring_words(x)`, `wellspring_search(x, search)`, `var_samp(x)`, `stddev_samp(x)` and
/// `percentile_cont(x, p)`, whose percentiles together hold at most so many values at once; beyond that a statement
/// fails with `SQLITE_CONSTRAINT_FUNCTION`, as with nothing else.
pub(super) fn add(connection: &Connection, values_max: usize) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("var_samp", 1, flags, Variance { root: false })?;
    connection.create_aggregate_function("stddev_samp", 1, flags, Variance { root: true })?;
    let percentile = Percentile { held: Arc::default(), values_max };
    connection.create_aggregate_function("percentile_cont", 2, flags, percentile)?;
    connection.create_scalar_function(
        "wellspring_words",
        1,
        flags,
        |context| Ok(text(context).map(words)),
    )?;
    connection.create_scalar_function("wellspring_search", 2, flags, search)
}

/// Whether a text has what is searched for, which is read once a statement; null of null.
fn search(context: &Context<'_>) -> Result<Option<bool>> {
    let asked = context.get_or_create_aux(1, |asked| asked.as_str().map(Search::parse))?;
    let finds = |text| asked.as_ref().as_ref().is_some_and(|search| search.finds(text));
    Ok(text(context).map(finds))
}

/// The first argument, where it is a text.
fn text<'a>(context: &'a Context<'_>) -> Option<&'a str> {
    match context.get_raw(0) {
        ValueRef::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    }
}

/// The variance of a sample, or its square root: Welford's method, which subtracts no great sums of squares.
struct Variance {
    root: bool,
}

#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    /// The squares of the distances from the mean, added up.
    squares: f64,
}

impl Aggregate<Moments, Option<f64>> for Variance {
    fn init(&self, _: &mut Context<'_>) -> Result<Moments> {
        Ok(Moments::default())
    }

    fn step(&self, context: &mut Context<'_>, moments: &mut Moments) -> Result<()> {
        if let Some(value) = context.get::<Option<f64>>(0)? {
            let distance = value - moments.mean;
            moments.count += 1.0;
            moments.mean += distance / moments.count;
            moments.squares += distance * (value - moments.mean);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, moments: Option<Moments>) -> Result<Option<f64>> {
        let moments = moments.filter(|moments| moments.count > 1.0);
        let variance = moments.map(|moments| moments.squares / (moments.count - 1.0));
        Ok(if self.root { variance.map(f64::sqrt) } else { variance })
    }
}

/// The value at a part of the way through the sorted ones, between two of them in proportion.
struct Percentile {
    /// How many values all percentiles of the connection hold.
    held: Arc<AtomicUsize>,
    values_max: usize,
}

struct Values {
    values: Vec<f64>,
    part: f64,
    held: Arc<AtomicUsize>,
}

impl Drop for Values {
    fn drop(&mut self) {
        self.held.fetch_sub(self.values.len(), Ordering::Relaxed);
    }
}

impl Aggregate<Values, Option<f64>> for Percentile {
    fn init(&self, context: &mut Context<'_>) -> Result<Values> {
        Ok(Values { values: Vec::new(), part: context.get(1)?, held: self.held.clone() })
    }

    fn step(&self, context: &mut Context<'_>, of: &mut Values) -> Result<()> {
        if let Some(value) = context.get::<Option<f64>>(0)? {
            if self.held.load(Ordering::Relaxed) >= self.values_max {
                return Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CONSTRAINT_FUNCTION), None));
            }
            self.held.fetch_add(1, Ordering::Relaxed);
            of.values.push(value);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, of: Option<Values>) -> Result<Option<f64>> {
        Ok(of.and_then(|mut of| percentile(&mut of.values, of.part)))
    }
}

/// None of no values.
fn percentile(values: &mut [f64], part: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "there are fewer values than floats tell apart")]
    let place = part * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the last place")]
    let before = (place.floor() as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(before, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).filter(|_| place > place.floor());
    Some(high.map_or(low, |high| low + place.fract() * (high - low)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn connection(values_max: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        add(&connection, values_max).unwrap();
        connection
    }

    fn ask(connection: &Connection, figure: &str, values: &str) -> Result<Option<f64>> {
        connection.query_row(
            &format!("select {figure} from (select column1 as x from (values {values}))"),
            [],
            |row| row.get(0),
        )
    }

    #[test]
    fn figures_are_those_of_the_textbook() {
        let connection = connection(100);
        let values = "(2), (4.0), (null), (4), (4), (5), (5), (7), (9)";
        for (figure, expected) in [
            ("var_samp(x)", 32.0 / 7.0),
            ("stddev_samp(x)", (32.0_f64 / 7.0).sqrt()),
            ("percentile_cont(x, 0)", 2.0),
            ("percentile_cont(x, 0.5)", 4.5),
            ("percentile_cont(x, 0.9)", 7.6),
            ("percentile_cont(x, 1)", 9.0),
        ] {
            let found = ask(&connection, figure, values).unwrap().unwrap();
            assert!((found - expected).abs() < 1e-12, "{figure}: {found}");
        }
        for figure in ["var_samp(x)", "stddev_samp(x)"] {
            assert_eq!(ask(&connection, figure, "(1)").unwrap(), None);
        }
        assert_eq!(ask(&connection, "percentile_cont(x, 0.5)", "(null)").unwrap(), None);
        // A great mean does not swallow small distances.
        let near = ask(&connection, "var_samp(x)", "(1000000000.1), (1000000000.2), (1000000000.3)")
            .unwrap()
            .unwrap();
        assert!((near - 0.01).abs() < 1e-7, "{near}");
    }

    #[test]
    fn percentiles_hold_so_many_values_and_give_them_back() {
        let connection = connection(6);
        let two = "percentile_cont(x, 0.5) + percentile_cont(x, 0.9)";
        for _ in 0..3 {
            assert_eq!(
                ask(&connection, "percentile_cont(x, 0.5)", "(1), (2), (3), (4), (5), (6)").unwrap(),
                Some(3.5)
            );
            let error = ask(&connection, two, "(1), (2), (3), (4)").unwrap_err();
            let code = error.sqlite_error().map(|error| error.extended_code);
            assert_eq!(code, Some(ffi::SQLITE_CONSTRAINT_FUNCTION), "{error}");
        }
        assert!(ask(&connection, two, "(1), (2), (3)").is_ok());
    }
}
