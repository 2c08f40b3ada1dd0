//! Subscriptions: snapshots, images before and after, rows that come into a scope and leave it, deletions, cursors of
//! others.

use super::world::{Actor, Row, Truth, address, vault};
use crate::policy::random::Random;
use crate::support::{Subscription, TestApp, on_every_backend};

const FIELDS: &str = "name email code amount salary owner level box { open } labels notes { text } \
    _record { key sourceUid rescued } _rest";

/// Reads until this row comes; all of it.
async fn until(live: &mut Subscription, row: &Row) -> Vec<serde_json::Value> {
    let mut all = Vec::new();
    loop {
        let change = live.next().await;
        let last = change["node"]["name"] == row.text("name");
        all.push(change);
        if last {
            return all;
        }
    }
}

async fn changes(app: &TestApp, random: &mut Random, rows: &mut Vec<Row>) {
    for version in 1..4 {
        for number in 0..8 {
            let row = Row::random(random, number, version);
            app.source(&format!("vault/item/web/{}", row.address()), &row.document()).await;
            rows.push(row);
        }
    }
    for uid in ["zquid00q", "zquid01q", "zquid02q", "zquid03q"] {
        app.retract(&format!("vault/item/web/{}", address(uid))).await;
    }
}

/// What came, by what each event may have: an event about a row in its scope has that version and, when that was
/// visible too, the one before; one that left has only the version that was visible.
fn check(actor: &Actor, rows: &[Row], events: &[serde_json::Value]) {
    let truth = Truth::of(actor, rows);
    for event in events {
        truth.check(&format!("an event for {actor:?}"), &event.to_string());
        match event["op"].as_str().unwrap() {
            "LEFT_SCOPE" | "DELETE" => {
                assert!(event["node"].is_null() && !event["before"].is_null(), "{event}")
            }
            "UPSERT" => assert!(event["node"].is_object(), "{event}"),
            op => assert!(event["node"].is_null() && event["before"].is_null(), "{op}: {event}"),
        }
    }
    // A key is the same code everywhere, so that a client can tell rows apart.
    for event in events.iter().filter(|event| event["node"].is_object()) {
        assert_eq!(event["key"], event["node"]["_record"]["key"], "{event}");
        assert_eq!(event["key"].as_str().unwrap().len(), 32, "{event}");
    }
    // Every visible version was told.
    let told = events.iter().map(|event| event["node"].to_string()).collect::<String>();
    for row in rows.iter().filter(|row| actor.sees(row)) {
        assert!(told.contains(&row.text("name")), "{row:?} was not told to {actor:?}");
    }
}

on_every_backend! {
    async fn no_event_shows_what_is_not_granted(backend) {
        let mut random = Random::new(23);
        let (app, mut rows) = vault(backend, &mut random, 8).await;
        let start = app.data("{ vaultItem { pageInfo { cursor } } }").await;
        let cursor = start["vaultItem"]["pageInfo"]["cursor"].to_string();
        let mut actors = Vec::new();
        for role in ["near", "calm", "mine"] {
            for number in 0..3 {
                let actor = Actor::random(&mut random, role, number);
                if let Some(end) = actor.seen_row(40 + actors.len()) {
                    actors.push((actor, end));
                }
            }
        }
        assert!(actors.len() > 3, "{actors:?}");
        let query = |arguments: &str| {
            let images = format!("node {{ {FIELDS} }} before {{ {FIELDS} }}");
            format!("subscription {{ vaultItem({arguments}) {{ op key cursor {images} }} }}")
        };
        let mut live = Vec::new();
        for (actor, _) in &actors {
            live.push(app.subscribe(&actor.token(&app), &query("snapshot: true")).await);
        }
        // Each has its snapshot before anything changes.
        let mut told = Vec::new();
        for live in &mut live {
            told.push(live.until_op("CAUGHT_UP").await);
        }
        changes(&app, &mut random, &mut rows).await;
        // Keys have an order of their own each: what is awaited comes when all else has come.
        app.settled().await;
        for (_, end) in &actors {
            app.source(&format!("vault/item/web/{}", end.address()), &end.document()).await;
            app.settled().await;
            rows.push(end.clone());
        }
        for (((actor, end), live), mut told) in actors.iter().zip(&mut live).zip(told) {
            told.extend(until(live, end).await);
            // Ends of others that came after this one's are not awaited.
            let known: Vec<Row> = rows.iter().filter(|row| row.uid <= end.uid).cloned().collect();
            let truth = Truth::of(actor, &rows);
            told.iter().for_each(|event| truth.check("a live event", &event.to_string()));
            check(actor, &known, &told);
            // The same from an admin's cursor: only what is granted, all over again.
            let after = query(&format!("after: {cursor}"));
            let mut again = app.subscribe(&actor.token(&app), &after).await;
            for event in until(&mut again, end).await {
                truth.check(&format!("{after} for {actor:?}"), &event.to_string());
            }
        }
    }
}
