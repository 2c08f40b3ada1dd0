//! Contracts: what a consumer gets under one, by every way, and that there is nothing else for it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Backend, Subscription, TestApp, on_every_backend};

/// Begins the names and values of what is in no contract.
const MARK: &str = "zqheld";

const ACME: &str = r#"
name = "acme"
version = 1
consumers = [{ claim = "client", value = "acme" }]

[limits]
page_max = 2
depth_max = 6

[collections.shopOrder]
fields = ["total", "customer.name", "placed", "_record.sourceUid"]
rename = { total = "amount" }
where = { region = { eq = "north" } }

[collections.shopOrder.masks]
"customer.name" = { keep_first = 1 }
"#;

pub async fn shop(backend: Backend) -> TestApp {
    let app = TestApp::start(backend).await;
    for (uid, region, total) in
        [("1", "north", 10), ("2", "south", 20), ("3", "north", 30), ("4", "north", 40)]
    {
        let secret = format!("{MARK}{uid}");
        let document = json!({
            "total": total, "region": region, "placed": "2026-11-22", "zqheldMargin": total * 2,
            "customer": {"name": format!("Ann{uid}"), "zqheldMail": secret},
        });
        app.source(&format!("shop/order/web/{uid}"), &document).await;
    }
    app.source("zqheld/other/web/1", &json!({"zqheldName": MARK})).await;
    app.settled().await;
    app
}

pub async fn apply(app: &TestApp, text: &str) -> Value {
    let query = "mutation($input: ApplyContractInput!) { applyContract(input: $input) \
        { name version applied breaking changes { path text breaking } } }";
    app.ask(&app.admin(), query, json!({"input": {"text": text}})).await
}

pub async fn applied(app: &TestApp, text: &str) -> Value {
    let mut answer = apply(app, text).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["applyContract"].take()
}

pub fn consumer(app: &TestApp) -> String {
    app.token("consumer", json!({"sub": "carl", "client": "acme"}))
}

/// A read by REST, under a contract if one is named.
pub async fn rest(app: &TestApp, token: &str, path: &str, contract: Option<&str>) -> (StatusCode, String) {
    let mut request = app.client.get(format!("{}{path}", app.url)).bearer_auth(token);
    if let Some(contract) = contract {
        request = request.header("wellspring-contract", contract);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

/// The answer to the consumer under one of its contracts.
pub async fn graphql(app: &TestApp, contract: &str, query: &str) -> Value {
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(consumer(app));
    let request = request.header("wellspring-contract", contract).json(&json!({"query": query}));
    request.send().await.unwrap().json().await.unwrap()
}

on_every_backend! {
    async fn a_consumer_gets_its_slice_and_nothing_else(backend) {
        let app = shop(backend).await;
        let done = applied(&app, ACME).await;
        assert_eq!((&done["applied"], &done["breaking"]), (&json!(true), &json!(false)));
        assert_eq!(applied(&app, ACME).await["applied"], false);
        let token = consumer(&app);
        let query = "{ shopOrder(orderBy: {amount: DESC}, first: 2) { nodes \
            { amount placed customer { name } _record { sourceUid } } pageInfo { hasNextPage } totalCount } }";
        let data = app.data_as(&token, query).await;
        let expected = json!({"nodes": [
            {"amount": 40, "placed": "2026-11-22", "customer": {"name": "A…"}, "_record": {"sourceUid": "4"}},
            {"amount": 30, "placed": "2026-11-22", "customer": {"name": "A…"}, "_record": {"sourceUid": "3"}},
        ], "pageInfo": {"hasNextPage": true}, "totalCount": 3});
        assert_eq!(data["shopOrder"], expected);
        let told = app.data_as(&token, "{ contract { name version collections { name fields } } }").await;
        assert_eq!(told["contract"]["name"], "acme");

        // What it has not is as if there were nothing of that name.
        for query in [
            "{ shopOrder { nodes { total } } }",
            "{ shopOrder { nodes { region } } }",
            "{ shopOrder { nodes { zqheldMargin } } }",
            "{ shopOrder { nodes { customer { zqheldMail } } } }",
            "{ shopOrder { nodes { _rest } } }",
            "{ shopOrder { nodes { _record { rescued } } } }",
            "{ shopOrder { nodes { _record { ingestedAt } } } }",
            "{ shopOrder(where: {region: {eq: \"south\"}}) { totalCount } }",
            "{ shopOrder(where: {customer: {name: {eq: \"Ann1\"}}}) { totalCount } }",
            "{ shopOrder(orderBy: {zqheldMargin: ASC}) { totalCount } }",
            "{ shopOrderAggregate(groupBy: [region]) { count } }",
            "{ shopOrderAggregate { sum { zqheldMargin } } }",
            "{ shopOrder(first: 3) { totalCount } }",
            "{ zqheldOther { totalCount } }",
            "{ collections { name } }",
            "{ sources { category } }",
            "{ records { id } }",
            "mutation { retract(input: {category: \"shop\", subcategory: \"order\", sourceName: \"web\", \
                sourceUid: \"1\"}) { id } }",
        ] {
            let answer = app.ask(&token, query, json!({})).await;
            assert!(answer["errors"].is_array(), "{query}: {answer}");
            assert!(answer["data"].is_null(), "{query}: {answer}");
        }
        let by_key = "{ a: shopOrderByKey(sourceUid: \"1\") { amount } \
            b: shopOrderByKey(sourceUid: \"2\") { amount } }";
        assert_eq!(app.data_as(&token, by_key).await, json!({"a": {"amount": 10}, "b": null}));

        // Nothing of what is held back is in the schema, nor in rows by REST.
        let (status, sdl) = rest(&app, &token, "/graphql/schema", None).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!sdl.contains(MARK) && !sdl.contains("region") && !sdl.contains("source("), "{sdl}");
        let introspection = "{ __schema { types { name fields { name } inputFields { name } } } }";
        let types = app.data_as(&token, introspection).await.to_string();
        assert!(types.contains("amount") && !types.contains(MARK) && !types.contains("egion"), "{types}");
        let (status, csv) = rest(&app, &token, "/data/shopOrder.csv?order=amount", None).await;
        assert_eq!((status, csv.as_str()), (StatusCode::OK,
            "customer.name,placed,amount\r\nA…,2026-11-22,10\r\nA…,2026-11-22,30\r\nA…,2026-11-22,40\r\n"));
        assert_eq!(rest(&app, &token, "/data/zqheldOther.csv", None).await.0, StatusCode::NOT_FOUND);
        assert_eq!(rest(&app, &token, "/data/shopOrder.csv?fields=region", None).await.0, StatusCode::BAD_REQUEST);

        // Others are not bound, and cannot ask for it; who administers can.
        let other = app.token("consumer", json!({"sub": "dora"}));
        assert_eq!(app.data_as(&other, "{ shopOrder { totalCount } }").await["shopOrder"]["totalCount"], 4);
        assert_eq!(rest(&app, &other, "/data/shopOrder.json", Some("acme")).await.0, StatusCode::NOT_FOUND);
        let (status, json) = rest(&app, &app.admin(), "/data/shopOrder.json?order=amount", Some("acme@1")).await;
        assert!(status == StatusCode::OK && !json.contains("south"), "{json}");
    }

    async fn what_is_wrong_with_a_contract_is_said_and_changes_nothing(backend) {
        let app = shop(backend).await;
        let refused = async |text: &str| {
            let answer = apply(&app, text).await;
            let error = &answer["errors"][0];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            (text(&error["extensions"]["code"]), text(&error["message"]))
        };
        for (from, to, code, expected) in [
            ("total\", \"cust", "totl\", \"cust", "UNPROCESSABLE", "the nearest is `total`"),
            ("shopOrder", "shopOrdr", "UNPROCESSABLE", "the nearest is `shopOrder`"),
            ("north", "north\", nil = \"", "UNPROCESSABLE", "there is no condition `nil`"),
            ("\"amount\"", "\"placed\"", "UNPROCESSABLE", "two fields would be called `placed`"),
            ("\"amount\"", "\"__x\"", "UNPROCESSABLE", "`__x`"),
            ("version = 1", "version = 0", "UNPROCESSABLE", "counts from 1"),
            ("version = 1", "verson = 1", "UNPROCESSABLE", "unknown field `verson`"),
            ("name = \"acme\"", "name = \"Ac me\"", "UNPROCESSABLE", "`a` to `z`"),
            ("page_max = 2", "page_max = 0", "UNPROCESSABLE", "at least 1"),
            ("[limits]", "sunset = \"soon\"\n[limits]", "UNPROCESSABLE", "a day such as"),
            ("rename = ", "shape_version = 99\nrename = ", "UNPROCESSABLE", "no version 99"),
        ] {
            let (found, message) = refused(&ACME.replacen(from, to, 1)).await;
            assert_eq!(found, code, "{to}: {message}");
            assert!(message.contains(expected), "{to}: {message}");
        }
        let token = app.token("steward", json!({}));
        let query = "mutation($input: ApplyContractInput!) { applyContract(input: $input) { name } }";
        let answer = app.ask(&token, query, json!({"input": {"text": ACME}})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
        assert_eq!(app.data("{ contracts { name } }").await["contracts"], json!([]));

        applied(&app, ACME).await;
        let (code, message) = refused(&ACME.replace("page_max = 2", "page_max = 1")).await;
        assert!(code == "CONFLICT" && message.contains("as version 2"), "{message}");
        let second = ACME.replace("version = 1", "version = 2");
        let done = applied(&app, &second.replace("\"placed\", ", "")).await;
        assert_eq!(done["breaking"], true);
        assert_eq!(done["changes"], json!([
            {"path": "collections.shopOrder.fields", "text": "`placed` removed", "breaking": true},
        ]));
        let (code, _) = refused(&ACME.replace("acme\"\n", "acme\"\ndescription = \"x\"\n")).await;
        assert_eq!(code, "", "a description can change");

        // Both are served, the newer one by itself.
        let token = consumer(&app);
        let (_, newer) = rest(&app, &token, "/data/shopOrder.csv", None).await;
        let (_, older) = rest(&app, &token, "/data/shopOrder.csv", Some("acme@1")).await;
        assert!(!newer.contains("placed") && older.contains("placed"), "{newer} {older}");
        assert_eq!(rest(&app, &token, "/data/shopOrder.csv", Some("acme@3")).await.0, StatusCode::NOT_FOUND);
        let over = ACME.replace("acme\"\n", "acme\"\ndescription = \"x\"\nsunset = \"2026-01-01\"\n");
        applied(&app, &over).await;
        assert_eq!(rest(&app, &token, "/data/shopOrder.csv", Some("acme@1")).await.0, StatusCode::NOT_FOUND);
        let told = app.data("{ contracts { version over appliedBy } }").await;
        assert_eq!(told["contracts"], json!([
            {"version": 1, "over": true, "appliedBy": "admin"}, {"version": 2, "over": false, "appliedBy": "admin"},
        ]));
        let own = app.data_as(&app.token("consumer", json!({})), "{ contracts { version } }").await;
        assert_eq!(own["contracts"], json!([]));
    }

    async fn each_way_is_a_contracts_or_refused(backend) {
        let app = shop(backend).await;
        let token = consumer(&app);
        let query = "{ shopOrder { totalCount } }";
        for (version, way) in (1..).zip(["http", "rest", "sse", "websocket"]) {
            let head = format!("version = {version}\ntransports = [\"{way}\"]\n");
            applied(&app, &ACME.replace("version = 1\n", &head)).await;
            let mut served = Vec::new();
            let (status, _) = rest(&app, &token, "/data/shopOrder.csv", None).await;
            served.extend((status == StatusCode::OK).then_some("rest"));
            for (accept, name) in [("application/json", "http"), ("text/event-stream", "sse")] {
                let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(&token);
                let request = request.header("accept", accept).json(&json!({"query": query}));
                let text = request.send().await.unwrap().text().await.unwrap();
                assert!(text.contains("FORBIDDEN") != text.contains("\"totalCount\":3"), "{way} by {name}: {text}");
                served.extend((!text.contains("FORBIDDEN")).then_some(name));
            }
            if way == "websocket" {
                let answer = app.subscribe(&token, query).await.receive().await;
                assert_eq!(answer["payload"]["data"]["shopOrder"]["totalCount"], 3, "{answer}");
                served.push(way);
            } else {
                assert_eq!(Subscription::begun(&app.url, &token, None).await.closed().await, 4403);
            }
            assert_eq!(served, [way]);
        }
    }

    async fn a_relation_is_in_a_contract_only_by_its_name(backend) {
        let app = shop(backend).await;
        for (uid, order) in [("p1", "1"), ("p2", "2")] {
            app.source(&format!("shop/payment/web/{uid}"), &json!({"orderId": order, "paid": 7})).await;
        }
        app.settled().await;
        let accept = "mutation($input: AcceptRelationInput!) { acceptRelation(input: $input) { name inverseName } }";
        let input = json!({"from": {"collection": "shopPayment", "path": "/orderId"},
            "to": {"collection": "shopOrder", "path": "_record.sourceUid"},
            "name": "order", "inverseName": "payments"});
        let classify = "mutation { classifyFields(input: {collection: \"shopPayment\", \
            paths: [\"/orderId\", \"/paid\"]}) { unclassified } }";
        for (query, variables) in [(accept, json!({"input": input})), (classify, json!({}))] {
            let answer = app.ask(&app.admin(), query, variables).await;
            assert!(answer.get("errors").is_none(), "{answer}");
        }
        let contract = |name: &str, more: &str| format!(r#"
name = "{name}"
version = 1
consumers = [{{ claim = "client", value = "acme" }}]
[collections.shopOrder]
fields = ["total", "_record.sourceUid"{more}]
where = {{ region = {{ eq = "north" }} }}
[collections.shopPayment]
fields = ["paid", "orderId", "order"]
"#);
        applied(&app, &contract("with", ", \"payments\"")).await;
        applied(&app, &contract("without", "")).await;
        let query = "{ shopOrder(orderBy: {total: ASC}, first: 1) { nodes { payments { nodes { paid } } } } }";
        let answer = graphql(&app, "with", query).await;
        assert_eq!(answer["data"]["shopOrder"]["nodes"], json!([{"payments": {"nodes": [{"paid": 7}]}}]), "{answer}");
        let answer = graphql(&app, "without", query).await;
        assert!(answer["errors"].is_array() && answer["data"].is_null(), "{answer}");
        // What it leads to is what the contract gives of the other collection: the second order is of the south.
        let query = "{ shopPayment(orderBy: {orderId: ASC}) { nodes { order { total } } } }";
        let answer = graphql(&app, "with", query).await;
        let expected = json!([{"order": {"total": 10}}, {"order": null}]);
        assert_eq!(answer["data"]["shopPayment"]["nodes"], expected, "{answer}");
    }

    async fn a_contract_bounds_ways_formats_and_rates(backend) {
        let app = shop(backend).await;
        let head = "formats = [\"csv\"]\ntransports = [\"rest\"]\nsunset = \"2999-01-31\"\n[limits]\n";
        let text = ACME.replace("[limits]\n", &format!("{head}requests_per_minute = 2\n"));
        applied(&app, &text).await;
        let token = consumer(&app);
        let (status, answer) = rest(&app, &token, "/data/shopOrder.json", None).await;
        assert!(status == StatusCode::FORBIDDEN && answer.contains("`csv`"), "{answer}");
        assert_eq!(app.codes(&token, "{ shopOrder { totalCount } }").await, ["FORBIDDEN"]);
        let url = format!("{}/data/shopOrder.csv", app.url);
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(app.client.get(&url).bearer_auth(&token).send().await.unwrap());
        }
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        assert_eq!(statuses, [200, 200, 429]);
        assert_eq!(answers[0].headers()["sunset"], "Thu, 31 Jan 2999 00:00:00 GMT");
        assert!(answers[2].headers().contains_key("retry-after"));
    }

    async fn what_is_open_keeps_to_contracts_as_they_come(backend) {
        let app = shop(backend).await;
        let second = if backend == Backend::Embedded { None } else { Some(app.beside().await) };
        let node = second.as_ref().unwrap_or(&app);
        let token = consumer(&app);
        let mut unbound = app.subscribe(&token, "subscription { shopOrder(snapshot: true) { op } }").await;
        let query = "subscription { shopOrder(snapshot: true) { op node { region } } }";
        let mut here = node.subscribe(&token, query).await;
        unbound.until_op("CAUGHT_UP").await;
        here.until_op("CAUGHT_UP").await;
        applied(&app, ACME).await;
        // Both had more than it promises, on either node.
        for subscription in [&mut unbound, &mut here] {
            let end = subscription.receive().await;
            assert_eq!(end["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND", "{end}");
        }
        let query = "subscription { shopOrder(snapshot: true) { op node { amount customer { name } } \
            before { amount } } }";
        let mut bound = node.subscribe(&token, query).await;
        let seen = bound.until_op("CAUGHT_UP").await;
        assert_eq!(seen.iter().filter(|item| item["op"] == "UPSERT").count(), 3);
        app.source("shop/order/web/1", &json!({"total": 11, "region": "south", "zqheldMargin": 1})).await;
        let left = bound.next().await;
        assert_eq!(left["op"], "LEFT_SCOPE");
        assert_eq!((&left["node"], &left["before"]), (&Value::Null, &json!({"amount": 10})));
        app.source("shop/order/web/2", &json!({"total": 21, "region": "north", "customer": {"name": "Bea"}})).await;
        let came = bound.next().await;
        assert_eq!(came["node"], json!({"amount": 21, "customer": {"name": "B…"}}));
    }

    async fn how_a_collection_goes_from_a_contract_is_told_once(backend) {
        let app = shop(backend).await;
        let second = if backend == Backend::Embedded { None } else { Some(app.beside().await) };
        let shape = app.data("{ collection(name: \"shopOrder\") { shape { version } } }").await;
        let pinned = format!("rename = {{ total = \"amount\" }}\nshape_version = {}\n",
            shape["collection"]["shape"]["version"]);
        applied(&app, &ACME.replace("rename = { total = \"amount\" }\n", &pinned)).await;
        let query = "subscription { events(kinds: [CONTRACT_DRIFTS]) \
            { kind collection contract drift { path text broken } } }";
        let mut admin = app.subscribe(&app.admin(), query).await;
        let steward = app.token("steward", json!({}));
        let mut steward = second.as_ref().unwrap_or(&app).subscribe(&steward, query).await;
        // What is widened is served as it was, and told before anybody has to care.
        app.source("shop/order/web/5", &json!({"total": 5.5, "region": "north"})).await;
        let told = admin.next().await;
        assert_eq!((&told["collection"], &told["contract"]), (&json!("shopOrder"), &json!("acme@1")));
        assert_eq!((&told["drift"]["path"], &told["drift"]["broken"]), (&json!("/total"), &json!(false)), "{told}");
        assert_eq!(steward.next().await, told);
        // Other versions of the collection tell nothing anew.
        app.source("shop/order/web/6", &json!({"total": 6, "zqheldLate": 1})).await;
        app.settled().await;
        let decide = "mutation($input: DecideFieldInput!) { decideField(input: $input) { changed } }";
        let input = json!({"input": {"collection": "shopOrder", "path": "/customer/name", "hidden": true}});
        let answer = app.ask(&app.admin(), decide, input).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        for told in [admin.next().await, steward.next().await] {
            assert_eq!(told["contract"], "acme@1");
            let drift = &told["drift"];
            // A steward does not see the field any more.
            assert!(drift.is_null() || drift["path"] == "/customer/name" && drift["broken"] == true, "{told}");
        }
    }

    async fn what_a_contract_blocks_no_steward_decides(backend) {
        let app = shop(backend).await;
        let decide = async |input: Value| {
            let mut all = json!({"collection": "shopOrder"});
            all.as_object_mut().unwrap().extend(input.as_object().unwrap().clone());
            let query = "mutation($input: DecideFieldInput!) { decideField(input: $input) { changed } }";
            let answer = app.ask(&app.token("steward", json!({})), query, json!({"input": all})).await;
            answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("done").to_owned()
        };
        applied(&app, &ACME.replace("rename =", "block = [\"hide\", \"retype\"]\nrename =")).await;
        assert_eq!(decide(json!({"path": "/total", "hidden": true})).await, "CONFLICT");
        assert_eq!(decide(json!({"path": "/customer", "hidden": true})).await, "CONFLICT");
        assert_eq!(decide(json!({"path": "/total", "type": "Float"})).await, "CONFLICT");
        assert_eq!(decide(json!({"path": "/zqheldMargin", "hidden": true})).await, "done");
        // By any name that it ever had it is given by the one that was agreed.
        assert_eq!(decide(json!({"path": "/total", "name": "sum", "aliases": []})).await, "done");
        let query = "{ shopOrder(where: {amount: {gt: 20}}, orderBy: [{amount: ASC}]) { nodes { amount } } }";
        let data = app.data_as(&consumer(&app), query).await;
        assert_eq!(data["shopOrder"]["nodes"], json!([{"amount": 30}, {"amount": 40}]));
    }
}
