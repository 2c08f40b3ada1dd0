//! What is measured: requests one by one for CPU and time, then many connections at once for throughput and p99.
//! Peers are asked in turns, so that whatever else the machine does is shared; medians of the rounds are told.

use std::time::{Duration, Instant};

use crate::{
    Plan,
    peers::Peer,
    process::{Services, cpu_ms},
    workloads::{ALL, Workload},
};

/// How many connections ask at once for throughput.
const CONNECTIONS: u64 = 16;

/// Of one peer, one workload and one round. Times in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub server_us: f64,
    pub database_us: f64,
    pub p50_us: f64,
    pub per_s: f64,
    pub p99_us: f64,
    pub bytes: f64,
}

/// Figures by workload and peer: medians of the rounds.
#[derive(Default)]
pub struct Table {
    pub lines: Vec<(Workload, String, Figures)>,
}

pub fn rounds(services: &Services, peers: &[Peer], plan: &Plan) -> Table {
    let mut table = Table::default();
    for workload in ALL {
        if !plan.only.is_empty() && !plan.only.iter().any(|only| workload.name().starts_with(only.as_str())) {
            continue;
        }
        let mut found: Vec<Vec<Figures>> = vec![Vec::new(); peers.len()];
        for round in 0..if plan.quick { 1 } else { 5 } {
            for (peer, found) in peers.iter().zip(&mut found) {
                found.push(one(services, peer, workload, plan, round));
            }
        }
        for (peer, found) in peers.iter().zip(found) {
            table.lines.push((workload, peer.name.to_owned(), median(&found)));
        }
    }
    table
}

fn one(services: &Services, peer: &Peer, workload: Workload, plan: &Plan, round: u64) -> Figures {
    let mut figures = Figures::default();
    let count = workload.count(plan.quick);
    let mut connection = peer.connect();
    let requests = |from: u64, count: usize| -> Vec<Vec<u8>> {
        (from..from + count as u64).map(|n| peer.request(workload, n, plan.rows)).collect()
    };
    let from = round * 1_000_000;
    requests(from, count / 10 + 10).iter().for_each(|request| connection.ask(request));
    let requests = requests(from, count);
    let (server, database) = (cpu_ms(peer.pid), services.database_cpu_ms());
    let mut times = Vec::with_capacity(count);
    for request in &requests {
        let from = Instant::now();
        connection.ask(request);
        times.push(from.elapsed().as_secs_f64() * 1e6);
        figures.bytes += connection.body.len() as f64 / count as f64;
    }
    let per = |ms: f64| ms * 1e3 / count as f64;
    figures.server_us = per(cpu_ms(peer.pid) - server);
    figures.database_us = per(services.database_cpu_ms() - database);
    figures.p50_us = quantile(&mut times, 0.5);
    drop(connection);
    let seconds = if plan.quick { 0.3 } else { 2.0 };
    let (mut times, took) = at_once(peer, &requests, Duration::from_secs_f64(seconds));
    figures.per_s = times.len() as f64 / took;
    figures.p99_us = quantile(&mut times, 0.99);
    figures
}

/// A closed loop: each connection asks again when it has its answer.
fn at_once(peer: &Peer, requests: &[Vec<u8>], time: Duration) -> (Vec<f64>, f64) {
    let begun = Instant::now();
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS as usize)
            .map(|place| {
                scope.spawn(move || {
                    let (mut connection, mut times) = (peer.connect(), Vec::new());
                    for request in requests.iter().cycle().skip(place * 7 % requests.len()) {
                        let from = Instant::now();
                        if from - begun > time {
                            break;
                        }
                        connection.ask(request);
                        times.push(from.elapsed().as_secs_f64() * 1e6);
                    }
                    times
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (times, begun.elapsed().as_secs_f64())
}

pub fn quantile(values: &mut [f64], at: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * at).round() as usize]
}

fn median(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| quantile(&mut rounds.iter().map(figure).collect::<Vec<_>>(), 0.5);
    Figures {
        server_us: of(|f| f.server_us),
        database_us: of(|f| f.database_us),
        p50_us: of(|f| f.p50_us),
        per_s: of(|f| f.per_s),
        p99_us: of(|f| f.p99_us),
        bytes: of(|f| f.bytes),
    }
}

/// Waits until what was set up is done with: databases work on for a while.
pub fn until_idle(services: &Services, peers: &[Peer]) {
    let cpu = || services.database_cpu_ms() + peers.iter().map(|peer| cpu_ms(peer.pid)).sum::<f64>();
    let begun = Instant::now();
    loop {
        let from = cpu();
        std::thread::sleep(Duration::from_secs(1));
        let ms = cpu() - from;
        if ms < 40.0 || begun.elapsed().as_secs() > 60 {
            println!("idle: {ms:.0} ms of CPU a second, all together");
            return;
        }
    }
}

impl Table {
    /// Ratios are those of the peer to Wellspring, the first line of each workload: above 1 Wellspring is better.
    pub fn print(&self) {
        println!(
            "\n{:<28} {:<16} {:>9} {:>9} {:>9} {:>6} {:>9} {:>9} {:>9} {:>8}",
            "", "", "server µs", "db µs", "both µs", "ratio", "p50 µs", "req/s", "p99 µs", "bytes"
        );
        let mut ours = Figures::default();
        for (workload, peer, figures) in &self.lines {
            let both = |figures: &Figures| figures.server_us + figures.database_us;
            let first = peer == "Wellspring";
            if first {
                ours = *figures;
            }
            let ratio = if first { "1".to_owned() } else { format!("{:.2}", both(figures) / both(&ours)) };
            println!(
                "{:<28} {:<16} {:>9.0} {:>9.0} {:>9.0} {:>6} {:>9.0} {:>9.0} {:>9.0} {:>8.0}",
                if first { workload.name() } else { "" },
                peer,
                figures.server_us,
                figures.database_us,
                both(figures),
                ratio,
                figures.p50_us,
                figures.per_s,
                figures.p99_us,
                figures.bytes
            );
        }
    }
}
