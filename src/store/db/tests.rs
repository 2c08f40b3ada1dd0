//! The database interface on SQLite; the same questions to PostgreSQL stand in the integration tests.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use uuid::Uuid;

use super::*;
use crate::error::Code;

async fn open() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open(&config::Store { data: dir.path().into(), ..Default::default() }).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    tx.execute(
        "create table t (id integer primary key, name text unique, n integer, f real, b blob, u blob)",
        &[],
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    (dir, db)
}

const COLUMNS: &[(&str, Type)] =
    &[("name", Type::Text), ("n", Type::Int), ("f", Type::Float), ("b", Type::Bytes), ("u", Type::Uuid)];

fn row(name: &str, n: i64) -> Vec<Value> {
    vec![name.into(), n.into(), Value::Float(0.5), Value::Bytes(vec![0, 255]), Uuid::from_u128(9).into()]
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    assert_eq!(tx.insert_many("t", COLUMNS, vec![row("a", i64::MIN), row("b", 2)], "").await.unwrap(), 2);
    let seen = tx.query("select count(*) from t where n < $1", &[Value::Int(0)]).await.unwrap();
    assert_eq!(seen.first().unwrap().i64(0).unwrap(), 1);
    tx.commit().await.unwrap();

    let rows = db.query("select name, n, f, b, u, null from t order by n", &[]).await.unwrap();
    let first = rows.first().unwrap();
    assert_eq!(first.text(0).unwrap(), "a");
    assert_eq!(first.i64(1).unwrap(), i64::MIN);
    assert_eq!(first.opt_f64(2).unwrap(), Some(0.5));
    assert_eq!(first.bytes(3).unwrap(), [0, 255]);
    assert_eq!(first.uuid(4).unwrap(), Uuid::from_u128(9));
    assert_eq!(first.opt_i64(5).unwrap(), None);
}

#[tokio::test]
async fn a_dropped_transaction_leaves_nothing() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    tx.insert_many("t", COLUMNS, vec![row("a", 1)], "").await.unwrap();
    drop(tx);
    assert!(db.query("select 1 from t", &[]).await.unwrap().is_empty());
    db.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_broken_unique_key_is_told_from_other_errors() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    let twice = tx.insert_many("t", COLUMNS, vec![row("a", 1), row("a", 2)], "").await.unwrap_err();
    assert!(is_unique_violation(&twice));
    assert!(!is_unique_violation(&tx.query("select nonsense", &[]).await.unwrap_err()));
    let upsert = "on conflict (name) do update set n = excluded.n where excluded.n > t.n";
    tx.insert_many("t", COLUMNS, vec![row("b", 5), row("b", 4)], upsert).await.unwrap();
    tx.commit().await.unwrap();
    let rows = db.query("select n from t where name = $1", &["b".into()]).await.unwrap();
    assert_eq!(rows.first().unwrap().i64(0).unwrap(), 5);
}

#[tokio::test]
async fn readers_do_not_wait_for_the_writer() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    tx.insert_many("t", COLUMNS, vec![row("a", 1)], "").await.unwrap();
    assert!(db.query("select 1 from t", &[]).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    let mut seen = Vec::new();
    db.read_large("select name, u from t", &[], &mut |row| {
        seen.push((row.text(0)?.unwrap().to_owned(), row.uuid(1)?));
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(seen, [("a".to_owned(), Some(Uuid::from_u128(9)))]);
}

#[tokio::test]
async fn one_server_owns_a_data_directory() {
    let (dir, db) = open().await;
    let config = config::Store { data: dir.path().into(), ..Default::default() };
    let second = Db::open(&config).await.err().unwrap();
    assert_eq!(second.code(), crate::error::Code::Conflict);
    let reader = Db::open_read_only(&config).await.unwrap();
    assert!(reader.query("select 1 from t", &[]).await.unwrap().is_empty());
    assert!(reader.begin().await.is_err());
    drop(db);
    Db::open(&config).await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write_and_like_is_case_sensitive() {
    let (_dir, db) = open().await;
    assert!(db.query("delete from t", &[]).await.is_err());
    let rows = db.query("select 'A' like 'a'", &[]).await.unwrap();
    assert_eq!(rows.first().unwrap().i64(0).unwrap(), 0);
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().into();
    let db = Db::open(&config::Store { data, statement_timeout_ms: 50, ..Default::default() }).await.unwrap();
    let endless = "with recursive r(n) as (select 1 union all select n + 1 from r) select count(*) from r";
    for _ in 0..2 {
        assert_eq!(db.query(endless, &[]).await.unwrap_err().code(), Code::Timeout);
    }
    let mut none = |_: &RowRef<'_>| Ok(());
    let error = db.read_large(endless, &[], &mut none).await.unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    // The connection goes on.
    assert_eq!(db.query("select 7", &[]).await.unwrap().first().unwrap().i64(0).unwrap(), 7);
}

#[tokio::test]
async fn a_read_that_nobody_waits_for_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().into();
    let one = config::Store { data, readers_max: 1, statement_timeout_ms: 3_600_000, ..Default::default() };
    let db = Db::open(&one).await.unwrap();
    let endless =
        "with recursive r(n) as (select 1 union all select n + 1 from r) select n from r where n < 0";
    let mut none = |_: &RowRef<'_>| Ok(());
    let mut reading = Box::pin(db.read_large(endless, &[], &mut none));
    assert!(futures_util::poll!(&mut reading).is_pending());
    drop(reading);
    // The only reader is free again.
    assert_eq!(db.query("select 7", &[]).await.unwrap().first().unwrap().i64(0).unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rows_are_the_same_whichever_thread_reads_them() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    let rows = (0..200).map(|n| row(&format!("r{n:03}"), n)).collect();
    tx.insert_many("t", COLUMNS, rows, "").await.unwrap();
    tx.commit().await.unwrap();
    let read = async || {
        let mut seen = Vec::new();
        let mut each = |row: &RowRef<'_>| {
            seen.push((
                row.text(0)?.map(str::to_owned),
                row.i64(1)?,
                row.f64(2)?,
                row.bool(3)?,
                row.uuid(4)?,
                row.text(5)?.map(str::to_owned),
                row.bytes(0)?.map(<[u8]>::to_vec),
            ));
            Ok(())
        };
        let all = "select name, n, n / 2.0, n % 2 = 0, u, case when n > 5 then name end from t order by n";
        db.read_large(all, &[], &mut each).await.map(|()| seen)
    };
    let (on_its_own, in_place) = (read().await.unwrap(), read().await.unwrap());
    assert_eq!(on_its_own.len(), 200);
    assert_eq!(on_its_own, in_place);
    // What the one who takes the rows says ends it, and is what is told.
    let mut full = |_: &RowRef<'_>| Err(Error::bad_request("full"));
    for _ in 0..2 {
        let error = db.read_large("select t.name from t, t as other", &[], &mut full).await.unwrap_err();
        assert_eq!(error.message(), "full");
    }
}

#[tokio::test]
async fn columns_come_to_many_tables_with_one_change_of_the_schema() {
    let (_dir, db) = open().await;
    let mut tx = db.begin().await.unwrap();
    tx.execute("create table k(id integer primary key,a,b,unique(a,b))", &[]).await.unwrap();
    tx.execute("insert into k (a, b) values (1, 'x')", &[]).await.unwrap();
    tx.insert_many("t", COLUMNS, vec![row("a", 1)], "").await.unwrap();
    tx.commit().await.unwrap();
    let version = async || {
        db.query("select schema_version from pragma_schema_version", &[]).await.unwrap()[0].i64(0).unwrap()
    };
    let before = version().await;
    let added = [("t".to_owned(), ",f1".to_owned()), ("k".to_owned(), ",f1,f2".to_owned())];
    // What is rolled back was never there, and stands in the way of nothing.
    let mut tx = db.begin().await.unwrap();
    tx.add_columns(&added, ",unique(a,b)").unwrap();
    tx.execute("insert into k (a, b, f2) values (2, 'y', 3)", &[]).await.unwrap();
    drop(tx);
    assert_eq!(version().await, before);
    let mut tx = db.begin().await.unwrap();
    assert!(tx.query("select f2 from k", &[]).await.is_err());
    assert!(tx.add_columns(&[("none".to_owned(), ",f1".to_owned())], "").is_err(), "there is no such table");
    tx.add_columns(&added, ",unique(a,b)").unwrap();
    tx.execute("insert into k (a, b, f2) values (2, 'y', 3)", &[]).await.unwrap();
    tx.execute("update t set f1 = 1.0", &[]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(version().await, before + 1);
    let rows = db.query("select f1, f2 from k order by a", &[]).await.unwrap();
    assert_eq!(rows[0].opt_i64(1).unwrap(), None);
    assert_eq!(rows[1].opt_i64(1).unwrap(), Some(3));
    let kind = db.query("select typeof(f1) from t where name = 'a'", &[]).await.unwrap();
    assert_eq!(kind[0].text(0).unwrap(), "real", "a column without a type keeps what it is given");
    let whole = db.query("select integrity_check from pragma_integrity_check", &[]).await.unwrap();
    assert_eq!(whole[0].text(0).unwrap(), "ok");
    let mut tx = db.begin().await.unwrap();
    assert!(tx.execute("insert into k (a, b) values (2, 'y')", &[]).await.is_err(), "still unique");
}
