//! The relay and the worker under every kind of fault, over both databases and a stream that misbehaves on purpose.
//! PostgreSQL when the machine has it; without it, and with `WELLSPRING_REQUIRE_SERVICES` set, the tests fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

/// Makes of each `async fn name(bench)` one test a database: `name::sqlite`, `name::postgres`; one partition.
macro_rules! on_both_databases {
    ($($(#[$attribute:meta])* async fn $name:ident($bench:ident) $body:block)*) => { $(
        mod $name {
            use super::*;

            async fn run($bench: Bench) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run(Bench::new(1).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(bench) = Bench::postgres(1).await {
                    run(bench).await;
                }
            }
        }
    )* };
}

mod fake;
mod fences;
mod model;
mod plugins;
mod races;
#[path = "../../../tests/it/support/servers.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::expect_used,
    reason = "shared with the other tests"
)]
mod servers;
mod statistics;
mod steps;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Outcome, Provisioning, Which};
use crate::config::{Config, MaskPlugin};
use crate::plugin::{Effect, Failure, Plugin, Subject};
use crate::policy;
use crate::record::{Draft, Envelope, Signer, Source};
use crate::shape::Structure;
use crate::store::Store;
use crate::store::db::{Tx, Value};
use crate::store::ledger::{Letter, Waiting};
use crate::stream::Stream;
use crate::telemetry::Clock;

/// The PostgreSQL that all tests of this process share.
pub(crate) fn postgres() -> Option<String> {
    static SHARED: OnceLock<Option<servers::Postgres>> = OnceLock::new();
    SHARED.get_or_init(servers::Postgres::start).as_ref().map(|server| server.url("postgres"))
}

/// A database in memory where there is one, a clock that only the test moves.
pub(super) struct Bench {
    _dir: tempfile::TempDir,
    pub config: Config,
    pub store: Store,
    engine: Arc<policy::Engine>,
    now: Arc<AtomicI64>,
}

impl Bench {
    pub(super) async fn new(partitions: u32) -> Self {
        Self::open(partitions, None).await
    }

    /// One in a schema of its own; `None` when the machine has no PostgreSQL.
    pub(super) async fn postgres(partitions: u32) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(url) = postgres() else {
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let schema = NUMBER.fetch_add(1, Ordering::Relaxed);
        let plain = crate::config::Store { database_url: Some(url.clone()), ..Default::default() };
        let db = crate::store::db::Db::open(&plain).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        tx.execute(&format!("create schema bench{schema}"), &[]).await.unwrap();
        tx.commit().await.unwrap();
        let url = format!("{url}&options=-c%20search_path%3Dbench{schema}");
        Some(Self::open(partitions, Some(url)).await)
    }

    async fn open(partitions: u32, database_url: Option<String>) -> Self {
        let shm = std::path::Path::new("/dev/shm");
        let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap();
        let mut config = Config::default();
        config.store.data = dir.path().into();
        config.store.partitions = partitions;
        config.store.database_url = database_url;
        // Nodes that share a database may take each other's partitions at any time, as the embedded ones here do.
        config.stream.lease_ms = 1;
        let now = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock = clock(&now);
        let store = Store::open(&config.store, Signer::new(b"key"), clock).await.unwrap();
        let engine = Arc::new(policy::Engine::load(&config.policy, &config.store.data).unwrap());
        Bench { _dir: dir, config, store, engine, now }
    }

    pub(super) fn advance(&self, us: i64) {
        self.now.fetch_add(us, Ordering::Relaxed);
    }

    /// A node with these plugins in the place of the built-in ones, which need collections.
    pub(super) async fn node(
        &self,
        plugins: &[Arc<dyn Plugin>],
        stream: Option<Arc<dyn Stream>>,
    ) -> Provisioning {
        let engine = Arc::clone(&self.engine);
        let node = Provisioning::new(self.store.clone(), engine, &self.config, clock(&self.now)).unwrap();
        let mut parts = node.inner.parts.clone();
        parts.plugins = plugins.to_vec();
        parts.stream = stream;
        let node = Provisioning::assemble(parts);
        node.inner.ready().await.unwrap();
        node
    }

    /// A node with these moody plugins, over the log.
    pub(super) async fn moody(&self, plugins: &[&Arc<Moody>]) -> Provisioning {
        let plugins: Vec<_> = plugins.iter().map(|plugin| Arc::clone(plugin) as Arc<dyn Plugin>).collect();
        self.node(&plugins, None).await
    }

    /// The heads that wait, newest first.
    pub(super) async fn waiting(&self) -> Vec<Waiting> {
        self.store.letters(10, &Which::default()).await.unwrap()
    }

    /// The newest of them.
    pub(super) async fn letter(&self) -> Letter {
        self.waiting().await.remove(0).letter
    }

    /// Accepts a record of this key, as sourcing would.
    pub(super) async fn source(&self, uid: &str) -> Uuid {
        let source = Source::new("t", "t", "t").unwrap();
        let key = source.key(uid).unwrap();
        let id = Uuid::new_v4_from(&self.now);
        let body = format!("{{\"uid\":\"{uid}\"}}");
        let hash: [u8; 32] = Sha256::digest(body.as_bytes()).into();
        let p = Value::from(key.partition(self.store.partitions()));
        let key = Value::Text(key.as_str().into());
        let mut tx = self.store.db.begin().await.unwrap();
        let sql = "insert into source (category, subcategory, source_name) values ('t', 't', 't') \
                   on conflict do nothing";
        tx.execute(sql, &[]).await.unwrap();
        let row = into_outbox(&mut tx, &p, id).await;
        let sql = "insert into head (key, rev) values ($1, 1) on conflict (key) do update set rev = head.rev + 1 \
                   returning rev";
        let rev = tx.query(sql, std::slice::from_ref(&key)).await.unwrap()[0].i64(0).unwrap();
        let sql = "insert into record (id, source_id, source_uid, key, rev, partition, author, payload_hash, body, \
                   content_type, ingested_at, deleted, hops, envelope, genesis, outbox_id) \
                   values ($1, 1, $2, $3, $4, $5, 'a', $6, $7, 'application/json', $8, false, 0, '{}', $9, $10)";
        let params = [
            Value::Uuid(id),
            Value::Text(uid.into()),
            key,
            Value::Int(rev),
            p,
            Value::Bytes(hash.to_vec()),
            Value::Bytes(body.into_bytes()),
            Value::Int(self.now.load(Ordering::Relaxed)),
            Value::Bytes(hash.to_vec()),
            Value::Int(row),
        ];
        tx.execute(sql, &params).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// A node as it is configured.
    pub(super) fn built_in(&self) -> Provisioning {
        let engine = Arc::clone(&self.engine);
        Provisioning::new(self.store.clone(), engine, &self.config, clock(&self.now)).unwrap()
    }

    /// Accepts a document, or a tombstone, the way that sourcing does.
    pub(super) async fn document(&self, uid: &str, text: Option<&str>) {
        let body = bytes::Bytes::copy_from_slice(text.unwrap_or_default().as_bytes());
        let json = text.map(|text| crate::record::parse(text.as_bytes(), Default::default()).unwrap());
        let structure = json.map(|json| Structure::derive(&json, &self.config.shape));
        let draft = Draft {
            id: Uuid::new_v4_from(&self.now),
            source: Source::new("t", "t", "t").unwrap(),
            source_uid: uid.into(),
            author: "a".into(),
            idempotency_key: None,
            if_revision: None,
            content_type: "application/json".into(),
            payload_hash: Sha256::digest(&body).into(),
            body,
            occurred_at: None,
            ingested_at: self.now.load(Ordering::Relaxed),
            structure: structure.map(|structure| (structure.fingerprint(), structure.to_text().into())),
            deleted: text.is_none(),
            causation_id: None,
            hops: 0,
            envelope: Envelope::default(),
        };
        let mut tx = self.store.db.begin().await.unwrap();
        let appended = self.store.append(&mut tx, &[draft]).await.unwrap();
        tx.commit().await.unwrap();
        self.store.appended(&appended);
    }

    /// Per plugin and key, the revisions that are settled, by the time of their settling.
    pub(super) async fn settled(&self, uids: &str) -> BTreeMap<(i64, String), Vec<i64>> {
        let sql = format!(
            "select l.plugin_id, r.key, r.rev from record r join ledger l on r.id = l.record_id \
             where r.key >= 't~t~t~{uids}' and r.key < 't~t~t~{uids}~' order by l.settled_at, r.rev"
        );
        let mut found: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for row in self.store.db.query(&sql, &[]).await.unwrap() {
            let lane = (row.i64(0).unwrap(), row.text(1).unwrap().to_owned());
            found.entry(lane).or_default().push(row.i64(2).unwrap());
        }
        found
    }

    /// Each plugin has settled a prefix of each key's revisions, in their order, each once.
    pub(super) async fn assert_order(&self, uids: &str, when: &str) {
        for (lane, revs) in self.settled(uids).await {
            let dense: Vec<i64> = (1..=i64::try_from(revs.len()).unwrap()).collect();
            assert_eq!(revs, dense, "{lane:?} {when}");
        }
    }

    pub(super) async fn execute(&self, sql: &str, params: &[Value]) {
        let mut tx = self.store.db.begin().await.unwrap();
        assert!(tx.execute(sql, params).await.unwrap() > 0, "{sql} does something");
        tx.commit().await.unwrap();
    }

    pub(super) async fn count(&self, sql: &str) -> i64 {
        self.store.db.query(sql, &[]).await.unwrap()[0].i64(0).unwrap()
    }
}

/// Puts a record into the outbox, up to three into a row, as those of one commit are; the row's id.
async fn into_outbox(tx: &mut Tx, p: &Value, id: Uuid) -> i64 {
    let entry = [id.as_bytes().as_slice(), &[0; 4]].concat();
    let sql =
        "select id, n, records from outbox where partition = $1 and pseq is null order by id desc limit 1";
    let last = tx.query(sql, std::slice::from_ref(p)).await.unwrap();
    if let Some(row) = last.first().filter(|row| row.i64(1).unwrap() < 3) {
        let records = [row.bytes(2).unwrap(), &entry].concat();
        let params = [row.i64(0).unwrap().into(), Value::Bytes(records)];
        let sql = "update outbox set n = n + 1, records = $2 where id = $1 and pseq is null";
        if tx.execute(sql, &params).await.unwrap() == 1 {
            return row.i64(0).unwrap();
        }
    }
    let sql = "insert into outbox (partition, n, records) values ($1, 1, $2) returning id";
    tx.query(sql, &[p.clone(), Value::Bytes(entry)]).await.unwrap()[0].i64(0).unwrap()
}

/// Ids for tests: unlike each other, never read.
trait Fresh {
    fn new_v4_from(seed: &AtomicI64) -> Uuid;
}

impl Fresh for Uuid {
    fn new_v4_from(seed: &AtomicI64) -> Uuid {
        let n = seed.fetch_add(1, Ordering::Relaxed);
        Uuid::new_v5(&Uuid::nil(), &n.to_be_bytes())
    }
}

fn clock(now: &Arc<AtomicI64>) -> Clock {
    let now = Arc::clone(now);
    // Every look at the clock sees a later time, as settling order is told by it.
    Clock::from_fn(move || now.fetch_add(1, Ordering::Relaxed))
}

/// Steps both until neither has anything to do and all partitions are the node's: others' leases may have to end.
pub(super) async fn drain(node: &Provisioning) {
    let partitions = node.inner.parts.store.partitions() as usize;
    for _ in 0..10_000 {
        let relayed = node.relay_step().await.unwrap();
        let worked = node.worker_step().await.unwrap();
        if (relayed, worked) == (Outcome::Idle, Outcome::Idle) {
            let workers = node.inner.worker.lock().await.leases().held().len();
            if workers == partitions && node.inner.relay.lock().await.leases().held().len() == partitions {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    panic!("it never comes to rest");
}

/// The same for the relay alone.
pub(super) async fn relay(node: &Provisioning) {
    let partitions = node.inner.parts.store.partitions() as usize;
    for _ in 0..10_000 {
        let idle = node.relay_step().await.unwrap() == Outcome::Idle;
        if idle && node.inner.relay.lock().await.leases().held().len() == partitions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the relay never comes to rest");
}

/// A plugin whose failures the test decides, by source uid.
#[derive(Default)]
pub(super) struct Moody {
    pub name: String,
    pub refuses: Mutex<BTreeSet<String>>,
    pub stumbles: Mutex<BTreeSet<String>>,
    pub panics: Mutex<BTreeSet<String>>,
}

impl Moody {
    pub(super) fn new(name: &str) -> Arc<Self> {
        Arc::new(Moody { name: name.into(), ..Moody::default() })
    }

    /// One called `p` that refuses this uid for good.
    pub(super) fn refusing(uid: &str) -> Arc<Self> {
        let moody = Moody::new("p");
        moody.refuses.lock().unwrap().insert(uid.into());
        moody
    }

    /// One called `p` that fails at this uid for now.
    pub(super) fn stumbling(uid: &str) -> Arc<Self> {
        let moody = Moody::new("p");
        moody.stumbles.lock().unwrap().insert(uid.into());
        moody
    }

    /// It likes everything from now on.
    pub(super) fn calm(&self) {
        for mood in [&self.refuses, &self.stumbles, &self.panics] {
            mood.lock().unwrap().clear();
        }
    }
}

impl Plugin for Moody {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> i32 {
        1
    }

    fn matches(&self, _subject: &Subject<'_>) -> bool {
        true
    }

    fn decide(&self, subject: &Subject<'_>) -> Result<Vec<Effect>, Failure> {
        let uid = &subject.record.draft.source_uid;
        let fail = |transient| Err(Failure { reason: format!("`{uid}` is not liked"), transient });
        if self.refuses.lock().unwrap().contains(uid) {
            return fail(false);
        }
        if self.stumbles.lock().unwrap().contains(uid) {
            return fail(true);
        }
        let panics = self.panics.lock().unwrap().contains(uid);
        assert!(!panics, "`{uid}` makes me panic");
        Ok(vec![Effect::Tag(vec!["seen".into()])])
    }
}

/// A plugin for every record that decides by this function.
pub(super) struct Deciding<F> {
    name: &'static str,
    decide: F,
}

/// A plugin of this name that decides all records so.
pub(super) fn deciding<F>(name: &'static str, decide: F) -> Arc<dyn Plugin>
where
    F: Fn(&Subject<'_>) -> Result<Vec<Effect>, Failure> + Send + Sync + 'static,
{
    Arc::new(Deciding { name, decide })
}

impl<F> Plugin for Deciding<F>
where
    F: Fn(&Subject<'_>) -> Result<Vec<Effect>, Failure> + Send + Sync,
{
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> i32 {
        1
    }

    fn matches(&self, _subject: &Subject<'_>) -> bool {
        true
    }

    fn decide(&self, subject: &Subject<'_>) -> Result<Vec<Effect>, Failure> {
        (self.decide)(subject)
    }
}

/// Emits its own record again under a longer uid.
pub(super) fn echo() -> Arc<dyn Plugin> {
    deciding("echo", |subject| {
        let original = &subject.record.draft;
        let source_uid = format!("{}+", original.source_uid);
        Ok(vec![Effect::Emit(Box::new(Draft { source_uid, ..original.clone() }))])
    })
}

/// A mask of this field in the copies of the bench's documents.
pub(super) fn hide(field: &str, mask: &str) -> MaskPlugin {
    MaskPlugin {
        name: "hide".into(),
        category: "t".into(),
        subcategory: "t".into(),
        to_subcategory: "masked".into(),
        fields: vec![field.into()],
        mask: mask.into(),
    }
}
