//! Modes: whether what records uncover is published, rescued, put to a steward or refused, by every way in; on all
//! nodes; and that nobody but stewards is told what waits.

use serde_json::{Value, json};
use wellspring::config::{Mode, ModeRule};

use crate::support::{Backend, TestApp, on_every_backend};

/// Begins the names and values of what is held back.
const MARK: &str = "zqheld";

async fn asked(app: &TestApp, role: &str, mutation: &str, mut input: Value) -> Value {
    input["collection"] = json!("aB");
    let members =
        if mutation == "setMode" { "collection version changed mode" } else { "collection version paths" };
    let kind = format!("{}{}", mutation[..1].to_uppercase(), &mutation[1..]);
    let query = format!("mutation($input: {kind}Input!) {{ {mutation}(input: $input) {{ {members} }} }}");
    app.ask(&app.token(role, json!({"sub": "stella"})), &query, json!({"input": input})).await
}

async fn decide(app: &TestApp, mutation: &str, input: Value) -> Value {
    let mut answer = asked(app, "steward", mutation, input).await;
    assert!(answer.get("errors").is_none(), "{mutation}: {answer}");
    answer["data"][mutation].take()
}

async fn set(app: &TestApp, path: &str, mode: &str) -> Value {
    decide(app, "setMode", json!({"path": path, "mode": mode})).await
}

async fn orders(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    app.source("a/b/c/1", &json!({"n": 1, "s": "x", "o": {"k": 1}, "l": [{"m": 1}]})).await;
    app.settled().await;
    app
}

/// The row of this uid, with what was rescued of it, as an admin sees it.
async fn row(app: &TestApp, uid: &str) -> Value {
    let query = format!(
        "{{ aBByKey(sourceUid: \"{uid}\") {{ n s o {{ k }} l {{ m }} _rest _record {{ rescued }} }} }}"
    );
    let mut data = app.data_until(&query, |data| data["aBByKey"].is_object()).await;
    let mut row = data["aBByKey"].take();
    let rescued = row["_record"]["rescued"].take();
    let rescued = rescued.as_array().cloned().unwrap_or_default();
    let told = |misfit: &Value| {
        let text = |member: &str| misfit[member].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("path"), text("value"), text("reason"))
    };
    row["rescued"] = rescued.iter().map(told).collect();
    row
}

/// Paths and types of what is published.
async fn fields(app: &TestApp) -> Vec<String> {
    let query = "{ collection(name: \"aB\") { shape { fields { path type } } } }";
    let data = app.data(query).await;
    let told =
        |field: &Value| format!("{} {}", field["path"].as_str().unwrap(), field["type"].as_str().unwrap());
    data["collection"]["shape"]["fields"].as_array().unwrap().iter().map(told).collect()
}

/// Sends what a mode may hold back, and waits until it is settled: the paths of a text and of an object.
async fn held(app: &TestApp) -> (String, String) {
    let (mail, inner) = (format!("{MARK}@example.org"), json!({format!("{MARK}In"): MARK, "b": 1}));
    app.source("a/b/c/2", &json!({"n": 2, format!("{MARK}Mail"): mail, format!("{MARK}O"): inner})).await;
    app.source("a/b/c/3", &json!({"n": 0.5, format!("{MARK}Mail"): null})).await;
    app.settled().await;
    (format!("/{MARK}Mail"), format!("/{MARK}O"))
}

const KNOWN: [&str; 6] = ["/l [Object]", "/l/*/m Int", "/n Int", "/o Object", "/o/k Int", "/s String"];

on_every_backend! {
    async fn a_frozen_collection_rescues_what_does_not_fit(backend) {
        let app = orders(backend).await;
        let done = set(&app, "", "RESCUE").await;
        assert_eq!((&done["mode"], &done["changed"]), (&json!("RESCUE"), &json!(true)));
        assert_eq!(set(&app, "", "RESCUE").await["changed"], false);
        let new = json!({"n": 1.5, "s": true, "new": {"a": [1]}, "o": {"k": 2, "z": "y"}, "l": [{"m": 2, "q": 1}]});
        app.source("a/b/c/2", &new).await;
        // By every way in.
        let (status, answer) = app.post("a/b/c?key=/id", "text/csv", "id,n,s,extra\n3,2,y,7\n", &[]).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
        let source = "mutation { source(input: {
            category: \"a\", subcategory: \"b\", sourceName: \"c\", sourceUid: \"4\", data: {n: 3, extra: \"z\"}
        }) { key } }";
        app.data_as(&app.token("source", json!({})), source).await;
        app.settled().await;
        let frozen = "not published: the mode here is RESCUE";
        let expected = json!({
            "n": null, "s": "true", "o": {"k": 2}, "l": [{"m": 2}], "_rest": null, "_record": {"rescued": null},
            "rescued": [
                format!("/new {{\"a\":[1]}}: {frozen}"),
                format!("/l/0/q 1: {frozen}"),
                "/n 1.5: not an integer of 32 bit; the mode here is RESCUE",
                format!("/o/z \"y\": {frozen}"),
            ],
        });
        assert_eq!(row(&app, "2").await, expected);
        let by_csv = row(&app, "3").await;
        assert_eq!(by_csv["n"], 2);
        assert_eq!(by_csv["rescued"].as_array().map(Vec::len), Some(2), "{by_csv}");
        assert_eq!(row(&app, "4").await["rescued"], json!([format!("/extra \"z\": {frozen}")]));
        assert_eq!(fields(&app).await, KNOWN);
        // What was held back is there when it is open again, and what comes then has its values.
        assert_eq!(decide(&app, "setMode", json!({"mode": null})).await["mode"], "OPEN");
        let open = fields(&app).await;
        for field in ["/n Float", "/new Object", "/new/a [Int]", "/o/z String", "/l/*/q Int", "/extra String"] {
            assert!(open.contains(&field.to_owned()), "{field}: {open:?}");
        }
        app.source("a/b/c/5", &json!({"n": 2.5, "o": {"z": "last"}})).await;
        app.settled().await;
        let last = "{ aBByKey(sourceUid: \"5\") { n o { z } } }";
        app.data_until(last, |data| data["aBByKey"] == json!({"n": 2.5, "o": {"z": "last"}})).await;
    }

    async fn a_path_has_a_mode_of_its_own_and_a_number_keeps_its_type(backend) {
        let app = orders(backend).await;
        set(&app, "/n", "RESCUE").await;
        set(&app, "/o", "REJECT").await;
        app.source("a/b/c/2", &json!({"n": 3_000_000_000_u32, "free": 1, "l": [{"q": 1}]})).await;
        app.settled().await;
        let row = row(&app, "2").await;
        let pinned = "/n 3000000000: not an integer of 32 bit; the mode here is RESCUE";
        assert_eq!((&row["n"], &row["rescued"]), (&Value::Null, &json!([pinned])));
        let published = fields(&app).await;
        for field in ["/n Int", "/free Int", "/l/*/q Int"] {
            assert!(published.contains(&field.to_owned()), "{published:?}");
        }
        let (status, answer) = app.post("a/b/c/3", "application/json", "{\"o\": {\"k\": 1, \"z\": 1}}", &[]).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("UNPROCESSABLE")), "{answer}");
        let modes = "{ collection(name: \"aB\") { modes { path mode } versions { changes { path change from to } } } }";
        let told = app.data_as(&app.token("consumer", json!({})), modes).await["collection"].take();
        assert_eq!(told["modes"], json!([{"path": "/n", "mode": "RESCUE"}, {"path": "/o", "mode": "REJECT"}]));
        let change = json!({"path": "/n", "change": "MODE", "from": "OPEN", "to": "RESCUE"});
        assert!(told["versions"].as_array().unwrap().iter().any(|version| version["changes"] == json!([change])));
        for (input, code) in [
            (json!({"path": "/nobody", "mode": "REVIEW"}), "NOT_FOUND"),
            (json!({"path": "n", "mode": "REVIEW"}), "NOT_FOUND"),
            (json!({"path": "", "mode": "SHUT"}), "BAD_REQUEST"),
        ] {
            let answer = asked(&app, "steward", "setMode", input).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
        }
        for role in ["consumer", "source"] {
            let answer = asked(&app, role, "setMode", json!({"mode": "REJECT"})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
        }
    }

    async fn what_does_not_fit_is_refused_alone_and_says_what_to_do(backend) {
        let app = orders(backend).await;
        set(&app, "", "REJECT").await;
        let text = "the document does not fit what `aB` is published as; \
            `/new`: not published: the mode here is REJECT; \
            `/n`: not an integer of 32 bit; the mode here is REJECT; \
            send what fits, or have a steward `acceptFields` or `setMode`";
        let wrong = json!({"n": 1.5, "new": {"a": 1}});
        let (status, answer) = app.post("a/b/c/2", "application/json", wrong.to_string(), &[]).await;
        assert_eq!((status, &answer["error"]["code"]), (422, &json!("UNPROCESSABLE")), "{answer}");
        assert_eq!(answer["error"]["message"], text);
        let many = json!({"category": "a", "subcategory": "b", "sourceName": "c", "documents": [
            {"sourceUid": "3", "data": {"n": 3}}, {"sourceUid": "4", "data": wrong},
            {"sourceUid": "5", "data": {"s": "y"}},
        ]});
        let query = "mutation($input: SourceManyInput!) { sourceMany(input: $input) {
            accepted rejected { index code message } } }";
        let token = app.token("source", json!({}));
        let answer = app.ask(&token, query, json!({"input": many})).await;
        let refused = json!([{"index": 1, "code": "UNPROCESSABLE", "message": text}]);
        assert_eq!(answer["data"]["sourceMany"], json!({"accepted": 2, "rejected": refused}), "{answer}");
        let lines = format!("{{\"id\":\"6\"}}\n{{\"n\":6,\"s\":\"{}\"}}\n", "x".repeat(200_000));
        let (_, answer) = app.post("a/b/c", "application/x-ndjson", lines, &[]).await;
        assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(1), &json!(0)), "{answer}");
        let (_, answer) = app.post("a/b/c", "text/csv", "n,s\n7,y\n7.5,y\n", &[]).await;
        assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(1), &json!(1)), "{answer}");
        assert_eq!(answer["rejected"][0]["code"], "UNPROCESSABLE");
        // At most so many misfits are named.
        let all: Value = (0..40).map(|n| (format!("k{n:02}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let (_, answer) = app.post("a/b/c/8", "application/json", all.to_string(), &[]).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("`/k09`") && message.contains("; and 30 more; ") && !message.contains("`/k10`"));
        app.settled().await;
        assert_eq!(fields(&app).await, KNOWN);
        assert_eq!(app.data("{ aB { totalCount } }").await["aB"]["totalCount"], 5);
        assert_eq!(app.data("{ records { id } }").await["records"].as_array().map(Vec::len), Some(5));
        // Other collections take all.
        app.source("a/other/c/1", &wrong).await;
    }

    async fn what_waits_is_told_to_stewards_only(backend) {
        let app = orders(backend).await;
        set(&app, "", "REVIEW").await;
        let (consumer, steward) = (app.token("consumer", json!({})), app.token("steward", json!({})));
        let changes = "subscription { aB(snapshot: true) { op node { n _record { rescued } } } }";
        let mut live = app.subscribe(&consumer, changes).await;
        live.next_where(|event| event["op"] == "CAUGHT_UP").await;
        let (at_mail, at_o) = held(&app).await;
        let event = live.next_where(|event| event["node"]["n"] == 2).await;
        assert!(!event.to_string().contains(MARK), "{event}");
        let query = "{ collection(name: \"aB\") { pending { path type from tags count firstSeen lastSeen } } }";
        let mut told = app.data_until_as(&steward, query, |data| data.to_string().contains(MARK)).await;
        let pending = told["collection"]["pending"].as_array_mut().unwrap();
        for waits in pending.iter_mut() {
            let times = [waits["firstSeen"].take(), waits["lastSeen"].take()];
            assert!(times.iter().all(Value::is_string), "{waits}");
        }
        pending.sort_by_key(|waits| waits["path"].to_string());
        let waits = |path: &str, ty: &str, from: Value, tags: &[&str], count: &str| {
            json!({"path": path, "type": ty, "from": from, "tags": tags, "count": count,
                "firstSeen": null, "lastSeen": null})
        };
        let expected = json!([
            waits("/n", "Float", json!("Int"), &[], "3"),
            waits(&at_mail, "String", Value::Null, &["pii.email"], "2"),
            waits(&at_o, "Object", Value::Null, &[], "1"),
            waits(&format!("{at_o}/b"), "Int", Value::Null, &[], "1"),
            waits(&format!("{at_o}/{MARK}In"), "String", Value::Null, &[], "1"),
        ]);
        assert_eq!(told["collection"]["pending"], expected);
        assert!(!told.to_string().contains("example.org"));
        for query in [
            "{ collections { pending { path } modes { path mode } shape { version fields { path } }
                versions { cause changes { path to } } } }",
            "{ __schema { types { name description fields { name description } inputFields { name } } } }",
            "{ aB { nodes { n _rest _record { rescued metaData } } } }",
        ] {
            let answer = app.ask(&consumer, query, json!({})).await.to_string();
            assert!(!answer.contains(MARK), "{answer}");
        }
        let none = app.data_as(&consumer, "{ collections { pending { path } } }").await;
        assert_eq!(none["collections"], json!([{"pending": null}]));
        for mutation in ["acceptFields", "rejectFields"] {
            for (role, paths, code) in [
                ("consumer", json!([at_mail]), "FORBIDDEN"),
                ("steward", json!([]), "BAD_REQUEST"),
                ("steward", json!(["/s"]), "NOT_FOUND"),
            ] {
                let answer = asked(&app, role, mutation, json!({"paths": paths})).await;
                assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{mutation}: {answer}");
            }
        }
    }

    async fn what_waits_is_accepted_or_rejected(backend) {
        let app = orders(backend).await;
        set(&app, "", "REVIEW").await;
        let consumer = app.token("consumer", json!({}));
        let (at_mail, at_o) = held(&app).await;
        let rejected = decide(&app, "rejectFields", json!({"paths": [at_o]})).await;
        assert_eq!(rejected["paths"], json!([at_o]));
        let accepted = decide(&app, "acceptFields", json!({"paths": [at_mail, "/n"]})).await;
        assert_eq!(accepted["paths"], json!(["/n", at_mail]));
        let left = app.data("{ collection(name: \"aB\") { pending { path } } }").await;
        assert_eq!(left["collection"]["pending"], json!([]));
        let (mail, o) = (format!("{MARK}@example.org"), json!({"b": 2}));
        app.source("a/b/c/4", &json!({"n": 1.5, format!("{MARK}Mail"): mail, format!("{MARK}O"): o})).await;
        app.settled().await;
        let seen = format!("{{ aBByKey(sourceUid: \"4\") {{ n {MARK}Mail }} }}");
        let seen = app.data_until_as(&consumer, &seen, |data| data["aBByKey"]["n"] == 1.5).await;
        // It is masked from its first row on.
        let masked = seen["aBByKey"][format!("{MARK}Mail")].as_str().unwrap();
        assert!(!masked.is_empty() && !masked.contains("example.org"), "{seen}");
        set(&app, "", "OPEN").await;
        app.source("a/b/c/5", &json!({format!("{MARK}O"): {"b": 3}, "young": 1})).await;
        app.settled().await;
        app.data_until_as(&consumer, "{ aB { nodes { young } } }", |_| true).await;
        assert!(!fields(&app).await.join(" ").contains(&at_o));
        let log = app.data("{ shapeDecisions(collection: \"aB\") { subject kind paths before after } }").await;
        let entry = |kind: &str, paths: &[&str], before: Value, after: Value| {
            json!({"subject": "stella", "kind": kind, "paths": paths, "before": before, "after": after})
        };
        let mode = |name: &str| json!({"mode": name});
        let published = |yes: bool| json!({"published": yes});
        let expected = json!([
            entry("MODE", &[""], mode("REVIEW"), mode("OPEN")),
            entry("ACCEPTED", &["/n", &at_mail], published(false), published(true)),
            entry("REJECTED", &[&at_o], json!({"rejected": false}), json!({"rejected": true})),
            entry("MODE", &[""], mode("OPEN"), mode("REVIEW")),
        ]);
        assert_eq!(log["shapeDecisions"], expected);
    }

    async fn rules_of_the_configuration_hold_from_the_first_record(backend) {
        let rule = |collection: &str, mode| ModeRule { collection: collection.into(), path: String::new(), mode };
        let app = TestApp::start_with(backend, |config| {
            config.shape.modes = vec![rule("aB", Mode::Review), rule("frozen*", Mode::Reject)];
        })
        .await;
        app.source("a/b/c/1", &json!({"n": 1})).await;
        app.source("frozen/one/c/1", &json!({"n": 1})).await;
        app.settled().await;
        assert_eq!(fields(&app).await, [""; 0]);
        let answer = asked(&app, "steward", "setMode", json!({"mode": "REJECT"})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
        decide(&app, "acceptFields", json!({"paths": [""]})).await;
        assert_eq!(fields(&app).await, ["/n Int"]);
        let (status, _) = app.post("frozen/one/c/2", "application/json", "{\"n\": \"x\"}", &[]).await;
        assert_eq!(status, 422);
        // A steward's word holds over the rule, until it is taken back; a rule may come later.
        set(&app, "", "OPEN").await;
        let app = app.restart_with(|config| config.shape.modes.push(rule("a*", Mode::Rescue))).await;
        assert_eq!(decide(&app, "setMode", json!({"mode": null})).await["mode"], "REVIEW");
        let later = rule("otherOne", Mode::Rescue);
        app.source("other/one/c/1", &json!({"n": 1})).await;
        app.settled().await;
        let app = app.restart_with(|config| config.shape.modes.push(later)).await;
        let modes = app.data("{ collection(name: \"otherOne\") { modes { path mode } } }").await;
        assert_eq!(modes["collection"]["modes"], json!([{"path": "", "mode": "RESCUE"}]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_are_compared_on_the_command_line() {
    let app = orders(Backend::Embedded).await;
    app.source("a/b/c/2", &json!({"n": 1.5, "new": 1})).await;
    app.settled().await;
    let (place, token) = (crate::cli::place(), app.token("consumer", json!({})));
    let (url, directory) = (app.url.clone(), place.path().to_owned());
    let said = tokio::task::spawn_blocking(move || {
        let compare = |more: &[&str]| {
            let all = [&["shape", "diff", "aB", "--url", &url, "--token", &token], more].concat();
            crate::cli::run(&directory, &all)
        };
        [
            compare(&[]),
            compare(&["--require", "backward"]),
            compare(&["--from", "1", "--to", "1", "--require", "full"]),
            compare(&["--from", "0", "--to", "1", "--require", "backward"]),
            compare(&["--from", "2", "--to", "1"]),
            compare(&["--to", "9"]),
            compare(&["--require", "forwards"]),
        ]
    });
    let [plain, broken, same, first, exchanged, unknown, usage] = said.await.unwrap();
    let table = "path\tchange\tfrom\tto\tbackward\tforward\n/n\tWIDENED\tInt\tFloat\tno\tyes\n\
        /new\tADDED\t\tInt\tyes\tno\n\
        version 1 to 2 compatible: backward no, forward no, full no\n";
    assert_eq!((plain.code, plain.out.as_str()), (0, table), "{plain:?}");
    assert_eq!((broken.code, broken.out.as_str()), (1, table), "{broken:?}");
    assert!(same.code == 0 && same.out.ends_with("backward yes, forward yes, full yes\n"), "{same:?}");
    assert!(first.code == 0 && first.out.ends_with("backward yes, forward no, full no\n"), "{first:?}");
    assert!(exchanged.code == 2 && exchanged.err.contains("exchange them"), "{exchanged:?}");
    assert!(unknown.code == 1 && unknown.err.contains("there is no version 9"), "{unknown:?}");
    assert!(usage.code == 2 && usage.err.contains("'forward'"), "{usage:?}");
    // Of what is hidden from the caller nothing is told, nor whether it breaks.
    let hide =
        "mutation { decideField(input: {collection: \"aB\", path: \"/n\", hidden: true}) { version } }";
    app.data(hide).await;
    let query =
        "{ shapeDiff(collection: \"aB\", from: 1, to: 2) { changes { path } compatible { backward } } }";
    let told = app.data_as(&app.token("consumer", json!({})), query).await;
    let expected = json!({"changes": [{"path": "/new"}], "compatible": {"backward": true}});
    assert_eq!(told["shapeDiff"], expected);
    assert_eq!(app.data(query).await["shapeDiff"]["compatible"]["backward"], false);
}

/// Two nodes of one database: what one sets holds on the other.
async fn two_nodes(backend: Backend) {
    let one = orders(backend).await;
    let two = one.beside().await;
    two.settled().await;
    set(&one, "", "RESCUE").await;
    for n in 10..20 {
        let app = if n % 2 == 0 { &one } else { &two };
        app.source(&format!("a/b/c/{n}"), &json!({"n": n, format!("new{n}"): 1})).await;
    }
    two.settled().await;
    assert_eq!(fields(&two).await, KNOWN);
    set(&two, "", "OPEN").await;
    // Whichever node settles it, its values are there, as all that was seen is published.
    for n in 10..20 {
        one.source(&format!("a/b/c/{n}"), &json!({"n": n, format!("new{n}"): 2})).await;
    }
    one.settled().await;
    for n in 10..20 {
        let query = format!("{{ aBByKey(sourceUid: \"{n}\") {{ new{n} _record {{ rescued }} }} }}");
        let expected = json!({format!("new{n}"): 2, "_record": {"rescued": null}});
        two.data_until(&query, |data| data["aBByKey"] == expected).await;
    }
    set(&one, "", "REJECT").await;
    // The other node's door knows it with its next look at the catalog.
    let modes = "{ collection(name: \"aB\") { modes { mode } } }";
    two.data_until(modes, |data| data["collection"]["modes"][0]["mode"] == "REJECT").await;
    let (status, _) = two.post("a/b/c/30", "application/json", "{\"unknown\": 1}", &[]).await;
    assert_eq!(status, 422);
}

crate::support::on_backends! { [postgres Postgres, scaled Scaled]
    async fn what_one_node_sets_holds_on_the_other(backend) {
        two_nodes(backend).await;
    }
}
