//! Policy on every path: lists, lookups, filters, sorts, aggregates, subscriptions, raw records, sourcing.

use serde_json::json;

use crate::support::{Backend, TestApp, on_backends, on_every_backend, write_policies};

const POLICY: &str = include_str!("../../policies/demo.polar");

async fn shop(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        write_policies(config, &[("demo.polar", POLICY)]);
        config.graphql.count_exact_max = 1;
    })
    .await;
    for (n, region) in ["eu", "us", "eu", "us", "us"].iter().enumerate() {
        let order = json!({"no": n, "region": region, "email": format!("p{n}@example.com"), "total": n * 10});
        app.source(&format!("shop/order/web/{n}"), &order).await;
        let payment = json!({"no": n, "region": region, "amount": n,
            "card": {"number": "4242 4242 4242 4242", "holder": "Ann"}});
        app.source(&format!("shop/payment/psp/{n}"), &payment).await;
    }
    app.settled().await;
    app
}

on_every_backend! {
    async fn rows_fields_and_masks_depend_on_who_asks(backend) {
        let app = shop(backend).await;
        let eu = app.token("consumer", json!({"region": "eu"}));
        let nowhere = app.token("consumer", json!({}));
        let steward = app.token("steward", json!({}));
        let list = "{ shopOrder(orderBy: [{no: ASC}]) { totalCount nodes { no email } } }";

        let all = app.data(list).await;
        assert_eq!(all["shopOrder"]["totalCount"], 5);
        assert_eq!(all["shopOrder"]["nodes"][0]["email"], "p0@example.com");

        let seen = app.data_as(&eu, list).await;
        assert_eq!(seen["shopOrder"]["totalCount"], 2);
        assert_eq!(seen["shopOrder"]["nodes"][1]["no"], 2);
        assert!(!seen.to_string().contains("example.com"), "{seen}");

        let masked = app.data_as(&steward, list).await;
        assert_eq!(masked["shopOrder"]["totalCount"], 5);
        assert!(!masked.to_string().contains("example.com"), "{masked}");
        let pii = app.token("steward", json!({"roles": ["steward", "pii"]}));
        assert!(app.data_as(&pii, list).await.to_string().contains("example.com"));

        // Whose rules can let no row through has no such collection.
        let none = app.ask(&nowhere, "{ shopOrder { totalCount } }", json!({})).await;
        assert!(none["errors"].is_array(), "{none}");
    }

    async fn an_estimate_tells_nothing_of_rows_that_are_not_to_be_seen(backend) {
        let app = shop(backend).await;
        let counted = async |token: &str, arguments: &str| {
            let asked = format!("{{ shopOrder{arguments} {{ totalCountEstimate {{ kind count }} }} }}");
            app.data_as(token, &asked).await["shopOrder"]["totalCountEstimate"].take()
        };
        let (admin, eu) = (app.admin(), app.token("consumer", json!({"region": "eu"})));
        let (one, more) = (json!({"kind": "EXACT", "count": "1"}), json!({"kind": "AT_LEAST", "count": "1"}));
        for arguments in ["(first: 1, where: {no: {eq: 2}})", "(where: {no: {in: [1, 2, 3]}, region: {eq: \"eu\"}})"] {
            assert_eq!(counted(&admin, arguments).await, one);
            assert_eq!(counted(&eu, arguments).await, one);
        }
        for arguments in ["", "(where: {total: {gte: 0}})"] {
            assert_eq!(counted(&eu, arguments).await, more, "nothing of what others may see");
        }
        // PostgreSQL has statistics, SQLite the number of its last row.
        let all = counted(&admin, "").await;
        assert_eq!(all["kind"], "ESTIMATE");
        assert!(all["count"].as_str().unwrap().parse::<i64>().unwrap() > 1, "{all}");
        let some = counted(&admin, "(where: {total: {gte: 0}})").await;
        assert_eq!(some["kind"], if backend == Backend::Embedded { "AT_LEAST" } else { "ESTIMATE" });
        let both = "{ shopOrder(first: 2) { all: totalCount totalCountEstimate { __typename n: count kind } } }";
        let both = app.data(both).await["shopOrder"].take();
        let exact = json!({"__typename": "CountEstimate", "n": "5", "kind": "EXACT"});
        assert_eq!(both, json!({"all": 5, "totalCountEstimate": exact}));
    }

    async fn every_path_is_scoped_alike(backend) {
        let app = shop(backend).await;
        let eu = app.token("consumer", json!({"region": "eu"}));
        let count = app.data_as(&eu, "{ shopOrderAggregate { count sum { total } max { no } } }").await;
        assert_eq!(count["shopOrderAggregate"][0]["count"], 2);
        assert_eq!(count["shopOrderAggregate"][0]["max"]["no"], 2);
        let found = app.data_as(&eu, r#"{ shopOrderByKey(sourceUid: "2") { no } }"#).await;
        assert_eq!(found["shopOrderByKey"]["no"], 2);
        let hidden = app.data_as(&eu, r#"{ shopOrderByKey(sourceUid: "1") { no } }"#).await;
        assert!(hidden["shopOrderByKey"].is_null());
        let wider = r#"{ shopOrder(where: {or: [{region: {eq: "us"}}, {not: {region: {eq: "x"}}}]}) { totalCount } }"#;
        assert_eq!(app.data_as(&eu, wider).await["shopOrder"]["totalCount"], 2);
        let mut live = app.subscribe(&eu, "subscription { shopOrder(snapshot: true) { op node { no email } } }").await;
        let snapshot = live.until_op("CAUGHT_UP").await;
        assert_eq!(snapshot.len(), 2);
        assert!(!json!(snapshot).to_string().contains("example.com"));
    }

    async fn a_masked_field_cannot_be_guessed_and_a_hidden_one_is_not_there(backend) {
        let app = shop(backend).await;
        let eu = app.token("consumer", json!({"region": "eu"}));
        for query in [
            r#"{ shopOrder(where: {email: {eq: "p0@example.com"}}) { totalCount } }"#,
            "{ shopOrder(orderBy: [{email: ASC}]) { totalCount } }",
            "{ shopOrderAggregate(groupBy: [email]) { count } }",
            "{ shopOrderAggregate { max { email } } }",
            "{ shopPayment { nodes { card { number } } } }",
            r#"{ shopPayment(where: {card: {number: {like: "4%"}}}) { totalCount } }"#,
        ] {
            let answer = app.ask(&eu, query, json!({})).await;
            assert!(answer["errors"].is_array(), "{query}: {answer}");
            assert!(!answer.to_string().contains("example.com\"}"), "{answer}");
        }
        let introspection = r#"{ __type(name: "ShopPayment") { fields { name } } }"#;
        let fields = app.data_as(&eu, introspection).await.to_string();
        assert!(fields.contains("amount") && !fields.contains("card"), "{fields}");
        // Nor is its name suggested.
        let typo = app.ask(&eu, "{ shopPayment { nodes { crd } } }", json!({})).await.to_string();
        assert!(!typo.contains("card"), "{typo}");
    }

    async fn no_rule_is_no(backend) {
        let app = shop(backend).await;
        app.source("other/thing/web/1", &json!({"v": 1})).await;
        app.settled().await;
        let eu = app.token("consumer", json!({"region": "eu"}));
        let unknown = app.ask(&eu, "{ otherThing { totalCount } }", json!({})).await;
        assert!(unknown["errors"].is_array(), "{unknown}");
        assert!(!app.data_as(&eu, "{ collections { name } }").await.to_string().contains("otherThing"));
        assert_eq!(app.codes(&eu, "{ deadLetters { id } }").await, ["FORBIDDEN"]);
        let source = app.token("source", json!({"categories": ["shop"]}));
        let mutation = |category: &str| format!(r#"mutation {{ source(input: {{category: "{category}", subcategory: "s",
            sourceName: "n", sourceUid: "1", data: {{v: 1}}}}) {{ id }} }}"#);
        assert_eq!(app.codes(&source, &mutation("shop")).await, [""; 0]);
        assert_eq!(app.codes(&source, &mutation("other")).await, ["FORBIDDEN"]);
        assert_eq!(app.codes(&eu, &mutation("shop")).await, ["FORBIDDEN"]);
        let steward = app.token("steward", json!({}));
        assert_eq!(app.codes(&steward, "{ records { dataObj } }").await, ["FORBIDDEN"]);
        let pii = app.token("steward", json!({"roles": ["steward", "pii"]}));
        let raw = app.data_as(&pii, "{ records { dataObj } }").await;
        assert!(raw["records"].as_array().is_some_and(|records| !records.is_empty()));
    }

    async fn a_uid_taken_from_personal_data_is_hashed_everywhere(backend) {
        let app = TestApp::start(backend).await;
        let consumer = app.token("consumer", json!({}));
        // Nothing is hidden while uids are just numbers.
        app.source("crm/lead/web/17", &json!({"n": 1})).await;
        app.settled().await;
        let by_key = "{ crmLeadByKey(sourceUid: \"17\") { n _record { key } } }";
        let found = app.data_as(&consumer, by_key).await;
        assert_eq!(found["crmLeadByKey"]["_record"]["key"], "crm~lead~web~17");

        let lead = json!([{"n": 2, "email": "ann@example.org"}]).to_string();
        let (status, answer) = app.post("crm/lead/web?key=/email", "application/json", lead, &[]).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
        app.settled().await;
        let all = "{ crmLead(orderBy: [{n: ASC}]) { nodes { n email _record { key sourceUid author } } } }";
        let seen = app.data_until_as(&consumer, all, |data| data.to_string().contains("\"n\":2")).await;
        assert!(!seen.to_string().contains("ann@"), "{seen}");
        let row = &seen["crmLead"]["nodes"][1];
        assert_eq!(row["_record"]["sourceUid"], row["email"], "the same code for the same value: {row}");
        let guess = "{ crmLead(where: {_record: {sourceUid: {startsWith: \"ann\"}}}) { totalCount } }";
        for refused in [by_key, guess] {
            assert_eq!(app.codes(&consumer, refused).await, ["BAD_REQUEST"], "{refused}");
        }
        let pii = app.token("consumer", json!({"roles": ["consumer", "pii"]}));
        assert_eq!(app.data_as(&pii, guess).await["crmLead"]["totalCount"], 1);
    }
}

on_backends! { [embedded Embedded]
    async fn nobody_sees_nothing(backend) {
        let app = shop(backend).await;
        let answer = app.client.post(format!("{}/graphql", app.url)).json(&json!({"query": "{ __typename }"}));
        assert_eq!(answer.send().await.unwrap().status(), 200);
        let query = json!({"query": "{ shopOrder { totalCount } }"});
        let answer = app.client.post(format!("{}/graphql", app.url)).json(&query).send().await.unwrap();
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert!(answer["errors"].is_array(), "{answer}");
    }
}
