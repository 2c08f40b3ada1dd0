//! Rules that follow relations, on every path: what a related row decides is decided alike for lists, lookups, figures,
//! relations, files and events, and what is not to be seen is in no byte of any answer.

use serde_json::{Value, json};

use crate::support::{Backend, Subscription, TestApp, on_every_backend, write_policies};

const POLICY: &str = r#"
allow(u: User, "read", _: Row) if "admin" in u.roles;
allow_field(u: User, "read", _: Row, _: Field) if "admin" in u.roles;
allow(u: User, "source", _: Source) if "source" in u.roles;
allow(u: User, "retract", _: Source) if "source" in u.roles;
allow(u: User, "steward", _: Source) if role in ["steward", "admin"] and role in u.roles;

# Neither the buyer's region nor any buyer is to be seen by these.
allow(u: User, "read", row: ShopOrder) if "near" in u.roles and row.buyer.region = u.region;
allow(u: User, "read", row: ShopOrder) if "clean" in u.roles and not row.buyer.blocked = true;
allow(u: User, "read", row: CrmBuyer) if "busy" in u.roles and o in row.orders and o.status = "open";
allow_field(_: User, "read", _: ShopOrder, f: Field) if f.name in ["no", "status", "note", "_record.sourceUid"];
allow_field(_: User, "read", _: CrmBuyer, f: Field) if f.name in ["name"];
# Both ends are shown to these, so that they can follow the relation from buyers to orders.
allow(u: User, "read", _: CrmBuyer) if "both" in u.roles;
allow(u: User, "read", row: ShopOrder) if "both" in u.roles and row.buyer.region = u.region;
allow_field(u: User, "read", _: CrmBuyer, f: Field) if "both" in u.roles and f.name = "code";
allow_field(u: User, "read", _: ShopOrder, f: Field) if "both" in u.roles and f.name = "buyerCode";
"#;

fn order(no: i64, buyer: Option<&str>, status: &str) -> Value {
    json!({"no": no, "buyerCode": buyer, "status": status, "note": format!("zqnote{no}q")})
}

async fn shop(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        write_policies(config, &[("own.polar", POLICY)]);
        config.store.partitions = 1;
    })
    .await;
    for (code, region, blocked) in
        [("e", Some("eu"), Some(true)), ("u", Some("us"), Some(false)), ("n", None, None)]
    {
        let buyer =
            json!({"code": code, "region": region, "blocked": blocked, "name": format!("zqbuyer{code}q")});
        app.source(&format!("crm/buyer/web/{code}"), &buyer).await;
    }
    for (no, buyer, status) in [
        (1, Some("e"), "open"),
        (2, Some("u"), "done"),
        (3, Some("n"), "done"),
        (4, Some("nobody"), "open"),
        (5, None, "open"),
        (6, Some("e"), "done"),
    ] {
        app.source(&format!("shop/order/web/{no}"), &order(no, buyer, status)).await;
    }
    app.settled().await;
    app
}

async fn relate(app: &TestApp) -> String {
    let accept = "mutation { acceptRelation(input: {
        from: {collection: \"shopOrder\", path: \"/buyerCode\"}, to: {collection: \"crmBuyer\", path: \"/code\"},
        name: \"buyer\", inverseName: \"orders\"}) { id } }";
    app.data(accept).await["acceptRelation"]["id"].as_str().unwrap().to_owned()
}

async fn numbers(app: &TestApp, token: &str, arguments: &str) -> Vec<i64> {
    let asked = format!("{{ shopOrder(orderBy: [{{no: ASC}}]{arguments}) {{ nodes {{ no }} totalCount }} }}");
    let answer = app.data_as(token, &asked).await;
    let nodes = answer["shopOrder"]["nodes"].as_array().unwrap();
    assert_eq!(answer["shopOrder"]["totalCount"], nodes.len());
    nodes.iter().map(|node| node["no"].as_i64().unwrap()).collect()
}

/// Lists, lookups, figures, conditions and files, for who sees the orders `seen` of 1 to 6.
async fn everywhere(app: &TestApp, token: &str, seen: &[i64]) {
    assert_eq!(numbers(app, token, "").await, seen);
    for no in 1..=6 {
        let one = format!("{{ shopOrderByKey(sourceUid: \"{no}\") {{ note }} }}");
        let found = app.data_as(token, &one).await["shopOrderByKey"]["note"].clone();
        let expected = if seen.contains(&no) { json!(format!("zqnote{no}q")) } else { Value::Null };
        assert_eq!(found, expected, "{no}");
        let guess = format!(", where: {{note: {{eq: \"zqnote{no}q\"}}}}");
        let guessed = numbers(app, token, &guess).await;
        assert_eq!(guessed, if seen.contains(&no) { vec![no] } else { vec![] });
    }
    let figures = "{ shopOrderAggregate { count sum { no } min { note } max { note } } }";
    let figures = app.data_as(token, figures).await["shopOrderAggregate"][0].clone();
    assert_eq!(figures["count"], seen.len(), "{figures}");
    assert_eq!(figures["sum"]["no"], seen.iter().sum::<i64>().to_string(), "{figures}");
    let asked = app.client.get(format!("{}/data/shopOrder.ndjson", app.url)).bearer_auth(token);
    let file = asked.send().await.unwrap().text().await.unwrap();
    assert_eq!(file.lines().count(), seen.len(), "{file}");
    for no in 1..=6 {
        assert_eq!(file.contains(&format!("zqnote{no}q")), seen.contains(&no), "{no}: {file}");
    }
    // What decides is not to be seen, nor used.
    for hidden in ["buyerCode", "buyer { region }"] {
        let asked = format!("{{ shopOrder {{ nodes {{ {hidden} }} }} }}");
        assert!(app.ask(token, &asked, json!({})).await["errors"].is_array(), "{hidden}");
    }
    let guess = "{ shopOrder(where: {buyerCode: {eq: \"e\"}}) { totalCount } }";
    assert!(app.ask(token, guess, json!({})).await["errors"].is_array());
}

async fn event(live: &mut Subscription) -> [Value; 3] {
    let event = live.next().await;
    [event["op"].clone(), event["node"]["note"].clone(), event["before"]["note"].clone()]
}

fn told(op: &str, node: Option<&str>) -> [Value; 3] {
    [json!(op), json!(node), Value::Null]
}

on_every_backend! {
    async fn what_related_rows_decide_is_decided_alike_everywhere(backend) {
        let app = shop(backend).await;
        let near = app.token("near", json!({"region": "eu"}));
        let clean = app.token("clean", json!({}));
        let nothing = |answer: Value| assert_eq!(answer["collections"], json!([]), "a sleeping rule denies");
        nothing(app.data_as(&near, "{ collections { name } }").await);
        nothing(app.data_as(&clean, "{ collections { name } }").await);
        let relation = relate(&app).await;
        everywhere(&app, &near, &[1, 6]).await;
        // `not` holds for whose buyer is not known, or not known to be blocked.
        everywhere(&app, &clean, &[2, 3, 4, 5]).await;
        let both = app.token("both", json!({"region": "us"}));
        let follow = "{ crmBuyer(orderBy: [{name: ASC}]) { nodes { name orders { totalCount nodes { no } } } } }";
        let seen = app.data_as(&both, follow).await;
        let totals: Vec<Value> = seen["crmBuyer"]["nodes"].as_array().unwrap().iter()
            .map(|node| node["orders"]["totalCount"].clone()).collect();
        assert_eq!(totals, [0, 0, 1], "{seen}");
        // Conditions and orders of its own follow relations to what it may see there, and no further.
        for (quantifier, expected) in [("some", vec!["zqbuyeruq"]), ("none", vec!["zqbuyereq", "zqbuyernq"])] {
            let asked = format!(
                "{{ crmBuyer(where: {{orders: {{{quantifier}: {{no: {{gt: 0}}}}}}}}, orderBy: [{{name: ASC}}]) {{
                    nodes {{ name }} totalCount }} }}"
            );
            let found = app.data_as(&both, &asked).await;
            let names: Vec<&Value> =
                found["crmBuyer"]["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
            assert_eq!(names, expected, "{quantifier}");
        }
        for (who, arguments) in [
            (&both, "where: {buyer: {region: {eq: \"us\"}}}"),
            (&both, "orderBy: [{buyer: {region: ASC}}]"),
            (&near, "where: {buyer: {}}"),
            (&near, "orderBy: [{buyer: {name: ASC}}]"),
        ] {
            let asked = format!("{{ shopOrder({arguments}) {{ totalCount }} }}");
            assert_eq!(app.codes(who, &asked).await, ["BAD_REQUEST"], "{arguments}");
        }
        let busy = app.token("busy", json!({}));
        let buyers = app.data_as(&busy, "{ crmBuyer { nodes { name } totalCount } }").await;
        assert_eq!(buyers["crmBuyer"], json!({"nodes": [{"name": "zqbuyereq"}], "totalCount": 1}));

        // The other row decides as it is now, and not at all when it is gone.
        app.source("crm/buyer/web/u", &json!({"code": "u", "region": "eu", "blocked": false, "name": "x"})).await;
        app.retract("crm/buyer/web/e").await;
        app.settled().await;
        everywhere(&app, &near, &[2]).await;
        everywhere(&app, &clean, &[1, 2, 3, 4, 5, 6]).await;

        let start = "subscription { events(kinds: [RULE_DENIES]) { rule { reason } } }";
        let mut events = app.subscribe(&app.admin(), start).await;
        app.data(&format!("mutation {{ removeRelation(id: \"{relation}\") {{ id }} }}")).await;
        nothing(app.data_until_as(&near, "{ collections { name } }", |data| data["collections"] == json!([])).await);
        nothing(app.data_as(&clean, "{ collections { name } }").await);
        let removed = |event: &Value| {
            event["rule"]["reason"].as_str().is_some_and(|text| text.contains("`buyer` of `ShopOrder` was removed"))
        };
        events.next_where(removed).await;
    }

    async fn events_are_decided_by_related_rows_too(backend) {
        let app = shop(backend).await;
        relate(&app).await;
        let near = app.token("near", json!({"region": "eu"}));
        let start = app.data("{ shopOrder { pageInfo { cursor } } }").await;
        let images = "op cursor node { no note } before { no note }";
        let asked = format!("subscription {{ shopOrder(snapshot: true) {{ {images} }} }}");
        let mut live = app.subscribe(&near, &asked).await;
        let first = live.until_op("CAUGHT_UP").await;
        let notes: Vec<&Value> = first.iter().map(|event| &event["node"]["note"]).collect();
        assert_eq!(notes, ["zqnote1q", "zqnote6q"]);
        // What is not to be seen before or after is not told; each of these comes before what is awaited.
        for (no, buyer) in [(2, Some("u")), (7, Some("u")), (8, None), (9, Some("nobody"))] {
            app.source(&format!("shop/order/web/{no}"), &order(no, buyer, "again")).await;
        }
        app.retract("shop/order/web/7").await;
        app.source("shop/order/web/1", &order(11, Some("e"), "again")).await;
        assert_eq!(event(&mut live).await, told("UPSERT", Some("zqnote11q")));
        app.source("shop/order/web/9", &order(19, Some("e"), "again")).await;
        assert_eq!(event(&mut live).await, told("UPSERT", Some("zqnote19q")));
        app.source("shop/order/web/1", &order(21, Some("u"), "again")).await;
        assert_eq!(event(&mut live).await, told("LEFT_SCOPE", None));
        app.retract("shop/order/web/9").await;
        assert_eq!(event(&mut live).await, told("DELETE", None));
        // When the buyer moves no order is told; from then on its orders are decided by where it is now.
        app.source("crm/buyer/web/u", &json!({"code": "u", "region": "eu", "blocked": false, "name": "x"})).await;
        app.source("crm/buyer/web/e", &json!({"code": "e", "region": "us", "blocked": true, "name": "x"})).await;
        app.settled().await;
        app.source("shop/order/web/6", &order(26, Some("e"), "again")).await;
        app.source("shop/order/web/2", &order(22, Some("u"), "again")).await;
        assert_eq!(event(&mut live).await, told("UPSERT", Some("zqnote22q")));
        // From an old cursor only what could be asked for now.
        app.settled().await;
        let cursor = start["shopOrder"]["pageInfo"]["cursor"].as_str().unwrap();
        let mut again = app.subscribe(&near, &format!(
            "subscription {{ shopOrder(snapshot: true) {{ {images} }} }}")).await;
        let whole = again.until_op("CAUGHT_UP").await;
        let again = whole.last().unwrap()["cursor"].as_str().unwrap();
        assert_ne!(cursor, again);
        let text = json!(whole).to_string();
        assert!(text.contains("zqnote21q") && text.contains("zqnote22q") && whole.len() == 2, "{text}");
        let resumed = format!("subscription {{ shopOrder(after: \"{cursor}\") {{ {images} }} }}");
        let resumed = app.subscribe(&near, &resumed).await.until_op("CAUGHT_UP").await;
        let shown = json!(resumed).to_string();
        for old in ["zqnote1q", "zqnote6q", "zqnote11q", "zqnote19q", "zqnote26q", "zqnote2q"] {
            assert!(!shown.contains(&format!("\"{old}\"")), "{old}: {shown}");
        }
        assert!(shown.contains("zqnote21q") && shown.contains("zqnote22q"), "{shown}");
    }
}
