//! Single situations, one by one.

use std::sync::Arc;

use super::fake::Fake;
use super::{Bench, Moody, deciding, drain, echo, hide};
use crate::plugin::Failure;
use crate::provisioning::Outcome;

async fn states(bench: &Bench) -> Vec<(i64, String)> {
    let rows =
        bench.store.db.query("select rev, state from dead_letter order by key, rev", &[]).await.unwrap();
    rows.iter().map(|row| (row.i64(0).unwrap(), row.text(1).unwrap().to_owned())).collect()
}

on_both_databases! {
    async fn a_record_goes_all_the_way_over_the_log(bench) {
        let node = bench.moody(&[&Moody::new("p")]).await;
        assert_eq!(node.relay_step().await.unwrap(), Outcome::Idle);
        bench.source("a").await;
        assert_eq!(node.relay_step().await.unwrap(), Outcome::Progress(1));
        assert_eq!(node.worker_step().await.unwrap(), Outcome::Progress(1));
        assert_eq!(node.worker_step().await.unwrap(), Outcome::Idle);
        assert_eq!(bench.count("select count(*) from ledger where tags = '[\"seen\"]'").await, 1);
        assert_eq!(bench.count("select count(*) from partition where settled = pseq").await, 1);
    }

    async fn what_is_refused_is_parked_and_its_key_queues_while_others_go_on(bench) {
        let moody = Moody::refusing("bad");
        let node = bench.moody(&[&moody]).await;
        for uid in ["bad", "good", "bad", "good"] {
            bench.source(uid).await;
        }
        drain(&node).await;
        bench.source("bad").await;
        drain(&node).await;
        let queue = [(1, "parked".to_owned()), (2, "queued".into()), (3, "queued".into())];
        assert_eq!(states(&bench).await, queue);
        assert_eq!(bench.count("select count(*) from ledger").await, 2);
        let waiting = bench.waiting().await;
        assert_eq!((waiting.len(), waiting[0].followers, waiting[0].plugin.as_str()), (1, 2, "p"));
        assert!(waiting[0].letter.reason.contains("`bad` is not liked"), "{:?}", waiting[0].letter);

        // Put back while it is still refused: it parks again, and remembers.
        let id = waiting[0].letter.id;
        assert_eq!(bench.store.redrive(id, "me", 1).await.unwrap(), 3);
        drain(&node).await;
        assert_eq!(states(&bench).await, queue);
        assert_eq!(bench.letter().await.attempts, 2);

        moody.calm();
        assert_eq!(bench.store.redrive(id, "me", 1).await.unwrap(), 3);
        assert_eq!(bench.store.redrive(id, "me", 1).await.unwrap(), 0, "it is at work already");
        drain(&node).await;
        assert_eq!(states(&bench).await, []);
        bench.assert_order("", "after the redrive").await;
        assert_eq!(bench.count("select count(*) from ledger").await, 5);
    }

    async fn a_transient_failure_is_tried_again_by_itself_and_parks_at_the_bound(bench) {
        let moody = Moody::stumbling("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        bench.source("a").await;
        drain(&node).await;
        assert_eq!(states(&bench).await, [(1, "retry".to_owned()), (2, "queued".into())]);
        for _ in 0..5 {
            bench.advance(61_000_000);
            drain(&node).await;
        }
        assert_eq!(states(&bench).await, [(1, "parked".to_owned()), (2, "queued".into())]);
        assert_eq!(bench.letter().await.attempts, 3);

        moody.calm();
        bench.source("b").await;
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 1, "only a person can put it back");
    }

    async fn a_short_failure_heals_by_itself(bench) {
        let moody = Moody::stumbling("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        bench.source("a").await;
        drain(&node).await;
        moody.calm();
        bench.advance(61_000_000);
        drain(&node).await;
        assert_eq!(states(&bench).await, []);
        bench.assert_order("", "after healing").await;
    }

    async fn a_plugin_that_panics_parks_its_record_only(bench) {
        let (wild, calm) = (Moody::new("wild"), Moody::new("calm"));
        wild.panics.lock().unwrap().insert("a".into());
        let node = bench.moody(&[&wild, &calm]).await;
        bench.source("a").await;
        bench.source("b").await;
        drain(&node).await;
        let waiting = bench.waiting().await;
        assert_eq!(waiting.len(), 1);
        assert_eq!((waiting[0].plugin.as_str(), waiting[0].letter.code.as_str()), ("wild", "PANIC"));
        assert!(waiting[0].letter.reason.contains("makes me panic"));
        assert_eq!(bench.count("select count(*) from ledger").await, 3);
    }

    async fn a_flushed_stream_is_refilled_though_nothing_new_comes(bench) {
        let fake = Arc::new(Fake::new(1, 0));
        let node = bench.node(&[Moody::new("p") as _], Some(Arc::clone(&fake) as _)).await;
        bench.source("a").await;
        bench.source("b").await;
        node.relay_step().await.unwrap();
        assert_eq!(fake.held(0, 0), [1, 2]);
        fake.flush();
        bench.advance(2_000_000);
        node.relay_step().await.unwrap();
        assert_eq!(fake.held(0, 0), [1, 2]);
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 2);
        assert_eq!(fake.held(0, 0), [] as [i64; 0], "what is settled is trimmed");
    }

    async fn a_stream_of_another_database_is_dropped(bench) {
        let fake = Arc::new(Fake::new(1, 0));
        let far = crate::stream::Entry { pseq: 900, record_id: uuid::Uuid::nil(), hook: "sourced".into() };
        crate::stream::Stream::append(&*fake, 0, &[far], None).await.unwrap();
        let node = bench.node(&[Moody::new("p") as _], Some(Arc::clone(&fake) as _)).await;
        bench.source("a").await;
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 1);
        assert_eq!(
            bench.count("select settled from partition").await,
            1,
            "a number from elsewhere moves nothing"
        );
    }

    async fn a_document_becomes_a_row_and_its_masked_copy_another_ones(bench) {
        let mut bench = bench;
        bench.config.provisioning.masks = vec![hide("/card/number", "keep_last:2")];
        let node = bench.built_in();
        drain(&node).await;
        bench.document("a", Some(r#"{"name":"x","card":{"number":"123456"}}"#)).await;
        drain(&node).await;
        let rows = |collection: &'static str| {
            let bench = &bench;
            async move {
                let sql = "select c.op, c.before from change c join collection l on l.id = c.collection_id \
                           where l.subcategory = $1 order by c.pos";
                let rows = bench.store.db.query(sql, &[collection.into()]).await.unwrap();
                rows.iter()
                    .map(|row| (row.text(0).unwrap().to_owned(), row.opt_text(1).unwrap().map(str::to_owned)))
                    .collect::<Vec<_>>()
            }
        };
        let upsert = vec![("upsert".to_owned(), None)];
        assert_eq!((&rows("t").await, &rows("masked").await), (&upsert, &upsert));
        bench.document("a", None).await;
        drain(&node).await;
        let [plain, masked] = [rows("t").await, rows("masked").await].map(|mut rows| rows.remove(1));
        assert_eq!((plain.0.as_str(), masked.0.as_str()), ("delete", "delete"));
        let (plain, masked) = (plain.1.unwrap(), masked.1.unwrap());
        assert!(plain.contains("123456"), "{plain}");
        assert!(masked.contains("…56") && !masked.contains("123456"), "{masked}");

        let report = crate::provisioning::verify(&bench.store, &bench.config).await.unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!((report.records, report.settled, report.pending, report.parked), (4, 4, 0, 0));
        let tamper = "update ledger set outcome = 'never' where record_id in (select id from record limit 1)";
        let mut tx = bench.store.db.begin().await.unwrap();
        tx.execute(tamper, &[]).await.unwrap();
        tx.execute(
            "delete from ledger where hash in (select hash from ledger where outcome = 'done' limit 1)",
            &[],
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
        let report = crate::provisioning::verify(&bench.store, &bench.config).await.unwrap();
        assert!(!report.broken.is_empty() && !report.unaccounted.is_empty(), "{report:?}");
    }

    async fn a_plugin_that_feeds_itself_ends_at_the_hop_limit(bench) {
        let mut bench = bench;
        bench.config.provisioning.hops_max = 3;
        let node = bench.node(&[echo()], None).await;
        bench.source("a").await;
        drain(&node).await;
        let waiting = bench.waiting().await;
        assert_eq!((waiting.len(), waiting[0].letter.code.as_str()), (1, "HOP_LIMIT"));
        assert_eq!(bench.count("select max(hops) from record").await, 3);
        assert_eq!(bench.count("select count(*) from record").await, 4, "each emitted once");
    }

    async fn a_record_that_the_store_refuses_parks_alone(bench) {
        let node = bench.node(&[Moody::new("calm") as _, echo()], None).await;
        // The echo's uid gets too long for a key: appending it is refused inside the batch's transaction.
        for uid in ["a".repeat(20), "b".repeat(512), "c".repeat(20)] {
            bench.source(&uid).await;
        }
        node.relay_step().await.unwrap();
        node.worker_step().await.unwrap();
        let waiting = bench.waiting().await;
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        assert_eq!((waiting[0].plugin.as_str(), waiting[0].letter.code.as_str()), ("echo", "BAD_REQUEST"));
        assert_eq!(bench.count("select count(*) from ledger").await, 5);
    }

    async fn a_record_that_is_gone_from_the_database_holds_nobody_up(bench) {
        let moody = Moody::stumbling("waits");
        let node = bench.moody(&[&moody]).await;
        let waits = bench.source("waits").await;
        drain(&node).await;
        let mut ids = vec![waits];
        for uid in ["first", "between", "last"] {
            ids.push(bench.source(uid).await);
            if uid != "last" {
                bench.source("stays").await;
            }
        }
        for id in ids {
            bench.execute("delete from record where id = $1", &[id.into()]).await;
        }
        bench.advance(61_000_000);
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 2);
        assert_eq!(bench.count("select count(*) from partition where settled = pseq and pseq = 6").await, 1);
        let letter = bench.letter().await;
        assert_eq!((letter.state.as_str(), letter.code.as_str()), ("parked", "NO_RECORD"));
        let report = crate::provisioning::verify(&bench.store, &bench.config).await.unwrap();
        assert!(!report.is_sound(), "what is gone is told: {report:?}");
    }

    async fn whatever_a_plugin_says_is_kept_bounded_and_stops_nobody(bench) {
        let wordy = deciding("wordy", |_| {
            Err(Failure { reason: format!("a nul: \0, then {}", "much ".repeat(10_000)), transient: false })
        });
        let node = bench.node(&[wordy], None).await;
        bench.source("a").await;
        drain(&node).await;
        let letter = bench.letter().await;
        assert!(letter.reason.starts_with("a nul: , then"), "{}", letter.reason);
        assert!(letter.reason.len() < 3_000 && letter.history.len() < 3_000, "{}", letter.history.len());
        assert_eq!(bench.count("select count(*) from partition where settled = pseq and pseq = 1").await, 1);
    }

    async fn two_redrives_at_once_have_one_effect(bench) {
        let moody = Moody::refusing("a");
        let node = bench.moody(&[&moody]).await;
        bench.source("a").await;
        bench.source("a").await;
        drain(&node).await;
        moody.calm();
        let id = bench.letter().await.id;
        let (one, two) = tokio::join!(bench.store.redrive(id, "x", 1), bench.store.redrive(id, "y", 1));
        assert_eq!(one.unwrap() + two.unwrap(), 2, "one of them put head and follower back");
        drain(&node).await;
        assert_eq!(bench.count("select count(*) from ledger").await, 2);
        let gone = bench.store.redrive(id, "x", 1).await.unwrap_err();
        assert_eq!(gone.code(), crate::error::Code::NotFound);
    }
}
