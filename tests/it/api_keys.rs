//! API keys: made by administrators, told once, good on every node until they expire or are revoked.

use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use sqlx::Connection;
use wellspring::telemetry::Clock;

use crate::cli::{place, run};
use crate::support::{Backend, TestApp, eventually, on_backends, on_every_backend};

const CREATE: &str = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) \
    { key apiKey { id name subject roles claims contract createdBy expiresAt revokedAt lastUsedAt } } }";

async fn create(app: &TestApp, token: &str, more: Value) -> Value {
    let mut input = json!({"name": "loader", "subject": "robot", "roles": []});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.ask(token, CREATE, json!({ "input": input })).await
}

/// Makes a key as admin: its text and its id.
async fn made(app: &TestApp, more: Value) -> (String, String) {
    let answer = create(app, &app.admin(), more).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    let made = &answer["data"]["createApiKey"];
    (made["key"].as_str().unwrap().to_owned(), made["apiKey"]["id"].as_str().unwrap().to_owned())
}

async fn revoke(app: &TestApp, id: &str) -> Value {
    app.data(&format!("mutation {{ revokeApiKey(id: \"{id}\") {{ id revokedAt revokedBy }} }}")).await["revokeApiKey"]
        .clone()
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// The statuses of GraphQL, of a read by REST and of a document that is sent.
async fn statuses(app: &TestApp, key: &str) -> [u16; 3] {
    let at = |path: &str| format!("{}{path}", app.url);
    let query = json!({"query": "{ __typename }"});
    let sent =
        app.client.post(at("/source/shop/order/web/9")).header("x-api-key", key).json(&json!({"n": 9}));
    [
        status(app.client.post(at("/graphql")).bearer_auth(key).json(&query)).await,
        status(app.client.get(at("/data/shopOrder.json")).header("x-api-key", key)).await,
        status(sent).await,
    ]
}

async fn shop(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    app.source("shop/order/web/1", &json!({"n": 1})).await;
    app.settled().await;
    app
}

/// Another node where there can be one.
async fn other(app: &TestApp, backend: Backend) -> Option<TestApp> {
    if backend == Backend::Embedded { None } else { Some(app.beside().await) }
}

on_every_backend! {
    async fn a_key_speaks_for_whom_it_was_made(backend) {
        let app = shop(backend).await;
        let steward = app.token("steward", json!({}));
        let mut told_to_steward = app.subscribe(&steward, "subscription { events { kind } }").await;
        assert_eq!(told_to_steward.next().await["kind"], "CAUGHT_UP");
        let events = "subscription { events { kind subject apiKey { id name subject } changes { path } } }";
        let mut told = app.subscribe(&app.admin(), events).await;
        assert_eq!(told.next().await["kind"], "CAUGHT_UP");
        let asked = json!({"roles": ["source", "consumer"], "claims": {"categories": ["shop"], "deep": {"a": [1]}}});
        let (key, id) = made(&app, asked).await;
        let event = json!({"kind": "API_KEY_CREATED", "subject": "admin", "changes": [],
            "apiKey": {"id": id, "name": "loader", "subject": "robot"}});
        assert_eq!(told.next().await, event);
        assert!(key.starts_with("wsk_") && key.len() == 47, "{key}");
        assert_eq!(statuses(&app, &key).await, [200, 200, 202]);
        // The claim that the base policy knows holds it to its category.
        let outside = app.client.post(format!("{}/source/zoo/animal/web/1", app.url)).bearer_auth(&key);
        assert_eq!(status(outside.json(&json!({}))).await, 403);
        let author = "{ shopOrderByKey(sourceUid: \"9\") { _record { author } } }";
        let data = app.data_until(author, |data| data["shopOrderByKey"].is_object()).await;
        assert_eq!(data["shopOrderByKey"]["_record"]["author"], "robot");
        let listed = "{ apiKeys { id name subject roles claims contract createdBy expiresAt revokedAt lastUsedAt } }";
        let data = app.data_until(listed, |data| data["apiKeys"][0]["lastUsedAt"].is_string()).await;
        let one = &data["apiKeys"][0];
        assert_eq!((&one["id"], &one["createdBy"], &one["revokedAt"]), (&json!(id), &json!("admin"), &Value::Null));
        assert_eq!(one["claims"], json!({"categories": ["shop"], "deep": {"a": [1]}}));
        assert!(!data.to_string().contains(&key));
        if let Some(beside) = other(&app, backend).await {
            assert_eq!(statuses(&beside, &key).await, [200, 200, 202]);
        }
        revoke(&app, &id).await;
        assert_eq!(told.next().await["kind"], "API_KEY_REVOKED");
        // Stewards hear of what comes later, and so have not heard of keys.
        app.source("shop/order/web/2", &json!({"n": 2, "late": true})).await;
        assert_eq!(told_to_steward.next().await["kind"], "SHAPE_CHANGED");
    }

    async fn who_may_not_make_one_is_told_why(backend) {
        let app = TestApp::start_with(backend, |config| {
            let policies = config.store.data.join("policies");
            std::fs::create_dir_all(&policies).unwrap();
            let rules = "allow(user: User, \"administer\", _: Source) if \"keeper\" in user.roles \
                or \"admin\" in user.roles;\n";
            std::fs::write(policies.join("rules.polar"), rules).unwrap();
            config.auth.keys_max = 2;
        })
        .await;
        let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("none").to_owned();
        let keeper = app.token("keeper", json!({}));
        assert_eq!(code(&create(&app, &app.token("steward", json!({})), json!({})).await), "FORBIDDEN");
        for role in ["admin", "steward"] {
            let refused = create(&app, &keeper, json!({"roles": ["keeper", role]})).await;
            assert_eq!(code(&refused), "FORBIDDEN", "{refused}");
            assert!(refused.to_string().contains(&format!("`{role}`")), "{refused}");
        }
        for (more, expected) in [
            (json!({"claims": {"sub": "root"}}), "BAD_REQUEST"),
            (json!({"claims": {"roles": ["admin"]}}), "BAD_REQUEST"),
            (json!({"claims": ["admin"]}), "BAD_REQUEST"),
            (json!({"claims": {"x": "y".repeat(9_000)}}), "TOO_LARGE"),
            (json!({"name": ""}), "BAD_REQUEST"),
            (json!({"subject": "a\nb"}), "BAD_REQUEST"),
            (json!({"expiresAt": "2020-01-01T00:00:00Z"}), "BAD_REQUEST"),
            (json!({"contract": "nobody"}), "NOT_FOUND"),
        ] {
            let refused = create(&app, &app.admin(), more.clone()).await;
            assert_eq!(code(&refused), expected, "{more}: {refused}");
        }
        let (key, id) = made(&app, json!({"roles": ["admin"]})).await;
        let refused = create(&app, &key, json!({})).await;
        assert!(code(&refused) == "FORBIDDEN" && refused.to_string().contains("makes no other"), "{refused}");
        made(&app, json!({})).await;
        assert_eq!(code(&create(&app, &keeper, json!({})).await), "CONFLICT");
        assert_eq!(revoke(&app, &id).await["revokedBy"], "admin");
        assert_eq!(code(&create(&app, &keeper, json!({"roles": ["keeper"]})).await), "none");
        let none = "mutation { revokeApiKey(id: \"0198c0de-0000-7000-8000-000000000000\") { id } }";
        assert_eq!(app.codes(&app.admin(), none).await, ["NOT_FOUND"]);
        assert_eq!(app.codes(&app.token("steward", json!({})), "{ apiKeys { id } }").await, ["FORBIDDEN"]);
        for wrong in ["wsk_", "wsk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &key[..46], &format!("{key}x")] {
            let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(wrong).json(&json!({}));
            assert_eq!(status(request).await, 401, "{wrong}");
        }
        let both = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin()).header("x-api-key", &key);
        assert_eq!(status(both.json(&json!({}))).await, 401);
        let token = app.client.post(format!("{}/graphql", app.url)).header("x-api-key", app.admin());
        assert_eq!(status(token.json(&json!({}))).await, 401);
    }

    async fn a_revoked_key_ends_on_every_node(backend) {
        let app = shop(backend).await;
        let beside = other(&app, backend).await;
        let far = beside.as_ref().unwrap_or(&app);
        let (key, id) = made(&app, json!({"roles": ["consumer", "source"]})).await;
        eventually("the key on the other node", async || {
            let found = statuses(far, &key).await;
            if found == [200, 200, 202] { Ok(()) } else { Err(found) }
        })
        .await;
        let query = "subscription { shopOrder(snapshot: true) { op } }";
        let (mut near_open, mut far_open) = (app.subscribe(&key, query).await, far.subscribe(&key, query).await);
        for open in [&mut near_open, &mut far_open] {
            open.until_op("CAUGHT_UP").await;
        }
        let began = Instant::now();
        let first = revoke(&app, &id).await;
        assert_eq!(statuses(&app, &key).await, [401, 401, 401], "at once on the node that revoked it");
        eventually("the key to be gone on the other node", async || {
            let found = statuses(far, &key).await;
            if found == [401, 401, 401] { Ok(()) } else { Err(found) }
        })
        .await;
        assert_eq!((near_open.closed().await, far_open.closed().await), (4403, 4403));
        let took = began.elapsed();
        println!("revoked everywhere after {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        // Once is enough; it stays as it was.
        assert_eq!(revoke(&app, &id).await, first);
        assert_eq!(statuses(&app, &key).await, [401, 401, 401]);
    }

    async fn a_key_ends_at_its_time(backend) {
        let app = shop(backend).await;
        let at = jiff::Timestamp::from_microsecond(Clock::system().now_us() + 3_000_000).unwrap();
        let (key, _) = made(&app, json!({"roles": ["consumer", "source"], "expiresAt": at.to_string()})).await;
        assert_eq!(statuses(&app, &key).await, [200, 200, 202]);
        let mut open = app.subscribe(&key, "subscription { shopOrder(snapshot: true) { op } }").await;
        open.until_op("CAUGHT_UP").await;
        let events = app.client.post(format!("{}/graphql", app.url)).bearer_auth(&key);
        let events = events.header("accept", "text/event-stream");
        let events = events.json(&json!({"query": "subscription { shopOrder { op } }"})).send().await.unwrap();
        assert_eq!(events.status(), 200);
        assert_eq!(open.closed().await, 4403);
        // The stream of events ends as well, without a word.
        assert!(!events.text().await.unwrap().contains("complete"));
        assert_eq!(statuses(&app, &key).await, [401, 401, 401]);
    }

    async fn a_key_may_be_for_one_contract_alone(backend) {
        let app = shop(backend).await;
        app.source("shop/secret/web/1", &json!({"n": 1})).await;
        app.settled().await;
        let contract = |version: u32, field: &str| {
            format!("name = 'acme'\nversion = {version}\nconsumers = [{{claim = 'client', value = 'acme'}}]\n\
                [collections.shopOrder]\nfields = ['n']\nrename = {{ n = '{field}' }}\n")
        };
        let apply = "mutation($text: String!) { applyContract(input: {text: $text}) { applied } }";
        for (version, field) in [(1, "first"), (2, "second")] {
            let answer = app.ask(&app.admin(), apply, json!({"text": contract(version, field)})).await;
            assert_eq!(answer["data"]["applyContract"]["applied"], true, "{answer}");
        }
        let (newest, _) = made(&app, json!({"roles": ["admin"], "contract": "acme"})).await;
        let (pinned, _) = made(&app, json!({"roles": ["admin", "source"], "contract": "acme@1"})).await;
        let told = app.data_as(&newest, "{ contract { version } shopOrder { nodes { second } } }").await;
        assert_eq!(told, json!({"contract": {"version": 2}, "shopOrder": {"nodes": [{"second": 1}]}}));
        let told = app.data_as(&pinned, "{ contract { version } shopOrder { nodes { first } } }").await;
        assert_eq!(told, json!({"contract": {"version": 1}, "shopOrder": {"nodes": [{"first": 1}]}}));
        // Whatever its roles, there is nothing else.
        for query in ["{ shopSecret { totalCount } }", "{ collections { name } }", "{ apiKeys { id } }"] {
            let answer = app.ask(&newest, query, json!({})).await;
            assert!(answer["errors"].is_array() && answer["data"].is_null(), "{query}: {answer}");
        }
        assert_eq!(statuses(&app, &pinned).await, [200, 200, 403]);
        let under = async |key: &str, contract: &str| {
            let request = app.client.get(format!("{}/data/shopOrder.json", app.url)).header("x-api-key", key);
            status(request.header("wellspring-contract", contract)).await
        };
        for (key, contract, expected) in [
            (&newest, "acme", 200),
            (&newest, "acme@1", 200),
            (&newest, "acme@3", 404),
            (&newest, "other", 404),
            (&pinned, "acme", 200),
            (&pinned, "acme@1", 200),
            (&pinned, "acme@2", 404),
        ] {
            assert_eq!(under(key, contract).await, expected, "{contract}");
        }
        let mut live = app.subscribe(&pinned, "subscription { shopOrder(snapshot: true) { node { first } } }").await;
        assert_eq!(live.next().await["node"], json!({"first": 1}));
    }
}

on_backends! {
    [postgres Postgres, scaled Scaled]
    async fn a_key_is_not_believed_while_nobody_can_tell(backend) {
        let app = shop(backend).await;
        let (key, _) = made(&app, json!({"roles": ["consumer"]})).await;
        let url = app.config().store.database_url.clone().unwrap();
        let mut database = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("alter table api_key_pos rename to away").execute(&mut database).await.unwrap();
        let until = async |expected: u16| {
            eventually("what is said of the key", async || {
                let request = app.client.get(format!("{}/data/shopOrder.json", app.url)).header("x-api-key", &key);
                let found = status(request).await;
                if found == expected { Ok(()) } else { Err(found) }
            })
            .await;
        };
        until(503).await;
        let health = app.client.get(format!("{}/healthz", app.url)).header("x-api-key", &key);
        assert_eq!(status(health).await, 200);
        // Tokens have nothing to do with it.
        assert_eq!(app.data("{ shopOrder { totalCount } }").await["shopOrder"]["totalCount"], 1);
        sqlx::raw_sql("alter table away rename to api_key_pos").execute(&mut database).await.unwrap();
        until(200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_key_only_its_hash_is_kept() {
    let mut app = shop(Backend::Embedded).await;
    let (key, id) = made(&app, json!({"subject": "zebra", "roles": ["consumer"]})).await;
    assert_eq!(statuses(&app, &key).await[..2], [200, 200]);
    app.end().await;
    let mut seen = false;
    for entry in std::fs::read_dir(&app.config().store.data).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        seen |= has("zebra");
        assert!(!has(&key) && !has(&key[4..]), "{id} stands in {}", path.display());
    }
    assert!(seen, "the key's subject stands in the database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_make_list_and_revoke_keys() {
    let (app, place) = (shop(Backend::Embedded).await, place());
    let admin = app.admin();
    let key = |args: &[&str]| {
        let all = [&["key"], args, &["--url", &app.url, "--token", &admin]].concat();
        tokio::task::block_in_place(|| run(place.path(), &all))
    };
    let create =
        ["create", "--subject", "robot", "--name", "loader", "--role", "source", "--role", "consumer"];
    let said = key(&[&create[..], &["--claim", "categories=[\"shop\"]", "--ttl", "90d"]].concat());
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{said:?}");
    let made = said.out.trim();
    assert_eq!(statuses(&app, made).await, [200, 200, 202]);
    let said = key(&["list"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((said.code, lines.len()), (0, 2), "{said:?}");
    let cells: Vec<&str> = lines[1].split('\t').collect();
    assert_eq!(
        (cells[1], cells[2], cells[3], cells[6], cells[9]),
        ("loader", "robot", "source,consumer", "admin", "")
    );
    assert!(!said.out.contains(made));
    let said = key(&["revoke", cells[0]]);
    assert!(said.code == 0 && said.out.contains("of robot is revoked since"), "{said:?}");
    assert_eq!(statuses(&app, made).await, [401, 401, 401]);
    assert!(key(&["list"]).out.lines().nth(1).unwrap().ends_with("\trevoked"));
    for (args, code) in [
        (&["revoke", "nobody"][..], 2),
        (&["revoke", "0198c0de-0000-7000-8000-000000000000"], 1),
        (&["create", "--subject", "a", "--ttl", "never"], 2),
        (&["create", "--subject", "a", "--claim", "sub=root"], 2),
        (&["create", "--subject", "a", "--contract", "nobody"], 1),
    ] {
        let said = key(args);
        assert_eq!((said.code, said.out.as_str()), (code, ""), "{args:?}: {said:?}");
    }
}
