//! Several nodes on one database: one is killed, paused past its leases, asked to end, or each has a role of its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wellspring::store::ledger::Role;

use super::{
    load::{LANES, Load},
    oracle,
    server::{Server, Stand},
};
use crate::support::{Reader, Subscription, eventually, on_backends, on_every_backend};

/// Records of each lane.
const EACH: usize = 60;

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
async fn two(stand: &Stand) -> (Server, Server) {
    let nodes = (stand.start(), stand.start_with("second", |command| command));
    parts(stand, &[4, 4]).await;
    nodes
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_node_that_is_killed_leaves_its_partitions_to_the_other(backend) {
        let stand = Stand::new(backend);
        let (first, second) = two(&stand).await;
        let token = stand.token();
        let load = Load::start(&first.url, &token, EACH);
        load.allow(100);
        load.reaches(30).await;
        second.kill();
        oracle::judge(&stand, &first, &token, &load.finish().await).await;
        parts(&stand, &[8]).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_load_moves_on_to_the_other_node_when_its_own_is_killed(backend) {
        let stand = Stand::new(backend);
        let (first, second) = two(&stand).await;
        let token = stand.token();
        let load = Load::start(&first.url, &token, EACH);
        load.allow(100);
        load.reaches(30).await;
        first.kill();
        load.moved(&second.url);
        oracle::judge(&stand, &second, &token, &load.finish().await).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn a_node_that_was_paused_past_its_leases_changes_nothing_more_in_them(backend) {
        let stand = Stand::new(backend);
        let (first, second) = two(&stand).await;
        let token = stand.token();
        let load = Load::start(&first.url, &token, EACH);
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
        oracle::judge(&stand, &first, &token, &load.finish().await).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn roles_on_nodes_of_their_own_make_one_service(backend) {
        let stand = Stand::new(backend);
        let start = |role: &str| stand.start_with(role, |command| command.args(["--roles", role]));
        let (api, _relay, worker) = (start("api"), start("relay"), start("worker"));
        let token = stand.token();
        let load = Load::start(&api.url, &token, EACH);
        load.allow(30);
        load.reaches(10).await;
        let faults = async {
            load.allow(100);
            load.reaches(50).await;
            worker.kill();
            let worker = start("worker");
            oracle::judge(&stand, &api, &token, &load.finish().await).await;
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
        let token = stand.token();
        let load = Load::start(&server.url, &token, EACH);
        load.allow(100);
        for round in 0..4 {
            load.reaches(20 * (round + 1)).await;
            server.signal("TERM");
            let status = server.ended();
            assert_eq!(status.code(), Some(0), "{status}:\n{}", stand.log());
            // What the stream had delivered and was not acknowledged comes again after a lease: the last has a
            // short one.
            server = if round < 3 { long() } else { stand.start() };
            load.moved(&server.url);
        }
        oracle::judge(&stand, &server, &token, &load.finish().await).await;
        assert!(!stand.log().contains("not everything ended in time"), "{}", stand.log());
    }
}
