//! Putting filters together: constants fold, nested connectives flatten, equalities of one field become one `In`.

use std::collections::{BTreeMap, HashSet};

use crate::query::{ColumnRef, Comparison, FieldRef, Filter, Link, Literal, Operand};

/// How many conditions and constants stand in it.
pub(super) fn size(filter: &Filter) -> usize {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(size).sum::<usize>() + 1,
        Filter::Not(inner) => size(inner) + 1,
        Filter::In(_, literals) => literals.len() + 1,
        Filter::SomeItem(_, _, when) | Filter::Related(_, _, when) => size(when) + 1,
        _ => 1,
    }
}

/// All of them.
pub(super) fn and(parts: impl IntoIterator<Item = Filter>) -> Filter {
    let mut out = Vec::new();
    for part in parts {
        match part {
            Filter::Const(true) => {}
            Filter::Const(false) => return Filter::Const(false),
            Filter::And(inner) => inner.into_iter().for_each(|part| push(&mut out, part)),
            part => push(&mut out, part),
        }
    }
    single(out, true, Filter::And)
}

/// At least one of them.
pub(super) fn or(parts: impl IntoIterator<Item = Filter>) -> Filter {
    let mut out = Vec::new();
    let mut sets: BTreeMap<String, (usize, FieldRef, Vec<Literal>)> = BTreeMap::new();
    let mut lists: BTreeMap<String, (About, u32, Vec<Filter>)> = BTreeMap::new();
    for part in parts.into_iter().flat_map(|part| match part {
        Filter::Or(inner) => inner,
        part => vec![part],
    }) {
        let (field, literals) = match part {
            Filter::Const(false) => continue,
            Filter::Const(true) => return Filter::Const(true),
            Filter::Compare(Operand::Field(field), Comparison::Eq, Operand::Literal(literal)) => {
                (field, vec![literal])
            }
            Filter::In(field, literals) => (field, literals),
            Filter::SomeItem(list, number, when) => {
                let key = format!("{number} {:?}", list.column);
                lists.entry(key).or_insert_with(|| (About::Item(list), number, Vec::new())).2.push(*when);
                continue;
            }
            Filter::Related(link, number, when) => {
                let key = format!("{number} {link:?}");
                lists.entry(key).or_insert_with(|| (About::Row(link), number, Vec::new())).2.push(*when);
                continue;
            }
            part => {
                push(&mut out, part);
                continue;
            }
        };
        let at = sets.len();
        sets.entry(format!("{:?}", field.column)).or_insert((at, field, Vec::new())).2.extend(literals);
    }
    let mut sets: Vec<_> = sets.into_values().collect();
    sets.sort_by_key(|(at, ..)| *at);
    let folded = sets.into_iter().map(|(_, field, literals)| one_of(field, literals));
    let listed = lists.into_values().map(|(about, number, when)| about.some(number, or(when)));
    single(folded.chain(out).chain(listed).collect(), false, Filter::Or)
}

/// The first number of items and related rows that no condition is closed over yet; closed ones are numbered from 1, by
/// how many are within, so that equal conditions have equal numbers.
pub(super) const OPEN: u32 = 1 << 16;

/// What a condition says that there is.
enum About {
    /// An item of a list.
    Item(FieldRef),
    /// A related row.
    Row(Box<Link>),
}

impl About {
    fn some(self, number: u32, when: Filter) -> Filter {
        match (self, when) {
            (_, Filter::Const(false)) => Filter::Const(false),
            (About::Item(list), when) => Filter::SomeItem(list, number, Box::new(when)),
            (About::Row(link), when) => Filter::Related(link, number, Box::new(when)),
        }
    }
}

/// Whether it begins what is said of an item or a related row.
pub(super) fn opens(filter: &Filter) -> bool {
    matches!(filter, Filter::SomeItem(_, number, _) | Filter::Related(_, number, _) if *number >= OPEN)
}

/// All of the conditions of one solution: what is said of an item or a related row that came up in it is said of one
/// and the same.
pub(super) fn closed(mut parts: Vec<Filter>) -> Filter {
    while let Some(at) = parts.iter().rposition(opens) {
        let (about, open) = match parts.remove(at) {
            Filter::SomeItem(list, open, _) => (About::Item(list), open),
            Filter::Related(link, open, _) => (About::Row(link), open),
            _ => return Filter::Const(false),
        };
        // An item of a list in this one came later, and is closed already.
        let mut inner = Vec::new();
        for mut part in std::mem::take(&mut parts) {
            let own = mentions(&mut part, open);
            if own { &mut inner } else { &mut parts }.push(part);
        }
        let mut when = and(inner);
        let own = 1 + highest(&when);
        when.fields(&mut |field| {
            if let Some(number) = number(&mut field.column)
                && *number == open
            {
                *number = own;
            }
        });
        parts.insert(at.min(parts.len()), about.some(own, when));
    }
    and(parts)
}

/// The number of the item or the related row that a column is of.
fn number(column: &mut ColumnRef) -> Option<&mut u32> {
    match column {
        ColumnRef::Item(number, _) | ColumnRef::EntryKey(number) | ColumnRef::Of(number, _) => Some(number),
        _ => None,
    }
}

fn mentions(filter: &mut Filter, open: u32) -> bool {
    let mut found = false;
    filter.fields(&mut |field| found |= number(&mut field.column).is_some_and(|number| *number == open));
    found
}

/// The highest number of an item or a related row that is closed over.
fn highest(filter: &Filter) -> u32 {
    match filter {
        Filter::SomeItem(_, number, _) | Filter::Related(_, number, _) => *number,
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(highest).max().unwrap_or(0),
        Filter::Not(inner) => highest(inner),
        _ => 0,
    }
}

/// The opposite.
pub(super) fn not(filter: Filter) -> Filter {
    match filter {
        Filter::Const(value) => Filter::Const(!value),
        Filter::Not(inner) => *inner,
        other => Filter::Not(Box::new(other)),
    }
}

fn one_of(field: FieldRef, literals: Vec<Literal>) -> Filter {
    let mut seen = HashSet::new();
    let mut distinct: Vec<Literal> =
        literals.into_iter().filter(|literal| seen.insert(format!("{literal:?}"))).collect();
    match (distinct.len(), distinct.pop()) {
        (1, Some(only)) => Filter::Compare(Operand::Field(field), Comparison::Eq, Operand::Literal(only)),
        (_, last) => {
            distinct.extend(last);
            Filter::In(field, distinct)
        }
    }
}

/// Leaves out what is there already; long lists are not searched, they only cost a little in SQL.
fn push(out: &mut Vec<Filter>, part: Filter) {
    if out.len() > 64 || !out.contains(&part) {
        out.push(part);
    }
}

fn single(mut parts: Vec<Filter>, empty: bool, make: fn(Vec<Filter>) -> Filter) -> Filter {
    match (parts.len(), parts.pop()) {
        (_, None) => Filter::Const(empty),
        (1, Some(only)) => only,
        (_, Some(last)) => {
            parts.push(last);
            make(parts)
        }
    }
}
