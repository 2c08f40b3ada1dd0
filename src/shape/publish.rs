//! From the shape to what is published: which fields there are, of which kind, and what may still grow.
//!
//! **The first time** a location has something to publish, its kind is chosen from all that the shape has
//! seen there:
//!
//! | seen, `null` and empty containers left aside | published |
//! |---|---|
//! | `true`, `false` | `Boolean` |
//! | numbers | `Int`, `BigInt`, or `Float`: the narrowest that has room for all |
//! | strings that all are date-times, dates or UUIDs | `DateTime`, `Date`, `UUID` |
//! | other strings, or scalars of several kinds | `String` |
//! | objects | an object, flattened into columns; packed into one column when there is no room for that |
//! | objects whose keys are data, see [`maps`](super::maps) | a map of what its values give |
//! | arrays | a list of what its items give |
//! | objects and arrays, or either and scalars; what is too deep or over a bound | `JSON` |
//!
//! **Later** it only widens, `Int` to `BigInt` to `Float`; everything else keeps its kind for ever. As an item
//! of a list `Int` widens straight to `Float` and `BigInt` stays: the list is stored as text in output form,
//! where `Int` and `Float` are both numbers, but a `BigInt` is a string, and `contains` compares such text.

use std::collections::{BTreeSet, HashSet};

use super::formats::{self, DATE, DATE_TIME, UUID};
use super::modes::{Accepted, Gate};
use super::names::Namer;
use super::rename::{flat_names, flattened};
use super::structure::{
    ARRAY, BOOL, FLOAT, FOLDED, INT32, INT64, INTEGER, Kinds, NUMBERS, Node, OBJECT, SCALARS, STRING,
};
use super::unions::flat_unions;
use super::{Decided, Field, Kind, Published, Scalar, Shape};
use crate::config;

/// What a location that is not published yet would become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Choice {
    Scalar(Scalar),
    Object,
    /// An object without columns for its members; only [`Build::fitting`] makes one of an `Object`.
    Packed,
    List,
    Map,
}

pub(super) fn choose(node: &Node, limits: &config::Shape) -> Option<Choice> {
    let folded = node.kinds & FOLDED != 0;
    let scalar = node.kinds & SCALARS != 0;
    let some = |node: &Node| choose(node, limits).is_some();
    let members = node.members.values().any(some);
    let object = members || node.keyed.as_ref().is_some_and(|keyed| some(&keyed.values));
    let array = node.items.as_deref().is_some_and(some);
    // What is folded without a location below has its values nowhere but in itself.
    let opaque = folded
        && (node.members.is_empty() && node.items.is_none() && node.keyed.is_none()
            || node.kinds & (OBJECT | ARRAY) == OBJECT | ARRAY
            || !object && !array);
    match (scalar, object, array) {
        _ if opaque => Some(Choice::Scalar(Scalar::Json)),
        (true, false, false) => Some(Choice::Scalar(scalar_of(node))),
        (false, true, false) if node.is_map(limits) || !members => Some(Choice::Map),
        (false, true, false) => Some(Choice::Object),
        (false, false, true) => Some(Choice::List),
        (false, false, false) => None,
        _ => Some(Choice::Scalar(Scalar::Json)),
    }
}

fn scalar_of(node: &Node) -> Scalar {
    match node.kinds & SCALARS {
        BOOL => Scalar::Boolean,
        STRING if node.all & DATE_TIME != 0 => Scalar::DateTime,
        STRING if node.all & DATE != 0 => Scalar::Date,
        STRING if node.all & UUID != 0 => Scalar::Uuid,
        kinds if kinds & !NUMBERS == 0 => number_of(kinds),
        _ => Scalar::String,
    }
}

fn number_of(kinds: Kinds) -> Scalar {
    if kinds & (FLOAT | INTEGER) != 0 {
        Scalar::Float
    } else if kinds & INT64 != 0 {
        Scalar::BigInt
    } else {
        Scalar::Int
    }
}

/// Where a value stands in its row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// In a column of its own.
    Column,
    /// As an item of a list.
    Item,
    /// As a member of an object in the text of a column.
    Text,
}

/// What a published scalar becomes when its location has seen this.
fn widened(scalar: Scalar, kinds: Kinds, at: At) -> Scalar {
    if kinds & NUMBERS & !INT32 == 0 {
        return scalar;
    }
    match (scalar, at) {
        (Scalar::Int, At::Item) => Scalar::Float,
        (Scalar::BigInt, At::Item) => scalar,
        (Scalar::Int | Scalar::BigInt, _) => number_of(kinds),
        _ => scalar,
    }
}

/// Tags of a field of this kind. A kind that holds what is below in one value has the tags of all of it.
fn tags(kind: &Kind, node: &Node) -> BTreeSet<&'static str> {
    let whole = |node: &Node| formats::tags(node.formats(), node.all);
    match kind {
        Kind::Scalar(Scalar::Json) => whole(node).collect(),
        Kind::Map(value) => {
            let own = formats::tags(node.any | node.beneath | node.key_formats(), 0);
            own.chain(tags(value, &node.values())).collect()
        }
        Kind::Scalar(_) | Kind::Object(_) | Kind::Packed(_) => formats::tags(node.any, node.all).collect(),
        Kind::List(item) => {
            let own = formats::tags(node.any, 0);
            own.chain(node.items.iter().flat_map(|items| tags(item, items))).collect()
        }
    }
}

impl Shape {
    /// The published projection that follows `previous`: `None` when `previous` still says it all. Field ids
    /// and names of `previous` stay; types only widen. Where there is not room for everything, the least deep
    /// fields and those of the most structures are first; an object that finds none is packed, and what finds
    /// no location either is `JSON` or stays in a row's `rest`. What modes hold back is left out.
    pub fn publish(&self, previous: &Published, limits: &config::Shape) -> Option<Published> {
        self.publish_through(previous, limits, Accepted::Nothing)
    }

    /// What `published` would be if nothing were held back; ids and names of what it has not are not given yet.
    pub fn uncovered(&self, published: &Published, limits: &config::Shape) -> Published {
        self.publish_through(published, limits, Accepted::All).unwrap_or_else(|| published.clone())
    }

    pub(super) fn publish_through(
        &self,
        previous: &Published,
        limits: &config::Shape,
        accepted: Accepted<'_>,
    ) -> Option<Published> {
        let mut next = previous.clone();
        let mut build = Build {
            gate: Gate::new(previous, accepted, limits),
            limits,
            last_field_id: previous.last_field_id,
            columns: previous.columns().len() + previous.retired.len(),
            reserved: 0,
            locations: previous.fields().count(),
            flat: flat_names(&next.fields).into_keys().collect(),
            known: 0,
            changed: false,
        };
        build.flat.extend(next.relations.iter().map(|relation| relation.name.clone()));
        flat_unions(&next, &mut build.flat);
        build.grow(&mut next.fields, &self.root, At::Column);
        for depth in 0..limits.depth_max.max(1) {
            build.level(&mut next.fields, &self.root, Place { path: "", flat: &[String::new()] }, depth);
        }
        build.close(&mut next.fields, &self.root);
        if !build.changed {
            return None;
        }
        // What is not told apart from other keys is known of new fields, too.
        build.grow(&mut next.fields, &self.root, At::Column);
        next.last_field_id = build.last_field_id;
        next.version += 1;
        Some(next)
    }
}

/// Where an object stands: its JSON pointer, and the beginnings of the flattened names below it.
#[derive(Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    flat: &'a [String],
}

/// One publication at work.
struct Build<'a> {
    gate: Gate<'a>,
    limits: &'a config::Shape,
    last_field_id: u32,
    columns: usize,
    /// Columns that belong to objects whose members are still to come.
    reserved: usize,
    locations: usize,
    flat: HashSet<String>,
    /// Kinds of numbers that the field at work does not widen for.
    known: Kinds,
    changed: bool,
}

impl Build<'_> {
    /// Widens kinds, adds tags, and adds fields to objects within text, for everything that is published already.
    fn grow(&mut self, fields: &mut [Field], node: &Node, at: At) {
        for field in fields {
            let Some(member) = node.member(&field.key) else { continue };
            let path = field.path.clone();
            self.known = field.decided.retyped.unwrap_or(0);
            self.grow_kind(&mut field.kind, &member, &path, at);
            self.tag(field, &member);
        }
    }

    fn tag(&mut self, field: &mut Field, node: &Node) {
        // Meanings are given once with the field; what marks personal data may come at any time.
        let fresh = |tag: &&str| {
            tag.starts_with("pii.") && !field.tags.contains(*tag) && !field.decided.untagged.contains(*tag)
        };
        let fresh: Vec<_> = tags(&field.kind, node).into_iter().filter(fresh).collect();
        self.changed |= !fresh.is_empty();
        field.tags.extend(fresh.into_iter().map(str::to_owned));
    }

    fn grow_kind(&mut self, kind: &mut Kind, node: &Node, path: &str, at: At) {
        match kind {
            Kind::Scalar(scalar) => {
                let wide = widened(*scalar, node.kinds & !self.known, at);
                if wide != *scalar && self.gate.lets(path) {
                    self.changed = true;
                    *scalar = wide;
                }
            }
            // Its new members get columns, level by level.
            Kind::Object(fields) if at == At::Column => self.grow(fields, node, At::Column),
            Kind::Object(fields) | Kind::Packed(fields) => {
                self.grow(fields, node, At::Text);
                self.add_in_text(fields, node, path);
            }
            Kind::List(item) => {
                if let Some(items) = &node.items {
                    self.grow_kind(item, items, &format!("{path}/*"), At::Item);
                }
            }
            Kind::Map(value) => self.grow_kind(value, &node.values(), &format!("{path}/~*"), At::Text),
        }
    }

    /// Adds what is new to the objects `depth` levels down.
    fn level(&mut self, fields: &mut Vec<Field>, node: &Node, place: Place<'_>, depth: usize) {
        if depth == 0 {
            return self.add(fields, node, place);
        }
        for field in fields {
            if !matches!(field.kind, Kind::Object(_)) {
                continue;
            }
            let flat: Vec<String> = flattened(place.flat, field).into_iter().map(|name| name + "_").collect();
            if let (Kind::Object(children), Some(member)) =
                (&mut field.kind, node.members.get(field.key.as_str()))
            {
                self.level(children, member, Place { path: &field.path, flat: &flat }, depth - 1);
            }
        }
    }

    fn add(&mut self, fields: &mut Vec<Field>, node: &Node, place: Place<'_>) {
        if fields.is_empty() {
            // An object that was published a level above now takes the columns that were kept for it.
            self.reserved = self.reserved.saturating_sub(publishable(node, self.limits));
        }
        let mut new = Vec::new();
        for (key, member, choice) in self.new_members(fields, node, place.path) {
            let room = self.limits.columns_max.saturating_sub(self.columns + self.reserved);
            if room == 0 || self.locations + new.len() >= self.limits.locations_max {
                break;
            }
            self.columns += 1;
            new.push((key, member, self.fitting(member, choice)));
        }
        new.sort_unstable_by_key(|(key, _, _)| *key);
        let mut namer = Namer::of(fields);
        for (key, member, choice) in new {
            let path = format!("{}/{}", place.path, pointer_token(key));
            // What is in an object of that name would begin with two underscores, joined as groups have it.
            let lone = choice == Choice::Object && place.path.is_empty();
            let taken = |name: &str| {
                lone && name == "_"
                    || place.flat.iter().any(|flat| self.flat.contains(&format!("{flat}{name}")))
            };
            let name = namer.name(key, taken);
            let mut field = self.field(key, path, name);
            field.kind = match choice {
                Choice::Scalar(scalar) => Kind::Scalar(scalar),
                Choice::List | Choice::Map => self.within(choice, member, &field.path),
                Choice::Object => Kind::Object(Vec::new()),
                Choice::Packed => {
                    let mut children = Vec::new();
                    self.add_in_text(&mut children, member, &field.path);
                    if children.is_empty() { Kind::Scalar(Scalar::Json) } else { Kind::Packed(children) }
                }
            };
            field.tags = tags(&field.kind, member).into_iter().map(str::to_owned).collect();
            if matches!(choice, Choice::Scalar(_) | Choice::List | Choice::Map) {
                self.flat.extend(flattened(place.flat, &field));
            }
            fields.push(field);
        }
    }

    /// Members with something to publish that are not fields yet: what most documents have first, then by
    /// key.
    fn new_members<'n>(
        &self,
        fields: &[Field],
        node: &'n Node,
        above: &str,
    ) -> Vec<(&'n str, &'n Node, Choice)> {
        let known: HashSet<&str> = fields.iter().map(|field| field.key.as_str()).collect();
        let new = node.members.iter().filter(|(key, _)| !known.contains(&***key));
        let new = new.filter_map(|(key, member)| Some((&**key, member, choose(member, self.limits)?)));
        let mut new: Vec<_> =
            new.filter(|(key, member, choice)| self.gate.lets_in(above, key, member, *choice)).collect();
        new.sort_by_key(|(_, member, _)| std::cmp::Reverse(member.seen.count_ones()));
        new
    }

    /// An object is only flattened when its members fit into half of the columns. Else it is packed into one: a
    /// collection whose records are of many kinds would soon have no room for what comes later, not even for that one.
    fn fitting(&mut self, node: &Node, choice: Choice) -> Choice {
        if choice != Choice::Object {
            return choice;
        }
        let members = publishable(node, self.limits);
        if self.columns + self.reserved + members > self.limits.columns_max / 2 {
            return Choice::Packed;
        }
        self.reserved += members;
        choice
    }

    /// The kind of what stands within the text of a column.
    fn within(&mut self, choice: Choice, node: &Node, path: &str) -> Kind {
        match choice {
            Choice::Scalar(scalar) => Kind::Scalar(scalar),
            Choice::List => {
                let path = format!("{path}/*");
                Kind::List(Box::new(self.inner(node.items.as_deref(), &path)))
            }
            Choice::Map => {
                let path = format!("{path}/~*");
                Kind::Map(Box::new(self.inner(Some(&node.values()), &path)))
            }
            Choice::Object | Choice::Packed => {
                let mut fields = Vec::new();
                self.add_in_text(&mut fields, node, path);
                if fields.is_empty() { Kind::Scalar(Scalar::Json) } else { Kind::Object(fields) }
            }
        }
    }

    /// The kind of what stands in a list or a map.
    fn inner(&mut self, node: Option<&Node>, path: &str) -> Kind {
        match node.and_then(|node| Some((node, choose(node, self.limits)?))) {
            None => Kind::Scalar(Scalar::Json),
            Some((node, choice)) => self.within(choice, node, path),
        }
    }

    /// Adds what is new to an object within the text of a column, with all that is below it: it takes locations,
    /// but no columns.
    fn add_in_text(&mut self, fields: &mut Vec<Field>, node: &Node, path: &str) {
        let mut new = self.new_members(fields, node, path);
        new.truncate(self.limits.locations_max.saturating_sub(self.locations));
        new.sort_unstable_by_key(|(key, _, _)| *key);
        let mut namer = Namer::of(fields);
        for (key, member, choice) in new {
            let path = format!("{path}/{}", pointer_token(key));
            let name = namer.name(key, |_| false);
            let mut field = self.field(key, path.clone(), name);
            field.kind = self.within(choice, member, &path);
            field.tags = tags(&field.kind, member).into_iter().map(str::to_owned).collect();
            fields.push(field);
        }
    }

    /// A new field that has its id, so that it comes before the ids of what is nested in it.
    fn field(&mut self, key: &str, path: String, name: String) -> Field {
        self.changed = true;
        self.last_field_id += 1;
        self.locations += 1;
        let kind = Kind::Scalar(Scalar::Json);
        let (id, key, tags) = (self.last_field_id, key.to_owned(), BTreeSet::new());
        Field { id, key, path, name, kind, tags, unclassified: false, decided: Decided::default() }
    }

    /// An object that got no member is a JSON value: GraphQL has no type without fields.
    fn close(&mut self, fields: &mut [Field], node: &Node) {
        for field in fields {
            let Some(member) = node.members.get(field.key.as_str()) else { continue };
            match &mut field.kind {
                Kind::Object(children) if children.is_empty() => {
                    field.kind = Kind::Scalar(Scalar::Json);
                    self.tag(field, member);
                }
                Kind::Object(children) => self.close(children, member),
                _ => {}
            }
        }
    }
}

/// How many members have something to publish.
fn publishable(node: &Node, limits: &config::Shape) -> usize {
    node.members.values().filter(|member| choose(member, limits).is_some()).count()
}

/// A key as a token of a JSON pointer.
pub(super) fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
