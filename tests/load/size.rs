//! What records take on disk, everything counted: files after a checkpoint, the write-ahead log, and which tables and
//! indexes it is in; each beside the raw bytes that were sent.
//!
//! PostgreSQL logs a page whole when it is first written after a checkpoint. The server that is measured has room for
//! all of the log and makes none meanwhile, as that says how often it makes one, not what records take; how many pages
//! were logged whole is told.

use std::path::Path;

use sqlx::Row;

use crate::{data, process::Services};

/// How many tables and indexes are told, the largest first.
const TOLD: usize = 14;

pub async fn print(services: &Services, rows: u64) {
    let orders: usize = (0..rows).map(|n| data::order(n, rows).text.len()).sum();
    let customers: usize = (0..data::customers(rows)).map(|n| data::customer_text(n).len()).sum();
    let raw = (orders + customers) as f64;
    let records = (rows + data::customers(rows)) as f64;
    let line = |what: &str, bytes: f64| {
        println!(
            "  {what}: {:.1} MB, {:.0} bytes a record, {:.2} × raw",
            bytes / 1e6,
            bytes / records,
            bytes / raw
        );
    };
    println!("raw bytes sent: {:.1} MB, {:.0} a record", raw / 1e6, raw / records);
    match services.postgres_url() {
        Some(url) => postgres(&url, line).await,
        None => sqlite(services.data.path(), line),
    }
}

async fn postgres(url: &str, line: impl Fn(&str, f64)) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let number = async |sql: &'static str| {
        let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
        row.get::<i64, _>(0) as f64
    };
    line(
        "write-ahead log",
        number("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/1600000')::bigint").await,
    );
    println!("  pages in it that were logged whole: {}", number("select wal_fpi from pg_stat_wal").await);
    sqlx::query("checkpoint").execute(&pool).await.unwrap();
    let files = "select pg_database_size(current_database())";
    line("database files", number(files).await);
    // As it does by itself, a minute later.
    sqlx::query("vacuum").execute(&pool).await.unwrap();
    line("database files, what was deleted given back", number(files).await);
    let parts = "select c.relname, pg_relation_size(c.oid) + coalesce(pg_relation_size(nullif(c.reltoastrelid, 0)), 0) \
         from pg_class c where c.relkind in ('r', 'i') and c.relnamespace = 'public'::regnamespace \
         order by 2 desc limit $1";
    for row in sqlx::query(parts).bind(TOLD as i64).fetch_all(&pool).await.unwrap() {
        line(&format!("  {}", row.get::<&str, _>(0)), row.get::<i64, _>(1) as f64);
    }
}

fn sqlite(dir: &Path, line: impl Fn(&str, f64)) {
    let path = dir.join("wellspring.db");
    let size = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |file| file.len()) as f64;
    line("write-ahead log, as it is kept", size("wellspring.db-wal"));
    let db = rusqlite::Connection::open(path).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
    db.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(())).unwrap();
    line("database file", size("wellspring.db"));
    // The library is built without `dbstat`: tables are told by what their cells hold.
    let tables = "select name from sqlite_schema where type = 'table' and sql not like 'create virtual%'";
    let mut statement = db.prepare(tables).unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut held: Vec<(f64, String)> =
        names.map(|name| name.unwrap()).map(|name| (cells(&db, &name), name)).collect();
    held.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (bytes, name) in held.iter().take(TOLD).filter(|(bytes, _)| *bytes > 0.0) {
        line(&format!("  cells of {name}"), *bytes);
    }
}

fn cells(db: &rusqlite::Connection, table: &str) -> f64 {
    let columns = db.prepare(&format!("select * from \"{table}\" limit 0")).unwrap();
    let lengths: Vec<String> = columns
        .column_names()
        .iter()
        .map(|name| format!("coalesce(length(cast(\"{name}\" as blob)), 0)"))
        .collect();
    let sql = format!("select coalesce(sum({}), 0) from \"{table}\"", lengths.join(" + "));
    db.query_row(&sql, [], |row| row.get::<_, f64>(0)).unwrap_or_default()
}
