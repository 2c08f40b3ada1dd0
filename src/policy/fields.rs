//! From rules to a [`Scope`]: the row filter, and access, mask and condition of every field.
//!
//! `allow_field` is asked for the leaves; an object is visible when anything in it is. A mask on an object or list
//! masks all that is in it, and the tags of an object are tags of its fields too. The members of `_record` are fields.
//! Of several masks the strictest holds; a mask that depends on the row masks every row. What cannot be decided is
//! hidden.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::policy::filter;
use crate::policy::machine::{Fault, Machine, World};
use crate::policy::scope::{Access, Scope};
use crate::policy::text::Span;
use crate::policy::value::{FieldFacts, Value};
use crate::query::{Collection, ColumnRef, ENVELOPE, Filter, Mask, RECORD, TOLD, Unit, envelope};
use crate::shape::{Field, Kind};

/// The members of `_record` that a key is made of; category and subcategory are those of the collection.
const KEY_PARTS: [&str; 2] = ["sourceName", "sourceUid"];

/// A scope, if anything can be seen, and remarks for the log.
pub(super) struct Built {
    pub(super) scope: Option<Scope>,
    pub(super) remarks: Vec<(Span, String)>,
}

/// Compiles what the world's user may read of the world's collection.
pub(super) fn build(world: World<'_>, collection: &Collection, steps_max: usize) -> Result<Built, Fault> {
    let mut remarks = Vec::new();
    let mut machine = Machine::new(world, steps_max);
    let rows = machine.ask("allow", vec![Value::User, Value::Text("read"), Value::Row])?;
    remarks.append(&mut machine.remarks);
    if rows == Filter::Const(false) {
        return Ok(Built { scope: None, remarks });
    }
    let mut walk = Walk { world, steps_max, fields: BTreeMap::new(), conditional: BTreeMap::new(), remarks };
    walk.level(&collection.shape.fields, &Above::default())?;
    walk.envelope(collection)?;
    let rest = walk.unclassified("_rest")?;
    let rescued = walk.unclassified("_record.rescued")?;
    let Walk { fields, conditional, remarks, .. } = walk;
    if fields.values().all(|access| *access == Access::Hidden) {
        return Ok(Built { scope: None, remarks });
    }
    let mut hasher = DefaultHasher::new();
    format!("{}{rows:?}{fields:?}{conditional:?}{rest:?}{rescued:?}", collection.id).hash(&mut hasher);
    let scope = Scope { rows, fields, conditional, rest, rescued, fingerprint: hasher.finish() };
    Ok(Built { scope: Some(scope), remarks })
}

/// What a field inherits from the objects and lists around it.
#[derive(Clone, Default)]
struct Above {
    names: Vec<String>,
    parents: Vec<String>,
    tags: BTreeSet<String>,
    mask: Option<Mask>,
}

struct Walk<'a> {
    world: World<'a>,
    steps_max: usize,
    fields: BTreeMap<u32, Access>,
    conditional: BTreeMap<u32, Filter>,
    remarks: Vec<(Span, String)>,
}

impl Walk<'_> {
    /// Decides the fields of one level; says whether any is seen.
    fn level(&mut self, fields: &[Field], above: &Above) -> Result<bool, Fault> {
        let mut any = false;
        for field in fields {
            any |= self.field(field, above)?;
        }
        Ok(any)
    }

    fn field(&mut self, field: &Field, above: &Above) -> Result<bool, Fault> {
        let mut here = above.clone();
        here.names.push(field.name.clone());
        here.tags.extend(field.tags.iter().cloned());
        let facts = facts(&here, &field.path, true);
        let (mask, decided) = self.mask(&facts, above.mask.clone())?;
        here.mask = mask;
        let access = match children(&field.kind) {
            _ if !decided => Access::Hidden,
            Some(children) => {
                here.parents.push(facts.name);
                if self.level(children, &here)? { Access::Visible } else { Access::Hidden }
            }
            None => self.access(field.id, &facts, here.mask)?,
        };
        let seen = access != Access::Hidden;
        self.fields.insert(field.id, access);
        Ok(seen)
    }

    /// The members of `_record`. The key is made of others, so it is shown at most as they are.
    fn envelope(&mut self, collection: &Collection) -> Result<(), Fault> {
        for member in &ENVELOPE {
            let parts: &[&str] = if member.column == ColumnRef::Key { &KEY_PARTS } else { &[] };
            let tagged = parts.iter().copied().chain([member.name]);
            let tags = tagged.filter_map(|name| collection.shape.envelope.get(name)).flatten().cloned();
            let above = Above { parents: vec![RECORD.to_owned()], tags: tags.collect(), ..Above::default() };
            self.leaf(member.id, &format!("{RECORD}.{}", member.name), above, true)?;
        }
        for told in &TOLD {
            let above = Above { parents: vec![RECORD.to_owned()], ..Above::default() };
            self.leaf(told.id, &format!("{RECORD}.{}", told.name), above, told.classified)?;
        }
        let key = envelope("key").map_or(0, |member| member.id);
        for part in KEY_PARTS.iter().filter_map(|name| envelope(name)) {
            let access = match (self.fields.get(&key), self.fields.get(&part.id)) {
                (Some(Access::Visible), Some(other)) => other.clone(),
                (Some(Access::Masked(held)), Some(Access::Masked(other))) => {
                    Access::Masked(stricter(Some(held.clone()), other.clone()))
                }
                (Some(held @ Access::Masked(_)), Some(Access::Visible)) => held.clone(),
                _ => Access::Hidden,
            };
            self.fields.insert(key, access);
            if let Some(when) = self.conditional.get(&part.id).cloned() {
                let held = self.conditional.remove(&key);
                self.conditional.insert(key, filter::and(held.into_iter().chain([when])));
            }
        }
        Ok(())
    }

    fn leaf(&mut self, id: u32, name: &str, above: Above, classified: bool) -> Result<(), Fault> {
        let facts = facts(&Above { names: vec![name.to_owned()], ..above }, name, classified);
        let (mask, decided) = self.mask(&facts, None)?;
        let access = if decided { self.access(id, &facts, mask)? } else { Access::Hidden };
        self.fields.insert(id, access);
        Ok(())
    }

    /// How a leaf is shown under the mask that holds for it.
    fn access(&mut self, id: u32, facts: &FieldFacts, mask: Option<Mask>) -> Result<Access, Fault> {
        let when = self.allowed(facts)?;
        if when == Filter::Const(false) {
            return Ok(Access::Hidden);
        }
        if when != Filter::Const(true) {
            self.conditional.insert(id, when);
        }
        Ok(mask.map_or(Access::Visible, Access::Masked))
    }

    /// What has no published type and so nobody has looked at; never by a rule that depends on the row.
    fn unclassified(&mut self, name: &str) -> Result<Access, Fault> {
        let parents = name.split_once('.').map(|(parent, _)| parent.to_owned()).into_iter().collect();
        let above = Above { names: vec![name.to_owned()], parents, ..Above::default() };
        let facts = facts(&above, name, false);
        let (mask, decided) = self.mask(&facts, None)?;
        let allowed = decided && self.allowed(&facts)? == Filter::Const(true);
        Ok(match mask {
            _ if !allowed => Access::Hidden,
            Some(_) => Access::Masked(Mask::Null),
            None => Access::Visible,
        })
    }

    fn allowed(&mut self, facts: &FieldFacts) -> Result<Filter, Fault> {
        let mut machine = Machine::new(self.world, self.steps_max);
        let args = vec![Value::User, Value::Text("read"), Value::Row, Value::Field(facts)];
        let when = machine.ask("allow_field", args)?;
        self.remarks.append(&mut machine.remarks);
        Ok(when)
    }

    /// The strictest mask, and whether all rules about it could be decided.
    fn mask(&mut self, facts: &FieldFacts, inherited: Option<Mask>) -> Result<(Option<Mask>, bool), Fault> {
        let mut machine = Machine::new(self.world, self.steps_max);
        let found = machine.ask_last("mask_field", vec![Value::User, Value::Row, Value::Field(facts)])?;
        let mut strictest = inherited;
        let mut decided = machine.clashes == 0;
        for solution in found.iter().filter(|solution| solution.when != Filter::Const(false)) {
            match solution.value.as_ref().and_then(|value| mask_of(value)) {
                Some(mask) => strictest = Some(stricter(strictest, mask)),
                None => decided = false,
            }
        }
        self.remarks.append(&mut machine.remarks);
        Ok((strictest, decided))
    }
}

/// The fields below; `None` for a leaf: a scalar, a list of scalars, or an object without fields.
fn children(kind: &Kind) -> Option<&[Field]> {
    match kind {
        Kind::Scalar(_) => None,
        Kind::Object(fields) | Kind::Packed(fields) => {
            Some(fields).filter(|fields| !fields.is_empty()).map(Vec::as_slice)
        }
        Kind::List(items) => children(items),
    }
}

fn facts(here: &Above, path: &str, classified: bool) -> FieldFacts {
    let prefixes = |tag: &String| -> Vec<String> {
        tag.match_indices('.')
            .filter_map(|(at, _)| tag.get(..at))
            .chain([tag.as_str()])
            .map(str::to_owned)
            .collect()
    };
    let tags: BTreeSet<String> = here.tags.iter().flat_map(prefixes).collect();
    FieldFacts {
        name: here.names.join("."),
        path: path.to_owned(),
        tags: tags.into_iter().collect(),
        parents: here.parents.clone(),
        classified,
    }
}

/// The mask that a rule names; `None` when there is no such mask.
pub(super) fn mask_of(value: &Value<'_>) -> Option<Mask> {
    let count = |value: &Value<'_>| match value {
        Value::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    match value {
        Value::Text("null") => Some(Mask::Null),
        Value::Text("hash") => Some(Mask::Hash),
        Value::Dict(members) => match members.as_ref() {
            [("keep_first", n)] => count(n).map(Mask::KeepFirst),
            [("keep_last", n)] => count(n).map(Mask::KeepLast),
            [("round", Value::Int(n))] if *n > 0 => Some(Mask::Round(*n as f64)),
            [("round", Value::Float(n))] if *n > 0.0 => Some(Mask::Round(*n)),
            [("truncate", Value::Text(unit))] => {
                let unit = match *unit {
                    "year" => Unit::Year,
                    "month" => Unit::Month,
                    "day" => Unit::Day,
                    "hour" => Unit::Hour,
                    _ => return None,
                };
                Some(Mask::Truncate(unit))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The stricter of two masks: null, hash, then what keeps fewer characters, then the coarser time, then the coarser
/// number. Total, so that the order of rules does not matter.
fn stricter(held: Option<Mask>, other: Mask) -> Mask {
    let rank = |mask: &Mask| match mask {
        Mask::Null => (0, 0.0),
        Mask::Hash => (1, 0.0),
        Mask::KeepLast(n) => (2, *n as f64),
        Mask::KeepFirst(n) => (2, *n as f64 + 0.5),
        Mask::Truncate(Unit::Year) => (3, 0.0),
        Mask::Truncate(Unit::Month) => (3, 1.0),
        Mask::Truncate(Unit::Day) => (3, 2.0),
        Mask::Truncate(Unit::Hour) => (3, 3.0),
        Mask::Round(step) => (4, -step),
    };
    match held {
        Some(held) if rank(&held).partial_cmp(&rank(&other)) != Some(std::cmp::Ordering::Greater) => held,
        _ => other,
    }
}
