//! What groups are chosen and ordered by: the input types of `having` and of an aggregate's `orderBy`. Of fields that
//! can be grouped and aggregated only, so of none that is masked or hidden.

use super::groups::Leaf;
use super::{Build, scalar_name};
use crate::graphql::model::{Field, Input, Kind, Type, TypeRef};
use crate::query::Function;
use crate::shape::Scalar;

/// What has a condition or a direction for each field: how it is called, and for which function.
const FUNCTIONS: [(&str, Function); 7] = [
    ("countDistinct", Function::CountDistinct),
    ("sum", Function::Sum),
    ("avg", Function::Avg),
    ("min", Function::Min),
    ("max", Function::Max),
    ("stddev", Function::Stddev),
    ("variance", Function::Variance),
];

impl Build<'_> {
    /// The inputs of `having` and `orderBy`.
    pub(super) fn having(&mut self) {
        let mut having =
            vec![Input::new("count", TypeRef::named("IntFilter"), "Condition on the number of rows.")];
        let mut order =
            vec![Input::new("count", TypeRef::named("SortOrder"), "Order by the number of rows.")];
        let sorted = |_: &Leaf<'_>| "SortOrder".to_owned();
        if let Some(ty) = self.each("GroupOrder", "Order by", Function::CountDistinct, &sorted) {
            order.push(Input::new("group", ty, "Order by what rows are grouped by."));
        }
        for (name, function) in FUNCTIONS {
            let (conditions, directions) = inputs(function);
            if let Some(ty) = self.each(conditions, "Condition on", function, &|leaf| filter(leaf, function))
            {
                having.push(Input::new(name, ty, format!("Conditions on `{name}`.")));
            }
            if let Some(ty) = self.each(directions, "Order by", function, &sorted) {
                order.push(Input::new(name, ty, format!("Order by `{name}`.")));
            }
        }
        let this = || self.derived("Having");
        having.extend([
            Input::new("and", this().required().list(), "All of these hold."),
            Input::new("or", this().required().list(), "At least one of these holds."),
            Input::new("not", this(), "This does not hold."),
        ]);
        let text = "Conditions on figures of groups; all that are given must hold.";
        self.model.insert(Type::new(self.names.derived("Having"), text, Kind::Input(having)));
        let text = "What groups are ordered by; one figure each.";
        self.model.insert(Type::new(self.names.derived("AggregateOrder"), text, Kind::Input(order)));
    }

    /// An input with a member for each field that has the function; none when none has. Functions may share one.
    fn each(
        &mut self,
        suffix: &str,
        what: &str,
        function: Function,
        ty: &dyn Fn(&Leaf<'_>) -> String,
    ) -> Option<TypeRef> {
        let name = self.names.derived(suffix);
        if self.model.get(&name).is_none() {
            let fitting = self.groupable.iter().filter(|leaf| function.fits(leaf.scalar));
            let input = |leaf: &Leaf<'_>| {
                let text = format!("{what} that of `{}`.", leaf.path);
                leaf.called.clone().input(TypeRef::named(ty(leaf)), text)
            };
            let inputs: Vec<Input> = fitting.map(input).collect();
            if inputs.is_empty() {
                return None;
            }
            let text = format!("{what} a figure of each field.");
            self.model.insert(Type::new(name.as_str(), text, Kind::Input(inputs)));
        }
        Some(TypeRef::named(name))
    }

    /// The arguments by which groups are chosen.
    pub(super) fn chosen(&self, aggregate: Field) -> Field {
        let order = self.derived("AggregateOrder").required().list();
        aggregate
            .argument(Input::new("having", self.derived("Having"), "Only groups for which this holds."))
            .argument(Input::new(
                "orderBy",
                order,
                "In this order, then in that of what rows are grouped by.",
            ))
            .argument(Input::new("first", TypeRef::named("Int"), "This many groups from the start."))
            .argument(Input::new("after", TypeRef::named("String"), "From behind this cursor on."))
    }
}

/// The suffixes of the inputs with conditions and with directions.
fn inputs(function: Function) -> (&'static str, &'static str) {
    match function {
        Function::CountDistinct => ("CountHaving", "GroupOrder"),
        Function::Sum => ("SumHaving", "NumberOrder"),
        Function::Avg | Function::Stddev | Function::Variance | Function::Percentile(_) => {
            ("NumberHaving", "NumberOrder")
        }
        Function::Min | Function::Max => ("ValueHaving", "ValueOrder"),
    }
}

/// The type of a condition on a field's figure.
fn filter(leaf: &Leaf<'_>, function: Function) -> String {
    let of = match function {
        Function::CountDistinct => "Int",
        Function::Sum if leaf.scalar != Scalar::Float => "BigInt",
        Function::Min | Function::Max => leaf.own.unwrap_or(scalar_name(leaf.scalar)),
        _ => "Float",
    };
    format!("{of}Filter")
}
