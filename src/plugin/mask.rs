//! `mask`: emits a copy of each matching record, some fields replaced, as a record of another collection; a tombstone
//! is copied too. Must not let a masked value through in any form: a field that is an object or a list is replaced
//! whole, lists on the way to it are entered, and where its way ends in something else, that is replaced.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Effect, Failure, Plugin, Subject};
use crate::config::{Config, MaskPlugin};
use crate::error::{Error, Result as Fallible};
use crate::record::{Draft, Json, Source, hex};
use crate::shape::Known;

/// How one value is replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Null,
    Hash,
    KeepFirst(usize),
    KeepLast(usize),
}

/// The plugin that emits masked copies.
pub struct Mask {
    options: MaskPlugin,
    how: How,
    paths: Vec<Vec<String>>,
    key: Vec<u8>,
    known: Known,
}

impl Mask {
    /// A mask with these options.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names the option.
    pub fn new(options: &MaskPlugin, config: &Config, key: &[u8]) -> Fallible<Self> {
        let wrong = |what: &str| Error::bad_request(format!("mask plugin `{}`: {what}", options.name));
        Source::new(options.category.as_str(), options.to_subcategory.as_str(), "mask")
            .map_err(|error| wrong(error.message()))?;
        if options.name.is_empty() || options.name == "materialize" {
            return Err(wrong("`name` must not be empty or `materialize`"));
        }
        if options.fields.is_empty() {
            return Err(wrong(
                "`fields` must name what to mask; without any it would copy everything as it is",
            ));
        }
        let how = parse_how(&options.mask)
            .ok_or_else(|| wrong("`mask` must be `null`, `hash`, `keep_first:n` or `keep_last:n`"))?;
        let paths = options.fields.iter().map(|field| parse_pointer(field)).collect::<Option<Vec<_>>>();
        let paths =
            paths.ok_or_else(|| wrong("each of `fields` must be a JSON pointer such as `/card/number`"))?;
        Ok(Mask { options: options.clone(), how, paths, key: key.to_vec(), known: Known::new(&config.shape) })
    }

    fn replace(&self, value: &Json) -> Json {
        let kept = |text: &str| match self.how {
            How::Null => Json::Null,
            How::Hash => Json::String(self.hash(text)),
            // Of a short text at most half is kept: else it would be kept whole.
            How::KeepFirst(n) => {
                let take = n.min(text.chars().count() / 2);
                Json::String(text.chars().take(take).chain(['…']).collect())
            }
            How::KeepLast(n) => {
                let count = text.chars().count();
                let kept = text.chars().skip(count - n.min(count / 2));
                Json::String(std::iter::once('…').chain(kept).collect())
            }
        };
        match (value, self.how) {
            (Json::Null, _) => Json::Null,
            (Json::String(text), _) => kept(text),
            (Json::Number(text), _) => kept(text),
            (Json::Bool(_) | Json::Array(_) | Json::Object(_), How::Hash) => {
                Json::String(self.hash(&value.to_text()))
            }
            // A prefix of an object's text would give away its first member.
            (Json::Bool(_) | Json::Array(_) | Json::Object(_), _) => Json::Null,
        }
    }

    fn hash(&self, text: &str) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key) else { return String::new() };
        mac.update(b"wellspring mask\0");
        mac.update(text.as_bytes());
        hex(mac.finalize().into_bytes().iter().take(16))
    }

    /// What stands where an object or a list was expected: it may hold what was to be masked, in a form unknown.
    fn replace_unexpected(&self, value: &Json) -> Json {
        match (value, self.how) {
            (Json::Null, _) => Json::Null,
            (_, How::Hash) => self.replace(value),
            _ => Json::Null,
        }
    }

    fn masked(&self, value: &Json, paths: &[&[String]]) -> Json {
        if paths.iter().any(|path| path.is_empty()) {
            return self.replace(value);
        }
        let unexpected = match value {
            Json::Array(_) => false,
            Json::Object(_) => paths.iter().any(|path| path.first().is_some_and(|step| step == "*")),
            _ => !paths.is_empty(),
        };
        if unexpected {
            return self.replace_unexpected(value);
        }
        match value {
            Json::Object(members) => {
                let below = |key: &str| {
                    let steps = paths.iter().filter_map(|path| path.split_first());
                    steps.filter(|(first, _)| *first == key).map(|(_, rest)| rest).collect::<Vec<_>>()
                };
                let masked =
                    members.iter().map(|(key, value)| (key.clone(), self.masked(value, &below(key))));
                Json::Object(masked.collect())
            }
            Json::Array(items) => {
                let paths = in_items(paths);
                Json::Array(items.iter().map(|item| self.masked(item, &paths)).collect())
            }
            scalar => scalar.clone(),
        }
    }
}

/// What paths name within the items of a list: `*` is every item, and so is a number, as no item is safer than
/// another; a step that is neither goes on within each.
fn in_items<'a>(paths: &[&'a [String]]) -> Vec<&'a [String]> {
    let mut within = Vec::with_capacity(paths.len());
    for path in paths {
        match path.split_first() {
            Some((step, rest)) if step == "*" => within.push(rest),
            Some((step, rest)) if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) => {
                within.extend([rest, path]);
            }
            _ => within.push(path),
        }
    }
    within
}

impl Plugin for Mask {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn version(&self) -> i32 {
        2
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        let source = &subject.record.draft.source;
        source.category == self.options.category && source.subcategory == self.options.subcategory
    }

    fn decide(&self, subject: &Subject<'_>) -> Result<Vec<Effect>, Failure> {
        let original = &subject.record.draft;
        let paths: Vec<&[String]> = self.paths.iter().map(Vec::as_slice).collect();
        let copy = subject.document.map(|document| self.masked(document, &paths));
        let body = copy.as_ref().map(Json::to_text).unwrap_or_default();
        let Source { category, .. } = &original.source;
        let structure =
            copy.as_ref().map(|copy| self.known.structure(category, &self.options.to_subcategory, copy));
        Ok(vec![Effect::Emit(Box::new(Draft {
            id: Uuid::new_v5(&original.id, self.options.name.as_bytes()),
            source: Source { subcategory: self.options.to_subcategory.clone(), ..original.source.clone() },
            source_uid: original.source_uid.clone(),
            author: original.author.clone(),
            idempotency_key: None,
            if_revision: None,
            content_type: "application/json".into(),
            payload_hash: Sha256::digest(body.as_bytes()).into(),
            body: body.into(),
            occurred_at: original.occurred_at,
            ingested_at: original.ingested_at,
            structure,
            deleted: original.deleted,
            causation_id: Some(original.id),
            hops: original.hops.saturating_add(1),
            envelope: original.envelope.clone(),
        }))])
    }
}

/// Refuses masks whose copies come back to where they began; what only shows at run time ends at the hop limit.
pub(super) fn refuse_cycles(masks: &[MaskPlugin]) -> Fallible<()> {
    let mut next: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for mask in masks {
        next.entry((&mask.category, &mask.subcategory)).or_default().push(&mask.to_subcategory);
    }
    for mask in masks {
        let (mut seen, mut open) = (Vec::new(), vec![mask.to_subcategory.as_str()]);
        while let Some(at) = open.pop() {
            if at == mask.subcategory {
                return Err(Error::bad_request(format!(
                    "mask plugin `{}` feeds itself: its copies come back to `{at}`; choose another `to_subcategory`",
                    mask.name
                )));
            }
            if !seen.contains(&at) {
                seen.push(at);
                open.extend(next.get(&(mask.category.as_str(), at)).into_iter().flatten());
            }
        }
    }
    Ok(())
}

fn parse_how(text: &str) -> Option<How> {
    match text.split_once(':') {
        None if text == "null" => Some(How::Null),
        None if text == "hash" => Some(How::Hash),
        Some(("keep_first", n)) => n.parse().ok().map(How::KeepFirst),
        Some(("keep_last", n)) => n.parse().ok().map(How::KeepLast),
        _ => None,
    }
}

fn parse_pointer(text: &str) -> Option<Vec<String>> {
    let steps = text.strip_prefix('/')?;
    Some(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}
