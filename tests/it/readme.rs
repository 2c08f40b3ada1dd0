//! What the README promises: each of its queries is asked of a node that has the demo's data.

use serde_json::json;

use crate::support::{Backend, TestApp};

const README: &str = include_str!("../../README.md");
const AIRPORTS: &str = include_str!("../../samples/airports.csv");
const EARTHQUAKES: &str = include_str!("../../samples/earthquakes.ndjson");

/// The texts of the README's blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let starts = README.match_indices(&fence).map(|(at, _)| &README[at + fence.len()..]);
    starts.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_holds() {
    let app = TestApp::start(Backend::Embedded).await;
    let first = |text: &str, lines: usize| text.lines().take(lines).collect::<Vec<_>>().join("\n");
    let (_, answer) = app.post("aviation/airport/bts?key=/iata", "text/csv", first(AIRPORTS, 300), &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let earthquakes = first(EARTHQUAKES, 100);
    let (_, answer) = app.post("geo/earthquake/usgs?key=/id", "application/x-ndjson", earthquakes, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let order = json!({"orderNo": "W1", "status": "PLACED", "region": "eu", "total": 9.5, "quantity": 1});
    app.source("shop/order/webshop/W1", &order).await;
    app.settled().await;
    let tour = blocks("graphql");
    assert!(tour.len() >= 5, "the tour has queries");
    for query in tour {
        if query.trim_start().starts_with("subscription") {
            let mut live = app.subscribe(&app.admin(), query).await;
            assert_eq!(live.next().await["node"]["orderNo"], "W1", "{query}");
        } else {
            app.data_until(query, |_| true).await;
        }
    }
}
