//! Raw records are told exactly as they came, receipts with the times of their way, and sums to the last digit.

use serde_json::{Value, json};

use crate::support::{TestApp, on_every_backend};

/// The answer's own text: a parser of JSON would round its numbers.
async fn text(app: &TestApp, query: &str) -> String {
    let request = app.client.post(format!("{}/graphql", app.url)).bearer_auth(app.admin());
    request.json(&json!({ "query": query })).send().await.unwrap().text().await.unwrap()
}

on_every_backend! {
    async fn a_raw_document_is_told_as_it_came(backend) {
        let app = TestApp::start(backend).await;
        let odd = concat!(
            r#"{"z":123456789012345678901234567890,"a":-0,"huge":1e400,"one":1.0,"small":1E-7,"#,
            r#""twice":1,"twice":[2,{"y":0.10,"x":null}],"text":"é\u0000\n\"\\🜚"}"#
        );
        let (status, receipt) = app.post("raw/one/s/1", "application/json", odd, &[]).await;
        assert_eq!(status, 202, "{receipt}");
        let id = receipt["id"].as_str().unwrap();
        let one = text(&app, &format!("{{ record(id: \"{id}\") {{ dataObj }} }}")).await;
        assert_eq!(one, format!(r#"{{"data":{{"record":{{"dataObj":{odd}}}}}}}"#));
        let all = text(&app, "{ records { dataObj revision deleted } }").await;
        let expected = format!(r#"{{"data":{{"records":[{{"dataObj":{odd},"revision":1,"deleted":false}}]}}}}"#);
        assert_eq!(all, expected);
        app.retract("raw/one/s/1").await;
        let gone = text(&app, "{ records(first: 1) { dataObj revision deleted } }").await;
        assert_eq!(gone, r#"{"data":{"records":[{"dataObj":null,"revision":2,"deleted":true}]}}"#);
    }

    async fn a_receipt_tells_the_way_with_times(backend) {
        let app = TestApp::start(backend).await;
        let receipt = app.source("a/b/c/1", &json!({"v": 1})).await;
        let id = receipt["id"].as_str().unwrap();
        let wanted = "status ingestedAt publishedAt provisionedAt steps { settledAt }";
        let query = format!("{{ receipt(id: \"{id}\") {{ {wanted} }} }}");
        let told = app.data_until(&query, |data| data["receipt"]["status"] == "PROVISIONED").await;
        let told = &told["receipt"];
        let at = |time: &Value| time.as_str().map(str::to_owned).unwrap_or_else(|| panic!("{told}"));
        let times = ["ingestedAt", "publishedAt", "provisionedAt"].map(|name| at(&told[name]));
        assert!(times.is_sorted(), "{told}");
        assert_eq!(at(&told["steps"][0]["settledAt"]), times[2]);
    }

    async fn sums_of_whole_numbers_have_every_digit(backend) {
        let app = TestApp::start(backend).await;
        for (group, numbers) in [
            ("high", vec![i64::MAX, i64::MAX, 7]),
            ("low", vec![i64::MIN, i64::MIN, -1]),
            ("both", vec![i64::MAX, i64::MIN, -3_000_000_000]),
            ("none", vec![]),
        ] {
            for (n, number) in numbers.iter().enumerate() {
                app.source(&format!("sum/one/s/{group}{n}"), &json!({"g": group, "n": number})).await;
            }
            app.source(&format!("sum/one/s/{group}"), &json!({"g": group, "n": null})).await;
        }
        app.settled().await;
        let data = app.data("{ sumOneAggregate(groupBy: [g]) { group { g } sum { n } } }").await;
        let group = |name: &str, sum: Value| json!({"group": {"g": name}, "sum": {"n": sum}});
        assert_eq!(data["sumOneAggregate"], json!([
            group("both", json!("-3000000001")),
            group("high", json!("18446744073709551621")),
            group("low", json!("-18446744073709551617")),
            group("none", json!(null)),
        ]));
    }

    async fn a_misfit_is_named_by_its_pointer_and_keys_of_any_script_are_readable(backend) {
        let app = TestApp::start(backend).await;
        app.source("odd/key/s/1", &json!({"größe": {"a/b": "x"}, "価格": 1, "ключ": true})).await;
        // Names are given to whoever comes first, and keys have no order among each other.
        app.settled().await;
        app.source("odd/key/s/2", &json!({"größe": {"a/b": "x\0y"}, "grosse": 2})).await;
        app.settled().await;
        let wanted = "grosse { aB } grosse2 jiaGe kliuch _record { rescued }";
        let data = app.data(&format!("{{ oddKeyByKey(sourceUid: \"2\") {{ {wanted} }} }}")).await;
        let row = &data["oddKeyByKey"];
        assert_eq!(row["grosse2"], 2);
        assert_eq!(row["grosse"]["aB"], json!(null));
        assert_eq!(row["_record"]["rescued"][0]["path"], "/größe/a~1b", "{row}");
    }
}
