//! Who goes away while the database works for it leaves nothing behind that works on.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::support::{TestApp, eventually, on_backends, soon};

/// How many statements wait for a lock.
const WAITING: &str = "select count(*) from pg_stat_activity where datname = current_database() \
     and state = 'active' and wait_event_type = 'Lock'";

async fn waiting(connection: &mut PgConnection, count: i64) {
    eventually("statements that wait", async || {
        let found: i64 = sqlx::query_scalar(WAITING).fetch_one(&mut *connection).await.unwrap();
        if found == count { Ok(()) } else { Err(found) }
    })
    .await;
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_statement_ends_when_its_client_goes_away(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.server.request_timeout_ms = 3_600_000;
            config.server.idle_timeout_ms = 7_200_000;
            config.store.statement_timeout_ms = 3_600_000;
        })
        .await;
        app.source("a/b/s/1", &json!({"n": 1})).await;
        app.settled().await;
        let url = app.config().store.database_url.clone().unwrap();
        let mut holder = PgConnection::connect(&url).await.unwrap();
        let mut watcher = PgConnection::connect(&url).await.unwrap();
        let mut lock = holder.begin().await.unwrap();
        let tables = "select tablename::text from pg_tables where tablename ~ '^c_[0-9]+_g'";
        for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&mut *lock).await.unwrap() {
            let statement = sqlx::AssertSqlSafe(format!("lock table {table} in access exclusive mode"));
            sqlx::raw_sql(statement).execute(&mut *lock).await.unwrap();
        }
        let token = app.admin();
        let mut asked = Vec::new();
        for query in ["{ aB { nodes { n } } }", "{ aBAggregate { count } }"] {
            let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(&token);
            asked.push(tokio::spawn(request.json(&json!({"query": query})).send()));
        }
        let export = app.client.get(format!("{}/data/aB.csv", app.url)).bearer_auth(&token);
        asked.push(tokio::spawn(export.send()));
        waiting(&mut watcher, 3).await;
        for asking in &asked {
            asking.abort();
        }
        waiting(&mut watcher, 0).await;
        lock.rollback().await.unwrap();
        let answer = soon("an answer", app.data("{ aB { nodes { n } } }")).await;
        assert_eq!(answer["aB"]["nodes"][0]["n"], 1);
    }
}
