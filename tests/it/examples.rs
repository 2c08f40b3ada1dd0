//! The example policies: each loads beside the base policy, and gives what its comments say.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend, write_policies};

const BASE: &str = include_str!("../../policies/base.polar");
const REGIONS: &str = include_str!("../../policies/examples/regions.polar");

const ORDERS: &str =
    "{ shopOrder(orderBy: [{orderNo: ASC}]) { nodes { orderNo status region placedAt customer { name } } } }";

on_every_backend! {
    async fn regions_show_each_role_its_orders(backend) {
        let app = TestApp::start_with(backend, |config| {
            write_policies(config, &[("base.polar", BASE), ("regions.polar", REGIONS)]);
        })
        .await;
        for (no, region, status) in
            [("A1", "eu", "paid"), ("A2", "eu", "new"), ("A3", "us", "shipped"), ("A4", "us", "done")]
        {
            let order = json!({"orderNo": no, "region": region, "status": status, "total": 12.5,
                "placedAt": "2026-11-22T21:21:19Z",
                "customer": {"name": "Annabel", "email": format!("{no}@example.org")}});
            app.source(&format!("shop/order/web/{no}"), &order).await;
        }
        app.settled().await;
        let clerk = app.token("clerk", json!({"region": "eu"}));
        let courier = app.token("courier", json!({"region": "us"}));
        let numbers = |data: &Value| -> Vec<String> {
            let nodes = data["shopOrder"]["nodes"].as_array().unwrap();
            nodes.iter().map(|node| node["orderNo"].as_str().unwrap().to_owned()).collect()
        };

        let seen = app.data_as(&clerk, ORDERS).await;
        assert_eq!(numbers(&seen), ["A1", "A2"]);
        assert_eq!(seen["shopOrder"]["nodes"][0]["customer"]["name"], "Annabel");
        let mails = app.data_as(&clerk, "{ shopOrder { nodes { total customer { email } } } }").await;
        assert!(!mails.to_string().contains("example.org"), "{mails}");
        assert_eq!(mails["shopOrder"]["nodes"][0]["total"], 12.5);

        let seen = app.data_as(&courier, ORDERS).await;
        assert_eq!(numbers(&seen), ["A3"]);
        let node = &seen["shopOrder"]["nodes"][0];
        assert_eq!(node["placedAt"], "2026-11-22T00:00:00.000000Z");
        assert_eq!(node["customer"]["name"], "Ann…");
        let hidden = app.ask(&courier, "{ shopOrder { nodes { total } } }", json!({})).await;
        assert_eq!(hidden["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{hidden}");
        assert_eq!(app.codes(&courier, "{ shopOrder(orderBy: [{placedAt: ASC}]) { totalCount } }").await,
            ["BAD_REQUEST"]);
        let nobody = app.token("visitor", json!({"region": "eu"}));
        assert_eq!(app.codes(&nobody, "{ shopOrder { totalCount } }").await, ["BAD_REQUEST"]);
    }
}
