//! What needs a person is told as events: rules that deny as they do not fit their collection, and parked records.

use std::fs;

use serde_json::{Value, json};
use wellspring::config::Config;

use crate::parked::one_hop_too_far;
use crate::support::{Backend, Subscription, TestApp, on_backends, on_every_backend, write_policies};

const ASKED: &str = "cursor kind collection version rule { file line reason } \
                     parked { plugin category subcategory sourceName code count } changes { path }";

async fn listen(app: &TestApp, token: &str, arguments: &str) -> Subscription {
    app.subscribe(token, &format!("subscription {{ events{arguments} {{ {ASKED} }} }}")).await
}

/// Everything of these kinds that there is by now.
async fn all(app: &TestApp, token: &str, start: &str, kinds: &str) -> Vec<Value> {
    let mut events = listen(app, token, &format!("(after: \"{start}\", kinds: [{kinds}, CAUGHT_UP])")).await;
    let mut told = Vec::new();
    loop {
        let event = events.next().await;
        if event["kind"] == "CAUGHT_UP" {
            return told;
        }
        told.push(event);
    }
}

async fn start_of(app: &TestApp) -> String {
    let first = listen(app, &app.admin(), "").await.next().await;
    first["cursor"].as_str().unwrap().to_owned()
}

/// The next event of a rule that denies.
async fn denies(events: &mut Subscription) -> Value {
    loop {
        let event = events.next().await;
        if event["kind"] == "RULE_DENIES" {
            return event;
        }
    }
}

/// Stewards see one field of what is no `A…` of its own; the last rules sleep until their collections are there.
const RULES: &str = r#"allow(user: User, "source", _: Source) if "source" in user.roles;
allow(user: User, _, _) if "admin" in user.roles;
allow(user: User, "steward", _: Source) if "steward" in user.roles;
allow(user: User, "read", _: AB) if "steward" in user.roles;
allow_field(user: User, "read", _: Row, _: Field) if "admin" in user.roles;
allow_field(user: User, "read", _: Row, f: Field) if "steward" in user.roles and f.name = "n";
allow(user: User, "read", row: AB) if "consumer" in user.roles and row.secrets = 1;
allow(user: User, "read", row: AC) if "consumer" in user.roles and row.nothing = 1;
allow(user: User, "read", row: AD) if "consumer" in user.roles and row.nothing = 1;
"#;

async fn governed(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| {
        let policies = config.store.data.join("policies");
        fs::create_dir_all(&policies).unwrap();
        fs::write(policies.join("rules.polar"), RULES).unwrap();
        config.policy.directory = Some(policies);
    })
    .await
}

/// Records that cannot be settled, of which two are told.
fn failing(config: &mut Config) {
    one_hop_too_far(config);
    config.provisioning.parked_told_max = 2;
}

async fn until_parked(app: &TestApp, count: usize) {
    let letters = "{ deadLetters { id } }";
    app.data_until(letters, |data| data["deadLetters"].as_array().is_some_and(|all| all.len() == count))
        .await;
}

on_every_backend! {
    async fn a_rule_that_does_not_fit_is_told_once_with_its_place(backend) {
        let app = governed(backend).await;
        let start = start_of(&app).await;
        let (admin, steward) = (app.admin(), app.token("steward", json!({})));
        let mut events = listen(&app, &admin, "").await;
        app.source("a/b/c/1", &json!({"n": 1, "secret": 2})).await;
        let told = denies(&mut events).await;
        assert_eq!((&told["collection"], &told["version"]), (&json!("aB"), &json!(1)), "{told}");
        let rule = &told["rule"];
        assert_eq!((&rule["file"], &rule["line"]), (&json!("rules.polar"), &json!(7)), "{told}");
        let reason = rule["reason"].as_str().unwrap();
        assert!(reason.contains("has no field `secrets`") && reason.contains("`secret`?"), "{reason}");
        assert!(told["parked"].is_null() && told["changes"] == json!([]), "{told}");
        // A name by likeness is of a field that this steward does not see.
        let seen = all(&app, &steward, &start, "RULE_DENIES").await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["rule"], json!({"file": "rules.polar", "line": 7, "reason": null}));
        // Who begins anew finds it told, and tells what is new.
        let app = app.restart().await;
        let mut events = listen(&app, &admin, "").await;
        app.source("a/c/c/1", &json!({"n": 1})).await;
        assert_eq!(denies(&mut events).await["rule"]["line"], 8);
        let lines: Vec<Value> = all(&app, &admin, &start, "RULE_DENIES").await.iter()
            .map(|event| event["rule"]["line"].clone()).collect();
        assert_eq!(lines, [7, 8]);
        // Of a collection that is not shown to this steward nothing is told.
        assert_eq!(all(&app, &steward, &start, "RULE_DENIES").await.len(), 1);
    }

    async fn the_first_parked_record_of_each_reason_is_told(backend) {
        let app = TestApp::start_with(backend, failing).await;
        let (start, admin) = (start_of(&app).await, app.admin());
        let mut events = listen(&app, &admin, "(kinds: [RECORDS_PARKED])").await;
        app.source("order/clothing/shop/ann@example.org", &json!({"lane": "zqvalue"})).await;
        let told = events.next().await;
        assert_eq!((&told["kind"], &told["collection"]), (&json!("RECORDS_PARKED"), &json!("orderMasked")));
        assert_eq!(told["parked"], json!({
            "plugin": "too-far", "category": "order", "subcategory": "masked", "sourceName": "shop",
            "code": "HOP_LIMIT", "count": 1,
        }));
        assert!(told["rule"].is_null() && told["version"].is_null(), "{told}");
        for n in 2..=5 {
            app.source(&format!("order/clothing/shop/{n}"), &json!({"lane": n})).await;
        }
        until_parked(&app, 5).await;
        app.source("order/clothing/other/1", &json!({"lane": 1})).await;
        assert_eq!(events.next().await["parked"]["sourceName"], "other");
        // More than so many in all are not told.
        app.source("order/clothing/third/1", &json!({"lane": 1})).await;
        until_parked(&app, 7).await;
        let told = all(&app, &admin, &start, "RECORDS_PARKED").await;
        assert_eq!(told.len(), 2, "{told:?}");
        let text = format!("{told:?}");
        assert!(!text.contains("zqvalue") && !text.contains("ann@"), "{text}");
        let of_it = format!("(after: \"{start}\", collection: \"orderMasked\", kinds: [RECORDS_PARKED])");
        assert_eq!(listen(&app, &app.token("steward", json!({})), &of_it).await.next().await, told[0]);
        // Without a pause each is told, with how many wait by then.
        let app = app.restart_with(|config| config.provisioning.parked_told_every_ms = 0).await;
        let mut events = listen(&app, &admin, "(kinds: [RECORDS_PARKED])").await;
        app.source("order/clothing/shop/6", &json!({"lane": 6})).await;
        assert_eq!(events.next().await["parked"]["count"], 6);
        // What is tried again and fails again is told, too.
        let letter = app.data("{ deadLetters(first: 1) { id } }").await["deadLetters"][0]["id"].clone();
        app.data(&format!("mutation {{ redrive(id: {letter}) {{ redriven }} }}")).await;
        assert_eq!(events.next().await["parked"]["count"], 6);
    }

    async fn parked_records_of_what_a_steward_may_not_see_are_not_told(backend) {
        let app = TestApp::start_with(backend, |config| {
            failing(config);
            write_policies(config, &[("rules.polar", RULES)]);
        })
        .await;
        let start = start_of(&app).await;
        app.source("order/clothing/shop/1", &json!({"lane": 1})).await;
        until_parked(&app, 1).await;
        // The collection is there before anything of it is told.
        app.settled().await;
        assert_eq!(all(&app, &app.admin(), &start, "RECORDS_PARKED").await.len(), 1);
        let steward = app.token("steward", json!({}));
        assert_eq!(all(&app, &steward, &start, "RECORDS_PARKED").await, Vec::<Value>::new());
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn what_two_nodes_notice_is_told_once(backend) {
        let mut app = governed(backend).await;
        let beside = app.beside().await;
        let (start, admin) = (start_of(&app).await, app.admin());
        let mut events = listen(&beside, &admin, "").await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        assert_eq!(denies(&mut events).await["rule"]["line"], 7);
        drop(events);
        // One that knows of nothing that was told goes over all of it before it tells what is new.
        app.end().await;
        let beside = beside.restart().await;
        let mut events = listen(&beside, &admin, "").await;
        beside.source("a/d/c/1", &json!({"n": 1})).await;
        assert_eq!(denies(&mut events).await["rule"]["line"], 9);
        assert_eq!(all(&beside, &admin, &start, "RULE_DENIES").await.len(), 2);
    }
}
