//! What management reads: raw records, sources and collections, in the form of their GraphQL types. Whoever
//! may not see raw documents gets none here, whatever the collections' policies say.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Publishing, Visible};
use crate::error::{Error, Result};
use crate::policy::{Access, Scope};
use crate::query::{Budget, Collection, walk, write};
use crate::record::{Actor, Json, Limits, Record, Source, hex, parse};
use crate::shape::{
    Difference, Field, Published, Scalar, Seen, Sighting, Statistic, Statistics, What, diff, type_of,
};
use crate::store::lineage::Lineage;
use crate::store::rows::Rebuild;

impl Publishing {
    /// One raw record as the GraphQL type `Record` has it; admin, or steward with role `pii`. Null when there
    /// is none.
    pub async fn record(&self, actor: &Actor, id: Uuid) -> Result<Json> {
        may_see_raw(actor)?;
        let records = self.0.store.records(&[id]).await?;
        Ok(self.told(&records).await?.pop().unwrap_or(Json::Null))
    }

    /// Raw records, newest first, with or without their documents; admin, or steward with role `pii`.
    ///
    /// # Errors
    /// `TOO_COMPLEX` when the documents are together larger than an answer may be.
    pub async fn records(
        &self,
        actor: &Actor,
        source: Option<Source>,
        (first, after): (usize, Option<Uuid>),
        documents: bool,
    ) -> Result<Json> {
        may_see_raw(actor)?;
        let first = first.min(self.0.limits.page_max);
        let recent = self.0.store.recent(source.as_ref(), first, after).await?;
        let ids: Vec<Uuid> = recent.iter().map(|(id, _)| *id).collect();
        let records = if documents {
            let budget = Budget::new(self.0.limits.answer_bytes_max);
            for (_, bytes) in recent {
                budget.take(usize::try_from(bytes).unwrap_or(usize::MAX))?;
            }
            self.0.store.records(&ids).await?
        } else {
            self.0.store.envelopes(&ids).await?
        };
        Ok(Json::Array(self.told(&records).await?))
    }

    pub(super) async fn told(&self, records: &[Record]) -> Result<Vec<Json>> {
        let ids: Vec<Uuid> = records.iter().map(|record| record.draft.id).collect();
        let lineages = self.0.store.lineages(&ids).await?;
        let none = Lineage::default();
        records.iter().map(|one| record(one, lineages.get(&one.draft.id).unwrap_or(&none))).collect()
    }

    /// A collection as the GraphQL type `Collection` has it, within the actor's scope. How often fields were seen is
    /// for stewards and admins, as it tells of rows that others may not see.
    pub async fn collection(
        &self,
        actor: &Actor,
        (collection, scope): &Visible,
        asked: Asked,
    ) -> Result<Value> {
        let sightings = match asked.sightings && actor.has_role("steward") {
            true => Some(self.0.store.sightings(collection, self.0.shape.structures_max).await?),
            false => None,
        };
        let seen = sightings.as_ref().map(|sightings| sightings.of(&collection.shape)).unwrap_or_default();
        let statistics = self.statistics(actor, collection, scope, asked).await?;
        let mut fields = Vec::new();
        walk(&collection.shape, &mut |above, field| {
            if scope.access(field.id) != &Access::Hidden {
                let mut told = described(above, field, seen.get(&field.id));
                if scope.comparable(field.id) {
                    add_enum(&collection.shape, field, &mut told);
                }
                let plain = statistics.as_ref().filter(|_| scope.comparable(field.id));
                if let Some(statistic) = plain.and_then(|all| all.of(field.id)) {
                    self.add_statistic(field, statistic, &mut told);
                }
                fields.push(told);
            }
        });
        let rebuild = match asked.rebuild && actor.has_role("steward") {
            true => self.0.store.rebuild_of(collection.id).await?.map(|job| rebuild(&job)),
            false => None,
        };
        let versions = match asked.versions {
            true => self.versions(collection, scope).await?,
            false => Value::Null,
        };
        let unions = match asked.unions {
            true => self.union_candidates(actor, collection, scope).await?,
            false => Value::Null,
        };
        let json_schema = asked.json_schema.then(|| {
            let shown = |field: &Field| match scope.access(field.id) {
                Access::Hidden => Seen::Not,
                _ if scope.comparable(field.id) => Seen::Plainly,
                _ => Seen::Partly,
            };
            collection.shape.json_schema(&collection.field_name, &shown)
        });
        Ok(json!({
            "name": collection.field_name,
            "typeName": collection.type_name,
            "category": collection.category,
            "subcategory": collection.subcategory,
            "generation": collection.generation,
            "shape": {
                "version": collection.shape.version,
                "counted": sightings.map(|sightings| sightings.documents()),
                "sampled": statistics.map(|statistics| statistics.records()),
                "fields": fields,
            },
            "versions": versions,
            "rebuild": rebuild,
            "jsonSchema": json_schema,
            "modes": self.modes(actor, collection, scope),
            "pending": if asked.pending { self.pending(actor, (collection, scope)).await? } else { Value::Null },
            "unionCandidates": unions,
        }))
    }

    /// Statistics of a collection's values, for stewards and admins who may see every row: of every row they tell.
    async fn statistics(
        &self,
        actor: &Actor,
        collection: &Collection,
        scope: &Scope,
        asked: Asked,
    ) -> Result<Option<Statistics>> {
        let may = actor.has_role("steward") && scope.is_whole();
        match asked.statistics && may {
            true => self.0.store.statistics(collection.id).await.map(Some),
            false => Ok(None),
        }
    }

    /// Adds what is known of the values of a field that is shown plainly. Values of personal data are told to nobody.
    fn add_statistic(&self, field: &Field, statistic: &Statistic, told: &mut Value) {
        let (distinct, exact) = statistic.distinct();
        let mut add = |name: &str, value: Value| told[name] = value;
        add("lengthMin", json!(statistic.lengths().map(|(least, _)| least)));
        add("lengthMax", json!(statistic.lengths().map(|(_, greatest)| greatest)));
        add("itemsMin", json!(statistic.items().map(|(least, _)| least)));
        add("itemsMax", json!(statistic.items().map(|(_, greatest)| greatest)));
        add("distinct", json!(distinct));
        add("distinctExact", json!(exact));
        if !field.is_personal() {
            add("minimum", json!(statistic.range().map(|(least, _)| least)));
            add("maximum", json!(statistic.range().map(|(_, greatest)| greatest)));
            add("values", json!(statistic.values()));
            add("examples", json!(statistic.examples(self.0.statistics.examples_max)));
        }
    }

    /// The last versions of a collection, newest first, each with what it says more than the one before.
    async fn versions(&self, collection: &Collection, scope: &Scope) -> Result<Value> {
        let max = self.0.shape.versions_max;
        let versions = self.0.store.versions(collection.id, max.saturating_add(1)).await?;
        let told = versions.windows(2).take(max).filter_map(|pair| {
            let [next, previous] = pair else { return None };
            let mut changes = diff(&previous.published, &next.published);
            changes.retain(|change| shown(change, scope));
            Some(json!({
                "version": next.published.version,
                "at": write::instant(next.at),
                "cause": next.cause,
                "changes": changes.iter().map(change).collect::<Vec<_>>(),
            }))
        });
        Ok(told.collect())
    }

    /// Sources as the GraphQL type `Source` has them; stewards and admins.
    pub async fn sources(&self, actor: &Actor) -> Result<Value> {
        if !actor.has_role("steward") {
            return Err(Error::forbidden("sources are listed for role `steward` or `admin` only"));
        }
        let sources = self.0.store.sources().await?;
        let source = |source: &Source| {
            json!({
                "category": source.category,
                "subcategory": source.subcategory,
                "sourceName": source.source_name,
            })
        };
        Ok(sources.iter().map(source).collect())
    }
}

fn may_see_raw(actor: &Actor) -> Result<()> {
    if actor.sees_raw() {
        return Ok(());
    }
    Err(Error::forbidden("raw records need role `admin`, or `steward` together with `pii`"))
}

/// What is asked of collections beyond what every node knows of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// How often fields were seen.
    pub sightings: bool,
    /// What their values are like.
    pub statistics: bool,
    /// What was published when.
    pub versions: bool,
    /// The JSON Schema of documents.
    pub json_schema: bool,
    /// What waits for a steward.
    pub pending: bool,
    /// How far going over its rows is.
    pub rebuild: bool,
    /// Which unions there may be.
    pub unions: bool,
}

fn rebuild(job: &Rebuild) -> Value {
    json!({ "state": job.state.to_uppercase(), "done": job.done.to_string(), "of": job.total.map(|of| of.to_string()) })
}

fn described(above: &[&str], field: &Field, seen: Option<&Sighting>) -> Value {
    let names: Vec<&str> = above.iter().copied().chain([field.name.as_str()]).collect();
    json!({
        "path": field.path,
        "name": names.join("."),
        "type": type_of(&field.kind),
        "tags": field.tags,
        "classified": field.is_classified(),
        "description": field.decided.description,
        "hidden": field.decided.hidden,
        "aliases": field.decided.aliases,
        "deprecated": field.decided.deprecated,
        "count": seen.map(|seen| seen.count),
        "presence": seen.map(|seen| share(seen.count, seen.of)),
        "formats": seen.map(|seen| &seen.formats),
        "evidence": seen.map(evidence),
        "firstSeen": seen.and_then(|seen| write::instant(seen.first_at)),
        "lastSeen": seen.and_then(|seen| write::instant(seen.last_at)),
    })
}

/// Adds what is accepted of an enum, for whom the schema shows it, too.
fn add_enum(shape: &Published, field: &Field, told: &mut Value) {
    let Some(values) = field.enumeration() else { return };
    if let Some(name) = shape.type_names.get(&field.id) {
        told["type"] = type_of(&field.kind).replace(Scalar::String.name(), name).into();
    }
    told["enumValues"] =
        values.values().map(|named| json!({ "name": named.name, "value": named.value })).collect();
}

fn evidence(seen: &Sighting) -> Value {
    seen.tags.iter().map(|(tag, count)| json!({ "tag": tag, "count": count, "of": seen.formed })).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share of that many documents needs no more digits")]
fn share(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

/// Whether a difference is told within this scope. The mode of the whole document is everybody's.
pub(super) fn shown(difference: &Difference, scope: &Scope) -> bool {
    let whole = difference.path.is_empty() && matches!(difference.what, What::Mode(..));
    whole || scope.access(difference.field_id) != &Access::Hidden
}

/// One difference between versions, as the GraphQL type `ShapeChange` has it.
pub(super) fn change(difference: &Difference) -> Value {
    let (change, from, to) = match &difference.what {
        What::Added(to) => ("ADDED", None, to.clone()),
        What::Widened(from, to) => ("WIDENED", Some(from), to.clone()),
        What::Tagged(tags) => ("TAGGED", None, tags.join(", ")),
        What::Classified(ty) => ("CLASSIFIED", None, ty.clone()),
        What::Untagged(tags) => ("UNTAGGED", None, tags.join(", ")),
        What::Described(text) => ("DESCRIBED", None, text.clone()),
        What::Hidden(ty) => ("HIDDEN", None, ty.clone()),
        What::Shown(ty) => ("SHOWN", None, ty.clone()),
        What::Enumerated(from, to) => ("ENUMERATED", Some(&from.to_string()), to.to_string()),
        What::United(from, to) => ("UNITED", Some(&from.to_string()), to.to_string()),
        What::Unclassified(ty) => ("UNCLASSIFIED", None, ty.clone()),
        What::Retyping(from, to) => ("RETYPING", Some(from), to.clone()),
        What::Retyped(from, to) => ("RETYPED", Some(from), to.clone()),
        What::Renamed(from, to) => ("RENAMED", Some(from), to.clone()),
        What::Unaliased(names) => ("UNALIASED", None, names.join(", ")),
        What::Deprecated(text) => ("DEPRECATED", None, text.clone()),
        What::Mode(from, to) => {
            let (from, to) = (from.name(), to.name());
            return json!({ "path": difference.path, "change": "MODE", "from": from, "to": to });
        }
    };
    json!({ "path": difference.path, "change": change, "from": from, "to": to })
}

/// The source's own chain, then the markers of the record's.
fn tracker(record: &Record, lineage: &Lineage) -> Value {
    let mut chain = match record.draft.envelope.data_tracker.clone() {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(other) => vec![other],
    };
    chain.push(json!({ "recordId": record.draft.id, "hash": hex(&lineage.genesis) }));
    chain.extend(lineage.markers.iter().map(|marker| {
        json!({
            "plugin": marker.plugin,
            "version": marker.version,
            "hook": marker.hook,
            "outcome": marker.outcome,
            "tags": marker.tags,
            "settledAt": write::instant(marker.settled_at),
            "previousHash": hex(&marker.prev_hash),
            "hash": hex(&marker.hash),
        })
    }));
    Value::Array(chain)
}

/// Which structure the document has, and as which version of its collection's shape it became a row.
fn shape(record: &Record, lineage: &Lineage) -> Value {
    let Some((fingerprint, _)) = &record.draft.structure else { return Value::Null };
    json!({
        "fingerprint": format!("{fingerprint:016x}"),
        "version": lineage.markers.iter().find_map(|marker| marker.shape_version),
    })
}

/// Text that the store has written, or an error instead of a silent null.
fn stored(text: &[u8]) -> Result<Json> {
    parse(text, Limits::ACCEPTED).map_err(Error::internal)
}

fn record(record: &Record, lineage: &Lineage) -> Result<Json> {
    let draft = &record.draft;
    let last_settled = lineage.markers.iter().map(|marker| marker.settled_at).max();
    let envelope = json!({
        "id": draft.id,
        "key": record.key,
        "revision": record.revision,
        "category": draft.source.category,
        "subcategory": draft.source.subcategory,
        "sourceName": draft.source.source_name,
        "sourceUid": draft.source_uid,
        "author": draft.author,
        "contentType": draft.content_type,
        "payloadHash": hex(&draft.payload_hash),
        "idempotencyKey": draft.idempotency_key,
        "traceparent": draft.envelope.traceparent,
        "occurredAt": draft.occurred_at.and_then(write::instant),
        "ingestedAt": write::instant(draft.ingested_at),
        "lastUpdated": write::instant(last_settled.unwrap_or(draft.ingested_at)),
        "processInd": !lineage.pending,
        "deleted": draft.deleted,
        "causationId": draft.causation_id,
        "hops": draft.hops,
        "tags": lineage.tags(&draft.envelope.tags),
        "purposes": draft.envelope.purposes,
        "shape": shape(record, lineage),
        "metaData": draft.envelope.meta_data,
        "usageAgreements": draft.envelope.data_usage_agreements,
        "dataTracker": tracker(record, lineage),
    });
    let mut told = Json::from(envelope);
    if let Json::Object(members) = &mut told {
        if let Some(text) = lineage.markers.iter().find_map(|marker| marker.rescued.as_deref()) {
            members.push(("rescued".to_owned(), stored(text.as_bytes())?));
        }
        if !draft.body.is_empty() {
            members.push(("dataObj".to_owned(), stored(&draft.body)?));
        }
    }
    Ok(told)
}
