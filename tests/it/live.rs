//! Live subscriptions: changes as they happen, snapshot then tail, resume without gap or duplicate, scope.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends, on_every_backend, write_policies};

const REGION_POLICY: &str = r#"
    allow(user: User, "read", _: Row) if "admin" in user.roles;
    allow(user: User, "read", row: ShopOrder) if "consumer" in user.roles and row.region = user.region;
    allow_field(_: User, "read", _: Row, _: Field);
    allow(user: User, "source", _: Source) if "source" in user.roles;
    allow(user: User, "retract", _: Source) if "source" in user.roles;
    allow(user: User, "steward", _: Source) if "admin" in user.roles;
    allow(user: User, "administer", _: Source) if "admin" in user.roles;
"#;

/// Puts other rules in force; the files are looked at by themselves.
fn rule(app: &TestApp, rules: &str) {
    let policies = app.config().store.data.join("policies");
    // Renamed, so that no half of it is read.
    std::fs::write(policies.join("next"), rules).unwrap();
    std::fs::rename(policies.join("next"), policies.join("region.polar")).unwrap();
}

/// The rules with consumers seeing the orders of this status instead.
fn status_policy(status: &str) -> String {
    let rules = REGION_POLICY.replace("row.region = user.region", &format!("row.status = \"{status}\""));
    assert_ne!(rules, REGION_POLICY);
    rules
}

/// A node with rules that show consumers the orders of their region.
async fn shop(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| {
        write_policies(config, &[("region.polar", REGION_POLICY)]);
    })
    .await
}

on_every_backend! {
    async fn changes_are_seen_and_an_open_subscription_outlives_a_new_shape(backend) {
        let app = TestApp::start(backend).await;
        app.source("shop/order/web/1", &json!({"status": "NEW", "total": 5})).await;
        app.settled().await;
        let query = "subscription { shopOrder { op key node { status total } before { status } } }";
        let mut live = app.subscribe(&app.admin(), query).await;
        // What comes before the subscription is open is not its to see; from the first seen change on, all is.
        let mut sent = 0;
        let first = loop {
            sent += 1;
            app.source("shop/order/web/0", &json!({"status": "PROBE", "total": sent})).await;
            let heard = tokio::time::timeout(std::time::Duration::from_millis(300), live.next()).await;
            if let Ok(change) = heard {
                break change;
            }
        };
        assert_eq!((&first["op"], &first["node"]["status"]), (&json!("UPSERT"), &json!("PROBE")));
        app.source("shop/order/web/1", &json!({"status": "PAID", "total": 5.5, "gift": true})).await;
        let change = live.next_where(|change| change["node"]["status"] != "PROBE").await;
        assert_eq!(change, json!({
            "op": "UPSERT", "key": "shop~order~web~1", "node": {"status": "PAID", "total": 5.5},
            "before": {"status": "NEW"},
        }));
        app.retract("shop/order/web/1").await;
        let change = live.next_where(|change| change["node"]["status"] != "PROBE").await;
        assert_eq!(change, json!({
            "op": "DELETE", "key": "shop~order~web~1", "node": null, "before": {"status": "PAID"},
        }));
    }

    async fn a_snapshot_is_followed_by_what_is_new(backend) {
        let app = TestApp::start(backend).await;
        for n in 0..3 {
            app.source(&format!("a/b/c/{n}"), &json!({"n": n})).await;
        }
        app.settled().await;
        let query = "subscription { aB(snapshot: true, where: {n: {ne: 1}}) { op cursor node { n } } }";
        let mut live = app.subscribe(&app.admin(), query).await;
        let snapshot = live.until_op("CAUGHT_UP").await;
        let mut snapshot: Vec<Value> = snapshot.iter().map(|change| change["node"]["n"].clone()).collect();
        snapshot.sort_by_key(Value::as_i64);
        assert_eq!(snapshot, [0, 2]);
        app.source("a/b/c/1", &json!({"n": 1, "again": true})).await;
        app.source("a/b/c/9", &json!({"n": 9})).await;
        let change = live.next().await;
        assert_eq!((&change["op"], &change["node"]["n"]), (&json!("UPSERT"), &json!(9)));
    }

    async fn a_subscription_resumes_without_gap_or_duplicate(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/0", &json!({"n": 0})).await;
        app.settled().await;
        let read = app.data("{ aB { nodes { n } pageInfo { cursor } } }").await;
        let mut cursor = read["aB"]["pageInfo"]["cursor"].clone();
        for n in 1..=12 {
            app.source(&format!("a/b/c/{}", n % 4), &json!({"n": n})).await;
        }
        app.settled().await;
        let mut seen = Vec::new();
        // Three subscriptions, each taking up where the one before was cut off.
        for part in 0..3 {
            let query = format!("subscription {{ aB(after: {cursor}) {{ op cursor node {{ n }} }} }}");
            let mut live = app.subscribe(&app.admin(), &query).await;
            for _ in 0..4 {
                let change = live.next().await;
                cursor = change["cursor"].clone();
                seen.push(change["node"]["n"].clone());
            }
            if part == 2 {
                assert_eq!(live.next().await["op"], "CAUGHT_UP");
            }
        }
        let mut by_key = seen.clone();
        by_key.sort_by_key(Value::as_i64);
        assert_eq!(by_key, (1..=12).map(Value::from).collect::<Vec<_>>(), "{seen:?}");
        for key in 0..4 {
            let of_key: Vec<i64> = seen.iter().filter_map(Value::as_i64).filter(|n| n % 4 == key).collect();
            assert!(of_key.is_sorted(), "{of_key:?}");
        }
        let wrong = "subscription { aB(after: \"nonsense\") { op } }";
        assert_eq!(app.codes(&app.admin(), "{ aB(after: \"nonsense\") { nodes { n } } }").await, ["BAD_REQUEST"]);
        assert!(!app.codes(&app.admin(), wrong).await.is_empty());
    }

    async fn a_row_that_leaves_the_scope_is_said_to_and_hides_what_it_became(backend) {
        let app = shop(backend).await;
        app.source("shop/order/web/1", &json!({"region": "eu", "status": "NEW"})).await;
        app.source("shop/order/web/2", &json!({"region": "us", "status": "NEW"})).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({"region": "eu"}));
        let query = "subscription { shopOrder(snapshot: true) {
            op key node { status region } before { status region } } }";
        let mut live = app.subscribe(&consumer, query).await;
        let snapshot = live.until_op("CAUGHT_UP").await;
        assert_eq!(snapshot.len(), 1, "{snapshot:?}");
        app.source("shop/order/web/2", &json!({"region": "us", "status": "PAID"})).await;
        app.source("shop/order/web/1", &json!({"region": "us", "status": "SECRET"})).await;
        let change = live.next().await;
        assert_eq!((&change["op"], &change["node"]), (&json!("LEFT_SCOPE"), &json!(null)));
        assert!(!change.to_string().contains("SECRET"), "{change}");
        app.source("shop/order/web/1", &json!({"region": "eu", "status": "BACK"})).await;
        let change = live.next().await;
        assert_eq!((&change["op"], &change["node"]["status"]), (&json!("UPSERT"), &json!("BACK")));
        assert!(!change.to_string().contains("SECRET"), "{change}");
        app.retract("shop/order/web/2").await;
        app.retract("shop/order/web/1").await;
        let change = live.next().await;
        assert_eq!((&change["op"], &change["key"]), (&json!("DELETE"), &json!("shop~order~web~1")));
    }

    async fn an_open_subscription_is_told_anew_what_new_rules_let_it_see(backend) {
        let app = shop(backend).await;
        app.source("shop/order/web/1", &json!({"region": "eu", "status": "NEW"})).await;
        app.source("shop/order/web/2", &json!({"region": "us", "status": "PAID"})).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({"region": "eu"}));
        let query = "subscription { shopOrder(snapshot: true) { op cursor node { region } } }";
        let mut live = app.subscribe(&consumer, query).await;
        let snapshot = live.until_op("CAUGHT_UP").await;
        assert_eq!(snapshot.len(), 1, "{snapshot:?}");
        // Nothing but the rules changes, and nothing else wakes the subscription.
        rule(&app, &status_policy("PAID"));
        assert_eq!(live.next().await["op"], "RESET");
        let rows = live.until_op("CAUGHT_UP").await;
        let regions: Vec<&Value> = rows.iter().map(|row| &row["node"]["region"]).collect();
        assert_eq!(regions, ["us"]);
        app.source("shop/order/web/1", &json!({"region": "eu", "status": "OPEN"})).await;
        app.source("shop/order/web/3", &json!({"region": "asia", "status": "PAID"})).await;
        assert_eq!(live.next().await["node"]["region"], "asia");
    }

    async fn who_resumes_under_another_scope_begins_anew(backend) {
        let app = shop(backend).await;
        app.source("shop/order/web/1", &json!({"region": "eu", "status": "NEW"})).await;
        app.source("shop/order/web/2", &json!({"region": "us", "status": "NEW"})).await;
        app.settled().await;
        let (eu, us) = (app.token("consumer", json!({"region": "eu"})), app.token("consumer", json!({"region": "us"})));
        let read = app.data_as(&eu, "{ shopOrder { pageInfo { cursor } } }").await;
        let resume = |cursor: &Value| {
            format!("subscription {{ shopOrder(after: {cursor}) {{ op cursor node {{ region }} }} }}")
        };
        let resume = resume(&read["shopOrder"]["pageInfo"]["cursor"]);
        // The same scope goes on where it was.
        let mut same = app.subscribe(&eu, &resume).await;
        let caught_up = same.next().await;
        assert_eq!(caught_up["op"], "CAUGHT_UP");
        let again = format!(
            "subscription {{ shopOrder(after: {}) {{ op node {{ region }} }} }}", caught_up["cursor"]
        );
        let mut again = app.subscribe(&eu, &again).await;
        assert_eq!(again.next().await["op"], "CAUGHT_UP");
        // Other claims: what the client holds is not what it may see.
        let mut other = app.subscribe(&us, &resume).await;
        assert_eq!(other.next().await["op"], "RESET");
        let rows = other.until_op("CAUGHT_UP").await;
        assert_eq!(rows.iter().map(|row| &row["node"]["region"]).collect::<Vec<_>>(), ["us"]);
    }
}

on_backends! { [embedded Embedded]
    async fn the_filter_of_a_subscription_moves_rows_in_and_out(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        app.settled().await;
        let query = "subscription { aB(snapshot: true, where: {n: {gt: 5}}) { op node { n } } }";
        let mut live = app.subscribe(&app.admin(), query).await;
        assert!(live.until_op("CAUGHT_UP").await.is_empty());
        app.source("a/b/c/1", &json!({"n": 6})).await;
        assert_eq!(live.next().await, json!({"op": "UPSERT", "node": {"n": 6}}));
        app.source("a/b/c/1", &json!({"n": 2})).await;
        assert_eq!(live.next().await, json!({"op": "LEFT_SCOPE", "node": null}));
    }
}
