//! Random schedules: sources, relays, workers, restarts, failing plugins and a misbehaving stream in any order; then
//! everything heals, and nothing may be missing, doubled or out of order. A failing seed is printed and can be run
//! alone.

use std::sync::Arc;

use super::fake::{Dice, Fake};
use super::{Bench, Moody, drain, relay};
use crate::plugin::Plugin;
use crate::stream::Stream;

/// Schedules of one run: enough that each kind of fault lands between every two steps.
const SCHEDULES: u64 = 1_000;
/// Where each statement is a round trip.
const SCHEDULES_FAR: u64 = 25;
const PARTITIONS: u32 = 2;

async fn schedules(bench: &Bench, count: u64) {
    for seed in 1..=count {
        schedule(bench, seed).await;
    }
    let records = bench.count("select count(*) from record").await;
    assert!(records > i64::try_from(count * 4).unwrap(), "the schedules were not idle: {records}");
}

#[tokio::test]
async fn no_schedule_loses_doubles_or_reorders_anything() {
    schedules(&Bench::new(PARTITIONS).await, SCHEDULES).await;
}

#[tokio::test]
async fn no_schedule_does_on_postgres_either() {
    if let Some(bench) = Bench::postgres(PARTITIONS).await {
        schedules(&bench, SCHEDULES_FAR).await;
    }
}

async fn schedule(bench: &Bench, seed: u64) {
    let mut dice = Dice::new(seed);
    let fake = Arc::new(Fake::new(seed, 20));
    let stream: Arc<dyn Stream> = Arc::clone(&fake) as _;
    let moody = [Moody::new("one"), Moody::new("two")];
    let plugins: Vec<Arc<dyn Plugin>> = moody.iter().map(|p| Arc::clone(p) as _).collect();
    let mut nodes = vec![bench.node(&plugins, Some(Arc::clone(&stream))).await];
    for _ in 0..dice.below(24) + 6 {
        let at = usize::try_from(dice.below(nodes.len() as u64)).unwrap();
        match dice.below(12) {
            0..=2 => {
                for _ in 0..=dice.below(3) {
                    bench.source(&format!("{seed}.{}", dice.below(4))).await;
                }
            }
            3..=5 => drop(nodes[at].relay_step().await.unwrap()),
            6..=8 => drop(nodes[at].worker_step().await.unwrap()),
            // A node starts anew and takes over; the old one does not know and goes on.
            9 => nodes.push(bench.node(&plugins, Some(Arc::clone(&stream))).await),
            10 => bench.advance(i64::try_from(dice.below(3_000_000)).unwrap()),
            _ => {
                let uid = format!("{seed}.{}", dice.below(4));
                let plugin = &moody[usize::try_from(dice.below(2)).unwrap()];
                let mood = if dice.below(2) == 0 { &plugin.refuses } else { &plugin.stumbles };
                if !mood.lock().unwrap().insert(uid.clone()) {
                    mood.lock().unwrap().remove(&uid);
                }
            }
        }
    }
    bench.assert_order(&format!("{seed}."), "in the middle").await;
    heal(bench, seed, &fake, &moody, &plugins).await;
}

/// Everything is put right; then the oracle: accepted = settled once by each plugin, in order.
async fn heal(bench: &Bench, seed: u64, fake: &Arc<Fake>, moody: &[Arc<Moody>], plugins: &[Arc<dyn Plugin>]) {
    fake.set_faults(0);
    let node = bench.node(plugins, Some(Arc::clone(fake) as _)).await;
    relay(&node).await;
    bench.advance(10_000_000);
    relay(&node).await;
    for row in bench.store.db.query("select p, pseq, settled from partition", &[]).await.unwrap() {
        let (p, claimed, settled) = (row.i64(0).unwrap(), row.i64(1).unwrap(), row.i64(2).unwrap());
        let held = fake.held(u32::try_from(p).unwrap(), settled);
        let unsettled: Vec<i64> = (settled + 1..=claimed).collect();
        assert_eq!(held, unsettled, "seed {seed}: the stream has every unsettled entry again");
    }
    drain(&node).await;
    for plugin in moody {
        plugin.calm();
    }
    for row in bench.store.db.query("select id from dead_letter where state = 'parked'", &[]).await.unwrap() {
        bench.store.redrive(row.i64(0).unwrap(), "test", 0).await.unwrap();
    }
    bench.advance(120_000_000);
    drain(&node).await;
    bench.assert_order(&format!("{seed}."), "in the end").await;
    let left =
        "select (select count(*) from partition where settled < pseq) + (select count(*) from dead_letter)";
    let left = bench.count(left).await;
    assert_eq!(left, 0, "seed {seed}: nothing waits");
    let of_seed = format!("where key >= 't~t~t~{seed}.' and key < 't~t~t~{seed}.~'");
    let records = bench.count(&format!("select count(*) from record {of_seed}")).await;
    let settled = format!("select count(*) from ledger where record_id in (select id from record {of_seed})");
    assert_eq!(bench.count(&settled).await, records * 2, "seed {seed}: each plugin, each record, once");
}
