//! What every stream over a server must do: Redis and Valkey, as far as the machine has them.

use std::time::Duration;

use uuid::Uuid;
use wellspring::config;
use wellspring::error::Code;
use wellspring::stream::{Append, Delivery, Entry, Redis, Stream};

use super::tell;
use crate::support::servers;

fn entries(numbers: impl IntoIterator<Item = i64>) -> Vec<Entry> {
    let entry = |pseq: i64| Entry {
        pseq,
        record_id: Uuid::from_u128(u128::try_from(pseq).unwrap()),
        hook: "sourced".into(),
    };
    numbers.into_iter().map(entry).collect()
}

fn numbers(deliveries: &[Delivery]) -> Vec<(u32, i64)> {
    deliveries.iter().map(|delivery| (delivery.partition, delivery.entry.pseq)).collect()
}

fn consumer(url: &str, name: &str) -> Redis {
    Redis::new(url, "test", name, &config::Stream::default()).unwrap()
}

const NOW: Duration = Duration::ZERO;

/// Makes of each `async fn name(server)` a test that runs it on every program there is.
macro_rules! on_every_program {
    ($(async fn $name:ident($server:ident) $body:block)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for program in servers::Redis::every_installed() {
                    println!("on {program}");
                    #[allow(unused_mut, reason = "only a fault changes its server")]
                    let mut $server = servers::Redis::start_program(program);
                    $body
                }
            }
        )*
    };
}

on_every_program! {
    async fn what_is_appended_is_read_once_in_order_and_then_acknowledged(server) {
        let stream = consumer(&server.url(), "a");
        assert_eq!(stream.last(0).await.unwrap(), None);
        assert_eq!(stream.append(0, &entries(1..=3), None).await.unwrap(), Append::Done);
        assert_eq!(stream.append(1, &entries(1..=1), None).await.unwrap(), Append::Done);
        assert_eq!(stream.append(0, &entries(4..=5), Some(3)).await.unwrap(), Append::Done);
        assert_eq!(stream.last(0).await.unwrap(), Some(5));

        let read = stream.read(&[0, 1], 100, NOW).await.unwrap();
        assert_eq!(numbers(&read), [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 1)]);
        assert_eq!(read[1].entry, entries([2])[0], "an entry comes back as it went");
        assert_eq!(stream.read(&[0, 1], 100, NOW).await.unwrap(), []);

        let pending = stream.reclaim(0, NOW, 100).await.unwrap();
        assert_eq!(numbers(&pending).len(), 5);
        stream.acknowledge(0, &[1, 2, 3], 3).await.unwrap();
        assert_eq!(numbers(&stream.reclaim(0, NOW, 100).await.unwrap()), [(0, 4), (0, 5)]);
        stream.acknowledge(0, &[4, 5], 5).await.unwrap();
        assert_eq!(stream.reclaim(0, NOW, 100).await.unwrap(), []);
        assert_eq!(stream.last(0).await.unwrap(), Some(5), "an empty stream remembers where it ended");
    }

    async fn an_append_that_does_not_follow_is_refused_and_says_where_the_end_is(server) {
        let stream = consumer(&server.url(), "a");
        assert_eq!(stream.append(0, &entries(4..=5), Some(3)).await.unwrap(), Append::Gone);
        assert_eq!(stream.append(0, &entries(4..=5), None).await.unwrap(), Append::Done);
        assert_eq!(stream.append(0, &entries(4..=5), None).await.unwrap(), Append::Moved(5));
        assert_eq!(stream.append(0, &entries(8..=8), Some(7)).await.unwrap(), Append::Moved(5));
        assert_eq!(numbers(&stream.read(&[0], 10, NOW).await.unwrap()), [(0, 4), (0, 5)]);
    }

    async fn a_flush_and_a_lost_group_heal_without_a_restart_and_skip_nothing(server) {
        let stream = consumer(&server.url(), "a");
        stream.append(0, &entries(1..=2), None).await.unwrap();
        assert_eq!(stream.read(&[0], 10, NOW).await.unwrap().len(), 2);

        tell(&server, &["FLUSHALL"]);
        assert_eq!(stream.append(0, &entries(3..=3), Some(2)).await.unwrap(), Append::Gone);
        assert_eq!(stream.append(0, &entries(1..=3), None).await.unwrap(), Append::Done);
        assert_eq!(stream.read(&[0], 10, NOW).await.unwrap().len(), 3);

        tell(&server, &["XGROUP", "DESTROY", "ws:{test.0}:ev", "wellspring"]);
        stream.append(0, &entries(4..=4), Some(3)).await.unwrap();
        let (mut healed, mut tries) = (Vec::new(), 0);
        while healed.is_empty() && tries < 3 {
            healed = stream.read(&[0], 10, NOW).await.unwrap();
            tries += 1;
        }
        assert_eq!(
            numbers(&healed),
            [(0, 1), (0, 2), (0, 3), (0, 4)],
            "from the first entry, never from the end"
        );

        // A reader that makes the group before the relay comes: the relay is told that nothing is there.
        tell(&server, &["FLUSHALL"]);
        assert_eq!(stream.read(&[0], 10, NOW).await.unwrap(), []);
        assert_eq!(stream.append(0, &entries(5..=5), Some(4)).await.unwrap(), Append::Moved(0));
    }

    async fn a_blocked_read_wakes_at_an_append_and_survives_a_flush(server) {
        let (reader, relay) = (consumer(&server.url(), "a"), consumer(&server.url(), "b"));
        relay.append(0, &entries(1..=1), None).await.unwrap();
        reader.read(&[0], 10, NOW).await.unwrap();
        // Longer than the client's default response timeout of half a second.
        let begun = std::time::Instant::now();
        assert_eq!(reader.read(&[0], 10, Duration::from_millis(700)).await.unwrap(), []);
        assert!(begun.elapsed() >= Duration::from_millis(650), "it waited");

        let append = async { relay.append(0, &entries(2..=2), Some(1)).await.unwrap() };
        let (read, _) = tokio::join!(reader.read(&[0], 10, Duration::from_secs(20)), append);
        assert_eq!(numbers(&read.unwrap()), [(0, 2)]);

        let flush = async { tell(&server, &["FLUSHALL"]) };
        let (read, ()) = tokio::join!(reader.read(&[0], 10, Duration::from_millis(500)), flush);
        drop(read);
        relay.append(0, &entries(1..=3), Some(0)).await.unwrap();
        relay.append(0, &entries(1..=3), None).await.unwrap();
        let mut found = Vec::new();
        while found.is_empty() {
            found = reader.read(&[0], 10, Duration::from_secs(5)).await.unwrap_or_default();
        }
        assert_eq!(numbers(&found), [(0, 1), (0, 2), (0, 3)]);
    }

    async fn what_a_dead_consumer_left_is_reclaimed_by_another(server) {
        let (dead, alive) = (consumer(&server.url(), "dead"), consumer(&server.url(), "alive"));
        dead.append(0, &entries(1..=3), None).await.unwrap();
        assert_eq!(dead.read(&[0], 10, NOW).await.unwrap().len(), 3);
        drop(dead);
        assert_eq!(alive.read(&[0], 10, NOW).await.unwrap(), []);
        assert_eq!(alive.reclaim(0, Duration::from_secs(60), 10).await.unwrap(), [], "not before its time");
        assert_eq!(alive.reclaim(0, NOW, 10).await.unwrap().len(), 3);
    }

    async fn a_server_that_is_away_is_an_error_at_once_and_heals_by_itself(server) {
        let stream = consumer(&server.url(), "a");
        stream.append(0, &entries(1..=1), None).await.unwrap();
        server.stop();
        let mut paused = 0;
        for _ in 0..1_000 {
            let away = stream.append(0, &entries(2..=2), Some(1)).await.unwrap_err();
            assert_eq!(away.code(), Code::Unavailable);
            let cause = away.cause().unwrap().to_string();
            paused += usize::from(cause == "paused after a failure");
        }
        assert!(paused > 500, "pauses refuse calls instead of trying each: {paused}");
        server.start_again();
        let mut last = Err(());
        while last.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            last = stream.last(0).await.map_err(drop);
        }
        assert!(stream.health().await.is_ok());
    }

    async fn a_server_that_evicts_is_refused_with_what_to_do(server) {
        let stream = consumer(&server.url(), "a");
        stream.health().await.unwrap();
        tell(&server, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let refused = stream.health().await.unwrap_err();
        assert_eq!(refused.code(), Code::Conflict);
        assert!(refused.message().contains("noeviction"), "{refused}");
    }

    async fn strange_entries_are_delivered_by_number_and_harm_nobody(server) {
        let stream = consumer(&server.url(), "a");
        stream.append(0, &entries(1..=1), None).await.unwrap();
        tell(&server, &["XADD", "ws:{test.0}:ev", "7-3", "x", "y"]);
        let read = stream.read(&[0], 10, NOW).await.unwrap();
        assert_eq!(numbers(&read), [(0, 1), (0, 7)]);
        assert!(read[1].entry.record_id.is_nil());
    }
}
