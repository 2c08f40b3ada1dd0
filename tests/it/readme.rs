//! What the README promises: each of its queries and requests is asked of a node that has the demo's data, its rule
//! holds there, and its commands exist.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, write_policies};

const README: &str = include_str!("../../README.md");
const AIRPORTS: &str = include_str!("../../samples/airports.csv");
const FLIGHTS: &str = include_str!("../../samples/flights-airport.csv");
const EARTHQUAKES: &str = include_str!("../../samples/earthquakes.ndjson");
const BASE: &str = include_str!("../../policies/base.polar");

/// The texts of the README's blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let starts = README.match_indices(&fence).map(|(at, _)| &README[at + fence.len()..]);
    starts.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands of the shell blocks, each as its words.
fn commands() -> Vec<Vec<String>> {
    let lines = blocks("sh").join("\n").replace("\\\n", " ");
    lines.lines().map(words).filter(|words| !words.is_empty()).collect()
}

/// A line as a shell splits it: at spaces outside of quotes; a comment ends it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in line.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), letter) if open == letter => quote = None,
            (None, ' ') => words.extend(word.take()),
            (None, '#') if word.is_none() => break,
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    assert_eq!(quote, None, "{line}");
    words.extend(word);
    words
}

/// Base policy, with the README's rule for consumers instead of the one that shows them every row.
fn policy() -> String {
    let all = "allow(user: User, \"read\", _: Row) if reader(user);";
    assert!(BASE.contains(all));
    BASE.replace(all, "allow(user: User, \"read\", _: Row) if has_role(user, \"steward\");")
        + &blocks("polar").join("\n")
}

async fn with_samples() -> TestApp {
    let app = TestApp::start_with(Backend::Embedded, |config| {
        write_policies(config, &[("tour.polar", &policy())]);
    })
    .await;
    let (_, answer) = app.post("aviation/airport/bts?key=/iata", "text/csv", AIRPORTS, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let flights: String = FLIGHTS.split_inclusive('\n').take(100).collect();
    let (_, answer) = app.post("aviation/flight/bts", "text/csv", flights, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let (_, answer) = app.post("geo/earthquake/usgs?key=/id", "application/x-ndjson", EARTHQUAKES, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let order = json!({"orderNo": "W1", "status": "PLACED", "region": "eu", "total": 9.5, "quantity": 1});
    app.source("shop/order/webshop/W1", &order).await;
    app.settled().await;
    app
}

/// Whether an answer has something to show in each of its root fields.
fn shows(data: &Value) -> bool {
    let full = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
    let made = |root: &Value| root["key"].is_string() || root["id"].is_string();
    data.as_object().is_some_and(|roots| {
        roots.values().all(|root| root.get("nodes").map_or(full(root) || made(root), full))
    })
}

/// What a `curl` command of the README does: sends it, and gives status and body.
async fn curl(app: &TestApp, words: &[String]) -> (u16, String) {
    let (mut headers, mut body, mut url) = (Vec::new(), None::<Vec<u8>>, None);
    let mut words = words.iter().skip(1).map(|word| word.replace("$TOKEN", &app.admin()));
    while let Some(word) = words.next() {
        match word.as_str() {
            "-s" => {}
            "-H" => headers.push(words.next().unwrap()),
            "-d" => body = words.next().map(String::into_bytes),
            "--data-binary" => {
                let file = words.next().unwrap();
                let file = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), file.strip_prefix('@').unwrap());
                body = Some(std::fs::read(file).unwrap());
            }
            address => url = Some(address.replace("http://127.0.0.1:8080", &app.url)),
        }
    }
    let url = url.unwrap();
    let mut request = if body.is_some() { app.client.post(url) } else { app.client.get(url) };
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let answer = request.body(body.unwrap_or_default()).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_holds() {
    let app = with_samples().await;
    let tour = blocks("graphql");
    assert!(tour.len() >= 5, "the tour has queries");
    for query in tour {
        if query.trim_start().starts_with("subscription") {
            let mut live = app.subscribe(&app.admin(), query).await;
            assert_eq!(live.next().await["node"]["orderNo"], "W1", "{query}");
        } else {
            app.data_until(query, shows).await;
        }
    }
    let requests: Vec<_> = commands().into_iter().filter(|words| words[0] == "curl").collect();
    assert!(requests.len() >= 3, "{requests:?}");
    for words in requests {
        let (status, body) = curl(&app, &words).await;
        if words.iter().any(|word| word.starts_with("http://127.0.0.1:8080/data/")) {
            assert_eq!(status, 200, "{words:?}: {body}");
            let full = body.lines().skip(1).filter(|line| line.contains(',')).count();
            assert!(full > 100, "{words:?}: {body}");
            continue;
        }
        assert_eq!(status, 202, "{words:?}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        let one = answer["status"].is_string();
        assert!(one || (answer["accepted"].as_u64() > Some(100) && answer["rejectedTotal"] == 0), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_rule_gives_each_region_its_orders() {
    assert_eq!(blocks("polar").len(), 1);
    let app = with_samples().await;
    for (region, count) in [("eu", 1), ("us", 0)] {
        let token = app.token("consumer", json!({"region": region}));
        let orders = app.data_as(&token, "{ shopOrder { totalCount nodes { orderNo region } } }").await;
        assert_eq!(orders["shopOrder"]["totalCount"], count, "{region}: {orders}");
    }
    let steward = app.data_as(&app.token("steward", json!({})), "{ shopOrder { totalCount } }").await;
    assert_eq!(steward["shopOrder"]["totalCount"], 1);
}

#[test]
fn its_commands_exist_with_their_options() {
    let ours: Vec<_> = commands().into_iter().filter(|words| words[0] == "wellspring").collect();
    assert!(ours.len() >= 4, "{ours:?}");
    for words in ours {
        // An option that does not exist is refused before the help is shown.
        let mut command = Command::new(env!("CARGO_BIN_EXE_wellspring"));
        let output = command.args(&words[1..]).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
