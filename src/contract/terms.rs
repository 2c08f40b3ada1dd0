//! What can be agreed. The names here are those of the file and of the API.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::query::{Mask, OnMisfit, Unit};
use crate::record::Actor;

/// One version of what one consumer is promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Its name, by which requests choose it.
    pub name: String,
    /// Its version, from 1. What was agreed under one version stays.
    pub version: u32,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who is bound by it: whoever has one of these claims.
    pub consumers: Vec<Consumer>,
    /// The first day on which it is not served any more, as `2027-01-31`, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sunset: Option<String>,
    /// In which formats rows are given out; all, when there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub formats: BTreeSet<Format>,
    /// By which ways; all, when there are none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub transports: BTreeSet<Transport>,
    /// Bounds, beside those of the configuration.
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// How soon what was taken in is to be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// What it gives of which collection, by the name of its query field.
    pub collections: BTreeMap<String, Terms>,
}

/// A claim that makes one a consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The name of the claim; `subject` is the token's subject.
    pub claim: String,
    /// Its value, or one of its values when it is a list.
    pub value: Value,
}

/// A form in which rows are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// GraphQL, and JSON by REST.
    Json,
    /// NDJSON by REST.
    Ndjson,
    /// CSV by REST.
    Csv,
    /// XML by REST.
    Xml,
}

impl Format {
    /// As files name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Xml => "xml",
        }
    }
}

/// A way on which rows are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// GraphQL, one answer a request.
    Http,
    /// GraphQL over a socket.
    Websocket,
    /// GraphQL as an event stream.
    Sse,
    /// `GET /data/…`.
    Rest,
}

impl Transport {
    /// As files name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Websocket => "websocket",
            Transport::Sse => "sse",
            Transport::Rest => "rest",
        }
    }
}

/// Bounds for the consumer; those of the configuration hold beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Rows of a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_max: Option<u32>,
    /// Levels of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth_max: Option<u32>,
    /// Rows times fields of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_max: Option<u64>,
    /// Requests a minute of all its consumers together, on each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Requests of one of its consumers in work at once, on each node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_max: Option<u32>,
}

impl Limits {
    fn is_none(&self) -> bool {
        *self == Limits::default()
    }
}

/// How soon what was taken in is to be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// The most seconds between the acknowledgement of a record and its row.
    pub seconds: u32,
}

/// What is given of one collection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// Names of fields, nested ones joined by dots; an object stands for all that is in it now and later. `*` is every
    /// field but those of `_record` and `_rest`, which are in only when they are named.
    pub fields: BTreeSet<String>,
    /// Other names for some of them, by their own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Which rows, in the form of the argument `where`, with the collection's own names.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// The version of its shape whose fields and types are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shape_version: Option<u32>,
    /// By what values are replaced, by the field; beside the masks of the policies, the strictest of all holds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub masks: BTreeMap<String, MaskTerm>,
    /// What is done about a value that does not fit the type that is kept, by the field; `*` is for all others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub misfits: BTreeMap<String, OnMisfit>,
    /// What of it must not be decided while the contract is in force.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub block: BTreeSet<Block>,
}

/// A mask as a contract names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskTerm {
    /// By null.
    Null,
    /// By a keyed hash.
    Hash,
    /// By its first characters.
    KeepFirst(usize),
    /// By its last characters.
    KeepLast(usize),
    /// A number, rounded to a multiple of this.
    Round(f64),
    /// A time, truncated to `year`, `month`, `day` or `hour`.
    Truncate(UnitTerm),
}

/// A unit of time as a contract names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnitTerm {
    /// 1 January
    Year,
    /// First of the month
    Month,
    /// Midnight
    Day,
    /// Full hour
    Hour,
}

impl MaskTerm {
    /// The mask.
    pub fn mask(&self) -> Mask {
        match self {
            MaskTerm::Null => Mask::Null,
            MaskTerm::Hash => Mask::Hash,
            MaskTerm::KeepFirst(count) => Mask::KeepFirst(*count),
            MaskTerm::KeepLast(count) => Mask::KeepLast(*count),
            MaskTerm::Round(step) => Mask::Round(*step),
            MaskTerm::Truncate(unit) => Mask::Truncate(match unit {
                UnitTerm::Year => Unit::Year,
                UnitTerm::Month => Unit::Month,
                UnitTerm::Day => Unit::Day,
                UnitTerm::Hour => Unit::Hour,
            }),
        }
    }
}

/// What must not be decided about a collection while a contract is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// That one of its fields is hidden, or kept for stewards again.
    Hide,
    /// That one of its fields gets another type.
    Retype,
}

impl Contract {
    /// Whether this actor is one of its consumers.
    pub fn has(&self, actor: &Actor) -> bool {
        self.consumers.iter().any(|consumer| {
            let claim = match consumer.claim.as_str() {
                "subject" => return consumer.value.as_str() == Some(&actor.subject),
                name => actor.claims.get(name),
            };
            match claim {
                None | Some(Value::Null) => false,
                Some(Value::Array(values)) => values.contains(&consumer.value),
                Some(value) => *value == consumer.value,
            }
        })
    }

    /// Whether rows are given out in this format.
    pub fn gives(&self, format: Format) -> bool {
        self.formats.is_empty() || self.formats.contains(&format)
    }

    /// Whether rows are given out on this way.
    pub fn serves(&self, transport: Transport) -> bool {
        self.transports.is_empty() || self.transports.contains(&transport)
    }

    /// Whether it is served no more on this day, `2027-01-31`.
    pub fn is_over(&self, today: &str) -> bool {
        self.sunset.as_deref().is_some_and(|sunset| today >= sunset)
    }

    /// Its name and version.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}
