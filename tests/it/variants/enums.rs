//! A field becomes an enum when a steward accepts its values, and never for whom it is masked or hidden.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_backends, on_every_backend};

const DECIDE: &str = "mutation($input: DecideFieldInput!) { decideField(input: $input) { version changed } }";

async fn decided(app: &TestApp, path: &str, values: &[&str]) -> Value {
    let input = json!({"collection": "jobTask", "path": path, "values": values});
    app.ask(&app.token("steward", json!({})), DECIDE, json!({"input": input})).await
}

async fn accept(app: &TestApp, path: &str, values: &[&str]) {
    let answer = decided(app, path, values).await;
    assert_eq!(answer["data"]["decideField"]["changed"], true, "{answer}");
}

async fn refused(app: &TestApp, path: &str, values: &[&str]) -> (String, String) {
    let answer = decided(app, path, values).await;
    let error = &answer["errors"][0];
    let part = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (part(&error["extensions"]["code"]), part(&error["message"]))
}

const STATES: [&str; 3] = ["PENDING", "in-progress", "done"];

fn task(n: usize) -> Value {
    let state = if n == 4 { Value::Null } else { json!(STATES[n % 3]) };
    json!({"n": n, "state": state, "labels": [STATES[n % 3], "x y"], "who": {"mail": format!("a{n}@example.org")},
        "steps": [{"kind": "go"}, {"kind": "stop!"}]})
}

async fn tasks(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    for n in 0..6 {
        app.source(&format!("job/task/web/{n}"), &task(n)).await;
    }
    app.settled().await;
    app
}

async fn nodes(app: &TestApp, token: &str, arguments: &str, selected: &str) -> Value {
    let query = format!("{{ jobTask({arguments} orderBy: [{{n: ASC}}]) {{ nodes {{ {selected} }} }} }}");
    app.data_as(token, &query).await["jobTask"]["nodes"].take()
}

async fn ns(app: &TestApp, token: &str, filter: &str) -> Value {
    let found = nodes(app, token, &format!("where: {filter}"), "n").await;
    found.as_array().unwrap().iter().map(|node| node["n"].clone()).collect()
}

on_every_backend! {
    async fn accepted_values_are_names_everywhere(backend) {
        let app = tasks(backend).await;
        let consumer = app.token("consumer", json!({}));
        accept(&app, "/state", &STATES).await;
        accept(&app, "/labels", &["PENDING", "in-progress", "done", "x y"]).await;
        accept(&app, "/steps/*/kind", &["go", "stop!"]).await;
        let found = nodes(&app, &consumer, "first: 2", "state labels steps { kind }").await;
        let steps = json!([{"kind": "go"}, {"kind": "STOP"}]);
        assert_eq!(found, json!([
            {"state": "PENDING", "labels": ["PENDING", "X_Y"], "steps": steps},
            {"state": "IN_PROGRESS", "labels": ["IN_PROGRESS", "X_Y"], "steps": steps},
        ]));
        for (filter, expected) in [
            ("{state: {eq: IN_PROGRESS}}", json!([1])),
            ("{state: {ne: IN_PROGRESS}}", json!([0, 2, 3, 5])),
            ("{state: {in: [IN_PROGRESS, PENDING]}}", json!([0, 1, 3])),
            ("{state: {notIn: [done]}}", json!([0, 1, 3])),
            ("{state: {isNull: true}}", json!([4])),
            ("{labels: {contains: IN_PROGRESS}}", json!([1, 4])),
        ] {
            assert_eq!(ns(&app, &consumer, filter).await, expected, "{filter}");
        }
        for filter in ["{state: {eq: \"in-progress\"}}", "{state: {eq: WRONG}}", "{state: {like: \"in%\"}}"] {
            let query = format!("{{ jobTask(where: {filter}) {{ totalCount }} }}");
            assert_eq!(app.codes(&consumer, &query).await, ["BAD_REQUEST"], "{filter}");
        }
        let typed = "query($s: [JobTaskState!]) { jobTask(where: {state: {in: $s}}) { totalCount } }";
        let answer = app.ask(&consumer, typed, json!({"s": ["IN_PROGRESS"]})).await;
        assert_eq!(answer["data"]["jobTask"]["totalCount"], 1, "{answer}");
        let ordered = "{ jobTask(orderBy: [{state: DESC}, {n: ASC}]) { nodes { n } } }";
        let ordered = app.data_as(&consumer, ordered).await;
        let ordered = ordered["jobTask"]["nodes"].as_array().unwrap();
        let order: Vec<&Value> = ordered.iter().map(|one| &one["n"]).collect();
        assert_eq!(order, [1, 2, 5, 0, 3, 4], "the texts' order: in-progress, done, PENDING, null");
        let groups = "{ jobTaskAggregate(groupBy: [state]) { group { state } count min { state } } }";
        assert_eq!(app.data_as(&consumer, groups).await["jobTaskAggregate"], json!([
            {"group": {"state": "PENDING"}, "count": 2, "min": {"state": "PENDING"}},
            {"group": {"state": "done"}, "count": 2, "min": {"state": "done"}},
            {"group": {"state": "IN_PROGRESS"}, "count": 1, "min": {"state": "IN_PROGRESS"}},
            {"group": {"state": null}, "count": 1, "min": {"state": null}},
        ]));
        let csv = format!("{}/data/jobTask.csv?fields=n,state&where={{\"state\":{{\"eq\":\"IN_PROGRESS\"}}}}", app.url);
        let csv = app.client.get(csv).bearer_auth(&consumer).send().await.unwrap().text().await.unwrap();
        assert_eq!(csv.lines().collect::<Vec<_>>(), ["n,state", "1,IN_PROGRESS"]);
    }

    async fn the_schema_names_the_values_and_tells_their_texts(backend) {
        let app = tasks(backend).await;
        accept(&app, "/state", &STATES).await;
        let consumer = app.token("consumer", json!({}));
        let enumeration = "{ __type(name: \"JobTaskState\") { kind enumValues { name description } } }";
        let told = app.data_as(&consumer, enumeration).await["__type"].take();
        assert_eq!(told, json!({"kind": "ENUM", "enumValues": [
            {"name": "PENDING", "description": "`PENDING`"},
            {"name": "done", "description": "`done`"},
            {"name": "IN_PROGRESS", "description": "`in-progress`"},
        ]}));
        let shape = "{ collection(name: \"jobTask\") { jsonSchema
            shape { fields { path type enumValues { name value } } }
            versions { changes { path change from to } } } }";
        let told = app.data_as(&consumer, shape).await["collection"].take();
        assert_eq!(told["jsonSchema"]["properties"]["state"]["enum"], json!(["PENDING", "done", "in-progress", null]));
        let fields = told["shape"]["fields"].as_array().unwrap();
        let state = fields.iter().find(|field| field["path"] == "/state").unwrap();
        assert_eq!((&state["type"], &state["enumValues"][2]), (&json!("JobTaskState"),
            &json!({"name": "IN_PROGRESS", "value": "in-progress"})));
        assert_eq!(told["versions"][0]["changes"],
            json!([{"path": "/state", "change": "ENUMERATED", "from": "0", "to": "3"}]));
        // Taken back, it is a text again; accepted again, every text has the name that it had.
        accept(&app, "/state", &[]).await;
        assert_eq!(nodes(&app, &consumer, "where: {state: {like: \"in%\"}}", "state").await,
            json!([{"state": "in-progress"}]));
        accept(&app, "/state", &["in-progress", "IN_PROGRESS", "PENDING", "done"]).await;
        let told = app.data_as(&consumer, enumeration).await["__type"]["enumValues"].take();
        assert_eq!(told[0], json!({"name": "IN_PROGRESS2", "description": "`IN_PROGRESS`"}));
        assert_eq!(told[3], json!({"name": "IN_PROGRESS", "description": "`in-progress`"}));
        let decisions = "{ shapeDecisions(collection: \"jobTask\") { subject before after } }";
        let steward = app.token("steward", json!({}));
        let told = app.data_as(&steward, decisions).await["shapeDecisions"].take();
        assert_eq!(told[2]["after"]["values"], json!(["PENDING", "done", "in-progress"]), "{told}");
        assert_eq!(told[1]["after"]["values"], json!([]));
    }

    async fn what_rows_have_otherwise_refuses_it_and_what_comes_is_rescued(backend) {
        let app = tasks(backend).await;
        let (code, text) = refused(&app, "/state", &["PENDING", "done"]).await;
        assert!(code == "CONFLICT" && text.contains("`in-progress`"), "{code} {text}");
        let (code, text) = refused(&app, "/labels", &STATES).await;
        assert!(code == "CONFLICT" && text.contains("`x y`"), "{code} {text}");
        let (code, text) = refused(&app, "/steps/*/kind", &["go"]).await;
        assert!(code == "CONFLICT" && text.contains("`stop!`"), "{code} {text}");
        for path in ["/n", "/who/mail", "/steps"] {
            assert_eq!(refused(&app, path, &["a0@example.org"]).await.0, "BAD_REQUEST", "{path}");
        }
        assert_eq!(refused(&app, "/none", &["a"]).await.0, "NOT_FOUND");
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(refused(&app, "/state", &many).await.0, "BAD_REQUEST");
        let input = json!({"input": {"collection": "jobTask", "path": "/state", "values": STATES}});
        let answer = app.ask(&app.token("consumer", json!({})), DECIDE, input).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");

        accept(&app, "/state", &STATES).await;
        let consumer = app.token("consumer", json!({}));
        let live = "subscription { jobTask(snapshot: true) { op node { n state } } }";
        let mut live = app.subscribe(&consumer, live).await;
        live.until_op("CAUGHT_UP").await;
        let narrow = "subscription { jobTask(snapshot: true, where: {state: {eq: IN_PROGRESS}}) { op node { n } } }";
        let mut narrow = app.subscribe(&consumer, narrow).await;
        narrow.until_op("CAUGHT_UP").await;
        app.source("job/task/web/7", &json!({"n": 7, "state": "zqother"})).await;
        assert_eq!(live.next().await["node"], json!({"n": 7, "state": null}));
        app.source("job/task/web/8", &json!({"n": 8, "state": "in-progress"})).await;
        assert_eq!(live.next().await["node"], json!({"n": 8, "state": "IN_PROGRESS"}));
        assert_eq!(narrow.next().await["node"], json!({"n": 8}));
        let rescued = nodes(&app, &app.admin(), "where: {n: {eq: 7}}", "state _record { rescued }").await;
        assert_eq!(rescued[0]["state"], Value::Null);
        let misfit = &rescued[0]["_record"]["rescued"][0];
        assert_eq!((&misfit["path"], &misfit["value"]), (&json!("/state"), &json!("\"zqother\"")), "{rescued}");
        assert_eq!(ns(&app, &consumer, "{state: {isNull: true}}").await, json!([4, 7]));
        // Another list may leave out what no row has.
        accept(&app, "/state", &["PENDING", "in-progress", "done", "zqother"]).await;
        app.source("job/task/web/7", &json!({"n": 7, "state": "zqother"})).await;
        assert_eq!(live.next().await["node"], json!({"n": 7, "state": "zqother"}));
        // A filter whose names would turn into texts must not go on.
        accept(&app, "/state", &[]).await;
        let ended = narrow.receive().await.to_string();
        assert!(ended.contains("BAD_REQUEST"), "{ended}");
        app.source("job/task/web/8", &json!({"n": 8, "state": "in-progress"})).await;
        assert_eq!(live.next().await["node"], json!({"n": 8, "state": "in-progress"}));
    }

    /// Rules go on comparing texts; for whom the field is masked or hidden it is no enum.
    async fn policies_see_texts_and_decide_who_sees_values(backend) {
        let app = TestApp::start_with(backend, |config| {
            let policies = config.store.data.join("policies");
            std::fs::create_dir_all(&policies).unwrap();
            let text = "has_role(user: User, role) if role in user.roles;\n\
                has_role(user: User, _) if \"admin\" in user.roles;\n\
                allow(user: User, \"read\", row: Row) if row.state = user.state;\n\
                allow(user: User, \"read\", _: Row) if user.state = nil;\n\
                allow_field(user: User, \"read\", _: Row, field: Field) if not field.name = user.hide;\n\
                allow_field(user: User, \"read\", row: Row, _: Field) if row.n = user.n;\n\
                mask_field(user: User, _: Row, field: Field, {keep_first: 3}) if field.name = user.mask;\n\
                allow(user: User, \"steward\", _: Source) if has_role(user, \"steward\");\n\
                allow(user: User, \"administer\", _: Source) if has_role(user, \"admin\");\n\
                allow(_: User, \"source\", _: Source);\n";
            std::fs::write(policies.join("own.polar"), text).unwrap();
        })
        .await;
        for n in 0..6 {
            app.source(&format!("job/task/web/{n}"), &task(n)).await;
        }
        app.settled().await;
        accept(&app, "/state", &STATES).await;
        let one = app.token("consumer", json!({"state": "in-progress"}));
        assert_eq!(nodes(&app, &one, "", "n state").await, json!([{"n": 1, "state": "IN_PROGRESS"}]));
        let schema = "{ __schema { types { name description enumValues { name description } } } }";
        let shape = "{ collection(name: \"jobTask\") { jsonSchema shape { fields { type enumValues { value } } } } }";
        for (claims, seen) in [
            (json!({"mask": "state"}), Some("in-…")),
            (json!({"hide": "state"}), None),
            (json!({"hide": "state", "n": 1}), Some("IN_PROGRESS")),
        ] {
            let some = app.token("consumer", claims.clone());
            for asked in [schema, shape] {
                let told = app.data_as(&some, asked).await.to_string();
                assert!(!told.contains("JobTaskState") && !told.contains("in-progress"), "{claims} {told}");
            }
            if let Some(seen) = seen {
                let found = nodes(&app, &some, "", "n state").await;
                assert_eq!(found[1]["state"], seen, "{claims}");
            }
            let query = "{ jobTask(where: {state: {eq: IN_PROGRESS}}) { totalCount } }";
            assert_eq!(app.codes(&some, query).await, ["BAD_REQUEST"], "{claims}");
        }
        // A steward who does not see all rows is not told which values there are.
        let steward = app.token("steward", json!({"state": "done", "roles": ["steward"]}));
        let input = json!({"input": {"collection": "jobTask", "path": "/state", "values": ["done"]}});
        let answer = app.ask(&steward, DECIDE, input).await.to_string();
        assert!(answer.contains("CONFLICT") && !answer.contains("PENDING"), "{answer}");
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    /// While a steward accepts an enum on one node, others write: no answer ever has what the schema has not.
    async fn nodes_that_write_meanwhile_break_no_answer(backend) {
        let one = tasks(backend).await;
        let two = one.beside().await;
        let write = async {
            for n in 10..60 {
                let state = if n % 5 == 0 { "late-text" } else { "done" };
                two.source(&format!("job/task/web/{n}"), &json!({"n": n, "state": state})).await;
            }
        };
        let decide = async {
            // Until it is accepted or refused for what has come already.
            decided(&one, "/state", &STATES).await
        };
        let ((), answer) = tokio::join!(write, decide);
        one.settled().await;
        let consumer = one.token("consumer", json!({}));
        let states = nodes(&one, &consumer, "first: 1000", "state").await;
        let states: Vec<&Value> = states.as_array().unwrap().iter().map(|node| &node["state"]).collect();
        assert_eq!(states.len(), 56);
        let names = ["PENDING", "IN_PROGRESS", "done"];
        let known = |state: &&Value| state.is_null() || names.contains(&state.as_str().unwrap());
        match answer.get("errors") {
            None => assert!(states.iter().all(known), "{states:?}"),
            Some(errors) => assert_eq!(errors[0]["extensions"]["code"], "CONFLICT", "{errors}"),
        }
    }
}
