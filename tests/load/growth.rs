//! Whether reads stay as quick while a collection grows: p99 of a lookup, of a filtered list, and of the thousandth
//! page of a walk by cursors, from ten thousand rows on, each size in a database of its own.

use std::time::Instant;

use serde_json::{Value, json};

use crate::{
    Plan, data,
    measure::{quantile, until_idle},
    peers::Peer,
    process::{Mode, Services},
    size,
    wellspring::{BY_HAND, Index, Wellspring},
    workloads::Workload,
};

/// Which page of the walk is measured.
const PAGE: usize = 1_000;
/// How many rows its pages have: the smallest collection must have as many pages.
const PAGE_ROWS: usize = 8;

/// What the walk goes by.
const WALKED: &[Index] = &[("shopOrder", &["market", "placedAt"], " desc")];

pub async fn figures(mode: Mode, plan: &Plan) {
    let mut rows = 10_000;
    let most = if plan.quick { 10_000 } else { plan.rows.max(1_000_000) };
    let mut lines = Vec::new();
    while rows <= most {
        println!("\n## {mode:?}, growth: {rows} orders");
        let services = Services::start_roomy(mode);
        let wellspring = Wellspring::start(&services, rows).await;
        size::print(&services, rows).await;
        wellspring.index(&services, &[BY_HAND, WALKED].concat()).await;
        let peer = wellspring.peer();
        until_idle(&services, std::slice::from_ref(&peer));
        let count = if plan.quick { 200 } else { 3_000 };
        let page = page(&peer, rows);
        lines.push((
            rows,
            [
                p99(&peer, count, |n| peer.request(Workload::Lookup, n, rows)),
                p99(&peer, count, |n| peer.request(Workload::List, n, rows)),
                p99(&peer, count, |_| page.clone()),
            ],
        ));
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
