//! Unions: which members of an object are there by the text of a discriminator, as a steward has accepted it. They
//! stand beside the object and change nothing of it. Must not find them: [`variants`](super::variants)
//! measures.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::names::Namer;
use super::rename::flat_names;
use super::{Building, Field, Kind, Published, Scalar};

/// The union of an object's variants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Union {
    /// The GraphQL name of the field that stands beside the object, given once.
    pub name: String,
    /// The GraphQL type, given once.
    #[serde(default)]
    pub type_name: String,
    /// The field whose text says which variant an object is: a member of its own, or of the document's root.
    pub discriminator: u32,
    /// All that were ever accepted, by their texts: [`Union::cases`] are those that hold.
    cases: Vec<Case>,
    /// It was taken back; should it be accepted again, names are the same.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub former: bool,
}

/// One variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The discriminator's text.
    pub value: String,
    /// The GraphQL type, given once.
    #[serde(default)]
    pub type_name: String,
    /// The object's members that it has been seen with.
    pub fields: BTreeSet<u32>,
}

/// Why a union cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// There is no object at the path.
    NoObject,
    /// The discriminator is no text, or stands elsewhere.
    Discriminator,
    /// There is a union with another discriminator.
    Other,
}

impl Union {
    /// The variants, unless it was taken back.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| !self.former && !case.fields.is_empty())
    }
}

impl Union {
    /// Goes on with the ids that fields have got with another type. What is no text any more tells no variants apart:
    /// then it is as if it had been taken back.
    pub(super) fn follow(&mut self, swapped: &[Building]) {
        for one in swapped {
            for case in &mut self.cases {
                for (from, to) in [(one.field, one.id), (one.column, one.column_id)] {
                    if case.fields.remove(&from) {
                        case.fields.insert(to);
                    }
                }
            }
            if self.discriminator == one.field {
                self.discriminator = one.id;
                self.former |= one.kind != Kind::Scalar(Scalar::String);
            }
        }
    }

    /// The names of its types, in an order that stays; empty are still to be given.
    pub(super) fn names_mut(&mut self) -> impl Iterator<Item = (Option<&str>, &mut String)> {
        let cases = self.cases.iter_mut().map(|case| (Some(case.value.as_str()), &mut case.type_name));
        std::iter::once((None, &mut self.type_name)).chain(cases)
    }
}

impl Field {
    /// Whether its objects stand under keys that are data.
    pub(super) fn has_keys(&self) -> bool {
        let mut kind = &self.kind;
        while let Kind::List(item) = kind {
            kind = item;
        }
        matches!(kind, Kind::Map(_))
    }

    /// The union of what it holds, if there is one.
    pub fn union(&self) -> Option<&Union> {
        self.decided
            .union
            .as_ref()
            .filter(|union| !union.former && !self.children().is_empty() && !self.has_keys())
    }
}

impl Published {
    /// The union of whole documents, if there is one.
    pub fn own_union(&self) -> Option<&Union> {
        self.union.as_ref().filter(|union| !union.former)
    }

    /// The union of the object at this path, taken back or not.
    pub fn union_at(&self, path: &str) -> Option<&Union> {
        match path {
            "" => self.union.as_ref(),
            path => self.fields().find(|field| field.path == path)?.decided.union.as_ref(),
        }
    }

    /// The members of the object at this path; of a list, those of its items.
    pub fn members_at(&self, path: &str) -> Option<&[Field]> {
        let members = match path {
            "" => self.fields.as_slice(),
            path => self.fields().find(|field| field.path == path && !field.has_keys())?.children(),
        };
        (!members.is_empty()).then_some(members)
    }

    /// The field that can tell variants of the object at `path` apart, by its own path: a text that is a member of the
    /// object, or of the document unless the object is an item of a list.
    pub fn discriminator(&self, path: &str, discriminator: &str) -> Option<&Field> {
        let own = self.members_at(path)?.iter();
        let whole = if self.is_single(path) { self.fields.as_slice() } else { &[] };
        own.chain(whole).find(|field| field.path == discriminator && is_text(field))
    }

    /// Whether a document has one object at this path.
    fn is_single(&self, path: &str) -> bool {
        let within = |field: &&Field| {
            field.path == path || path.strip_prefix(&*field.path).is_some_and(|rest| rest.starts_with('/'))
        };
        !self.fields().filter(within).any(|field| matches!(field.kind, Kind::List(_) | Kind::Map(_)))
    }

    /// Accepts variants of the object at `path`: those that were before stay, with the members that they had.
    ///
    /// # Errors
    /// Why not.
    pub fn accept_union(
        &mut self,
        path: &str,
        discriminator: &str,
        seen: &BTreeMap<String, BTreeSet<u32>>,
    ) -> Result<(), Unfit> {
        self.members_at(path).ok_or(Unfit::NoObject)?;
        let id = self.discriminator(path, discriminator).ok_or(Unfit::Discriminator)?.id;
        let mut union = match self.union_at(path) {
            Some(union) if union.discriminator != id && !union.former => return Err(Unfit::Other),
            Some(union) => union.clone(),
            None => {
                let (name, type_name) = (self.name_beside(path), String::new());
                Union { name, type_name, discriminator: id, cases: Vec::new(), former: false }
            }
        };
        if union.discriminator != id {
            // Only their names stay.
            union.cases.iter_mut().for_each(|case| case.fields.clear());
        }
        union.discriminator = id;
        union.former = false;
        for (value, fields) in seen {
            match union.cases.iter_mut().find(|case| case.value == *value) {
                Some(case) => case.fields.extend(fields),
                None => {
                    let (value, fields) = (value.clone(), fields.clone());
                    union.cases.push(Case { value, type_name: String::new(), fields });
                }
            }
        }
        union.cases.sort_by(|a, b| a.value.cmp(&b.value));
        self.set_union(path, union);
        Ok(())
    }

    /// Takes the union at this path back; whether there was one.
    pub fn remove_union(&mut self, path: &str) -> bool {
        let Some(union) = self.union_at(path).filter(|union| !union.former).cloned() else { return false };
        self.set_union(path, Union { former: true, ..union });
        true
    }

    fn set_union(&mut self, path: &str, union: Union) {
        match path {
            "" => self.union = Some(union),
            path => {
                if let Some(field) = self.at_path_mut(path) {
                    field.decided.union = Some(union);
                }
            }
        }
    }

    /// A name for the field beside the object at `path`.
    fn name_beside(&self, path: &str) -> String {
        let mut flat: HashSet<String> = flat_names(&self.fields).into_keys().collect();
        flat_unions(self, &mut flat);
        flat.extend(self.relations.iter().map(|relation| relation.name.clone()));
        let mut above = Vec::new();
        let (siblings, wanted) = match beside(&self.fields, path, &mut above) {
            Some((siblings, field)) => (siblings, format!("{}Variant", field.name)),
            None => (self.fields.as_slice(), "variant".to_owned()),
        };
        let prefix: String = above.iter().map(|name| format!("{name}_")).collect();
        Namer::of(siblings).name(&wanted, |name| flat.contains(&format!("{prefix}{name}")))
    }

    /// Whether a union has this name among the fields that the one at `path` stands among.
    pub(super) fn is_union_beside(&self, path: &str, name: &str) -> bool {
        let mut above = Vec::new();
        let siblings = beside(&self.fields, path, &mut above).map_or([].as_slice(), |(siblings, _)| siblings);
        let own = self.union.as_ref().filter(|_| above.is_empty());
        siblings
            .iter()
            .filter_map(|field| field.decided.union.as_ref())
            .chain(own)
            .any(|one| one.name == name)
    }

    /// Every union, with the id of its object's field; `None` for whole documents.
    pub(super) fn unions_mut(&mut self, each: &mut dyn FnMut(Option<u32>, &mut Union)) {
        if let Some(union) = &mut self.union {
            each(None, union);
        }
        below(&mut self.fields, each);
    }
}

/// The names of the unions of rows and of objects in columns, flattened.
pub(super) fn flat_unions(published: &Published, flat: &mut HashSet<String>) {
    fn below(fields: &[Field], above: &str, flat: &mut HashSet<String>) {
        for field in fields {
            flat.extend(field.decided.union.as_ref().map(|union| format!("{above}{}", union.name)));
            if let Kind::Object(children) = &field.kind {
                below(children, &format!("{above}{}_", field.name), flat);
            }
        }
    }
    flat.extend(published.union.as_ref().map(|union| union.name.clone()));
    below(&published.fields, "", flat);
}

fn is_text(field: &Field) -> bool {
    matches!(field.kind, Kind::Scalar(Scalar::String))
}

fn below(fields: &mut [Field], each: &mut dyn FnMut(Option<u32>, &mut Union)) {
    for field in fields {
        if let Some(union) = &mut field.decided.union {
            each(Some(field.id), union);
        }
        if let Some(children) = field.children_mut() {
            below(children, each);
        }
    }
}

/// The field at a path, among the fields that it stands among, with the names above them.
fn beside<'a>(fields: &'a [Field], path: &str, above: &mut Vec<&'a str>) -> Option<(&'a [Field], &'a Field)> {
    for field in fields {
        if field.path == path {
            return Some((fields, field));
        }
        if path.strip_prefix(&*field.path).is_some_and(|rest| rest.starts_with('/')) {
            above.push(&field.name);
            return beside(field.children(), path, above);
        }
    }
    None
}
