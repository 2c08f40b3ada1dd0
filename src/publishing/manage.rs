//! What management reads: raw records, sources and collections, in the form of their GraphQL types. Whoever
//! may not see raw documents gets none here, whatever the collections' policies say.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Publishing;
use crate::error::{Error, Result};
use crate::policy::Access;
use crate::query::{walk, write};
use crate::record::{Actor, Json, Limits, Record, Source, parse};
use crate::shape::{Field, Kind};

impl Publishing {
    /// One raw record as the GraphQL type `Record` has it; admin, or steward with role `pii`. Null when there
    /// is none.
    pub async fn record(&self, actor: &Actor, id: Uuid) -> Result<Json> {
        may_see_raw(actor)?;
        let records = self.0.store.records(&[id]).await?;
        records.first().map_or(Ok(Json::Null), record)
    }

    /// Raw records, newest first; admin, or steward with role `pii`.
    pub async fn records(
        &self,
        actor: &Actor,
        source: Option<Source>,
        first: usize,
        after: Option<Uuid>,
    ) -> Result<Json> {
        may_see_raw(actor)?;
        let first = first.min(self.0.limits.page_max);
        let records = self.0.store.recent(source.as_ref(), first, after).await?;
        Ok(Json::Array(records.iter().map(record).collect::<Result<_>>()?))
    }

    /// Collections as the GraphQL type `Collection` has them, within the actor's scope.
    pub async fn collections(&self, actor: &Actor) -> Result<Value> {
        let mut list = Vec::new();
        for (collection, scope) in self.visible(actor)? {
            let mut fields = Vec::new();
            walk(&collection.shape, &mut |above, field| {
                if scope.access(field.id) != &Access::Hidden {
                    fields.push(described(above, field));
                }
            });
            list.push(json!({
                "name": collection.field_name,
                "typeName": collection.type_name,
                "category": collection.category,
                "subcategory": collection.subcategory,
                "version": collection.shape.version,
                "generation": collection.generation,
                "fields": fields,
            }));
        }
        Ok(Value::Array(list))
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
    if actor.has_role("steward") && actor.has_role("pii") {
        return Ok(());
    }
    Err(Error::forbidden("raw records need role `admin`, or `steward` together with `pii`"))
}

fn described(above: &[&str], field: &Field) -> Value {
    let names: Vec<&str> = above.iter().copied().chain([field.name.as_str()]).collect();
    json!({ "path": field.path, "name": names.join("."), "type": type_of(&field.kind), "tags": field.tags })
}

fn type_of(kind: &Kind) -> String {
    match kind {
        Kind::Scalar(scalar) => scalar.name().to_owned(),
        Kind::Object(_) | Kind::Packed(_) => "Object".to_owned(),
        Kind::List(item) => format!("[{}]", type_of(item)),
    }
}

fn record(record: &Record) -> Result<Json> {
    let draft = &record.draft;
    let body = (!draft.body.is_empty()).then(|| parse(&draft.body, Limits::ACCEPTED)).transpose();
    let body = body.map_err(Error::internal)?;
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
        "occurredAt": draft.occurred_at.and_then(write::instant),
        "ingestedAt": write::instant(draft.ingested_at),
        "deleted": draft.deleted,
        "causationId": draft.causation_id,
        "tags": draft.envelope.tags,
        "metaData": draft.envelope.meta_data,
        "usageAgreements": draft.envelope.data_usage_agreements,
        "dataTracker": draft.envelope.data_tracker,
    });
    let mut record = Json::from(envelope);
    if let (Json::Object(members), Some(body)) = (&mut record, body) {
        members.push(("dataObj".to_owned(), body));
    }
    Ok(record)
}
