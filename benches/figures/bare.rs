//! The baselines: an axum handler that runs the ideal SQL over typed columns and writes the JSON by hand, and bare
//! inserts of record and outbox row. As good as one would write by hand, and nothing more.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::IntoResponse,
    routing::get,
};
use sqlx::{PgPool, Row};
use tokio::sync::Mutex;

use crate::{orders, process::Services};

const COLUMNS: &str = "order_no text, status text, channel text, currency text, total float8, \
     quantity bigint, placed_at text, \
     priority boolean, note text, customer_name text";
const SELECTED: &str =
    "order_no, status, channel, currency, total, quantity, placed_at, priority, note, customer_name";
const NAMES: [&str; 10] = [
    "orderNo", "status", "channel", "currency", "total", "quantity", "placedAt", "priority", "note",
    "customer",
];

/// The handler's process; ended when dropped.
pub struct Bare {
    child: Child,
    url: String,
    client: reqwest::Client,
}

impl Bare {
    pub async fn start(services: &Services, rows: u64) -> Bare {
        let (kind, url) = match services.postgres_url() {
            Some(url) => {
                fill_postgres(&url, rows).await;
                ("postgres", url)
            }
            None => {
                let path = services.data.path().join("bare.db");
                fill_sqlite(&path, rows);
                ("sqlite", path.to_str().unwrap().to_owned())
            }
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve-bare", kind, &url])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Bare { child, url: line.trim().to_owned(), client: reqwest::Client::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn get(&self, path: &str) -> usize {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        answer.bytes().await.unwrap().len()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone)]
enum Database {
    Sqlite(Arc<Mutex<rusqlite::Connection>>),
    Postgres(PgPool),
}

/// What the child runs.
pub async fn serve(kind: &str, url: &str) {
    let database = match kind {
        "sqlite" => Database::Sqlite(Arc::new(Mutex::new(rusqlite::Connection::open(url).unwrap()))),
        _ => Database::Postgres(PgPool::connect(url).await.unwrap()),
    };
    let app = Router::new().route("/lookup", get(lookup)).route("/list/{n}", get(list)).with_state(database);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}

async fn lookup(State(database): State<Database>) -> impl IntoResponse {
    let sql = format!("select {SELECTED} from bare_orders where order_no = $1");
    answer(&database, &sql, vec!["O-00000042".into()], 1).await
}

async fn list(State(database): State<Database>, Path(n): Path<i64>) -> impl IntoResponse {
    let sql = format!(
        "select {SELECTED} from bare_orders where status = $1 and placed_at < $2 \
         order by placed_at desc, order_no desc limit {n}"
    );
    answer(&database, &sql, vec!["paid".into(), "2026-10-01T00:00:00.000000Z".into()], n).await
}

async fn answer(database: &Database, sql: &str, params: Vec<String>, rows: i64) -> impl IntoResponse + use<> {
    let mut out = Vec::with_capacity(256 * rows as usize + 64);
    out.extend_from_slice(br#"{"data":["#);
    match database {
        Database::Sqlite(connection) => {
            let connection = connection.lock().await;
            let mut statement = connection.prepare_cached(&sql.replace('$', "?")).unwrap();
            let mut found = statement.query(rusqlite::params_from_iter(params)).unwrap();
            while let Some(row) = found.next().unwrap() {
                write_row(&mut out, |i| match row.get_ref(i).unwrap() {
                    rusqlite::types::ValueRef::Text(t) => Cell::Text(std::str::from_utf8(t).unwrap()),
                    rusqlite::types::ValueRef::Real(x) => Cell::Float(x),
                    rusqlite::types::ValueRef::Integer(n) => Cell::Int(n),
                    _ => Cell::Null,
                });
            }
        }
        Database::Postgres(pool) => {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for param in params {
                query = query.bind(param);
            }
            for row in query.fetch_all(pool).await.unwrap() {
                write_row(&mut out, |i| match i {
                    4 => Cell::Float(row.get_unchecked(i)),
                    5 => Cell::Int(row.get_unchecked(i)),
                    7 => Cell::Int(i64::from(row.get_unchecked::<bool, _>(i))),
                    _ => Cell::Text(row.get_unchecked(i)),
                });
            }
        }
    }
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.extend_from_slice(b"]}");
    ([(header::CONTENT_TYPE, "application/json")], out)
}

enum Cell<'a> {
    Null,
    Text(&'a str),
    Int(i64),
    Float(f64),
}

fn write_row<'a>(out: &mut Vec<u8>, cell: impl Fn(usize) -> Cell<'a>) {
    for (i, name) in NAMES.iter().enumerate() {
        out.extend_from_slice(if i == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(if i == 9 { b"\":{\"name\":" } else { b"\":" });
        match cell(i) {
            Cell::Null => out.extend_from_slice(b"null"),
            Cell::Text(text) => serde_json::to_writer(&mut *out, text).unwrap(),
            Cell::Int(n) if i == 7 => out.extend_from_slice(if n == 0 { b"false" } else { b"true" }),
            Cell::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            Cell::Float(x) => out.extend_from_slice(ryu::Buffer::new().format(x).as_bytes()),
        }
    }
    out.extend_from_slice(b"}},");
}

fn fill_sqlite(path: &std::path::Path, rows: u64) {
    let mut connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch(&format!("pragma journal_mode = wal; create table bare_orders({COLUMNS})"))
        .unwrap();
    let tx = connection.transaction().unwrap();
    {
        let mut insert =
            tx.prepare("insert into bare_orders values (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)").unwrap();
        for n in 0..rows {
            let (order, c) = (orders::order(n), ["web", "store", "phone"][(n % 3) as usize]);
            let name = format!("Customer {}", orders::scatter(n) % 20_000);
            insert
                .execute(rusqlite::params![
                    order.number,
                    order.status,
                    c,
                    "EUR",
                    order.total,
                    1 + (n % 9) as i64,
                    order.placed_at,
                    n.is_multiple_of(7),
                    orders::NOTE,
                    name
                ])
                .unwrap();
        }
    }
    tx.commit().unwrap();
    connection
        .execute_batch(
            "create unique index bare_key on bare_orders(order_no);
             create index bare_list on bare_orders(status, placed_at, order_no); analyze",
        )
        .unwrap();
}

async fn fill_postgres(url: &str, rows: u64) {
    let pool = PgPool::connect(url).await.unwrap();
    let columns = COLUMNS.replace("text", "text collate \"C\"");
    for sql in ["drop table if exists bare_orders".to_owned(), format!("create table bare_orders({columns})")]
    {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    for first in (0..rows).step_by(5_000) {
        let values: Vec<String> = (first..rows.min(first + 5_000))
            .map(|n| {
                let (order, c) = (orders::order(n), ["web", "store", "phone"][(n % 3) as usize]);
                format!(
                    "('{}','{}','{c}','EUR',{},{},'{}',{},'{}','Customer {}')",
                    order.number,
                    order.status,
                    order.total,
                    1 + n % 9,
                    order.placed_at,
                    n.is_multiple_of(7),
                    orders::NOTE,
                    orders::scatter(n) % 20_000
                )
            })
            .collect();
        let sql = format!("insert into bare_orders values {}", values.join(","));
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    for sql in [
        "create unique index bare_key on bare_orders(order_no)",
        "create index bare_list on bare_orders(status, placed_at, order_no)",
        "vacuum analyze bare_orders",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
}

/// Bare rates of SQLite: a record and an outbox row, durable, one row a commit and 1000 rows a commit.
pub fn sqlite_rates(single: u64, rows: u64) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut connection = rusqlite::Connection::open(dir.path().join("rates.db")).unwrap();
    connection
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full;
             create table record(id integer primary key, coll int, key text, doc text, unique(coll, key));
             create table outbox(id integer primary key, record_id int)",
        )
        .unwrap();
    let mut insert = |from: u64, to: u64, per_commit: u64| {
        let start = Instant::now();
        for first in (from..to).step_by(per_commit as usize) {
            let tx = connection.transaction().unwrap();
            {
                let mut record =
                    tx.prepare_cached("insert into record(coll, key, doc) values (1, ?1, ?2)").unwrap();
                let mut outbox = tx.prepare_cached("insert into outbox(record_id) values (?1)").unwrap();
                for n in first..to.min(first + per_commit) {
                    let order = orders::order(n);
                    let id = record.insert(rusqlite::params![order.number, order.text]).unwrap();
                    outbox.insert([id]).unwrap();
                }
            }
            tx.commit().unwrap();
        }
        (to - from) as f64 / start.elapsed().as_secs_f64()
    };
    let one = insert(0, single, 1);
    let many = insert(single, single + rows, 1_000);
    format!(
        "bare SQLite (record + outbox row, synchronous=full): {one:.0} rows/s one a commit, \
         {many:.0} rows/s 1000 a commit"
    )
}

/// Bare rates of PostgreSQL: the same by one statement, 64 connections one row each, 4 connections 1000 rows each.
pub async fn postgres_rates(url: &str, single: u64, rows: u64) -> String {
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(64).test_before_acquire(false);
    let pool = options.connect(url).await.unwrap();
    for sql in [
        "drop table if exists bare_outbox, bare_record",
        "create table bare_record(id bigint generated always as identity primary key, \
         coll int, key text, doc text, unique(coll, key))",
        "create table bare_outbox(id bigint generated always as identity primary key, record_id bigint)",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    let one = postgres_rate(&pool, 0, single, 1, 64).await;
    let many = postgres_rate(&pool, single, single + rows, 1_000, 4).await;
    format!(
        "bare PostgreSQL (record + outbox row, one statement): {one:.0} rows/s one a commit \
         over 64 connections, {many:.0} rows/s 1000 a commit over 4"
    )
}

async fn postgres_rate(pool: &PgPool, from: u64, to: u64, per_commit: u64, tasks: u64) -> f64 {
    const SQL: &str = "with r as (insert into bare_record(coll, key, doc) \
                       select 1, k, d from unnest($1::text[], $2::text[]) u(k, d) returning id) \
                       insert into bare_outbox(record_id) select id from r";
    let start = Instant::now();
    let next = Arc::new(std::sync::atomic::AtomicU64::new(from));
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            let (pool, next) = (pool.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(per_commit, std::sync::atomic::Ordering::Relaxed);
                    if first >= to {
                        return;
                    }
                    let (keys, docs): (Vec<String>, Vec<String>) = (first..to.min(first + per_commit))
                        .map(|n| {
                            let order = orders::order(n);
                            (order.number, order.text)
                        })
                        .unzip();
                    sqlx::query(SQL).bind(keys).bind(docs).execute(&pool).await.unwrap();
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await.unwrap();
    }
    (to - from) as f64 / start.elapsed().as_secs_f64()
}
