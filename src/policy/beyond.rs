//! What is said of more than the row's own fields: items of its lists, and rows that relations lead to. Each gets a
//! number and a condition that it is there; what else a solution says of it is said of the same.

use std::rc::Rc;

use crate::policy::filter;
use crate::policy::machine::{Around, Machine};
use crate::policy::text::Span;
use crate::policy::value::{Column, Related, Relation, Value};
use crate::query::{Collection, Filter, Link};

/// Why a rule about fields does not follow a relation.
pub(super) const NO_FOLLOWING: &str =
    "only `allow(user, \"read\", row)` follows relations; this looks at the row itself";

impl<'a> Machine<'a> {
    /// A number that nothing has yet; running out of them is noted.
    fn number(&mut self, span: Span) -> Option<u32> {
        let number = filter::OPEN.checked_add(self.numbered);
        match number {
            Some(_) => self.numbered += 1,
            None => drop(self.clash(span, "too much is said of items and related rows")),
        }
        number
    }

    /// An item of a list of the row, as a condition that there is one; what else is said of it until the solution is
    /// found is said of the same item. None, which is noted, when it is no list.
    pub(super) fn item(&mut self, list: &Column<'a>, span: Span) -> Option<Value<'a>> {
        let number = self.number(span)?;
        let Some(item) = list.item(number) else {
            self.clash(span, format!("`{}` is not a list", list.name()));
            return None;
        };
        let there = Box::new(Filter::Const(true));
        self.conditions.push(Filter::SomeItem(list.field.clone(), number, there));
        Some(item)
    }

    /// The relation with this name from a row of `collection`, the row itself or a related one. None, which is noted,
    /// when it leads nowhere.
    pub(super) fn relation(
        &mut self,
        from: Option<&Related<'a>>,
        collection: &'a Collection,
        name: &'a str,
        span: Span,
    ) -> Option<Value<'a>> {
        let depth = 1 + from.map_or(0, |from| from.depth);
        match found(self.world.around, collection, name, depth) {
            Ok((mut link, to)) => {
                if let Some(from) = from {
                    link.from = link.from.of_related(from.number);
                }
                Some(Value::Relation(Rc::new(Relation { name, link, collection: to, depth })))
            }
            Err(reason) => {
                self.clash(span, reason);
                None
            }
        }
    }

    /// The row that a relation to one leads to, as a condition that it is there. There is no other, so what is asked of
    /// it in several places is asked of one. None, which is noted, for many.
    pub(super) fn related(&mut self, relation: &Relation<'a>, span: Span) -> Option<Rc<Related<'a>>> {
        if relation.link.many {
            let name = relation.name;
            let reason = format!("`{name}` is many rows; say of which: `x in row.{name} and x.… = …`");
            self.clash(span, reason);
            return None;
        }
        let known = self.conditions.iter().find_map(|condition| match condition {
            Filter::Related(link, number, _) if filter::opens(condition) && **link == relation.link => {
                Some(*number)
            }
            _ => None,
        });
        match known {
            Some(number) => {
                Some(Rc::new(Related { number, collection: relation.collection, depth: relation.depth }))
            }
            None => self.one_related(relation, span),
        }
    }

    /// One of the rows that a relation leads to.
    pub(super) fn one_related(&mut self, relation: &Relation<'a>, span: Span) -> Option<Rc<Related<'a>>> {
        let number = self.number(span)?;
        let there = Box::new(Filter::Const(true));
        self.conditions.push(Filter::Related(Box::new(relation.link.clone()), number, there));
        Some(Rc::new(Related { number, collection: relation.collection, depth: relation.depth }))
    }
}

/// Where the relation of that name leads, `depth` relations from the row; else why not.
fn found<'a>(
    around: Option<Around<'a>>,
    collection: &Collection,
    name: &str,
    depth: usize,
) -> Result<(Link, &'a Collection), String> {
    let class = &collection.type_name;
    let relation = collection
        .shape
        .relation(name)
        .ok_or_else(|| format!("`{class}` has no field or relation `{name}`"))?;
    let around = around.ok_or_else(|| NO_FOLLOWING.to_owned())?;
    if depth > around.relations_max {
        let max = around.relations_max;
        return Err(format!("rules follow at most {max} relations in a row, as `policy.relations_max` says"));
    }
    let to = around.collections.get(relation.other.as_str());
    to.and_then(|to| Some((Link::new(collection, relation, to)?, to.as_ref())))
        .ok_or_else(|| format!("the relation `{name}` of `{class}` leads nowhere any more"))
}
