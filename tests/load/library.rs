//! SQLite's library alone, in this process, with the statements of the handler: every cell is looked at, nothing is
//! written. What no server can be below.

use std::time::Instant;

use crate::{
    data,
    handler::sqlite,
    measure::{Figures, Table, quantile},
    process::Services,
    tables,
    workloads::ALL,
};

/// Adds a line behind those of each workload.
pub fn measure(services: &Services, table: &mut Table, rows: u64, quick: bool) {
    let connection = rusqlite::Connection::open(tables::path(services)).unwrap();
    for workload in ALL {
        let Some(place) = table.lines.iter().rposition(|(of, ..)| *of == workload) else { continue };
        let count = workload.count(quick) as u64;
        let mut seen = 0;
        for n in 0..count / 10 + 10 {
            seen += sqlite::looked_at(&connection, workload, n, rows);
        }
        let (cpu, mut times) = (thread_cpu_ms(), Vec::new());
        for n in 0..count {
            let from = Instant::now();
            seen += sqlite::looked_at(&connection, workload, n, rows);
            times.push(from.elapsed().as_secs_f64() * 1e6);
        }
        let server_us = (thread_cpu_ms() - cpu) * 1e3 / count as f64;
        assert!(seen > 0, "{workload:?} finds nothing for {}", data::MARKET);
        let p50_us = quantile(&mut times, 0.5);
        table.lines.insert(
            place + 1,
            (workload, "library alone".into(), Figures { server_us, p50_us, ..Figures::default() }),
        );
    }
}

fn thread_cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e6
}
