//! Reads from a streaming replica: while it is near, never for who waits for what it has not, and not while it is away.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::support::{Backend, TestApp, create_database, servers::Postgres, soon};

struct World {
    app: TestApp,
    replica: Postgres,
    database: &'static str,
    _primary: Postgres,
}

impl World {
    /// The replica stops to replay what it receives, or goes on.
    async fn replay(&self, goes_on: bool) {
        let url = self.replica.url(self.database);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let sql = if goes_on { "select pg_wal_replay_resume()" } else { "select pg_wal_replay_pause()" };
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn write(&self, n: i64) -> Value {
        let receipt = self.app.source("a/b/c/1", &json!({"n": n})).await;
        self.app.settled().await;
        receipt["cursor"].clone()
    }

    /// Until the replica is read, which has `n`: it is as soon as a read lacks what was written while it was paused.
    async fn near(&self, mut n: i64) {
        let looking = async {
            loop {
                self.app.data_until("{ aB { nodes { n } } }", |data| data["aB"]["nodes"][0]["n"] == n).await;
                self.replay(false).await;
                n += 1_000;
                self.write(n).await;
                let behind = self.read("").await != json!(n);
                self.replay(true).await;
                if behind {
                    break;
                }
            }
            self.app.data_until("{ aB { nodes { n } } }", |data| data["aB"]["nodes"][0]["n"] == n).await;
        };
        soon("the replica to be read", looking).await;
    }

    async fn read(&self, arguments: &str) -> Value {
        self.app.data(&format!("{{ aB{arguments} {{ nodes {{ n }} }} }}")).await["aB"]["nodes"][0]["n"].take()
    }
}

async fn world(lag_max_ms: u64) -> Option<World> {
    let primary = Postgres::start()?;
    let database = "followed";
    let url = create_database(&primary, database).await;
    let replica = primary.replica();
    let near = replica.url(database);
    let app = TestApp::start_with(Backend::Postgres, |config| {
        config.store.database_url = Some(url);
        config.store.replica_url = Some(near);
        config.store.replica_lag_max_ms = lag_max_ms;
    })
    .await;
    let world = World { app, replica, database, _primary: primary };
    world.write(1).await;
    Some(world)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_lookups_and_figures_are_read_from_a_replica_that_is_near() {
    let Some(world) = world(600_000).await else { return };
    world.near(1).await;
    let before = world.read("").await;
    world.replay(false).await;
    let cursor = world.write(-1).await;
    assert_eq!(world.read("").await, before, "the replica does not have it yet");
    let data = world.app.data("{ aBByKey(sourceUid: \"1\") { n } aBAggregate { max { n } } }").await;
    assert_eq!(data, json!({"aBByKey": {"n": before}, "aBAggregate": [{"max": {"n": before}}]}));
    // Who waits for it sees it, and so does everybody on this node from then on.
    assert_eq!(world.read(&format!("(minCursor: {cursor})")).await, -1);
    assert_eq!(world.read("").await, -1);
    world.replay(true).await;
    world.near(-1).await;
    let last = world.read("").await;
    world.replay(false).await;
    let at = world.app.data("{ aB { pageInfo { cursor } } }").await["aB"]["pageInfo"]["cursor"].take();
    world.write(-2).await;
    assert_eq!(world.read("").await, last);
    // The past, and what the replica has no column for, are read where they are.
    let query = "{ aBHistory(sourceUid: \"1\", first: 1) { nodes { node { n } } } }";
    assert_eq!(world.app.data(query).await["aBHistory"]["nodes"][0]["node"]["n"], -2);
    assert_eq!(world.read(&format!("(asOf: {at})")).await, last);
    world.app.source("a/b/c/1", &json!({"n": -3, "late": 7})).await;
    world.app.settled().await;
    let query = "{ aB { nodes { n late } } }";
    assert_eq!(world.app.data(query).await["aB"]["nodes"], json!([{"n": -3, "late": 7}]));
    world.app.source("d/e/f/1", &json!({"n": 1})).await;
    world.app.settled().await;
    assert_eq!(world.app.data("{ dE { nodes { n } } }").await["dE"]["nodes"], json!([{"n": 1}]));
    world.replay(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_away_is_done_without() {
    let Some(mut world) = world(600_000).await else { return };
    world.near(1).await;
    world.replica.stop();
    for n in 10..20 {
        world.write(n).await;
        assert_eq!(world.read("").await, n);
    }
    world.replica.start_again();
    world.near(19).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_far_behind_is_not_read() {
    let Some(world) = world(1_500).await else { return };
    world.near(1).await;
    world.replay(false).await;
    world.write(2).await;
    // It is not read as soon as it has been behind for so long, and that stays so.
    world.app.data_until("{ aB { nodes { n } } }", |data| data["aB"]["nodes"][0]["n"] == 2).await;
    for n in 3..9 {
        world.write(n).await;
        assert_eq!(world.read("").await, n);
    }
    world.replay(true).await;
}
