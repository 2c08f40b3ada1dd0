//! The types of a collection's figures: what rows are grouped by, and what is told of each group. Only of fields that
//! are shown as they are, in every row.

use super::{Build, Shown, filter, printable, scalar_name};
use crate::graphql::called::{Called, flattened};
use crate::graphql::enums;
use crate::graphql::model::{Field, Input, Kind, Type, TypeRef};
use crate::shape::{Field as Shaped, Kind as ShapedKind, Scalar};

/// A field that can be grouped by.
pub(super) struct Leaf<'a> {
    /// One of its names, joined to those above by `_`.
    called: Called,
    scalar: Scalar,
    /// The type of its enum, if it is one.
    own: Option<&'a str>,
    path: String,
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
        let mut fields = vec![Field::new("count", TypeRef::named("Int").required(), count)];
        if !self.groupable.is_empty() {
            let values = self.groupable.iter();
            let values = values.map(|leaf| leaf.called.clone().value(format!("`{}`", leaf.path)));
            let values = Kind::Enum(values.collect());
            self.model.insert(Type::new(self.names.derived("Field"), "What rows can be grouped by.", values));
        }
        for (name, suffix, what, ty) in FUNCTIONS {
            let members: Vec<Field> = self
                .groupable
                .iter()
                .filter_map(|leaf| {
                    let ty = ty(leaf.scalar)?;
                    let ty = TypeRef::named(leaf.own.filter(|_| ty == "String").unwrap_or(ty));
                    Some(leaf.called.clone().field(ty, format!("{what} `{}`.", leaf.path)))
                })
                .collect();
            if !members.is_empty() {
                fields.push(Field::new(name, self.derived(suffix), format!("{what} a field.")));
                self.object(suffix, &format!("{what} each field."), members);
            }
        }
        self.object("Aggregate", "Figures of one group of rows.", fields);
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
        aggregate
    }
}

/// Name, suffix of its type, what it is, and the type that it gives for a scalar.
type Function = (&'static str, &'static str, &'static str, fn(Scalar) -> Option<&'static str>);

const FUNCTIONS: [Function; 6] = [
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
