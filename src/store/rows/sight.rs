//! How often and when documents of each structure were seen: counted with the rows that they became, summed up when
//! somebody asks. Must not decide who may know.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::query::Collection;
use crate::shape::{Sightings, Structure};
use crate::store::Store;
use crate::store::db::{Tx, Type};
use crate::store::rows::marks;
use crate::store::rows::publish::Batch;

const COLUMNS: [(&str, Type); 6] = [
    ("collection_id", Type::Int),
    ("fingerprint", Type::Int),
    ("partition", Type::Int),
    ("count", Type::Int),
    ("first_at", Type::Int),
    ("last_at", Type::Int),
];

const ADD: &str = "on conflict (collection_id, fingerprint, partition) do update set \
     count = sighting.count + excluded.count, \
     first_at = case when excluded.first_at < sighting.first_at then excluded.first_at else sighting.first_at end, \
     last_at = case when excluded.last_at > sighting.last_at then excluded.last_at else sighting.last_at end";

const COUNTS: &str = "select fingerprint, cast(sum(count) as bigint) n, min(first_at), max(last_at) from sighting \
     where collection_id = $1 group by fingerprint order by n desc, fingerprint limit $2";

/// Structures read at once: one may be as large as the names of all the locations that it may have.
const TREES_MAX: usize = 32;

/// Counts the documents of these effects; in the order of the key, as every transaction takes these rows.
pub(super) async fn count(tx: &mut Tx, batches: &[Batch<'_>]) -> Result<()> {
    let mut counts: BTreeMap<(i64, i64, i64), (i64, i64, i64)> = BTreeMap::new();
    for batch in batches {
        for effect in batch.effects.iter().filter(|effect| effect.document.is_some()) {
            let (record, draft) = (&effect.record, &effect.record.draft);
            // A document that a plugin has changed has no structure that is kept.
            let Some((fingerprint, _)) = &draft.structure else { continue };
            let at = draft.ingested_at;
            let key = (batch.collection.id, *fingerprint, i64::from(record.partition));
            let (count, first, last) = counts.entry(key).or_insert((0, at, at));
            (*count, *first, *last) = (*count + 1, at.min(*first), at.max(*last));
        }
    }
    let rows = counts.into_iter().map(|((collection, fingerprint, partition), (count, first, last))| {
        [collection, fingerprint, partition, count, first, last].map(Into::into).to_vec()
    });
    tx.insert_many("sighting", &COLUMNS, rows.collect(), ADD).await.map(drop)
}

impl Store {
    /// What was seen of a collection's documents, by the structures of most documents, `structures_max` of them.
    pub async fn sightings(&self, collection: &Collection, structures_max: usize) -> Result<Sightings> {
        let limit = i64::try_from(structures_max).unwrap_or(i64::MAX);
        let counts = self.db.query(COUNTS, &[collection.id.into(), limit.into()]).await?;
        let mut sightings = Sightings::new(&collection.shape);
        let sql =
            format!("select fingerprint, tree from structure where fingerprint in ({})", marks(1, TREES_MAX));
        for chunk in counts.chunks(TREES_MAX) {
            let counts =
                chunk.iter().map(|row| Ok((row.i64(0)?, row))).collect::<Result<BTreeMap<_, _>>>()?;
            // The last one is repeated, so that there is one statement only.
            let last = counts.last_key_value().map_or(0, |(fingerprint, _)| *fingerprint);
            let ids = counts.keys().copied().chain(std::iter::repeat(last)).take(TREES_MAX);
            for row in self.db.query(&sql, &ids.map(Into::into).collect::<Vec<_>>()).await? {
                let Some(counted) = counts.get(&row.i64(0)?) else { continue };
                let structure = Structure::from_text(row.text(1)?)?;
                let count = u64::try_from(counted.i64(1)?).unwrap_or_default();
                sightings.add(&structure, count, counted.i64(2)?, counted.i64(3)?);
            }
        }
        Ok(sightings)
    }
}
