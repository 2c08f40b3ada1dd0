//! Conditions on what is in lists and maps, as clients ask them.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend, write_policies};

const POLICY: &str = r#"
allow(u: User, "read", _: Row) if "admin" in u.roles;
allow_field(u: User, "read", _: Row, _: Field) if "admin" in u.roles;
allow(u: User, "source", _: Source) if "source" in u.roles;
allow(u: User, "steward", _: Source) if "admin" in u.roles;
allow(u: User, "read", _: ShopCart) if "some" in u.roles;
allow_field(_: User, "read", _: ShopCart, f: Field) if f.name in ["no", "items.sku", "items.note", "tags", "rates"];
mask_field(u: User, _: ShopCart, f: Field, "hash") if "some" in u.roles and f.name = "items.note";
"#;

async fn numbers(app: &TestApp, token: &str, condition: &str) -> Vec<i64> {
    let asked =
        format!("{{ shopCart(where: {condition}, orderBy: [{{no: ASC}}]) {{ nodes {{ no }} totalCount }} }}");
    let answer = app.data_as(token, &asked).await;
    let nodes = answer["shopCart"]["nodes"].as_array().unwrap();
    assert_eq!(answer["shopCart"]["totalCount"], nodes.len(), "{condition}");
    nodes.iter().map(|node| node["no"].as_i64().unwrap()).collect()
}

fn carts() -> Vec<Value> {
    vec![
        json!({"no": 1, "tags": ["a", "b"], "rates": {"2026-01-01": 1.5, "2026-01-02": 3.5},
            "items": [{"sku": "x", "qty": 1.5, "note": "n1", "colours": ["red"]},
                {"sku": "y", "qty": 9.5, "note": "n2", "colours": []}]}),
        json!({"no": 2, "tags": [], "rates": {}, "items": []}),
        json!({"no": 3}),
        json!({"no": 4, "tags": ["b", null], "rates": {"2026-01-02": null},
            "items": [{"sku": "x", "qty": 9.5, "note": "n1"}, null]}),
    ]
}

on_every_backend! {
    async fn lists_and_maps_are_asked_about_what_is_in_them(backend) {
        let app = TestApp::start_with(backend, |config| {
            write_policies(config, &[("own.polar", POLICY)]);
        })
        .await;
        for (n, cart) in carts().iter().enumerate() {
            app.source(&format!("shop/cart/web/{n}"), cart).await;
        }
        app.settled().await;
        let admin = app.admin();
        for (condition, expected) in [
            ("{tags: {some: {eq: \"b\"}}}", vec![1, 4]),
            ("{tags: {some: {}}}", vec![1, 4]),
            ("{tags: {every: {in: [\"a\", \"b\"]}}}", vec![1, 2]),
            ("{tags: {every: {isNull: false}}}", vec![1, 2]),
            ("{tags: {none: {eq: \"a\"}}}", vec![2, 4]),
            ("{not: {tags: {some: {eq: \"a\"}}}}", vec![2, 3, 4]),
            ("{tags: {length: {eq: 0}}}", vec![2]),
            ("{tags: {length: {ne: 0}}}", vec![1, 4]),
            ("{tags: {length: {lt: 3, gte: 1}}}", vec![1, 4]),
            ("{tags: {length: {notIn: [2]}}}", vec![2]),
            ("{not: {tags: {length: {gte: 0}}}}", vec![3]),
            ("{tags: {isNull: true}}", vec![3]),
            // One item is meant by all that is asked together.
            ("{items: {some: {sku: {eq: \"x\"}, qty: {gt: 5}}}}", vec![4]),
            ("{items: {some: {sku: {eq: \"x\"}}}, and: [{items: {some: {qty: {gt: 5}}}}]}", vec![1, 4]),
            ("{items: {every: {or: [{sku: {eq: \"x\"}}, {not: {sku: {isNull: false}}}]}}}", vec![2, 4]),
            ("{items: {none: {sku: {eq: \"y\"}}}}", vec![2, 4]),
            ("{items: {some: {colours: {some: {eq: \"red\"}}}}}", vec![1]),
            ("{items: {some: {colours: {length: {eq: 0}}}}}", vec![1]),
            ("{items: {some: {not: {colours: {isNull: false}}}}}", vec![4]),
            ("{items: {length: {in: [0, 2]}}}", vec![1, 2, 4]),
            ("{rates: {some: {key: {gt: \"2026-01-01\"}, value: {gt: 3}}}}", vec![1]),
            ("{rates: {some: {value: {isNull: true}}}}", vec![4]),
            ("{rates: {every: {value: {gt: 1}}}}", vec![1, 2]),
            ("{rates: {none: {key: {eq: \"2026-01-01\"}}}}", vec![2, 4]),
            ("{rates: {length: {gte: 1}, hasKey: \"2026-01-02\"}}", vec![1, 4]),
            ("{_record: {purposes: {every: {eq: \"care\"}}}}", vec![]),
        ] {
            assert_eq!(numbers(&app, &admin, condition).await, expected, "{condition}");
        }
        for (wrong, reason) in [
            ("{items: {some: null}}", "null"),
            ("{tags: {length: {isNull: true}}}", "isNull"),
            ("{tags: {some: {like: \"a\\\\\"}}}", "single"),
            ("{items: {some: {some: {}}}}", "some"),
        ] {
            let asked = format!("{{ shopCart(where: {wrong}) {{ totalCount }} }}");
            let answer = app.ask(&admin, &asked, json!({})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{wrong}: {answer}");
            assert!(answer["errors"][0]["message"].as_str().unwrap().contains(reason), "{answer}");
        }
        // By variables and in files, too.
        let by = "query($w: ShopCartFilter) { shopCart(where: $w) { totalCount } }";
        let some = json!({"w": {"items": {"some": {"qty": {"gt": 5}}}, "rates": {"some": {"value": {"gt": 2}}}}});
        assert_eq!(app.ask(&admin, by, some.clone()).await["data"]["shopCart"]["totalCount"], 1);
        let file = app.client.get(format!("{}/data/shopCart.ndjson", app.url)).bearer_auth(&admin);
        let file = file.query(&[("where", some["w"].to_string())]).send().await.unwrap().text().await.unwrap();
        assert_eq!(file.lines().count(), 1, "{file}");
    }

    async fn what_of_an_item_is_not_shown_is_not_asked(backend) {
        let app = TestApp::start_with(backend, |config| {
            write_policies(config, &[("own.polar", POLICY)]);
        })
        .await;
        for (n, cart) in carts().iter().enumerate() {
            app.source(&format!("shop/cart/web/{n}"), cart).await;
        }
        app.settled().await;
        let some = app.token("some", json!({}));
        assert_eq!(numbers(&app, &some, "{items: {some: {sku: {eq: \"y\"}}}}").await, [1]);
        for (hidden, value) in [("qty", "9.5"), ("note", "\"n1\""), ("colours", "[]"), ("nothing", "1")] {
            for quantifier in ["some", "every", "none"] {
                let asked = format!(
                    "{{ shopCart(where: {{items: {{{quantifier}: {{{hidden}: {{eq: {value}}}}}}}}}) {{ totalCount }} }}"
                );
                let answer = app.ask(&some, &asked, json!({})).await;
                assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{hidden}: {answer}");
                let text = answer["errors"][0]["message"].as_str().unwrap();
                assert!(text.contains(&format!("has `{hidden}`, which")), "{text}");
            }
        }
        let shape = "{ __type(name: \"ShopCartItemsFilter\") { inputFields { name } } }";
        let shape = app.data_as(&some, shape).await;
        let names: Vec<&str> = shape["__type"]["inputFields"].as_array().unwrap().iter()
            .map(|field| field["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["sku", "and", "or", "not"]);
    }

    async fn events_are_chosen_by_what_is_in_their_lists(backend) {
        let app = TestApp::start(backend).await;
        app.source("shop/cart/web/0", &carts()[0]).await;
        app.settled().await;
        let asked = "subscription { shopCart(where: {items: {some: {sku: {eq: \"x\"}, qty: {gt: 5}}},
            rates: {length: {gte: 1}}}) { op node { no } } }";
        let mut live = app.subscribe(&app.admin(), asked).await;
        for (n, cart) in carts().iter().enumerate() {
            app.source(&format!("shop/cart/web/{n}"), cart).await;
        }
        let event = live.next().await;
        assert_eq!((&event["op"], &event["node"]["no"]), (&json!("UPSERT"), &json!(4)));
    }
}
