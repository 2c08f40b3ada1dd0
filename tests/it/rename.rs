//! A renamed field is the same field under two names: everywhere that clients name fields, for rules of before and
//! after, and for whatever a source sends later. What is deprecated is told so.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend, write_policies};

const RULES: &str = r#"
allow(user: User, _, _: Source) if "source" in user.roles;
allow(user: User, _, _) if "admin" in user.roles or "steward" in user.roles;
allow_field(user: User, _, _, _) if "admin" in user.roles or "steward" in user.roles;
allow(user: User, "read", row: AB) if "consumer" in user.roles and row.region = user.region;
allow_field(user: User, "read", _, f: Field) if "consumer" in user.roles and f.name != "salary" and
    not f.name in ["who.secret", "l.secret"] and not "inner" in f.parents;
mask_field(_, _: AB, f: Field, "null") if f.name in ["code", "who.token"];
"#;

async fn governed(backend: Backend, rules: &'static str) -> TestApp {
    TestApp::start_with(backend, |config| {
        write_policies(config, &[("rules.polar", rules)]);
    })
    .await
}

async fn decided(app: &TestApp, mut input: Value) -> Value {
    input["collection"] = json!("aB");
    let query = "mutation($input: DecideFieldInput!) { decideField(input: $input) { version changed } }";
    app.ask(&app.token("steward", json!({"sub": "stella"})), query, json!({"input": input})).await
}

async fn decide(app: &TestApp, input: Value) -> Value {
    let mut answer = decided(app, input).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["decideField"].take()
}

async fn rename(app: &TestApp, path: &str, name: &str) {
    assert_eq!(decide(app, json!({"path": path, "name": name})).await["changed"], true);
}

async fn get(app: &TestApp, path: &str) -> String {
    let request = app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(app.admin());
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{path}: {text}");
    text
}

on_every_backend! {
    async fn both_names_are_the_same_field_everywhere(backend) {
        let app = TestApp::start(backend).await;
        for n in 1..=3 {
            let document = json!({"total": n, "who": {"name": format!("w{n}")}, "l": [{"x": n}], "t": [n]});
            app.source(&format!("a/b/c/{n}"), &document).await;
        }
        app.settled().await;
        let old = "subscription { aB(snapshot: true) { op node { total l { x } } } }";
        let mut live = app.subscribe(&app.admin(), old).await;
        live.until_op("CAUGHT_UP").await;
        let names = [("/total", "sum"), ("/who", "person"), ("/who/name", "label"), ("/l/*/x", "y"), ("/t", "u")];
        for (path, name) in names {
            rename(&app, path, name).await;
        }
        app.source("a/b/c/4", &json!({"total": 4, "who": {"name": "w4"}, "l": [{"x": 4}], "t": [4]})).await;
        assert_eq!(live.next().await["node"], json!({"total": 4, "l": [{"x": 4}]}));
        app.settled().await;
        let mut new = app.subscribe(
            &app.admin(),
            "subscription { aB(snapshot: true, where: {sum: {gt: 4}, person: {label: {eq: \"w5\"}}, u: {contains: 5}})
                { op node { sum l { y } } } }",
        ).await;
        new.until_op("CAUGHT_UP").await;
        app.source("a/b/c/5", &json!({"total": 5, "who": {"name": "w5"}, "l": [{"x": 5}], "t": [5]})).await;
        assert_eq!(new.next().await["node"], json!({"sum": 5, "l": [{"y": 5}]}));
        app.settled().await;

        for (sum, person, label, y, u) in [("total", "who", "name", "x", "t"), ("sum", "person", "label", "y", "u"),
            ("sum", "who", "label", "x", "u")] {
            let rows = format!("{{ aB(where: {{{sum}: {{gte: 3}}, {person}: {{{label}: {{startsWith: \"w\"}}}}}},
                orderBy: [{{{sum}: DESC}}, {{{person}: {{{label}: ASC}}}}]) {{ nodes {{ v: {sum} p: {person} {{
                v: {label} __typename }} l {{ v: {y} }} u: {u} }} }} }}");
            let node = |n: i64| json!({"v": n, "p": {"v": format!("w{n}"), "__typename": "ABWho"}, "l": [{"v": n}],
                "u": [n]});
            assert_eq!(app.data(&rows).await["aB"]["nodes"], json!([node(5), node(4), node(3)]), "{rows}");
            let figures = format!("{{ aBAggregate(groupBy: [{person}_{label}], where: {{{sum}: {{eq: 2}}}}) {{
                a: group {{ v: who_name }} b: group {{ v: person_label }} sum {{ v: {sum} }} }} }}");
            let group = json!([{"a": {"v": "w2"}, "b": {"v": "w2"}, "sum": {"v": "2"}}]);
            assert_eq!(app.data(&figures).await["aBAggregate"], group);
            let csv = get(&app, &format!("aB.csv?fields={sum},{person}.{label}&first=1&order={sum}")).await;
            assert_eq!(csv.trim(), format!("{sum},{person}.{label}\r\n1,w1"));
        }
        // Without a choice each field is there once, under its present name.
        let csv = get(&app, "aB.csv?first=1").await;
        assert_eq!(csv.lines().next().unwrap(), "l,u,sum,person.label");
        // A page goes on that began under the old name.
        let page = app.data("{ aB(orderBy: [{total: ASC}], first: 2) { pageInfo { endCursor } } }").await;
        let after = page["aB"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
        let next = format!("{{ aB(orderBy: [{{sum: ASC}}], first: 1, after: \"{after}\") {{ nodes {{ sum }} }} }}");
        assert_eq!(app.data(&next).await["aB"]["nodes"], json!([{"sum": 3}]));
    }

    async fn rules_hold_by_old_and_by_new_names(backend) {
        let app = governed(backend, RULES).await;
        let document = json!({"region": "eu", "salary": 7, "code": "zq1", "n": 1,
            "who": {"secret": "zq2", "token": "zq3", "ok": 1}, "l": [{"secret": "zq4", "ok": 2}],
            "inner": {"deep": "zq5"}});
        app.source("a/b/c/1", &document).await;
        let mut other = document.clone();
        other["region"] = json!("us");
        app.source("a/b/c/2", &other).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({"region": "eu"}));
        let all = "{ aB { totalCount nodes { n code who { ok token } l { ok } } } __schema { types { name
            fields(includeDeprecated: true) { name } inputFields(includeDeprecated: true) { name }
            enumValues(includeDeprecated: true) { name } } } }";
        let before = app.data_as(&consumer, all).await;
        let rows = json!({"totalCount": 1, "nodes": [{"n": 1, "code": null, "who": {"ok": 1, "token": null},
            "l": [{"ok": 2}]}]});
        assert_eq!(before["aB"], rows);
        for (path, name) in [("/region", "area"), ("/salary", "pay"), ("/code", "pin"), ("/who", "person"),
            ("/who/secret", "hush"), ("/who/token", "ticket"), ("/l", "list"), ("/l/*/secret", "hush"),
            ("/inner", "outer"), ("/inner/deep", "low")] {
            rename(&app, path, name).await;
        }
        for bare in [false, true] {
            if bare {
                // Policies know the names that clients can use no longer.
                for path in ["/region", "/salary", "/code", "/who", "/who/secret", "/who/token", "/l", "/l/*/secret",
                    "/inner", "/inner/deep"] {
                    decide(&app, json!({"path": path, "aliases": []})).await;
                }
            }
            let now = "{ aB { totalCount nodes { n code: pin who: person { ok token: ticket } l: list { ok } } }
                __schema { types { name fields(includeDeprecated: true) { name }
                inputFields(includeDeprecated: true) { name } enumValues(includeDeprecated: true) { name } } } }";
            let now = app.data_as(&consumer, now).await;
            assert_eq!(now["aB"], rows);
            let schema = now["__schema"].to_string();
            for hidden in ["salary", "pay", "secret", "hush", "inner", "outer", "deep", "low"] {
                assert!(!schema.contains(&format!("\"{hidden}\"")), "{hidden}");
            }
            for query in ["{ aB { nodes { pay } } }", "{ aB { nodes { salary } } }",
                "{ aB { nodes { person { hush } } } }",
                "{ aB { nodes { outer { low } } } }", "{ aB { nodes { inner { deep } } } }",
                "{ aB(where: {pin: {eq: \"zq1\"}}) { totalCount } }",
                "{ aB(where: {code: {eq: \"zq1\"}}) { totalCount } }",
                "{ aB(orderBy: [{person: {ticket: ASC}}]) { totalCount } }",
                "{ aBAggregate(groupBy: [pin]) { count } }", "{ aBAggregate(groupBy: [who_token]) { count } }"] {
                assert_eq!(app.codes(&consumer, query).await, ["BAD_REQUEST"], "{query}");
            }
            if bare {
                assert_eq!(app.codes(&consumer, "{ aB { nodes { code } } }").await, ["BAD_REQUEST"]);
            }
        }
        // A node that starts now finds nothing wrong with rules that are older than the names.
        let app = app.restart().await;
        assert_eq!(app.data_as(&consumer, "{ aB { totalCount } }").await["aB"]["totalCount"], 1);
    }

    async fn rules_by_new_names_hold(backend) {
        let app = governed(backend, r#"
            allow(_, _, _);
            allow_field(user: User, _, _, f: Field) if "admin" in user.roles or f.name != "new";
        "#).await;
        app.source("a/b/c/1", &json!({"old": 1, "n": 2})).await;
        app.settled().await;
        let consumer = app.token("consumer", json!({}));
        assert_eq!(app.data_as(&consumer, "{ aB { nodes { old } } }").await["aB"]["nodes"], json!([{"old": 1}]));
        rename(&app, "/old", "new").await;
        for query in ["{ aB { nodes { old } } }", "{ aB { nodes { new } } }"] {
            assert_eq!(app.codes(&consumer, query).await, ["BAD_REQUEST"]);
        }
    }

    async fn names_collide_with_nothing_and_are_told(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"a": 1, "b": 2, "o": {"k": 1}})).await;
        app.settled().await;
        rename(&app, "/a", "c").await;
        assert_eq!(decide(&app, json!({"path": "/b", "name": "b"})).await["changed"], false);
        for name in ["a", "c", "o_k", "not", "1x"] {
            let answer = decided(&app, json!({"path": "/b", "name": name})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "CONFLICT", "{answer}");
        }
        let answer = decided(&app, json!({"path": "/b", "name": "a"})).await;
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains("`/a`"), "{answer}");
        let answer = decided(&app, json!({"path": "/b", "aliases": ["x"]})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST");
        decide(&app, json!({"path": "/b", "deprecated": "use \"c\""})).await;
        let told = app.data("{ __type(name: \"AB\") { fields { name } all: fields(includeDeprecated: true) {
            name isDeprecated deprecationReason } } input: __type(name: \"ABFilter\") {
            inputFields(includeDeprecated: true) { name isDeprecated } } collection(name: \"aB\") {
            shape { fields { path name aliases deprecated } } versions { changes { change from to } } } }").await;
        let old = json!({"name": "a", "isDeprecated": true, "deprecationReason": "renamed to `c`"});
        assert!(told["__type"]["all"].as_array().unwrap().contains(&old), "{told}");
        let names = told["__type"]["fields"].to_string();
        assert!(names.contains("\"c\"") && !names.contains("\"a\"") && !names.contains("\"b\""), "{told}");
        for name in ["a", "b"] {
            let input = json!({"name": name, "isDeprecated": true});
            assert!(told["input"]["inputFields"].as_array().unwrap().contains(&input), "{told}");
        }
        let fields = told["collection"]["shape"]["fields"].as_array().unwrap();
        assert!(fields.contains(&json!({"path": "/a", "name": "c", "aliases": ["a"], "deprecated": null})), "{told}");
        let versions = &told["collection"]["versions"];
        assert_eq!(versions[0]["changes"], json!([{"change": "DEPRECATED", "from": null, "to": "use \"c\""}]));
        assert_eq!(versions[1]["changes"], json!([{"change": "RENAMED", "from": "a", "to": "c"}]));
        let log = app.data("{ shapeDecisions(collection: \"aB\") { subject kind paths before after } }").await;
        assert_eq!(log["shapeDecisions"][1]["after"]["name"], "c");
        assert_eq!(log["shapeDecisions"][1]["before"]["name"], "a");
        // What comes later with the old name as its key gets another one.
        app.source("a/b/c/2", &json!({"a": 3, "c": 4, "a-": 5})).await;
        app.settled().await;
        let rows = "{ aB(where: {a: {eq: 3}}) { nodes { a c c2 } } }";
        let rows = app.data_until(rows, |data| data["aB"]["nodes"][0]["c2"] == 4).await;
        assert_eq!(rows["aB"]["nodes"], json!([{"a": 3, "c": 3, "c2": 4}]));
        // It survives a restart, and so does what is printed.
        let app = app.restart().await;
        assert_eq!(app.data("{ aB(where: {c: {eq: 3}}) { nodes { a } } }").await["aB"]["nodes"], json!([{"a": 3}]));
    }
}
