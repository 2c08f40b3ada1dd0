//! The demo as people see it: what it prints holds, for every role.

use std::sync::mpsc;

use reqwest::Client;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wellspring::{app::demo, config::Config, telemetry::Clock};

/// What the demo printed when it was ready, with the means to ask it.
struct Seen {
    url: String,
    text: String,
    client: Client,
}

impl Seen {
    /// The answer to a query with the token printed for this one.
    async fn ask(&self, name: &str, query: &str) -> Value {
        let lines = self.text.lines().skip_while(|line| line.split_whitespace().next() != Some(name));
        let token = lines.filter_map(|line| line.split_once("#token=")).map(|(_, token)| token.trim()).next();
        let request = self.client.post(format!("{}/graphql", self.url)).bearer_auth(token.unwrap());
        request.json(&json!({"query": query})).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_fills_itself_and_shows_each_role_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.listen = "127.0.0.1:0".into();
    config.store.data = directory.path().join("data");
    let stop = CancellationToken::new();
    let (said, hear) = mpsc::channel();
    let stopped = stop.clone().cancelled_owned();
    let running = tokio::spawn(demo::run(config, Clock::system(), 7, stopped, move |text: &str| {
        said.send(text.to_owned()).unwrap_or_default();
    }));
    let text = tokio::task::spawn_blocking(move || {
        let patience = std::time::Duration::from_secs(180);
        std::iter::from_fn(|| hear.recv_timeout(patience).ok()).find(|text| text.contains("ready: "))
    });
    let text = text.await.unwrap().expect("the demo should say that it is ready");
    let url = text.split_once("ready: ").unwrap().1.split("/graphiql").next().unwrap().to_owned();
    let seen = Seen { url, text, client: Client::builder().no_proxy().build().unwrap() };

    let ready = seen.client.get(format!("{}/readyz", seen.url)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
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

    stop.cancel();
    running.await.unwrap().unwrap();
}
