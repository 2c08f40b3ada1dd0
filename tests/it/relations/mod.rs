//! Relations: accepted by a steward, followed in both directions, each level within what the actor may see there.

mod asked;
mod scopes;

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend};

async fn airports(backend: Backend) -> TestApp {
    // One partition: rows come in the order in which they are sent.
    fill(TestApp::start_with(backend, |config| config.store.partitions = 1).await).await
}

async fn fill(app: TestApp) -> TestApp {
    for (uid, iata, city) in
        [("1", "AUS", "Austin"), ("2", "BOS", "Boston"), ("3", "BOS", "Second"), ("4", "DEN", "zqdenver")]
    {
        app.source(&format!("geo/airports/faa/{uid}"), &json!({"iata": iata, "city": city, "rank": uid}))
            .await;
    }
    for (uid, flight) in [
        ("1", json!({"origin": "AUS", "to": {"code": "BOS"}, "seats": 10, "plane": 7})),
        ("2", json!({"origin": "AUS", "to": {"code": "ZZZ"}, "seats": 30, "plane": 7})),
        ("3", json!({"origin": "BOS", "to": {"code": "AUS"}, "seats": 20, "plane": 8})),
        ("4", json!({"origin": null, "to": null, "seats": 40})),
        ("5", json!({"origin": "DEN", "to": {"code": "AUS"}, "seats": 50, "plane": 9})),
    ] {
        app.source(&format!("air/flights/faa/{uid}"), &flight).await;
    }
    for uid in ["7", "8"] {
        app.source(&format!("air/planes/faa/{uid}"), &json!({"maker": format!("m{uid}")})).await;
    }
    app.settled().await;
    app
}

fn end(collection: &str, path: &str) -> Value {
    json!({"collection": collection, "path": path})
}

const ACCEPT: &str = "mutation($input: AcceptRelationInput!) { acceptRelation(input: $input) {
    id name inverseName from { collection path } to { collection path } } }";

async fn asked(app: &TestApp, roles: &[&str], from: Value, to: Value, more: Value) -> Value {
    let mut input = json!({"from": from, "to": to});
    input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    let token = app.token("steward", json!({"sub": "stella", "roles": roles}));
    app.ask(&token, ACCEPT, json!({"input": input})).await
}

async fn accept(app: &TestApp, from: Value, to: Value, more: Value) -> Value {
    let mut answer = asked(app, &["steward"], from, to, more).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["acceptRelation"].take()
}

async fn origins(app: &TestApp) -> Value {
    accept(app, end("airFlights", "/origin"), end("geoAirports", "/iata"), json!({})).await
}

async fn planes(app: &TestApp) -> Value {
    let names = json!({"name": "plane_", "inverseName": "flights"});
    accept(app, end("airFlights", "/plane"), end("airPlanes", "_record.sourceUid"), names).await
}

/// Decisions about both sides, the newest first.
async fn written_down(app: &TestApp) {
    let log = "{ flights: shapeDecisions(collection: \"airFlights\") { subject kind paths before after }
        airports: shapeDecisions(collection: \"geoAirports\") { kind paths } }";
    let log = app.data(log).await;
    let kinds = |name: &str| -> Vec<Value> {
        log[name].as_array().unwrap().iter().map(|one| one["kind"].clone()).collect()
    };
    let kept = ["RELATED", "UNRELATED", "RELATED", "UNRELATED", "RELATED"].map(Value::from);
    assert_eq!((kinds("flights"), kinds("airports")), (kept.clone().into(), kept.into()));
    let oldest = &log["flights"][4];
    assert_eq!((&oldest["subject"], &oldest["paths"]), (&json!("stella"), &json!(["/origin"])));
    assert_eq!((&oldest["before"], &oldest["after"]["name"]), (&Value::Null, &json!("originAirport")));
}

on_every_backend! {
    async fn rows_lead_to_the_rows_that_they_name(backend) {
        let app = airports(backend).await;
        let made = origins(&app).await;
        assert_eq!(
            (&made["name"], &made["inverseName"]),
            (&json!("originAirport"), &json!("airFlightsByOrigin"))
        );
        accept(&app, end("airFlights", "/to/code"), end("geoAirports", "/iata"), json!({})).await;
        let planes = planes(&app).await;
        assert_eq!(planes["to"], end("airPlanes", "_record.sourceUid"));

        let one = "{ airFlights(orderBy: [{seats: ASC}]) { nodes { seats originAirport { city }
            away: codeAirport { __typename city } plane_ { maker } } } }";
        let seen = app.data(one).await;
        let row = |seats: i64, origin: Option<&str>, to: Option<&str>, maker: Option<&str>| {
            json!({
                "seats": seats,
                "originAirport": origin.map(|city| json!({"city": city})),
                "away": to.map(|city| json!({"__typename": "GeoAirports", "city": city})),
                "plane_": maker.map(|maker| json!({"maker": maker})),
            })
        };
        // Of two rows with one key the first that came.
        let expected = json!([
            row(10, Some("Austin"), Some("Boston"), Some("m7")),
            row(20, Some("Boston"), Some("Austin"), Some("m8")),
            row(30, Some("Austin"), None, Some("m7")),
            row(40, None, None, None),
            row(50, Some("zqdenver"), Some("Austin"), None),
        ]);
        assert_eq!(seen["airFlights"]["nodes"], expected);
    }

    async fn rows_lead_to_all_that_name_them_in_pages(backend) {
        let app = airports(backend).await;
        origins(&app).await;
        planes(&app).await;
        let many = "{ geoAirports(orderBy: [{rank: ASC}]) { nodes {
            city airFlightsByOrigin(first: 1, orderBy: [{seats: DESC}]) {
            totalCount nodes { seats } pageInfo { hasNextPage hasPreviousPage } edges { node { seats } cursor } } } }
            airPlanes(orderBy: [{maker: ASC}]) { nodes {
                flights(where: {seats: {gt: 10}}) { nodes { seats _record { sourceUid category } } } } } }";
        let seen = app.data(many).await;
        let page = |node: &Value| {
            let page = &node["airFlightsByOrigin"];
            assert_eq!(page["nodes"][0]["seats"], page["edges"][0]["node"]["seats"]);
            (
                page["totalCount"].as_i64().unwrap(),
                page["nodes"].clone(),
                page["pageInfo"]["hasNextPage"] == true,
            )
        };
        let pages: Vec<_> = seen["geoAirports"]["nodes"].as_array().unwrap().iter().map(page).collect();
        let bos = (1, json!([{"seats": 20}]), false);
        assert_eq!(
            pages,
            [(2, json!([{"seats": 30}]), true), bos.clone(), bos, (1, json!([{"seats": 50}]), false)]
        );
        let flight =
            |seats: i64, uid: &str| json!({"seats": seats, "_record": {"sourceUid": uid, "category": "air"}});
        let of = |flight: Value| json!({"flights": {"nodes": [flight]}});
        assert_eq!(seen["airPlanes"]["nodes"], json!([of(flight(30, "2")), of(flight(20, "3"))]));

        // Each page goes on from its own cursor, and from the end.
        let cursor = &seen["geoAirports"]["nodes"][0]["airFlightsByOrigin"]["edges"][0]["cursor"];
        let next = format!("{{ geoAirports(where: {{iata: {{in: [\"AUS\", \"DEN\"]}}}}, orderBy: [{{rank: ASC}}]) {{
            nodes {{ airFlightsByOrigin(first: 5, orderBy: [{{seats: DESC}}], after: {cursor}) {{
                totalCount nodes {{ seats }} pageInfo {{ hasPreviousPage cursor }} }}
            last: airFlightsByOrigin(last: 1) {{ nodes {{ seats }} pageInfo {{ hasPreviousPage }} }} }} }} }}");
        let seen = app.data(&next).await;
        let first = &seen["geoAirports"]["nodes"][0];
        assert_eq!(
            (&first["airFlightsByOrigin"]["totalCount"], &first["airFlightsByOrigin"]["nodes"]),
            (&json!(2), &json!([{"seats": 10}]))
        );
        assert!(first["airFlightsByOrigin"]["pageInfo"]["cursor"].is_string());
        assert_eq!(first["last"], json!({"nodes": [{"seats": 30}], "pageInfo": {"hasPreviousPage": true}}));
        let den = &seen["geoAirports"]["nodes"][1];
        assert_eq!(
            (&den["airFlightsByOrigin"]["totalCount"], &den["airFlightsByOrigin"]["nodes"]),
            (&json!(1), &json!([]))
        );
    }

    async fn levels_nest_with_fragments_and_variables(backend) {
        let app = airports(backend).await;
        origins(&app).await;
        let query = "query($few: Int!, $deep: Boolean!) { airFlightsByKey(sourceUid: \"1\") { ...Flight } }
            fragment Flight on AirFlights { seats originAirport { ...Airport } }
            fragment Airport on GeoAirports { city airFlightsByOrigin(first: $few) { nodes {
                seats originAirport @include(if: $deep) { iata airFlightsByOrigin { totalCount } } } } }";
        let ask = async |deep: bool| {
            let answer = app.ask(&app.admin(), query, json!({"few": 2, "deep": deep})).await;
            assert!(answer.get("errors").is_none(), "{answer}");
            answer["data"]["airFlightsByKey"].clone()
        };
        let deepest = json!({"iata": "AUS", "airFlightsByOrigin": {"totalCount": 2}});
        let flights = |deep: bool| -> Vec<Value> {
            [10, 30]
                .iter()
                .map(|seats| {
                    if deep {
                        json!({"seats": seats, "originAirport": deepest})
                    } else {
                        json!({"seats": seats})
                    }
                })
                .collect()
        };
        for deep in [false, true] {
            let airport = json!({"city": "Austin", "airFlightsByOrigin": {"nodes": flights(deep)}});
            assert_eq!(ask(deep).await, json!({"seats": 10, "originAirport": airport}));
        }
        // Pages within pages are paid for together.
        let page = "{ airFlights(first: 1000) { nodes { originAirport {
            airFlightsByOrigin(first: 1000) { nodes { seats } } } } } }";
        assert_eq!(app.codes(&app.admin(), page).await, ["TOO_COMPLEX"]);
        let page = "{ airFlights { nodes { originAirport { airFlightsByOrigin(first: 1001) { nodes { seats } } } } } }";
        assert_eq!(app.codes(&app.admin(), page).await, ["TOO_COMPLEX"]);
        // Tables have a row's own fields.
        let rest = async |query: &str| {
            let url = format!("{}/data/airFlights{query}", app.url);
            let response = app.client.get(url).bearer_auth(app.admin()).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let (status, text) = rest("?fields=originAirport").await;
        assert!(status == 400 && text.contains("there is no field `originAirport`"), "{text}");
        let (status, text) = rest("").await;
        assert!(status == 200 && !text.contains("originAirport"), "{text}");
    }

    async fn what_cannot_be_an_end_or_a_name_is_refused(backend) {
        let app = airports(backend).await;
        let (from, to) = (|| end("airFlights", "/origin"), || end("geoAirports", "/iata"));
        let stewards = &["steward"][..];
        for (from, to, more, code) in [
            (from(), to(), json!({"name": "seats"}), "BAD_REQUEST"),
            (from(), to(), json!({"name": "a b"}), "BAD_REQUEST"),
            (from(), to(), json!({"name": "_record"}), "BAD_REQUEST"),
            (from(), to(), json!({"inverseName": "iata"}), "BAD_REQUEST"),
            (from(), end("geoAirports", "/nobody"), json!({}), "NOT_FOUND"),
            (from(), end("geoAirports", "_record.nobody"), json!({}), "NOT_FOUND"),
            (from(), end("nobody", "/iata"), json!({}), "NOT_FOUND"),
            (end("airFlights", "/to"), to(), json!({}), "BAD_REQUEST"),
            (end("airFlights", "/origin"), end("airFlights", "/origin"), json!({}), "BAD_REQUEST"),
            (from(), end("geoAirports", "_record.purposes"), json!({}), "BAD_REQUEST"),
            (from(), end("geoAirports", "_record.ingestedAt"), json!({}), "BAD_REQUEST"),
        ] {
            let answer = asked(&app, stewards, from.clone(), to.clone(), more.clone()).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{from} {to} {more}: {answer}");
        }
        let answer = asked(&app, &["consumer"], from(), to(), json!({})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "FORBIDDEN");
    }

    async fn names_are_given_once_and_decisions_written_down(backend) {
        let app = airports(backend).await;
        let (from, to, stewards) =
            (|| end("airFlights", "/origin"), || end("geoAirports", "/iata"), &["steward"][..]);
        let made = origins(&app).await;
        let answer = asked(&app, stewards, from(), to(), json!({"name": "other"})).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "CONFLICT");
        let list = "{ relations { id name inverseName from { collection path } to { collection path } } }";
        assert_eq!(app.data(list).await["relations"], json!([made]));
        let of = "{ relations(collection: \"airPlanes\") { id } }";
        assert_eq!(app.data(of).await["relations"], json!([]));

        // A field that comes later is called otherwise, also when the relation is gone.
        let late = json!({"origin": "AUS", "originAirport": "mine"});
        app.source("air/flights/faa/6", &late).await;
        app.settled().await;
        let fields = "{ airFlights(where: {originAirport2: {eq: \"mine\"}}) { nodes {
            originAirport2 originAirport { city } } } }";
        let seen = app.data_until(fields, |_| true).await;
        assert_eq!(
            seen["airFlights"]["nodes"],
            json!([{"originAirport2": "mine", "originAirport": {"city": "Austin"}}])
        );

        let remove = "mutation($id: ID!) { removeRelation(id: $id) { id name } }";
        let steward = app.token("steward", json!({"sub": "stella"}));
        let consumer = app.token("consumer", json!({}));
        let id = made["id"].clone();
        assert_eq!(
            app.ask(&consumer, remove, json!({"id": id})).await["errors"][0]["extensions"]["code"],
            "FORBIDDEN"
        );
        assert_eq!(
            app.ask(&steward, remove, json!({"id": id})).await["data"]["removeRelation"]["name"],
            "originAirport"
        );
        for id in [id.clone(), json!("9.9"), json!("x")] {
            assert_eq!(
                app.ask(&steward, remove, json!({"id": id})).await["errors"][0]["extensions"]["code"],
                "NOT_FOUND"
            );
        }
        assert_eq!(app.data(list).await["relations"], json!([]));
        assert_eq!(
            app.codes(&app.admin(), "{ airFlights { nodes { originAirport { city } } } }").await,
            ["BAD_REQUEST"]
        );
        let answer =
            asked(&app, stewards, end("airFlights", "/to/code"), to(), json!({"name": "originAirport"}))
                .await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{answer}");
        // The same relation may come back, under its name or another.
        assert_eq!(origins(&app).await, made);
        app.ask(&steward, remove, json!({"id": id})).await;
        let other = accept(&app, from(), to(), json!({"name": "start"})).await;
        assert_eq!((&other["name"], &other["inverseName"]), (&json!("start"), &made["inverseName"]));
        assert_ne!(other["id"], id);
        assert!(
            app.data("{ airFlights { nodes { start { airFlightsByOrigin { totalCount } } } } }")
                .await
                .is_object()
        );
        written_down(&app).await;
    }

    async fn a_relation_of_a_retyped_field_is_there_already(backend) {
        let app = airports(backend).await;
        let (from, key) = (|| end("airFlights", "/plane"), || end("geoAirports", "/rank"));
        let made = accept(&app, from(), key(), json!({"name": "first"})).await;
        for (collection, path, ty) in [("airFlights", "/plane", "String"), ("geoAirports", "/rank", "Int")] {
            let input = format!("{{collection: \"{collection}\", path: \"{path}\", type: \"{ty}\"}}");
            app.data(&format!("mutation {{ decideField(input: {input}) {{ changed }} }}")).await;
            let done = format!("{{ collection(name: \"{collection}\") {{ versions {{ changes {{ change }} }} }} }}");
            app.data_until(&done, |data| data.to_string().contains("\"RETYPED\"")).await;
            for name in ["again", "first"] {
                let answer = asked(&app, &["steward"], from(), key(), json!({"name": name})).await;
                assert_eq!(answer["errors"][0]["extensions"]["code"], "CONFLICT", "{path}: {answer}");
                assert!(answer.to_string().contains("`first`"), "{answer}");
            }
        }
        let list = "{ relations { id name inverseName from { collection path } to { collection path } } }";
        assert_eq!(app.data(list).await["relations"], json!([made]));
        // Taken away, it may come back, and leads on.
        let remove = format!("mutation {{ removeRelation(id: {}) {{ id }} }}", made["id"]);
        app.data(&remove).await;
        assert_eq!(accept(&app, from(), key(), json!({})).await, made);
        app.source("geo/airports/faa/7", &json!({"iata": "SEV", "city": "Seven", "rank": "7"})).await;
        app.settled().await;
        let query = "{ airFlights(where: {plane: {eq: \"7\"}}, first: 1) { nodes { first { city } } } }";
        assert_eq!(app.data(query).await["airFlights"]["nodes"], json!([{"first": {"city": "Seven"}}]));
    }

    async fn rows_of_one_collection_can_lead_to_each_other(backend) {
        let app = TestApp::start_with(backend, |config| config.store.partitions = 1).await;
        for (uid, boss) in [(1, None), (2, Some(1)), (3, Some(1)), (4, Some(2))] {
            app.source(&format!("hr/staff/x/{uid}"), &json!({"no": uid, "boss": boss})).await;
        }
        app.settled().await;
        let made = accept(
            &app,
            end("hrStaff", "/boss"),
            end("hrStaff", "/no"),
            json!({"name": "leader", "inverseName": "team"}),
        )
        .await;
        assert_eq!(made["inverseName"], "team");
        let seen = app
            .data(
                "{ hrStaff(where: {no: {in: [1, 4]}}) { nodes { no leader { no leader { no leader { no } } }
            team(first: 3) { nodes { no team(first: 2) { totalCount nodes { no } } } } } } }",
            )
            .await;
        let none = json!({"totalCount": 0, "nodes": []});
        let expected = json!([
            {"no": 1, "leader": null, "team": {"nodes": [
                {"no": 2, "team": {"totalCount": 1, "nodes": [{"no": 4}]}}, {"no": 3, "team": none}]}},
            {"no": 4, "leader": {"no": 2, "leader": {"no": 1, "leader": null}}, "team": {"nodes": []}},
        ]);
        assert_eq!(seen["hrStaff"]["nodes"], expected);
        let answer = app
            .client
            .get(format!("{}/data/hrStaff", app.url))
            .bearer_auth(app.admin())
            .send()
            .await
            .unwrap();
        assert!(answer.text().await.unwrap().contains("\"no\":4"));
        // Every schema that has it can be printed and introspected.
        let types = app.data("{ __type(name: \"HrStaff\") { fields {
            name type { name kind ofType { name } } args { name } } } }").await;
        let fields = types["__type"]["fields"].as_array().unwrap();
        let field = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap().clone();
        assert_eq!(field("leader")["type"]["name"], "HrStaff");
        assert_eq!(field("team")["type"]["ofType"]["name"], "HrStaffConnection");
        let arguments: Vec<_> = field("team")["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| argument["name"].clone())
            .collect();
        assert_eq!(arguments, ["where", "orderBy", "first", "after", "last", "before"]);
    }

    async fn subscriptions_follow_relations_when_they_tell(backend) {
        let app = airports(backend).await;
        let made = origins(&app).await;
        let query = "subscription { airFlights(snapshot: true, where: {seats: {gte: 50}}) {
            op node { seats originAirport { city
            airFlightsByOrigin { nodes { seats _record { category } } } } } before { originAirport { city } } } }";
        let mut live = app.subscribe(&app.admin(), query).await;
        let flight = |seats: i64| json!({"seats": seats, "_record": {"category": "air"}});
        let first = live.next().await;
        assert_eq!(
            first["node"],
            json!({"seats": 50, "originAirport": {"city": "zqdenver",
            "airFlightsByOrigin": {"nodes": [flight(50)]}}})
        );
        assert_eq!(live.next().await["op"], "CAUGHT_UP");
        app.source("air/flights/faa/5", &json!({"origin": "AUS", "seats": 60})).await;
        let next = live.next().await;
        assert_eq!(next["before"]["originAirport"]["city"], "zqdenver");
        assert_eq!(next["node"]["originAirport"]["city"], "Austin");
        app.settled().await;
        let remove = format!("mutation {{ removeRelation(id: {}) {{ id }} }}", made["id"]);
        app.data(&remove).await;
        app.source("air/flights/faa/5", &json!({"origin": "AUS", "seats": 70})).await;
        let ended = live.receive().await.to_string();
        assert!(ended.contains("BAD_REQUEST"), "{ended}");
    }
}
