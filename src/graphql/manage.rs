//! The management part's resolvers: arguments in, a service asked, a JSON value out that is projected by the
//! selection. Must not contain business rules: a resolver only translates.

mod advice;
mod api_keys;
mod contracts;
mod modes;
mod reads;
mod unions;

use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::coerce::{likeness, nearest, short};
use super::plan::Node;
use super::{Context, Services};
use crate::error::{Error, Result};
use crate::provisioning::Which;
use crate::publishing::{Accept, Asked, Classify, End, Events, Publishing, Visible};
use crate::record::{Actor, Envelope, Json, Receipt, Source, UsageAgreement};
use crate::shape::Wish;
use crate::sourcing::{Input, Retraction};

/// Arguments of a field, or members of an input object.
#[derive(Clone, Copy)]
struct Arguments<'a>(&'a [(String, Json)]);

impl<'a> Arguments<'a> {
    fn get(self, name: &str) -> Option<&'a Json> {
        let value = self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value);
        value.filter(|value| **value != Json::Null)
    }

    fn text(self, name: &str) -> Option<String> {
        self.get(name).and_then(Json::as_str).map(str::to_owned)
    }

    /// A text that the schema requires.
    fn required(self, name: &str) -> Result<String> {
        self.text(name).ok_or_else(|| Error::bad_request(format!("`{name}` is missing")))
    }

    fn whole(self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Json::Number(text)) => text.parse().ok(),
            _ => None,
        }
    }

    fn object(self, name: &str) -> Arguments<'a> {
        match self.get(name) {
            Some(Json::Object(members)) => Arguments(members),
            _ => Arguments(&[]),
        }
    }

    fn list(self, name: &str) -> &'a [Json] {
        match self.get(name) {
            Some(Json::Array(items)) => items,
            _ => &[],
        }
    }

    /// The texts of a list, none when it is not given.
    fn texts<T: FromIterator<String>>(self, name: &str) -> Option<T> {
        self.get(name).map(|_| self.list(name).iter().filter_map(Json::as_str).map(str::to_owned).collect())
    }

    fn uuid(self, name: &str) -> Result<Option<Uuid>> {
        let wrong = || Error::bad_request(format!("`{name}` must be an id, a UUID"));
        self.text(name).map(|text| Uuid::parse_str(&text).map_err(|_| wrong())).transpose()
    }

    /// Unix microseconds.
    fn instant(self, name: &str) -> Result<Option<i64>> {
        let wrong = || Error::bad_request(format!("`{name}` must be a time such as `2026-11-22T21:21:19Z`"));
        let parse = |text: String| text.parse::<jiff::Timestamp>().map_err(|_| wrong());
        Ok(self.text(name).map(parse).transpose()?.map(jiff::Timestamp::as_microsecond))
    }

    fn source(self) -> Result<Source> {
        Source::new(self.required("category")?, self.required("subcategory")?, self.required("sourceName")?)
    }

    fn first(self, limits: &crate::config::Graphql) -> Result<usize> {
        let first = self.whole("first").unwrap_or(limits.page_default as i64);
        usize::try_from(first).ok().filter(|first| *first <= limits.page_max).ok_or_else(|| {
            Error::bad_request(format!("`first` must be 0 to {}: `graphql.page_max`", limits.page_max))
        })
    }
}

/// Answers a root field of the management part.
pub(super) async fn resolve(
    services: &Services,
    context: &Context,
    node: &Node,
    arguments: &[(String, Json)],
) -> Result<Json> {
    let arguments = Arguments(arguments);
    match &*node.name {
        // Raw documents are told exactly.
        "record" => record(services, context, arguments).await,
        "records" => records(services, context, node, arguments).await,
        _ => other(services, context, node, arguments).await.map(Json::from),
    }
}

async fn other(
    services: &Services,
    context: &Context,
    node: &Node,
    arguments: Arguments<'_>,
) -> Result<Value> {
    match &*node.name {
        "receipt" => receipt(services, context, arguments).await,
        "sources" => services.publishing.sources(&context.actor).await,
        "collection" => collection(services, context, node, arguments).await,
        "decisions" => reads::decisions(services, context, arguments).await,
        "shapeDecisions" => reads::shape_decisions(services, context, arguments).await,
        "classifyFields" => classify_fields(services, context, arguments.object("input")).await,
        "decideField" => decide_field(services, context, arguments.object("input")).await,
        "shapeDiff" => modes::shape_diff(services, context, arguments).await,
        "setMode" => modes::set_mode(services, context, arguments.object("input")).await,
        "acceptFields" => modes::accept_fields(services, context, arguments.object("input")).await,
        "rejectFields" => modes::reject_fields(services, context, arguments.object("input")).await,
        "relations" => services.publishing.relations(&context.actor, arguments.text("collection").as_deref()),
        "relationCandidates" => {
            let collection = arguments.text("collection");
            services.publishing.relation_candidates(&context.actor, collection.as_deref()).await
        }
        "keyCandidates" => {
            services.publishing.key_candidates(&context.actor, &arguments.required("collection")?).await
        }
        "acceptRelation" => accept_relation(services, context, arguments.object("input")).await,
        "removeRelation" => {
            services.publishing.remove_relation(&context.actor, &arguments.required("id")?).await
        }
        "acceptUnion" => unions::accept(services, context, arguments.object("input")).await,
        "removeUnion" => unions::remove(services, context, arguments.object("input")).await,
        "contract" => Ok(services.publishing.contract(&context.actor)),
        "contracts" => services.publishing.contracts(&context.actor).await,
        "applyContract" => contracts::apply(services, context, arguments.object("input")).await,
        "indexAdvice" => advice::list(services, context, arguments).await,
        "applyIndexAdvice" => advice::apply(services, context, arguments).await,
        "dropIndex" => advice::drop(services, context, arguments).await,
        "apiKeys" => api_keys::list(services, context, arguments).await,
        "createApiKey" => api_keys::create(services, context, arguments.object("input")).await,
        "revokeApiKey" => api_keys::revoke(services, context, arguments).await,
        "plugins" => services.provisioning.plugins(&context.actor).await,
        "deadLetters" => dead_letters(services, context, arguments).await,
        "lag" => services.provisioning.lag(&context.actor).await,
        "source" => source(services, context, node, arguments.object("input")).await,
        "sourceMany" => source_many(services, context, arguments.object("input")).await,
        "retract" => retract(services, context, node, arguments.object("input")).await,
        "redrive" => redrive(services, context, arguments).await,
        "enablePlugin" => {
            services.provisioning.enable_plugin(&context.actor, &arguments.required("name")?).await
        }
        "disablePlugin" => {
            services.provisioning.disable_plugin(&context.actor, &arguments.required("name")?).await
        }
        name => Err(Error::internal(format!("no resolver for the field {name}"))),
    }
}

async fn record(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Json> {
    let id = arguments.uuid("id")?.unwrap_or_default();
    services.publishing.record(&context.actor, id).await
}

async fn records(
    services: &Services,
    context: &Context,
    node: &Node,
    arguments: Arguments<'_>,
) -> Result<Json> {
    let parts = ["category", "subcategory", "sourceName"].map(|part| arguments.get(part).is_some());
    let source = match parts {
        [false, false, false] => None,
        [true, true, true] => Some(arguments.source()?),
        _ => {
            return Err(Error::bad_request(
                "give `category`, `subcategory` and `sourceName` together, or none",
            ));
        }
    };
    let first = arguments.first(&services.config.graphql)?;
    let page = (first, arguments.uuid("after")?);
    let documents = node.children.iter().any(|child| &*child.name == "dataObj");
    services.publishing.records(&context.actor, source, page, documents).await
}

async fn receipt(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    let id = arguments.uuid("id")?.unwrap_or_default();
    let mut receipt = services.sourcing.receipt(&context.actor, id).await?;
    settle(&mut receipt, &[("duplicate", Value::Bool(false)), ("steps", json!([]))]);
    Ok(receipt)
}

async fn collection(
    services: &Services,
    context: &Context,
    node: &Node,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let visible = find(&services.publishing, &context.actor, &arguments.required("name")?).await?;
    services.publishing.collection(&context.actor, &visible, asked(node)).await
}

/// The collection that has this query field, for this actor.
///
/// # Errors
/// `NOT_FOUND` with the nearest name that there is for the actor.
pub(super) async fn find(publishing: &Publishing, actor: &Actor, name: &str) -> Result<Visible> {
    let known = publishing.version();
    let mut found = publishing.visible_among(actor, [name])?.pop();
    // Another node may have published it a moment ago.
    if found.is_none() && actor.subject != Actor::anonymous().subject && publishing.refresh(known).await {
        found = publishing.visible_among(actor, [name])?.pop();
    }
    let Some(found) = found else {
        let alike = publishing.visible_like(actor, |field| likeness(name, field))?;
        let hint = nearest(name, alike.iter().map(|(collection, _)| collection.field_name.as_str()));
        let name = short(name);
        let text = format!(
            "there is no collection `{name}` for you{hint}; `{{ collections {{ name }} }}` lists yours"
        );
        return Err(Error::not_found(text));
    };
    Ok(found)
}

/// Answers `collections`: one is told and written after the other, as there may be thousands.
///
/// # Errors
/// `BAD_REQUEST`; `TOO_COMPLEX` when the answer becomes larger than it may.
pub(super) async fn collections(
    services: &Services,
    context: &Context,
    node: &Node,
    arguments: &[(String, Json)],
    mut write: impl FnMut(&Json) -> Result<()>,
) -> Result<()> {
    let arguments = Arguments(arguments);
    let wrong = || Error::bad_request("`first` must be 0 or more");
    let first =
        arguments.whole("first").map(|first| usize::try_from(first).map_err(|_| wrong())).transpose()?;
    // What takes rows to tell is told of one collection only.
    let (after, asked) = (arguments.text("after"), Asked { unions: false, ..asked(node) });
    let (publishing, actor) = (&services.publishing, &context.actor);
    for visible in publishing.visible_after(actor, after.as_deref(), first.unwrap_or(usize::MAX))? {
        write(&Json::from(publishing.collection(actor, &visible, asked).await?))?;
    }
    Ok(())
}

/// What a selection of `Collection` needs.
fn asked(node: &Node) -> Asked {
    const COUNTS: [&str; 6] = ["count", "presence", "formats", "evidence", "firstSeen", "lastSeen"];
    const STATISTICS: [&str; 10] = [
        "minimum",
        "maximum",
        "lengthMin",
        "lengthMax",
        "itemsMin",
        "itemsMax",
        "distinct",
        "distinctExact",
        "values",
        "examples",
    ];
    let mut asked = Asked::default();
    for member in &node.children {
        asked.versions |= &*member.name == "versions";
        asked.rebuild |= &*member.name == "rebuild";
        asked.json_schema |= &*member.name == "jsonSchema";
        asked.pending |= &*member.name == "pending";
        asked.unions |= &*member.name == "unionCandidates";
        for member in member.children.iter().filter(|_| &*member.name == "shape") {
            let below = |names: &[&str]| member.children.iter().any(|field| names.contains(&&*field.name));
            asked.sightings |= &*member.name == "counted" || below(&COUNTS);
            asked.statistics |= &*member.name == "sampled" || below(&STATISTICS);
        }
    }
    asked
}

async fn classify_fields(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let asked = Classify {
        collection: input.required("collection")?,
        paths: input.texts("paths"),
        classified: input.get("classified") != Some(&Json::Bool(false)),
        version: input.whole("version"),
    };
    services.publishing.classify(&context.actor, &asked).await
}

async fn decide_field(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let wish = Wish {
        description: input.text("description"),
        tags: input.texts("tags"),
        hidden: input.get("hidden").map(|hidden| *hidden == Json::Bool(true)),
        values: input.texts("values"),
        deprecated: input.text("deprecated"),
        retype: input.text("type"),
        name: input.text("name"),
        aliases: input.texts("aliases"),
    };
    let (collection, path) = (input.required("collection")?, input.required("path")?);
    services.publishing.decide_field(&context.actor, &collection, &path, &wish).await
}

/// Which events a subscription is about.
pub(super) fn events(arguments: &[(String, Json)]) -> Events {
    let arguments = Arguments(arguments);
    Events {
        collection: arguments.text("collection"),
        kinds: arguments.texts("kinds"),
        after: arguments.text("after"),
        changes: false,
    }
}

async fn accept_relation(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let end = |end: Arguments<'_>| {
        Ok::<_, Error>(End { collection: end.required("collection")?, path: end.required("path")? })
    };
    let asked = Accept {
        from: end(input.object("from"))?,
        to: end(input.object("to"))?,
        name: input.text("name"),
        inverse_name: input.text("inverseName"),
    };
    services.publishing.accept_relation(&context.actor, &asked).await
}

async fn dead_letters(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    let wrong = || Error::bad_request("`after` must be the id of a dead letter, a whole number");
    let which = Which {
        before: arguments.text("after").map(|text| text.parse().map_err(|_| wrong())).transpose()?,
        plugin: arguments.text("plugin"),
        category: arguments.text("category"),
    };
    let first = arguments.first(&services.config.graphql)?;
    services.provisioning.dead_letters(&context.actor, first, &which).await
}

async fn redrive(services: &Services, context: &Context, arguments: Arguments<'_>) -> Result<Value> {
    let wrong = || Error::bad_request("`id` must be the id of a dead letter, a whole number");
    let id = arguments.required("id")?.parse().map_err(|_| wrong())?;
    let redriven = services.provisioning.redrive(&context.actor, id).await?;
    Ok(json!({ "redriven": redriven }))
}

async fn source(services: &Services, context: &Context, node: &Node, input: Arguments<'_>) -> Result<Value> {
    let document = document(context, input.source()?, input)?;
    let receipt = services.sourcing.source(&context.actor, document).await?;
    Ok(told(services, context, &receipt, node).await)
}

async fn retract(services: &Services, context: &Context, node: &Node, input: Arguments<'_>) -> Result<Value> {
    let retraction = Retraction {
        source: input.source()?,
        source_uid: input.required("sourceUid")?,
        idempotency_key: input.text("idempotencyKey"),
        if_revision: input.whole("ifRevision"),
        envelope: Envelope { traceparent: context.traceparent.clone(), ..Envelope::default() },
    };
    let receipt = services.sourcing.retract(&context.actor, retraction).await?;
    Ok(told(services, context, &receipt, node).await)
}

async fn source_many(services: &Services, context: &Context, input: Arguments<'_>) -> Result<Value> {
    let documents = input.list("documents");
    let bound = services.config.sourcing.many_max;
    if documents.len() > bound {
        let text =
            format!("`documents` has more than {bound} items: `sourcing.many_max`; send fewer at once");
        return Err(Error::new(crate::error::Code::TooLarge, text));
    }
    let source = input.source()?;
    let mut inputs = Vec::with_capacity(documents.len());
    let mut places = Vec::with_capacity(documents.len());
    let mut outcomes: Vec<(usize, Result<Receipt>)> = Vec::with_capacity(documents.len());
    for (index, item) in documents.iter().enumerate() {
        let Json::Object(members) = item else { continue };
        match document(context, source.clone(), Arguments(members)) {
            Ok(input) => {
                inputs.push(input);
                places.push(index);
            }
            Err(error) => outcomes.push((index, Err(error))),
        }
    }
    let answers = services.sourcing.source_many(&context.actor, inputs).await;
    outcomes.extend(places.into_iter().zip(answers));
    outcomes.sort_by_key(|(index, _)| *index);
    Ok(summary(outcomes))
}

fn summary(outcomes: Vec<(usize, Result<Receipt>)>) -> Value {
    let (mut receipts, mut rejected) = (Vec::new(), Vec::new());
    for (index, outcome) in outcomes {
        match outcome {
            Ok(receipt) => receipts.push(plain(&receipt)),
            Err(error) => {
                let (code, message) = (error.code().as_str(), error.message());
                rejected.push(json!({ "index": index, "code": code, "message": message }));
            }
        }
    }
    json!({ "accepted": receipts.len(), "rejected": rejected, "receipts": receipts })
}

/// One document of `source` or `sourceMany`; its text goes on exactly as it came.
fn document(context: &Context, source: Source, input: Arguments<'_>) -> Result<Input> {
    let data = input.get("data").ok_or_else(|| Error::bad_request("`data` is missing"))?;
    Ok(Input {
        source,
        source_uid: input.text("sourceUid"),
        body: Bytes::from(data.to_text()),
        content_type: "application/json".into(),
        idempotency_key: input.text("idempotencyKey"),
        if_revision: input.whole("ifRevision"),
        occurred_at: input.instant("occurredAt")?,
        envelope: envelope(context, input)?,
    })
}

fn envelope(context: &Context, input: Arguments<'_>) -> Result<Envelope> {
    let meta_data = match input.get("metaData").map(Json::to_value) {
        None => serde_json::Map::new(),
        Some(Value::Object(members)) if members.values().all(Value::is_string) => members,
        Some(_) => return Err(Error::bad_request("`metaData` must be an object whose values are texts")),
    };
    let mut data_usage_agreements = Vec::new();
    for item in input.list("usageAgreements") {
        let Json::Object(members) = item else { continue };
        let agreement = Arguments(members);
        data_usage_agreements.push(UsageAgreement {
            agreement_name: agreement.required("agreementName")?,
            location: agreement.required("location")?,
            agreed_dtm: agreement.instant("agreedAt")?.unwrap_or_default().div_euclid(1_000_000),
        });
    }
    Ok(Envelope {
        tags: input.texts("tags").unwrap_or_default(),
        purposes: input.texts("purposes").unwrap_or_default(),
        meta_data,
        data_usage_agreements,
        data_tracker: input.get("dataTracker").map(Json::to_value),
        traceparent: context.traceparent.clone(),
    })
}

/// A receipt; its times and steps are looked up only when they are asked for. When they cannot be, it goes without
/// them: what is durable must not look failed, or it would be sent once more.
async fn told(services: &Services, context: &Context, receipt: &Receipt, node: &Node) -> Value {
    const LOOKED_UP: [&str; 4] = ["ingestedAt", "publishedAt", "provisionedAt", "steps"];
    let mut told = plain(receipt);
    if node.children.iter().any(|child| LOOKED_UP.contains(&&*child.name)) {
        match services.sourcing.receipt(&context.actor, receipt.id).await {
            Ok(now) => {
                let members = now.as_object().into_iter().flatten().filter(|(name, _)| *name != "duplicate");
                settle_all(&mut told, members);
            }
            Err(error) => {
                let request = context.request_id.as_str();
                tracing::warn!(request, %error, "a receipt goes without its times");
            }
        }
    }
    told
}

fn plain(receipt: &Receipt) -> Value {
    let mut value = serde_json::to_value(receipt).unwrap_or_default();
    settle(&mut value, &[("steps", json!([]))]);
    value
}

/// Adds members that are missing.
fn settle(value: &mut Value, members: &[(&str, Value)]) {
    if let Some(object) = value.as_object_mut() {
        for (name, member) in members {
            object.entry(*name).or_insert_with(|| member.clone());
        }
    }
}

/// Adds or replaces members.
fn settle_all<'a>(value: &mut Value, members: impl Iterator<Item = (&'a String, &'a Value)>) {
    if let Some(object) = value.as_object_mut() {
        object.extend(members.map(|(name, member)| (name.clone(), member.clone())));
    }
}
