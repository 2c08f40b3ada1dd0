//! Exports beside `COPY`: all orders that a clerk may see, its policy on, as NDJSON and CSV over HTTP, and the same
//! columns of the same rows out of PostgreSQL as text and as CSV, in turns. Tells rows and bytes a second of each, and
//! how much memory the server takes while an export runs.

use std::time::Instant;

use futures_util::{Stream, StreamExt};
use sqlx::postgres::PgPoolCopyExt;

use crate::{
    Plan, data,
    measure::quantile,
    process::{Mode, Services},
    wellspring::{Found, Wellspring},
};

/// One way out, and what came of it in each round.
struct Way {
    name: &'static str,
    rows: u64,
    rows_per_s: Vec<f64>,
    mb: f64,
    /// The most resident memory in each quarter of the rows, in MB; of the server's ways only.
    peaks: [f64; 4],
}

impl Way {
    fn new(name: &'static str) -> Way {
        Way { name, rows: 0, rows_per_s: Vec::new(), mb: 0.0, peaks: [0.0; 4] }
    }

    /// Reads all of it, a row a line, less the lines of names.
    async fn read<E: std::fmt::Debug>(
        &mut self,
        bytes: impl Stream<Item = Result<bytes::Bytes, E>>,
        (rows, names): (u64, u64),
        memory_mb: impl Fn() -> Option<f64>,
    ) {
        let (from, mut lines, mut length) = (Instant::now(), 0_u64, 0);
        let mut bytes = std::pin::pin!(bytes);
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.unwrap();
            lines += memchr::memchr_iter(b'\n', &chunk).count() as u64;
            length += chunk.len();
            let quarter = (lines * 4 / (rows + names)).min(3) as usize;
            if let Some(mb) = memory_mb() {
                self.peaks[quarter] = self.peaks[quarter].max(mb);
            }
        }
        assert_eq!(lines, rows + names, "{}", self.name);
        self.rows_per_s.push(rows as f64 / from.elapsed().as_secs_f64());
        self.mb = length as f64 / 1e6;
        self.rows = rows;
    }
}

pub async fn figures(plan: &Plan) {
    let orders = plan.given.unwrap_or(if plan.quick { 5_000 } else { 1_000_000 });
    println!("\n## Export: {orders} orders");
    let services = Services::start_roomy(Mode::Postgres);
    let wellspring = Wellspring::start(&services, orders).await;
    let pool = sqlx::PgPool::connect(&services.postgres_url().unwrap()).await.unwrap();
    for statement in ["vacuum analyze", "checkpoint"] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let select = select(&services).await;
    let rows = (0..orders).filter(|n| data::is_seen(*n)).count() as u64;
    println!("{rows} orders seen; resident memory before: {:.1} MB", wellspring.server.rss_mb());
    let [mut ndjson, mut csv] = ["export, NDJSON", "export, CSV"].map(Way::new);
    let [mut copy_text, mut copy_csv] = ["COPY, text", "COPY, CSV"].map(Way::new);
    for _ in 0..if plan.quick { 1 } else { 3 } {
        for (way, format, names) in [(&mut ndjson, "ndjson", 0), (&mut csv, "csv", 1)] {
            let url = format!("{}/data/shopOrder.{format}", wellspring.server.url);
            let answer =
                wellspring.server.client.get(url).bearer_auth(&wellspring.clerk).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            way.read(answer.bytes_stream(), (rows, names), || Some(wellspring.server.rss_mb())).await;
        }
        for (way, format) in [(&mut copy_text, "text"), (&mut copy_csv, "csv")] {
            let copy = format!("copy ({select}) to stdout (format {format})");
            way.read(pool.copy_out_raw(&copy).await.unwrap(), (rows, 0), || None).await;
        }
    }
    print(&mut [copy_text, copy_csv, ndjson, csv]);
}

/// What is exported, as SQL: every column of a field, of the rows of one market.
async fn select(services: &Services) -> String {
    let found = Found::of(services, "shopOrder").await;
    let is_field = |column: &&String| column.strip_prefix('f').is_some_and(|id| id.parse::<u32>().is_ok());
    let columns: Vec<&str> = found.columns.iter().filter(is_field).map(String::as_str).collect();
    let (table, market) = (&found.table, found.column("market"));
    format!("select {} from {table} where {market} = '{}'", columns.join(", "), data::MARKET)
}

fn print(ways: &mut [Way]) {
    println!(
        "\n{:<16} {:>10} {:>8} {:>8} {:>10}   resident MB at 25, 50, 75, 100 %",
        "", "rows/s", "MB/s", "MB", "of COPY"
    );
    let mut copy = 0.0;
    for way in ways {
        let rows_per_s = quantile(&mut way.rows_per_s, 0.5);
        copy = if copy == 0.0 { rows_per_s } else { copy };
        let mb_per_s = way.mb * rows_per_s / way.rows as f64;
        let peaks = way.peaks.iter().filter(|peak| **peak > 0.0).map(|peak| format!("{peak:8.1}"));
        println!(
            "{:<16} {rows_per_s:>10.0} {mb_per_s:>8.1} {:>8.1} {:>10.2}   {}",
            way.name,
            way.mb,
            rows_per_s / copy,
            peaks.collect::<String>()
        );
    }
}
