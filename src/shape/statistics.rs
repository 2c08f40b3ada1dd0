//! What the values of each published field are like: ranges, lengths, how many are distinct and, when they are few,
//! which. A commutative, associative, idempotent merge, so that nodes gather apart and in any order. Pure; must not
//! decide who may know.
//!
//! Of fields that are tagged as personal data no value is kept, not even as the end of a range; once a field is
//! tagged, what was kept of it before goes with the next merge.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::conform::Fields;
use super::decimal::Number;
use super::formats;
use super::sketch::{Sketch, ValueHasher};
use super::values::{self, Fit};
use super::{Cell, Field, Kind, Published, Scalar};
use crate::config::Statistics as Limits;
use crate::error::{Error, Result};
use crate::record::Json;

/// The id under which records are counted: no field has it.
const RECORDS: u32 = 0;

/// Statistics of the values of a collection's published fields, by their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    fields: BTreeMap<u32, Statistic>,
}

/// Statistics of the values of one field; of a list, those of its items, of a map, those of its values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Statistic {
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Range<Number>>,
    /// Of dates, or of times in the form in which they are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<Range<Box<str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lengths: Option<Range<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<Range<u64>>,
    distinct: Distinct,
    /// The values are personal data.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    personal: bool,
}

/// The least and the greatest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Range<T>(T, T);

impl<T: Ord + Clone> Range<T> {
    fn merge(ours: &mut Option<Self>, theirs: &Option<Self>) {
        match (ours.as_mut(), theirs) {
            (_, None) => {}
            (None, Some(theirs)) => *ours = Some(theirs.clone()),
            (Some(ours), Some(theirs)) => {
                if theirs.0 < ours.0 {
                    ours.0 = theirs.0.clone();
                }
                if theirs.1 > ours.1 {
                    ours.1 = theirs.1.clone();
                }
            }
        }
    }

    /// Takes a value in that `compare` compares with the ends, and that is made only when it becomes one.
    fn observe(range: &mut Option<Self>, compare: impl Fn(&T) -> Ordering, make: impl Fn() -> T) {
        match range {
            None => *range = Some(Range(make(), make())),
            Some(Range(least, greatest)) => {
                if compare(least) == Ordering::Less {
                    *least = make();
                }
                if compare(greatest) == Ordering::Greater {
                    *greatest = make();
                }
            }
        }
    }
}

/// Distinct values: a set while they are few, then a sketch of all and a few of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Distinct {
    /// JSON texts by their hashes: all values, or those of the smallest hashes. As hashes are as good as random, these
    /// are a fair sample, and the same one in whatever order the values came.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    values: BTreeMap<u64, Box<str>>,
    /// Of all values, once `values` has not all of them.
    #[serde(skip_serializing_if = "Option::is_none", with = "sketch")]
    sketch: Option<Sketch>,
}

impl Distinct {
    /// Takes a value in; `None` when its text is not kept.
    fn observe(&mut self, hash: u64, text: impl FnOnce() -> Option<Box<str>>, limits: &Limits) {
        let Some(sketch) = &mut self.sketch else {
            if self.values.contains_key(&hash) {
                return;
            }
            let text = text();
            let fits = text.is_some() && self.values.len() < limits.values_max;
            self.values.extend(text.map(|text| (hash, text)));
            if !fits {
                self.outgrow().add(hash);
                self.shorten(limits.examples_max);
            }
            return;
        };
        sketch.add(hash);
        let small = self.values.len() < limits.examples_max
            || self.values.last_key_value().is_some_and(|(last, _)| hash < *last);
        if small
            && !self.values.contains_key(&hash)
            && let Some(text) = text()
        {
            self.values.insert(hash, text);
            self.shorten(limits.examples_max);
        }
    }

    /// From a set to a sketch.
    fn outgrow(&mut self) -> &mut Sketch {
        self.sketch.get_or_insert_with(|| {
            let mut sketch = Sketch::new();
            self.values.keys().for_each(|hash| sketch.add(*hash));
            sketch
        })
    }

    fn shorten(&mut self, max: usize) {
        while self.values.len() > max {
            self.values.pop_last();
        }
    }

    fn merge(&mut self, other: &Distinct, limits: &Limits) {
        if let Some(theirs) = &other.sketch {
            self.outgrow().merge(theirs);
        } else if let Some(ours) = &mut self.sketch {
            other.values.keys().for_each(|hash| ours.add(*hash));
        }
        for (hash, text) in &other.values {
            self.values.entry(*hash).or_insert_with(|| text.clone());
        }
        if self.values.len() > limits.values_max {
            self.outgrow();
        }
        if self.sketch.is_some() {
            self.shorten(limits.examples_max);
        }
    }

    fn sketched(&self) -> Sketch {
        let mut distinct = self.clone();
        distinct.outgrow().clone()
    }

    fn count(&self) -> u64 {
        match &self.sketch {
            Some(sketch) => sketch.estimate(),
            None => self.values.len() as u64,
        }
    }
}

/// A sketch as text.
mod sketch {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Sketch;

    pub(super) fn serialize<S: Serializer>(sketch: &Option<Sketch>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&sketch.as_ref().map(Sketch::to_text).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Sketch>, D::Error> {
        let text = String::deserialize(from)?;
        Sketch::from_text(&text).map(Some).ok_or_else(|| D::Error::custom("not a sketch"))
    }
}

impl Statistics {
    /// Takes in the document that a record has become a row from; `record` is its [`ValueHasher::record`]. Only what is
    /// published and fits counts: `published` must cover the document.
    pub fn observe(
        &mut self,
        published: &Published,
        record: u64,
        document: &Json,
        hasher: &ValueHasher,
        limits: &Limits,
    ) {
        let records = &mut self.fields.entry(RECORDS).or_default().distinct;
        records.observe(record, || Some("".into()), limits);
        if let Json::Object(members) = document {
            let mut gathering = Gathering { fields: &mut self.fields, hasher, limits };
            gathering.object(&Fields::of(&published.fields), members, false);
        }
    }

    /// Takes in all that other statistics have taken in.
    pub fn merge(&mut self, other: &Statistics, limits: &Limits) {
        for (id, theirs) in &other.fields {
            self.fields.entry(*id).or_default().merge(theirs, limits);
        }
    }

    /// Forgets the values of fields that are tagged as personal data, for good.
    pub fn withhold(&mut self, published: &Published) {
        self.withhold_below(&published.fields, false);
    }

    fn withhold_below(&mut self, fields: &[Field], above: bool) {
        for field in fields {
            let personal = above || field.is_personal();
            if let Some(statistic) = self.fields.get_mut(&field.id).filter(|_| personal) {
                statistic.withhold();
            }
            self.withhold_below(field.children(), personal);
        }
    }

    /// About how many records were taken in.
    pub fn records(&self) -> u64 {
        self.of(RECORDS).map_or(0, |records| records.distinct.count())
    }

    /// Of one field.
    pub fn of(&self, field_id: u32) -> Option<&Statistic> {
        self.fields.get(&field_id)
    }

    /// How many fields there is something of, records counted as one.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// One text a field, for storage.
    ///
    /// # Errors
    /// `INTERNAL` when it cannot be written.
    pub fn to_texts(&self) -> Result<Vec<(u32, String)>> {
        let text = |(id, field): (&u32, &Statistic)| {
            Ok((*id, serde_json::to_string(field).map_err(Error::internal)?))
        };
        self.fields.iter().map(text).collect()
    }

    /// From storage.
    ///
    /// # Errors
    /// `INTERNAL` when a text was not written by [`Statistics::to_texts`].
    pub fn add_text(&mut self, field_id: u32, text: &str) -> Result<()> {
        self.fields.insert(field_id, serde_json::from_str(text).map_err(Error::internal)?);
        Ok(())
    }
}

/// One document at work.
struct Gathering<'a> {
    fields: &'a mut BTreeMap<u32, Statistic>,
    hasher: &'a ValueHasher,
    limits: &'a Limits,
}

impl Gathering<'_> {
    /// The members of an object that is, or is not, personal data as a whole.
    fn object(&mut self, fields: &Fields<'_>, members: &[(String, Json)], personal: bool) {
        // Of a key that comes again the last value counts: the others were rescued.
        let mut values: Vec<Option<&Json>> = vec![None; fields.fields.len()];
        let mut hint = 0;
        for (key, value) in members {
            let Some(at) = fields.find(key, hint) else { continue };
            hint = at + 1;
            if let Some(slot) = values.get_mut(at) {
                *slot = Some(value);
            }
        }
        for (field, value) in fields.fields.iter().zip(values) {
            if let Some(value) = value.filter(|_| field.id <= self.limits.fields_max) {
                self.value(field, &field.kind, value, personal || field.is_personal());
            }
        }
    }

    /// A value of this field, or an item of its list.
    fn value(&mut self, field: &Field, kind: &Kind, value: &Json, personal: bool) {
        match (kind, value) {
            (Kind::Object(children) | Kind::Packed(children), Json::Object(members)) => {
                self.object(&Fields::of(children), members, personal);
            }
            (Kind::List(item), Json::Array(items)) => {
                if std::ptr::eq(kind, &raw const field.kind) {
                    let count = items.len() as u64;
                    let range = &mut self.fields.entry(field.id).or_default().items;
                    Range::observe(range, |end| count.cmp(end), || count);
                }
                items.iter().for_each(|value| self.value(field, item, value, personal));
            }
            (Kind::Map(kind), Json::Object(members)) => {
                members.iter().for_each(|(_, value)| self.value(field, kind, value, personal));
            }
            (Kind::Scalar(scalar), value) if is_told(*scalar, value) => {
                let statistic = self.fields.entry(field.id).or_default();
                if personal {
                    statistic.withhold();
                }
                statistic.observe(*scalar, value, self.hasher, self.limits);
            }
            // What has no type of its own, and what does not fit.
            _ => {}
        }
    }
}

/// Whether this is a value, and fits: who may read what was rescued is another question than who may read the field.
fn is_told(scalar: Scalar, value: &Json) -> bool {
    match (scalar, value) {
        (Scalar::Json, _) | (_, Json::Null | Json::Array(_) | Json::Object(_)) => false,
        (Scalar::String, Json::String(text)) => memchr::memchr(0, text.as_bytes()).is_none(),
        (Scalar::DateTime, Json::String(text)) => formats::is_date_time(text.as_bytes()),
        (Scalar::Date, Json::String(text)) => formats::is_date(text.as_bytes()),
        (Scalar::Uuid, Json::String(text)) => formats::is_uuid(text.as_bytes()),
        (Scalar::String | Scalar::Boolean, Json::Bool(_)) | (Scalar::String, Json::Number(_)) => true,
        (Scalar::Int | Scalar::BigInt | Scalar::Float, Json::Number(_)) => {
            !matches!(values::fit(value, scalar), Fit::Misfit(_))
        }
        _ => false,
    }
}

impl Statistic {
    /// Takes in a value that fits.
    fn observe(&mut self, scalar: Scalar, value: &Json, hasher: &ValueHasher, limits: &Limits) {
        let (hash, bytes) = match value {
            Json::Null | Json::Array(_) | Json::Object(_) => return,
            Json::Bool(value) => (hasher.other(&[u8::from(*value)]), 1),
            Json::Number(text) => (hasher.other(text.as_bytes()), text.len()),
            Json::String(text) => {
                let count = text.chars().count() as u64;
                Range::observe(&mut self.lengths, |end| count.cmp(end), || count);
                (hasher.string(text), text.len())
            }
        };
        let kept = bytes <= limits.value_bytes_max && !self.personal;
        match (scalar, value) {
            (Scalar::Int | Scalar::BigInt | Scalar::Float, Json::Number(text)) if kept => {
                let near = Number::near(text);
                let compare = |end: &Number| end.compared(near, text).reverse();
                Range::observe(&mut self.numbers, compare, || Number::new(text));
            }
            (Scalar::DateTime | Scalar::Date, Json::String(text)) if kept => self.time(scalar, text, value),
            _ => {}
        }
        self.distinct.observe(hash, || kept.then(|| value.to_text().into()), limits);
    }

    fn time(&mut self, scalar: Scalar, text: &str, value: &Json) {
        if self.times.as_ref().is_some_and(|Range(least, greatest)| is_between(text, least, greatest)) {
            return;
        }
        if let Fit::Cell(Cell::Text(text)) | Fit::Nearly(Cell::Text(text), _) = values::fit(value, scalar) {
            Range::observe(&mut self.times, |end| text.as_str().cmp(end), || text.as_str().into());
        }
    }

    fn withhold(&mut self) {
        if !self.personal {
            self.personal = true;
            (self.numbers, self.times) = (None, None);
            self.distinct.outgrow();
            self.distinct.values.clear();
        }
    }

    fn merge(&mut self, other: &Statistic, limits: &Limits) {
        Range::merge(&mut self.numbers, &other.numbers);
        Range::merge(&mut self.times, &other.times);
        Range::merge(&mut self.lengths, &other.lengths);
        Range::merge(&mut self.items, &other.items);
        self.distinct.merge(&other.distinct, limits);
        if other.personal || self.personal {
            self.personal = false;
            self.withhold();
        }
    }

    /// The least and the greatest number, exactly as some record has them; of dates and times, in output form.
    pub fn range(&self) -> Option<(&str, &str)> {
        let numbers = self.numbers.as_ref().map(|Range(least, greatest)| (least.text(), greatest.text()));
        numbers.or_else(|| self.times.as_ref().map(|Range(least, greatest)| (&**least, &**greatest)))
    }

    /// Characters of the shortest and of the longest text.
    pub fn lengths(&self) -> Option<(u64, u64)> {
        self.lengths.as_ref().map(|Range(least, greatest)| (*least, *greatest))
    }

    /// Items of the shortest and of the longest list.
    pub fn items(&self) -> Option<(u64, u64)> {
        self.items.as_ref().map(|Range(least, greatest)| (*least, *greatest))
    }

    /// How many distinct values there are, and whether that is exact and not an estimate.
    pub fn distinct(&self) -> (u64, bool) {
        (self.distinct.count(), self.distinct.sketch.is_none())
    }

    /// Whether so large a share of its values may be among the other's, which has taken all of its own in.
    pub fn may_be_within(&self, other: &Statistic, share: f64) -> bool {
        let (had, of) = self.distinct.sketched().within(&other.distinct.sketched());
        let (had, of) = (f64::from(had), f64::from(of).max(1.0));
        // Three standard errors of a share that is seen in so few.
        had / of >= share - 3.0 * (share * (1.0 - share) / of).sqrt()
    }

    /// All values, in order, when they are few; strings as they are, others as their JSON text.
    pub fn values(&self) -> Option<Vec<String>> {
        let whole = self.distinct.sketch.is_none() && !self.distinct.values.is_empty();
        whole.then(|| self.plain(usize::MAX))
    }

    /// Up to `max` values, in order; strings as they are, others as their JSON text.
    pub fn examples(&self, max: usize) -> Vec<String> {
        self.plain(max)
    }

    fn plain(&self, max: usize) -> Vec<String> {
        let plain = |text: &str| serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned());
        let mut texts: Vec<String> =
            self.distinct.values.values().take(max).map(|text| plain(text)).collect();
        texts.sort_unstable();
        texts
    }
}

/// Whether this is the text of a time in UTC, or of a date, that is surely between two others: most are, and then
/// cost no more than that.
fn is_between(text: &str, least: &str, greatest: &str) -> bool {
    let seconds = |text: &'_ str| text.len().min(19);
    let utc = text.len() == 10 || text.ends_with('Z') && text.as_bytes().get(10) == Some(&b'T');
    let [text, least, greatest] = [text, least, greatest].map(|text| text.as_bytes().get(..seconds(text)));
    utc && least < text && text < greatest
}
