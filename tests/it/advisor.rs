//! Indexes that reads lack: noticed, proposed, made where nobody must agree, used, and gone when nobody needs them.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use wellspring::config::{Config, Exposure};

use crate::support::{Backend, TestApp, eventually, on_backends, on_every_backend, write_policies};

const ROWS: usize = 1_500;
const OFTEN: &str =
    "{ shopOrder(where: {status: {eq: \"s1\"}}, orderBy: [{placed: DESC}], first: 2) { nodes { placed } } }";
const SEARCH: &str =
    "{ shopOrder(where: {note: {search: \"\\\"no 777\\\" straß* -blue\"}}) { nodes { id } } }";
const ADVICE: &str =
    "{ indexAdvice(collection: \"shopOrder\") { id collection fields kind state reason sizeBytes uses
    subject at } }";

/// Whatever was read is looked at soon, and worth an index.
fn eager(config: &mut Config) {
    config.advisor.period_ms = 100;
    config.advisor.spent_min_ms = 0;
    config.advisor.rows_min = 0;
    config.advisor.share_max = 100;
}

async fn shop(backend: Backend, change: impl FnOnce(&mut Config)) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        eager(config);
        change(config);
    })
    .await;
    let lines: Vec<String> = (0..ROWS)
        .map(|n| {
            json!({"id": n, "status": format!("s{}", n % 50), "placed": n, "total": n % 7,
            "note": format!("Red bike, no. {n}; Straße {}", n % 50)})
            .to_string()
        })
        .collect();
    let (status, answer) =
        app.post("shop/order/web?key=/id", "application/x-ndjson", lines.join("\n"), &[]).await;
    assert_eq!(status, 202, "{answer}");
    app.settled().await;
    app
}

/// Reads in one way, and waits for the advice that comes of it to be so far.
async fn advised(app: &TestApp, query: &str, count: usize, state: &str) -> Vec<Value> {
    app.data(query).await;
    let good = |data: &Value| {
        let all = data["indexAdvice"].as_array().unwrap();
        all.len() == count && all.last().is_some_and(|one| one["state"] == state)
    };
    app.data_until(ADVICE, good).await["indexAdvice"].as_array().unwrap().clone()
}

/// The indexes that a read uses.
async fn used(app: &TestApp, query: &str) -> Vec<String> {
    let explain = "query($query: String!) { explain(query: $query) { indexes } }";
    let answer = app.ask(&app.admin(), explain, json!({"query": query})).await;
    serde_json::from_value(answer["data"]["explain"][0]["indexes"].clone())
        .unwrap_or_else(|_| panic!("{answer}"))
}

async fn told(app: &TestApp, mutation: &str, id: &Value) -> Value {
    let query = format!("mutation {{ {mutation}(id: {id}) {{ state subject reason }} }}");
    app.data(&query).await[mutation].take()
}

fn is_advised(name: &str, id: &Value) -> bool {
    name.ends_with(&format!("_a{}", id.as_str().unwrap()))
}

async fn connected(app: &TestApp) -> PgConnection {
    PgConnection::connect(app.config().store.database_url.as_ref().unwrap()).await.unwrap()
}

on_every_backend! {
    async fn what_is_read_often_gets_an_index_that_goes_when_nobody_reads_so(backend) {
        let app = shop(backend, |_| ()).await;
        let heard = "subscription { events(kinds: [INDEX_CREATED, INDEX_DROPPED]) { kind collection version subject
            index { fields reason } } }";
        let mut events = app.subscribe(&app.admin(), heard).await;
        let advice = advised(&app, OFTEN, 1, "CREATED").await.remove(0);
        assert_eq!(advice["fields"], json!(["/status", "/placed"]), "{advice}");
        assert_eq!((&advice["kind"], &advice["subject"]), (&json!("ORDER"), &Value::Null), "{advice}");
        assert!(advice["reason"].as_str().unwrap().contains("1 reads took"), "{advice}");
        assert!(advice["sizeBytes"].as_str().unwrap().parse::<i64>().unwrap() > 0, "{advice}");
        let event = events.next().await;
        let (kind, index) = (&event["kind"], &event["index"]);
        assert_eq!((kind, &event["collection"]), (&json!("INDEX_CREATED"), &json!("shopOrder")), "{event}");
        assert_eq!((&index["fields"], &index["reason"]), (&advice["fields"], &advice["reason"]));
        let indexes = used(&app, OFTEN).await;
        assert!(indexes.iter().any(|name| is_advised(name, &advice["id"])), "{indexes:?}");
        let rows = app.data(OFTEN).await;
        assert_eq!(rows["shopOrder"]["nodes"], json!([{"placed": 1451}, {"placed": 1401}]));
        // What an index covers needs no other.
        let fewer = "{ shopOrder(where: {status: {eq: \"s2\"}}) { nodes { placed } } }";
        app.data(fewer).await;
        let app = app.restart_with(|config| config.advisor.unused_s = 0).await;
        let gone = advised(&app, "{ __typename }", 1, "DROPPED").await.remove(0);
        assert_eq!((&gone["id"], &gone["sizeBytes"]), (&advice["id"], &Value::Null), "{gone}");
        assert!(gone["reason"].as_str().unwrap().contains("no read has used it"), "{gone}");
        assert!(used(&app, OFTEN).await.iter().all(|name| !is_advised(name, &advice["id"])));
    }

    async fn what_is_searched_often_gets_an_index_of_words(backend) {
        let app = shop(backend, |_| ()).await;
        let advice = advised(&app, SEARCH, 1, "CREATED").await.remove(0);
        assert_eq!((&advice["fields"], &advice["kind"]), (&json!(["/note"]), &json!("WORDS")), "{advice}");
        let led = async || {
            let indexes = used(&app, SEARCH).await;
            if indexes.iter().any(|name| is_advised(name, &advice["id"])) { Ok(()) } else { Err(indexes) }
        };
        eventually("a search to be led by it", led).await;
        let ids = async || app.data(SEARCH).await["shopOrder"]["nodes"].take();
        assert_eq!(ids().await, json!([{"id": 777}]));
        // What is changed, what comes, and what is longer than an index takes.
        let long = format!("{} Straße, no 777 {}", "x y ".repeat(100_000), "z".repeat(3_000));
        for (id, note) in [(777, "Blue bike no 777 Straße"), (778, "STRASSE no 777"), (9, long.as_str()),
            (5_000, "Straße no 777")]
        {
            app.source(&format!("shop/order/web/{id}"), &json!({"id": id, "note": note})).await;
        }
        app.source("shop/order/web/8", &json!({"id": 8, "note": null})).await;
        app.settled().await;
        assert_eq!(ids().await, json!([{"id": 9}, {"id": 5_000}]));
        app.retract("shop/order/web/5000").await;
        app.settled().await;
        assert_eq!(ids().await, json!([{"id": 9}]));
        let counted = "{ shopOrderAggregate(where: {or: [{note: {search: \"red 11\"}}, {note: {search: \"z*\"}}]})
            { count } }";
        assert_eq!(app.data(counted).await["shopOrderAggregate"], json!([{"count": 31}]));
        told(&app, "dropIndex", &advice["id"]).await;
        assert_eq!(ids().await, json!([{"id": 9}]));
        assert!(used(&app, SEARCH).await.iter().all(|name| !is_advised(name, &advice["id"])));
    }

    async fn positions_are_led_to_by_their_latitude(backend) {
        let app = TestApp::start_with(backend, eager).await;
        let place = |x: f64, y: f64| json!({"type": "Point", "coordinates": [x, y]});
        let lines: Vec<String> = (0..1_500_i32)
            .map(|n| json!({"id": n, "place": place(f64::from(n % 90), f64::from(n) / 10.0 - 75.0)}).to_string())
            .collect();
        let body = lines.join("\n");
        let (status, answer) = app.post("shop/order/web?key=/id", "application/x-ndjson", body, &[]).await;
        assert_eq!(status, 202, "{answer}");
        app.settled().await;
        let near = "{ shopOrder(where: {place: {coordinates: {near: {longitude: 30, latitude: 0, meters: 50}}}}) {
            nodes { id } } }";
        let advice = advised(&app, near, 1, "CREATED").await.remove(0);
        assert_eq!((&advice["fields"], &advice["kind"]), (&json!(["/place/coordinates"]), &json!("RANGE")));
        let led = async || {
            let indexes = used(&app, near).await;
            if indexes.iter().any(|name| is_advised(name, &advice["id"])) { Ok(()) } else { Err(indexes) }
        };
        eventually("positions to be led to by it", led).await;
        assert_eq!(app.data(near).await["shopOrder"]["nodes"], json!([{"id": 750}]));
        // What is no position is written nevertheless.
        for (n, odd) in [json!([]), json!([1]), json!([null, 1]), json!(["x", {}]), json!([1e300, 5e-324])]
            .into_iter()
            .enumerate()
        {
            let place = json!({"type": "Point", "coordinates": odd});
            app.source(&format!("shop/order/web/odd{n}"), &json!({"id": -1, "place": place})).await;
        }
        app.settled().await;
        let odd = "{ shopOrder(where: {id: {eq: -1}}) { totalCount } }";
        assert_eq!(app.data(odd).await["shopOrder"]["totalCount"], 5);
        assert_eq!(app.data(near).await["shopOrder"]["nodes"], json!([{"id": 750}]));
    }

    async fn where_new_things_are_guarded_a_steward_decides(backend) {
        let app = shop(backend, |config| config.shape.exposure = Exposure::Guarded).await;
        let first = advised(&app, OFTEN, 1, "PROPOSED").await.remove(0);
        // When the second is proposed, the first would long have been made.
        let other = "{ shopOrder(where: {total: {gt: 3}}) { nodes { placed } } }";
        let both = advised(&app, other, 2, "PROPOSED").await;
        assert_eq!((&both[0]["state"], &both[0]["id"]), (&json!("PROPOSED"), &first["id"]), "{both:?}");
        assert_eq!((&both[1]["fields"], &both[1]["kind"]), (&json!(["/total"]), &json!("RANGE")), "{both:?}");
        assert!(used(&app, OFTEN).await.iter().all(|name| !is_advised(name, &first["id"])));
        let applied = told(&app, "applyIndexAdvice", &first["id"]).await;
        assert_eq!(applied["subject"], "admin", "{applied}");
        let made = |data: &Value| data["indexAdvice"][0]["state"] == "CREATED";
        app.data_until(ADVICE, made).await;
        assert!(used(&app, OFTEN).await.iter().any(|name| is_advised(name, &first["id"])));
        // One that was asked for stays, though nobody uses it.
        let app = app.restart_with(|config| config.advisor.unused_s = 0).await;
        app.data(OFTEN).await;
        let noted = |data: &Value| data["indexAdvice"][0]["uses"].as_str().is_some_and(|uses| uses != "0");
        let kept = app.data_until(ADVICE, noted).await;
        assert_eq!(kept["indexAdvice"][0]["state"], "CREATED", "{kept}");
        let dropped = told(&app, "dropIndex", &first["id"]).await;
        assert_eq!((&dropped["state"], &dropped["subject"]), (&json!("DROPPED"), &json!("admin")));
        assert!(used(&app, OFTEN).await.iter().all(|name| !is_advised(name, &first["id"])));
        let wrong = app.codes(&app.admin(), "mutation { dropIndex(id: \"99\") { id } }").await;
        assert_eq!(wrong, ["NOT_FOUND"]);
    }

    async fn a_row_is_written_though_an_index_does_not_take_it(backend) {
        let app = shop(backend, |_| ()).await;
        let advice = advised(&app, OFTEN, 1, "CREATED").await.remove(0);
        // Of digits that do not repeat, so that it stays long when it is packed.
        let (mut long, mut seed) = (String::new(), 1_u64);
        while long.len() < 30_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            long.push_str(&format!("{:08x}", seed >> 32));
        }
        app.source("shop/order/web/long", &json!({"id": 9_999, "status": long, "placed": 1})).await;
        app.settled().await;
        let rows = app.data("{ shopOrderByKey(sourceUid: \"long\") { id } deadLetters { id } }").await;
        assert_eq!(rows, json!({"shopOrderByKey": {"id": 9_999}, "deadLetters": []}));
        let state = app.data(ADVICE).await["indexAdvice"][0].take();
        let expected = if backend == Backend::Embedded { "CREATED" } else { "REFUSED" };
        assert_eq!((&state["id"], &state["state"]), (&advice["id"], &json!(expected)), "{state}");
    }

    async fn advice_is_for_who_sees_the_fields(backend) {
        const RULES: &str = r#"allow(user: User, "source", _: Source) if "source" in user.roles;
            allow(user: User, _, _) if "admin" in user.roles;
            allow_field(user: User, "read", _: Row, _: Field) if "admin" in user.roles;
            allow(user: User, "steward", _: Source) if "clerk" in user.roles;
            allow(user: User, "read", _: ShopOrder) if "clerk" in user.roles;
            allow_field(user: User, "read", _: ShopOrder, field: Field) if
              "clerk" in user.roles and field.name = "total";"#;
        let app = shop(backend, |config| write_policies(config, &[("rules.polar", RULES)])).await;
        let clerk = app.token("clerk", json!({}));
        let heard = "subscription { events(kinds: [INDEX_CREATED]) { index { fields reason } } }";
        let mut events = app.subscribe(&clerk, heard).await;
        let secret = advised(&app, OFTEN, 1, "CREATED").await.remove(0);
        assert_eq!(events.next().await["index"]["fields"], Value::Null);
        let by_total = "{ shopOrder(where: {total: {eq: 3}}) { totalCount } }";
        let shown = advised(&app, by_total, 2, "CREATED").await.remove(1);
        let seen = app.data_as(&clerk, "{ indexAdvice { id fields } }").await;
        assert_eq!(seen["indexAdvice"], json!([{"id": shown["id"], "fields": ["/total"]}]));
        for mutation in ["applyIndexAdvice", "dropIndex"] {
            let query = format!("mutation {{ {mutation}(id: {}) {{ id }} }}", secret["id"]);
            assert_eq!(app.codes(&clerk, &query).await, ["NOT_FOUND"]);
        }
        let nobody = app.token("consumer", json!({}));
        assert_eq!(app.codes(&nobody, "{ indexAdvice { id } }").await, ["FORBIDDEN"]);
        let query = format!("mutation {{ dropIndex(id: {}) {{ id }} }}", shown["id"]);
        assert_eq!(app.codes(&nobody, &query).await, ["FORBIDDEN"]);
    }
}

on_backends! { [postgres Postgres]
    async fn what_a_crash_left_of_an_index_goes_and_it_is_made_again(backend) {
        let mut app = shop(backend, |config| config.shape.exposure = Exposure::Guarded).await;
        advised(&app, OFTEN, 1, "PROPOSED").await;
        app.end().await;
        let mut database = connected(&app).await;
        let name: String = sqlx::query_scalar("select 'c_' || collection_id || '_g1_a' || id from index_advice")
            .fetch_one(&mut database)
            .await
            .unwrap();
        // As one that ends in the middle leaves it: there, of no use, and a cost to each write.
        for left in [name.clone(), "c_1_g1_a999".to_owned()] {
            let table = name.rsplit_once('_').unwrap().0;
            let statement = format!("create unique index concurrently {left} on {table} (rev)");
            let failed = sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut database).await;
            assert!(failed.is_err(), "all rows have the same revision");
        }
        const INVALID: &str = "select count(*) from pg_index where not indisvalid";
        let count = async |database: &mut PgConnection| -> i64 {
            sqlx::query_scalar(INVALID).fetch_one(database).await.unwrap()
        };
        assert_eq!(count(&mut database).await, 2);
        sqlx::query("update index_advice set state = 'CREATING'").execute(&mut database).await.unwrap();
        let app = app.restart().await;
        let made = |data: &Value| data["indexAdvice"][0]["state"] == "CREATED";
        app.data_until(ADVICE, made).await;
        let none = async || match count(&mut database).await {
            0 => Ok(()),
            left => Err(left),
        };
        eventually("what was left to go", none).await;
        assert!(used(&app, OFTEN).await.contains(&name));
    }
}
