//! What the ledger knows about records, as management tells it: markers in the order of their chain, tags, misfits, and
//! whether anything is still to be done. Reads only.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::ledger::{GENERATION, ids, previous};
use super::{Store, outbox};
use crate::error::{Error, Result};

/// What became of one record.
#[derive(Clone, Debug, Default)]
pub struct Lineage {
    /// The first link of its chain, made when it was accepted.
    pub genesis: Vec<u8>,
    /// One a plugin that has settled it, in the order of the chain.
    pub markers: Vec<Marker>,
    /// It stands in the outbox, or waits at a plugin.
    pub pending: bool,
}

/// That one plugin has settled a record.
#[derive(Clone, Debug)]
pub struct Marker {
    /// Its name.
    pub plugin: String,
    /// Its version then.
    pub version: i64,
    /// Where the record stood.
    pub hook: String,
    /// How it ended.
    pub outcome: String,
    /// The tags that it gave.
    pub tags: Vec<String>,
    /// What did not fit the collection, as JSON text.
    pub rescued: Option<String>,
    /// The version of the collection's shape that it was conformed to, if it became a row.
    pub shape_version: Option<i64>,
    /// The marker before it.
    pub prev_hash: Vec<u8>,
    /// Its own.
    pub hash: Vec<u8>,
    /// When, Unix microseconds.
    pub settled_at: i64,
}

impl Store {
    /// The lineage of each of these records that is there.
    pub async fn lineages(&self, records: &[Uuid]) -> Result<HashMap<Uuid, Lineage>> {
        if records.is_empty() {
            return Ok(HashMap::new());
        }
        let (list, params) = ids(records);
        let sql = format!(
            "select r.id, r.genesis, exists (select 1 from outbox o where {}) \
             or exists (select 1 from dead_letter d where d.record_id = r.id) from record r where r.id in ({list})",
            outbox::holds(self.db.dialect())
        );
        let mut found = HashMap::new();
        for row in self.db.query(&sql, &params).await? {
            let (genesis, pending) = (row.bytes(1)?.to_vec(), row.bool(2)?);
            found.insert(row.uuid(0)?, Lineage { genesis, markers: Vec::new(), pending });
        }
        let sql = format!(
            "select l.record_id, p.name, l.version, l.hook, l.outcome, l.tags, l.rescued, {}, l.hash, \
             l.settled_at, l.shape_version from ledger l join plugin p on p.id = l.plugin_id \
             where l.generation = {GENERATION} and l.record_id in ({list}) order by l.settled_at, p.name",
            previous!()
        );
        for row in self.db.query(&sql, &params).await? {
            let Some(lineage) = found.get_mut(&row.uuid(0)?) else { continue };
            let tags = row.opt_text(5)?.map(serde_json::from_str).transpose().map_err(Error::internal)?;
            lineage.markers.push(Marker {
                plugin: row.text(1)?.to_owned(),
                version: row.i64(2)?,
                hook: row.text(3)?.to_owned(),
                outcome: row.text(4)?.to_owned(),
                tags: tags.unwrap_or_default(),
                rescued: row.opt_text(6)?.map(str::to_owned),
                prev_hash: row.bytes(7)?.to_vec(),
                hash: row.bytes(8)?.to_vec(),
                settled_at: row.i64(9)?,
                shape_version: row.opt_i64(10)?,
            });
        }
        found.values_mut().for_each(Lineage::chain);
        Ok(found)
    }
}

impl Lineage {
    /// Puts the markers in the order of their chain; what does not follow it stays behind, in order of time.
    fn chain(&mut self) {
        let mut left = std::mem::take(&mut self.markers);
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        let mut at = self.genesis.clone();
        while seen.insert(at.clone()) {
            let Some(next) = left.iter().position(|marker| marker.prev_hash == at) else { break };
            let marker = left.remove(next);
            at = marker.hash.clone();
            self.markers.push(marker);
        }
        self.markers.append(&mut left);
    }

    /// Tags from the source and from plugins, each once, in order.
    pub fn tags(&self, of_source: &[String]) -> Vec<String> {
        let all = of_source.iter().chain(self.markers.iter().flat_map(|marker| &marker.tags));
        let mut seen = HashSet::new();
        all.filter(|tag| seen.insert(tag.as_str())).cloned().collect()
    }
}
