//! Fields and values of enums that begin with `true`, `false` or `null` are asked for like all others, wherever a
//! document names them.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend};

const ACCEPT: &str = "mutation { decideField(input: {collection: \"apiProperty\", path: \"/state\",
    values: [\"nullable\", \"trueish\", \"falsey\", \"open\"]}) { changed } }";

on_every_backend! {
    async fn names_that_begin_like_literals_are_read(backend) {
        let app = TestApp::start(backend).await;
        for (n, state) in ["nullable", "trueish", "falsey", "open"].into_iter().enumerate() {
            let property = json!({"n": n, "nullable": n < 2, "state": state, "trueColor": "red",
                "falsePositives": {"null_": n % 2}, "true": n > 2});
            app.source(&format!("api/property/web/{n}"), &property).await;
        }
        app.settled().await;
        let steward = app.token("steward", json!({}));
        let accepted = app.data_as(&steward, ACCEPT).await;
        assert_eq!(accepted["decideField"]["changed"], true);
        let groups = app.data("query Q($open: Boolean = true) { apiPropertyAggregate(groupBy:
            [nullable trueColor, falsePositives_null_]) { group { nullable @include(if: $open) trueColor
                falsePositives_null_ } count } }").await;
        let group = |nullable: bool, odd: u8| {
            json!({"group": {"nullable": nullable, "trueColor": "red", "falsePositives_null_": odd}, "count": 1})
        };
        let mut found = groups["apiPropertyAggregate"].as_array().unwrap().clone();
        found.sort_by_key(Value::to_string);
        let expected = [group(false, 0), group(true, 0), group(false, 1), group(true, 1)];
        assert_eq!(found, expected);

        for (document, expected) in [
            ("{ apiProperty(where: {state: {eq: nullable}}) { nodes { n state } } }", json!([0])),
            ("query($s: [ApiPropertyState!] = [trueish falsey]) { apiProperty(where: {state: {in: $s}},
                orderBy: [{n: ASC}]) { nodes { n } } }", json!([1, 2])),
            ("query($nullable: ApiPropertyState = nullable, $s: ApiPropertyState = falsey) { apiProperty(
                where: {state: {in: [$nullable, $s]}, nullable: {isNull: false}, trueColor: {eq: \"red\"}}
                orderBy: [{nullable: ASC}]) { nodes { n } } }", json!([2, 0])),
            ("{ apiProperty(where: {state: {ne: nullable}, true2: {eq: true}}) { nodes { n nullable: trueColor } } }",
                json!([3])),
        ] {
            let found = app.data(document).await;
            let found: Value = found["apiProperty"]["nodes"].as_array().unwrap().iter()
                .map(|node| node["n"].clone()).collect();
            assert_eq!(found, expected, "{document}");
        }
        let typed = "query($s: ApiPropertyState, $by: [ApiPropertyField!]) {
            apiPropertyAggregate(where: {state: {eq: $s}}, groupBy: $by) { group { nullable } } }";
        let answer = app.ask(&app.admin(), typed, json!({"s": "nullable", "by": ["nullable"]})).await;
        assert_eq!(answer["data"]["apiPropertyAggregate"], json!([{"group": {"nullable": true}}]), "{answer}");
    }
}
