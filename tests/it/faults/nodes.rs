//! Several nodes on one database: one is killed, paused past its leases, asked to end, or each has a role of its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wellspring::store::ledger::Role;

use super::{
    load::{EACH, LANES, Load},
    server::{Server, Stand},
};
use crate::support::{Backend, Reader, Subscription, eventually, on_backends, on_every_backend};

/// Waits until the nodes' parts of the partitions, by role, are these.
async fn parts(stand: &Stand, wanted: &[usize]) {
    let (config, keys) = stand.reading();
    let store = Reader::new(config, &keys).await.store;
    eventually(&format!("the partitions are shared as {wanted:?}"), async || {
        let mut found = Vec::new();
        for role in [Role::Relay, Role::Worker] {
            let mut owners = BTreeMap::<String, usize>::new();
            for partition in store.partition_states(role, 0).await.unwrap() {
                *owners.entry(partition.owner.unwrap_or_default()).or_default() += 1;
            }
            found.push(owners.into_values().collect::<Vec<_>>());
        }
        if found.iter().all(|parts| parts == wanted) { Ok(()) } else { Err(found) }
    })
    .await;
}

/// Two nodes that share the partitions.
async fn two(backend: Backend) -> (Stand, Server, Server) {
    let stand = Stand::new(backend);
    let (first, second) = (stand.start(), stand.start_with("second", |command| command));
    parts(&stand, &[4, 4]).await;
    (stand, first, second)
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_node_that_is_killed_leaves_its_partitions_to_the_other(backend) {
        let (stand, first, second) = two(backend).await;
        let load = Load::running(&stand, &first);
        load.reaches(30).await;
        second.kill();
        load.judged(&stand, &first).await;
        parts(&stand, &[8]).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_load_moves_on_to_the_other_node_when_its_own_is_killed(backend) {
        let (stand, first, second) = two(backend).await;
        let load = Load::running(&stand, &first);
        load.reaches(30).await;
        first.kill();
        load.moved(&second);
        load.judged(&stand, &second).await;
    }
}

// That what it had begun is refused is proved where it can be held between two statements: in the unit tests of
// provisioning, `fences`.
on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_node_that_is_paused_past_its_leases_is_stood_in_for_and_takes_its_part_again(backend) {
        let (stand, first, second) = two(backend).await;
        let load = Load::start(&stand, &first, EACH);
        for round in 1..=4 {
            load.allow(20 * round);
            load.reaches(20 * round - 10).await;
            second.signal("STOP");
            parts(&stand, &[8]).await;
            load.reaches(20 * round).await;
            second.signal("CONT");
            parts(&stand, &[4, 4]).await;
        }
        load.allow(100);
        load.judged(&stand, &first).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn roles_on_nodes_of_their_own_make_one_service(backend) {
        let stand = Stand::new(backend);
        let start = |role: &str| stand.start_with(role, |command| command.args(["--roles", role]));
        let (api, _relay, worker) = (start("api"), start("relay"), start("worker"));
        let load = Load::start(&stand, &api, EACH);
        let token = load.token.clone();
        load.allow(30);
        load.reaches(10).await;
        let faults = async {
            load.allow(100);
            load.reaches(50).await;
            worker.kill();
            let worker = start("worker");
            load.judged(&stand, &api).await;
            worker
        };
        let (_worker, ()) = tokio::join!(faults, watch(&api.url, &token));
    }
}

/// Watches rows from wherever they are to the last record of each key: none is skipped, none comes twice.
async fn watch(url: &str, token: &str) {
    let client = reqwest::Client::new();
    eventually("the collection is there", async || {
        let asked = client.post(format!("{url}/graphql")).bearer_auth(token);
        let asked = asked.json(&json!({"query": "{ orderClothing { totalCount } }"}));
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        if answer.get("errors").is_none() { Ok(()) } else { Err(answer) }
    })
    .await;
    let query = "subscription { orderClothing(snapshot: true) { op node { lane n } } }";
    let mut subscription = Subscription::open(url, token, query).await;
    let mut last = BTreeMap::new();
    for change in subscription.until_op("CAUGHT_UP").await {
        last.insert(change["node"]["lane"].to_string(), change["node"]["n"].as_u64().unwrap());
    }
    while last.len() < LANES || last.values().any(|n| *n < EACH as u64 - 1) {
        let change = subscription.next().await;
        let (lane, n) = (change["node"]["lane"].to_string(), change["node"]["n"].as_u64());
        let before = last.insert(lane, n.expect("no row leaves"));
        assert_eq!(n, Some(before.map_or(0, |before| before + 1)), "{change}");
    }
}

on_every_backend! {
    async fn a_node_that_is_asked_to_end_gives_its_leases_back(backend) {
        let stand = Stand::new(backend);
        // A lease that is not given back outlasts the test's patience.
        let long = || {
            stand.start_with("data", |command| command.env("WELLSPRING_STREAM__LEASE_MS", "600000"))
        };
        let mut server = long();
        let load = Load::running(&stand, &server);
        for round in 0..4 {
            load.reaches(20 * (round + 1)).await;
            server.signal("TERM");
            let status = server.ended();
            assert_eq!(status.code(), Some(0), "{status}:\n{}", stand.log());
            // What the stream had delivered and was not acknowledged comes again after a lease: the last has a
            // short one.
            server = if round < 3 { long() } else { stand.start() };
            load.moved(&server);
        }
        load.judged(&stand, &server).await;
        assert!(!stand.log().contains("not everything ended in time"), "{}", stand.log());
    }
}
