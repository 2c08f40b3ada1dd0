//! Relations that the data suggests: keys, and fields whose values are among those of a key. For stewards, and only of
//! what they see plainly in every row; of personal data nothing is offered, as a relation tells whose values are equal.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};

use super::relations::{is_personal, path};
use super::{Publishing, Visible};
use crate::error::Result;
use crate::policy::Action;
use crate::query::{Collection, ColumnRef, FieldRef, envelope, walk};
use crate::record::Actor;
use crate::shape::{Candidate, SCORE_MIN, Statistics, inverse_name, relation_name};
use crate::store::rows::Counted;

/// A collection that candidates are looked for in.
struct Looked {
    visible: Visible,
    statistics: Statistics,
    /// They are of all records, and not of a sample.
    whole: bool,
    columns: Vec<Column>,
}

/// A column that can be an end.
struct Column {
    id: u32,
    names: Vec<String>,
    field: FieldRef,
}

impl Looked {
    fn collection(&self) -> &Collection {
        &self.visible.0
    }

    fn candidate<'a>(&'a self, column: &'a Column) -> Candidate<'a> {
        Candidate {
            whole: self.whole,
            name: column.names.last().map_or("", String::as_str),
            type_name: &self.visible.0.type_name,
            scalar: column.field.scalar,
            statistic: self.statistics.of(column.id),
            records: self.statistics.records(),
        }
    }

    fn counted<'a>(&'a self, column: &'a Column) -> Counted<'a> {
        Counted { collection: self.collection(), field: &column.field }
    }
}

/// A field and a key, by their places among what is looked at.
#[derive(Clone, Copy)]
struct Pair {
    from: (usize, usize),
    to: (usize, usize),
    /// As if all values were contained.
    score: f64,
}

impl Publishing {
    /// The keys of a collection as the GraphQL type `KeyCandidate` has them.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn key_candidates(&self, actor: &Actor, collection: &str) -> Result<Value> {
        self.stewarded(actor, collection).await?;
        let limits = &self.0.relations;
        let mut keys = Vec::new();
        for looked in self.looked(actor, &|name| name == collection).await? {
            for column in looked.columns.iter().filter(|column| looked.candidate(column).may_be_key()) {
                let values = self.0.store.count_values(looked.counted(column), limits.rows_max).await?;
                if values.are_unique() {
                    keys.push(json!({
                        "path": path(looked.collection(), column.id),
                        "name": column.names.join("."),
                        "type": column.field.scalar.name(),
                        "values": values.distinct,
                        "rows": values.rows,
                    }));
                }
            }
        }
        Ok(Value::Array(keys))
    }

    /// Relations that the values suggest, the likeliest first, as the GraphQL type `RelationCandidate` has them; of one
    /// collection only those from it or to it.
    ///
    /// # Errors
    /// `FORBIDDEN`, `NOT_FOUND`
    pub async fn relation_candidates(&self, actor: &Actor, collection: Option<&str>) -> Result<Value> {
        match collection {
            Some(name) => drop(self.stewarded(actor, name).await?),
            None => self.0.policy.allow(actor, Action::Steward)?,
        }
        let limits = &self.0.relations;
        let looked = self.looked(actor, &|_| true).await?;
        let mut pairs = pairs(&looked, collection, limits.contained_min);
        pairs.truncate(limits.pairs_max);
        let (mut unique, mut found) = (HashMap::new(), Vec::new());
        for pair in pairs {
            let (from, to) = (end(&looked, pair.from), end(&looked, pair.to));
            let (Some((from, one)), Some((to, other))) = (from, to) else { continue };
            let is_key = match unique.get(&pair.to) {
                Some(known) => *known,
                None => {
                    let values = self.0.store.count_values(to.counted(other), limits.rows_max).await?;
                    let is_key = values.are_unique();
                    unique.insert(pair.to, is_key);
                    is_key
                }
            };
            if !is_key {
                continue;
            }
            let sides = (from.counted(one), to.counted(other));
            let (values, both) = self.0.store.count_contained(sides.0, sides.1, limits.rows_max).await?;
            #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
            let contained = both as f64 / values.max(1) as f64;
            let score = from.candidate(one).score(&to.candidate(other), values, contained);
            if contained >= limits.contained_min && score >= SCORE_MIN {
                found.push((pair, score, values, contained));
            }
        }
        found.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal));
        // What a field of the rows tells, the uid tells again when the source has taken it from there.
        let by_field: BTreeSet<_> = found
            .iter()
            .filter(|(pair, ..)| !is_uid(&looked, pair.to))
            .map(|(pair, ..)| (pair.from, pair.to.0))
            .collect();
        found.retain(|(pair, ..)| !is_uid(&looked, pair.to) || !by_field.contains(&(pair.from, pair.to.0)));
        let told = |(pair, score, values, contained): &(Pair, f64, u64, f64)| {
            let ((from, one), (to, other)) = (end(&looked, pair.from)?, end(&looked, pair.to)?);
            Some(told(from, one, to, other, (*score, *values, *contained)))
        };
        Ok(Value::Array(found.iter().filter_map(told).collect()))
    }

    /// The collections of which the actor sees every row, with the columns that it sees plainly.
    async fn looked(&self, actor: &Actor, wanted: &(dyn Fn(&str) -> bool + Sync)) -> Result<Vec<Looked>> {
        let mut looked = Vec::new();
        let visible = self.visible(actor)?.into_iter();
        let whole = visible.filter(|(collection, scope)| wanted(&collection.field_name) && scope.is_whole());
        for visible in whole.take(self.0.relations.collections_max) {
            let (collection, scope) = &visible;
            let statistics = self.0.store.statistics(collection.id).await?;
            let mut ids: Vec<u32> = Vec::new();
            // Of a field of which nothing is known nothing can be guessed.
            walk(&collection.shape, &mut |_, field| ids.extend(statistics.of(field.id).map(|_| field.id)));
            ids.extend(envelope("sourceUid").map(|member| member.id));
            let mut columns = Vec::new();
            for id in ids {
                let mut above = BTreeSet::new();
                let Some(field) = collection.end(id, &mut above) else { continue };
                let plain = above.iter().all(|id| scope.comparable(*id));
                if plain && !is_personal(collection, above) {
                    let names = collection.end_names(id).unwrap_or_default();
                    columns.push(Column { id, names, field });
                }
            }
            let whole = statistics.records() < self.0.statistics.records_max;
            looked.push(Looked { statistics, whole, columns, visible });
        }
        Ok(looked)
    }
}

fn end(looked: &[Looked], (collection, column): (usize, usize)) -> Option<(&Looked, &Column)> {
    let looked = looked.get(collection)?;
    Some((looked, looked.columns.get(column)?))
}

fn is_uid(looked: &[Looked], place: (usize, usize)) -> bool {
    end(looked, place).is_some_and(|(_, column)| column.field.column == ColumnRef::SourceUid)
}

/// The pairs that statistics and names do not speak against, the likeliest first.
fn pairs(looked: &[Looked], about: Option<&str>, share: f64) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let keys: Vec<(usize, usize)> = places(looked)
        .filter(|place| {
            end(looked, *place).is_some_and(|(looked, column)| looked.candidate(column).may_be_key())
        })
        .collect();
    for from in places(looked) {
        for to in keys.iter().copied().filter(|to| *to != from) {
            let (Some((one, column)), Some((other, key))) = (end(looked, from), end(looked, to)) else {
                continue;
            };
            let names = [&one.collection().field_name, &other.collection().field_name];
            let asked = about.is_none_or(|about| names.iter().any(|name| *name == about));
            // Within a collection, what names a row by its uid is the uid.
            let own = from.0 == to.0 && (is_uid(looked, from) || is_uid(looked, to));
            if !asked || own || is_uid(looked, from) {
                continue;
            }
            // The uid of rows that a field names by another key is that key again, or another thing.
            let known = one.collection().shape.relations().any(|relation| {
                let there = !relation.many && relation.field == column.id;
                let same = relation.other_field == key.id || is_uid(looked, to);
                there && relation.other == other.collection().field_name && same
            });
            let (field, target) = (one.candidate(column), other.candidate(key));
            if known || !field.may_refer(&target, share) {
                continue;
            }
            let values = field.statistic.map_or(0, |statistic| statistic.distinct().0);
            let score = field.score(&target, values, 1.0);
            if score >= SCORE_MIN {
                pairs.push(Pair { from, to, score });
            }
        }
    }
    // Of a uid nothing is known before it is counted.
    let rank = |pair: &Pair| (is_uid(looked, pair.to), -pair.score);
    pairs.sort_by(|a, b| rank(a).partial_cmp(&rank(b)).unwrap_or(Ordering::Equal));
    pairs
}

fn places(looked: &[Looked]) -> impl Iterator<Item = (usize, usize)> {
    looked
        .iter()
        .enumerate()
        .flat_map(|(at, looked)| (0..looked.columns.len()).map(move |column| (at, column)))
}

fn told(
    from: &Looked,
    one: &Column,
    to: &Looked,
    other: &Column,
    (score, values, contained): (f64, u64, f64),
) -> Value {
    let name = from.candidate(one).name;
    let (here, there) = (from.collection(), to.collection());
    json!({
        "from": { "collection": here.field_name, "path": path(here, one.id) },
        "to": { "collection": there.field_name, "path": path(there, other.id) },
        "name": here.shape.free_relation_name(&relation_name(name, &there.type_name)),
        "inverseName": there.shape.free_relation_name(&inverse_name(&here.field_name, name)),
        "values": values,
        "contained": contained,
        "score": score,
    })
}
