//! Conservation, checked from inside: every accepted record is settled by every plugin it belongs to, or pending in
//! the outbox, or parked with a reason; each key in order; nothing is there of records that are not; and no document
//! or marker was changed behind the key's back. Reads only. What it cannot check it says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::decide::Known;
use super::marker;
use crate::config::Config;
use crate::error::Result;
use crate::plugin::{self, Hook, Subject};
use crate::record::Record;
use crate::store::Store;
use crate::store::ledger::{Contradiction, Registered, Settled};

/// Records looked at together.
const PAGE: usize = 200;
/// Bytes of their documents, unless a single one is larger.
const PAGE_BYTES: i64 = 16 * 1024 * 1024;

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The record, if it is about one.
    pub record_id: Option<Uuid>,
    /// The key, if it is about one.
    pub key: Option<String>,
    /// What is wrong, for people.
    pub what: String,
}

/// A plugin that is registered, but not in the configuration: what it owes cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// Its name.
    pub plugin: String,
    /// `enabled`, `disabled` or `removed`.
    pub state: String,
    /// Records that were taken in while it was enabled.
    pub records: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Records looked at.
    pub records: u64,
    /// Records that every plugin of theirs has settled.
    pub settled: u64,
    /// Records that are still in the outbox.
    pub pending: u64,
    /// Records that wait at a plugin as dead letters.
    pub parked: u64,
    /// Records that some plugin should have settled and nobody knows of, or that are gone; the first thousand.
    pub unaccounted: Vec<Finding>,
    /// Rows of records that are not there; the first thousand.
    pub phantoms: Vec<Finding>,
    /// Revisions settled before an earlier one of their key; the first thousand.
    pub disordered: Vec<Finding>,
    /// Documents or markers that do not fit their signature; the first thousand.
    pub broken: Vec<Finding>,
    /// Plugins that could not be checked.
    pub unchecked: Vec<Unchecked>,
}

impl Report {
    /// Whether nothing is wrong, and everything that is owed now could be checked. What a plugin that was ended owed
    /// before is told, but does not count.
    pub fn is_sound(&self) -> bool {
        let found = [&self.unaccounted, &self.phantoms, &self.disordered, &self.broken];
        let owing = self.unchecked.iter().any(|one| one.state == "enabled" && one.records > 0);
        found.iter().all(|findings| findings.is_empty()) && !owing
    }
}

/// The most findings that are listed.
const FINDINGS_MAX: usize = 1_000;

/// Verifies a database with the plugins of this configuration; works beside a running server.
///
/// # Errors
/// `UNAVAILABLE` when the database is away.
pub async fn verify(store: &Store, config: &Config) -> Result<Report> {
    let registered = store.registered().await?;
    let names: HashMap<i64, String> = registered.iter().map(|row| (row.id, row.name.clone())).collect();
    let plugins = plugin::all(config, &[])?;
    let known = plugins.iter().filter_map(|plugin| {
        let row = registered.iter().find(|row| row.name == plugin.name())?;
        Some(Known { plugin: Arc::clone(plugin), id: row.id, owner: Some(Arc::new(row.clone())) })
    });
    let known = known.collect();
    let unknown = registered.into_iter().filter(|row| !plugins.iter().any(|one| one.name() == row.name));
    let unknown = unknown.map(|row| (row, 0)).collect();
    let mut check = Check { store, names, known, unknown, report: Report::default() };
    let mut after = Uuid::nil();
    loop {
        let ids = store.record_ids(after, PAGE, PAGE_BYTES).await?;
        let Some(last) = ids.last().copied() else { break };
        check.page(&ids).await?;
        after = last;
    }
    check.tables().await?;
    Ok(check.report())
}

struct Check<'a> {
    store: &'a Store,
    names: HashMap<i64, String>,
    known: Vec<Known>,
    /// Plugins that are not configured, with the records that may be theirs.
    unknown: Vec<(Registered, u64)>,
    report: Report,
}

impl Check<'_> {
    /// Looks along the way of records, outbox first: what moves on meanwhile is met further down, never missed.
    async fn page(&mut self, ids: &[Uuid]) -> Result<()> {
        let records: Vec<Arc<Record>> = self.store.records(ids).await?.into_iter().map(Arc::new).collect();
        let pending = self.store.pending_of(ids).await?;
        let waiting = self.store.waiting_of(ids).await?;
        let (genesis, ledger) = self.store.chains_of(ids).await?;
        let genesis: HashMap<Uuid, Vec<u8>> = genesis.into_iter().collect();
        let mut rows: HashMap<Uuid, Vec<Settled>> = HashMap::new();
        let headless = self.store.headless(ids).await?;
        ledger.into_iter().for_each(|row| rows.entry(row.record_id).or_default().push(row));
        for record in records {
            let id = record.draft.id;
            let rows = rows.remove(&id).unwrap_or_default();
            self.report.records += 1;
            if let Some(what) = self.broken(&record, genesis.get(&id).map_or(&[], Vec::as_slice), &rows) {
                push(&mut self.report.broken, &record, what);
            }
            if headless.contains(&id) {
                let what = "its key has not given out its revision".to_owned();
                push(&mut self.report.unaccounted, &record, what);
            }
            for (plugin, records) in &mut self.unknown {
                *records += u64::from(plugin.owns(record.draft.ingested_at));
            }
            if pending.contains(&id) {
                self.report.pending += 1;
                continue;
            }
            self.account(&record, &rows, &waiting);
        }
        Ok(())
    }

    /// What tables say of each other.
    async fn tables(&mut self) -> Result<()> {
        extend(&mut self.report.unaccounted, self.store.lost_revisions().await?);
        extend(&mut self.report.unaccounted, self.store.miscounted().await?);
        extend(&mut self.report.phantoms, self.store.phantoms().await?);
        extend(&mut self.report.disordered, self.store.disorder().await?);
        Ok(())
    }

    fn report(self) -> Report {
        let unchecked = self.unknown.into_iter().map(|(row, records)| Unchecked {
            plugin: row.name,
            state: row.state,
            records,
        });
        Report { unchecked: unchecked.collect(), ..self.report }
    }

    fn account(&mut self, record: &Arc<Record>, rows: &[Settled], waiting: &HashSet<(Uuid, i64, String)>) {
        let id = record.draft.id;
        let subject = Subject { record, document: None, hook: Hook::Sourced };
        let hook = Hook::Sourced.as_str();
        let mut parked = false;
        for known in &self.known {
            if !known.claims(&subject) {
                continue;
            }
            if waiting.contains(&(id, known.id, hook.to_owned())) {
                parked = true;
            } else if !rows.iter().any(|row| row.plugin_id == known.id && row.hook == hook) {
                let what = format!("plugin `{}` has neither settled nor parked it", known.plugin.name());
                push(&mut self.report.unaccounted, record, what);
                return;
            }
        }
        if parked {
            self.report.parked += 1;
        } else {
            self.report.settled += 1;
        }
    }

    /// The first bad link of a record's chain, if any.
    fn broken(&self, record: &Record, genesis: &[u8], rows: &[Settled]) -> Option<String> {
        if <[u8; 32]>::from(Sha256::digest(&record.draft.body)) != record.draft.payload_hash {
            return Some("its document is not the one that was accepted".into());
        }
        if marker::genesis(self.store.signer(), record) != genesis {
            return Some("its first marker does not fit the record".into());
        }
        let mut by_prev: BTreeMap<&[u8], &Settled> = BTreeMap::new();
        for row in rows {
            if by_prev.insert(&row.prev_hash, row).is_some() {
                return Some("two markers follow the same one".into());
            }
        }
        let mut at = genesis;
        while let Some(row) = by_prev.remove(at) {
            let plugin = self.names.get(&row.plugin_id).map_or("", String::as_str);
            if marker::sign(self.store.signer(), row, plugin, record) != row.hash {
                return Some(format!("the marker of plugin `{plugin}` does not fit what it signs"));
            }
            at = &row.hash;
        }
        let left = by_prev.values().next()?;
        let plugin = self.names.get(&left.plugin_id).map_or("", String::as_str);
        Some(format!("the marker of plugin `{plugin}` does not follow the record's chain"))
    }
}

fn push(findings: &mut Vec<Finding>, record: &Record, what: String) {
    if findings.len() < FINDINGS_MAX {
        let (record_id, key) = (Some(record.draft.id), Some(record.key.as_str().into()));
        findings.push(Finding { record_id, key, what });
    }
}

fn extend(findings: &mut Vec<Finding>, found: Vec<Contradiction>) {
    let room = FINDINGS_MAX.saturating_sub(findings.len());
    let found = found.into_iter().take(room);
    findings.extend(found.map(|Contradiction { record_id, key, what }| Finding { record_id, key, what }));
}
