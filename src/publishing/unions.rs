//! Unions offered to stewards and accepted by them: which members an object has by the text of a discriminator. What is
//! offered tells of all rows, so it keeps to the rules of statistics.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Publishing, short};
use crate::error::{Code, Error, Result};
use crate::policy::{Access, Scope};
use crate::query::Collection;
use crate::record::Actor;
use crate::shape::{Field, Offer, Published, Unfit, Variants};
use crate::store::rows::Decision;

/// So many discriminators are offered for one object.
const EACH_MAX: usize = 3;

/// A union to accept.
#[derive(Clone, Debug)]
pub struct AcceptUnion {
    /// The collection's name.
    pub collection: String,
    /// The object's path, empty for whole documents.
    pub path: String,
    /// The discriminator's path.
    pub discriminator: String,
    /// The variants; `None` is all that are found.
    pub values: Option<Vec<String>>,
}

impl Publishing {
    /// What explains which members objects have, as the GraphQL type `UnionCandidate`; null for whom statistics are
    /// not.
    pub(super) async fn union_candidates(
        &self,
        actor: &Actor,
        collection: &Collection,
        scope: &Scope,
    ) -> Result<Value> {
        if !actor.has_role("steward") || !scope.is_whole() {
            return Ok(Value::Null);
        }
        // What has a tag is something else: an address, an id, a time.
        let usable = |field: &Field| scope.comparable(field.id) && field.tags.is_empty();
        let variants = self.measured(collection, &usable).await?;
        let offers = variants.offers(f64::from(self.0.shape.union_score_min) / 100.0, EACH_MAX);
        Ok(offers.iter().map(|offer| told(&collection.shape, offer, scope)).collect())
    }

    async fn measured<'a>(
        &self,
        collection: &'a Collection,
        usable: &(dyn Fn(&Field) -> bool + Sync),
    ) -> Result<Variants<'a>> {
        let limits = &self.0.shape;
        let mut variants = Variants::new(&collection.shape, limits.union_variants_max, usable);
        let bounds = (limits.union_rows_max, limits.union_bytes_max);
        self.0.store.sample(collection, bounds, &mut |row| variants.add(row)).await?;
        Ok(variants)
    }

    /// Accepts the variants of an object: the GraphQL type `UnionPayload`. Accepted again, it has the new variants and
    /// members, too.
    ///
    /// # Errors
    /// `FORBIDDEN`, also for a steward who does not see every row and the discriminator as it is; `NOT_FOUND`;
    /// `BAD_REQUEST` when nothing tells variants apart; `CONFLICT` when another discriminator does.
    pub async fn accept_union(&self, actor: &Actor, asked: &AcceptUnion) -> Result<Value> {
        let collection = self.stewarded(actor, &asked.collection).await?;
        let shape = &collection.shape;
        let unknown = || no_object(&asked.path);
        shape.members_at(&asked.path).ok_or_else(unknown)?;
        let by = shape.discriminator(&asked.path, &asked.discriminator);
        let by = by.ok_or_else(|| no_discriminator(&asked.discriminator))?;
        if by.is_personal() {
            let text = "personal data tells no variants apart: its values would stand in the schema";
            return Err(Error::bad_request(text));
        }
        let scope = self.0.policy.scope(actor, &self.0.store.catalog.load().collections, &collection)?;
        if !scope.is_some_and(|scope| scope.is_whole() && scope.comparable(by.id)) {
            let text = "who accepts a union must see every row, and the discriminator as it is";
            return Err(Error::forbidden(text));
        }
        let variants = self.measured(&collection, &|field| field.id == by.id).await?;
        let seen = chosen(variants.offer(&asked.path, &asked.discriminator), asked.values.as_deref())?;
        let change = |shape: &mut Published| {
            let before = accepted(shape, &asked.path);
            shape.accept_union(&asked.path, &asked.discriminator, &seen).map_err(|unfit| match unfit {
                Unfit::NoObject => no_object(&asked.path),
                Unfit::Discriminator => no_discriminator(&asked.discriminator),
                Unfit::Other => Error::new(
                    Code::Conflict,
                    "this object has a union by another discriminator; take it back by `removeUnion` first",
                ),
            })?;
            self.few_enough(shape, &asked.path)?;
            Ok(Decision { paths: vec![asked.path.clone()], before, after: accepted(shape, &asked.path) })
        };
        self.decide_union(actor, &collection, &asked.path, change).await
    }

    /// Takes a union back: the GraphQL type `UnionPayload`. Accepted again, it has the names that it had.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn remove_union(&self, actor: &Actor, collection: &str, path: &str) -> Result<Value> {
        let collection = self.stewarded(actor, collection).await?;
        let change = |shape: &mut Published| {
            let before = accepted(shape, path);
            if !shape.remove_union(path) {
                let text =
                    format!("there is no union at `{}`; `unionCandidates` lists what can be", short(path));
                return Err(Error::not_found(text));
            }
            Ok(Decision { paths: vec![path.to_owned()], before, after: Value::Null })
        };
        self.decide_union(actor, &collection, path, change).await
    }

    async fn decide_union(
        &self,
        actor: &Actor,
        collection: &Collection,
        path: &str,
        change: impl FnOnce(&mut Published) -> Result<Decision>,
    ) -> Result<Value> {
        let (what, subject) = (("UNION", "decided by a steward"), &actor.subject);
        let (collection, decision) = self.0.store.decide(collection, subject, what, None, change).await?;
        let union = collection.shape.union_at(path);
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "changed": decision.is_some(),
            "field": union.map(|union| &union.name),
            "type": union.map(|union| &union.type_name),
        }))
    }

    fn few_enough(&self, shape: &Published, path: &str) -> Result<()> {
        let max = self.0.shape.union_variants_max;
        if shape.union_at(path).is_some_and(|union| union.cases().count() > max) {
            let text = format!("a union has at most {max} variants: `shape.union_variants_max`");
            return Err(Error::bad_request(text));
        }
        Ok(())
    }
}

/// The variants that are wanted of those that were found, by their texts.
fn chosen(offer: Option<Offer>, values: Option<&[String]>) -> Result<BTreeMap<String, BTreeSet<u32>>> {
    let found = offer.map(|offer| offer.variants).unwrap_or_default();
    if found.is_empty() {
        let text =
            "the latest rows have no variants by this discriminator: one value, too many, or too long ones";
        return Err(Error::bad_request(text));
    }
    let mut seen: BTreeMap<_, _> = found.into_iter().map(|one| (one.value, one.fields)).collect();
    let Some(values) = values else { return Ok(seen) };
    if let Some(unknown) = values.iter().find(|value| !seen.contains_key(*value)) {
        return Err(Error::bad_request(format!("the latest rows have no variant `{}`", short(unknown))));
    }
    seen.retain(|value, _| values.contains(value));
    Ok(seen)
}

fn no_object(path: &str) -> Error {
    let path = short(path);
    Error::not_found(format!("there is no object with fields at `{path}`; the document's own path is empty"))
}

fn no_discriminator(path: &str) -> Error {
    let path = short(path);
    Error::not_found(format!(
        "there is no discriminator at `{path}`: a String that is a member of the object or of the document, for items \
         of a list of the item; `unionCandidates` lists some"
    ))
}

/// What is accepted of an object, for `decisions`.
fn accepted(shape: &Published, path: &str) -> Value {
    let Some(union) = shape.union_at(path).filter(|union| !union.former) else { return Value::Null };
    let discriminator = shape.field(union.discriminator).map(|field| field.path.as_str());
    let cases: Vec<Value> = union
        .cases()
        .map(|case| json!({ "value": case.value, "members": paths(shape, &case.fields, &|_| true) }))
        .collect();
    json!({ "discriminator": discriminator, "variants": cases })
}

fn paths(shape: &Published, ids: &BTreeSet<u32>, shown: &dyn Fn(u32) -> bool) -> Vec<String> {
    let fields = shape.fields().filter(|field| ids.contains(&field.id) && shown(field.id));
    fields.map(|field| field.path.clone()).collect()
}

fn told(shape: &Published, offer: &Offer, scope: &Scope) -> Value {
    let shown = |id: u32| scope.access(id) != &Access::Hidden;
    let variants: Vec<Value> = offer
        .variants
        .iter()
        .map(|one| {
            let members = paths(shape, &one.fields, &shown);
            json!({ "value": one.value, "count": one.objects.to_string(), "members": members })
        })
        .collect();
    json!({
        "path": offer.path,
        "discriminator": offer.discriminator,
        "score": offer.score,
        "count": offer.objects.to_string(),
        "variants": variants,
        "field": shape.union_at(&offer.path).filter(|union| !union.former).map(|union| &union.name),
    })
}
