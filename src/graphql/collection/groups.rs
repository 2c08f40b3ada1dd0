//! The types of a collection's figures: what rows are grouped by, and what is told of each group. Only of fields that
//! are shown as they are, in every row.

use std::collections::BTreeSet;

use super::{Build, Shown, filter, printable, scalar_name};
use crate::graphql::called::{Called, flattened};
use crate::graphql::enums;
use crate::graphql::model::{Field, Input, Kind, Type, TypeRef};
use crate::query::Function;
use crate::record::Json;
use crate::shape::{Field as Shaped, Kind as ShapedKind, Scalar};

/// A field that can be grouped by.
pub(super) struct Leaf<'a> {
    /// One of its names, joined to those above by `_`.
    pub(super) called: Called,
    pub(super) scalar: Scalar,
    /// The type of its enum, if it is one.
    pub(super) own: Option<&'a str>,
    pub(super) path: String,
}

impl Build<'_> {
    /// The scalar leaves that can be grouped and aggregated.
    pub(super) fn collect(&mut self, fields: &[Shaped], above: &[Called], parent: Shown) {
        for field in fields {
            let shown = self.shown(field, parent);
            if shown != Shown::Visible {
                continue;
            }
            match &field.kind {
                ShapedKind::Scalar(Scalar::Json)
                | ShapedKind::List(_)
                | ShapedKind::Packed(_)
                | ShapedKind::Map(_) => {}
                ShapedKind::Scalar(scalar) => {
                    for called in flattened(above, field) {
                        // `a_b` and `a { b }` would be one name: the first keeps it.
                        if self.groupable.iter().all(|leaf| leaf.called.name != called.name) {
                            let (own, path) = (enums::own(self.types, field, shown), printable(&field.path));
                            self.groupable.push(Leaf { called, scalar: *scalar, own, path });
                        }
                    }
                }
                ShapedKind::Object(children) => {
                    self.collect(children, &flattened(above, field), shown);
                }
            }
        }
    }

    pub(super) fn aggregate(&mut self) {
        let count = "How many rows there are in the group.";
        let cursor = "For `after`, to go on behind this group.";
        let mut fields = vec![
            Field::new("count", TypeRef::named("Int").required(), count),
            Field::new("cursor", TypeRef::named("String").required(), cursor),
        ];
        if !self.groupable.is_empty() {
            let values = self.groupable.iter();
            let values = values.map(|leaf| leaf.called.clone().value(format!("`{}`", leaf.path)));
            let values = Kind::Enum(values.collect());
            self.model.insert(Type::new(self.names.derived("Field"), "What rows can be grouped by.", values));
            self.group_part();
        }
        for (name, suffix, what, ty) in FUNCTIONS {
            let members: Vec<Field> = self
                .groupable
                .iter()
                .filter_map(|leaf| {
                    let ty = ty(leaf.scalar)?;
                    let ty = TypeRef::named(leaf.own.filter(|_| ty == "String").unwrap_or(ty));
                    let field = leaf.called.clone().field(ty, format!("{what} `{}`.", leaf.path));
                    Some(if name == "group" { with_part(field, leaf.scalar) } else { field })
                })
                .collect();
            if !members.is_empty() {
                fields.push(Field::new(name, self.derived(suffix), format!("{what} a field.")));
                self.object(suffix, &format!("{what} each field."), members);
            }
        }
        fields.extend(self.spread());
        self.object("Aggregate", "Figures of one group of rows.", fields);
        self.having();
    }

    /// Figures of numbers that all have one type, as each of them is a float.
    fn spread(&mut self) -> Vec<Field> {
        let numbers = self.groupable.iter().filter(|leaf| Function::Avg.fits(leaf.scalar));
        let members: Vec<Field> = numbers
            .map(|leaf| {
                leaf.called.clone().field(TypeRef::named("Float"), format!("That of `{}`.", leaf.path))
            })
            .collect();
        if members.is_empty() {
            return Vec::new();
        }
        self.object("Number", "A figure of each number.", members);
        let figure = |name: &str, text: &str| Field::new(name, self.derived("Number"), text);
        let part = Input::new("p", TypeRef::named("Float"), "From 0 to 1; 0.5 is the median.");
        let part = part.or(Json::Number("0.5".into()));
        vec![
            figure("stddev", "The standard deviation, of a sample."),
            figure("variance", "The variance, of a sample."),
            figure("percentile", "The value below which this part of all is, between two in proportion.")
                .argument(part),
        ]
    }

    /// The input of `groupByPart`, with what there is among the fields.
    fn group_part(&mut self) {
        let parts: BTreeSet<Part> = self.groupable.iter().filter_map(|leaf| part_of(leaf.scalar)).collect();
        if parts.is_empty() {
            return;
        }
        let field = self.derived("Field").required();
        let mut inputs = vec![Input::new("field", field, "Of this field; either `truncate` or `bucket`.")];
        inputs.extend(parts.into_iter().map(part_input));
        let kind = Kind::Input(inputs);
        self.model.insert(Type::new(self.names.derived("GroupPart"), "A part of a field's value.", kind));
    }

    /// The root field; its types are there already.
    pub(super) fn aggregate_field(&self, of: &str) -> Field {
        let figures = self.derived("Aggregate").required().list().required();
        let mut aggregate = Field::new(self.names.aggregate_field(), figures, format!("Figures of {of}."))
            .argument(filter(self.names));
        if !self.groupable.is_empty() {
            let fields = self.derived("Field").required().list();
            aggregate =
                aggregate.argument(Input::new("groupBy", fields, "One group for each value of these."));
        }
        if self.groupable.iter().any(|leaf| part_of(leaf.scalar).is_some()) {
            let parts = self.derived("GroupPart").required().list();
            let text = "One group for each of these parts, behind `groupBy`.";
            aggregate = aggregate.argument(Input::new("groupByPart", parts, text));
        }
        self.chosen(aggregate)
    }
}

/// What can be taken of a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Truncate,
    Bucket,
}

fn part_of(scalar: Scalar) -> Option<Part> {
    match scalar {
        Scalar::DateTime | Scalar::Date => Some(Part::Truncate),
        Scalar::Int | Scalar::BigInt | Scalar::Float => Some(Part::Bucket),
        Scalar::Boolean | Scalar::String | Scalar::Uuid | Scalar::Json => None,
    }
}

fn part_input(part: Part) -> Input {
    match part {
        Part::Truncate => {
            let text = "The beginning of the unit that it is in, in UTC; weeks begin on Monday.";
            Input::new("truncate", TypeRef::named("TimeUnit"), text)
        }
        Part::Bucket => {
            let text = "The greatest multiple of this that is not above it.";
            Input::new("bucket", TypeRef::named("Float"), text)
        }
    }
}

/// A member of `group`, which shows a part of its field when it is asked for it.
fn with_part(field: Field, scalar: Scalar) -> Field {
    match part_of(scalar) {
        Some(part) => field.argument(part_input(part)),
        None => field,
    }
}

/// Name, suffix of its type, what it is, and the type that it gives for a scalar.
type Figure = (&'static str, &'static str, &'static str, fn(Scalar) -> Option<&'static str>);

const FUNCTIONS: [Figure; 6] = [
    ("group", "Group", "The group's value of", |scalar| Some(scalar_name(scalar))),
    ("countDistinct", "CountDistinct", "How many different values there are of", |_| Some("Int")),
    ("sum", "Sum", "The sum of", |scalar| match scalar {
        Scalar::Int | Scalar::BigInt => Some("BigInt"),
        Scalar::Float => Some("Float"),
        _ => None,
    }),
    ("avg", "Avg", "The mean of", |scalar| match scalar {
        Scalar::Int | Scalar::BigInt | Scalar::Float => Some("Float"),
        _ => None,
    }),
    ("min", "Min", "The least value of", ordered),
    ("max", "Max", "The greatest value of", ordered),
];

fn ordered(scalar: Scalar) -> Option<&'static str> {
    match scalar {
        Scalar::Boolean | Scalar::Uuid | Scalar::Json => None,
        other => Some(scalar_name(other)),
    }
}
