//! Whether reads stay as quick while a collection grows: p99 of a lookup, of a filtered list, and of the thousandth
//! page of a walk by cursors, from ten thousand rows to ten million in one database.
//!
//! The first rows come through the server's own door; the others are copied from them inside the database, each under
//! a number of its own, since only reads are asked about here.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Plan, data,
    measure::{quantile, until_idle},
    peers::Peer,
    process::{Mode, Services},
    wellspring::{BY_HAND, Found, Index, Wellspring, sqlite},
    workloads::Workload,
};

/// How many rows are sourced.
const SOURCED: u64 = 10_000;
/// How many rows there are at the end, when nothing else is said.
const MOST: u64 = 10_000_000;
/// More than there are positions of what is sourced.
const POSITIONS: u64 = 100 * SOURCED;
/// Which page of the walk is measured.
const PAGE: usize = 1_000;
/// How many rows its pages have: the smallest collection must have as many pages.
const PAGE_ROWS: usize = 8;

/// What the walk goes by.
const WALKED: &[Index] = &[("shopOrder", &["market", "placedAt"], " desc")];

pub async fn figures(mode: Mode, plan: &Plan) {
    let most = plan.given.unwrap_or(if plan.quick { 10 * SOURCED } else { MOST });
    let services = Services::start_roomy(mode);
    let wellspring = Wellspring::start(&services, SOURCED).await;
    let found = Found::of(&services, "shopOrder").await;
    let indexes = [BY_HAND, WALKED].concat();
    let (mut rows, mut lines) = (SOURCED, Vec::new());
    loop {
        wellspring.index(&services, &indexes).await;
        let peer = wellspring.peer();
        until_idle(&services, std::slice::from_ref(&peer));
        let count = if plan.quick { 200 } else { 3_000 };
        let page = page(&peer, rows);
        let figures = [
            p99(&peer, count, |n| peer.request(Workload::Lookup, n, rows)),
            p99(&peer, count, |n| peer.request(Workload::List, n, rows)),
            p99(&peer, count, |_| page.clone()),
        ];
        lines.push((rows, figures));
        if rows * 10 > most {
            break;
        }
        wellspring.unindex(&services, &indexes).await;
        grow(&found, &services, rows / SOURCED).await;
        rows *= 10;
    }
    println!(
        "\n{mode:?}: p50 and p99 in µs\n{:>10} {:>16} {:>16} {:>16}",
        "orders", "lookup", "list of 50", "page 1,000"
    );
    for (rows, [lookup, list, page]) in lines {
        println!("{rows:>10} {:>16} {:>16} {:>16}", told(lookup), told(list), told(page));
    }
}

/// Makes ten times as many rows, where there are `times` as many as were sourced. A copy has a number, a customer and
/// microseconds of its own.
async fn grow(found: &Found, services: &Services, times: u64) {
    let from = Instant::now();
    let number = |text: &str| format!("cast(substr({text}, 3) as bigint)");
    let of = |key: &str| found.column(key);
    let (order, customer, placed) = (of("orderNo"), of("customerNo"), of("placedAt"));
    let postgres = services.postgres.is_some();
    let padded = |number: &str, width: usize| match postgres {
        true => format!("lpad(cast({number} as text), {width}, '0')"),
        false => format!("printf('%0{width}d', {number})"),
    };
    let named = format!("'O-' || {}", padded(&format!("{} + n * {SOURCED}", number(&order)), 8));
    let bought = format!(
        "'C-' || {}",
        padded(&format!("{} + n * {}", number(&customer), data::customers(SOURCED)), 7)
    );
    let micros = format!("(cast(substr({placed}, 21, 6) as bigint) + n * 7919) % 1000000");
    let placed_at = format!("substr({placed}, 1, 20) || {} || 'Z'", padded(&micros, 6));
    let given = found.columns.iter().map(|column| match column.as_str() {
        "key" => "key || '-' || n".to_owned(),
        "pos" => format!("pos + n * {POSITIONS}"),
        "source_uid" => named.clone(),
        name if name == order => named.clone(),
        name if name == customer => bought.clone(),
        name if name == placed => placed_at.clone(),
        name => name.to_owned(),
    });
    let (table, columns) = (&found.table, found.columns.join(", "));
    let (given, most) = (given.collect::<Vec<_>>().join(", "), 10 * times - 1);
    let copies = |numbers: &str| {
        let last = found.last;
        format!(
            "insert into {table} ({columns}) select {given} from {table} cross join {numbers} where row_id <= {last}"
        )
    };
    let copied = match services.postgres_url() {
        Some(url) => {
            let pool = sqlx::PgPool::connect(&url).await.unwrap();
            let sql = copies(&format!("generate_series({times}, {most}) n"));
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap().rows_affected()
        }
        None => {
            let numbers = format!(
                "(with recursive s(n) as (values({times}) union all select n + 1 from s where n < {most}) \
                 select n from s)"
            );
            sqlite(services).execute(&copies(&numbers), []).unwrap() as u64
        }
    };
    assert_eq!(copied, (most - times + 1) * SOURCED);
    println!("{} orders: copied in {:.0} s", 10 * times * SOURCED, from.elapsed().as_secs_f64());
}

fn told((p50, p99): (f64, f64)) -> String {
    format!("{p50:.0} / {p99:.0}")
}

fn p99(peer: &Peer, count: u64, request: impl Fn(u64) -> Vec<u8>) -> (f64, f64) {
    let mut connection = peer.connect();
    (0..200).for_each(|n| connection.ask(&request(n)));
    let mut times: Vec<f64> = (0..count)
        .map(|n| {
            let request = request(n);
            let from = Instant::now();
            connection.ask(&request);
            from.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    (quantile(&mut times, 0.5), quantile(&mut times, 0.99))
}

/// The request for the thousandth page, by the cursor of the one before it.
fn page(peer: &Peer, rows: u64) -> Vec<u8> {
    let mut connection = peer.connect();
    let request = |after: &Value| {
        let query = "query($after: String, $first: Int!) { shopOrder(orderBy: [{placedAt: DESC}], \
             first: $first, after: $after) { nodes { orderNo status total } pageInfo { endCursor } } }";
        let body = json!({"query": query, "variables": {"after": after, "first": PAGE_ROWS}}).to_string();
        let (token, length) = (&peer.token, body.len());
        format!(
            "POST /graphql HTTP/1.1\r\nhost: load\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    let (mut after, mut seen) = (Value::Null, std::collections::HashSet::new());
    for _ in 1..PAGE {
        connection.ask(&request(&after));
        let answer: Value = serde_json::from_slice(&connection.body).unwrap();
        let found = &answer["data"]["shopOrder"];
        for node in found["nodes"].as_array().unwrap() {
            assert!(seen.insert(node["orderNo"].as_str().unwrap().to_owned()), "a row comes twice");
        }
        after = found["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(
        seen.len(),
        (PAGE - 1) * PAGE_ROWS,
        "of {rows} orders, those of {}, some are missing",
        data::MARKET
    );
    request(&after)
}
