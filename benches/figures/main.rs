//! The figures: time to the first typed row, start, memory, sourcing rates and CPU per request, each beside a bare
//! baseline in the same run. Ratios are what counts; absolute times belong to the machine. Nothing is asserted.
//!
//! `cargo bench --bench figures -- [embedded] [postgres] [scaled] [--quick] [--collections N]… [--policies]`
//!
//! With `--collections` it is about many collections instead, with `--policies` about policies and contracts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a bench ends with its figures or with the reason why not"
)]
#![allow(missing_docs, unreachable_pub, reason = "a bench")]

mod bare;
mod load;
mod orders;
mod policies;
mod process;
mod schemas;
#[path = "../../tests/it/support/servers.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod servers;

use process::{Mode, Server};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if args.first().is_some_and(|a| a == "serve-bare") {
        return runtime().block_on(bare::serve(&args[1], &args[2]));
    }
    let quick = args.iter().any(|a| a == "--quick");
    let named: Vec<Mode> = args.iter().filter_map(|a| Mode::parse(a)).collect();
    let modes = if named.is_empty() { vec![Mode::Embedded, Mode::Postgres, Mode::Scaled] } else { named };
    let numbers =
        args.windows(2).filter(|pair| pair[0] == "--collections").map(|pair| pair[1].parse().unwrap());
    let numbers: Vec<usize> = numbers.collect();
    for mode in modes {
        for count in &numbers {
            runtime().block_on(schemas::figures(mode, *count, quick));
        }
        if args.iter().any(|arg| arg == "--policies") {
            runtime().block_on(policies::figures(mode, quick));
            continue;
        }
        if !numbers.is_empty() {
            continue;
        }
        runtime().block_on(figures(mode, quick));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn figures(mode: Mode, quick: bool) {
    println!("\n## {mode:?}");
    let services = process::Services::start(mode);
    starts(&services, if quick { 3 } else { 15 }).await;
    let server = Server::start(&services).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    println!("resident memory idle: {:.1} MB", server.rss_mb());
    load::first_typed_row(&server, if quick { 10 } else { 50 }).await;
    let rows = if quick { 5_000 } else { 100_000 };
    load::sourcing(&server, &services, rows).await;
    println!("resident memory after: {:.1} MB", server.rss_mb());
    let requests = if quick { 200 } else { 2_000 };
    let bare = bare::Bare::start(&services, rows).await;
    println!("without an index on the source's fields:");
    load::reads(&server, &services, &bare, requests).await;
    services.index_by_hand("bulkOrder").await;
    println!("with the index that the bare table has, made by hand:");
    load::reads(&server, &services, &bare, requests).await;
    println!("resident memory at the end: {:.1} MB", server.rss_mb());
}

/// From `exec` to the line `listening on`, on a data directory that exists.
async fn starts(services: &process::Services, tries: usize) {
    drop(Server::start(services).await);
    let mut times = Vec::new();
    for _ in 0..tries {
        times.push(Server::start(services).await.started_ms);
    }
    println!("start to `listening`: {}", process::spread(&mut times, "ms"));
}
