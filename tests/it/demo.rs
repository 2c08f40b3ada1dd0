//! The demo as people see it: what it prints holds, for every role, on the first run and on the next.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, block_in_place};
use tokio_util::sync::CancellationToken;
use wellspring::{app::demo, config::Config, error::Result, telemetry::Clock};

use crate::support::{Subscription, eventually};

/// A running demo. It waits after each thing it says until the test has looked.
struct Demo {
    url: String,
    /// What it printed when it was ready.
    text: String,
    client: Client,
    said: Receiver<String>,
    go_on: Option<Sender<()>>,
    stop: CancellationToken,
    running: JoinHandle<Result<()>>,
}

impl Demo {
    fn start(data: &Path, pace: Duration) -> Self {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".into();
        config.store.data = data.to_owned();
        let stop = CancellationToken::new();
        let ((say, said), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let say = move |text: &str| {
            let _ = say.send(text.to_owned());
            // Nobody tells any more when the test only listens.
            let _ = block_in_place(|| may_go_on.recv());
        };
        let story = demo::Story { seed: 7, pace };
        let running = demo::run(config, Clock::system(), story, stop.clone().cancelled_owned(), say);
        let running = tokio::spawn(running);
        let client = Client::builder().no_proxy().build().unwrap();
        let (url, text) = (String::new(), String::new());
        Demo { url, text, client, said, go_on: Some(go_on), stop, running }
    }

    /// The next thing it says.
    fn hear(&self) -> String {
        block_in_place(|| self.said.recv_timeout(Duration::from_secs(180))).expect("the demo should go on")
    }

    /// Runs to where it is ready; `/readyz` says no until then.
    async fn ready(data: &Path, pace: Duration) -> Self {
        let mut demo = Self::start(data, pace);
        let first = demo.hear();
        let address = first.strip_prefix("starting on ").unwrap().split(';').next().unwrap();
        demo.url = format!("http://{address}");
        let mut lines = 0;
        loop {
            demo.go_on.as_ref().unwrap().send(()).unwrap();
            let text = demo.hear();
            let status = demo.client.get(format!("{}/readyz", demo.url)).send().await.unwrap().status();
            if text.contains("ready: ") {
                assert_eq!(status, 200);
                demo.text = text;
                break;
            }
            assert_eq!(status, 503, "after `{text}`");
            lines += 1;
        }
        assert!(lines >= 3, "it should say what it does meanwhile");
        assert!(demo.text.contains(&format!("ready: {}/graphiql", demo.url)), "{}", demo.text);
        demo.go_on = None;
        demo
    }

    /// The next drift that it tells of.
    fn drift(&self) -> String {
        loop {
            let text = self.hear();
            if text.starts_with("drift: ") {
                return text;
            }
        }
    }

    /// The token printed for this one.
    fn token(&self, name: &str) -> String {
        let lines = self.text.lines().skip_while(|line| line.split_whitespace().next() != Some(name));
        let token = lines.filter_map(|line| line.split_once("#token=")).map(|(_, token)| token.trim()).next();
        token.unwrap().to_owned()
    }

    /// The answer to a query with the token printed for this one.
    async fn ask(&self, name: &str, query: &str) -> Value {
        let request = self.client.post(format!("{}/graphql", self.url)).bearer_auth(self.token(name));
        request.json(&json!({"query": query})).send().await.unwrap().json().await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fills_itself_and_shows_each_role_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let seen = Demo::ready(&directory.path().join("data"), Duration::from_millis(600)).await;
    let counts =
        "{ geoEarthquake { totalCount } aviationAirport { totalCount } aviationFlight { totalCount } }";
    let counts = seen.ask("consumer-eu", counts).await;
    let total = |name: &str| counts["data"][name]["totalCount"].as_u64().unwrap_or(0);
    assert_eq!(
        (total("geoEarthquake"), total("aviationAirport"), total("aviationFlight")),
        (342, 3376, 5366)
    );

    let printed = seen.text.lines().map(str::trim).filter(|line| line.starts_with('{'));
    for query in printed.map(str::to_owned).collect::<Vec<_>>() {
        let answer = seen.ask("admin", &query).await;
        assert!(answer.get("errors").is_none(), "{query}: {answer}");
    }

    let regions = "{ shopOrderAggregate(groupBy: [region]) { group { region } } }";
    let of = |answer: Value| answer["data"]["shopOrderAggregate"].as_array().map(Vec::len);
    assert_eq!(of(seen.ask("steward", regions).await), Some(2));
    for (name, region) in [("consumer-eu", "eu"), ("consumer-us", "us")] {
        let answer = seen.ask(name, regions).await;
        assert_eq!(answer["data"]["shopOrderAggregate"], json!([{"group": {"region": region}}]));
        let card = seen.ask(name, "{ shopPayment { nodes { card { number } } } }").await;
        assert!(card["errors"].is_array(), "{card}");
    }
    let emails = "{ shopOrder { nodes { email } } }";
    assert!(seen.ask("admin", emails).await.to_string().contains("@example"));
    assert!(!seen.ask("steward", emails).await.to_string().contains("@example"));
    let cards = seen.ask("steward", "{ shopPayment(first: 1) { nodes { card { number } } } }").await;
    let number = cards["data"]["shopPayment"]["nodes"][0]["card"]["number"].as_str().unwrap();
    assert!(number.starts_with('…') && number.chars().count() == 5, "{cards}");
    assert!(seen.ask("source", emails).await["errors"].is_array());
    let request =
        seen.client.post(format!("{}/source/my/own/test/1", seen.url)).bearer_auth(seen.token("source"));
    assert_eq!(request.json(&json!({"n": 1})).send().await.unwrap().status(), 202);
    eventually("what was sent as `source`", async || {
        let answer = seen.ask("admin", "{ myOwn { nodes { n } } }").await;
        if answer["data"]["myOwn"]["nodes"] == json!([{"n": 1}]) { Ok(()) } else { Err(answer) }
    })
    .await;
    seen.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_lives_through_every_drift_and_what_is_told_is_true_on_every_run() {
    let directory = tempfile::tempdir().unwrap();
    let (data, pace) = (directory.path().join("data"), Duration::from_millis(5));
    let seen = Demo::ready(&data, pace).await;
    let query = "subscription { shopOrder(snapshot: true) { op node { orderNo quantity } } }";
    let mut live = Subscription::open(&seen.url, &seen.token("admin"), query).await;
    live.until_op("CAUGHT_UP").await;
    let expected = [
        "`quantity` was Int, from now on it is Float",
        "`giftWrap: Boolean` can be selected from now on",
        "`quantity` stays Float",
        "`quantity` stays Float",
        "`loyaltyPoints: Int` can be selected from now on",
    ];
    for (turn, became) in expected.into_iter().enumerate() {
        let told = seen.drift();
        assert!(told.ends_with(became), "{told}");
        let number = told.split("order ").nth(1).unwrap().split([' ', ';']).next().unwrap();
        let change = live.next_where(|change| change["node"]["orderNo"] == number).await;
        let quantity = &change["node"]["quantity"];
        match turn % 3 {
            0 => assert!(told.contains(&format!("is {quantity};")), "{told}: {change}"),
            2 => assert!(quantity.is_null(), "{told}: {change}"),
            _ => assert!(quantity.is_number(), "{told}: {change}"),
        }
        if turn == 2 {
            let rescued = format!(
                "{{ shopOrder(where: {{orderNo: {{eq: \"{number}\"}}}}) {{ nodes {{ _record {{ rescued }} }} }} }}"
            );
            let answer = seen.ask("admin", &rescued).await;
            assert!(answer.to_string().contains(" pcs"), "{answer}");
        }
    }
    let query =
        "{ shopOrder(where: {loyaltyPoints: {gte: 0}}, first: 1) { nodes { giftWrap loyaltyPoints } } }";
    let answer = seen.ask("admin", query).await;
    assert!(answer["data"]["shopOrder"]["nodes"][0]["loyaltyPoints"].is_number(), "{answer}");
    seen.end().await;

    let again = Demo::ready(&data, pace).await;
    for became in ["`quantity` stays Float", "`couponCode: String` can be selected from now on"] {
        let told = again.drift();
        assert!(told.ends_with(became), "{told}");
    }
    again.end().await;
}
