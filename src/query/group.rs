//! What is asked of groups of rows: by what they are grouped, and which figures of each are told.

use crate::query::FieldRef;

/// Figures of groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// What rows are grouped by; none is one group of all rows.
    pub group_by: Vec<FieldRef>,
    /// The most groups.
    pub groups_max: usize,
    /// What of a group is asked, by response key.
    pub fields: Vec<(String, Figure)>,
}

/// One member of an aggregate.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// The type's name.
    Typename(String),
    /// How many rows.
    Count,
    /// The group's values, by response key.
    Group(Vec<(String, GroupField)>),
    /// A function of fields, by response key.
    Function(Function, Vec<(String, Argument)>),
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
    /// The function of this field.
    Field(FieldRef),
}

/// A function over a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
