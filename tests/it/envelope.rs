//! The envelope: what a source says of its data, and what the system adds, on every path and to whom.

use serde_json::{Value, json};

use crate::support::{Backend, TestApp, on_every_backend};

/// Everybody sees what may be used for analytics; personal tags are for few.
const POLICY: &str = r#"
allow(_: User, "source", _: Source);
allow(user: User, "read", row: DataRow) if "admin" in user.roles or user.purpose in row._record.purposes;
allow_field(_: User, "read", _: Row, field: Field) if field.classified;
allow_field(user: User, "read", _: Row, _: Field) if "admin" in user.roles;
mask_field(user: User, _: Row, field: Field, {keep_first: 2}) if
  field.name = "_record.contentType" and "some" in user.roles;
allow(user: User, "steward", _: Source) if "admin" in user.roles;
"#;

const TOLD: &str = "occurredAt purposes category subcategory contentType payloadHash idempotencyKey traceparent \
    lastUpdated processInd deleted causationId hops tags metaData usageAgreements dataTracker \
    shape { fingerprint version __typename }";

async fn start(backend: Backend, policy: Option<&str>) -> TestApp {
    TestApp::start_with(backend, |config| {
        if let Some(policy) = policy {
            let directory = config.store.data.join("policies");
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("rules.polar"), policy).unwrap();
        }
    })
    .await
}

/// One record with everything that a source can say.
async fn full(app: &TestApp) -> Value {
    let headers = [
        ("idempotency-key", "once"),
        ("data-purposes", "billing, analytics"),
        ("data-usage-agreement", r#"{"agreement_name":"dua","location":"here","agreed_dtm":1553988607}"#),
        ("data-tracker-chain", r#"[{"by":"upstream"}]"#),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let (status, receipt) = app.post("data/row/web/1", "application/json", r#"{"n":1}"#, &headers).await;
    assert_eq!(status, 202, "{receipt}");
    app.settled().await;
    receipt
}

fn members(told: &Value) -> Vec<&String> {
    told.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| name).collect()
}

on_every_backend! {
    async fn a_row_has_the_whole_envelope_of_its_record(backend) {
        let app = start(backend, None).await;
        let receipt = full(&app).await;
        let query = format!("{{ dataRowByKey(sourceUid: \"1\") {{ _record {{ {TOLD} }} }} \
            record(id: {}) {{ {TOLD} }} dataRow {{ edges {{ node {{ _record {{ {TOLD} }} }} }} }} \
            collection(name: \"dataRow\") {{ shape {{ version }} }} }}", receipt["id"]);
        let data = app.data(&query).await;
        let (row, record) = (&data["dataRowByKey"]["_record"], &data["record"]);
        assert_eq!(row, record);
        assert_eq!(row, &data["dataRow"]["edges"][0]["node"]["_record"]);
        assert_eq!(row["purposes"], json!(["billing", "analytics"]));
        assert_eq!(row["idempotencyKey"], "once");
        assert_eq!(row["usageAgreements"][0]["agreement_name"], "dua");
        assert_eq!(row["dataTracker"][0]["by"], "upstream");
        assert_eq!(row["dataTracker"].as_array().unwrap().len(), 3, "{row}");
        assert_eq!(row["traceparent"].as_str().unwrap().get(3..35), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!((&row["processInd"], &row["deleted"], &row["hops"]), (&json!(true), &json!(false), &json!(0)));
        assert_eq!(row["shape"]["version"], data["collection"]["shape"]["version"]);
        assert_eq!(row["shape"]["fingerprint"].as_str().unwrap().len(), 16);
        assert_eq!(row["shape"]["__typename"], "RecordShape");
        // A consumer sees what tells nothing of fields that it may not see; the rest is null.
        let consumer = app.token("consumer", json!({}));
        let query = format!("{{ dataRow {{ nodes {{ _record {{ {TOLD} }} }} }} }}");
        let seen = app.data_as(&consumer, &query).await;
        assert_eq!(members(&seen["dataRow"]["nodes"][0]["_record"]), [
            "category", "contentType", "deleted", "hops", "lastUpdated", "processInd", "purposes", "subcategory",
            "tags", "traceparent", "usageAgreements",
        ]);
    }

    async fn a_source_says_all_of_it_by_mutation_too(backend) {
        let app = start(backend, None).await;
        let document = |uid: &str, at: Option<&str>, purposes: Value| json!({
            "sourceUid": uid, "data": {"n": 1}, "occurredAt": at, "purposes": purposes, "tags": ["red"],
            "metaData": {"k": "v"}, "dataTracker": "chain",
            "usageAgreements": [{"agreementName": "dua", "location": "here", "agreedAt": "2019-03-30T23:30:07Z"}],
        });
        let input = json!({"category": "data", "subcategory": "row", "sourceName": "web", "documents": [
            document("a", Some("1969-07-20T20:17:40.5Z"), json!(["science"])),
            document("b", Some("2026-01-01T00:00:00+02:00"), json!(["science", "billing"])),
            document("c", None, json!([])),
        ]});
        let mutation = "mutation($input: SourceManyInput!) { sourceMany(input: $input) { accepted } }";
        let answer = app.ask(&app.token("source", json!({})), mutation, json!({"input": input})).await;
        assert_eq!(answer["data"]["sourceMany"]["accepted"], 3, "{answer}");
        app.settled().await;
        let uids = async |arguments: &str| {
            let query = format!("{{ dataRow({arguments}) {{ nodes {{ _record {{ sourceUid }} }} }} }}");
            let data = app.data(&query).await;
            let nodes = data["dataRow"]["nodes"].as_array().unwrap().clone();
            nodes.iter().map(|node| node["_record"]["sourceUid"].as_str().unwrap().to_owned()).collect::<String>()
        };
        let by_time = "orderBy: [{_record: {occurredAt: ASC}}]";
        assert_eq!(uids(by_time).await, "abc");
        assert_eq!(uids("orderBy: [{_record: {occurredAt: DESC_NULLS_FIRST}}]").await, "cba");
        let since = "where: {_record: {occurredAt: {gte: \"2025-12-31T22:00:00Z\"}}}";
        assert_eq!(uids(since).await, "b");
        let science = "where: {_record: {purposes: {contains: \"science\"}}}";
        assert_eq!(uids(&format!("{science}, {by_time}")).await, "ab");
        assert_eq!(uids("where: {_record: {purposes: {isNull: true}}}").await, "c");
        let query = "{ dataRowByKey(sourceUid: \"a\") {
            _record { occurredAt tags metaData dataTracker usageAgreements } } }";
        let record = app.data(query).await["dataRowByKey"]["_record"].take();
        assert_eq!(record["occurredAt"], "1969-07-20T20:17:40.500000Z");
        assert_eq!((&record["tags"], &record["metaData"]), (&json!(["red"]), &json!({"k": "v"})));
        assert_eq!(record["dataTracker"][0], "chain");
        assert_eq!(record["usageAgreements"][0]["agreed_dtm"], 1_553_988_607);
    }

    async fn changes_tell_the_envelopes_of_both_images(backend) {
        let app = start(backend, None).await;
        full(&app).await;
        let query = "subscription { dataRow(snapshot: true) { op \
            node { n _record { revision purposes tags shape { version } } } \
            before { _record { revision occurredAt hops purposes } } } }";
        let mut live = app.subscribe(&app.admin(), query).await;
        let first = live.until_op("CAUGHT_UP").await.remove(0);
        let record = &first["node"]["_record"];
        let purposes = json!(["billing", "analytics"]);
        let expected = json!({"revision": 1, "purposes": purposes, "tags": [], "shape": {"version": 1}});
        assert_eq!(record, &expected);
        app.source("data/row/web/1", &json!({"n": 2, "m": 3})).await;
        let change = live.next().await;
        let node = json!({"revision": 2, "purposes": null, "tags": [], "shape": {"version": 2}});
        assert_eq!((&change["op"], &change["node"]["_record"]), (&json!("UPSERT"), &node));
        let before = json!({"revision": 1, "occurredAt": null, "hops": 0, "purposes": purposes});
        assert_eq!(change["before"]["_record"], before);
        app.retract("data/row/web/1").await;
        let change = live.next().await;
        assert_eq!((&change["op"], &change["node"]), (&json!("DELETE"), &Value::Null));
        assert_eq!(change["before"]["_record"]["revision"], 2);
    }

    async fn rows_go_only_to_the_purposes_that_their_source_has_named(backend) {
        let app = start(backend, Some(POLICY)).await;
        full(&app).await;
        app.source("data/row/web/2", &json!({"n": 2})).await;
        app.settled().await;
        let count = async |claims: Value| {
            let answer = app.ask(&app.token("consumer", claims), "{ dataRow { totalCount } }", json!({})).await;
            answer["data"]["dataRow"]["totalCount"].clone()
        };
        assert_eq!(count(json!({"purpose": "analytics"})).await, 1);
        assert_eq!(count(json!({"purpose": "advertising"})).await, 0);
        // Whose rules can let no row through has no such collection.
        assert_eq!(count(json!({})).await, Value::Null);
        assert_eq!(app.data("{ dataRow { totalCount } }").await["dataRow"]["totalCount"], 2);
        let some = app.token("some", json!({"purpose": "billing"}));
        let query = "{ dataRow { nodes { _record { __typename contentType dataTracker category } } } }";
        assert_eq!(
            app.data_as(&some, query).await["dataRow"]["nodes"],
            json!([{"_record": {"__typename": "DataRowRecordMeta", "contentType": "ap…", "dataTracker": null,
                "category": "data"}}])
        );
    }
}
