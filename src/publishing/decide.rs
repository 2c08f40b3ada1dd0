//! What stewards decide about the fields of collections, and what they have decided. Whoever may not `steward` decides
//! nothing and is told nothing here.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Publishing, enums, short};
use crate::config;
use crate::contract::Block;
use crate::error::{Code, Error, Result};
use crate::policy::Action;
use crate::query::{Collection, write};
use crate::record::Actor;
use crate::shape::{Decided, Field, Published, Wish, type_of};
use crate::store::rows::{self, Decision};

/// Fields to classify, or to keep back again.
#[derive(Clone, Debug)]
pub struct Classify {
    /// The collection's name.
    pub collection: String,
    /// Paths of the fields, with all that is in them; `None` is all.
    pub paths: Option<Vec<String>>,
    /// Whether they are classified then.
    pub classified: bool,
    /// The version of the shape that was looked at: what is younger stays as it is.
    pub version: Option<i64>,
}

impl Publishing {
    /// Classifies fields, or takes it back: the GraphQL type `ClassifyFieldsPayload`.
    ///
    /// # Errors
    /// `FORBIDDEN`; `NOT_FOUND` for a collection, version or path that there is not, and then nothing is changed.
    pub async fn classify(&self, actor: &Actor, asked: &Classify) -> Result<Value> {
        let collection = self.stewarded(actor, &asked.collection).await?;
        if !asked.classified {
            match &asked.paths {
                None => self.unblocked(&collection, None, Block::Hide)?,
                Some(paths) => {
                    paths.iter().try_for_each(|path| self.unblocked(&collection, Some(path), Block::Hide))?;
                }
            }
        }
        let last = match asked.version {
            None => u32::MAX,
            Some(version) => {
                let unknown =
                    || Error::not_found("there is no such version; `versions` of the collection lists them");
                self.0.store.last_field_id(collection.id, version).await?.ok_or_else(unknown)?
            }
        };
        let what = match asked.classified {
            true => ("CLASSIFIED", "classified"),
            false => ("UNCLASSIFIED", "unclassified"),
        };
        let paths = asked.paths.as_deref();
        let change = |shape: &mut Published| {
            Ok(Decision {
                paths: shape.classify(paths, asked.classified, last).map_err(|path| unknown_path(&path))?,
                before: json!({ "classified": !asked.classified }),
                after: json!({ "classified": asked.classified }),
            })
        };
        let decided = self.0.store.decide(&collection, &actor.subject, what, None, change);
        let (collection, decision) = decided.await?;
        let fields = collection.shape.fields();
        let left = fields.filter(|field| field.holds_values() && field.unclassified).count();
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "changed": decision.map_or(0, |decision| decision.paths.len()),
            "unclassified": left,
        }))
    }

    /// Describes a field, tags, hides, shows, renames or deprecates it, or accepts it as an enum: the GraphQL type
    /// `DecideFieldPayload`.
    ///
    /// # Errors
    /// `FORBIDDEN`, also when a tag of personal data is taken away without role `pii`; `NOT_FOUND`; `BAD_REQUEST` for
    /// texts that are no tags or too long; `CONFLICT` for a name that it cannot have, and when rows have other values
    /// than an enum would have.
    pub async fn decide_field(
        &self,
        actor: &Actor,
        collection: &str,
        path: &str,
        wish: &Wish,
    ) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        check(wish, &self.0.shape)?;
        if wish.hidden == Some(true) {
            self.unblocked(&collection, Some(path), Block::Hide)?;
        }
        if wish.retype.is_some() {
            self.unblocked(&collection, Some(path), Block::Retype)?;
        }
        let looked = self.look(actor, &collection, path, wish).await?;
        let may_untag = actor.has_role("pii");
        let change = |shape: &mut Published| {
            let field = shape.at_path_mut(path).ok_or_else(|| unknown_path(path))?;
            let ty = type_of(&field.kind);
            let (tags, before) = (field.tags.clone(), told(field, wish));
            field.decide(wish);
            if !may_untag && tags.difference(&field.tags).any(|tag| tag == "pii" || tag.starts_with("pii.")) {
                let text =
                    "to take a tag of personal data from a field needs role `pii`, as it unmasks its values";
                return Err(Error::forbidden(text));
            }
            if wish.values.as_ref().is_some_and(|values| !values.is_empty()) {
                enums::may_be_enum(field)?;
            }
            name(shape, path, wish, &self.0.shape)?;
            if let Some(ty) = &wish.retype {
                let refused = |reason| Error::new(Code::Conflict, format!("`type`: {reason}"));
                shape.retype(path, ty, &self.0.shape).map_err(refused)?;
            }
            let after = shape.at_path_mut(path).map(|field| told(field, wish)).unwrap_or_default();
            let (before, after) = with_type(wish, ty, before, after);
            Ok(Decision { paths: vec![path.to_owned()], before, after })
        };
        let (what, subject) = (("FIELD", "decided by a steward"), &actor.subject);
        let (collection, decision) = self.0.store.decide(&collection, subject, what, looked, change).await?;
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "changed": decision.is_some(),
        }))
    }

    /// Classifies what the rules of this node's configuration say, as they may be newer than the fields.
    pub async fn classify_by_rules(&self) -> Result<usize> {
        self.0.store.classify_by_rules().await
    }

    /// Decisions about a collection, the newest first, as the GraphQL type `Decision` has them.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn decisions(
        &self,
        actor: &Actor,
        collection: &str,
        first: usize,
        before: Option<i64>,
    ) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        let decisions = self.0.store.decisions(collection.id, first, before).await?;
        Ok(decisions.into_iter().map(decision).collect())
    }

    /// The collection of this name, for whom may steward.
    pub(super) async fn stewarded(&self, actor: &Actor, name: &str) -> Result<Arc<Collection>> {
        self.0.policy.allow(actor, Action::Steward)?;
        self.collection_named(name).await
    }

    /// The collection of this name, whoever may see it.
    pub(super) async fn collection_named(&self, name: &str) -> Result<Arc<Collection>> {
        if let Some(known) = self.0.store.catalog.load().collections.get(name) {
            return Ok(known.clone());
        }
        // Another node may just have made it.
        let found = self.0.store.catalog.refresh().await?.collections.get(name).cloned();
        found.ok_or_else(|| {
            let name = short(name);
            Error::not_found(format!("there is no collection `{name}`; `collections` lists them"))
        })
    }
}

/// What can be decided about a field, as it is; values of enums when the wish is about them.
fn told(field: &Field, wish: &Wish) -> Value {
    let Decided { description, hidden, values, aliases, deprecated, .. } = &field.decided;
    let mut told = json!({
        "name": field.name,
        "aliases": aliases,
        "description": description,
        "tags": field.tags,
        "hidden": hidden,
        "deprecated": deprecated,
    });
    if let (Some(_), Value::Object(members)) = (&wish.values, &mut told) {
        members.insert("values".into(), values.values().map(|named| named.value.as_str()).collect());
    }
    told
}

/// The same with the types, when the wish is about them.
fn with_type(wish: &Wish, ty: String, mut before: Value, mut after: Value) -> (Value, Value) {
    if let (Some(wanted), Value::Object(was), Value::Object(is)) = (&wish.retype, &mut before, &mut after) {
        was.insert("type".into(), ty.into());
        is.insert("type".into(), wanted.as_str().into());
    }
    (before, after)
}

/// Gives and takes names.
fn name(shape: &mut Published, path: &str, wish: &Wish, limits: &config::Shape) -> Result<()> {
    if let Some(kept) = &wish.aliases {
        let unknown = |name: String| {
            let name = short(&name);
            Error::bad_request(format!("`aliases`: `{name}` is no old name that the field answers to"))
        };
        shape.keep_aliases(path, kept).map_err(unknown)?;
    }
    match &wish.name {
        Some(name) => {
            let refused = |reason| Error::new(Code::Conflict, format!("`name`: {reason}; choose another"));
            shape.rename(path, name, limits).map_err(refused)
        }
        None => Ok(()),
    }
}

fn check(wish: &Wish, limits: &config::Shape) -> Result<()> {
    enums::check(wish.values.as_deref().unwrap_or_default(), limits)?;
    for (what, text) in [("description", &wish.description), ("deprecated", &wish.deprecated)] {
        if text.as_ref().is_some_and(|text| text.len() > limits.description_bytes_max) {
            let bound = limits.description_bytes_max;
            let text =
                format!("`{what}` has more than {bound} bytes: `shape.description_bytes_max`; shorten it");
            return Err(Error::bad_request(text));
        }
    }
    let tags = wish.tags.iter().flatten();
    if tags.clone().count() > limits.tags_max {
        let bound = limits.tags_max;
        return Err(Error::bad_request(format!("a field has at most {bound} tags: `shape.tags_max`")));
    }
    let word =
        |part: &str| !part.is_empty() && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'));
    let is_tag = |tag: &&String| tag.len() <= limits.key_bytes_max && tag.split('.').all(word);
    match tags.clone().find(|tag| !is_tag(tag)) {
        Some(wrong) => Err(Error::bad_request(format!(
            "`{}` is no tag; a tag is words of `a` to `z`, `0` to `9` and `_` joined by dots, such as `pii.email`",
            short(wrong)
        ))),
        None => Ok(()),
    }
}

pub(super) fn unknown_path(path: &str) -> Error {
    let path = short(path);
    Error::not_found(format!(
        "there is no field at `{path}`; `collection {{ shape {{ fields {{ path }} }} }}` lists them"
    ))
}

fn decision(decided: rows::Decided) -> Value {
    json!({
        "id": decided.id.to_string(),
        "version": decided.version,
        "at": write::instant(decided.at),
        "subject": decided.subject,
        "kind": decided.what,
        "paths": decided.paths,
        "before": decided.before,
        "after": decided.after,
    })
}
