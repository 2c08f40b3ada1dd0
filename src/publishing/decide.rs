//! What stewards decide about the fields of collections, and what they have decided. Whoever may not `steward` decides
//! nothing and is told nothing here.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Publishing;
use crate::error::{Error, Result};
use crate::policy::Action;
use crate::query::{Collection, write};
use crate::record::Actor;
use crate::store::rows::{Decided, Decision};

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
        let last = match asked.version {
            None => u32::MAX,
            Some(version) => {
                let unknown =
                    || Error::not_found("there is no such version; `versions` of the collection lists them");
                self.0.store.last_field_id(collection.id, version).await?.ok_or_else(unknown)?
            }
        };
        let decision = Decision {
            subject: actor.subject.clone(),
            what: if asked.classified { "CLASSIFIED" } else { "UNCLASSIFIED" },
            before: json!({ "classified": !asked.classified }),
            after: json!({ "classified": asked.classified }),
        };
        let paths = asked.paths.as_deref();
        let (collection, changed) = self
            .0
            .store
            .decide(&collection, decision, |shape| {
                shape.classify(paths, asked.classified, last).map_err(|path| unknown_path(&path))
            })
            .await?;
        let fields = collection.shape.fields();
        let left = fields.filter(|field| field.children().is_empty() && !field.is_classified()).count();
        Ok(json!({
            "collection": collection.field_name,
            "version": collection.shape.version,
            "changed": changed.len(),
            "unclassified": left,
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
    async fn stewarded(&self, actor: &Actor, name: &str) -> Result<Arc<Collection>> {
        self.0.policy.allow(actor, Action::Steward)?;
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

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

fn unknown_path(path: &str) -> Error {
    let path = short(path);
    Error::not_found(format!(
        "there is no field at `{path}`; `collection {{ shape {{ fields {{ path }} }} }}` lists them"
    ))
}

fn decision(decided: Decided) -> Value {
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
