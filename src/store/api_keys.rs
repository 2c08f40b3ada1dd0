//! API keys: whom each speaks for, by the hash of the key. A node keeps those that are good, and none for longer than a
//! second without asking whether they are still those. Must not know the keys themselves, nor who may make one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::{Map, Value as Json};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::{NoContext, Timestamp, Uuid};

use super::Store;
use super::db::{Row, Tx, Type, Value};
use super::events::{EventKind, KeyTold, tell_key};
use super::wake::{Topic, announce};
use crate::config;
use crate::error::{Code, Error, Result};

/// For how long a node believes that no key was made or revoked, in microseconds.
const BELIEVED_US: i64 = 1_000_000;
/// How often it asks by itself.
const PERIOD: Duration = Duration::from_millis(500);
/// How often it is written that a key is in use, in microseconds.
const USE_EVERY_US: i64 = 60_000_000;
/// For how many keys that is written at once.
const USES_MAX: usize = 100;

/// An API key, all but the key.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Whom it speaks for.
    pub subject: String,
    /// In which roles.
    pub roles: Vec<String>,
    /// With which further claims.
    pub claims: Map<String, Json>,
    /// Under which contract it reads, `name` or `name@version`, and does nothing else.
    pub contract: Option<String>,
    /// When it was made, Unix microseconds, as all times.
    pub created_at: i64,
    /// Who made it.
    pub created_by: String,
    /// From when on it is not good any more.
    pub expires_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// Who did that.
    pub revoked_by: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<i64>,
}

impl ApiKey {
    fn told(&self) -> KeyTold {
        KeyTold { id: self.id, name: self.name.clone(), subject: self.subject.clone() }
    }

    fn is_over(&self, now_us: i64) -> bool {
        self.revoked_at.is_some() || self.expires_at.is_some_and(|expires_at| expires_at <= now_us)
    }
}

/// The keys that are good, as this node knows them; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Inner>);

struct Inner {
    current: ArcSwap<Good>,
    /// When these were last known to be the good ones.
    asked_us: AtomicI64,
    /// When they were last asked for in vain.
    failed_us: AtomicI64,
    asking: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
    uses: Mutex<BTreeMap<Uuid, Use>>,
}

impl Default for Inner {
    fn default() -> Self {
        Inner {
            current: ArcSwap::default(),
            asked_us: AtomicI64::new(i64::MIN),
            failed_us: AtomicI64::new(i64::MIN),
            asking: tokio::sync::Mutex::default(),
            changed: watch::Sender::new(0),
            uses: Mutex::default(),
        }
    }
}

#[derive(Default)]
struct Good {
    /// Of the keys' position when they were read; none when they never were.
    position: Option<i64>,
    by_hash: HashMap<Vec<u8>, Arc<ApiKey>>,
    by_id: HashMap<Uuid, Arc<ApiKey>>,
}

/// When a key was last used, and of when that is written.
struct Use {
    at: i64,
    written: Option<i64>,
}

const COLUMNS: [(&str, Type); 10] = [
    ("id", Type::Uuid),
    ("hash", Type::Bytes),
    ("name", Type::Text),
    ("subject", Type::Text),
    ("roles", Type::Text),
    ("claims", Type::Text),
    ("contract", Type::Text),
    ("created_at", Type::Int),
    ("created_by", Type::Text),
    ("expires_at", Type::Int),
];
const READ: &str = "select id, name, subject, roles, claims, contract, created_at, created_by, expires_at, revoked_at, \
     revoked_by, last_used_at";
const GOOD: &str = "from api_key where revoked_at is null and (expires_at is null or expires_at > $1)";
const POSITION: &str = "select pos from api_key_pos";
const HOLD: &str = "update api_key_pos set pos = pos + 1";

impl Store {
    /// The key of this hash, when it is good at this moment. Notes that it is used.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database cannot be asked whether it still is.
    pub async fn api_key(&self, hash: &[u8; 32]) -> Result<Option<Arc<ApiKey>>> {
        let now_us = self.clock.now_us();
        if !self.believes(now_us) {
            self.renew_api_keys(false).await?;
        }
        let found = self.api_keys.0.current.load().by_hash.get(hash.as_slice()).cloned();
        let found = found.filter(|key| !key.is_over(now_us));
        if let Some(key) = &found {
            let mut uses = self.api_keys.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.entry(key.id).or_insert(Use { at: now_us, written: key.last_used_at }).at = now_us;
        }
        Ok(found)
    }

    /// How long a key is still good, in microseconds: 0 when it is not any more, the most there is when it has no end.
    pub fn api_key_remaining_us(&self, id: Uuid) -> u64 {
        let now_us = self.clock.now_us();
        let good = self.api_keys.0.current.load();
        match good.by_id.get(&id) {
            None => 0,
            Some(key) => key
                .expires_at
                .map_or(u64::MAX, |expires_at| u64::try_from(expires_at.saturating_sub(now_us)).unwrap_or(0)),
        }
    }

    /// Changes whenever keys were made or revoked.
    pub fn api_keys_changed(&self) -> watch::Receiver<u64> {
        self.api_keys.0.changed.subscribe()
    }

    fn believes(&self, now_us: i64) -> bool {
        is_recent(&self.api_keys.0.asked_us, now_us)
    }

    /// Asks which keys are good, one at a time; who waited for another takes what that has found, be it nothing, unless
    /// it must be `anew`.
    async fn renew_api_keys(&self, anew: bool) -> Result<()> {
        let cache = &self.api_keys.0;
        let _alone = cache.asking.lock().await;
        let now_us = self.clock.now_us();
        if !anew && self.believes(now_us) {
            return Ok(());
        }
        if !anew && is_recent(&cache.failed_us, now_us) {
            // Many who wait one after the other for a database that is away would wait for ever.
            return Err(Error::new(Code::Unavailable, "API keys could not be asked for a moment ago"));
        }
        let renewed = self.read_api_keys(now_us).await;
        if renewed.is_err() {
            cache.failed_us.store(self.clock.now_us(), Ordering::Release);
        }
        renewed
    }

    async fn read_api_keys(&self, now_us: i64) -> Result<()> {
        let cache = &self.api_keys.0;
        let rows = self.db.query(POSITION, &[]).await?;
        let position = rows.first().map_or(Ok(0), |row| row.i64(0))?;
        if cache.current.load().position != Some(position) {
            let (mut by_hash, mut by_id) = (HashMap::new(), HashMap::new());
            for row in self.db.query(&format!("{READ}, hash {GOOD}"), &[now_us.into()]).await? {
                let key = Arc::new(read(&row)?);
                by_id.insert(key.id, key.clone());
                by_hash.insert(row.bytes(12)?.to_owned(), key);
            }
            let mut uses = cache.uses.lock().unwrap_or_else(PoisonError::into_inner);
            uses.retain(|id, _| by_id.contains_key(id));
            drop(uses);
            cache.current.store(Arc::new(Good { position: Some(position), by_hash, by_id }));
            cache.changed.send_modify(|count| *count = count.wrapping_add(1));
        }
        cache.asked_us.store(now_us, Ordering::Release);
        Ok(())
    }

    /// Keeps a new key by its hash. Its id and its time are given here.
    ///
    /// # Errors
    /// `CONFLICT` when there are as many good ones as there may be.
    pub async fn create_api_key(&self, key: ApiKey, hash: [u8; 32], bounds: &config::Auth) -> Result<ApiKey> {
        let now_us = self.clock.now_us();
        let seconds = u64::try_from(now_us / 1_000_000).unwrap_or(0);
        let nanos = u32::try_from(now_us % 1_000_000 * 1_000).unwrap_or(0);
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos));
        let key = ApiKey { id, created_at: now_us, ..key };
        let mut tx = self.db.begin().await?;
        tx.execute(HOLD, &[]).await?;
        let rows = tx.query(&format!("select count(*) {GOOD}"), &[now_us.into()]).await?;
        let good = rows.first().map_or(Ok(0), |row| row.i64(0))?;
        if usize::try_from(good).unwrap_or(usize::MAX) >= bounds.keys_max {
            let text =
                format!("there are {good} API keys, as many as there may be (`auth.keys_max`); revoke some");
            return Err(Error::new(Code::Conflict, text));
        }
        let kept_us = i64::try_from(bounds.keys_ended_kept_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let gone = "delete from api_key where coalesce(revoked_at, expires_at) < $1";
        tx.execute(gone, &[now_us.saturating_sub(kept_us).into()]).await?;
        let row = vec![
            key.id.into(),
            Value::Bytes(hash.to_vec()),
            key.name.as_str().into(),
            key.subject.as_str().into(),
            serde_json::to_string(&key.roles).map_err(Error::internal)?.into(),
            serde_json::to_string(&key.claims).map_err(Error::internal)?.into(),
            Value::opt_text(key.contract.as_deref()),
            key.created_at.into(),
            key.created_by.as_str().into(),
            Value::opt_int(key.expires_at),
        ];
        tx.insert_many("api_key", &COLUMNS, vec![row], "").await?;
        tell_key(&mut tx, EventKind::ApiKeyCreated, &key.told(), now_us, &key.created_by).await?;
        self.commit_keys(tx).await?;
        Ok(key)
    }

    /// Revokes a key; one that is revoked already stays as it is. Answers it as it is now.
    ///
    /// # Errors
    /// `NOT_FOUND`
    pub async fn revoke_api_key(&self, id: Uuid, subject: &str) -> Result<ApiKey> {
        let now_us = self.clock.now_us();
        let mut tx = self.db.begin().await?;
        tx.execute(HOLD, &[]).await?;
        let rows = tx.query(&format!("{READ} from api_key where id = $1"), &[id.into()]).await?;
        let none = || Error::not_found("there is no API key of this id; `apiKeys` lists them");
        let mut key = read(rows.first().ok_or_else(none)?)?;
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        let sql = "update api_key set revoked_at = $2, revoked_by = $3 where id = $1";
        tx.execute(sql, &[id.into(), now_us.into(), subject.into()]).await?;
        (key.revoked_at, key.revoked_by) = (Some(now_us), Some(subject.to_owned()));
        tell_key(&mut tx, EventKind::ApiKeyRevoked, &key.told(), now_us, subject).await?;
        self.commit_keys(tx).await?;
        Ok(key)
    }

    /// Commits a change of the keys; from then on this node goes by it.
    async fn commit_keys(&self, mut tx: Tx) -> Result<()> {
        announce(&mut tx, Topic::Catalog).await?;
        tx.commit().await?;
        self.told(true);
        if let Err(error) = self.renew_api_keys(true).await {
            // It is done; this node learns of it when it asks again, before it believes anything else.
            self.api_keys.0.asked_us.store(i64::MIN, Ordering::Release);
            tracing::warn!(%error, "API keys were changed and could not be read again");
        }
        Ok(())
    }

    /// At most so many keys, the newest first, those that have ended included; behind the one of an id.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away.
    pub async fn all_api_keys(&self, first: usize, after: Option<Uuid>) -> Result<Vec<ApiKey>> {
        // Ids are in the order of their times.
        let first = i64::try_from(first).unwrap_or(i64::MAX);
        let rows = match after {
            None => {
                self.db
                    .query(&format!("{READ} from api_key order by id desc limit $1"), &[first.into()])
                    .await
            }
            Some(after) => {
                let sql = format!("{READ} from api_key where id < $2 order by id desc limit $1");
                self.db.query(&sql, &[first.into(), after.into()]).await
            }
        };
        rows?.iter().map(read).collect()
    }

    /// Writes which keys were used, each once a minute at most.
    async fn write_uses(&self) -> Result<()> {
        let due: Vec<(Uuid, i64)> = {
            let uses = self.api_keys.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
            let due = uses.iter().filter(|(_, used)| {
                used.written.is_none_or(|written| used.at.saturating_sub(written) >= USE_EVERY_US)
            });
            due.map(|(id, used)| (*id, used.at)).take(USES_MAX).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let sql = "update api_key set last_used_at = $2 \
             where id = $1 and (last_used_at is null or last_used_at < $2)";
        for (id, at) in &due {
            tx.execute(sql, &[(*id).into(), (*at).into()]).await?;
        }
        tx.commit().await?;
        let mut uses = self.api_keys.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, at) in due {
            if let Some(used) = uses.get_mut(&id) {
                used.written = Some(at);
            }
        }
        Ok(())
    }
}

/// Looks after the keys until `stop`: open sockets end with theirs, and use is written.
pub(super) async fn watch(store: Store, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = store.wake.subscribe(Topic::Catalog);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
            heard = heard.changed() => if heard.is_err() { return },
        }
        let looked = async {
            store.renew_api_keys(true).await?;
            store.write_uses().await
        };
        if let Err(error) = looked.await {
            tracing::debug!(%error, "API keys cannot be looked after; trying again");
        }
    }
}

fn is_recent(at_us: &AtomicI64, now_us: i64) -> bool {
    let age = now_us.checked_sub(at_us.load(Ordering::Acquire));
    age.is_some_and(|age| (0..=BELIEVED_US).contains(&age))
}

fn read(row: &Row) -> Result<ApiKey> {
    Ok(ApiKey {
        id: row.uuid(0)?,
        name: row.text(1)?.to_owned(),
        subject: row.text(2)?.to_owned(),
        roles: serde_json::from_str(row.text(3)?).map_err(Error::internal)?,
        claims: serde_json::from_str(row.text(4)?).map_err(Error::internal)?,
        contract: row.opt_text(5)?.map(str::to_owned),
        created_at: row.i64(6)?,
        created_by: row.text(7)?.to_owned(),
        expires_at: row.opt_i64(8)?,
        revoked_at: row.opt_i64(9)?,
        revoked_by: row.opt_text(10)?.map(str::to_owned),
        last_used_at: row.opt_i64(11)?,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::Signer;
    use crate::telemetry::Clock;

    #[tokio::test]
    async fn use_is_written_once_a_minute() {
        const BEGAN_US: i64 = 1_800_000_000_000_000;
        let dir = tempfile::tempdir().unwrap();
        let config = config::Store { data: dir.path().into(), ..Default::default() };
        let now = Arc::new(AtomicI64::new(BEGAN_US));
        let clock = Clock::from_fn({
            let now = now.clone();
            move || now.load(Ordering::Relaxed)
        });
        let store = Store::open(&config, Signer::new(b"key"), clock).await.unwrap();
        let key = ApiKey {
            id: Uuid::nil(),
            name: "n".into(),
            subject: "s".into(),
            roles: Vec::new(),
            claims: Map::new(),
            contract: None,
            created_at: 0,
            created_by: "root".into(),
            expires_at: None,
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        };
        store.create_api_key(key, [1; 32], &config::Auth::default()).await.unwrap();
        let mut written = Vec::new();
        for after_s in [0, 1, 59, 60, 61, 119, 121] {
            now.store(BEGAN_US + after_s * 1_000_000, Ordering::Relaxed);
            assert!(store.api_key(&[1; 32]).await.unwrap().is_some());
            assert!(store.api_key(&[2; 32]).await.unwrap().is_none());
            store.write_uses().await.unwrap();
            let used = store.all_api_keys(1, None).await.unwrap().first().and_then(|key| key.last_used_at);
            written.push((used.unwrap() - BEGAN_US) / 1_000_000);
        }
        assert_eq!(written, [0, 0, 0, 60, 60, 60, 121]);
    }
}
