//! What relations must not show: rows, fields and values that the actor may not see.

use serde_json::{Value, json};

use super::{asked, end, fill, origins};
use crate::support::{TestApp, on_every_backend, write_policies};

const POLICY: &str = r#"
allow(u: User, "read", _: Row) if "admin" in u.roles;
allow_field(u: User, "read", _: Row, _: Field) if "admin" in u.roles;
allow(u: User, "source", _: Source) if "source" in u.roles;
allow(u: User, "steward", _: Source) if role in ["steward", "admin"] and role in u.roles;

is_one(u: User) if
    role in ["some", "few", "nokey", "maskedkey", "nofield", "maskedfield", "rowkey", "noairports", "hashed"]
    and role in u.roles;
allow(u: User, "read", r: AirFlights) if is_one(u) and not "few" in u.roles and r.seats > 0;
allow(u: User, "read", r: AirFlights) if "few" in u.roles and r.seats < 25;
allow(u: User, "read", r: GeoAirports) if is_one(u) and not "noairports" in u.roles and not r.city = "zqdenver";
allow_field(u: User, "read", _: GeoAirports, f: Field) if is_one(u) and f.name in ["city", "rank"];
allow_field(u: User, "read", _: GeoAirports, f: Field) if
    is_one(u) and not "nokey" in u.roles and not "rowkey" in u.roles and f.name = "iata";
allow_field(u: User, "read", r: GeoAirports, f: Field) if "rowkey" in u.roles and f.name = "iata" and r.rank = "1";
allow_field(u: User, "read", _: AirFlights, f: Field) if is_one(u) and f.name = "seats";
allow_field(u: User, "read", _: AirFlights, f: Field) if is_one(u) and not "nofield" in u.roles and f.name = "origin";
mask_field(u: User, _: GeoAirports, f: Field, "hash") if "maskedkey" in u.roles and f.name = "iata";
mask_field(u: User, _: GeoAirports, f: Field, "hash") if "hashed" in u.roles and f.name = "city";
mask_field(u: User, _: AirFlights, f: Field, "hash") if "maskedfield" in u.roles and f.name = "origin";
"#;

/// The text of an error, without the name that was asked.
fn plain(answer: &Value, name: &str) -> String {
    answer["errors"][0]["message"].as_str().unwrap().replace(name, "?")
}

/// Of rows that are not to be seen no condition and no order tells: they are as if there were none.
async fn conditions_tell_nothing(app: &TestApp, some: &str, few: &str) {
    let numbers = async |token: &str, arguments: &str| -> Vec<i64> {
        let asked = format!("{{ airFlights({arguments}) {{ nodes {{ seats }} totalCount }} }}");
        let seen = app.data_as(token, &asked).await;
        let nodes = seen["airFlights"]["nodes"].as_array().unwrap();
        assert_eq!(seen["airFlights"]["totalCount"], nodes.len());
        nodes.iter().map(|node| node["seats"].as_i64().unwrap()).collect()
    };
    for (condition, expected) in [
        ("{originAirport: {city: {eq: \"zqdenver\"}}}", vec![]),
        ("{originAirport: {city: {startsWith: \"z\"}}}", vec![]),
        ("{not: {originAirport: {city: {ne: \"zqdenver\"}}}}", vec![40, 50]),
        ("{originAirport: {city: {isNull: true}}}", vec![]),
        ("{originAirport: {}}", vec![10, 20, 30]),
        ("{not: {originAirport: {}}}", vec![40, 50]),
        ("{originAirport: {airFlightsByOrigin: {some: {seats: {gt: 45}}}}}", vec![]),
    ] {
        let arguments = format!("where: {condition}, orderBy: [{{seats: ASC}}]");
        assert_eq!(numbers(some, &arguments).await, expected, "{condition}");
    }
    let order = "orderBy: [{originAirport: {city: DESC}}, {seats: ASC}]";
    assert_eq!(numbers(some, order).await, [20, 10, 30, 40, 50]);
    let order = "orderBy: [{originAirport: {rank: DESC_NULLS_FIRST}}, {seats: DESC}]";
    assert_eq!(numbers(some, order).await, [50, 40, 20, 30, 10]);
    let cities = async |condition: &str| {
        let arguments = format!("where: {condition}, orderBy: [{{rank: ASC}}]");
        let asked = format!("{{ geoAirports({arguments}) {{ nodes {{ rank }} }} }}");
        app.data_as(few, &asked).await["geoAirports"]["nodes"].clone()
    };
    let some_flights = "{airFlightsByOrigin: {some: {seats: {gt: 25}}}}";
    assert_eq!(cities(some_flights).await, json!([]));
    let every_flight = "{airFlightsByOrigin: {every: {seats: {lt: 15}}}}";
    assert_eq!(cities(every_flight).await, json!([{"rank": "1"}]));
    // What is masked there is no more compared than in a query of its own.
    let hashed = app.token("hashed", json!({}));
    let guess = "where: {originAirport: {city: {eq: \"Austin\"}}}";
    for arguments in [guess, "orderBy: [{originAirport: {city: ASC}}]"] {
        let asked = format!("{{ airFlights({arguments}) {{ totalCount }} }}");
        assert_eq!(app.codes(&hashed, &asked).await, ["BAD_REQUEST"], "{arguments}");
    }
    let allowed = "where: {originAirport: {rank: {eq: \"1\"}}}, orderBy: [{seats: ASC}]";
    assert_eq!(numbers(&hashed, allowed).await, [10, 30]);
}

/// Where a relation is not there, conditions and orders do not know its name.
async fn inputs_are_unknown(app: &TestApp, token: &str) {
    for arguments in ["where: {originAirport: {}}", "orderBy: [{originAirport: {rank: ASC}}]"] {
        let asked = format!("{{ airFlights({arguments}) {{ totalCount }} }}");
        let fake = asked.replace("originAirport", "originAirporx");
        let (one, other) = (app.ask(token, &asked, json!({})).await, app.ask(token, &fake, json!({})).await);
        assert_eq!(plain(&one, "originAirport"), plain(&other, "originAirporx"), "{asked}");
    }
    let inputs = "{ a: __type(name: \"AirFlightsFilter\") { inputFields { name } }
        b: __type(name: \"AirFlightsOrder\") { inputFields { name } } }";
    let inputs = app.data_as(token, inputs).await.to_string();
    assert!(inputs.contains("seats") && !inputs.contains("originAirport"), "{inputs}");
}

/// Statistics of related rows are of all of them, too; pages of them are counted.
async fn estimates_tell_nothing(app: &TestApp) {
    let counted = "{ airFlights(where: {originAirport: {}}) { totalCountEstimate { count kind } }
        geoAirports(first: 1) { nodes { airFlightsByOrigin { totalCountEstimate { count kind } } } } }";
    let counted = app.data(counted).await;
    let about = json!({"count": "1", "kind": "AT_LEAST"});
    assert_eq!(counted["airFlights"]["totalCountEstimate"], about);
    let there = &counted["geoAirports"]["nodes"][0]["airFlightsByOrigin"]["totalCountEstimate"];
    assert_eq!(there["kind"], "EXACT");
}

on_every_backend! {
    async fn what_an_actor_may_not_see_no_relation_shows(backend) {
        let app = fill(
            TestApp::start_with(backend, |config| {
                write_policies(config, &[("own.polar", POLICY)]);
                config.graphql.count_exact_max = 1;
            })
            .await,
        )
        .await;
        origins(&app).await;
        estimates_tell_nothing(&app).await;
        let follow = "{ airFlights(orderBy: [{seats: ASC}]) { nodes { originAirport { city } } } }";
        let back = "{ geoAirports { nodes { airFlightsByOrigin { totalCount nodes { seats } } } } }";
        // All of the airports but Denver, and of the flights those with few seats.
        let some = app.token("some", json!({}));
        let seen = app.data_as(&some, follow).await;
        assert_eq!(seen["airFlights"]["nodes"].as_array().unwrap().len(), 5);
        assert!(
            !seen.to_string().contains("zqdenver")
                && seen["airFlights"]["nodes"][4]["originAirport"].is_null(),
            "{seen}"
        );
        let few = app.token("few", json!({}));
        let seen = app.data_as(&few, back).await.to_string();
        assert!(
            seen.contains("{\"seats\":10}")
                && !seen.contains("\"seats\":30")
                && !seen.contains("\"totalCount\":2"),
            "{seen}"
        );
        conditions_tell_nothing(&app, &some, &few).await;
        // Without both ends as they are there is no such field, for anybody who asks.
        for role in ["nokey", "maskedkey", "nofield", "maskedfield", "rowkey", "noairports"] {
            let token = app.token(role, json!({}));
            let fake = follow.replace("originAirport", "originAirporx");
            let (one, other) =
                (app.ask(&token, follow, json!({})).await, app.ask(&token, &fake, json!({})).await);
            assert_eq!(plain(&one, "originAirport"), plain(&other, "originAirporx"), "{role}");
            let known = app
                .data_as(&token, "{ __type(name: \"AirFlights\") { fields { name } } relations { id } }")
                .await;
            assert!(
                known.to_string().contains("seats") && !known.to_string().contains("originAirport"),
                "{role}: {known}"
            );
            assert_eq!(known["relations"], json!([]), "{role}");
            inputs_are_unknown(&app, &token).await;
            let airports = app.data_as(&token, "{ __type(name: \"GeoAirports\") { fields { name } } }").await;
            assert!(!airports.to_string().contains("airFlightsByOrigin"), "{role}");
            let mut live = app
                .subscribe(&token, "subscription { airFlights { node { originAirport { city } } } }")
                .await;
            assert!(live.receive().await.to_string().contains("unknown field"), "{role}");
        }
        // Of rows that are shown the masks hold.
        let masked = app.data_as(&app.token("hashed", json!({})), follow).await.to_string();
        assert!(!masked.contains("Austin") && masked.contains("\"city\":\""), "{masked}");
        // What a rule says of a relation is refused like what it says of any field that there is not.
        let text = format!(
            "{POLICY}\nallow(u: User, \"read\", r: AirFlights) if u.roles = [\"z\"] and r.originAirport = \"x\";"
        );
        std::fs::write(app.config().store.data.join("policies/own.polar"), text).unwrap();
        let app = app.restart().await;
        assert!(
            app.data_as(&app.token("z", json!({})), "{ collections { name } }").await["collections"]
                .as_array()
                .unwrap()
                .is_empty()
        );
    }

    async fn in_guarded_mode_both_ends_must_be_classified(backend) {
        let app = TestApp::start_with(backend, |config| {
            config.shape.exposure = wellspring::config::Exposure::Guarded;
        })
        .await;
        let app = fill(app).await;
        origins(&app).await;
        let consumer = app.token("consumer", json!({}));
        let follow = "{ airFlights { nodes { originAirport { city } } } }";
        let classify = async |collection: &str, path: &str| {
            let change = format!(
                "mutation {{ classifyFields(
                    input: {{collection: \"{collection}\", paths: [\"{path}\"]}}) {{ changed }} }}"
            );
            assert_eq!(app.data(&change).await["classifyFields"]["changed"], 1);
        };
        for (collection, path) in [("airFlights", "/origin"), ("geoAirports", "/city")] {
            classify(collection, path).await;
            assert_eq!(app.codes(&consumer, follow).await, ["BAD_REQUEST"]);
        }
        classify("geoAirports", "/iata").await;
        assert!(app.data_as(&consumer, follow).await.to_string().contains("Austin"));
    }

    async fn personal_data_relates_for_who_may_see_it_only(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"mail": "ada@example.org", "n": 1})).await;
        app.source("a/d/c/1", &json!({"mail": "ada@example.org", "name": "Ada"})).await;
        app.settled().await;
        let ends = || (end("aB", "/mail"), end("aD", "/mail"));
        let answer = asked(&app, &["steward"], ends().0, ends().1, json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN", "{answer}");
        let answer = asked(&app, &["steward", "pii"], ends().0, ends().1, json!({"name": "person"})).await;
        assert_eq!(answer["data"]["acceptRelation"]["name"], "person", "{answer}");
        let follow = "{ aB { nodes { person { name } } } }";
        assert_eq!(app.codes(&app.token("consumer", json!({})), follow).await, ["BAD_REQUEST"]);
        let pii = app.token("consumer", json!({"roles": ["consumer", "pii"]}));
        assert_eq!(app.data_as(&pii, follow).await["aB"]["nodes"], json!([{"person": {"name": "Ada"}}]));
    }
}
