//! From rules to a [`Scope`]: the row filter, and access, mask and condition of every field.
//!
//! `allow_field` is asked for the leaves; an object is visible when anything in it is. A mask on an object or list
//! masks all that is in it, and the tags of an object are tags of its fields too. A map holds values itself, its keys,
//! so it is asked for like a leaf, and a mask hides it whole. The members of `_record` are fields.
//! Of several masks the strictest holds; a mask that depends on the row masks every row. What cannot be decided is
//! hidden. One budget of steps is for the whole scope, and fields of which the rules see the same are decided once.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::policy::filter;
use crate::policy::machine::{Fault, Machine, World};
use crate::policy::scope::{Access, Scope};
use crate::policy::text::Span;
use crate::policy::value::{FieldFacts, Value};
use crate::query::{Collection, ColumnRef, ENVELOPE, Filter, Mask, RECORD, TOLD, Unit, envelope};
use crate::shape::{Field, Kind, Scalar};

/// The members of `_record` that a key is made of; category and subcategory are those of the collection.
const KEY_PARTS: [&str; 2] = ["sourceName", "sourceUid"];

/// A scope, if anything can be seen, and remarks for the log: one of each place in the policy.
pub(super) struct Built {
    pub(super) scope: Option<Scope>,
    pub(super) remarks: BTreeMap<Span, String>,
    /// What the rules were asked about each field, by its id; only when it is to be explained.
    pub(super) facts: BTreeMap<u32, FieldFacts>,
}

/// Compiles what the world's user may read of the world's collection.
pub(super) fn build(world: World<'_>, collection: &Collection, steps_max: usize) -> Result<Built, Fault> {
    walked(Walk::new(world, steps_max), collection, steps_max)
}

/// As [`build`], with what the rules were asked.
pub(super) fn explained(world: World<'_>, collection: &Collection, steps_max: usize) -> Result<Built, Fault> {
    walked(Walk { facts: Some(BTreeMap::new()), ..Walk::new(world, steps_max) }, collection, steps_max)
}

fn walked(mut walk: Walk<'_>, collection: &Collection, steps_max: usize) -> Result<Built, Fault> {
    let world = walk.world;
    // What is shown of a field is decided with each row at hand, so only rules about rows follow relations.
    walk.world.around = None;
    let mut machine = Machine::new(world, steps_max);
    let rows = machine.ask("allow", vec![Value::User, Value::Text("read"), Value::Row])?;
    walk.account(machine);
    if rows == Filter::Const(false) {
        let facts = walk.facts.unwrap_or_default();
        return Ok(Built { scope: None, remarks: walk.remarks, facts });
    }
    walk.level(&collection.shape.fields, &Above::default())?;
    walk.envelope(collection)?;
    // What nobody has classified can hold values of any field.
    let plain = walk.conditional.is_empty() && walk.fields.values().all(|access| *access == Access::Visible);
    walk.told(plain, !collection.shape.unclassified)?;
    let rest = walk.unclassified("_rest")?;
    let rescued = if plain { walk.unclassified("_record.rescued")? } else { Access::Hidden };
    let Walk { fields, conditional, remarks, facts, .. } = walk;
    let facts = facts.unwrap_or_default();
    if fields.values().all(|access| *access == Access::Hidden) {
        return Ok(Built { scope: None, remarks, facts });
    }
    let scope = Scope { rows, fields, conditional, rest, rescued, cast: BTreeSet::new() };
    Ok(Built { scope: Some(scope), remarks, facts })
}

/// What a field inherits from the objects and lists around it.
#[derive(Clone, Default)]
struct Above {
    /// Joined by dots, in every way that they can be or could be called.
    names: Vec<String>,
    parents: Vec<String>,
    tags: BTreeSet<String>,
    masks: Vec<Mask>,
    /// A steward has hidden one of them.
    hidden: bool,
}

/// The masks that rules name for a field, and whether all rules about it could be decided.
#[derive(Clone)]
struct Masks {
    named: Vec<Mask>,
    decided: bool,
}

struct Walk<'a> {
    world: World<'a>,
    steps_left: usize,
    fields: BTreeMap<u32, Access>,
    conditional: BTreeMap<u32, Arc<Filter>>,
    remarks: BTreeMap<Span, String>,
    /// What `allow_field` and `mask_field` have said, by what they saw of the field.
    allowed: HashMap<FieldFacts, Arc<Filter>>,
    masked: HashMap<FieldFacts, Masks>,
    /// What the rules were asked about, where somebody wants to know.
    facts: Option<BTreeMap<u32, FieldFacts>>,
}

impl<'a> Walk<'a> {
    fn new(world: World<'a>, steps_max: usize) -> Self {
        Walk {
            world,
            steps_left: steps_max,
            fields: BTreeMap::new(),
            conditional: BTreeMap::new(),
            remarks: BTreeMap::new(),
            allowed: HashMap::new(),
            masked: HashMap::new(),
            facts: None,
        }
    }

    /// Takes over what a run has left of the budget, and its remarks.
    fn account(&mut self, machine: Machine<'_>) {
        self.steps_left = machine.steps_left();
        for (span, reason) in machine.remarks {
            self.remarks.entry(span).or_insert(reason);
        }
    }

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
        here.names = joined(&above.names, field);
        here.tags.extend(field.tags.iter().cloned());
        here.hidden |= field.decided.hidden;
        let keys = field.kind.maps() > 0;
        let classified = if keys { !field.unclassified } else { field.is_classified() };
        let facts = facts(&here, &field.path, classified && !here.hidden, true);
        if let Some(asked) = &mut self.facts {
            asked.insert(field.id, facts.clone());
        }
        let masks = self.masks(&facts)?;
        here.masks.extend(masks.named);
        let access = match children(&field.kind) {
            _ if !masks.decided => Access::Hidden,
            // Its keys are shown where it is, whatever is shown of what is in it.
            Some(children) if keys => {
                let own = self.access(field.id, &facts, strictest(here.masks.clone(), Scalar::Json))?;
                here.hidden |= own == Access::Hidden;
                here.parents.extend(facts.names);
                if self.level(children, &here)? { own } else { Access::Hidden }
            }
            Some(children) => {
                here.parents.extend(facts.names);
                if self.level(children, &here)? { Access::Visible } else { Access::Hidden }
            }
            None => self.access(field.id, &facts, strictest(here.masks, field.kind.scalar()))?,
        };
        let seen = access != Access::Hidden;
        self.fields.insert(field.id, access);
        Ok(seen)
    }

    /// The members of `_record`. The key is made of others, so it is shown at most as they are.
    fn envelope(&mut self, collection: &Collection) -> Result<(), Fault> {
        // With the first of the fields the envelope is classified, too.
        let known = !collection.shape.unclassified;
        for member in &ENVELOPE {
            let parts: &[&str] = if member.column == ColumnRef::Key { &KEY_PARTS } else { &[] };
            let tagged = parts.iter().copied().chain([member.name]);
            let tags = tagged.filter_map(|name| collection.shape.envelope.get(name)).flatten().cloned();
            let above = Above { parents: vec![RECORD.to_owned()], tags: tags.collect(), ..Above::default() };
            let name = format!("{RECORD}.{}", member.name);
            let facts = leaf_facts(&name, above, known, true);
            let access = self.leaf(member.id, member.scalar, &facts)?;
            self.fields.insert(member.id, access);
        }
        let key = envelope("key").map_or(0, |member| member.id);
        for part in KEY_PARTS.iter().filter_map(|name| envelope(name)) {
            let access = match (self.fields.get(&key), self.fields.get(&part.id)) {
                (Some(held @ (Access::Visible | Access::Masked(_))), Some(Access::Visible)) => held.clone(),
                (Some(held @ (Access::Visible | Access::Masked(_))), Some(Access::Masked(mask))) => {
                    // What a mask keeps of a long key may be all of a short part.
                    let shows = mask.fits(part.scalar) && *mask != Mask::Null;
                    let own = if let Access::Masked(own) = held { Some(own.clone()) } else { None };
                    let masks = own.into_iter().chain([if shows { Mask::Hash } else { Mask::Null }]);
                    strictest(masks, Scalar::String).map_or(Access::Hidden, Access::Masked)
                }
                _ => Access::Hidden,
            };
            self.fields.insert(key, access);
            if let Some(when) = self.conditional.get(&part.id).cloned() {
                let both = self.conditional.get(&key).into_iter().chain([&when]);
                let both = filter::and(both.map(|when| Filter::clone(when)));
                self.conditional.insert(key, Arc::new(both));
            }
        }
        Ok(())
    }

    /// The members that the record tells. `plain`: all others are shown as they are, in every row; `known`: the
    /// envelope is classified.
    fn told(&mut self, plain: bool, known: bool) -> Result<(), Fault> {
        for told in &TOLD {
            let above = Above { parents: vec![RECORD.to_owned()], ..Above::default() };
            let name = format!("{RECORD}.{}", told.name);
            let facts = leaf_facts(&name, above, told.classified && known, told.classified);
            let access = match told.classified || plain {
                true => self.leaf(told.id, told.scalar, &facts)?,
                false => Access::Hidden,
            };
            self.fields.insert(told.id, access);
        }
        Ok(())
    }

    /// How a member of `_record` is shown.
    fn leaf(&mut self, id: u32, scalar: Scalar, facts: &FieldFacts) -> Result<Access, Fault> {
        if let Some(asked) = &mut self.facts {
            asked.insert(id, facts.clone());
        }
        let Masks { named, decided } = self.masks(facts)?;
        let mask = strictest(named, scalar);
        if decided { self.access(id, facts, mask) } else { Ok(Access::Hidden) }
    }

    /// How a leaf is shown under the mask that holds for it.
    fn access(&mut self, id: u32, facts: &FieldFacts, mask: Option<Mask>) -> Result<Access, Fault> {
        let when = self.allowed(facts)?;
        if *when == Filter::Const(false) {
            return Ok(Access::Hidden);
        }
        if *when != Filter::Const(true) {
            self.conditional.insert(id, when);
        }
        Ok(mask.map_or(Access::Visible, Access::Masked))
    }

    /// What has no published type, so that it can hold anything; never by a rule that depends on the row.
    fn unclassified(&mut self, name: &str) -> Result<Access, Fault> {
        let parents = name.split_once('.').map(|(parent, _)| parent.to_owned()).into_iter().collect();
        let above = Above { names: vec![name.to_owned()], parents, ..Above::default() };
        let facts = facts(&above, name, false, false);
        let Masks { named, decided } = self.masks(&facts)?;
        let allowed = decided && *self.allowed(&facts)? == Filter::Const(true);
        Ok(match named.first() {
            _ if !allowed => Access::Hidden,
            Some(_) => Access::Masked(Mask::Null),
            None => Access::Visible,
        })
    }

    fn allowed(&mut self, facts: &FieldFacts) -> Result<Arc<Filter>, Fault> {
        let seen = self.seen(facts);
        if let Some(known) = self.allowed.get(&seen) {
            return Ok(known.clone());
        }
        let mut machine = Machine::new(self.world, self.steps_left);
        let args = vec![Value::User, Value::Text("read"), Value::Row, Value::Field(&seen)];
        let when = Arc::new(machine.ask("allow_field", args)?);
        self.account(machine);
        self.allowed.insert(seen, when.clone());
        Ok(when)
    }

    fn masks(&mut self, facts: &FieldFacts) -> Result<Masks, Fault> {
        let seen = self.seen(facts);
        if let Some(known) = self.masked.get(&seen) {
            return Ok(known.clone());
        }
        let mut machine = Machine::new(self.world, self.steps_left);
        let found = machine.ask_last("mask_field", vec![Value::User, Value::Row, Value::Field(&seen)])?;
        let mut masks = Masks { named: Vec::new(), decided: machine.clashes == 0 };
        for solution in found.iter().filter(|solution| solution.when != Filter::Const(false)) {
            match solution.value.as_ref().and_then(|value| mask_of(value)) {
                Some(mask) if masks.named.contains(&mask) => {}
                Some(mask) => masks.named.push(mask),
                None => masks.decided = false,
            }
        }
        drop(found);
        self.account(machine);
        self.masked.insert(seen, masks.clone());
        Ok(masks)
    }

    /// What of a field's description the rules read.
    fn seen(&self, facts: &FieldFacts) -> FieldFacts {
        let read = |member: &str| self.world.program.members.contains(member);
        FieldFacts {
            names: if read("name") { facts.names.clone() } else { Vec::new() },
            path: if read("path") { facts.path.clone() } else { String::new() },
            tags: if read("tags") { facts.tags.clone() } else { Vec::new() },
            parents: if read("parents") { facts.parents.clone() } else { Vec::new() },
            classified: facts.classified && read("classified"),
            published: facts.published && read("published"),
        }
    }
}

/// What a field is or was called, with the names of what it stands in, joined by dots.
fn joined(above: &[String], field: &Field) -> Vec<String> {
    if above.is_empty() {
        return field.names_ever().map(str::to_owned).collect();
    }
    above.iter().flat_map(|above| field.names_ever().map(move |name| format!("{above}.{name}"))).collect()
}

/// The fields below; `None` for a leaf: a scalar, a list or map of scalars, or an object without fields.
pub(super) fn children(kind: &Kind) -> Option<&[Field]> {
    match kind {
        Kind::Scalar(_) => None,
        Kind::Object(fields) | Kind::Packed(fields) => {
            Some(fields).filter(|fields| !fields.is_empty()).map(Vec::as_slice)
        }
        Kind::List(inner) | Kind::Map(inner) => children(inner),
    }
}

/// Of a member of `_record`.
fn leaf_facts(name: &str, above: Above, classified: bool, published: bool) -> FieldFacts {
    facts(&Above { names: vec![name.to_owned()], ..above }, name, classified, published)
}

fn facts(here: &Above, path: &str, classified: bool, published: bool) -> FieldFacts {
    let prefixes = |tag: &String| -> Vec<String> {
        tag.match_indices('.')
            .filter_map(|(at, _)| tag.get(..at))
            .chain([tag.as_str()])
            .map(str::to_owned)
            .collect()
    };
    let tags: BTreeSet<String> = here.tags.iter().flat_map(prefixes).collect();
    FieldFacts {
        names: here.names.clone(),
        path: path.to_owned(),
        tags: tags.into_iter().collect(),
        parents: here.parents.clone(),
        classified,
        published,
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

/// The strictest mask of a value of that type: what leaves null of it, hash, then what keeps fewer characters, then the
/// coarser time, then the coarser number. Total, so that the order of rules does not matter.
pub(super) fn strictest(masks: impl IntoIterator<Item = Mask>, scalar: Scalar) -> Option<Mask> {
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
    let order = |a: &Mask, b: &Mask| {
        let ((a_kind, a_keeps), (b_kind, b_keeps)) = (rank(a), rank(b));
        a.fits(scalar).cmp(&b.fits(scalar)).then(a_kind.cmp(&b_kind)).then(a_keeps.total_cmp(&b_keeps))
    };
    masks.into_iter().min_by(order)
}
