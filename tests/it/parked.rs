//! A record that a plugin cannot settle: who is told, what waits behind it, how it goes on once the cause is mended.

use serde_json::{Value, json};
use wellspring::config::{Config, MaskPlugin};

use crate::support::{TestApp, on_every_backend};

/// Each copy in `masked` is copied once more, one hop too far.
pub(crate) fn one_hop_too_far(config: &mut Config) {
    let mask = |name: &str, from: &str, to: &str| MaskPlugin {
        name: name.into(),
        category: "order".into(),
        subcategory: from.into(),
        to_subcategory: to.into(),
        fields: vec!["/lane".into()],
        mask: "hash".into(),
    };
    config.provisioning.masks = vec![mask("copy", "clothing", "masked"), mask("too-far", "masked", "twice")];
    config.provisioning.hops_max = 1;
}

const LETTERS: &str =
    "{ deadLetters { id plugin key revision recordId code reason state followers history } }";

/// The records of one collection, by revision.
async fn records(app: &TestApp, subcategory: &str) -> Vec<Value> {
    let of = format!("category: \"order\", subcategory: \"{subcategory}\", sourceName: \"shop\"");
    let data = app.data(&format!("{{ records({of}) {{ id revision causationId }} }}")).await;
    let mut records = data["records"].as_array().unwrap().clone();
    records.sort_by_key(|record| record["revision"].as_i64());
    records
}

on_every_backend! {
    async fn a_key_that_is_personal_is_told_as_rows_tell_it(backend) {
        let app = TestApp::start_with(backend, one_hop_too_far).await;
        let receipt = app.source("order/clothing/shop/ann@example.org", &json!({"lane": 1})).await;
        let data = app.data_until(LETTERS, |data| data["deadLetters"][0]["id"].is_string()).await;
        assert_eq!(data["deadLetters"][0]["key"], "order~masked~shop~ann@example.org");
        let steward = app.token("steward", json!({}));
        let pii = app.token("steward", json!({"roles": ["steward", "pii"]}));
        let own = app.token("source", json!({}));
        let receipt = format!("{{ receipt(id: {}) {{ key }} }}", receipt["id"]);
        for query in [LETTERS, receipt.as_str()] {
            assert!(app.data_as(&pii, query).await.to_string().contains("~ann@example.org"));
            let seen = app.data_as(&steward, query).await;
            assert!(!seen.to_string().contains("ann@example"), "{seen}");
        }
        assert!(app.data_as(&own, &receipt).await.to_string().contains("~ann@example.org"));
    }

    async fn a_parked_record_is_told_and_goes_on_in_order_after_a_redrive(backend) {
        let app = TestApp::start_with(backend, one_hop_too_far).await;
        for n in 1..=3 {
            app.source("order/clothing/shop/1", &json!({"lane": n, "deep": [[[[n]]]]})).await;
        }
        let data = app.data_until(LETTERS, |data| data["deadLetters"][0]["followers"] == 2).await;
        let letters = data["deadLetters"].as_array().unwrap();
        let letter = &letters[0];
        assert_eq!(letters.len(), 1, "one a key: {letters:?}");
        assert_eq!(letter["plugin"], "too-far");
        assert_eq!(letter["key"], "order~masked~shop~1");
        assert_eq!((&letter["revision"], &letter["code"]), (&json!(1), &json!("HOP_LIMIT")));
        let tried = &letter["history"][0];
        assert_eq!((&tried["attempt"], &tried["code"]), (&json!(1), &json!("HOP_LIMIT")));
        assert!(tried["at"].as_str().unwrap().ends_with('Z'), "a time like any other: {tried}");
        assert!(letter["reason"].as_str().unwrap().contains("more than 1 plugins"), "{letter}");
        assert_eq!(app.data_as(&app.token("steward", json!({})), LETTERS).await, data);
        let redrive = format!("mutation {{ redrive(id: {}) {{ redriven }} }}", letter["id"]);
        for role in ["consumer", "source"] {
            let token = app.token(role, json!({}));
            assert_eq!(app.codes(&token, LETTERS).await, ["FORBIDDEN"], "{role}");
            assert_eq!(app.codes(&token, &redrive).await, ["FORBIDDEN"], "{role}");
        }
        // Its author is told why, too.
        let author = app.token("source", json!({}));
        let masked = records(&app, "masked").await;
        for (record, outcome, code) in [(&masked[0], "parked", "HOP_LIMIT"), (&masked[2], "queued", "FOLLOWS")] {
            let steps = "steps { plugin outcome code settledAt at }";
            let query = format!("{{ receipt(id: {}) {{ status {steps} }} }}", record["id"]);
            let receipt = app.data_as(&author, &query).await["receipt"].take();
            assert_eq!(receipt["status"], "PARKED", "{receipt}");
            let steps = receipt["steps"].as_array().unwrap();
            let waits = steps.iter().find(|step| step["plugin"] == "too-far").unwrap();
            assert_eq!((&waits["outcome"], &waits["code"]), (&json!(outcome), &json!(code)));
            assert!(waits["settledAt"].is_null() && waits["at"].is_string(), "{receipt}");
        }
        let unknown = "mutation { redrive(id: 900000) { redriven } }";
        assert_eq!(app.codes(&app.admin(), unknown).await, ["NOT_FOUND"]);

        // What has been accepted is readable whatever the intake's bounds are now.
        let app = app
            .restart_with(|config| {
                config.provisioning.hops_max = 2;
                config.sourcing.depth_max = 2;
            })
            .await;
        let steward = app.token("steward", json!({}));
        assert_eq!(app.data_as(&steward, &redrive).await["redrive"]["redriven"], 3);
        app.data_until(LETTERS, |data| data["deadLetters"] == json!([])).await;
        let (masked, twice) = (records(&app, "masked").await, records(&app, "twice").await);
        assert_eq!((masked.len(), twice.len()), (3, 3));
        for (from, to) in masked.iter().zip(&twice) {
            assert_eq!(from["id"], to["causationId"], "copied in the order of revisions");
        }
        let query = format!("{{ receipt(id: {}) {{ status steps {{ plugin outcome }} }} }}", letter["recordId"]);
        let receipt = app.data(&query).await["receipt"].take();
        assert_eq!(receipt["status"], "PROVISIONED", "{receipt}");
        let steps = receipt["steps"].as_array().unwrap();
        assert!(steps.contains(&json!({"plugin": "too-far", "outcome": "done"})), "{receipt}");
        let row = "{ orderTwiceByKey(sourceUid: \"1\") { _record { revision } } }";
        let newest = json!({"orderTwiceByKey": {"_record": {"revision": 3}}});
        app.data_until(row, |data| *data == newest).await;
    }

    async fn dead_letters_are_paged_and_filtered(backend) {
        let app = TestApp::start_with(backend, one_hop_too_far).await;
        for n in 1..=3 {
            app.source(&format!("order/clothing/shop/{n}"), &json!({"lane": n})).await;
        }
        let all = app.data_until(LETTERS, |data| data["deadLetters"][2].is_object()).await;
        let all = all["deadLetters"].as_array().unwrap().clone();
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let query = format!("{{ deadLetters(first: 2{after}) {{ id }} }}");
            let page = app.data(&query).await["deadLetters"].as_array().unwrap().clone();
            let Some(last) = page.last() else { break };
            after = format!(", after: {}", last["id"]);
            seen.extend(page.into_iter().map(|letter| letter["id"].clone()));
        }
        assert_eq!(seen, all.iter().map(|letter| letter["id"].clone()).collect::<Vec<_>>());
        for (filter, count) in [
            ("plugin: \"too-far\"", 3),
            ("plugin: \"copy\"", 0),
            ("category: \"order\", plugin: \"too-far\"", 3),
            ("category: \"other\"", 0),
        ] {
            let data = app.data(&format!("{{ deadLetters({filter}) {{ id }} }}")).await;
            assert_eq!(data["deadLetters"].as_array().unwrap().len(), count, "{filter}");
        }
        let wrong = app.codes(&app.admin(), "{ deadLetters(after: \"x\") { id } }").await;
        assert_eq!(wrong, ["BAD_REQUEST"]);
    }
}
