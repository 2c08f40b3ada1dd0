//! The audit log of reads: one entry for each way to the rows, denials among them, bounded, and closed to consumers.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Backend, TestApp, eventually, on_every_backend};

const READS: &str = "subject allowed path rows collection contract roles policy requestId";

async fn shop(backend: Backend, change: impl FnOnce(&mut wellspring::config::Reads)) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        config.reads.flush_ms = 20;
        change(&mut config.reads);
    })
    .await;
    for (uid, buyer) in [("1", "b1"), ("2", "b2"), ("3", "b1")] {
        app.source(&format!("shop/order/web/{uid}"), &json!({"total": 5, "buyer": buyer})).await;
    }
    for no in ["b1", "b2"] {
        app.source(&format!("shop/buyer/web/{no}"), &json!({"no": no, "name": "Ann"})).await;
    }
    app.settled().await;
    app
}

async fn reads(app: &TestApp, token: &str, arguments: &str) -> Vec<Value> {
    let data = app.data_as(token, &format!("{{ decisions{arguments} {{ id {READS} }} }}")).await;
    data["decisions"].as_array().unwrap().clone()
}

/// The reads of a subject, the oldest first, once there are so many.
async fn of(app: &TestApp, subject: &str, count: usize) -> Vec<Value> {
    eventually("the reads", async || {
        let mut found = reads(app, &app.admin(), &format!("(subject: \"{subject}\")")).await;
        found.reverse();
        if found.len() == count { Ok(found) } else { Err(found) }
    })
    .await
}

fn told<'a>(reads: &'a [Value], names: &[&str]) -> Vec<Vec<&'a Value>> {
    reads.iter().map(|read| names.iter().map(|name| &read[*name]).collect()).collect()
}

on_every_backend! {
    async fn each_way_to_rows_leaves_an_entry(backend) {
        let app = shop(backend, |_| ()).await;
        let accept = "mutation { acceptRelation(input: {from: {collection: \"shopOrder\", path: \"/buyer\"}, \
            to: {collection: \"shopBuyer\", path: \"/no\"}}) { name } }";
        let related = app.data(accept).await["acceptRelation"]["name"].as_str().unwrap().to_owned();
        let ann = app.token("consumer", json!({"sub": "ann", "region": "zqclaim"}));
        let query = format!("{{ a: shopOrder(first: 2) {{ nodes {{ total }} }}
            b: shopOrder {{ nodes {{ {related} {{ name }} }} }} }}");
        app.data_until_as(&ann, &query, |_| true).await;
        let found = of(&app, "ann", 3).await;
        let mut ways = told(&found, &["path", "rows", "collection", "allowed"]);
        ways.sort_by_key(|way| format!("{way:?}"));
        let expected = [
            json!(["QUERY", 2, "shopOrder", true]), json!(["QUERY", 3, "shopOrder", true]),
            json!(["RELATION", 2, "shopBuyer", true]),
        ];
        assert_eq!(json!(ways), json!(expected));
        // One request has one id.
        assert!(found.iter().all(|read| read["requestId"] == found[0]["requestId"]));
        assert_eq!((&found[0]["roles"], &found[0]["contract"]), (&json!(["consumer"]), &Value::Null));
        assert_eq!(found[0]["policy"].as_str().unwrap().len(), 16);
        assert!(!json!(found).to_string().contains("zqclaim"));

        let bo = app.token("consumer", json!({"sub": "bo"}));
        app.data_as(&bo, "{ shopOrderByKey(sourceUid: \"1\") { total } }").await;
        app.data_as(&bo, "{ shopOrderByKey(sourceUid: \"9\") { total } }").await;
        app.data_as(&bo, "{ shopOrderAggregate(groupBy: [buyer]) { count } }").await;
        let rest = app.client.get(format!("{}/data/shopOrder.csv", app.url)).bearer_auth(&bo);
        let answer = rest.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let lines = answer.text().await.unwrap().lines().count();
        let mut live = app.subscribe(&bo, "subscription { shopOrder(snapshot: true) { op } }").await;
        for _ in 0..lines {
            live.next().await;
        }
        of(&app, "bo", 5).await;
        drop(live);
        let found = of(&app, "bo", 6).await;
        let expected = [["BY_KEY", "1"], ["BY_KEY", "0"], ["AGGREGATE", "2"], ["REST", "3"], ["SUBSCRIBED", "0"],
            ["ENDED", "4"]];
        let ways: Vec<[String; 2]> = found.iter()
            .map(|read| [read["path"].as_str().unwrap().to_owned(), read["rows"].to_string()]).collect();
        assert_eq!(json!(ways), json!(expected));

        // What one must not see is denied, by whatever way.
        let nobody = app.token("visitor", json!({"sub": "eve"}));
        for query in ["{ shopOrder { totalCount } }", "{ shopOrderByKey(sourceUid: \"1\") { total } }",
            "{ nothingThere { totalCount } }"] {
            assert_eq!(app.codes(&nobody, query).await, ["BAD_REQUEST"]);
        }
        let rest = app.client.get(format!("{}/data/shopBuyer.json", app.url)).bearer_auth(&nobody);
        assert_eq!(rest.send().await.unwrap().status(), StatusCode::NOT_FOUND);
        let found = of(&app, "eve", 3).await;
        let expected = [json!([false, "QUERY", "shopOrder", null]), json!([false, "QUERY", "shopOrder", null]),
            json!([false, "REST", "shopBuyer", null])];
        assert_eq!(json!(told(&found, &["allowed", "path", "collection", "rows"])), json!(expected));
    }

    async fn stewards_look_through_it_and_consumers_cannot(backend) {
        let app = shop(backend, |_| ()).await;
        let ann = app.token("consumer", json!({"sub": "ann"}));
        for _ in 0..3 {
            app.data_as(&ann, "{ shopOrder { totalCount } shopBuyer { totalCount } }").await;
        }
        let nobody = app.token("visitor", json!({"sub": "eve"}));
        app.codes(&nobody, "{ shopBuyer { totalCount } }").await;
        of(&app, "ann", 6).await;
        of(&app, "eve", 1).await;
        let steward = app.token("steward", json!({"sub": "st"}));
        assert_eq!(reads(&app, &steward, "(collection: \"shopBuyer\", subject: \"ann\")").await.len(), 3);
        let denied = reads(&app, &steward, "(allowed: false)").await;
        assert_eq!(json!(told(&denied, &["subject", "collection"])), json!([["eve", "shopBuyer"]]));
        assert_eq!(reads(&app, &steward, "(allowed: true, subject: \"ann\")").await.len(), 6);
        // Page after page, without a gap.
        let all = reads(&app, &steward, "(subject: \"ann\")").await;
        let mut paged: Vec<Value> = Vec::new();
        while paged.len() < 6 {
            let after = paged.last().map_or("null".to_owned(), |read| read["id"].to_string());
            let page = reads(&app, &steward, &format!("(subject: \"ann\", first: 4, after: {after})")).await;
            assert!(!page.is_empty());
            paged.extend(page);
        }
        assert_eq!(paged, all);
        for token in [&ann, &nobody, &app.token("source", json!({}))] {
            assert_eq!(app.codes(token, "{ decisions { id } }").await, ["FORBIDDEN"]);
        }
        assert_eq!(app.codes(&steward, "{ decisions(collection: \"nowhere\") { id } }").await, ["NOT_FOUND"]);
        assert_eq!(app.codes(&steward, "{ decisions(after: \"x\") { id } }").await, ["BAD_REQUEST"]);
    }

    async fn it_is_bounded_and_written_when_the_node_stops(backend) {
        let app = shop(backend, |reads| {
            reads.flush_ms = 5;
            reads.rows_max = 20;
        })
        .await;
        let ann = app.token("consumer", json!({"sub": "ann"}));
        for _ in 0..60 {
            app.data_as(&ann, "{ shopOrderByKey(sourceUid: \"1\") { total } }").await;
        }
        app.data_as(&ann, "{ shopOrderAggregate { count } }").await;
        eventually("the oldest to go", async || {
            let all = reads(&app, &app.admin(), "(first: 500)").await;
            let newest = all.first().map(|read| read["path"].clone());
            if all.len() <= 20 && newest == Some("AGGREGATE".into()) { Ok(()) } else { Err(all) }
        })
        .await;
        // What waits is written at the end, and a sample of none leaves denials only.
        let app = app.restart_with(|config| {
            config.reads.flush_ms = 3_600_000;
            config.reads.rows_max = 10;
        })
        .await;
        // A node looks once when it starts, and then not before the hour is over.
        eventually("the first look", async || {
            let all = reads(&app, &app.admin(), "(first: 500)").await;
            if all.len() <= 10 { Ok(()) } else { Err(all) }
        })
        .await;
        let bo = app.token("consumer", json!({"sub": "bo"}));
        app.data_as(&bo, "{ shopOrder { totalCount } }").await;
        assert_eq!(reads(&app, &app.admin(), "(subject: \"bo\")").await, Vec::<Value>::new());
        let app = app.restart_with(|config| config.reads.allowed_one_in = 0).await;
        assert_eq!(of(&app, "bo", 1).await.len(), 1);
        let carl = app.token("consumer", json!({"sub": "carl"}));
        app.data_as(&carl, "{ shopOrder { totalCount } }").await;
        let nobody = app.token("visitor", json!({"sub": "carl"}));
        app.codes(&nobody, "{ shopOrder { totalCount } }").await;
        let app = app.restart().await;
        let found = of(&app, "carl", 1).await;
        assert_eq!(found[0]["allowed"], false);
    }
}
