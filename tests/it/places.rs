//! Conditions on positions of GeoJSON and on values within JSON of no single type, as clients ask them.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend, write_policies};

const POLICY: &str = r#"
allow(u: User, "read", _: Row) if "admin" in u.roles;
allow_field(u: User, "read", _: Row, _: Field) if "admin" in u.roles;
allow(u: User, "source", _: Source) if "source" in u.roles;
allow(u: User, "steward", _: Source) if "admin" in u.roles;
allow(u: User, "read", _: ShopSpot) if "some" in u.roles;
allow_field(_: User, "read", _: ShopSpot, f: Field) if f.name in ["no", "meta", "place.coordinates"];
mask_field(u: User, _: ShopSpot, f: Field, "null") if "some" in u.roles and f.name in ["meta", "place.coordinates"];
"#;

/// `meta` begins as a text, and holds anything once a steward says so.
fn spots() -> Vec<Value> {
    let place = |x: f64, y: f64| json!({"type": "Point", "coordinates": [x, y]});
    vec![
        json!({"no": 1, "place": place(13.4, 52.5), "meta": "plain"}),
        json!({"no": 2, "place": place(13.0, 52.5), "meta": {"a": {"b.c": [1, "x"]}, "on": true}}),
        json!({"no": 3, "place": place(179.9, -17.0), "meta": {"a": {"b.c": [2.5]}}}),
        json!({"no": 4, "place": place(-179.9, -17.0), "meta": [{"k": "xy"}, null]}),
        json!({"no": 5}),
    ]
}

async fn filled(backend: Backend) -> TestApp {
    let app = TestApp::start_with(backend, |config| {
        write_policies(config, &[("own.polar", POLICY)]);
    })
    .await;
    let spots = spots();
    app.source("shop/spot/web/0", &spots[0]).await;
    app.settled().await;
    let retype = "mutation { decideField(input: {collection: \"shopSpot\", path: \"/meta\", type: \"JSON\"})
        { changed } }";
    assert_eq!(app.data(retype).await["decideField"]["changed"], true);
    let done = "{ collection(name: \"shopSpot\") { rebuild { state } versions { changes { change } } } }";
    app.data_until(done, |data| {
        let told = data["collection"]["versions"].to_string().contains("RETYPED");
        data["collection"]["rebuild"]["state"] == "DONE" && told
    })
    .await;
    for (n, spot) in spots.iter().enumerate().skip(1) {
        app.source(&format!("shop/spot/web/{n}"), spot).await;
    }
    app.settled().await;
    app
}

async fn numbers(app: &TestApp, condition: &str) -> Vec<i64> {
    let asked =
        format!("{{ shopSpot(where: {condition}, orderBy: [{{no: ASC}}]) {{ nodes {{ no }} totalCount }} }}");
    let answer = app.data(&asked).await;
    let nodes = answer["shopSpot"]["nodes"].as_array().unwrap();
    assert_eq!(answer["shopSpot"]["totalCount"], nodes.len(), "{condition}");
    nodes.iter().map(|node| node["no"].as_i64().unwrap()).collect()
}

on_every_backend! {
    async fn places_and_paths_choose_rows(backend) {
        let app = filled(backend).await;
        let at = |area: &str| format!("{{place: {{coordinates: {area}}}}}");
        for (area, expected) in [
            ("{within: {west: 13.2, south: 52, east: 14, north: 53}}", vec![1]),
            ("{within: {west: 13, south: 52.5, east: 13.4, north: 52.5}}", vec![1, 2]),
            ("{within: {west: 179, south: -20, east: -179, north: -10}}", vec![3, 4]),
            ("{near: {longitude: 13.4, latitude: 52.5, meters: 27000}}", vec![1]),
            ("{near: {longitude: 13.4, latitude: 52.5, meters: 27100}}", vec![1, 2]),
            ("{near: {longitude: 180, latitude: -17, meters: 11000}}", vec![3, 4]),
            ("{near: {longitude: 13.4, latitude: 52.5, meters: 0}, length: {eq: 2}}", vec![1]),
            ("{some: {gt: 100}}", vec![3]),
        ] {
            assert_eq!(numbers(&app, &at(area)).await, expected, "{area}");
        }
        let no = numbers(&app, "{not: {place: {coordinates: {near: {longitude: 0, latitude: 0, meters: 3e7}}}}}");
        assert_eq!(no.await, [5]);
        for (path, expected) in [
            ("{at: \"$.a['b.c'][0]\", gte: 1}", vec![2, 3]),
            ("{at: \"$.a['b.c'][0]\", in: [1, \"x\"]}", vec![2]),
            ("{at: \"$.a['b.c'][1]\", exists: true}", vec![2]),
            ("{at: \"$.on\", eq: true}", vec![2]),
            ("{at: \"$\", like: \"pl%\"}", vec![1]),
            ("[{at: \"$[0].k\", startsWith: \"x\"}, {at: \"$[1]\", exists: false}]", vec![4]),
            ("{at: \"$.a\", ne: 1}", vec![2, 3]),
        ] {
            assert_eq!(numbers(&app, &format!("{{meta: {{path: {path}}}}}")).await, expected, "{path}");
        }
        for (wrong, reason) in [
            (at("{within: {west: 1, south: 2, east: 3, north: 95}}"), "must be degrees from -90 to 90"),
            (at("{near: {longitude: 1, latitude: 2, meters: -1}}"), "`meters` of `near` must be a distance"),
            ("{meta: {path: {at: \"$.a-b\", eq: 1}}}".into(), "at character 4, behind `$.a`"),
            ("{meta: {path: {at: \"$\", eq: {a: 1}}}}".into(), "longer path"),
            ("{meta: {path: {at: \"$\", eq: null}}}".into(), "null"),
        ] {
            let asked = format!("{{ shopSpot(where: {wrong}) {{ totalCount }} }}");
            let answer = app.ask(&app.admin(), &asked, json!({})).await;
            assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_REQUEST", "{wrong}: {answer}");
            assert!(answer["errors"][0]["message"].as_str().unwrap().contains(reason), "{answer}");
        }
    }

    async fn places_and_paths_come_by_variables_and_in_files_where_nothing_is_masked(backend) {
        let app = filled(backend).await;
        let by = "query($box: GeoBoxInput, $at: String!, $least: JSON) { shopSpot(where: {
            place: {coordinates: {within: $box}}, meta: {path: [{at: $at, gt: $least}]}}) { nodes { no } } }";
        let given = json!({"box": {"west": 0, "south": 0, "east": 20, "north": 90}, "at": "$.a[\"b.c\"][0]",
            "least": 0.5});
        let answer = app.ask(&app.admin(), by, given.clone()).await;
        assert_eq!(answer["data"]["shopSpot"]["nodes"], json!([{"no": 2}]), "{answer}");
        let condition = json!({"place": {"coordinates": {"within": given["box"]}}}).to_string();
        let file = app.client.get(format!("{}/data/shopSpot.ndjson", app.url)).bearer_auth(app.admin());
        let file = file.query(&[("where", condition)]).send().await.unwrap().text().await.unwrap();
        assert_eq!(file.lines().count(), 2, "{file}");
        // What is masked is not asked.
        let masked = app.token("some", json!({}));
        let near = "{place: {coordinates: {near: {longitude: 0, latitude: 0, meters: 1}}}}";
        for hidden in ["{meta: {path: [{at: \"$.on\", eq: true}]}}", near] {
            let asked = format!("{{ shopSpot(where: {hidden}) {{ totalCount }} }}");
            assert_eq!(app.codes(&masked, &asked).await, ["BAD_REQUEST"], "{hidden}");
        }
        let shape = "{ __type(name: \"ShopSpotFilter\") { inputFields { name } } }";
        let shape = app.data_as(&masked, shape).await["__type"]["inputFields"].to_string();
        assert!(shape.contains("\"no\"") && !shape.contains("meta") && !shape.contains("place"), "{shape}");
    }

    async fn events_are_chosen_by_places_and_paths(backend) {
        let app = filled(backend).await;
        let asked = "subscription { shopSpot(where: {place: {coordinates: {near: {longitude: 180, latitude: -17,
            meters: 11000}}}, meta: {path: [{at: \"$.a['b.c'][0]\", gt: 2}]}}) { op node { no } } }";
        let mut live = app.subscribe(&app.admin(), asked).await;
        for (n, mut spot) in spots().into_iter().enumerate() {
            spot["again"] = json!(true);
            app.source(&format!("shop/spot/web/{n}"), &spot).await;
        }
        let event = live.next().await;
        assert_eq!((&event["op"], &event["node"]["no"]), (&json!("UPSERT"), &json!(3)));
    }
}
