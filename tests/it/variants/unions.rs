//! Variants of objects are offered, and stand beside the object when a steward accepts them; whoever may not see what
//! tells them apart has none.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend};

const ACCEPT: &str =
    "mutation($input: AcceptUnionInput!) { acceptUnion(input: $input) { version changed field type } }";
const REMOVE: &str =
    "mutation { removeUnion(input: {collection: \"hookEvent\", path: \"/body\"}) { changed field } }";
const SHOWN: &str =
    "bodyVariant { kind: __typename ... on HookEventBodyPush { ref commitsVariant { ...Commit } }
    ... on HookEventBodyIssue { title who { mail } } }";
const COMMIT: &str =
    "fragment Commit on HookEventBodyCommitsVariant { ... on HookEventBodyCommitsMove { from to } }";

fn event(n: usize) -> Value {
    let body = match n % 3 {
        0 => {
            json!({"ref": "main", "commits": [{"kind": "add", "file": "a"}, {"kind": "move", "from": "a", "to": "b"}]})
        }
        1 => json!({"title": format!("T{n}"), "who": {"mail": "ada@example.org"}}),
        _ => json!({"stars": n}),
    };
    let event = ["push", "issue", "star"][n % 3];
    json!({"n": n, "event": event, "body": body})
}

async fn events(backend: Backend) -> TestApp {
    filled(TestApp::start(backend).await).await
}

async fn filled(app: TestApp) -> TestApp {
    for n in 0..24 {
        app.source(&format!("hook/event/web/{n}"), &event(n)).await;
    }
    app.settled().await;
    app
}

async fn ask_accept(app: &TestApp, role: &str, path: &str, discriminator: &str) -> Value {
    let input = json!({"collection": "hookEvent", "path": path, "discriminator": discriminator});
    app.ask(&app.token(role, json!({})), ACCEPT, json!({"input": input})).await
}

async fn accept(app: &TestApp, path: &str, discriminator: &str) -> Value {
    let mut answer = ask_accept(app, "steward", path, discriminator).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["acceptUnion"].take()
}

async fn accept_both(app: &TestApp) {
    accept(app, "/body/commits", "/body/commits/*/kind").await;
    let accepted = accept(app, "/body", "/event").await;
    assert_eq!(
        (&accepted["field"], &accepted["type"]),
        (&json!("bodyVariant"), &json!("HookEventBodyVariant"))
    );
}

async fn rows(app: &TestApp, token: &str, arguments: &str, selected: &str) -> Value {
    let query = format!("{{ hookEvent({arguments} orderBy: [{{n: ASC}}]) {{ nodes {{ {selected} }} }} }}");
    app.data_as(token, &query).await["hookEvent"]["nodes"].take()
}

async fn decide(app: &TestApp, path: &str, hidden: bool) {
    let query = format!(
        "mutation {{ decideField(input: {{collection: \"hookEvent\", path: \"{path}\", hidden: {hidden}}}) {{
            changed }} }}"
    );
    assert_eq!(app.data_as(&app.token("steward", json!({})), &query).await["decideField"]["changed"], true);
}

/// The types that somebody sees, by name, each with its fields.
async fn types(app: &TestApp, token: &str) -> serde_json::Map<String, Value> {
    let query = "{ __schema { types { name fields { name } possibleTypes { name } } } }";
    let told = app.data_as(token, query).await;
    let types = told["__schema"]["types"].as_array().unwrap().iter();
    types.map(|ty| (ty["name"].as_str().unwrap().to_owned(), ty.clone())).collect()
}

fn names(of: &Value) -> Vec<&str> {
    of.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

on_every_backend! {
    async fn what_explains_the_members_is_offered_to_stewards(backend) {
        let app = events(backend).await;
        let asked = "{ collection(name: \"hookEvent\") { unionCandidates {
            path discriminator score count variants { value count members } field } } }";
        let told = app.data_as(&app.token("steward", json!({})), asked).await;
        let offers = told["collection"]["unionCandidates"].as_array().unwrap().clone();
        assert_eq!(offers.len(), 1, "{offers:?}");
        assert_eq!((&offers[0]["path"], &offers[0]["discriminator"]), (&json!("/body"), &json!("/event")));
        assert!(offers[0]["score"].as_f64().unwrap() > 0.9 && offers[0]["count"] == "24", "{offers:?}");
        assert_eq!(offers[0]["variants"], json!([
            {"value": "issue", "count": "8", "members": ["/body/title", "/body/who"]},
            {"value": "push", "count": "8", "members": ["/body/commits", "/body/ref"]},
            {"value": "star", "count": "8", "members": ["/body/stars"]},
        ]));
        assert_eq!(offers[0]["field"], Value::Null);
        let consumer = app.data_as(&app.token("consumer", json!({})), asked).await;
        assert_eq!(consumer["collection"]["unionCandidates"], Value::Null);
        for (role, path, discriminator, code) in [
            ("consumer", "/body", "/event", "FORBIDDEN"),
            ("steward", "/none", "/event", "NOT_FOUND"),
            ("steward", "/n", "/event", "NOT_FOUND"),
            ("steward", "/body", "/n", "NOT_FOUND"),
            ("steward", "/body", "/body/commits/*/kind", "NOT_FOUND"),
            ("steward", "/body/commits", "/event", "NOT_FOUND"),
            ("steward", "/body/who", "/body/who/mail", "BAD_REQUEST"),
        ] {
            let answer = ask_accept(&app, role, path, discriminator).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{path} {discriminator}: {answer}");
        }
        accept_both(&app).await;
        let told = app.data_as(&app.token("steward", json!({})), asked).await;
        assert_eq!(told["collection"]["unionCandidates"][0]["field"], "bodyVariant");
    }

    async fn what_is_accepted_stands_beside_the_object(backend) {
        let app = events(backend).await;
        let consumer = app.token("consumer", json!({}));
        let before = types(&app, &consumer).await;
        accept_both(&app).await;
        let after = types(&app, &consumer).await;
        let changed = before.iter().filter(|(name, ty)| after[*name] != **ty);
        let changed: Vec<&String> = changed.map(|(name, _)| name).collect();
        assert_eq!(changed, ["HookEvent", "HookEventBody"], "nothing else that was published has changed");
        assert_eq!(names(&after["HookEvent"]["fields"]), ["body", "bodyVariant", "event", "n", "_record", "_rest"]);
        assert_eq!(names(&after["HookEventBodyVariant"]["possibleTypes"]),
            ["HookEventBodyIssue", "HookEventBodyPush", "HookEventBodyStar"]);
        assert_eq!(names(&after["HookEventBodyPush"]["fields"]), ["commits", "commitsVariant", "ref"]);
        assert_eq!(names(&after["HookEventBodyIssue"]["fields"]), ["title", "who"]);
        let query = format!("{{ hookEvent(first: 3, orderBy: [{{n: ASC}}]) {{ nodes {{ n {SHOWN} }} }} }} {COMMIT}");
        let found = app.data_as(&consumer, &query).await["hookEvent"]["nodes"].take();
        let mail = found[1]["bodyVariant"]["who"]["mail"].as_str().unwrap().to_owned();
        assert!(!mail.contains("ada"), "it is masked there, too: {mail}");
        let push = json!({"kind": "HookEventBodyPush", "ref": "main",
            "commitsVariant": [{}, {"from": "a", "to": "b"}]});
        assert_eq!(found, json!([
            {"n": 0, "bodyVariant": push},
            {"n": 1, "bodyVariant": {"kind": "HookEventBodyIssue", "title": "T1", "who": {"mail": mail}}},
            {"n": 2, "bodyVariant": {"kind": "HookEventBodyStar"}},
        ]));
        let one = format!("{{ hookEventByKey(sourceUid: \"0\") {{ {SHOWN} }} }} {COMMIT}");
        assert_eq!(app.data_as(&consumer, &one).await["hookEventByKey"]["bodyVariant"], push);
        // A fragment on the object's type, a member of another variant, and a field of the object itself.
        for wrong in ["... on HookEventBody { title }", "... on HookEventBodyStar { title }", "title"] {
            let query = format!("{{ hookEvent {{ nodes {{ bodyVariant {{ {wrong} }} }} }} }}");
            assert_eq!(app.codes(&consumer, &query).await, ["BAD_REQUEST"], "{wrong}");
        }
        let events =
            format!("subscription {{ hookEvent(snapshot: true) {{ op node {{ n {SHOWN} }} }} }} {COMMIT}");
        let mut live = app.subscribe(&consumer, &events).await;
        live.until_op("CAUGHT_UP").await;
        app.source("hook/event/web/30", &event(30)).await;
        assert_eq!(live.next().await["node"], json!({"n": 30, "bodyVariant": push}));
        app.source("hook/event/web/31", &json!({"n": 31, "event": "fork", "body": {"title": "T", "forks": 1}})).await;
        assert_eq!(live.next().await["node"], json!({"n": 31, "bodyVariant": null}), "it is not known");
        app.source("hook/event/web/32", &json!({"n": 32, "event": "push"})).await;
        assert_eq!(live.next().await["node"], json!({"n": 32, "bodyVariant": null}));
        // REST has what is in the object.
        let csv = format!("{}/data/hookEvent.csv?first=1", app.url);
        let csv = app.client.get(csv).bearer_auth(&consumer).send().await.unwrap().text().await.unwrap();
        assert!(csv.contains("body.ref") && !csv.contains("Variant"), "{csv}");
        // Accepted again, it has the new variant; what there was is called as it was.
        accept(&app, "/body", "/event").await;
        let selected = "bodyVariant { __typename ... on HookEventBodyFork { title forks } }";
        assert_eq!(rows(&app, &consumer, "where: {n: {gte: 30}}", selected).await, json!([
            {"bodyVariant": {"__typename": "HookEventBodyPush"}},
            {"bodyVariant": {"__typename": "HookEventBodyFork", "title": "T", "forks": 1}},
            {"bodyVariant": null},
        ]));
    }

    async fn who_may_not_see_what_tells_them_apart_has_none(backend) {
        let app = events(backend).await;
        accept_both(&app).await;
        let (consumer, steward) = (app.token("consumer", json!({})), app.token("steward", json!({})));
        let kinds = "bodyVariant { __typename }";
        // A hidden member is hidden in every variant; a variant without members is none.
        decide(&app, "/body/title", true).await;
        let titles = "{ hookEvent { nodes { bodyVariant { ... on HookEventBodyIssue { title } } } } }";
        assert_eq!(app.codes(&consumer, titles).await, ["BAD_REQUEST"]);
        assert_eq!(names(&types(&app, &consumer).await["HookEventBodyIssue"]["fields"]), ["who"]);
        decide(&app, "/body/who", true).await;
        assert!(!types(&app, &consumer).await.contains_key("HookEventBodyIssue"));
        let seen = rows(&app, &consumer, "first: 3", kinds).await;
        assert_eq!(seen[1]["bodyVariant"], Value::Null, "{seen}");
        let seen = rows(&app, &steward, "first: 3", kinds).await;
        assert_eq!(seen[1]["bodyVariant"]["__typename"], "HookEventBodyIssue");
        let changes = format!("subscription {{ hookEvent(snapshot: true) {{ op node {{ {kinds} }} }} }}");
        let mut live = app.subscribe(&consumer, &changes).await;
        live.until_op("CAUGHT_UP").await;
        decide(&app, "/event", true).await;
        app.source("hook/event/web/40", &event(40)).await;
        let ended = live.receive().await.to_string();
        assert!(ended.contains("BAD_REQUEST"), "{ended}");
        let query = format!("{{ hookEvent {{ nodes {{ {kinds} }} }} }}");
        assert_eq!(app.codes(&consumer, &query).await, ["BAD_REQUEST"]);
        let told = types(&app, &consumer).await;
        assert!(!told.keys().any(|name| name.contains("Push") || name == "HookEventBodyVariant"), "{:?}", told.keys());
        assert!(told.contains_key("HookEventBodyCommitsVariant"), "its discriminator is seen");
        assert_eq!(rows(&app, &steward, "first: 1", kinds).await[0]["bodyVariant"]["__typename"], "HookEventBodyPush");
        // A masked discriminator would tell, too.
        decide(&app, "/event", false).await;
        let tag = "mutation { decideField(input: {collection: \"hookEvent\", path: \"/event\",
            tags: [\"pii.odd\"]}) { changed } }";
        app.data_as(&steward, tag).await;
        assert_eq!(app.codes(&consumer, &query).await, ["BAD_REQUEST"]);
        let told = "{ shapeDecisions(collection: \"hookEvent\") { kind paths before after } }";
        let decisions = app.data_as(&steward, told).await["shapeDecisions"].take();
        let body = decisions.as_array().unwrap().iter().find(|one| one["kind"] == "UNION").unwrap();
        assert_eq!((&body["paths"], &body["before"]), (&json!(["/body"]), &Value::Null));
        assert_eq!(body["after"]["variants"][2], json!({"value": "star", "members": ["/body/stars"]}));
    }

    async fn it_is_taken_back_and_accepted_again_by_its_name(backend) {
        let app = events(backend).await;
        accept_both(&app).await;
        let consumer = app.token("consumer", json!({}));
        let answer = ask_accept(&app, "steward", "/body", "/body/title").await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "CONFLICT", "{answer}");
        let steward = app.token("steward", json!({}));
        assert_eq!(app.codes(&consumer, REMOVE).await, ["FORBIDDEN"]);
        let removed = app.data_as(&steward, REMOVE).await;
        assert_eq!(removed["removeUnion"], json!({"changed": true, "field": "bodyVariant"}));
        assert_eq!(app.codes(&steward, REMOVE).await, ["NOT_FOUND"]);
        let query = "{ hookEvent { nodes { bodyVariant { __typename } } } }";
        assert_eq!(app.codes(&consumer, query).await, ["BAD_REQUEST"]);
        // A field of a source must not take its name meanwhile.
        app.source("hook/event/web/50", &json!({"n": 50, "bodyVariant": 1, "variant": 2})).await;
        app.settled().await;
        accept_both(&app).await;
        let whole = accept(&app, "", "/event").await;
        assert_eq!((&whole["field"], &whole["type"]), (&json!("variant2"), &json!("HookEventVariant")));
        let selected = "bodyVariant2 variant variant2 { ... on HookEventPush { event body { ref } } }";
        let query = format!("{{ hookEventByKey(sourceUid: \"0\") {{ {selected} }} }}");
        let seen = app.data_as(&consumer, &query).await;
        assert_eq!(seen["hookEventByKey"], json!({"bodyVariant2": null, "variant": null,
            "variant2": {"event": "push", "body": {"ref": "main"}}}));
        let versions = "{ collection(name: \"hookEvent\") { versions { changes { path change from to } } } }";
        let told = app.data_as(&consumer, versions).await["collection"]["versions"].take();
        assert_eq!(told[0]["changes"], json!([{"path": "", "change": "UNITED", "from": "0", "to": "3"}]));
    }

    /// An object without columns of its own, by a column and by a member of its own.
    async fn packed_objects_have_variants_too(backend) {
        let app = TestApp::start_with(backend, |config| config.shape.columns_max = 8).await;
        let mut body: serde_json::Map<String, Value> = (0..7).map(|n| (format!("x{n}"), json!(n))).collect();
        body.insert("ref".into(), json!("all"));
        app.source("hook/event/web/first", &json!({"n": -1, "event": "all", "body": body})).await;
        app.settled().await;
        let app = filled(app).await;
        let shape = app.data("{ __type(name: \"HookEventFilter\") { inputFields { name type { name } } } }").await;
        assert!(shape.to_string().contains(r#"{"name":"body","type":{"name":"PresenceFilter"}}"#), "{shape}");
        let consumer = app.token("consumer", json!({}));
        accept_both(&app).await;
        let query = format!(
            "{{ hookEvent(where: {{n: {{gte: 0}}}} first: 3, orderBy: [{{n: ASC}}]) {{
                nodes {{ n {SHOWN} }} }} }} {COMMIT}"
        );
        let found = app.data_as(&consumer, &query).await["hookEvent"]["nodes"].take();
        assert_eq!(found[0]["bodyVariant"], json!({"kind": "HookEventBodyPush", "ref": "main",
            "commitsVariant": [{}, {"from": "a", "to": "b"}]}));
        assert_eq!((&found[1]["bodyVariant"]["title"], &found[2]["bodyVariant"]),
            (&json!("T1"), &json!({"kind": "HookEventBodyStar"})));
        app.data_as(&app.token("steward", json!({})), REMOVE).await;
        accept(&app, "/body", "/body/title").await;
        let types = types(&app, &consumer).await;
        let kinds = names(&types["HookEventBodyVariant"]["possibleTypes"]).join(" ");
        let selected = "bodyVariant { ... on HookEventBodyT1 { title } }";
        let found = rows(&app, &consumer, "where: {n: {gte: 0}} first: 2", selected).await;
        assert_eq!(found, json!([{"bodyVariant": null}, {"bodyVariant": {"title": "T1"}}]));
        assert!(!kinds.contains("Push"), "{kinds}");
    }
}
