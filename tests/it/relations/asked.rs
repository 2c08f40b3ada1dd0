//! Conditions and orders that follow relations, as clients ask them, and how many statements a request makes.

use serde_json::{Value, json};

use super::{accept, airports, end, origins, planes};
use crate::support::{TestApp, on_every_backend};

async fn seats(app: &TestApp, arguments: &str) -> Vec<i64> {
    let asked = format!("{{ airFlights({arguments}) {{ nodes {{ seats }} }} }}");
    let answer = app.data(&asked).await;
    let nodes = answer["airFlights"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["seats"].as_i64().unwrap()).collect()
}

/// How many statements have read rows.
async fn statements(app: &TestApp) -> u64 {
    let text = app.client.get(format!("{}/metrics", app.url)).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("wellspring_row_statements_total "));
    line.unwrap().parse().unwrap()
}

on_every_backend! {
    async fn conditions_and_orders_follow_relations(backend) {
        let app = airports(backend).await;
        origins(&app).await;
        planes(&app).await;
        for (condition, expected) in [
            ("{originAirport: {city: {eq: \"Austin\"}}}", vec![10, 30]),
            // Of two rows with one key the first that came is meant, as where the relation is followed.
            ("{originAirport: {city: {in: [\"Second\", \"Boston\"]}}}", vec![20]),
            ("{originAirport: {city: {eq: \"Second\"}}}", vec![]),
            ("{originAirport: {}}", vec![10, 20, 30, 50]),
            ("{not: {originAirport: {}}}", vec![40]),
            ("{originAirport: {city: {ne: \"Austin\"}}}", vec![20, 50]),
            ("{originAirport: {airFlightsByOrigin: {some: {seats: {gt: 25}}}}}", vec![10, 30, 50]),
            ("{plane_: {flights: {every: {seats: {lt: 25}}}}}", vec![20]),
            ("{plane_: {flights: {none: {originAirport: {city: {eq: \"Austin\"}}}}}}", vec![20]),
            ("{or: [{plane_: {maker: {eq: \"m8\"}}}, {seats: {gt: 45}}]}", vec![20, 50]),
            ("{plane_: {_record: {sourceUid: {eq: \"7\"}}}}", vec![10, 30]),
        ] {
            let arguments = format!("where: {condition}, orderBy: [{{seats: ASC}}]");
            assert_eq!(seats(&app, &arguments).await, expected, "{condition}");
            let figures = format!("{{ airFlightsAggregate(where: {condition}) {{ count }} }}");
            let figures = app.data(&figures).await;
            assert_eq!(figures["airFlightsAggregate"][0]["count"], expected.len(), "{condition}");
        }
        for (order, expected) in [
            ("{originAirport: {city: ASC}}, {seats: DESC}", vec![30, 10, 20, 50, 40]),
            ("{originAirport: {city: DESC_NULLS_FIRST}}, {seats: ASC}", vec![40, 50, 20, 10, 30]),
            ("{plane_: {_record: {key: DESC}}}, {seats: ASC}", vec![20, 10, 30, 40, 50]),
        ] {
            assert_eq!(seats(&app, &format!("orderBy: [{order}]")).await, expected, "{order}");
        }
        // Below relations, by variables, and in files.
        let below = "query($w: AirFlightsFilter, $o: [AirFlightsOrder!]) { geoAirports(where: {iata: {eq: \"AUS\"}}) {
            nodes { airFlightsByOrigin(where: $w, orderBy: $o) { nodes { seats } } } } }";
        let variables = json!({
            "w": {"plane_": {"maker": {"eq": "m7"}}}, "o": [{"plane_": {"maker": "ASC"}}, {"seats": "DESC"}]
        });
        let answer = app.ask(&app.admin(), below, variables).await;
        let nodes = &answer["data"]["geoAirports"]["nodes"][0]["airFlightsByOrigin"]["nodes"];
        assert_eq!(*nodes, json!([{"seats": 30}, {"seats": 10}]), "{answer}");
        let file = app.client.get(format!("{}/data/airFlights.ndjson", app.url)).bearer_auth(app.admin()).query(&[
            ("where", "{\"originAirport\":{\"rank\":{\"isNull\":false}}}"),
            ("order", "originAirport.city:desc,seats"),
            ("fields", "seats"),
        ]);
        let file = file.send().await.unwrap().text().await.unwrap();
        assert_eq!(file, "{\"seats\":50}\n{\"seats\":20}\n{\"seats\":10}\n{\"seats\":30}\n");
    }

    async fn what_cannot_follow_relations_says_so(backend) {
        let app = airports(backend).await;
        let unknown = "{ airFlights(where: {originAirport: {city: {eq: \"Austin\"}}}) { totalCount } }";
        assert_eq!(app.codes(&app.admin(), unknown).await, ["BAD_REQUEST"]);
        origins(&app).await;
        let told = async |answer: Value, code: &str, words: &str| {
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{answer}");
            assert!(answer["errors"][0]["message"].as_str().unwrap().contains(words), "{answer}");
        };
        let live = "subscription { airFlights(where: {originAirport: {city: {eq: \"Austin\"}}}) { op } }";
        let mut live = app.subscribe(&app.admin(), live).await;
        assert!(live.receive().await.to_string().contains("follows no relations"));
        let cursor = app.data("{ airFlights { pageInfo { cursor } } }").await;
        let cursor = &cursor["airFlights"]["pageInfo"]["cursor"];
        for arguments in ["where: {originAirport: {}}", "orderBy: [{originAirport: {city: ASC}}]"] {
            let past = format!("{{ airFlights({arguments}, asOf: {cursor}) {{ totalCount }} }}");
            told(app.ask(&app.admin(), &past, json!({})).await, "BAD_REQUEST", "asOf").await;
        }
        let deep = "{ airFlights(where: {originAirport: {airFlightsByOrigin: {some: {originAirport: {
            airFlightsByOrigin: {none: {}}}}}}}) { totalCount } }";
        told(app.ask(&app.admin(), deep, json!({})).await, "TOO_COMPLEX", "graphql.relations_max").await;
        let many = "{ geoAirports(orderBy: [{airFlightsByOrigin: {seats: ASC}}]) { totalCount } }";
        assert_eq!(app.codes(&app.admin(), many).await, ["BAD_REQUEST"]);
        // The cursor of one order is none of another.
        let edges = "edges { cursor }";
        let first = format!("{{ airFlights(orderBy: [{{originAirport: {{city: ASC}}}}]) {{ {edges} }} }}");
        let first = app.data(&first).await["airFlights"]["edges"][0]["cursor"].clone();
        let order = "orderBy: [{originAirport: {rank: ASC}}]";
        let other = format!("{{ airFlights({order}, after: {first}) {{ {edges} }} }}");
        told(app.ask(&app.admin(), &other, json!({})).await, "BAD_REQUEST", "another `orderBy`").await;
    }

    async fn a_request_makes_as_many_statements_as_it_has_levels(backend) {
        let app = TestApp::start_with(backend, |config| config.graphql.cost_max = 10_000_000).await;
        for n in 0..60 {
            let flight = json!({"origin": "AUS", "plane": n % 2, "seats": n});
            app.source(&format!("air/flights/faa/{n:02}"), &flight).await;
        }
        app.source("geo/airports/faa/1", &json!({"iata": "AUS", "city": "Austin"})).await;
        for uid in ["0", "1"] {
            app.source(&format!("air/planes/faa/{uid}"), &json!({"maker": format!("m{uid}")})).await;
        }
        app.settled().await;
        origins(&app).await;
        planes(&app).await;
        let (from, to) = (end("airPlanes", "_record.sourceUid"), end("airFlights", "/plane"));
        accept(&app, from, to, json!({"name": "earliest"})).await;
        let query = "query($n: Int, $with: Boolean = true) {
                flights: airFlights(first: $n) { ...Page }
                again: airFlights(first: $n, orderBy: [{originAirport: {city: ASC}}, {plane_: {maker: DESC}}],
                    where: {originAirport: {city: {eq: \"Austin\"}}, plane_: {flights: {some: {seats: {gte: 0}}}}}) {
                    totalCount nodes @include(if: $with) { seats } }
            }
            fragment Page on AirFlightsConnection { totalCount edges { cursor node { seats ...Flight
                one: plane_ { maker } ... on AirFlights @skip(if: $with) { other: plane_ { maker } } } } }
            fragment Flight on AirFlights { originAirport { city airFlightsByOrigin(first: $n) { totalCount
                nodes { seats plane_ { maker earliest { seats } flights(first: $n, where: {originAirport: {}}) {
                    nodes { seats } } } } } } plane_ { maker } }";
        let mut counts = Vec::new();
        for rows in [1, 50] {
            let before = statements(&app).await;
            let answer = app.ask(&app.admin(), query, json!({"n": rows})).await;
            assert!(answer.get("errors").is_none(), "{answer}");
            for root in ["flights", "again"] {
                let page = &answer["data"][root];
                let found = page["nodes"].as_array().or(page["edges"].as_array()).unwrap().len();
                assert_eq!(found, rows, "{page}");
            }
            counts.push(statements(&app).await - before);
        }
        // Two root fields, and of the first: the airport, its flights, their plane, its earliest flight and all of its
        // flights; and the plane under two names.
        assert_eq!(counts, [9, 9]);
    }
}
