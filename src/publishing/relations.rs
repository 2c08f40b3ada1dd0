//! Relations as stewards decide about them: accepted, removed, listed. Names once given are not given to other fields,
//! and everything is written down. Following them is another's part.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Publishing, Visible, leads, short};
use crate::error::{Code, Error, Result};
use crate::policy::Action;
use crate::query::{Collection, ENVELOPE, FieldRef, RECORD};
use crate::record::Actor;
use crate::shape::{Published, Relation, inverse_name, relation_name};
use crate::store::rows::{Decision, Side};

/// One end of a relation, as it is named.
#[derive(Clone, Debug)]
pub struct End {
    /// The collection's name.
    pub collection: String,
    /// The field's path, or `_record.sourceUid`.
    pub path: String,
}

/// A relation to accept.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Whose values are those of the key.
    pub from: End,
    /// The key.
    pub to: End,
    /// What it is called on the rows that it leads from.
    pub name: Option<String>,
    /// What it is called on the rows that it leads to.
    pub inverse_name: Option<String>,
}

/// An end that was found.
struct Found {
    collection: Arc<Collection>,
    field: FieldRef,
    id: u32,
    path: String,
}

impl Publishing {
    /// Accepts a relation: the GraphQL type `Relation`.
    ///
    /// # Errors
    /// `FORBIDDEN`, also for personal data without role `pii`; `NOT_FOUND`; `BAD_REQUEST` for fields that cannot be
    /// ends and names that cannot be given; `CONFLICT` when there is such a relation.
    pub async fn accept_relation(&self, actor: &Actor, asked: &Accept) -> Result<Value> {
        let (from, to) = (self.found(actor, &asked.from).await?, self.found(actor, &asked.to).await?);
        check(&from, &to)?;
        let mut accepted = Relation {
            id: String::new(),
            name: String::new(),
            field: from.id,
            other: to.collection.field_name.clone(),
            other_field: to.id,
            many: false,
            removed: false,
        };
        let mut inverse_given = None;
        let tell = |relation: &Relation, inverse: Option<&str>| {
            json!({
                "id": relation.id,
                "from": { "collection": from.collection.field_name, "path": from.path },
                "to": { "collection": to.collection.field_name, "path": to.path },
                "name": relation.name,
                "inverseName": inverse,
            })
        };
        let mut change = |side: Side, shape: &mut Published| {
            if side == Side::From {
                let given = shape.relations.iter().filter(|relation| !relation.many).count();
                accepted.id = format!("{}.{}", from.collection.id, given + 1);
                let default = || relation_name(&own_name(&from), &to.collection.type_name);
                let sides = (shape, &*to.collection.shape);
                accepted.name = give(sides, &mut accepted, asked.name.as_deref(), default)?;
                let (paths, after) = (vec![from.path.clone()], tell(&accepted, None));
                return Ok(Decision { paths, before: Value::Null, after });
            }
            let other = from.collection.field_name.clone();
            let mut inverse =
                Relation { field: to.id, other, other_field: from.id, many: true, ..accepted.clone() };
            let default = || inverse_name(&from.collection.field_name, &own_name(&from));
            let sides = (shape, &*from.collection.shape);
            let name = give(sides, &mut inverse, asked.inverse_name.as_deref(), default)?;
            let after = tell(&accepted, Some(&name));
            inverse_given = Some(name);
            Ok(Decision { paths: vec![to.path.clone()], before: Value::Null, after })
        };
        let sides = (&*from.collection, &*to.collection);
        let what = ("RELATED", "related to another collection");
        self.0.store.relate(sides, &actor.subject, what, &mut change).await?;
        for end in [&from, &to] {
            if let Err(error) = self.0.store.index(&end.collection, &end.field).await {
                let collection = end.collection.field_name.as_str();
                tracing::warn!(collection, %error, "a relation has no index; it is followed slowly");
            }
        }
        Ok(tell(&accepted, inverse_given.as_deref()))
    }

    /// Removes a relation: the GraphQL type `Relation`, as it was.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn remove_relation(&self, actor: &Actor, id: &str) -> Result<Value> {
        self.0.policy.allow(actor, Action::Steward)?;
        let unknown = || Error::not_found("there is no such relation; `relations { id }` lists them");
        let catalog = self.0.store.catalog.refresh().await?;
        let number = id.split_once('.').and_then(|(number, _)| number.parse().ok());
        let from = number.and_then(|number| catalog.by_id(number)).ok_or_else(unknown)?;
        let relation = from.shape.relations().find(|relation| relation.id == id && !relation.many);
        let relation = relation.ok_or_else(unknown)?;
        let to = catalog.collections.get(relation.other.as_str()).ok_or_else(unknown)?;
        let told = told(from, relation, to);
        let mut change = |side: Side, shape: &mut Published| {
            let many = side == Side::To;
            let ours = |other: &&mut Relation| other.id == id && other.many == many && !other.removed;
            let ours = shape.relations.iter_mut().find(ours).ok_or_else(unknown)?;
            ours.removed = true;
            let (collection, field) = if many { (to, relation.other_field) } else { (from, relation.field) };
            let paths = vec![path(collection, field)];
            Ok(Decision { paths, before: told.clone(), after: Value::Null })
        };
        let what = ("UNRELATED", "a relation was removed");
        self.0.store.relate((from, to), &actor.subject, what, &mut change).await?;
        Ok(told)
    }

    /// The relations of a collection, or of all, that the actor can follow, as the GraphQL type `Relation` has them;
    /// stewards and admins are told of all between collections that they see.
    pub fn relations(&self, actor: &Actor, collection: Option<&str>) -> Result<Value> {
        let all = actor.has_role("steward");
        let visible = self.visible(actor)?;
        let mut list = Vec::new();
        for from in &visible {
            for relation in from.0.shape.relations().filter(|relation| !relation.many) {
                let to: Option<&Visible> = match all {
                    true => visible.iter().find(|(to, _)| to.field_name == relation.other),
                    false => leads(from, relation, &visible),
                };
                let Some((to, _)) = to else { continue };
                if collection.is_none_or(|name| name == from.0.field_name || name == to.field_name) {
                    list.push(told(&from.0, relation, to));
                }
            }
        }
        Ok(Value::Array(list))
    }

    async fn found(&self, actor: &Actor, end: &End) -> Result<Found> {
        let collection = self.stewarded(actor, &end.collection).await?;
        let member = end.path.strip_prefix(RECORD).and_then(|rest| rest.strip_prefix('.'));
        let id = match member {
            Some(name) => ENVELOPE.iter().find(|member| member.name == name).map(|member| member.id),
            None => collection.shape.fields().find(|field| field.path == end.path).map(|field| field.id),
        };
        let id = id.ok_or_else(|| super::decide::unknown_path(&end.path))?;
        let mut ids = Default::default();
        let field = collection.end(id, &mut ids).ok_or_else(|| {
            Error::bad_request(format!(
                "`{}` cannot be an end of a relation: it must be one String, Int, BigInt, UUID, Date or DateTime \
                 of a row, not within a list",
                end.path
            ))
        })?;
        if is_personal(&collection, ids) && !actor.has_role("pii") {
            let text = "to relate by personal data needs role `pii`";
            return Err(Error::forbidden(text));
        }
        Ok(Found { collection, field, id, path: end.path.clone() })
    }
}

/// Whether one of these fields is personal data.
pub(super) fn is_personal(collection: &Collection, ids: impl IntoIterator<Item = u32>) -> bool {
    ids.into_iter().any(|id| match ENVELOPE.iter().find(|member| member.id == id) {
        // A key is made of others.
        Some(member) if member.name == "key" => !collection.shape.envelope.is_empty(),
        Some(member) => collection.shape.envelope.contains_key(member.name),
        None => collection.shape.field(id).is_none_or(|field| field.is_personal()),
    })
}

fn check(from: &Found, to: &Found) -> Result<()> {
    if from.collection.id == to.collection.id && from.id == to.id {
        return Err(Error::bad_request("a relation leads from one field to another; both ends are the same"));
    }
    if !from.field.scalar.joins(to.field.scalar) {
        let (one, other) = (from.field.scalar.name(), to.field.scalar.name());
        return Err(Error::bad_request(format!("values of the types {one} and {other} are never equal")));
    }
    Ok(())
}

/// The last name of an end.
fn own_name(end: &Found) -> String {
    end.collection.end_names(end.id).and_then(|mut names| names.pop()).unwrap_or_default()
}

/// Adds one side to a shape, or brings it back, and returns its name. `other` is the shape that it leads to.
fn give(
    (shape, other): (&mut Published, &Published),
    side: &mut Relation,
    wanted: Option<&str>,
    default: impl FnOnce() -> String,
) -> Result<String> {
    let like = |relation: &&Relation| shape.are_alike(other, relation, side);
    if let Some(there) = shape.relations().find(like) {
        let text = format!("there is such a relation already: `{}`", there.name);
        return Err(Error::new(Code::Conflict, text));
    }
    let same = |old: &Relation| like(&old) && wanted.is_none_or(|name| old.name == name);
    let there = shape.relations.iter().position(same);
    if let Some(old) = there.and_then(|at| shape.relations.get_mut(at)) {
        old.removed = false;
        if side.many {
            old.id.clone_from(&side.id);
        }
        side.id.clone_from(&old.id);
        return Ok(old.name.clone());
    }
    side.name = match wanted {
        Some(name) if shape.refuses_relation_name(name) => {
            let name = short(name);
            return Err(Error::bad_request(format!(
                "`{name}` cannot be given: it is no GraphQL name, or a field or relation has or had it; choose another"
            )));
        }
        Some(name) => name.to_owned(),
        None => shape.free_relation_name(&default()),
    };
    shape.relations.push(side.clone());
    Ok(side.name.clone())
}

fn told(from: &Collection, relation: &Relation, to: &Collection) -> Value {
    let inverse = to.shape.relations().find(|inverse| inverse.id == relation.id && inverse.many);
    json!({
        "id": relation.id,
        "from": { "collection": from.field_name, "path": path(from, relation.field) },
        "to": { "collection": to.field_name, "path": path(to, relation.other_field) },
        "name": relation.name,
        "inverseName": inverse.map(|inverse| &inverse.name),
    })
}

/// The path of an end, as it is named.
pub(super) fn path(collection: &Collection, field: u32) -> String {
    match ENVELOPE.iter().find(|member| member.id == field) {
        Some(member) => format!("{RECORD}.{}", member.name),
        None => collection
            .shape
            .field(collection.shape.current(field))
            .map_or_else(String::new, |field| field.path.clone()),
    }
}
