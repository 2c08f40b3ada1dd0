//! What happens at the same time: a stop, a redrive, or a stream that fails one way, in the middle of a step.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::fake::Fake;
use super::{Bench, Moody, deciding, drain};
use crate::plugin::Failure;
use crate::provisioning::{Outcome, Which};

on_both_databases! {
    async fn what_is_being_settled_when_the_worker_is_stopped_ends_first(bench) {
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel();
        let may_go_on = Mutex::new(may_go_on);
        // Says that it decides, and goes on when it is told to.
        let slow = deciding("slow", move |_| {
            begun.send(()).unwrap();
            tokio::task::block_in_place(|| may_go_on.lock().unwrap().recv()).unwrap();
            Ok(Vec::new())
        });
        let node = bench.node(&[slow], None).await;
        bench.source("a").await;
        node.relay_step().await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(node.clone().run_worker(stop.clone()));
        tokio::task::block_in_place(|| has_begun.recv()).unwrap();
        stop.cancel();
        go_on.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(bench.count("select count(*) from ledger").await, 1);
        let told = node.inner.parts.metrics.render();
        assert!(told.contains("settled_total{outcome=\"done\"} 1"), "told after its commit: {told}");
        assert_eq!(bench.count("select count(*) from partition where worker_owner is null").await, 1);
    }

    async fn a_redrive_in_the_middle_of_a_try_is_not_overwritten(bench) {
        let mut bench = bench;
        bench.config.provisioning.attempts_max = 2;
        let (store, tries) = (bench.store.clone(), Mutex::new(0));
        // Fails for a while at every try; somebody redrives its letter while it decides the second time.
        let redriven = deciding("redriven", move |_| {
            let mut tries = tries.lock().unwrap();
            *tries += 1;
            if *tries == 2 {
                let redrive = async {
                    let id = store.letters(1, &Which::default()).await?[0].letter.id;
                    store.redrive(id, "somebody", 1).await
                };
                let count = tokio::task::block_in_place(|| Handle::current().block_on(redrive)).unwrap();
                assert_eq!(count, 1);
            }
            Err(Failure { reason: "not yet".into(), transient: true })
        });
        let node = bench.node(&[redriven], None).await;
        bench.source("a").await;
        drain(&node).await;
        bench.advance(61_000_000);
        drain(&node).await;
        let letter = bench.letter().await;
        assert!(letter.history.contains("somebody"), "{letter:?}");
        assert_eq!(letter.state, "retry", "put back, it has all its tries again: {letter:?}");
    }

    async fn a_stream_that_takes_nothing_is_away_though_it_can_be_read(bench) {
        let fake = Arc::new(Fake::new(1, 0));
        let node = bench.node(&[Moody::new("p") as _], Some(Arc::clone(&fake) as _)).await;
        let up = |node: &crate::provisioning::Provisioning| {
            let told = node.inner.parts.metrics.render();
            told.lines().find_map(|line| line.strip_prefix("wellspring_stream_up ").map(str::to_owned))
        };
        drain(&node).await;
        fake.fill(true);
        bench.source("a").await;
        node.relay_step().await.unwrap();
        assert_eq!(up(&node).as_deref(), Some("0"));
        node.worker_step().await.unwrap();
        assert_eq!(bench.count("select count(*) from ledger").await, 1, "the database has it all");
        assert_eq!(up(&node).as_deref(), Some("0"), "what is read does not show that it takes anything");
        fake.fill(false);
        bench.source("b").await;
        while node.relay_step().await.unwrap() != Outcome::Idle {}
        assert_eq!(up(&node).as_deref(), Some("1"));
    }
}
