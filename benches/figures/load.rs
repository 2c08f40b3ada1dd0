//! What is measured against a running server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    bare, orders,
    process::{Mode, Server, Services, cpu_ms, spread},
};

/// From the first byte of the first record of a never-seen source to the last byte of its first typed row.
pub async fn first_typed_row(server: &Server, tries: usize) {
    let mut times = Vec::new();
    for n in 0..tries {
        let (category, field) = (format!("fresh{n}"), format!("fresh{n}Reading"));
        let body = format!(
            r#"{{"sensor":"s-{n}","at":"2026-11-22T10:00:00Z","value":{n}.5,"site":{{"city":"Lisboa"}}}}"#
        );
        let query = format!("{{ {field}(first: 1) {{ nodes {{ sensor at value site {{ city }} }} }} }}");
        let from = Instant::now();
        let answer = server.client.post(format!("{}/source/{category}/reading/bench/1", server.url));
        let answer =
            answer.bearer_auth(&server.token).header("content-type", "application/json").body(body).send();
        assert_eq!(answer.await.unwrap().status(), 202);
        loop {
            let answer = server.graphql(&query).await;
            if answer["data"][&field]["nodes"][0]["value"].is_number() {
                break;
            }
            assert!(from.elapsed().as_secs() < 30, "no typed row: {answer}");
        }
        times.push(from.elapsed().as_secs_f64() * 1e3);
    }
    println!("first record of an unknown source to first typed row: {}", spread(&mut times, "ms"));
}

/// Records per second: one by one over 64 connections, then in batches of 1000 over 4, beside the bare rates.
pub async fn sourcing(server: &Server, services: &Services, rows: u64) {
    let single = (rows / 5).max(1_000);
    let (per_s, mut latency) = singles(server, single).await;
    println!("sourced one by one, 64 connections: {per_s:.0} records/s; {}", spread(&mut latency, "ms"));
    let per_s = batches(server, rows).await;
    println!("sourced in batches of 1000, 4 connections: {per_s:.0} records/s");
    let from = Instant::now();
    let done = settled(server, rows).await;
    println!("provisioned {done} rows, {:.1} s after the last was accepted", from.elapsed().as_secs_f64());
    match services.mode {
        Mode::Embedded => println!("{}", bare::sqlite_rates(single, rows)),
        _ => println!("{}", bare::postgres_rates(&services.postgres_url().unwrap(), single, rows).await),
    }
}

async fn singles(server: &Server, count: u64) -> (f64, Vec<f64>) {
    let next = Arc::new(AtomicU64::new(0));
    let from = Instant::now();
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let (client, url, token, next) =
                (server.client.clone(), server.url.clone(), server.token.clone(), next.clone());
            tokio::spawn(async move {
                let mut latency = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return latency;
                    }
                    let from = Instant::now();
                    let answer =
                        client.post(format!("{url}/source/single/order/bench/{n}")).bearer_auth(&token);
                    let answer =
                        answer.header("content-type", "application/json").body(orders::order(n).text);
                    let answer = answer.send().await.unwrap();
                    assert_eq!(answer.status(), 202, "{}", answer.text().await.unwrap());
                    let _ = answer.bytes().await;
                    latency.push(from.elapsed().as_secs_f64() * 1e3);
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    (count as f64 / from.elapsed().as_secs_f64(), all)
}

pub async fn batches(server: &Server, rows: u64) -> f64 {
    let from = Instant::now();
    server.source("bulk/order/bench?key=/orderNo", rows, |n| orders::order(n).text).await;
    rows as f64 / from.elapsed().as_secs_f64()
}

pub async fn settled(server: &Server, rows: u64) -> u64 {
    let from = Instant::now();
    loop {
        let answer = server.graphql("{ bulkOrder(first: 1) { totalCount } }").await;
        let count = answer["data"]["bulkOrder"]["totalCount"].as_u64().unwrap_or(0);
        if count >= rows || from.elapsed().as_secs() > 300 {
            return count;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// CPU per request of server and database, beside a bare handler that runs the ideal SQL on the same data.
pub async fn reads(server: &Server, services: &Services, bare: &bare::Bare, requests: usize) {
    let fields = "orderNo status channel currency total quantity placedAt priority note customer { name }";
    let list = |first: u32| {
        format!(
            r#"{{ bulkOrder(where: {{status: {{eq: "paid"}}, placedAt: {{lt: "2026-10-01T00:00:00Z"}}}},
                  orderBy: [{{placedAt: DESC}}], first: {first}) {{ nodes {{ {fields} }} }} }}"#
        )
    };
    let lookup = concat!(
        r#"{ bulkOrderByKey(sourceName: "bench", sourceUid: "O-00000042")"#,
        "{ orderNo status total placedAt quantity } }"
    );
    for (name, query, path, divisor) in [
        ("lookup", lookup.to_owned(), "/lookup", 1),
        ("list of 50", list(50), "/list/50", 4),
        ("list of 1000", list(1_000), "/list/1000", 20),
    ] {
        let count = (requests / divisor).max(20);
        let mine =
            Cost::measure(services, || server.cpu_ms(), count, || async { post(server, &query).await }).await;
        let base =
            Cost::measure(services, || cpu_ms(bare.pid()), count, || async { bare.get(path).await }).await;
        println!(
            "{name}: {mine}; bare handler: {base}; ratio of server+database CPU {:.2}, of time p50 {:.2}",
            mine.cpu() / base.cpu(),
            mine.p50 / base.p50
        );
    }
}

async fn post(server: &Server, query: &str) -> usize {
    let answer = server.client.post(format!("{}/graphql", server.url)).bearer_auth(&server.token);
    let answer = answer.json(&serde_json::json!({ "query": query })).send().await.unwrap();
    let bytes = answer.bytes().await.unwrap();
    assert!(!bytes.starts_with(br#"{"errors"#), "{}", String::from_utf8_lossy(&bytes));
    bytes.len()
}

pub struct Cost {
    pub server_us: f64,
    pub database_us: f64,
    pub p50: f64,
    bytes: usize,
}

impl Cost {
    pub fn cpu(&self) -> f64 {
        self.server_us + self.database_us
    }

    pub fn mean(all: &[Cost]) -> Cost {
        let mean = |of: fn(&Cost) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        Cost {
            server_us: mean(|cost| cost.server_us),
            database_us: mean(|cost| cost.database_us),
            p50: mean(|cost| cost.p50),
            bytes: all[0].bytes,
        }
    }

    pub async fn measure<F: Future<Output = usize>>(
        services: &Services,
        cpu: impl Fn() -> f64,
        count: usize,
        request: impl Fn() -> F,
    ) -> Cost {
        for _ in 0..count / 10 + 5 {
            request().await;
        }
        let (server, database) = (cpu(), services.database_cpu_ms());
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..count {
            let from = Instant::now();
            bytes = request().await;
            times.push(from.elapsed().as_secs_f64() * 1e6);
        }
        times.sort_by(f64::total_cmp);
        let per = |ms: f64| ms * 1e3 / count as f64;
        Cost {
            server_us: per(cpu() - server),
            database_us: per(services.database_cpu_ms() - database),
            p50: times[times.len() / 2],
            bytes,
        }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "CPU {:.0} µs server + {:.0} µs database, p50 {:.0} µs, {} bytes",
            self.server_us, self.database_us, self.p50, self.bytes
        )
    }
}
