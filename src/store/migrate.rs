//! Brings a database's schema up to date: runs the migrations of `migrations/` in one transaction, one node at a time.
//! Must not hold a definition itself.

use sea_orm_migration::prelude::{ConnectionTrait as _, DbErr, MigrationTrait, MigratorTrait, SchemaManager};
use sea_orm_migration::sea_orm::{DbBackend, TransactionTrait as _};

use super::db::{Db, Dialect};
use crate::error::{Error, Result};

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
        ]
    }
}

/// Runs what has not been run yet.
pub(super) async fn run(db: &Db) -> Result<()> {
    let names: Vec<String> = Migrator::migrations().iter().map(|m| m.name().to_owned()).collect();
    let done = db.query("select version from seaql_migrations", &[]).await;
    // Without the table nothing has been run; opening a second connection only to learn that costs start-up time.
    if let Ok(rows) = &done {
        let done: Vec<&str> = rows.iter().map(|row| row.text(0)).collect::<Result<_>>()?;
        if let Some(unknown) = done.iter().find(|name| !names.iter().any(|known| known == *name)) {
            return Err(Error::new(
                crate::error::Code::Conflict,
                format!(
                    "the database has migration `{unknown}`, which this version does not know; use a newer one"
                ),
            ));
        }
        if done.len() == names.len() {
            return Ok(());
        }
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
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::config;

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
}
