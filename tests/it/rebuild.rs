//! A steward gives a field another type: rows that are there follow beside all other work, nobody ever sees some of
//! both, and what does not fit is rescued.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends, on_every_backend};

const ROWS: usize = 60;

async fn decided(app: &TestApp, mut input: Value) -> Value {
    input["collection"] = json!("aB");
    let query = "mutation($input: DecideFieldInput!) { decideField(input: $input) { version changed } }";
    app.ask(&app.token("steward", json!({"sub": "stella"})), query, json!({"input": input})).await
}

async fn retype(app: &TestApp, path: &str, ty: &str) {
    let answer = decided(app, json!({"path": path, "type": ty})).await;
    assert_eq!(answer["data"]["decideField"]["changed"], true, "{answer}");
}

/// Waits until all rows have been gone over, and this node knows it.
async fn rebuilt(app: &TestApp, changes: usize) {
    let query = "{ collection(name: \"aB\") { rebuild { state done of } versions { changes { change } } } }";
    app.data_until(query, |data| {
        let collection = &data["collection"];
        let told = collection["versions"].to_string().matches("\"RETYPED\"").count();
        collection["rebuild"]["state"] == "DONE" && told == changes
    })
    .await;
}

/// A node that goes over few rows at once.
async fn slow(backend: Backend) -> TestApp {
    TestApp::start_with(backend, |config| config.provisioning.rebuild_rows_max = 7).await
}

/// A row: `n` is a text that is a number but now and then.
fn document(n: usize) -> Value {
    let text = if n.is_multiple_of(10) { "many".to_owned() } else { n.to_string() };
    json!({"n": text, "at": "2026-11-22T21:21:19.5+01:00", "i": n, "o": {"k": n.to_string()},
        "l": [{"m": n.to_string(), "x": n}], "t": [n]})
}

async fn filled(backend: Backend) -> TestApp {
    let app = slow(backend).await;
    let many: Vec<Value> = (1..=ROWS)
        .map(|n| {
            let mut one = document(n);
            one["id"] = json!(n.to_string());
            one
        })
        .collect();
    let (status, answer) = app.post("a/b/c?key=/id", "application/json", json!(many).to_string(), &[]).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(ROWS)));
    app.settled().await;
    app
}

async fn is_sound(app: &TestApp) {
    let lag = app.data("{ lag { outbox pending } deadLetters { id } }").await;
    assert_eq!(lag, json!({"lag": {"outbox": "0", "pending": "0"}, "deadLetters": []}));
    let mut verify = std::process::Command::new(env!("CARGO_BIN_EXE_wellspring"));
    verify.arg("verify").arg("--data").arg(&app.config().store.data);
    verify.env("WELLSPRING_AUTH__KEY_FILE", app.config().key_file());
    if let Some(url) = &app.config().store.database_url {
        verify.args(["--database-url", url]);
    }
    let said = tokio::task::spawn_blocking(move || verify.output()).await.unwrap().unwrap();
    assert!(said.status.success(), "{said:?}");
}

on_every_backend! {
    async fn types_become_others_in_all_rows(backend) {
        let app = filled(backend).await;
        let all = "subscription { aB(snapshot: true) { op cursor node { i n } } }";
        let mut live = app.subscribe(&app.admin(), all).await;
        let before = live.until_op("CAUGHT_UP").await;
        assert!(before.len() == ROWS && before.iter().all(|change| change["node"]["n"].is_string()));
        for (path, ty) in [("/n", "Int"), ("/at", "String"), ("/i", "String"), ("/o/k", "Float"), ("/l/*/m", "Int"),
            ("/t", "[String]")] {
            retype(&app, path, ty).await;
        }
        let again = decided(&app, json!({"path": "/n", "type": "Float"})).await;
        let told = app.data("{ collection(name: \"aB\") { rebuild { state } } }").await;
        assert!(again["errors"][0]["extensions"]["code"] == "CONFLICT"
            || told["collection"]["rebuild"]["state"] != "RUNNING", "{again} {told}");
        app.source("a/b/c/61", &document(61)).await;
        rebuilt(&app, 6).await;
        app.settled().await;
        let rows = app.data("{ aB(orderBy: [{n: ASC}], first: 100) { totalCount nodes { n at i o { k } l { m x } t
            _record { sourceUid rescued } } } }").await;
        assert_eq!(rows["aB"]["totalCount"], ROWS + 1);
        let mut misfits = 0;
        for row in rows["aB"]["nodes"].as_array().unwrap() {
            let uid = row["_record"]["sourceUid"].as_str().unwrap();
            let n: usize = uid.parse().unwrap();
            let number = if n.is_multiple_of(10) { Value::Null } else { json!(n) };
            let (fraction, items) = (json!(n as f64), json!([{"m": n, "x": n}]));
            assert_eq!((&row["n"], &row["i"], &row["l"]), (&number, &json!(uid), &items), "{row}");
            assert_eq!(row["o"]["k"].as_f64(), fraction.as_f64(), "{row}");
            assert_eq!((&row["at"], &row["t"]), (&json!("2026-11-22T21:21:19.5+01:00"), &json!([uid])), "{row}");
            let rescued = &row["_record"]["rescued"];
            match n % 10 {
                0 => assert_eq!((&rescued[0]["path"], &rescued[0]["value"]), (&json!("/n"), &json!("\"many\""))),
                _ => assert_eq!(rescued, &Value::Null),
            }
            misfits += usize::from(n.is_multiple_of(10));
        }
        assert_eq!(misfits, 6);
        let by = app.data("{ aB(where: {n: {gte: 58}}) { nodes { n } } aBAggregate { sum { n } } }").await;
        assert_eq!(by["aB"]["nodes"].as_array().unwrap().len(), 3, "{by}");
        // Who was subscribed holds what is there now.
        let until = live.until_op("RESET").await;
        assert!(until.iter().all(|change| !change["node"]["n"].is_i64()), "{until:?}");
        let mut now = 0;
        while now < ROWS + 1 {
            let change = live.next().await;
            match change["op"].as_str() {
                Some("RESET") => now = 0,
                Some("UPSERT") => {
                    assert!(!change["node"]["n"].is_string(), "{change}");
                    now += 1;
                }
                _ => {}
            }
        }
        // A cursor of before does not mix the one with the other.
        let cursor = before[3]["cursor"].as_str().unwrap();
        let resumed = format!("subscription {{ aB(after: \"{cursor}\") {{ op }} }}");
        let mut resumed = app.subscribe(&app.admin(), &resumed).await;
        assert_eq!(resumed.next().await["op"], "RESET");
        is_sound(&app).await;
        let log = app.data("{ shapeDecisions(collection: \"aB\") { kind paths before after } }").await;
        let first = log["shapeDecisions"].as_array().unwrap().last().unwrap();
        assert_eq!((&first["before"]["type"], &first["after"]["type"]), (&json!("String"), &json!("Int")));
        // It keeps to its type whatever comes, and answers to its names.
        app.source("a/b/c/62", &json!({"n": "x", "i": 2.5})).await;
        let answer = decided(&app, json!({"path": "/n", "name": "number"})).await;
        assert_eq!(answer["data"]["decideField"]["changed"], true, "{answer}");
        let last = "{ aBByKey(sourceUid: \"62\") { n number i } }";
        let last = app.data_until(last, |data| data["aBByKey"].is_object()).await;
        assert_eq!(last["aBByKey"], json!({"n": null, "number": null, "i": "2.5"}));
    }

    async fn masks_and_rules_hold_meanwhile_and_after(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.provisioning.rebuild_rows_max = 2;
            let policies = config.store.data.join("policies");
            std::fs::create_dir_all(&policies).unwrap();
            let rules = r#"
                allow(user: User, _, _: Source) if "source" in user.roles;
                allow(user: User, _, _) if "admin" in user.roles or "steward" in user.roles;
                allow_field(_, "read", _, _);
                allow(user: User, "read", row: AB) if "consumer" in user.roles and row.region = user.region;
                mask_field(user: User, _: AB, f: Field, "null") if "consumer" in user.roles and f.name = "secret";
            "#;
            std::fs::write(policies.join("rules.polar"), rules).unwrap();
        })
        .await;
        for n in 0..20 {
            let region = if n % 2 == 0 { "1" } else { "2" };
            app.source(&format!("a/b/c/{n}"), &json!({"region": region, "secret": "7007007", "n": n})).await;
        }
        app.settled().await;
        let seen = "{ aB(first: 50) { totalCount nodes { n secret } } }";
        let consumer = app.token("consumer", json!({"region": "1"}));
        retype(&app, "/secret", "Int").await;
        let told = app.data_as(&consumer, seen).await;
        assert!(told["aB"]["totalCount"] == 10 && !told.to_string().contains("7007007"), "{told}");
        rebuilt(&app, 1).await;
        let told = app.data_as(&consumer, seen).await;
        assert!(told["aB"]["totalCount"] == 10 && !told.to_string().contains("7007007"), "{told}");
        let guess = "{ aB(where: {secret: {eq: 7007007}}) { totalCount } }";
        assert_eq!(app.codes(&consumer, guess).await, ["BAD_REQUEST"]);
        assert_eq!(app.data("{ aB(where: {secret: {eq: 7007007}}) { totalCount } }").await["aB"]["totalCount"], 20);
        // A rule that its field has outgrown shows no row.
        retype(&app, "/region", "Int").await;
        rebuilt(&app, 2).await;
        let answer = app.ask(&consumer, seen, json!({})).await.to_string();
        assert!(!answer.contains("7007007") && !answer.contains("\"n\""), "{answer}");
        let token = app.token("consumer", json!({}));
        let query = "mutation { decideField(input: {collection: \"aB\", path: \"/n\", type: \"String\"}) { changed } }";
        assert_eq!(app.codes(&token, query).await, ["FORBIDDEN"]);
        let refused = [("/n", "Integer", "CONFLICT"), ("/n", "[Int]", "CONFLICT"), ("/x", "Int", "NOT_FOUND")];
        for (path, ty, code) in refused {
            let answer = decided(&app, json!({"path": path, "type": ty})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        }
    }

    async fn what_was_held_back_comes_to_rows_that_are_there(backend) {
        let app = slow(backend).await;
        app.source("a/b/c/0", &json!({"n": 1})).await;
        app.settled().await;
        let steward = app.token("steward", json!({"sub": "stella"}));
        let mode = "mutation { setMode(input: {collection: \"aB\", path: \"\", mode: RESCUE}) { version } }";
        app.data_as(&steward, mode).await;
        for n in 1..=20 {
            app.source(&format!("a/b/c/{n}"), &json!({"n": 0.5, "new": n})).await;
        }
        app.settled().await;
        let all = "subscription { aB(snapshot: true) { op node { n _record { sourceUid rescued } } } }";
        let mut live = app.subscribe(&app.admin(), all).await;
        assert_eq!(live.until_op("CAUGHT_UP").await.len(), 21);
        let accept = "mutation { acceptFields(input: {collection: \"aB\", paths: [\"\"]}) { version } }";
        app.data_as(&steward, accept).await;
        rebuilt(&app, 0).await;
        let rows = "{ aB(where: {new: {gte: 1}, n: {eq: 0.5}}, first: 50) {
            totalCount nodes { _record { rescued } } } }";
        let rows = app.data(rows).await;
        assert_eq!(rows["aB"]["totalCount"], 20);
        assert!(rows["aB"]["nodes"].as_array().unwrap().iter().all(|row| row["_record"]["rescued"].is_null()));
        for _ in 0..20 {
            let change = live.next().await;
            assert_eq!((&change["op"], &change["node"]["n"]), (&json!("UPSERT"), &json!(0.5)), "{change}");
        }
        is_sound(&app).await;
    }

    async fn it_goes_on_after_a_restart(backend) {
        let app = filled(backend).await;
        retype(&app, "/n", "Int").await;
        let app = app.restart().await;
        app.source("a/b/c/3", &document(33)).await;
        app.source("a/b/c/61", &document(61)).await;
        rebuilt(&app, 1).await;
        app.settled().await;
        let rows = "{ aB(where: {n: {isNull: false}}) { totalCount } aBByKey(sourceUid: \"3\") { n }
            aBAggregate { sum { n } } }";
        let rows = app.data_until(rows, |data| data["aBByKey"]["n"] == 33 && data["aB"]["totalCount"] == 55).await;
        let sum: usize = (1..=61_usize).filter(|n| !n.is_multiple_of(10)).sum::<usize>() + 30;
        assert_eq!(rows["aBAggregate"], json!([{"sum": {"n": sum.to_string()}}]));
        is_sound(&app).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn two_nodes_change_over_at_once_while_records_flow(backend) {
        let app = filled(backend).await;
        let other = app.beside().await;
        retype(&app, "/n", "Int").await;
        let rows = "{ aB(first: 200) { nodes { n _record { sourceUid } } } }";
        let (mut sent, mut new) = (ROWS, false);
        while !new {
            sent += 1;
            other.source(&format!("a/b/c/{sent}"), &document(sent)).await;
            other.source("a/b/c/1", &document(sent)).await;
            for node in [&app, &other] {
                let told = node.data(rows).await;
                let nodes = told["aB"]["nodes"].as_array().unwrap();
                let numbers = nodes.iter().filter(|row| row["n"].is_i64()).count();
                let nulls = nodes.iter().filter(|row| row["n"].is_null()).count();
                // All old, or all new: then only what does not fit is null.
                let misfits = nodes.iter().filter(|row| {
                    let uid = row["_record"]["sourceUid"].as_str().unwrap();
                    uid != "1" && uid.ends_with('0')
                });
                let misfits = misfits.count();
                assert!(numbers == 0 && nulls == 0 || numbers + nulls == nodes.len() && nulls <= misfits + 1,
                    "{numbers} {nulls} {misfits} of {}", nodes.len());
                new = numbers > 0;
            }
        }
        rebuilt(&app, 1).await;
        app.settled().await;
        let count = "{ aB { totalCount } }";
        app.data_until(count, |data| data["aB"]["totalCount"] == sent).await;
        for node in [&app, &other] {
            let told = node.data_until("{ aBAggregate { sum { n } } }", |data| {
                let sum: usize = (2..=sent).filter(|n| !n.is_multiple_of(10)).sum();
                let first = if sent.is_multiple_of(10) { 0 } else { sent };
                data["aBAggregate"][0]["sum"]["n"] == json!((sum + first).to_string())
            });
            told.await;
        }
        is_sound(&app).await;
    }
}
