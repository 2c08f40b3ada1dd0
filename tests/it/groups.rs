//! Figures of groups as a client asks for them: by parts of values, chosen, ordered, and in pages.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend};

/// A shop with these orders: when, where, how much.
async fn shop(app: &TestApp, orders: &[(Value, &str, Value)]) {
    for (n, (placed, city, total)) in orders.iter().enumerate() {
        let order = json!({"placedAt": placed, "address": {"city": city}, "total": total, "no": n});
        app.source(&format!("shop/order/web/{n}"), &order).await;
    }
    app.settled().await;
}

on_every_backend! {
    async fn rows_are_grouped_by_parts_of_their_values(backend) {
        let app = TestApp::start(backend).await;
        shop(&app, &[
            (json!("2026-01-31T23:30:00-01:00"), "Oslo", json!(9.5)),
            (json!("2026-02-28T10:00:00Z"), "Oslo", json!(-0.5)),
            (json!("1969-12-31T23:59:59Z"), "Bern", json!(12)),
            (Value::Null, "Bern", json!(19.75)),
        ]).await;
        let query = "query($unit: TimeUnit!, $wide: Float) {
            shopOrderAggregate(groupBy: [address_city], groupByPart: [{field: placedAt, truncate: $unit},
                {field: total, bucket: $wide}]) {
                group { address_city begin: placedAt(truncate: $unit) total(bucket: $wide) placedAt }
                count
            } }";
        let answer = app.ask(&app.admin(), query, json!({"unit": "MONTH", "wide": 10})).await;
        let group = |city: &str, begin: Value, total: i64| json!({
            "group": {"address_city": city, "begin": begin, "total": total, "placedAt": null}, "count": 1});
        assert_eq!(answer["data"]["shopOrderAggregate"], json!([
            group("Bern", json!("1969-12-01T00:00:00.000000Z"), 10),
            group("Bern", Value::Null, 10),
            group("Oslo", json!("2026-02-01T00:00:00.000000Z"), -10),
            group("Oslo", json!("2026-02-01T00:00:00.000000Z"), 0),
        ]), "{answer}");
        for refused in [
            "{ shopOrderAggregate(groupByPart: [{field: placedAt, truncate: MONTH}]) {
                group { placedAt(truncate: YEAR) } } }",
            "{ shopOrderAggregate(groupByPart: [{field: address_city, truncate: MONTH}]) { count } }",
            "{ shopOrderAggregate(groupByPart: [{field: total, bucket: -1}]) { count } }",
            "{ shopOrderAggregate(groupByPart: [{field: total}]) { count } }",
            "{ shopOrderAggregate(groupByPart: [{field: placedAt, truncate: CENTURY}]) { count } }",
        ] {
            assert_eq!(app.codes(&app.admin(), refused).await, ["BAD_REQUEST"], "{refused}");
        }
    }

    async fn groups_are_chosen_ordered_and_read_in_pages(backend) {
        let app = TestApp::start(backend).await;
        let orders: Vec<(Value, &str, Value)> = (0..40).map(|n| {
            let city = ["Oslo", "Bern", "Rome", "Lima", "Kyiv"][n * n % 5];
            (json!(format!("2026-{:02}-01T00:00:00Z", n % 7 + 1)), city, json!(n as f64 / 4.0 - 3.0))
        }).collect();
        shop(&app, &orders).await;
        let cities = "{ shopOrderAggregate(groupBy: [address_city], having: {count: {gt: 8}, sum: {total: {gte: 0}}},
            orderBy: [{sum: {total: DESC}}]) { group { address_city } count sum { total no } avg { no } } }";
        let total = |city: &str| orders.iter().filter(|order| order.1 == city)
            .map(|order| order.2.as_f64().unwrap()).sum::<f64>();
        let found = app.data(cities).await["shopOrderAggregate"].take();
        let named: Vec<&str> = found.as_array().unwrap().iter()
            .map(|group| group["group"]["address_city"].as_str().unwrap()).collect();
        let mut expected: Vec<&str> = ["Oslo", "Bern", "Rome", "Lima", "Kyiv"].into_iter()
            .filter(|city| orders.iter().filter(|order| order.1 == *city).count() > 8 && total(city) >= 0.0)
            .collect();
        expected.sort_by(|a, b| total(b).total_cmp(&total(a)));
        assert!(!expected.is_empty());
        assert_eq!(named, expected, "{found}");

        let all = "{ shopOrderAggregate(groupBy: [address_city], groupByPart: [{field: placedAt, truncate: MONTH}],
            orderBy: [{count: DESC}, {group: {placedAt: DESC}}]) {
            group { address_city month: placedAt(truncate: MONTH) } count } }";
        let all = app.data(all).await["shopOrderAggregate"].take();
        let mut seen = Vec::new();
        let mut after = Value::Null;
        let page = "query($after: String) { shopOrderAggregate(groupBy: [address_city],
            groupByPart: [{field: placedAt, truncate: MONTH}], first: 4, after: $after,
            orderBy: [{count: DESC}, {group: {placedAt: DESC}}]) {
            cursor row: group { address_city month: placedAt(truncate: MONTH) } count } }";
        loop {
            let mut answer = app.ask(&app.admin(), page, json!({"after": after})).await;
            let groups = answer["data"]["shopOrderAggregate"].take();
            let groups = groups.as_array().unwrap_or_else(|| panic!("{answer}"));
            let Some(last) = groups.last() else { break };
            after = last["cursor"].clone();
            seen.extend(groups.iter().map(|group| json!({"group": group["row"], "count": group["count"]})));
            assert!(groups.len() <= 4 && seen.len() <= 40);
        }
        assert_eq!(json!(seen), all);
        let other = "query($after: String) { shopOrderAggregate(groupBy: [address_city], after: $after) { count } }";
        let answer = app.ask(&app.admin(), other, json!({"after": after})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
        for (code, refused) in [
            ("BAD_REQUEST", "{ shopOrderAggregate(orderBy: [{group: {address_city: ASC}}]) { count } }"),
            ("BAD_REQUEST", "{ shopOrderAggregate(orderBy: [{count: ASC, sum: {no: ASC}}]) { count } }"),
            ("BAD_REQUEST", "{ shopOrderAggregate(first: -1) { count } }"),
            ("BAD_REQUEST", "{ shopOrderAggregate(having: {count: {gt: null}}) { count } }"),
            ("TOO_COMPLEX", "{ shopOrderAggregate(first: 10001) { count } }"),
        ] {
            assert_eq!(app.codes(&app.admin(), refused).await, [code], "{refused}");
        }
    }

    async fn how_values_spread_is_told(backend) {
        let app = TestApp::start(backend).await;
        let orders: Vec<_> = (1..=9).map(|n| {
            (json!(null), if n < 8 { "Oslo" } else { "Bern" }, if n == 3 { json!(null) } else { json!(n as f64 / 2.0) })
        }).collect();
        shop(&app, &orders).await;
        let found = app.data("{ shopOrderAggregate(groupBy: [address_city], orderBy: [{stddev: {total: DESC}}],
            having: {variance: {no: {gt: 0}}}) { group { address_city } stddev { total } variance { no }
            median: percentile(p: 0.5) { no total } low: percentile(p: 0.1) { no __typename } } }").await;
        let found = found["shopOrderAggregate"].as_array().unwrap();
        assert_eq!(found[1], json!({"group": {"address_city": "Bern"}, "stddev": {"total": 0.353_553_390_593_273_8},
            "variance": {"no": 0.5}, "median": {"no": 7.5, "total": 4.25},
            "low": {"no": 7.1, "__typename": "ShopOrderNumber"}}));
        assert_eq!(found[0]["median"], json!({"no": 3, "total": 2.25}));
        let refused = "{ shopOrderAggregate { percentile(p: -0.5) { no } } }";
        assert_eq!(app.codes(&app.admin(), refused).await, ["BAD_REQUEST"]);
    }

    async fn more_groups_than_allowed_are_read_in_pages(backend) {
        let app = TestApp::start_with(backend, |config| config.graphql.groups_max = 3).await;
        let orders: Vec<_> = (0..5).map(|n| (json!(null), "Oslo", json!(n))).collect();
        shop(&app, &orders).await;
        let answer = app.ask(&app.admin(), "{ shopOrderAggregate(groupBy: [no]) { count } }", json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "TOO_COMPLEX", "{answer}");
        let text = answer["errors"][0]["message"].as_str().unwrap();
        assert!(text.contains("pages by `first`"), "{text}");
        let page = app.data("{ shopOrderAggregate(groupBy: [no], first: 3) { group { no } } }").await;
        let group = |n: usize| json!({"group": {"no": n}});
        assert_eq!(page["shopOrderAggregate"], json!([group(0), group(1), group(2)]));
        let few = app.data("{ shopOrderAggregate(groupBy: [no], having: {max: {no: {gte: 3}}}) { group { no } } }");
        assert_eq!(few.await["shopOrderAggregate"], json!([group(3), group(4)]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_of_more_values_than_allowed_are_refused() {
    let app = TestApp::start_with(Backend::Embedded, |config| config.store.percentile_values_max = 5).await;
    let orders: Vec<_> = (0..6).map(|n| (json!(null), "Oslo", json!(n))).collect();
    shop(&app, &orders).await;
    let some = "{ shopOrderAggregate(where: {no: {gt: 0}}) { percentile(p: 0.5) { no } } }";
    for _ in 0..2 {
        let all =
            app.ask(&app.admin(), "{ shopOrderAggregate { percentile(p: 0.5) { no } } }", json!({})).await;
        assert_eq!(all["errors"][0]["extensions"]["code"], "TOO_COMPLEX", "{all}");
        assert!(
            all["errors"][0]["message"].as_str().unwrap().contains("store.percentile_values_max"),
            "{all}"
        );
        assert_eq!(app.data(some).await["shopOrderAggregate"], json!([{"percentile": {"no": 3}}]));
    }
}
