//! Sourcing and the log, through the services' own interface, on SQLite and PostgreSQL alike.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use wellspring::config::{self, Config};
use wellspring::error::Code;
use wellspring::policy::Engine;
use wellspring::record::{Actor, Envelope, Receipt, Signer, Source};
use wellspring::sourcing::{Input, Retraction, Sourcing};
use wellspring::store::Store;
use wellspring::store::db::{Db, Dialect, Type, Value};
use wellspring::store::wake::Topic;
use wellspring::telemetry::Clock;

use crate::support::{create_database, in_outbox, servers::Postgres, soon};

/// One PostgreSQL for these tests; each has a database of its own.
fn postgres() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

async fn database_on(server: &Postgres, name: &str) -> Config {
    let mut config = Config::default();
    config.store.database_url = Some(create_database(server, name).await);
    config
}

/// A configuration for each database there is, with what must live as long as it.
async fn databases(name: &str) -> Vec<(tempfile::TempDir, Config)> {
    let dir = tempfile::tempdir().unwrap();
    let embedded = Config {
        store: config::Store { data: dir.path().into(), ..Default::default() },
        ..Default::default()
    };
    let mut all = vec![(dir, embedded)];
    if let Some(server) = postgres() {
        all.push((tempfile::tempdir().unwrap(), database_on(server, name).await));
    }
    all
}

/// A node that can source.
struct Node {
    store: Store,
    sourcing: Sourcing,
    /// Outbox wake-ups since before the node began to listen.
    woken: tokio::sync::watch::Receiver<u64>,
    writer: tokio::task::JoinHandle<()>,
    background: Vec<tokio::task::JoinHandle<()>>,
    stop: CancellationToken,
}

impl Node {
    async fn start(config: &Config) -> Self {
        let store = Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        let policy = Arc::new(Engine::load(&config.policy, std::path::Path::new("/nonexistent")).unwrap());
        let (sourcing, writer) = Sourcing::new(store.clone(), policy, config, Clock::system());
        let stop = CancellationToken::new();
        let woken = store.wake.subscribe(Topic::Outbox);
        let background = store.background(&stop).into_iter().map(tokio::spawn).collect();
        Node { store, sourcing, woken, writer: tokio::spawn(writer.run()), background, stop }
    }

    /// Stops it and waits until its database is closed.
    async fn stop(self) {
        let Node { store, sourcing, writer, background, stop, .. } = self;
        drop(sourcing);
        writer.await.unwrap();
        stop.cancel();
        for task in background {
            task.await.unwrap();
        }
        drop(store);
    }

    async fn source(&self, uid: &str, body: &str) -> wellspring::error::Result<Receipt> {
        self.sourcing.source(&actor("ada", &["source"]), input(uid, body)).await
    }
}

fn actor(subject: &str, roles: &[&str]) -> Actor {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    let mut claims = serde_json::Map::new();
    claims.insert("sub".into(), subject.into());
    claims.insert("roles".into(), roles.clone().into());
    Actor { subject: subject.into(), roles, claims, contract: None, key: None }
}

fn input(uid: &str, body: &str) -> Input {
    Input {
        source: Source::new("order", "clothing", "shop").unwrap(),
        source_uid: Some(uid.into()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        content_type: "application/json".into(),
        idempotency_key: None,
        if_revision: None,
        occurred_at: None,
        envelope: Envelope::default(),
    }
}

async fn rows(config: &Config, sql: &str) -> Vec<wellspring::store::db::Row> {
    Db::open_read_only(&config.store).await.unwrap().query(sql, &[]).await.unwrap()
}

async fn count(config: &Config, what: &str) -> i64 {
    rows(config, &format!("select count(*) from {what}")).await[0].i64(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_come_back() {
    for (_dir, config) in databases("values_come_back").await {
        let db = Db::open(&config.store).await.unwrap();
        let (bytes, uuid, float) = match db.dialect() {
            Dialect::Sqlite => ("blob", "blob", "real"),
            Dialect::Postgres => ("bytea", "uuid", "double precision"),
        };
        let mut tx = db.begin().await.unwrap();
        let sql = format!("create table t (b boolean, i bigint, f {float}, t text, y {bytes}, u {uuid})");
        tx.execute(&sql, &[]).await.unwrap();
        let columns = [
            ("b", Type::Bool),
            ("i", Type::Int),
            ("f", Type::Float),
            ("t", Type::Text),
            ("y", Type::Bytes),
            ("u", Type::Uuid),
        ];
        let id = uuid::Uuid::from_u128(5);
        let full = vec![
            true.into(),
            i64::MIN.into(),
            Value::Float(-0.5),
            "ü\u{10FFFF}'".into(),
            Value::Bytes(vec![0, 255]),
            id.into(),
        ];
        let empty = columns.map(|(_, kind)| Value::Null(kind)).to_vec();
        assert_eq!(tx.insert_many("t", &columns, vec![full.clone(), empty.clone()], "").await.unwrap(), 2);
        let many = (0..30).flat_map(|_| [full.clone(), empty.clone()]).collect();
        assert_eq!(tx.append_many("t", &columns, many).await.unwrap(), 60);
        let one = "insert into t (b, i, f, t, y, u) values ($1, $2, $3, $4, $5, $6)";
        tx.execute(one, &empty).await.unwrap();
        tx.execute(one, &full).await.unwrap();
        let joined = tx.query_many(
            &[("n", Type::Int)],
            vec![vec![i64::MIN.into()]],
            "select t.u from u join t on t.i = u.n",
        );
        assert_eq!(joined.await.unwrap().len(), 32);
        tx.commit().await.unwrap();
        let sql = "select b, i, f, t, y, u from t where i = $1";
        let found = db.query(sql, &[i64::MIN.into()]).await.unwrap();
        assert_eq!(found.len(), 32);
        for row in &found {
            assert!(row.bool(0).unwrap());
            assert_eq!((row.i64(1).unwrap(), row.opt_f64(2).unwrap()), (i64::MIN, Some(-0.5)));
            assert_eq!((row.text(3).unwrap(), row.bytes(4).unwrap()), ("ü\u{10FFFF}'", [0, 255].as_slice()));
            assert_eq!(row.uuid(5).unwrap(), id);
        }
        let mut nulls = 0;
        let sql = "select b, i, f, t, y, u from t where i is null";
        let each = &mut |row: &wellspring::store::db::RowRef<'_>| {
            assert!(row.bool(0)?.is_none() && row.i64(1)?.is_none() && row.f64(2)?.is_none());
            assert!(row.text(3)?.is_none() && row.bytes(4)?.is_none() && row.uuid(5)?.is_none());
            nulls += 1;
            Ok(())
        };
        db.read(sql, &[], each).await.unwrap();
        assert_eq!(nulls, 32);
        let sums =
            db.query("select sum(i), avg(f), count(*) from t where i > $1", &[Value::Int(0)]).await.unwrap();
        assert_eq!((sums[0].opt_f64(1).unwrap(), sums[0].i64(2).unwrap()), (None, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let Some(server) = postgres() else { return };
    let mut config = database_on(server, "too_long").await;
    config.store.statement_timeout_ms = 50;
    let db = Db::open(&config.store).await.unwrap();
    let endless = "select pg_sleep(3600)";
    let timed_out = |error: wellspring::error::Error| {
        assert_eq!(error.code(), Code::Timeout, "{error}");
        assert_eq!(error.message(), "the database took too long; ask for less");
    };
    timed_out(soon("a read", db.query(endless, &[])).await.unwrap_err());
    timed_out(soon("a read", db.read_large(endless, &[], &mut |_| Ok(()))).await.unwrap_err());
    // Nor does a transaction wait for ever for another one; and it leaves nothing.
    let mut holder = db.begin().await.unwrap();
    holder.execute("create table t (n bigint)", &[]).await.unwrap();
    holder.commit().await.unwrap();
    let mut holder = db.begin().await.unwrap();
    holder.execute("lock table t", &[]).await.unwrap();
    let mut waiting = db.begin().await.unwrap();
    waiting.execute("create table u (n bigint)", &[]).await.unwrap();
    timed_out(soon("a write", waiting.execute("insert into t values (1)", &[])).await.unwrap_err());
    drop((waiting, holder));
    let kept = db.query("select to_regclass('t') is not null, to_regclass('u') is null", &[]).await.unwrap();
    assert!(kept[0].bool(0).unwrap() && kept[0].bool(1).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_is_told_what_a_database_lacks() {
    for (_dir, config) in databases("only_reads").await {
        let refused = async |code: Code, told: &str| {
            let opened = Store::open_read_only(&config.store, Signer::new(b"key"), Clock::system()).await;
            let refused = opened.err().unwrap();
            assert_eq!(refused.code(), code, "{refused}: {:?}", refused.cause());
            assert!(refused.message().contains(told), "{refused}");
        };
        let execute = async |sql: &str| {
            let db = Db::open(&config.store).await.unwrap();
            let mut tx = db.begin().await.unwrap();
            tx.execute(sql, &[]).await.unwrap();
            tx.commit().await.unwrap();
        };
        refused(Code::NotFound, "`wellspring serve` makes one").await;
        // One that is not Wellspring's.
        execute("create table unrelated (n bigint)").await;
        refused(Code::NotFound, "`wellspring serve` makes one").await;
        Store::open(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        Store::open_read_only(&config.store, Signer::new(b"key"), Clock::system()).await.unwrap();
        execute("delete from seaql_migrations where version = 'm0001_log'").await;
        refused(Code::Conflict, "older version; start `wellspring serve`").await;
        execute(
            "insert into seaql_migrations (version, applied_at) values ('m0001_log', 0), ('m9_later', 0)",
        )
        .await;
        refused(Code::Conflict, "`m9_later`").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_one_record() {
    for (_dir, config) in databases("repeated").await {
        let node = Node::start(&config).await;
        let ada = actor("ada", &["source"]);
        let keyed = |body: &str| Input { idempotency_key: Some("k".into()), ..input("1", body) };
        let first = node.sourcing.source(&ada, keyed(r#"{"a":1}"#)).await.unwrap();
        let again = node.sourcing.source(&ada, keyed(r#"{"a":1}"#)).await.unwrap();
        assert_eq!(again, Receipt { duplicate: true, ..first.clone() });
        let other = node.sourcing.source(&ada, keyed(r#"{"a":2}"#)).await.unwrap_err();
        assert_eq!(other.code(), Code::Conflict);
        // Without a uid the idempotency key names the record: the repeated request meets it again.
        let nameless = || Input { source_uid: None, ..keyed("[7]") };
        let nameless = || Input { idempotency_key: Some("n".into()), ..nameless() };
        let one = node.sourcing.source(&ada, nameless()).await.unwrap();
        assert_eq!(node.sourcing.source(&ada, nameless()).await.unwrap().id, one.id);
        let stored = node.store.records(&[one.id]).await.unwrap().remove(0);
        assert_eq!(&stored.draft.body[..], br#"{"value":[7]}"#);
        node.stop().await;
        assert_eq!(count(&config, "record").await, 2);

        let node = Node::start(&config).await;
        let after = node.sourcing.source(&ada, keyed(r#"{"a":1}"#)).await.unwrap();
        assert_eq!((after.id, after.duplicate), (first.id, true));
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_repeated_at_once_on_two_nodes_is_one_record() {
    for (_dir, config) in databases("at_once").await {
        let nodes = nodes(&config).await;
        let mut tasks = Vec::new();
        for n in 0..40 {
            let sourcing = nodes[n % nodes.len()].sourcing.clone();
            tasks.push(tokio::spawn(async move {
                let keyed = Input { idempotency_key: Some(format!("k{}", n / 8)), ..input("1", "{}") };
                sourcing.source(&actor("ada", &["source"]), keyed).await.unwrap()
            }));
        }
        let mut ids: BTreeMap<uuid::Uuid, usize> = BTreeMap::new();
        for task in tasks {
            let receipt = task.await.unwrap();
            *ids.entry(receipt.id).or_default() += 1;
        }
        assert_eq!(ids.into_values().collect::<Vec<_>>(), [8; 5]);
        stop(nodes).await;
        assert_eq!((count(&config, "record").await, in_outbox(&config).await.len()), (5, 5));
    }
}

/// Two nodes where the database allows it.
async fn nodes(config: &Config) -> Vec<Node> {
    let mut nodes = vec![Node::start(config).await];
    if config.store.database_url.is_some() {
        nodes.push(Node::start(config).await);
    }
    nodes
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn revisions_are_dense_and_in_order_under_concurrency() {
    for (_dir, config) in databases("revisions").await {
        let nodes = nodes(&config).await;
        let mut tasks = Vec::new();
        for task in 0..8 {
            let sourcing = nodes[task % nodes.len()].sourcing.clone();
            tasks.push(tokio::spawn(async move {
                for n in 0..50 {
                    let (uid, body) = (format!("{}", n % 5), format!(r#"{{"task":{task},"n":{n}}}"#));
                    let ada = actor("ada", &["source"]);
                    if n % 10 == 9 {
                        let many = (0..10).map(|m| input(&format!("{}", m % 5), &body)).collect();
                        let receipts = sourcing.source_many(&ada, many).await;
                        let revisions: Vec<i64> =
                            receipts.into_iter().map(|receipt| receipt.unwrap().revision).collect();
                        assert!((0..5).all(|m| revisions[m] < revisions[m + 5]), "{revisions:?}");
                    } else {
                        sourcing.source(&ada, input(&uid, &body)).await.unwrap();
                    }
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        stop(nodes).await;
        let total = 8 * (45 + 50);
        assert_eq!(count(&config, "record").await, total);
        let mut last: BTreeMap<String, i64> = BTreeMap::new();
        for (key, revision) in in_outbox(&config).await {
            let seen = last.entry(key).or_default();
            assert_eq!(revision, *seen + 1, "outbox order is revision order");
            *seen += 1;
        }
        assert_eq!(last.values().sum::<i64>(), total);
        let heads = rows(&config, "select key, rev from head").await;
        assert!(heads.iter().all(|row| last[row.text(0).unwrap()] == row.i64(1).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_succeeds_or_fails_alone() {
    for (_dir, mut config) in databases("alone").await {
        config.sourcing.record_bytes_max = 1_000;
        let node = Node::start(&config).await;
        let refuse = match node_dialect(&config) {
            Dialect::Sqlite => vec![
                "create trigger bad before insert on record when new.source_uid = '13' \
                 begin select raise(abort, 'refused'); end",
            ],
            Dialect::Postgres => vec![
                "create function refuse() returns trigger language plpgsql as \
                 $$ begin raise exception 'refused'; end $$",
                "create trigger bad before insert on record for each row when (new.source_uid = '13') \
                 execute function refuse()",
            ],
        };
        stop(vec![node]).await;
        let db = Db::open(&config.store).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        for sql in refuse {
            tx.execute(sql, &[]).await.unwrap();
        }
        tx.commit().await.unwrap();
        drop(db);

        let node = Node::start(&config).await;
        let mut many: Vec<Input> = (0..100).map(|n| input(&n.to_string(), r#"{"a":"b"}"#)).collect();
        many[20].body = Bytes::from_static(b"{\"a\":");
        many[30].body = Bytes::from(format!("[{}]", "1,".repeat(600) + "1"));
        many[40].body = Bytes::from("[".repeat(300) + &"]".repeat(300));
        many[50].if_revision = Some(9);
        many[60].source_uid = Some("\u{1}".into());
        many[70].body = Bytes::from_static(br#"{"nul \u0000":"\u0000","n":1e400,"d":1,"d":2}"#);
        let receipts = node.sourcing.source_many(&actor("ada", &["source"]), many).await;
        let failed: Vec<(usize, Code)> = receipts
            .iter()
            .enumerate()
            .filter_map(|(n, receipt)| Some((n, receipt.as_ref().err()?.code())))
            .collect();
        let expected = [
            (13, Code::Internal),
            (20, Code::BadRequest),
            (30, Code::TooLarge),
            (40, Code::TooLarge),
            (50, Code::Conflict),
            (60, Code::BadRequest),
        ];
        assert_eq!(failed, expected);
        let kept = node.store.records(&[receipts[70].as_ref().unwrap().id]).await.unwrap().remove(0);
        assert_eq!(&kept.draft.body[..], br#"{"nul \u0000":"\u0000","n":1e400,"d":1,"d":2}"#);
        let bob = node.sourcing.source_many(&actor("bob", &["consumer"]), vec![input("1", "{}")]).await;
        assert_eq!(bob[0].as_ref().unwrap_err().code(), Code::Forbidden);
        node.stop().await;
        assert_eq!(count(&config, "record").await, 94);
        assert_eq!(in_outbox(&config).await.len(), 94);
    }
}

fn node_dialect(config: &Config) -> Dialect {
    if config.store.database_url.is_some() { Dialect::Postgres } else { Dialect::Sqlite }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_is_a_revision_and_a_receipt_tells_its_author() {
    for (_dir, config) in databases("tombstone").await {
        let node = Node::start(&config).await;
        let first = node.source("1", r#"{"a":1}"#).await.unwrap();
        let retraction = |revision| Retraction {
            source: Source::new("order", "clothing", "shop").unwrap(),
            source_uid: "1".into(),
            idempotency_key: None,
            if_revision: Some(revision),
            envelope: Envelope::default(),
        };
        let ada = actor("ada", &["source"]);
        assert_eq!(node.sourcing.retract(&ada, retraction(7)).await.unwrap_err().code(), Code::Conflict);
        let gone = node.sourcing.retract(&ada, retraction(1)).await.unwrap();
        assert_eq!((gone.revision, gone.key.clone()), (2, first.key));
        assert!(node.store.latest(&gone.key).await.unwrap().unwrap().draft.deleted);

        let receipt = node.sourcing.receipt(&ada, gone.id).await.unwrap();
        assert_eq!((&receipt["status"], &receipt["revision"]), (&"ACCEPTED".into(), &2.into()));
        assert!(receipt["ingestedAt"].as_str().unwrap().ends_with('Z'));
        assert_eq!(receipt["steps"], serde_json::json!([]));
        for (who, sees) in [(actor("eve", &["steward"]), true), (actor("bob", &["source"]), false)] {
            assert_eq!(node.sourcing.receipt(&who, gone.id).await.is_ok(), sees, "{}", who.subject);
        }
        assert!(node.sourcing.receipt(&Actor::anonymous(), gone.id).await.is_err());
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_passes_a_small_queue_and_a_backlog_is_bounded() {
    for (_dir, mut config) in databases("large_batch").await {
        config.sourcing.queue_max = 100;
        config.sourcing.backlog_max = 6_000;
        let node = Node::start(&config).await;
        let ada = actor("ada", &["source"]);
        let many = (0..6_000).map(|n| input(&n.to_string(), r#"{"a":[1,2,3],"b":{"c":"d"}}"#)).collect();
        let receipts = node.sourcing.source_many(&ada, many).await;
        assert!(receipts.iter().all(Result::is_ok));
        assert_eq!(in_outbox(&config).await.len(), 6_000);
        node.stop().await;
        let node = Node::start(&config).await;
        let refused = node.source("x", "{}").await.unwrap_err();
        assert_eq!(refused.code(), Code::Backpressure);
        assert!(refused.retry_after().is_some());
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_is_woken() {
    let Some(server) = postgres() else { return };
    let config = database_on(server, "woken").await;
    let (here, there) = (Node::start(&config).await, Node::start(&config).await);
    let mut woken = there.woken.clone();
    // Listening begins with a wake-up of everything: what came before it is not heard.
    woken.changed().await.unwrap();
    here.source("1", "{}").await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), woken.changed()).await.unwrap().unwrap();
    stop(vec![here, there]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_needs_no_restarted_node() {
    let Some(mut server) = Postgres::start_durable() else { return };
    let config = database_on(&server, "restarted").await;
    let (here, there) = (Node::start(&config).await, Node::start(&config).await);
    let mut woken = there.woken.clone();
    woken.changed().await.unwrap();
    let tasks: Vec<_> = (0..20).map(|n| here.source(if n % 2 == 0 { "a" } else { "b" }, "{}")).collect();
    for receipt in futures_util::future::join_all(tasks).await {
        receipt.unwrap();
    }
    let before = here.source("a", "{}").await.unwrap();
    tokio::task::block_in_place(|| server.restart());
    // Every connection of the pools is stale now.
    assert_eq!(here.store.records(&[before.id]).await.unwrap().len(), 1);
    assert_eq!(here.source("a", "{}").await.unwrap().revision, before.revision + 1);
    let heard = async {
        loop {
            woken.mark_unchanged();
            here.source("c", "{}").await.unwrap();
            if tokio::time::timeout(Duration::from_millis(200), woken.changed()).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap();
    stop(vec![here, there]).await;
}
