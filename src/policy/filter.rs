//! Putting filters together: constants fold, nested connectives flatten, equalities of one field become one `In`.

use std::collections::{BTreeMap, HashSet};

use crate::query::{Comparison, FieldRef, Filter, Literal, Operand};

/// How many conditions and constants stand in it.
pub(super) fn size(filter: &Filter) -> usize {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().map(size).sum::<usize>() + 1,
        Filter::Not(inner) => size(inner) + 1,
        Filter::In(_, literals) => literals.len() + 1,
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
    single(folded.chain(out).collect(), false, Filter::Or)
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
