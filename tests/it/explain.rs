//! `wellspring policy explain`, on the data of a node that serves: what it says of rows, fields and actions is what the
//! node does.

use serde_json::{Value, json};

use crate::cli::{Said, place, run};
use crate::support::{Backend, TestApp, on_every_backend, write_policies};

const BASE: &str = include_str!("../../policies/base.polar");
const REGIONS: &str = include_str!("../../policies/examples/regions.polar");
const ACME: &str = r#"
name = "acme"
version = 3
consumers = [{ claim = "client", value = "acme" }]

[collections.shopOrder]
fields = ["orderNo", "region", "customer.email"]
where = { status = { eq = "paid" } }
"#;

async fn shop(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        write_policies(config, &[("base.polar", BASE), ("regions.polar", REGIONS)]);
    })
    .await;
    for (no, region, status) in [("A1", "eu", "paid"), ("A2", "us", "new")] {
        let order = json!({"orderNo": no, "region": region, "status": status,
            "placedAt": "2026-11-22T21:21:19Z", "customer": {"name": "Ann", "email": "a@example.org"}});
        app.source(&format!("shop/order/web/{no}"), &order).await;
    }
    app.settled().await;
    let query = "mutation($input: ApplyContractInput!) { applyContract(input: $input) { applied } }";
    let applied = app.ask(&app.admin(), query, json!({"input": {"text": ACME}})).await;
    assert_eq!(applied["data"]["applyContract"]["applied"], true, "{applied}");
    app
}

/// Asks about an actor, on the database of the node.
fn explain(app: &TestApp, actor: &Value, args: &[&str]) -> Said {
    let directory = place();
    let (config, actor) = (app.config(), actor.to_string());
    let data = config.store.data.display().to_string();
    let mut all = vec!["policy", "explain", "--data", &data, "--actor", &actor];
    if let Some(url) = &config.store.database_url {
        all.extend(["--database-url", url]);
    }
    all.extend(args);
    run(directory.path(), &all)
}

/// What it says as JSON, and its exit code.
fn told(app: &TestApp, actor: &Value, args: &[&str]) -> (i32, Value) {
    let said = explain(app, actor, &[args, &["--json"]].concat());
    let told = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
    (said.code, told)
}

fn field<'a>(told: &'a Value, name: &str) -> &'a Value {
    let fields = told["fields"].as_array().unwrap();
    fields.iter().find(|field| field["name"] == name).unwrap_or_else(|| panic!("{name}: {told}"))
}

fn is_at(rule: &Value, file: &str) -> bool {
    rule["at"].as_str().unwrap().contains(file)
}

on_every_backend! {
    async fn it_says_which_rules_show_which_rows_and_fields(backend) {
        let app = shop(backend).await;
        let clerk = json!({"subject": "ana", "roles": ["clerk"], "region": "eu"});
        let (code, said) = told(&app, &clerk, &["--collection", "shopOrder", "--key", "A1"]);
        assert_eq!((code, &said["allowed"]), (0, &json!(true)), "{said}");
        assert_eq!(said["rows"]["filter"], "region = 'eu'");
        assert_eq!(said["rows"]["constants"], json!(["'eu'"]));
        let sql = said["rows"]["sql"].as_str().unwrap();
        assert!(sql.contains(" = $1"), "{sql}");
        let rules = said["rules"].as_array().unwrap();
        let held: Vec<&Value> = rules.iter().filter(|rule| rule["when"] != "false").collect();
        assert!(held.len() == 1 && is_at(held[0], "regions.polar:8"), "{said}");
        assert!(held[0]["rule"].as_str().unwrap().contains("\"clerk\" in user.roles"));
        let courier = rules.iter().find(|rule| is_at(rule, "regions.polar:11")).unwrap();
        let failed = courier["failed"].as_str().unwrap();
        assert!(failed.contains("regions.polar:12:") && failed.contains("\"courier\" in user.roles"), "{failed}");
        let base = rules.iter().find(|rule| is_at(rule, "base.polar")).unwrap();
        assert!(base["failed"].as_str().unwrap().contains("reader(user)"), "{base}");
        assert_eq!(said["row"]["visible"], true);
        assert_eq!(said["row"]["conditions"][0], json!({"of": held[0]["at"], "condition": "region = 'eu'",
            "holds": true}));

        let email = field(&said, "customer.email");
        assert_eq!(email["access"], "masked hash");
        assert!(email["maskedBy"].as_array().unwrap().iter().all(|rule| rule["mask"] == "hash"));
        assert!(email["maskedBy"].as_array().unwrap().iter().any(|rule| is_at(rule, "base.polar")), "{email}");
        let allowing = field(&said, "status")["allowedBy"].as_array().unwrap();
        let held: Vec<&Value> = allowing.iter().filter(|rule| rule["when"] == "true").collect();
        assert!(held.len() == 1 && is_at(held[0], "regions.polar:16"), "{allowing:?}");
        assert_eq!(field(&said, "_rest")["access"], "hidden");

        // A row of another region is not in the scope, and it says why.
        let (code, said) = told(&app, &clerk, &["--collection", "shopOrder", "--key", "A2"]);
        assert_eq!((code, &said["row"]["visible"]), (1, &json!(false)));
        assert_eq!(said["row"]["conditions"][0]["holds"], false);
        let (code, said) = told(&app, &clerk, &["--collection", "shopOrder", "--key", "A9"]);
        assert_eq!((code, &said["row"]["exists"]), (1, &json!(false)));
        // The whole key is as good.
        let (code, _) = told(&app, &clerk, &["--collection", "shopOrder", "--key", "shop~order~web~A1"]);
        assert_eq!(code, 0);

        let nobody = json!({"subject": "x"});
        let (code, said) = told(&app, &nobody, &["--collection", "shopOrder"]);
        assert_eq!((code, &said["rows"]), (1, &Value::Null));
        let said = explain(&app, &clerk, &["--collection", "shopOrder", "--key", "A1"]);
        for text in ["rows        region = 'eu'", "row         A1: in the scope", "masked hash", "$1 = 'eu'"] {
            assert!(said.out.contains(text), "{text}: {}", said.out);
        }
    }

    async fn it_knows_contracts_and_actions(backend) {
        let app = shop(backend).await;
        let consumer = json!({"subject": "carl", "roles": ["clerk"], "region": "eu", "client": "acme"});
        let (code, said) = told(&app, &consumer, &["--collection", "shopOrder", "--key", "A1"]);
        assert_eq!((code, &said["contract"]), (0, &json!("acme@3")));
        assert_eq!(said["rows"]["filter"], "(region = 'eu' and status = 'paid')");
        assert_eq!(field(&said, "status")["access"], "hidden");
        assert_eq!(field(&said, "status")["note"], "the contract does not name it");
        assert_eq!(field(&said, "customer.email")["access"], "masked hash");
        assert_eq!(field(&said, "orderNo")["access"], "shown");
        let admin = json!({"subject": "root", "roles": ["admin"]});
        let (code, said) = told(&app, &admin, &["--collection", "shopOrder", "--contract", "acme", "--key", "A2"]);
        assert_eq!((code, &said["contract"]), (1, &json!("acme@3")));
        let said = explain(&app, &consumer, &["--collection", "shopOrder", "--contract", "other"]);
        assert!(said.code == 1 && said.err.contains("yours are `acme@3`"), "{said:?}");

        let source = json!({"subject": "s", "roles": ["source"], "categories": ["shop"]});
        let asked = |what: &str| told(&app, &source, &["--action", "source", "--source", what]);
        assert_eq!(asked("shop/order/web").0, 0);
        let (code, said) = asked("bank/order/web");
        assert_eq!((code, &said["allowed"]), (1, &json!(false)));
        assert!(said["rules"][0]["failed"].as_str().unwrap().contains("may_send(user, source)"), "{said}");
        assert_eq!(told(&app, &source, &["--action", "administer"]).0, 1);
        assert_eq!(told(&app, &admin, &["--action", "administer"]).0, 0);

        for (args, says) in [
            (&["--collection", "shopOrdr"][..], "did you mean `shopOrder`?"),
            (&[], "`--collection`"),
            (&["--action", "reed"], "read"),
            (&["--action", "source", "--source", "shop"], "CATEGORY/SUBCATEGORY/NAME"),
        ] {
            let said = explain(&app, &admin, args);
            assert!(said.code == 2 && said.err.contains(says), "{said:?}");
        }
        let said = explain(&app, &json!({"sub": "x"}), &["--collection", "shopOrder"]);
        assert!(said.code == 2 && said.err.contains("there is no `sub`"), "{said:?}");
    }
}
