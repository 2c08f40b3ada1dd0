//! Brings a database's schema up to date: runs the migrations of `migrations/` in one transaction, one node at a time.
//! Must not hold a definition itself.

use sea_orm_migration::prelude::{ConnectionTrait as _, DbErr, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::{DbBackend, TransactionTrait as _};

use super::NOTHING_YET;
use super::db::{Db, Dialect};
use crate::error::{Code, Error, Result};

#[path = "../../migrations/m0001_log.rs"]
mod m0001_log;
#[path = "../../migrations/m0002_collections.rs"]
mod m0002_collections;
#[path = "../../migrations/m0003_claimed_at.rs"]
mod m0003_claimed_at;
#[path = "../../migrations/m0004_sightings.rs"]
mod m0004_sightings;
#[path = "../../migrations/m0005_type_names.rs"]
mod m0005_type_names;
#[path = "../../migrations/m0006_plugin_past.rs"]
mod m0006_plugin_past;
#[path = "../../migrations/m0007_record_meta.rs"]
mod m0007_record_meta;
#[path = "../../migrations/m0008_decisions.rs"]
mod m0008_decisions;
#[path = "../../migrations/m0009_statistics.rs"]
mod m0009_statistics;
#[path = "../../migrations/m0010_events.rs"]
mod m0010_events;
#[path = "../../migrations/m0011_rebuild.rs"]
mod m0011_rebuild;
#[path = "../../migrations/m0012_notices.rs"]
mod m0012_notices;
#[path = "../../migrations/m0013_contracts.rs"]
mod m0013_contracts;
#[path = "../../migrations/m0014_columns.rs"]
mod m0014_columns;
#[path = "../../migrations/m0015_api_keys.rs"]
mod m0015_api_keys;
#[path = "../../migrations/m0016_reads.rs"]
mod m0016_reads;
#[path = "../../migrations/m0017_history.rs"]
mod m0017_history;
#[path = "../../migrations/m0018_advice.rs"]
mod m0018_advice;
#[path = "../../migrations/m0019_left.rs"]
mod m0019_left;
#[path = "../../migrations/m0020_packed.rs"]
mod m0020_packed;
#[path = "../../migrations/m0021_outbox.rs"]
mod m0021_outbox;
#[path = "../../migrations/m0022_words.rs"]
mod m0022_words;
#[path = "../../migrations/m0023_outbox_rows.rs"]
mod m0023_outbox_rows;

/// Held while migrating, so that nodes that start together wait for each other.
const LOCK: &str = "select pg_advisory_xact_lock(7305804402566817907)";

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_log::Migration),
            Box::new(m0002_collections::Migration),
            Box::new(m0003_claimed_at::Migration),
            Box::new(m0004_sightings::Migration),
            Box::new(m0005_type_names::Migration),
            Box::new(m0006_plugin_past::Migration),
            Box::new(m0007_record_meta::Migration),
            Box::new(m0008_decisions::Migration),
            Box::new(m0009_statistics::Migration),
            Box::new(m0010_events::Migration),
            Box::new(m0011_rebuild::Migration),
            Box::new(m0012_notices::Migration),
            Box::new(m0013_contracts::Migration),
            Box::new(m0014_columns::Migration),
            Box::new(m0015_api_keys::Migration),
            Box::new(m0016_reads::Migration),
            Box::new(m0017_history::Migration),
            Box::new(m0018_advice::Migration),
            Box::new(m0019_left::Migration),
            Box::new(m0020_packed::Migration),
            Box::new(m0021_outbox::Migration),
            Box::new(m0022_words::Migration),
            Box::new(m0023_outbox_rows::Migration),
        ]
    }
}

/// The migrations that the database has had; `None` when it is new.
async fn applied(db: &Db) -> Result<Option<Vec<String>>> {
    let there = match db.dialect() {
        Dialect::Postgres => "select to_regclass('seaql_migrations') is not null",
        Dialect::Sqlite => "select exists (select 1 from sqlite_master where name = 'seaql_migrations')",
    };
    let there = db.query(there, &[]).await?;
    if !there.first().map_or(Ok(false), |row| row.bool(0))? {
        return Ok(None);
    }
    let rows = db.query("select version from seaql_migrations", &[]).await?;
    let applied: Vec<String> =
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<_>>()?;
    let known = Migrator::migrations();
    if let Some(unknown) = applied.iter().find(|name| !known.iter().any(|known| known.name() == *name)) {
        let text = format!(
            "the database has migration `{unknown}`, which this version does not know; use a newer one"
        );
        return Err(Error::new(Code::Conflict, text));
    }
    Ok(Some(applied))
}

/// Refuses a database whose schema is not this version's: for those who only read.
pub(super) async fn check(db: &Db) -> Result<()> {
    match applied(db).await? {
        None => Err(Error::not_found(NOTHING_YET)),
        Some(applied) if applied.len() < Migrator::migrations().len() => {
            let text = "the database was last served by an older version; start `wellspring serve` of this version \
                        on it once, which brings it up to date";
            Err(Error::new(Code::Conflict, text))
        }
        Some(_) => Ok(()),
    }
}

/// Runs what has not been run yet.
pub(super) async fn run(db: &Db) -> Result<()> {
    // Opening a second connection only to learn that costs start-up time.
    if applied(db).await?.is_some_and(|applied| applied.len() == Migrator::migrations().len()) {
        return Ok(());
    }
    let connection = db.schema_connection().await?;
    let all = async {
        let tx = connection.begin().await?;
        if db.dialect() == Dialect::Postgres {
            tx.execute_unprepared(LOCK).await?;
        }
        Migrator::up(&tx, None).await?;
        tx.commit().await
    };
    all.await.map_err(|error: DbErr| {
        Error::unavailable("the database's schema cannot be brought up to date", error)
    })?;
    if db.dialect() == Dialect::Sqlite {
        connection.close().await.map_err(Error::internal)?;
    }
    Ok(())
}

/// Runs statements whose column types are written as `{…}`.
async fn apply(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let types: [(&str, &str, &str); 8] = [
        (
            "{identity}",
            "bigint generated always as identity primary key",
            "integer primary key autoincrement",
        ),
        ("{int}", "bigint", "integer"),
        ("{bool}", "boolean", "integer"),
        ("{text}", "text collate \"C\"", "text"),
        ("{bytes}", "bytea", "blob"),
        ("{uuid}", "uuid", "blob"),
        // Rows in the order of their key.
        ("{keyed}", "", "without rowid"),
        // Room for new versions of a row on its page, for rows that change all the time.
        ("{fill}", "with (fillfactor = 50)", ""),
    ];
    let connection = manager.get_connection();
    let postgres = connection.get_database_backend() == DbBackend::Postgres;
    for statement in statements {
        let mut sql = (*statement).to_owned();
        for (token, on_postgres, on_sqlite) in types {
            sql = sql.replace(token, if postgres { on_postgres } else { on_sqlite });
        }
        connection.execute_unprepared(&sql).await?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config;
    use crate::store::db::Value;
    use crate::store::outbox;

    /// What a table of rows was before its rows said when they happened.
    #[tokio::test]
    async fn rows_of_before_learn_when_they_happened() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Store { data: dir.path().into(), ..Default::default() };
        let db = Db::open(&config).await.unwrap();
        let connection = db.schema_connection().await.unwrap();
        Migrator::up(&connection, Some(6)).await.unwrap();
        let mut statements = vec![
            "insert into source values (1, 'a', 'b', 'c')".to_owned(),
            "insert into generation values (1, 1, 'live', 1)".into(),
            "create table c_1_g1 (row_id integer primary key, record_id blob not null)".into(),
        ];
        let times = ["-1", "1795382479000001", "-86400000001", "0", "null"];
        for (n, at) in times.iter().enumerate() {
            statements.push(format!(
                "insert into record values (x'0{n}', 1, '{n}', '{n}', 1, 0, null, 'me', x'', x'', '', {at}, 0, null, \
                 0, null, 0, '{{}}', x'')"
            ));
            statements.push(format!("insert into c_1_g1 values ({n}, x'0{n}')"));
        }
        for statement in statements {
            connection.execute_unprepared(&statement).await.unwrap();
        }
        connection.close().await.unwrap();
        run(&db).await.unwrap();
        let rows = db.query("select occurred_at, purposes from c_1_g1 order by row_id", &[]).await.unwrap();
        let written: Vec<Option<&str>> = rows.iter().map(|row| row.opt_text(0).unwrap()).collect();
        let expected = times.map(|at| at.parse().ok().and_then(crate::query::write::instant));
        assert_eq!(written, expected.each_ref().map(Option::as_deref));
    }

    /// What the columns of objects were called before.
    #[tokio::test]
    async fn columns_of_objects_are_called_as_all_others() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Store { data: dir.path().into(), ..Default::default() };
        let db = Db::open(&config).await.unwrap();
        let connection = db.schema_connection().await.unwrap();
        Migrator::up(&connection, Some(13)).await.unwrap();
        for statement in [
            "insert into generation values (7, 1, 'live', 1)",
            "create table c_7_g1 (row_id integer primary key, pos integer, purposes text, p3 integer, f4 text)",
            "insert into c_7_g1 values (1, 2, 'x', 1, 'y')",
        ] {
            connection.execute_unprepared(statement).await.unwrap();
        }
        connection.close().await.unwrap();
        run(&db).await.unwrap();
        let rows =
            db.query("select pos, f3 from c_7_g1 where purposes = 'x' and f4 = 'y'", &[]).await.unwrap();
        let row = rows.first().unwrap();
        assert_eq!((row.i64(0).unwrap(), row.i64(1).unwrap()), (2, 1));
    }

    /// What the outbox was before a row had many records.
    pub(crate) async fn rows_of_the_outbox_are_those_of_before(db: Db) {
        let connection = db.schema_connection().await.unwrap();
        Migrator::up(&connection, Some(21)).await.unwrap();
        let ids: Vec<uuid::Uuid> = (1..=4).map(uuid::Uuid::from_u128).collect();
        let mut tx = db.begin().await.unwrap();
        tx.execute("insert into source (category, subcategory, source_name) values ('a', 'b', 'c')", &[])
            .await
            .unwrap();
        for (n, id) in (1_i64..).zip(&ids) {
            let sql = "insert into record (id, source_id, source_uid, key, rev, partition, author, payload_hash, body, \
                       body_bytes, content_type, ingested_at, deleted, hops, envelope, genesis) \
                       values ($1, 1, 'd', 'a~b~c~d', $2, 3, 'me', $3, $3, $4, '', 0, false, 0, '{}', $3)";
            let bytes = Value::opt_int((n == 2).then_some(700));
            tx.execute(sql, &[(*id).into(), n.into(), Value::Bytes(vec![7, 7]), bytes]).await.unwrap();
            // The fourth is settled, and so are those that have had the numbers before these.
            let claimed = (n < 3).then_some(n + 9);
            let sql = "insert into outbox (partition, record_id, key, rev, hops, pseq, claimed_at) \
                       values (3, $1, 'a~b~c~d', $2, 0, $3, $3)";
            if n < 4 {
                tx.execute(sql, &[(*id).into(), n.into(), Value::opt_int(claimed)]).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
        if db.dialect() == Dialect::Sqlite {
            connection.close().await.unwrap();
        }
        run(&db).await.unwrap();
        let sql = format!(
            "select r.rev, o.records, o.pseq, o.claimed_at from outbox o join record r on {} \
             where o.partition = 3 and o.n = 1 and o.hook = 'sourced' order by o.id",
            outbox::holds(db.dialect())
        );
        let found = db.query(&sql, &[]).await.unwrap();
        let found = found.iter().map(|row| {
            let entries = outbox::entries(row.bytes(1).unwrap()).unwrap();
            (row.i64(0).unwrap(), entries, row.opt_i64(2).unwrap(), row.opt_i64(3).unwrap())
        });
        let id = |n: usize| ids.get(n).copied().unwrap();
        let expected = [
            (1, vec![(id(0), 2)], Some(10), Some(10)),
            (2, vec![(id(1), 700)], Some(11), Some(11)),
            (3, vec![(id(2), 2)], None, None),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        let mut tx = db.begin().await.unwrap();
        let sql = "insert into outbox (partition, n, records) values (3, 1, $1) returning id";
        let next = tx.query(sql, &[Value::Bytes(vec![0; 20])]).await.unwrap();
        assert_eq!(next.first().unwrap().i64(0).unwrap(), 4, "later rows come behind them");
    }

    #[tokio::test]
    async fn rows_of_the_outbox_are_those_of_before_on_sqlite() {
        let dir = tempfile::tempdir().unwrap();
        let config = config::Store { data: dir.path().into(), ..Default::default() };
        rows_of_the_outbox_are_those_of_before(Db::open(&config).await.unwrap()).await;
    }
}
