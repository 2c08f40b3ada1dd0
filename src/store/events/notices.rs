//! Events about what needs a person: rules that do not fit their collection any more, contracts that a collection has
//! gone from, and records that are parked.
//! What is about the same thing is told once: whoever tells looks again while it holds the counter of positions, so
//! that this is so for all nodes. Must not tell anything of a document.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EventKind, Happened, Notice, append};
use crate::config;
use crate::error::{Error, Result};
use crate::record::Key;
use crate::store::Store;
use crate::store::db::{Tx, Value};
use crate::store::ledger::{GENERATION, Letter};
use crate::store::wake::{Topic, announce};

/// Records that wait are counted up to here for one event.
const COUNTED_MAX: usize = 10_000;

/// A rule that denies, as it does not fit its collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyingRule {
    /// The file's name, without where it is.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Why.
    pub reason: String,
    /// Its text, by which it is known on all nodes.
    #[serde(skip)]
    pub rule: String,
}

/// One way in which a collection has gone from what a contract promises of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// The contract's name and version, `acme@1`.
    pub contract: String,
    /// The JSON pointer of the field; empty for the whole collection.
    pub path: String,
    /// What has happened.
    pub text: String,
    /// Whether the consumer does not get what was promised any more.
    pub broken: bool,
}

/// Records of one source that wait at one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The plugin.
    pub plugin: String,
    /// Of the source.
    pub category: String,
    /// Of the source.
    pub subcategory: String,
    /// Of the source.
    pub source_name: String,
    /// Why, for programs. The reason for people may quote the document, so it is told with the dead letter only.
    pub code: String,
    /// How many of them wait so when it is told.
    pub count: i64,
}

/// What an event tells, from its JSON.
pub(super) fn read<T: DeserializeOwned>(detail: &str) -> Result<T> {
    serde_json::from_str(detail).map_err(Error::internal)
}

fn about(parts: &[&str]) -> String {
    let mut text = String::new();
    // Each with its length: parts must not run into each other.
    parts.iter().for_each(|part| text.push_str(&format!("{} {part}", part.len())));
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).to_string()
}

fn notice(detail: &impl Serialize, about: &str) -> Result<Notice> {
    let detail = serde_json::to_string(detail).map_err(Error::internal)?;
    Ok(Notice { detail, about: about.to_owned() })
}

/// Keeps all others from telling until the commit.
async fn hold(tx: &mut Tx) -> Result<()> {
    tx.execute("update event_pos set pos = pos", &[]).await.map(drop)
}

async fn is_told(tx: &mut Tx, about: &str, after: i64) -> Result<bool> {
    let sql = "select 1 from event where about = $1 and at > $2 limit 1";
    Ok(!tx.query(sql, &[about.into(), after.into()]).await?.is_empty())
}

/// What is to be told once of a version of a collection.
struct Once {
    kind: EventKind,
    collection_id: i64,
    version: i64,
    notice: Notice,
}

impl Once {
    fn new(
        kind: EventKind,
        (collection_id, version): (i64, i64),
        detail: &impl Serialize,
        parts: &[&str],
    ) -> Result<Self> {
        Ok(Once { kind, collection_id, version, notice: notice(detail, &about(parts))? })
    }
}

impl Store {
    /// Tells of rules that do not fit the version of a collection that they stand beside, unless that has been told:
    /// how many are told now.
    ///
    /// # Errors
    /// `UNAVAILABLE` and `TIMEOUT`: nothing was told, try again.
    pub async fn tell_rules(&self, rules: &[(i64, i64, DenyingRule)]) -> Result<usize> {
        let once = |(collection_id, version, rule): &(i64, i64, DenyingRule)| {
            let numbers = [collection_id.to_string(), version.to_string()];
            let [collection, shape] = &numbers;
            let about = ["rule", collection, shape, &rule.file, &rule.rule, &rule.reason];
            Once::new(EventKind::RuleDenies, (*collection_id, *version), rule, &about)
        };
        self.tell_once(rules.iter().map(once).collect::<Result<_>>()?).await
    }

    /// Tells how collections, with the version that they have now, have gone from contracts, unless that has been told:
    /// how many are told now.
    ///
    /// # Errors
    /// `UNAVAILABLE` and `TIMEOUT`: nothing was told, try again.
    pub async fn tell_drifts(&self, drifts: &[(i64, i64, Drifted)]) -> Result<usize> {
        let once = |(collection_id, version, drifted): &(i64, i64, Drifted)| {
            let collection = collection_id.to_string();
            let about = ["drift", &collection, &drifted.contract, &drifted.path, &drifted.text];
            Once::new(EventKind::ContractDrifts, (*collection_id, *version), drifted, &about)
        };
        self.tell_once(drifts.iter().map(once).collect::<Result<_>>()?).await
    }

    async fn tell_once(&self, all: Vec<Once>) -> Result<usize> {
        if all.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now_us();
        let mut tx = self.db.begin().await?;
        hold(&mut tx).await?;
        let mut happened: Vec<Happened> = Vec::new();
        for Once { kind, collection_id, version, notice } in all {
            let same = |one: &Happened| one.notice.as_ref().is_some_and(|known| known.about == notice.about);
            if happened.iter().any(same) || is_told(&mut tx, &notice.about, 0).await? {
                continue;
            }
            let notice = Some(notice);
            happened.push(Happened { at: now, kind, collection_id, version, subject: None, notice });
        }
        append(&mut tx, &happened).await?;
        if !happened.is_empty() {
            announce(&mut tx, Topic::Catalog).await?;
        }
        tx.commit().await?;
        self.told(!happened.is_empty());
        Ok(happened.len())
    }

    /// Wakes who listens, after the commit of what was told.
    pub fn told(&self, any: bool) {
        if any {
            self.wake.notify(Topic::Catalog);
        }
    }
}

/// What is parked at one plugin, of the source whose keys begin so, for one reason.
type Group = (i64, String, String);

/// Tells of letters that are parked by this transaction: the first of each plugin, source and code in a while, and no
/// more than so many in all; whether any were. What is not told so is counted by the next event, and waits among the
/// dead letters all the same. Comes last in its transaction.
///
/// # Errors
/// Those of the transaction.
pub async fn tell_parked(
    tx: &mut Tx,
    letters: &[Letter],
    now: i64,
    bounds: &config::Provisioning,
) -> Result<bool> {
    let every = i64::try_from(bounds.parked_told_every_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let since = now.saturating_sub(every);
    let mut groups: BTreeMap<Group, String> = BTreeMap::new();
    for letter in letters.iter().filter(|letter| letter.state == "parked") {
        let source = letter.key.rsplit_once('~').map_or("", |(source, _)| source);
        let about = about(&["parked", &letter.plugin_id.to_string(), source, &letter.code]);
        groups.insert((letter.plugin_id, source.to_owned(), letter.code.clone()), about);
    }
    // In a storm nearly all has been told: that is seen without standing in anybody's way.
    if groups.is_empty() || untold(tx, &mut groups, since, bounds).await? == 0 {
        return Ok(false);
    }
    hold(tx).await?;
    let room = untold(tx, &mut groups, since, bounds).await?;
    let mut happened = Vec::new();
    for (group, about) in groups.into_iter().take(room) {
        happened.push(Happened {
            at: now,
            kind: EventKind::RecordsParked,
            collection_id: 0,
            version: 0,
            subject: None,
            notice: Some(notice(&counted(tx, group).await?, &about)?),
        });
    }
    append(tx, &happened).await?;
    if !happened.is_empty() {
        announce(tx, Topic::Catalog).await?;
    }
    Ok(!happened.is_empty())
}

/// Leaves those that nothing was told of behind a time; of how many there is still to be told.
async fn untold(
    tx: &mut Tx,
    groups: &mut BTreeMap<Group, String>,
    since: i64,
    bounds: &config::Provisioning,
) -> Result<usize> {
    let mut told = Vec::new();
    for (group, about) in groups.iter() {
        if is_told(tx, about, since).await? {
            told.push(group.clone());
        }
    }
    told.iter().for_each(|group| drop(groups.remove(group)));
    if groups.is_empty() {
        return Ok(0);
    }
    let sql = "select count(*) from event where kind = $1 and at > $2";
    let kind = EventKind::RecordsParked.as_str();
    let all = tx.query(sql, &[kind.into(), since.into()]).await?;
    let all = all.first().map_or(Ok(0), |row| row.i64(0))?;
    Ok(bounds.parked_told_max.saturating_sub(usize::try_from(all).unwrap_or(usize::MAX)))
}

async fn counted(tx: &mut Tx, (plugin_id, source, code): Group) -> Result<Parked> {
    let names = tx.query("select name from plugin where id = $1", &[plugin_id.into()]).await?;
    let plugin = names.first().map_or(Ok(""), |row| row.text(0))?.to_owned();
    // No part of a key has a character behind `~`.
    let (from, upto) = (format!("{source}~"), format!("{source}\u{7f}"));
    let sql = format!(
        "select count(*) from (select 1 from dead_letter where plugin_id = $1 and generation = {GENERATION} \
         and key >= $2 and key < $3 and code = $4 and state = 'parked' limit {COUNTED_MAX}) waiting"
    );
    let params: [Value; 4] = [plugin_id.into(), from.into(), upto.into(), code.as_str().into()];
    let rows = tx.query(&sql, &params).await?;
    let count = rows.first().map_or(Ok(0), |row| row.i64(0))?;
    let [category, subcategory, source_name, _] = Key::from_stored(source).parts();
    Ok(Parked { plugin, category, subcategory, source_name, code, count })
}
