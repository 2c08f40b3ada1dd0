//! How statements find rows of a collection: the fields that they compare, and the order in which they give rows out.
//! Must not know a value.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::query::{ColumnRef, Comparison, ENVELOPE, FieldRef, Filter, Literal, Operand, Order};
use crate::shape::Scalar;

/// The most fields of an order that an index follows; those that come behind rarely tell rows apart.
const ORDER_MAX: usize = 4;
/// The most fields that an index compares; more lead to hardly fewer rows.
const EQUAL_MAX: usize = 4;

/// By which fields, given by their ids as all that decides about fields has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Way {
    /// These have one value each.
    pub equal: BTreeSet<u32>,
    /// Values of this lie between bounds, or begin alike; of positions, their latitudes.
    pub range: Option<u32>,
    /// Rows come in the order of these.
    pub order: Vec<Sorted>,
    /// Texts of this are searched by their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<u32>,
}

/// A field of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sorted {
    /// Its id.
    pub field: u32,
    /// From the greatest to the least.
    pub descending: bool,
    /// Nulls before all others.
    pub nulls_first: bool,
}

impl Way {
    /// How rows with this condition are found in this order; none where no index could help, or the one of keys does.
    /// `begins` says whether an index leads to texts that begin so.
    pub(in crate::store) fn of(filter: &Filter, order: &[Order], begins: bool) -> Option<Self> {
        let mut way = Way::default();
        // Of several values of one field rows do not come in the order of another.
        way.add(filter, (order.is_empty(), begins))?;
        // No index of this table has what related rows say.
        let sorted = order.iter().take_while(|one| one.through.is_empty()).map_while(|one| {
            let field = id(&one.field)?;
            Some(Sorted { field, descending: one.descending, nulls_first: one.nulls_first })
        });
        way.order = sorted.filter(|one| !way.equal.contains(&one.field)).take(ORDER_MAX).collect();
        way.range = way.range.filter(|field| !way.equal.contains(field));
        while way.equal.len() > EQUAL_MAX {
            way.equal.pop_last();
        }
        (way != Way::default()).then_some(way)
    }

    /// The same, where the condition is nothing but fields with one value each: all that it leads to is given out.
    pub(in crate::store) fn exactly(filter: &Filter, order: &[Order]) -> Option<Self> {
        let way = Way::of(filter, order, false)?;
        let values = |filter: &Filter| match filter {
            Filter::Compare(Operand::Field(field), Comparison::Eq, Operand::Literal(_)) => {
                id(field).is_some_and(|id| way.equal.contains(&id))
            }
            filter => *filter == Filter::Const(true),
        };
        let plain = match filter {
            Filter::And(parts) => parts.iter().all(values),
            one => values(one),
        };
        (plain && way.order.len() == order.len()).then_some(way)
    }

    /// Takes in what all rows have in common; none when a key leads to them.
    fn add(&mut self, filter: &Filter, (several, begins): (bool, bool)) -> Option<()> {
        match filter {
            Filter::And(parts) => {
                return parts.iter().try_for_each(|part| self.add(part, (several, begins)));
            }
            // Numbers of mixed kinds are compared as floats, which no index has.
            Filter::Compare(Operand::Field(field), _, Operand::Literal(value))
                if (field.scalar == Scalar::Float) != matches!(value, Literal::Float(_)) => {}
            Filter::Compare(Operand::Field(field), comparison, Operand::Literal(_)) => {
                let equal = *comparison == Comparison::Eq;
                if equal && matches!(field.column, ColumnRef::Key | ColumnRef::SourceUid) {
                    return None;
                }
                match id(field) {
                    Some(id) if equal => drop(self.equal.insert(id)),
                    Some(id) => drop(self.range.get_or_insert(id)),
                    None => {}
                }
            }
            // A list has no bounds but those of a position's latitude, so its id says which index is meant.
            Filter::Place(FieldRef { column: ColumnRef::Field(id), .. }, _) => {
                self.range = self.range.or(Some(*id));
            }
            Filter::In(field, values) if several || values.len() == 1 => self.equal.extend(id(field)),
            Filter::IsNull(field) => self.equal.extend(id(field)),
            Filter::StartsWith(field, text) | Filter::Like(field, text)
                if begins && !text.is_empty() && !text.starts_with(['%', '_']) =>
            {
                self.range = self.range.or(id(field));
            }
            Filter::Search(field, search) if search.leading().next().is_some() => {
                self.words = self.words.or(id(field));
            }
            _ => {}
        }
        Some(())
    }

    /// What an index for it is made of: one of words has nothing else, and leads to the fewest rows; one that gives
    /// rows in their order has no place for a range.
    #[must_use]
    pub fn indexed(mut self) -> Self {
        if self.words.is_some() {
            return Way { words: self.words, ..Way::default() };
        }
        if !self.order.is_empty() {
            self.range = None;
        }
        self
    }

    /// The fields in the order in which an index has them.
    pub fn fields(&self) -> Vec<u32> {
        let order = self.order.iter().map(|one| one.field);
        self.equal.iter().copied().chain(self.range).chain(order).chain(self.words).collect()
    }

    /// What the index is for, as the API names it.
    pub fn kind(&self) -> &'static str {
        match (self.order.is_empty(), self.range) {
            _ if self.words.is_some() => "WORDS",
            (false, _) => "ORDER",
            (true, Some(_)) => "RANGE",
            (true, None) => "EQUALITY",
        }
    }

    /// Whether an index for this also leads to what the other asks for.
    pub fn covers(&self, other: &Way) -> bool {
        if self.words.is_some() || other.words.is_some() {
            return self.words == other.words;
        }
        if !other.order.is_empty() {
            return self.equal == other.equal && self.order.starts_with(&other.order);
        }
        let Some(range) = other.range else {
            // Its fields are the first ones in any order.
            let first: BTreeSet<u32> = self.fields().into_iter().take(other.equal.len()).collect();
            return first == other.equal;
        };
        let next = self.range.or(self.order.first().map(|one| one.field));
        self.equal == other.equal && next == Some(range)
    }
}

/// The id of a field that a column of its own has, of values that have an order.
pub(in crate::store) fn id(field: &FieldRef) -> Option<u32> {
    if field.list || field.scalar == Scalar::Json {
        return None;
    }
    match &field.column {
        ColumnRef::Field(id) => Some(*id),
        column => ENVELOPE.iter().find(|member| member.column == *column).map(|member| member.id),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::query::{Area, Search};

    fn field(id: u32) -> FieldRef {
        FieldRef { column: ColumnRef::Field(id), scalar: Scalar::Int, list: false, path: [].into() }
    }

    fn compare(id: u32, comparison: Comparison) -> Filter {
        Filter::Compare(Operand::Field(field(id)), comparison, Operand::Literal(Literal::Int(1)))
    }

    fn order(id: u32, descending: bool) -> Order {
        Order { through: Vec::new(), field: field(id), descending, nulls_first: false }
    }

    fn way(equal: &[u32], range: Option<u32>, by: &[u32]) -> Way {
        let sorted = |field: &u32| Sorted { field: *field, descending: false, nulls_first: false };
        Way {
            equal: equal.iter().copied().collect(),
            range,
            order: by.iter().map(sorted).collect(),
            words: None,
        }
    }

    #[test]
    fn conditions_that_all_rows_share_are_a_way_to_them() {
        use Comparison::{Eq, Gt, Lt};
        let all = Filter::And(vec![compare(4, Eq), compare(2, Gt), compare(3, Eq), compare(2, Lt)]);
        assert_eq!(Way::of(&all, &[], true), Some(way(&[3, 4], Some(2), &[])));
        assert_eq!(Way::of(&all, &[order(7, false)], true).map(Way::indexed), Some(way(&[3, 4], None, &[7])));
        // What has one value only orders nothing.
        let by_both = Way::of(&compare(3, Eq), &[order(3, true), order(5, false)], true);
        assert_eq!(by_both, Some(way(&[3], None, &[5])));
        let either = Filter::Or(vec![compare(3, Eq), compare(4, Eq)]);
        assert_eq!(Way::of(&either, &[], true), None);
        assert_eq!(Way::of(&compare(3, Eq).opposite(), &[], true), None);
        let some = Filter::In(field(3), vec![Literal::Int(1), Literal::Int(2)]);
        assert_eq!(Way::of(&some, &[], true), Some(way(&[3], None, &[])));
        assert_eq!(Way::of(&some, &[order(5, false)], true), Some(way(&[], None, &[5])));
        let begins = |text: &str| Filter::Like(field(3), text.to_owned());
        assert_eq!(Way::of(&begins("a%"), &[], true), Some(way(&[], Some(3), &[])));
        assert_eq!(Way::of(&begins("a%"), &[], false), None);
        assert_eq!(Way::of(&begins("%a"), &[], true), None);
        let literal = Operand::Literal(Literal::Float(0.5));
        assert_eq!(Way::of(&Filter::Compare(Operand::Field(field(3)), Eq, literal), &[], true), None);
    }

    #[test]
    fn words_lead_before_all_else() {
        let text = FieldRef { scalar: Scalar::String, ..field(7) };
        let search = |asked: &str| Filter::Search(text.clone(), Search::parse(asked).unwrap());
        let of = |filter: &Filter| Way::of(filter, &[order(5, true)], true).map(Way::indexed).unwrap();
        let words = Way { words: Some(7), ..Way::default() };
        assert_eq!(of(&Filter::And(vec![compare(3, Comparison::Eq), search("red -bike")])), words);
        assert_eq!(of(&search("red or bike")), words);
        // What must not be there leads nowhere.
        assert_eq!(of(&search("-red")).fields(), [5]);
        assert_eq!(of(&search("red or -bike")).fields(), [5]);
        assert_eq!(of(&search("red").opposite()).fields(), [5]);
        assert_eq!(Way::exactly(&search("red"), &[]), None);
        assert!(words.covers(&words) && !words.covers(&way(&[7], None, &[])));
        assert!(!way(&[7], None, &[]).covers(&words));
        let known = r#"{"equal":[3],"range":null,"order":[]}"#;
        assert_eq!(serde_json::to_string(&way(&[3], None, &[])).unwrap(), known);
        assert_eq!(serde_json::from_str::<Way>(known).unwrap(), way(&[3], None, &[]));
    }

    #[test]
    fn what_is_nothing_but_values_is_told_from_what_leaves_rows_out() {
        use Comparison::{Eq, Gt};
        let both = Filter::And(vec![compare(4, Eq), compare(3, Eq)]);
        assert_eq!(Way::exactly(&both, &[order(5, true)]).map(|way| way.fields()), Some(vec![3, 4, 5]));
        let more = Filter::And(vec![compare(4, Eq), compare(3, Gt)]);
        assert_eq!(Way::exactly(&more, &[]), None);
        let less = Filter::And(vec![compare(4, Eq), compare(3, Eq).opposite()]);
        assert_eq!(Way::exactly(&less, &[]), None);
        assert_eq!(
            Way::exactly(&Filter::Const(true), &[order(5, true)]).map(|way| way.fields()),
            Some(vec![5])
        );
    }

    #[test]
    fn what_a_key_leads_to_needs_no_other_way() {
        let key = FieldRef { column: ColumnRef::SourceUid, scalar: Scalar::String, ..field(0) };
        let by_key =
            Filter::Compare(Operand::Field(key), Comparison::Eq, Operand::Literal(Literal::Text("1".into())));
        assert_eq!(Way::of(&Filter::And(vec![compare(3, Comparison::Eq), by_key]), &[], true), None);
        let item = FieldRef { column: ColumnRef::Item(0, 3), ..field(0) };
        let item = Filter::Compare(Operand::Field(item), Comparison::Eq, Operand::Literal(Literal::Int(1)));
        assert_eq!(Way::of(&item, &[], true), None);
    }

    #[test]
    fn positions_in_an_area_lie_between_latitudes() {
        let area = Area::Circle { longitude: 0.0, latitude: 0.0, meters: 1.0 };
        let place = |column| {
            let list = FieldRef { column, scalar: Scalar::Float, list: true, path: [].into() };
            Filter::Place(list, area)
        };
        let both = Filter::And(vec![compare(3, Comparison::Eq), place(ColumnRef::Field(5))]);
        assert_eq!(Way::of(&both, &[], true), Some(way(&[3], Some(5), &[])));
        assert_eq!(Way::exactly(&both, &[]), None);
        assert_eq!(Way::of(&place(ColumnRef::Item(0, 5)), &[], true), None);
    }

    #[test]
    fn an_index_covers_what_its_first_fields_lead_to() {
        let index = way(&[3, 4], None, &[7, 8]);
        for other in [way(&[3, 4], None, &[]), way(&[3], None, &[]), way(&[3, 4], Some(7), &[])] {
            assert!(index.covers(&other), "{other:?}");
        }
        assert!(index.covers(&way(&[3, 4], None, &[7])));
        for other in [way(&[4], None, &[]), way(&[3], None, &[7]), way(&[3, 4], Some(8), &[])] {
            assert!(!index.covers(&other), "{other:?}");
        }
        assert!(!way(&[3], Some(4), &[]).covers(&way(&[3], None, &[4])));
    }
}
