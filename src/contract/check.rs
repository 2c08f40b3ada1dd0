//! Whether a contract can be kept: everything it names is there, names are free, its conditions fit. Must not change
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::terms::{Contract, Terms};
use super::view::{REST, narrow};
use crate::error::{Code, Error, Result};
use crate::query::{Collection, OnMisfit, RECORD, envelope, told_member};
use crate::shape::{Field, Kind, Published, Scalar, is_legal};

/// The most bytes of a name in a contract.
const NAME_BYTES_MAX: usize = 128;
/// The most faults that are told at once.
const TOLD_MAX: usize = 8;
/// How many letters may differ for a name to be suggested.
const NEAR_MAX: usize = 3;

/// Checks a contract against the collections that there are, by the names of their query fields. `pinned` has the
/// shapes of the versions that it names, as far as there are such.
///
/// # Errors
/// `UNPROCESSABLE` with all that is wrong, as far as there is room.
pub fn check<'a>(
    contract: &Contract,
    collection: impl Fn(&str) -> Option<&'a Arc<Collection>>,
    names: impl Iterator<Item = &'a str> + Clone,
    pinned: &BTreeMap<String, Arc<Published>>,
) -> Result<()> {
    let mut faults = Vec::new();
    head(contract, &mut faults);
    for (name, terms) in &contract.collections {
        let mut found = Vec::new();
        match collection(name) {
            None => found.push(format!("there is no such collection{}", hint(name, names.clone()))),
            Some(collection) => {
                one(contract, collection, terms, pinned.get(name).map(Arc::as_ref), &mut found);
            }
        }
        faults.extend(found.into_iter().map(|fault| format!("collections.{name}: {fault}")));
    }
    if faults.is_empty() {
        return Ok(());
    }
    let more = faults.len().saturating_sub(TOLD_MAX);
    faults.truncate(TOLD_MAX);
    if more > 0 {
        faults.push(format!("and {more} more"));
    }
    let text = format!("the contract cannot be kept:\n{}", faults.join("\n"));
    Err(Error::new(Code::Unprocessable, text))
}

fn head(contract: &Contract, faults: &mut Vec<String>) {
    let name = &contract.name;
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !letters {
        faults.push(format!("name: 1 to {NAME_BYTES_MAX} of `a` to `z`, digits and `-`"));
    }
    if contract.version == 0 {
        faults.push("version: counts from 1".to_owned());
    }
    if contract.consumers.is_empty() {
        faults.push("consumers: at least one, such as `{ claim = \"client\", value = \"acme\" }`".to_owned());
    }
    for consumer in &contract.consumers {
        if consumer.claim.is_empty() || consumer.value.is_null() || consumer.value.is_object() {
            faults.push("consumers: each has the name of a claim and its value, a text or number".to_owned());
        }
    }
    if contract.sunset.as_deref().is_some_and(|day| day.parse::<jiff::civil::Date>().is_err()) {
        faults.push("sunset: a day such as `2027-01-31`".to_owned());
    }
    let limits = &contract.limits;
    let zero = [limits.page_max, limits.depth_max, limits.requests_per_minute, limits.concurrent_max]
        .contains(&Some(0));
    if zero || limits.cost_max == Some(0) {
        faults.push("limits: each is at least 1".to_owned());
    }
    if contract.collections.is_empty() {
        faults.push("collections: at least one, as `[collections.orderClothing]`".to_owned());
    }
}

fn one(
    contract: &Contract,
    collection: &Collection,
    terms: &Terms,
    pinned: Option<&Published>,
    faults: &mut Vec<String>,
) {
    if terms.fields.is_empty() {
        faults.push("fields: at least one, or `\"*\"` for all".to_owned());
    }
    if let (Some(version), None) = (terms.shape_version, pinned) {
        return faults.push(format!("shape_version: there is no version {version} of its shape"));
    }
    if terms.shape_version.is_none() && !terms.misfits.is_empty() {
        faults.push("misfits: only a `shape_version` keeps types that values may not fit".to_owned());
    }
    let shape = &collection.shape;
    for name in terms.fields.iter().filter(|name| *name != "*") {
        if let Err(fault) = known(shape, name) {
            faults.push(format!("fields: {fault}"));
        }
    }
    let masked = terms.masks.keys().map(|name| ("masks", name));
    let misfits = terms.misfits.keys().filter(|name| *name != "*").map(|name| ("misfits", name));
    let renamed = terms.rename.keys().map(|name| ("rename", name));
    for (what, name) in renamed.chain(masked).chain(misfits) {
        if let Err(fault) = known(shape, name) {
            faults.push(format!("{what}: {fault}"));
        }
    }
    for (name, misfit) in &terms.misfits {
        let number =
            |field: &Field| matches!(field.kind, Kind::Scalar(Scalar::Int | Scalar::BigInt | Scalar::Float));
        let other = name != "*" && field_of(shape, name).is_some_and(|field| !number(field));
        if *misfit == OnMisfit::DropRow && other {
            faults.push(format!("misfits: `{name}` is no number, and only of numbers rows can be dropped"));
        }
    }
    for (name, new) in &terms.rename {
        if name.starts_with(RECORD) || name == REST {
            faults.push(format!("rename: `{name}` keeps its name"));
        } else if let Err(reason) = is_legal(new, NAME_BYTES_MAX) {
            faults.push(format!("rename: `{new}`: {reason}"));
        }
    }
    match narrow(collection, contract, terms, pinned) {
        Err(error) => faults.push(format!("where: {}", error.message())),
        Ok(narrowed) => twice(&narrowed.collection.shape, faults),
    }
}

/// Two names of one level that are the same, or are when they are joined by `_`, as `groupBy` has them.
fn twice(shape: &Published, faults: &mut Vec<String>) {
    fn level<'a>(fields: &'a [Field], beside: &[&'a str], faults: &mut Vec<String>) {
        let mut seen: BTreeSet<&str> = beside.iter().copied().collect();
        for field in fields {
            for name in field.names().chain(field.union().map(|union| union.name.as_str())) {
                if !seen.insert(name) {
                    faults.push(format!("rename: two fields would be called `{name}`"));
                }
            }
            level(field.children(), &[], faults);
        }
    }
    let relations: Vec<&str> = shape.relations().map(|relation| relation.name.as_str()).collect();
    level(&shape.fields, &relations, faults);
}

/// The field that a dotted name leads to.
fn field_of<'a>(shape: &'a Published, name: &str) -> Option<&'a Field> {
    let mut fields = shape.fields.as_slice();
    let mut found = None;
    for part in name.split('.') {
        let field = fields.iter().find(|field| field.was_called(part))?;
        (found, fields) = (Some(field), field.children());
    }
    found
}

/// Whether a dotted name leads to something of the collection.
fn known(shape: &Published, name: &str) -> std::result::Result<(), String> {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        [REST] | [RECORD] => return Ok(()),
        [RECORD, member] => {
            let known = envelope(member).is_some() || told_member(member).is_some_and(|told| told.classified);
            let fault = || format!("`{name}` is not a member of `_record` that a contract can have");
            return known.then_some(()).ok_or_else(fault);
        }
        _ => {}
    }
    let beside = shape.relations().map(|relation| relation.name.as_str());
    let mut beside = beside.chain(shape.own_union().map(|union| union.name.as_str()));
    if let [only] = parts.as_slice()
        && beside.any(|name| name == *only)
    {
        return Ok(());
    }
    let mut fields = shape.fields.as_slice();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        if *part == "*" && last && index > 0 {
            return Ok(());
        }
        let union = |field: &Field| field.union().is_some_and(|union| union.name == *part);
        if last && fields.iter().any(union) {
            return Ok(());
        }
        let Some(field) = fields.iter().find(|field| field.was_called(part)) else {
            let names = fields.iter().map(|field| field.name.as_str());
            return Err(format!("there is no field `{name}`{}", hint(part, names)));
        };
        fields = field.children();
    }
    Ok(())
}

fn hint<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|other| (strsim::damerau_levenshtein(name, other), other));
    let nearest = near.filter(|(far, _)| *far <= NEAR_MAX).min();
    nearest.map_or_else(String::new, |(_, name)| format!("; the nearest is `{name}`"))
}
