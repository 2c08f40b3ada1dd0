//! The load programs: five reads asked of Wellspring, of a handler written by hand and of PostGraphile, all over the
//! same PostgreSQL and the same data, and of SQLite beside its library. Tells CPU for each request of server and of
//! database, throughput and p99, side by side in one run. Ratios are what counts; absolute times belong to the machine.
//!
//! `cargo bench --bench load -- [postgres] [embedded] [growth] [export] [--quick] [--rows N] [--without-postgraphile]
//! [--only NAME]`, where the name is of a read, or, of growth, of the database.
//!
//! PostgreSQL must be installed; PostGraphile comes from npm (with a Node of its own) into `target/load`. Nothing is
//! asserted but that all give the same rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a bench ends with its figures or with the reason why not"
)]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "a bench that shares files with the figures")]

mod client;
mod data;
mod export;
mod growth;
mod handler;
mod library;
mod measure;
mod peers;
mod postgraphile;
#[path = "../../benches/figures/process.rs"]
mod process;
mod same;
#[path = "../it/support/servers.rs"]
mod servers;
mod size;
mod tables;
mod wellspring;
mod workloads;

use process::{Mode, Services};

/// What the command line says.
pub struct Plan {
    pub quick: bool,
    pub rows: u64,
    /// The number of rows that was said.
    pub given: Option<u64>,
    pub postgraphile: bool,
    pub only: Vec<String>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [first, kind, url] = args.as_slice()
        && first == "serve-handler"
    {
        return runtime().block_on(handler::serve(kind, url));
    }
    // What is said behind these is a value of theirs, however it reads.
    let valued = |at: usize| at > 0 && ["--rows", "--only"].contains(&args[at - 1].as_str());
    let has = |name: &str| args.iter().enumerate().any(|(at, arg)| arg == name && !valued(at));
    let quick = has("--quick");
    let after =
        |name: &str| args.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect();
    let rows: Vec<String> = after("--rows");
    let given = rows.first().map(|text| text.parse().unwrap());
    let rows = given.unwrap_or(if quick { 5_000 } else { 100_000 });
    let plan =
        Plan { quick, rows, given, postgraphile: !has("--without-postgraphile"), only: after("--only") };
    let all = !["postgres", "embedded", "growth", "export"].iter().any(|name| has(name));
    if all || has("postgres") {
        runtime().block_on(side_by_side(Mode::Postgres, &plan));
    }
    if all || has("embedded") {
        runtime().block_on(side_by_side(Mode::Embedded, &plan));
    }
    if has("export") {
        runtime().block_on(export::figures(&plan));
    }
    if has("growth") {
        let wanted = |mode: &Mode| {
            plan.only.is_empty()
                || plan.only.iter().any(|only| format!("{mode:?}").eq_ignore_ascii_case(only))
        };
        for mode in [Mode::Postgres, Mode::Embedded].into_iter().filter(wanted) {
            runtime().block_on(growth::figures(mode, &plan));
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn side_by_side(mode: Mode, plan: &Plan) {
    println!(
        "\n## {mode:?}: {} orders, {} customers, {} bytes an order",
        plan.rows,
        data::customers(plan.rows),
        { (0..1_000).map(|n| data::order(n, plan.rows).text.len()).sum::<usize>() / 1_000 }
    );
    let services = Services::start_roomy(mode);
    let wellspring = wellspring::Wellspring::start(&services, plan.rows).await;
    size::print(&services, plan.rows).await;
    wellspring.index(&services, wellspring::BY_HAND).await;
    tables::fill(&services, plan.rows).await;
    let mut peers = vec![wellspring.peer()];
    let handler = handler::Handler::start(&services);
    peers.push(handler.peer());
    let node = match services.postgres_url() {
        Some(url) if plan.postgraphile => Some(postgraphile::PostGraphile::start(&url)),
        _ => None,
    };
    peers.extend(node.as_ref().map(postgraphile::PostGraphile::peer));
    same::compare(&peers, plan.rows);
    measure::until_idle(&services, &peers);
    let mut table = measure::rounds(&services, &peers, plan);
    if mode == Mode::Embedded {
        library::measure(&services, &mut table, plan.rows, plan.quick);
    }
    table.print();
}
