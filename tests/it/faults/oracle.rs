//! What must hold after every fault: what was accepted has taken effect once or is parked; each key's effects are in
//! the order of its revisions; there is nothing that nobody sent. Looked at from outside (GraphQL), from inside
//! (`wellspring verify`) and in the change log.

use std::collections::BTreeMap;

use redis::{
    Commands,
    streams::{StreamInfoGroupsReply, StreamInfoStreamReply},
};
use reqwest::Client;
use serde_json::{Value, json};
use wellspring::query::{Change, ChangeOp};

use super::{
    load::{Answered, LANES, document},
    server::{Server, Stand},
};
use crate::support::{Reader, eventually};

/// Judges a server that has answered all of a load.
pub async fn judge(stand: &Stand, server: &Server, token: &str, answered: &[Answered]) {
    let total: usize = answered.iter().map(Vec::len).sum();
    let asked = Asked { url: server.url.clone(), token: token.to_owned(), client: Client::new() };
    asked.settled(total, stand).await;

    let (config, keys) = stand.reading();
    let reader = Reader::new(config, &keys).await;
    for (name, told) in [("orderClothing", true), ("orderMasked", false)] {
        let changes = reader.changes(name).await;
        once_and_in_order(name, &changes, answered, told);
    }
    let collections = asked.data("{ collections { name } }").await;
    let names = json!([{"name": "orderClothing"}, {"name": "orderMasked"}]);
    assert_eq!(collections["collections"], names, "nothing else took effect");

    asked.rows(answered).await;
    asked.parked(answered).await;
    asked.receipts(answered).await;

    let (sound, said) = stand.verify();
    assert!(sound, "{said}");
    let counts = format!("records {}: settled {total}, pending 0, parked {total}", 2 * total);
    assert!(said.starts_with(&counts), "{said}\nexpected: {counts}");

    if stand.redis.is_some() {
        asked.stream_follows(stand).await;
    } else {
        assert_eq!(asked.data("{ lag { stream } }").await["lag"]["stream"], "log");
    }
}

/// One change for each record, in the order of the key's revisions, with what was sent; and no other.
fn once_and_in_order(name: &str, changes: &[Change], answered: &[Answered], told: bool) {
    let positions: Vec<i64> = changes.iter().map(|change| change.pos).collect();
    let dense: Vec<i64> = (1..).take(answered.iter().map(Vec::len).sum()).collect();
    assert_eq!(positions, dense, "{name}: each record has taken effect once, and no other has");
    let mut by_key: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
    changes.iter().for_each(|change| by_key.entry(&change.key).or_default().push(change));
    let subcategory = if told { "clothing" } else { "masked" };
    for (lane, sent) in answered.iter().enumerate() {
        let key = format!("order~{subcategory}~shop~{lane}");
        let changes = by_key.remove(key.as_str()).unwrap_or_default();
        let revisions: Vec<i64> = changes.iter().map(|change| change.revision).collect();
        assert_eq!(revisions, (1..).take(sent.len()).collect::<Vec<i64>>(), "{key}: in order");
        let mut before = None;
        for (n, change) in changes.into_iter().enumerate() {
            assert_eq!(change.op, ChangeOp::Upsert);
            assert_eq!(change.before, before, "{key}: each change follows the last");
            let row: Value = serde_json::from_str(&change.after.as_ref().unwrap().to_text()).unwrap();
            let sent = document(lane, n);
            assert_eq!(row["n"], sent["n"], "{key}");
            assert_eq!(row["price"].as_f64(), sent["price"].as_f64(), "{key}");
            assert_eq!(row["lane"] == sent["lane"], told, "{key}");
            before.clone_from(&change.after);
        }
    }
    assert!(by_key.is_empty(), "{name}: keys that nobody sent: {:?}", by_key.keys());
}

struct Asked {
    url: String,
    token: String,
    client: Client,
}

impl Asked {
    async fn ask(&self, query: &str) -> Value {
        let request = self.client.post(format!("{}/graphql", self.url)).bearer_auth(&self.token);
        request.json(&json!({"query": query})).send().await.unwrap().json().await.unwrap()
    }

    async fn data(&self, query: &str) -> Value {
        let mut answer = self.ask(query).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
        answer["data"].take()
    }

    /// Waits until nothing is on its way: every record, and every copy.
    async fn settled(&self, total: usize, stand: &Stand) {
        eventually("everything is settled", async || {
            let answer = self.ask("{ lag { outbox pending } deadLetters { followers } }").await;
            let data = &answer["data"];
            let letters = data["deadLetters"].as_array().cloned().unwrap_or_default();
            let parked: u64 = letters.iter().map(|letter| 1 + letter["followers"].as_u64().unwrap()).sum();
            if data["lag"] == json!({"outbox": "0", "pending": "0"}) && parked == total as u64 {
                return Ok(());
            }
            let log = stand.log();
            let last = log.lines().rev().filter(|line| line.contains("WARN")).take(20).collect::<Vec<_>>();
            Err(format!("{parked} of {total} parked; {}\n{}", data["lag"], last.join("\n")))
        })
        .await;
    }

    /// The worker finds in the database what the stream has lost, so a stream that stays dead would change nothing
    /// else. New records come until every partition's stream ends where the database does; then all of it is read.
    async fn stream_follows(&self, stand: &Stand) {
        eventually("the stream ends where the database does", async || {
            let lag = self.data("{ lag { stream outbox pending partitions { partition claimed } } }").await;
            let lag = &lag["lag"];
            assert_eq!(lag["stream"], "redis");
            if lag["outbox"] != "0" || lag["pending"] != "0" {
                return Err(lag.to_string());
            }
            let claimed = lag["partitions"].as_array().unwrap().iter();
            let claimed: BTreeMap<u64, &str> = claimed
                .map(|it| (it["partition"].as_u64().unwrap(), it["claimed"].as_str().unwrap()))
                .collect();
            let ends: BTreeMap<u64, String> =
                streams(stand).into_iter().map(|(partition, stream)| (partition, stream.end)).collect();
            if claimed.len() == ends.len() && claimed.iter().all(|(partition, end)| ends[partition] == *end) {
                return Ok(());
            }
            let url = format!("{}/source/order/later/shop?key=/n", self.url);
            let more: Vec<Value> = (0..50).map(|n| json!({"n": n})).collect();
            let sent = self.client.post(url).bearer_auth(&self.token).json(&more).send().await.unwrap();
            assert_eq!(sent.status(), 202);
            Err(format!("{claimed:?} in the database, {ends:?} in the stream"))
        })
        .await;
        eventually("the stream is read, acknowledged and emptied", async || {
            let streams = streams(stand);
            let done = streams.values().all(|stream| stream.kept == 0 && stream.pending == 0);
            if done { Ok(()) } else { Err(streams) }
        })
        .await;
    }

    /// The row of each key is its last record.
    async fn rows(&self, answered: &[Answered]) {
        let query = "{ orderClothing(orderBy: [{lane: ASC}]) { nodes { lane n _record { revision id } } } }";
        let data = self.data(query).await;
        let expected: Vec<Value> = answered
            .iter()
            .enumerate()
            .map(|(lane, sent)| {
                let record = json!({"revision": sent.len(), "id": sent.last().unwrap()});
                json!({"lane": format!("lane {lane}"), "n": sent.len() - 1, "_record": record})
            })
            .collect();
        assert_eq!(data["orderClothing"]["nodes"], json!(expected));
    }

    /// What went one hop too far is parked: the first of each key, the others behind it.
    async fn parked(&self, answered: &[Answered]) {
        let data = self.data("{ deadLetters { plugin key revision code state followers } }").await;
        let mut found = data["deadLetters"].as_array().unwrap().clone();
        found.sort_by_key(|letter| letter["key"].to_string());
        let expected: Vec<Value> = (0..LANES)
            .map(|lane| {
                let (key, followers) = (format!("order~masked~shop~{lane}"), answered[lane].len() - 1);
                json!({"plugin": "too-far", "key": key, "revision": 1, "code": "HOP_LIMIT", "state": "PARKED",
                    "followers": followers})
            })
            .collect();
        assert_eq!(found, expected);
    }

    /// Every receipt that was ever given names a record that went its way once.
    async fn receipts(&self, answered: &[Answered]) {
        for id in answered.iter().flat_map(|lane| [&lane[0], lane.last().unwrap()]) {
            let query = format!(r#"{{ receipt(id: "{id}") {{ status steps {{ plugin outcome }} }} }}"#);
            let receipt = self.data(&query).await["receipt"].take();
            assert_eq!(receipt["status"], "PROVISIONED", "{receipt}");
            let mut plugins: Vec<&str> =
                receipt["steps"].as_array().unwrap().iter().map(|s| s["plugin"].as_str().unwrap()).collect();
            plugins.sort_unstable();
            assert_eq!(plugins, ["copy", "materialize"], "{receipt}");
        }
    }
}

/// A partition's stream, and how far its consumers are.
#[derive(Debug)]
struct Followed {
    end: String,
    /// Entries that are in it: what is settled is taken out, whether it was read or found in the database.
    kept: usize,
    pending: usize,
}

/// Every stream by its partition.
fn streams(stand: &Stand) -> BTreeMap<u64, Followed> {
    let mut redis = stand.redis();
    let number = |id: &str| id.split('-').next().unwrap().to_owned();
    let keys: Vec<String> = redis.keys("ws:*").unwrap();
    let streams = keys.into_iter().map(|key| {
        let partition = key.split(['.', '}']).nth(1).unwrap().parse().unwrap();
        let stream: StreamInfoStreamReply = redis.xinfo_stream(&key).unwrap();
        let groups: StreamInfoGroupsReply = redis.xinfo_groups(&key).unwrap();
        let pending = groups.groups.iter().map(|group| group.pending).sum();
        (partition, Followed { end: number(&stream.last_generated_id), kept: stream.length, pending })
    });
    streams.collect()
}
