//! The way of a record: from a document that nobody declared to typed rows, in every mode.

use serde_json::{Value, json};

use crate::support::{TestApp, on_backends, on_every_backend};

/// The `nodes` of a collection once there are so many.
async fn nodes(app: &TestApp, query: &str, count: usize) -> Vec<Value> {
    let nodes = |data: &Value| {
        data.as_object()
            .and_then(|data| data.values().next())
            .map(|list| list["nodes"].clone())
            .unwrap_or_default()
    };
    let data = app.data_until(query, |data| nodes(data).as_array().is_some_and(|nodes| nodes.len() == count));
    nodes(&data.await).as_array().unwrap().clone()
}

on_every_backend! {
    async fn a_record_that_nobody_declared_is_a_typed_row(backend) {
        let app = TestApp::start(backend).await;
        let document = json!({
            "name": "Fern", "height": 31.5, "leaves": 12, "watered": true, "seen": "2026-11-22T10:00:00+01:00",
            "place": {"room": "north", "shelf": 3}, "labels": ["green", "old"], "visits": [{"by": "Ann", "at": 1}],
        });
        let receipt = app.source("garden/plant/greenhouse/1", &document).await;
        assert_eq!(receipt["key"], "garden~plant~greenhouse~1");
        assert_eq!((&receipt["revision"], &receipt["duplicate"]), (&json!(1), &json!(false)));
        let query = "{ gardenPlant { totalCount nodes { name height leaves watered seen place { room shelf } labels
            visits { by at } _record { key revision sourceName sourceUid author } } } }";
        let rows = nodes(&app, query, 1).await;
        let mut expected = document.clone();
        expected["seen"] = json!("2026-11-22T09:00:00.000000Z");
        expected["_record"] = json!({
            "key": "garden~plant~greenhouse~1", "revision": 1, "sourceName": "greenhouse", "sourceUid": "1",
            "author": "source",
        });
        assert_eq!(rows, [expected]);
        let id = receipt["id"].as_str().unwrap();
        let way = format!(r#"{{ receipt(id: "{id}") {{ status revision ingestedAt provisionedAt }} }}"#);
        let way = app.data_until(&way, |data| data["receipt"]["status"] == "PROVISIONED").await;
        assert!(way["receipt"]["provisionedAt"].is_string(), "{way}");
    }

    async fn a_new_field_and_a_wider_type_need_no_restart(backend) {
        let app = TestApp::start(backend).await;
        app.source("shop/order/web/1", &json!({"no": 1, "quantity": 2, "note": null})).await;
        nodes(&app, "{ shopOrder { nodes { no quantity } } }", 1).await;
        assert_eq!(app.codes(&app.admin(), "{ shopOrder { nodes { note } } }").await.len(), 1);
        app.source("shop/order/web/2", &json!({"no": 2, "quantity": 2.5, "note": "gift"})).await;
        app.source("shop/order/web/3", &json!({"no": 9_000_000_000_i64, "quantity": 1})).await;
        app.source("shop/order/web/4", &json!({"no": 4, "quantity": "three"})).await;
        let kinds = [("no", "BigInt"), ("quantity", "Float"), ("note", "String")];
        let shape = r#"{ collection(name: "shopOrder") { shape { fields { name type } } } }"#;
        app.data_until(shape, |data| {
            let fields = data["collection"]["shape"]["fields"].as_array().cloned().unwrap_or_default();
            kinds.iter().all(|(name, kind)| fields.contains(&json!({"name": name, "type": kind})))
        })
        .await;
        let query = "{ shopOrder(orderBy: [{_record: {sourceUid: ASC}}]) {
            nodes { no quantity note _record { rescued } } } }";
        let rows = nodes(&app, query, 4).await;
        let plain = |field: &str| rows.iter().map(|row| row[field].clone()).collect::<Vec<_>>();
        assert_eq!(plain("no"), [json!("1"), json!("2"), json!("9000000000"), json!("4")]);
        assert_eq!(plain("quantity"), [json!(2), json!(2.5), json!(1), json!(null)]);
        assert_eq!(plain("note"), [json!(null), json!("gift"), json!(null), json!(null)]);
        assert!(rows[3]["_record"]["rescued"].to_string().contains("three"), "{}", rows[3]);
        assert!(rows[0]["_record"]["rescued"].is_null());
    }

    async fn an_object_without_room_for_columns_is_typed_all_the_same(backend) {
        let app = TestApp::start_with(backend, |config| config.shape.columns_max = 8).await;
        let document = |n: i64| json!({"no": 1, "event": {
            "id": n, "by": {"login": "ann", "site": "https://example.org/"}, "a": 1, "b": 2, "c": 3, "d": [{"n": n}],
        }});
        app.source("hook/event/web/1", &document(7)).await;
        let query = "{ hookEvent(orderBy: [{_record: {revision: ASC}}], where: {event: {isNull: false}}) {
            nodes { no event { id d { n } by { login __typename } } } } }";
        let expected = |id: Value| json!([{"no": 1, "event": {
            "id": id, "d": [{"n": id}], "by": {"login": "ann", "__typename": "HookEventEventBy"}}}]);
        assert_eq!(nodes(&app, query, 1).await, *expected(json!(7)).as_array().unwrap());
        let live = "subscription { hookEvent(snapshot: true) { op node { event { id by { login } } } } }";
        let mut live = app.subscribe(&app.admin(), live).await;
        assert_eq!(live.until_op("CAUGHT_UP").await.len(), 1);
        // Another row widens the type: the first one's number is told in the form of now.
        app.source("hook/event/web/2", &json!({"no": 2, "event": document(3_000_000_000)["event"]})).await;
        let wide = "{ hookEvent(where: {no: {eq: 1}}) { nodes { no event { id d { n } by { login __typename } } } } }";
        app.data_until(wide, |data| data["hookEvent"]["nodes"] == expected(json!("7"))).await;
        assert_eq!(live.next().await["node"]["event"]["by"]["login"], "ann");
        let refused = "{ hookEvent(where: {event: {id: {eq: 1}}}) { nodes { no } } }";
        assert_eq!(app.codes(&app.admin(), refused).await, ["BAD_REQUEST"]);
    }

    async fn a_tombstone_removes_the_row_and_a_later_record_brings_it_back(backend) {
        let app = TestApp::start(backend).await;
        app.source("a/b/c/1", &json!({"v": 1})).await;
        nodes(&app, "{ aB { nodes { v } } }", 1).await;
        assert_eq!(app.retract("a/b/c/1").await["revision"], 2);
        nodes(&app, "{ aB { nodes { v } } }", 0).await;
        assert_eq!(app.source("a/b/c/1", &json!({"v": 2})).await["revision"], 3);
        assert_eq!(nodes(&app, "{ aB { nodes { v _record { revision } } } }", 1).await, [
            json!({"v": 2, "_record": {"revision": 3}})
        ]);
    }

    async fn a_repeated_request_is_the_same_record(backend) {
        let app = TestApp::start(backend).await;
        let send = async |body: &str| {
            app.post("a/b/c/1", "application/json", body.to_owned(), &[("idempotency-key", "k")]).await
        };
        let (status, first) = send(r#"{"v":1}"#).await;
        assert_eq!((status, &first["duplicate"]), (202, &json!(false)));
        let (status, again) = send(r#"{"v":1}"#).await;
        assert_eq!((status, &again["duplicate"], &again["id"]), (202, &json!(true), &first["id"]));
        let (status, other) = send(r#"{"v":2}"#).await;
        assert_eq!((status, &other["error"]["code"]), (409, &json!("CONFLICT")));
        let rows = nodes(&app, "{ aB { nodes { v _record { revision } } } }", 1).await;
        assert_eq!(rows, [json!({"v": 1, "_record": {"revision": 1}})]);
    }

    async fn batches_of_every_format_become_rows_and_bad_records_fail_alone(backend) {
        let app = TestApp::start(backend).await;
        let ndjson = "{\"id\":\"a\",\"v\":1}\nnonsense\n{\"v\":2}\n{\"id\":\"b\",\"v\":3}\n";
        let (status, answer) = app.post("t/nd/s?key=/id", "application/x-ndjson", ndjson, &[]).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(2)), "{answer}");
        let rejected = answer["rejected"].as_array().unwrap();
        assert_eq!(rejected.iter().map(|r| r["index"].clone()).collect::<Vec<_>>(), [json!(1), json!(2)]);
        let (_, answer) = app.post("t/cs/s?key=/id", "text/csv", "id,v,x\na,1,007\nb,2.5,\n", &[]).await;
        assert_eq!(answer["accepted"], 2, "{answer}");
        let (_, answer) = app.post("t/js/s", "application/json", "[{\"v\":1},2,[3]]", &[]).await;
        assert_eq!(answer["accepted"], 3, "{answer}");
        nodes(&app, "{ tNd { nodes { id v } } }", 2).await;
        let rows = nodes(&app, "{ tCs(orderBy: [{id: ASC}]) { nodes { id v x } } }", 2).await;
        assert_eq!(rows, [json!({"id": "a", "v": 1, "x": "007"}), json!({"id": "b", "v": 2.5, "x": null})]);
        nodes(&app, "{ tJs { nodes { v } } }", 3).await;
    }

    async fn rows_are_filtered_ordered_paged_and_counted(backend) {
        let app = TestApp::start(backend).await;
        let lines: String = (0..25)
            .map(|n| json!({"id": format!("{n:02}"), "n": n, "group": (["x", "y", "z"][n % 3]),
                "deep": {"even": n % 2 == 0}}).to_string() + "\n")
            .collect();
        app.post("p/q/s?key=/id", "application/x-ndjson", lines, &[]).await;
        app.settled().await;
        let query = r#"{ pQ(
            where: {deep: {even: {eq: true}}, n: {gte: 4}, or: [{group: {eq: "x"}}, {n: {in: [8, 10]}}]},
            orderBy: [{n: DESC}]) { totalCount nodes { n } } }"#;
        let expected: Vec<Value> = (4..25).rev()
            .filter(|n| n % 2 == 0 && (n % 3 == 0 || [8, 10].contains(n)))
            .map(|n| json!({"n": n}))
            .collect();
        let data = app.data(query).await;
        assert_eq!(data["pQ"]["nodes"], json!(expected));
        assert_eq!(data["pQ"]["totalCount"], expected.len());

        let mut forward = Vec::new();
        let mut after = "null".to_owned();
        loop {
            let query = format!("{{ pQ(orderBy: [{{group: ASC}}, {{n: DESC}}], first: 7, after: {after}) {{
                edges {{ cursor node {{ group n }} }} pageInfo {{ hasNextPage endCursor }} }} }}");
            let page = app.data(&query).await["pQ"].take();
            forward.extend(page["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()));
            after = page["pageInfo"]["endCursor"].to_string();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(forward.len(), 25);
        let mut backward = Vec::new();
        let mut before = "null".to_owned();
        loop {
            let query = format!("{{ pQ(orderBy: [{{group: ASC}}, {{n: DESC}}], last: 4, before: {before}) {{
                nodes {{ group n }} pageInfo {{ hasPreviousPage startCursor }} }} }}");
            let page = app.data(&query).await["pQ"].take();
            backward.splice(0..0, page["nodes"].as_array().unwrap().iter().cloned());
            before = page["pageInfo"]["startCursor"].to_string();
            if page["pageInfo"]["hasPreviousPage"] == false {
                break;
            }
        }
        assert_eq!(forward, backward);

        let query = "{ pQAggregate(groupBy: [group]) {
            group { group } count sum { n } avg { n } min { n } max { n } } }";
        let groups = app.data(query).await["pQAggregate"].take();
        let mut groups = groups.as_array().unwrap().clone();
        groups.sort_by_key(|group| group["group"]["group"].to_string());
        assert_eq!(groups[0]["group"]["group"], "x");
        assert_eq!((&groups[0]["count"], &groups[0]["min"]["n"]), (&json!(9), &json!(0)));
        assert_eq!(groups[0]["max"]["n"], 24);
        assert_eq!(groups[0]["avg"]["n"].as_f64(), Some(12.0));

        let one = app.data(r#"{ pQByKey(sourceUid: "07") { n } }"#).await;
        assert_eq!(one["pQByKey"]["n"], 7);
        app.source("p/q/other/07", &json!({"n": 70})).await;
        app.settled().await;
        assert_eq!(app.codes(&app.admin(), r#"{ pQByKey(sourceUid: "07") { n } }"#).await, ["CONFLICT"]);
        let one = app.data(r#"{ pQByKey(sourceName: "other", sourceUid: "07") { n } }"#).await;
        assert_eq!(one["pQByKey"]["n"], 70);
    }

    async fn what_was_accepted_is_there_after_a_restart(backend) {
        let app = TestApp::start(backend).await;
        for n in 0..20 {
            app.source(&format!("r/s/t/{n}"), &json!({"n": n})).await;
        }
        // Stopped at once: some records are still on their way.
        let app = app.restart().await;
        nodes(&app, "{ rS(first: 100) { nodes { n } } }", 20).await;
    }
}

on_backends! { [postgres Postgres, scaled Scaled]
    async fn two_nodes_are_one_system(backend) {
        let one = TestApp::start(backend).await;
        let two = one.beside().await;
        one.source("n/m/s/1", &json!({"v": 1})).await;
        nodes(&two, "{ nM { nodes { v } } }", 1).await;
        let admin = one.admin();
        let mut live = one.subscribe(&admin, "subscription { nM(snapshot: true) { op node { v } } }").await;
        assert_eq!(live.until_op("CAUGHT_UP").await.len(), 1);
        two.source("n/m/s/2", &json!({"v": 2, "new": true})).await;
        assert_eq!(live.next().await, json!({"op": "UPSERT", "node": {"v": 2}}));
        nodes(&one, "{ nM { nodes { v new } } }", 2).await;
        for n in 0..40 {
            let node = if n % 2 == 0 { &one } else { &two };
            node.source(&format!("n/m/s/{}", n % 5 + 10), &json!({"v": n})).await;
        }
        one.settled().await;
        let query = "{ nM(first: 100, orderBy: [{v: ASC}]) { nodes { v } } }";
        let expected: Vec<Value> = [1, 2, 35, 36, 37, 38, 39].map(|v| json!({"v": v})).to_vec();
        two.data_until(query, |data| data["nM"]["nodes"] == json!(expected)).await;
    }
}
