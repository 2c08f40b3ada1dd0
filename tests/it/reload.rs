//! Policies of a running node: what changes on disk is in force soon, what is broken never, and what a source sends
//! cannot keep a node from starting again.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{TestApp, eventually, on_backends, on_every_backend};

const FIELDS: &str = r#"
allow_field(_, "read", _, _);
allow(user: User, _, _: Source) if "source" in user.roles;
allow(user: User, _, _) if "admin" in user.roles;
"#;

/// A node with this text as its policies, and their file.
async fn governed(backend: crate::support::Backend, rules: &str) -> (TestApp, PathBuf) {
    let mut file = PathBuf::new();
    let app = TestApp::start_with(backend, |config| {
        let policies = config.store.data.join("policies");
        fs::create_dir_all(&policies).unwrap();
        file = policies.join("rules.polar");
        fs::write(&file, format!("{FIELDS}{rules}")).unwrap();
    })
    .await;
    (app, file)
}

/// What a consumer is shown of one field of every row; null when there is no such field for it.
async fn shown(app: &TestApp, field: &str) -> Value {
    let query = format!("{{ aB(orderBy: [{{{field}: ASC}}]) {{ nodes {{ {field} }} }} }}");
    let answer = app.ask(&app.token("consumer", json!({})), &query, json!({})).await;
    let nodes = answer["data"]["aB"]["nodes"].as_array();
    nodes.map_or(Value::Null, |nodes| nodes.iter().map(|node| node[field].clone()).collect())
}

async fn becomes(app: &TestApp, field: &str, expected: Value) {
    eventually("the rows that the rules grant", async || {
        let shown = shown(app, field).await;
        if shown == expected { Ok(()) } else { Err(shown) }
    })
    .await;
}

/// How often a load of policies ended so.
async fn loads(app: &TestApp, outcome: &str) -> u64 {
    let text = app.client.get(format!("{}/metrics", app.url)).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.contains("policy") && line.contains(outcome));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

on_every_backend! {
    async fn good_policies_are_in_force_soon_and_broken_ones_never(backend) {
        let rule = |region: &str| format!("allow(_, \"read\", row: AB) if row.region = \"{region}\";\n");
        let (app, file) = governed(backend, &rule("eu")).await;
        for (n, region) in ["eu", "us"].iter().enumerate() {
            app.source(&format!("a/b/c/{n}"), &json!({"region": region})).await;
        }
        becomes(&app, "region", json!(["eu"])).await;
        for broken in ["allow(_, \"read\", row: AB) if", "allow(_, \"read\", row: AB) if row.regoin = 1;"] {
            let before = loads(&app, "refused").await;
            fs::write(&file, format!("{FIELDS}{broken}")).unwrap();
            eventually("the broken policies are refused", async || {
                if loads(&app, "refused").await > before { Ok(()) } else { Err(before) }
            })
            .await;
            assert_eq!(shown(&app, "region").await, json!(["eu"]), "the old ones stay in force");
        }
        fs::write(&file, format!("{FIELDS}{}", rule("us"))).unwrap();
        becomes(&app, "region", json!(["us"])).await;
    }

    async fn a_rule_that_no_longer_fits_denies_and_keeps_no_node_from_starting(backend) {
        let rule = "allow(_, \"read\", row: AB) if row.region = \"eu\";\n";
        let (app, file) = governed(backend, rule).await;
        // The collection appears without the field that the rule, asleep until now, asks for.
        app.source("a/b/c/1", &json!({"region": null, "n": 1})).await;
        // What was taken in is settled by a node that can start again, on whatever rules it has.
        let app = app.restart().await;
        app.settled().await;
        assert_eq!(shown(&app, "n").await, Value::Null);
        // Others are not held up by it; and it fits as soon as its field is there.
        fs::write(&file, format!("{FIELDS}allow(_, \"read\", row: AB) if row.n = 1;\n{rule}")).unwrap();
        becomes(&app, "n", json!([1])).await;
        app.source("a/b/c/2", &json!({"region": "eu", "n": 2})).await;
        becomes(&app, "n", json!([1, 2])).await;
    }
}

on_backends! { [embedded Embedded]
    async fn a_directory_that_appears_is_in_force_soon(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"region": "eu"})).await;
        becomes(&app, "region", json!(["eu"])).await;
        let policies = app.config().store.data.join("policies");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("mine.polar"), format!("{FIELDS}allow(_, \"read\", row: AB) if row.region = \"us\";"))
            .unwrap();
        becomes(&app, "region", json!([])).await;
        // Taken away it stays, and that is told: the base would show everything again.
        let before = loads(&app, "refused").await;
        fs::remove_dir_all(&policies).unwrap();
        eventually("the refusal", async || {
            if loads(&app, "refused").await > before { Ok(()) } else { Err(before) }
        })
        .await;
        assert_eq!(shown(&app, "region").await, json!([]));
    }
}
