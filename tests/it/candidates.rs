//! Relations that the data suggests: found by values, told to stewards, none of personal data or of what they do not
//! see.

use serde_json::{Value, json};

use crate::support::{TestApp, on_backends, on_every_backend, write_policies};

const AIRPORTS: &str = include_str!("../../samples/airports.csv");
const FLIGHTS: &str = include_str!("../../samples/flights-airport.csv");
const ASK: &str = "{ relationCandidates {
    from { collection path } to { collection path } name inverseName values contained score } }";

async fn samples(app: &TestApp) {
    let (_, answer) = app.post("geo/airports/faa?key=/iata", "text/csv", AIRPORTS, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    let flights: String = FLIGHTS.split_inclusive('\n').take(400).collect();
    let (_, answer) = app.post("air/flights/faa", "text/csv", flights, &[]).await;
    assert_eq!(answer["rejected"], json!([]));
    app.settled().await;
}

/// What is offered once statistics have been written, `a.b>c.d` each.
fn offered(data: &Value) -> Vec<String> {
    let end =
        |end: &Value| format!("{}{}", end["collection"].as_str().unwrap(), end["path"].as_str().unwrap());
    let list = data["relationCandidates"].as_array().unwrap();
    list.iter().map(|one| format!("{}>{}", end(&one["from"]), end(&one["to"]))).collect()
}

on_every_backend! {
    async fn fields_that_name_keys_are_found_and_accepted(backend) {
        let app = TestApp::start(backend).await;
        samples(&app).await;
        let both = ["airFlights/destination>geoAirports/iata", "airFlights/origin>geoAirports/iata"];
        let found = |data: &Value| {
            let mut offered = offered(data);
            offered.sort();
            offered == both
        };
        let data = app.data_until(ASK, found).await;
        let origin = data["relationCandidates"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["from"]["path"] == "/origin")
            .unwrap()
            .clone();
        assert_eq!(
            (&origin["name"], &origin["inverseName"]),
            (&json!("originAirport"), &json!("airFlightsByOrigin"))
        );
        assert_eq!(origin["contained"], 1.0);
        assert!(
            origin["score"].as_f64().unwrap() > 0.6
                && origin["values"].as_str().unwrap().parse::<u64>().unwrap() > 5
        );
        let keys =
            app.data("{ keyCandidates(collection: \"geoAirports\") { path name type values rows } }").await;
        let key = |path: &str, name: &str| {
            json!({"path": path, "name": name, "type": "String", "values": "3376", "rows": "3376"})
        };
        assert_eq!(
            keys["keyCandidates"],
            json!([key("/iata", "iata"), key("_record.sourceUid", "_record.sourceUid")])
        );
        // Each can be accepted as it is offered, and is offered no more.
        let query =
            "mutation($input: AcceptRelationInput!) { acceptRelation(input: $input) { name inverseName } }";
        let input = json!({"from": origin["from"], "to": origin["to"]});
        let made = app.ask(&app.admin(), query, json!({"input": input})).await;
        assert_eq!(
            made["data"]["acceptRelation"],
            json!({"name": "originAirport", "inverseName": "airFlightsByOrigin"})
        );
        assert_eq!(offered(&app.data(ASK).await), [both[0]]);
        let of = "{ relationCandidates(collection: \"geoAirports\") { score }
            none: relationCandidates(collection: \"nobody\") { score } }";
        assert_eq!(app.codes(&app.admin(), of).await, ["NOT_FOUND"]);
        let consumer = app.token("consumer", json!({}));
        for query in [ASK, "{ keyCandidates(collection: \"geoAirports\") { path } }"] {
            assert_eq!(app.codes(&consumer, query).await, ["FORBIDDEN"]);
        }
    }
}

const POLICY: &str = r#"
allow(u: User, "read", _: Row) if "admin" in u.roles;
allow(u: User, "read", r: GeoAirports) if "part" in u.roles and r.state = "TX";
allow(u: User, "read", _: GeoAirports) if "masked" in u.roles;
allow(u: User, "read", _: AirFlights) if "steward" in u.roles;
allow_field(_: User, "read", _: Row, _: Field);
mask_field(u: User, _: Row, f: Field, "hash") if "masked" in u.roles and f.name in ["iata", "_record.sourceUid"];
allow(_: User, "source", _: Source);
allow(u: User, "steward", _: Source) if role in ["steward", "admin"] and role in u.roles;
"#;

on_backends! { [embedded Embedded]
    async fn only_what_is_seen_plainly_in_all_rows_is_looked_at(backend) {
        let app = TestApp::start_with(backend, |config| {
            write_policies(config, &[("own.polar", POLICY)]);
        })
        .await;
        samples(&app).await;
        for (uid, mail) in [("1", "a@example.org"), ("2", "b@example.org"), ("3", "c@example.org")] {
            app.source(&format!("hr/staff/x/{uid}"), &json!({"mail": mail})).await;
            app.source(&format!("hr/logins/x/l{uid}"), &json!({"user": mail})).await;
        }
        app.settled().await;
        app.data_until(ASK, |data| offered(data).len() == 2).await;
        for role in ["part", "masked"] {
            let token = app.token("steward", json!({"roles": ["steward", role]}));
            let data = app
                .data_as(
                    &token,
                    &format!("{{ geoAirports {{ totalCount }} airFlights {{ totalCount }} {}", &ASK[1..]),
                )
                .await;
            assert!(data["geoAirports"]["totalCount"].as_i64().unwrap() > 0);
            assert_eq!(offered(&data), Vec::<String>::new(), "{role}");
            let keys = app.data_as(&token, "{ keyCandidates(collection: \"geoAirports\") { path } }").await;
            assert_eq!(keys["keyCandidates"], json!([]), "{role}");
        }
    }
}
