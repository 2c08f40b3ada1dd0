//! Statistics of values: nodes gather apart and give what one alone would; what cannot be written is held; later
//! records are a sample.

use uuid::Uuid;

use super::*;
use crate::record::Record;
use crate::shape::Statistics;
use crate::store::rows::RowEffect;

impl Bench {
    async fn statistics(&self) -> (u64, Statistics) {
        self.store.catalog.refresh().await.unwrap();
        let id = self.store.catalog.load().fed_by("t", "t").unwrap().id;
        let statistics = self.store.statistics(id).await.unwrap();
        (statistics.records(), statistics)
    }

    async fn rename(&self, from: &str, to: &str) {
        let mut tx = self.store.db.begin().await.unwrap();
        tx.execute(&format!("alter table {from} rename to {to}"), &[]).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The node settles all there is and writes what it has gathered.
    async fn written_by(&self, node: &Provisioning) {
        drain(node).await;
        assert!(node.inner.write_statistics().await);
    }

    /// What every record has made of its row.
    async fn effects(&self) -> Vec<RowEffect> {
        let recent = self.store.recent(None, 1_000, None).await.unwrap();
        let ids: Vec<Uuid> = recent.into_iter().map(|(id, _)| id).collect();
        let records = self.store.records(&ids).await.unwrap();
        let effect = |record: Record| {
            let document = crate::record::parse(&record.draft.body, Default::default()).unwrap();
            RowEffect { record: Arc::new(record), document: Some(Arc::new(document)) }
        };
        records.into_iter().map(effect).collect()
    }

    async fn numbers(&self, numbers: std::ops::Range<i32>) {
        for n in numbers {
            self.document(&n.to_string(), Some(&format!(r#"{{"n":{n},"s":"{}"}}"#, n % 3))).await;
        }
    }
}

on_both_databases! {
    async fn nodes_gather_apart_and_give_what_one_alone_would(bench) {
        let nodes = [bench.built_in(), bench.built_in()];
        for (turn, node) in nodes.iter().cycle().take(4).enumerate() {
            let from = i32::try_from(turn).unwrap() * 50;
            bench.numbers(from..from + 50).await;
            drain(node).await;
        }
        let both = nodes.each_ref().map(|node| node.inner.write_statistics());
        let [one, other] = both;
        assert_eq!(tokio::join!(one, other), (true, true));
        let (records, statistics) = bench.statistics().await;
        assert!((180..=220).contains(&records), "{records}");
        let (n, s) = (statistics.of(1).unwrap(), statistics.of(2).unwrap());
        assert_eq!(n.range(), Some(("0", "199")));
        assert_eq!(s.values().unwrap(), ["0", "1", "2"]);
        // One that has seen all of it has nothing to add.
        let alone = bench.built_in();
        let rows = bench.effects().await;
        assert_eq!(rows.len(), 200);
        let catalog = bench.store.catalog.load();
        alone.inner.gather(&rows, &[catalog.fed_by("t", "t").unwrap().clone()]);
        assert!(alone.inner.write_statistics().await);
        assert_eq!(bench.statistics().await.1, statistics);
    }

    async fn what_cannot_be_written_is_held(bench) {
        let node = bench.built_in();
        bench.numbers(0..5).await;
        drain(&node).await;
        bench.rename("statistic", "away").await;
        assert!(!node.inner.write_statistics().await);
        bench.numbers(5..10).await;
        drain(&node).await;
        bench.rename("away", "statistic").await;
        assert!(node.inner.write_statistics().await);
        let (records, statistics) = bench.statistics().await;
        assert_eq!((records, statistics.of(1).unwrap().range()), (10, Some(("0", "9"))));
    }

    async fn what_turns_out_to_be_personal_is_forgotten_without_a_record_of_its_own(bench) {
        let mut bench = bench;
        (bench.config.statistics.records_max, bench.config.statistics.one_in) = (1, 0);
        let node = bench.built_in();
        bench.document("a", Some(r#"{"who":"Ada"}"#)).await;
        bench.written_by(&node).await;
        assert_eq!(bench.statistics().await.1.of(1).unwrap().values().unwrap(), ["Ada"]);
        bench.document("b", Some(r#"{"who":"ada@example.org"}"#)).await;
        bench.written_by(&node).await;
        let (records, statistics) = bench.statistics().await;
        assert_eq!((records, statistics.of(1).unwrap().values()), (1, None));
        assert_eq!(bench.count("select count(*) from statistic where state like '%Ada%'").await, 0);
    }

    async fn later_records_are_a_sample_and_so_are_those_beyond_what_is_held(bench) {
        let mut bench = bench;
        bench.config.statistics.records_max = 20;
        bench.config.statistics.one_in = 4;
        let node = bench.built_in();
        bench.numbers(0..20).await;
        bench.written_by(&node).await;
        assert_eq!(bench.statistics().await.0, 20);
        bench.numbers(20..60).await;
        bench.written_by(&node).await;
        // Which ones are chosen depends on the ids and the key, which are fixed here.
        let records = bench.statistics().await.0;
        assert!((21..45).contains(&records), "{records}");
        bench.config.statistics.one_in = 0;
        let node = bench.built_in();
        // A node learns how many there are when it writes for the first time.
        for numbers in [60..61, 61..70] {
            bench.numbers(numbers).await;
            bench.written_by(&node).await;
            assert_eq!(bench.statistics().await.0, records + 1);
        }
        bench.config.statistics.records_max = 1_000;
        bench.config.statistics.held_max = 2;
        let node = bench.built_in();
        bench.numbers(70..80).await;
        bench.written_by(&node).await;
        let (now, statistics) = bench.statistics().await;
        assert_eq!((now, statistics.of(1).unwrap().range()), (records + 2, Some(("0", "70"))));
    }
}
