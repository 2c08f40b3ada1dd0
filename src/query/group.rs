//! What is asked of groups of rows: by what they are grouped, and which figures of each are told.

use std::sync::Arc;

use crate::query::{FieldRef, Filter, Order, PageCursor};
use crate::shape::Scalar;

/// Figures of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What rows are grouped by; none is one group of all rows.
    pub group_by: Vec<GroupKey>,
    /// What is computed of each group.
    pub measures: Vec<Measure>,
    /// Which groups: a condition on their columns, [`ColumnRef::Grouped`](crate::query::ColumnRef::Grouped).
    pub having: Filter,
    /// The order, of the same columns. It names all that rows are grouped by, so that no two groups are equal.
    pub order: Vec<Order>,
    /// The most groups.
    pub limit: usize,
    /// Whether there may be more, as this is a page of them.
    pub paged: bool,
    /// Behind this place.
    pub from: Option<PageCursor>,
    /// Stands in cursors.
    pub fingerprint: u64,
    /// What of a group is asked, by response key.
    pub fields: Vec<(Arc<str>, Figure)>,
}

/// A figure of a group, of the type that [`Measure::scalar`] tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Measure {
    /// How many rows.
    Count,
    /// A function of a field.
    Of(Function, FieldRef),
}

impl Measure {
    /// The type of its column. A sum of whole numbers is the text of [`whole_sum`].
    pub fn scalar(&self) -> Scalar {
        match self {
            Measure::Count | Measure::Of(Function::CountDistinct, _) => Scalar::Int,
            Measure::Of(Function::Sum, field) if field.scalar != Scalar::Float => Scalar::String,
            Measure::Of(Function::Min | Function::Max, field) => field.scalar,
            Measure::Of(..) => Scalar::Float,
        }
    }
}

/// What is added to the upper part of a sum, so that it has no sign.
const UPPER: i128 = 1 << 62;

/// A sum of whole numbers, which may be longer than 64 bits, as a text of one width whose order is that of the numbers:
/// 2^62 and what is above the lower 32 bits in 19 digits, then these in 10.
pub fn whole_sum(sum: i128) -> String {
    format!("{:019}{:010}", (sum >> 32) + UPPER, sum & 0xffff_ffff)
}

/// The sum of such a text.
pub fn whole_sum_of(text: &str) -> Option<i128> {
    let (upper, lower) = text.split_at_checked(19)?;
    let (upper, lower) = (upper.parse::<i128>().ok()?, lower.parse::<i128>().ok()?);
    Some(((upper - UPPER) << 32) + lower)
}

/// What rows are grouped by: a field's value or a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupKey {
    /// The field.
    pub field: FieldRef,
    /// Which part; none is the value as it is.
    pub part: Option<Part>,
}

/// A part of a value, of the value's own type; of null it is null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// The beginning, in UTC, of the unit that a `DateTime` or `Date` is in.
    Truncated(TimeUnit),
    /// The greatest multiple of this, above 0, that is not above a whole number; at least the least of its type.
    Whole(i64),
    /// The same of a float, from 1e-290 to 1e290. Of values that are 2^53 times as great the value itself.
    Float(f64),
}

/// Units of time that rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// From 1 January on.
    Year,
    /// From the first of January, April, July or October on.
    Quarter,
    /// From the first of the month on.
    Month,
    /// From Monday on.
    Week,
    /// From midnight on.
    Day,
    /// The full hour.
    Hour,
    /// The full minute.
    Minute,
}

impl TimeUnit {
    /// The unit with this name in GraphQL.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "YEAR" => TimeUnit::Year,
            "QUARTER" => TimeUnit::Quarter,
            "MONTH" => TimeUnit::Month,
            "WEEK" => TimeUnit::Week,
            "DAY" => TimeUnit::Day,
            "HOUR" => TimeUnit::Hour,
            "MINUTE" => TimeUnit::Minute,
            _ => return None,
        })
    }
}

/// One member of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The type's name.
    Typename(String),
    /// A figure, by its place among the measures.
    Measure(usize),
    /// Where a page goes on behind the group.
    Cursor,
    /// The group's values, by response key.
    Group(Vec<(Arc<str>, GroupField)>),
    /// A function of fields, by response key.
    Function(Vec<(Arc<str>, Argument)>),
}

/// What a member of `group` shows.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupField {
    /// The type's name.
    Typename(String),
    /// The value of this one of the columns that are grouped by.
    Value(usize),
    /// A field that is not grouped by: null.
    Absent,
}

/// What a member of `sum`, `avg` and the like shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// The type's name.
    Typename(String),
    /// The function of a field, by its place among the measures.
    Measure(usize),
}

/// A function over a group; nulls do not count, and of none at all it is null.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// How many different values.
    CountDistinct,
    /// The sum; `BigInt` of whole numbers.
    Sum,
    /// The mean.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The standard deviation of a sample; null of one value, and when a value is 1e140 or more.
    Stddev,
    /// The variance of a sample; null as the standard deviation.
    Variance,
    /// The value at this part, from 0 to 1, of the way through the sorted values, between two of them in proportion.
    Percentile(f64),
}

impl Function {
    /// The function with this name in GraphQL; none of those that have arguments.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "countDistinct" => Function::CountDistinct,
            "sum" => Function::Sum,
            "avg" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            "stddev" => Function::Stddev,
            "variance" => Function::Variance,
            _ => return None,
        })
    }

    /// The suffix of the type that has a member for each field.
    pub fn suffix(self) -> &'static str {
        match self {
            Function::CountDistinct => "CountDistinct",
            Function::Sum => "Sum",
            Function::Avg => "Avg",
            Function::Min => "Min",
            Function::Max => "Max",
            Function::Stddev | Function::Variance | Function::Percentile(_) => "Number",
        }
    }

    /// Whether a field of this type has it.
    pub fn fits(self, scalar: Scalar) -> bool {
        match self {
            Function::CountDistinct => true,
            Function::Sum
            | Function::Avg
            | Function::Stddev
            | Function::Variance
            | Function::Percentile(_) => matches!(scalar, Scalar::Int | Scalar::BigInt | Scalar::Float),
            Function::Min | Function::Max => !matches!(scalar, Scalar::Boolean | Scalar::Uuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_sums_stand_in_the_order_of_the_sums() {
        let sums: [i128; 9] =
            [-(1 << 92), -(1 << 63) - 1, -4_294_967_297, -1, 0, 1, 4_294_967_296, 1 << 63, 1 << 92];
        let texts: Vec<String> = sums.iter().map(|sum| whole_sum(*sum)).collect();
        assert!(texts.is_sorted(), "{texts:?}");
        assert!(
            texts.iter().zip(sums).all(|(text, sum)| text.len() == 29 && whole_sum_of(text) == Some(sum))
        );
    }
}
