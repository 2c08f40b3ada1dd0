//! `allow_request`: the policies say by which way and for how much somebody may ask; without such a rule, everything.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cli::{place, run};
use crate::support::{TestApp, eventually, on_every_backend, write_policies};

const BASE: &str = include_str!("../../policies/base.polar");
const RULES: &str = r#"
allow_request(user: User, _: Request) if "admin" in user.roles;
allow_request(user: User, request: Request) if
  "consumer" in user.roles and request.transport in ["http", "rest"] and request.operation = "query" and
  request.format = "json" and request.page <= 10 and request.depth <= user.depth;
"#;

on_every_backend! {
    async fn rules_say_how_one_may_ask(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.reads.flush_ms = 20;
            write_policies(config, &[("base.polar", BASE), ("requests.polar", RULES)]);
        })
        .await;
        app.source("shop/order/web/1", &json!({"total": 1, "buyer": {"name": "Ann"}})).await;
        app.settled().await;
        let ann = app.token("consumer", json!({"sub": "ann", "depth": 3}));
        let ask = async |query: &str| app.ask(&ann, query, json!({})).await;
        let allowed =
            ["{ shopOrder(first: 10) { nodes { total } } }", "{ shopOrderByKey(sourceUid: \"1\") { total } }"];
        for query in allowed {
            let answer = ask(query).await;
            assert!(answer.get("errors").is_none(), "{query}: {answer}");
        }
        for query in [
            "{ shopOrder(first: 11) { nodes { total } } }",
            // The usual page is larger.
            "{ shopOrder { nodes { total } } }",
            "{ a: shopOrder(first: 1) { totalCount } b: shopOrder(last: 11) { totalCount } }",
            "{ shopOrder(first: 1) { nodes { buyer { name } } } }",
        ] {
            let answer = ask(query).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{query}: {answer}");
            assert!(answer.get("data").is_none(), "{answer}");
        }
        let told = ask("{ shopOrder(first: 11) { totalCount } }").await.to_string();
        assert!(told.contains("a query by `http` as `json`, with pages of up to 11 rows"), "{told}");
        // By variables, too.
        let query = "query($n: Int) { shopOrder(first: $n) { totalCount } }";
        assert!(app.ask(&ann, query, json!({"n": 9})).await.get("errors").is_none());
        assert!(app.ask(&ann, query, json!({"n": 900})).await.to_string().contains("FORBIDDEN"));

        let rest = async |path: &str| {
            let request = app.client.get(format!("{}/data/{path}", app.url)).bearer_auth(&ann);
            request.send().await.unwrap().status()
        };
        assert_eq!(rest("shopOrder.json?first=10&fields=total").await, StatusCode::OK);
        assert_eq!(rest("shopOrder.json?fields=total").await, StatusCode::FORBIDDEN);
        assert_eq!(rest("shopOrder.csv?first=10&fields=total").await, StatusCode::FORBIDDEN);
        let sse = app.client.post(format!("{}/graphql", app.url)).bearer_auth(&ann);
        let sse = sse.header("accept", "text/event-stream").json(&json!({"query": allowed[0]}));
        assert!(sse.send().await.unwrap().text().await.unwrap().contains("FORBIDDEN"));

        // Whom no rule names may not ask at all, and what was denied is noted.
        let nobody = app.token("visitor", json!({"sub": "eve"}));
        assert_eq!(app.codes(&nobody, "{ __typename }").await, ["FORBIDDEN"]);
        // A claim that is missing is never enough.
        let bo = app.token("consumer", json!({"sub": "bo"}));
        assert_eq!(app.codes(&bo, allowed[0]).await, ["FORBIDDEN"]);
        eventually("the denial", async || {
            let data = app.data("{ decisions(subject: \"bo\") { allowed collection path } }").await;
            let expected = json!([{"allowed": false, "collection": "shopOrder", "path": "QUERY"}]);
            if data["decisions"] == expected { Ok(()) } else { Err(data) }
        })
        .await;
        assert_eq!(app.data(query).await["shopOrder"]["totalCount"], Value::from(1));
    }
}

#[test]
fn what_requests_have_not_is_refused() {
    for (rule, says) in [
        ("allow_request(_: User, r: Request) if r.pages < 3;", "there is no `pages` here"),
        (
            "allow_request(_: User, r: Row) if r.page < 3;",
            "this is never a `Row`; the class here is `Request`",
        ),
        ("allow_request(_: User, r: Request) if r = \"http\";", "a request is never equal to this"),
        ("allow_requests(_: User, _: Request);", "`allow_request` has 2 parameters"),
        ("allow_request(_: User, r: Request) if r.transport.starts_with(\"w\") and r.nil = nil;", "no `nil`"),
    ] {
        let place = place();
        std::fs::create_dir(place.path().join("rules")).unwrap();
        std::fs::write(place.path().join("rules/base.polar"), format!("{BASE}\n{rule}\n")).unwrap();
        let said = run(place.path(), &["policy", "check", "--policies", "rules"]);
        assert!(said.code == 1 && said.err.contains(says), "{rule}: {said:?}");
    }
}
