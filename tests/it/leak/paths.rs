//! Every path of a request: lists, lookups, conditions, orders, aggregates, groups, cursors, errors, management,
//! introspection.

use serde_json::{Value, json};

use super::world::{Actor, HIDDEN_NAMES, Row, Truth, address, vault};
use crate::policy::random::Random;
use crate::support::{TestApp, on_every_backend};

const FIELDS: &str = "region level blocked owner shared name email code amount salary box { open } labels \
    notes { text } _record { id key revision sourceName sourceUid ingestedAt rescued } _rest";
/// Of a condition or order: fields that this actor may not use so, and names that nobody has.
const CLOSED: [(&str, &str); 6] = [
    ("zqhidden", "zqnobody"),
    ("email", "nomail"),
    ("code", "nocd"),
    ("amount", "nombre"),
    ("salary", "nolary"),
    ("odd", "nod"),
];

struct Asker<'a> {
    app: &'a TestApp,
    actor: &'a Actor,
    token: String,
    truth: Truth,
}

impl Asker<'_> {
    async fn raw(&self, query: &str) -> String {
        let answer = self.app.ask(&self.token, query, json!({})).await;
        let mut text = answer.to_string();
        // Every answer has its own.
        while let Some(at) = text.find("\"requestId\":\"") {
            let end = at + 13 + text[at + 13..].find('"').unwrap() + 1;
            text.replace_range(at..end, "");
        }
        text
    }

    /// The answer, which has nothing that is forbidden.
    async fn ask(&self, query: &str) -> Value {
        let text = self.raw(query).await;
        self.truth.check(&format!("{query} of {:?}", self.actor), &text);
        serde_json::from_str(&text.replace(",}", "}")).unwrap()
    }

    /// What is hidden answers like what does not exist.
    async fn alike(&self, template: &str, real: &str, fake: &str) {
        let answer = async |word: &str| {
            let text = self.raw(&template.replace("{}", word)).await;
            // Places in the document differ with the length of the word.
            let text = text.replace(word, "?");
            text.split("\"locations\"").next().unwrap_or_default().to_owned()
        };
        let (one, other) = (answer(real).await, answer(fake).await);
        assert_eq!(one, other, "{real} can be told from {fake} by {template} of {:?}", self.actor);
    }
}

async fn lists(asker: &Asker<'_>, rows: &[Row]) {
    let visible: Vec<&Row> = rows.iter().filter(|row| asker.actor.sees(row)).collect();
    let all = asker.ask(&format!("{{ vaultItem(first: 100) {{ totalCount nodes {{ {FIELDS} }} }} }}")).await;
    assert_eq!(all["data"]["vaultItem"]["totalCount"], visible.len(), "{:?}: {all}", asker.actor);
    asker.truth.complete("the list", &all.to_string());
    for backward in [false, true] {
        let mut seen = Vec::new();
        let mut place = String::new();
        loop {
            let page = if backward {
                "last: 2, orderBy: [{name: DESC}]"
            } else {
                "first: 2, orderBy: [{level: ASC}]"
            };
            let query = format!(
                "{{ vaultItem({page} {place}) {{ edges {{ cursor node {{ name }} }}
                   pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor cursor }} }} }}"
            );
            let answer = asker.ask(&query).await;
            let info = &answer["data"]["vaultItem"]["pageInfo"];
            let edges = answer["data"]["vaultItem"]["edges"].as_array().unwrap();
            seen.extend(edges.iter().map(|edge| edge["node"]["name"].to_string()));
            let (more, cursor, argument) = if backward {
                ("hasPreviousPage", "startCursor", "before")
            } else {
                ("hasNextPage", "endCursor", "after")
            };
            assert!(seen.len() <= rows.len(), "pages without end: {query}");
            if info[more] != true {
                break;
            }
            place = format!(", {argument}: {}", info[cursor]);
        }
        assert_eq!(seen.len(), visible.len());
    }
    // A uid that is not shown cannot be looked up: an answer would confirm a guess.
    for row in rows {
        let query = "{ vaultItemByKey(sourceUid: \"{}\", sourceName: \"web\") { name } }";
        let text = asker.raw(&query.replace("{}", &row.address())).await;
        assert!(text.contains("vaultItemByKey") && !text.contains("\"data\":{"), "{text}");
        asker.alike(query, &row.address(), &address("zquid99q")).await;
    }
}

/// The uid and the key are personal data, the author is hidden: none of them can be compared or ordered by.
async fn envelope(asker: &Asker<'_>, rows: &[Row]) {
    let keys =
        asker.ask("{ vaultItem(first: 100) { nodes { _record { __typename key sourceUid } } } }").await;
    for node in keys["data"]["vaultItem"]["nodes"].as_array().unwrap() {
        assert_eq!(node["_record"]["__typename"], "VaultItemRecordMeta", "as the schema says: {node}");
        for code in [&node["_record"]["key"], &node["_record"]["sourceUid"]] {
            assert_eq!(code.as_str().unwrap().len(), 32, "a code stands for it: {node}");
        }
    }
    for row in rows {
        for template in [
            "{ vaultItem(where: {_record: {sourceUid: {eq: \"{}\"}}}) { totalCount } }",
            "{ vaultItem(where: {_record: {sourceUid: {startsWith: \"{}\"}}}) { totalCount } }",
            "{ vaultItem(where: {not: {_record: {sourceUid: {gt: \"{}\"}}}}) { totalCount } }",
            "{ vaultItem(where: {_record: {key: {eq: \"vault~item~web~{}\"}}}) { totalCount } }",
            "{ vaultItemAggregate(where: {_record: {key: {like: \"%{}\"}}}) { count } }",
            "subscription { vaultItem(where: {_record: {sourceUid: {eq: \"{}\"}}}) { op } }",
        ] {
            let text = asker.raw(&template.replace("{}", &row.address())).await;
            assert!(text.contains("\"errors\"") && !text.contains("\"data\":{"), "{template}: {text}");
            asker.alike(template, &row.address(), &address("zquid99q")).await;
        }
    }
    for query in [
        "{ vaultItem(orderBy: [{_record: {sourceUid: ASC}}]) { totalCount } }",
        "{ vaultItem(orderBy: [{_record: {key: DESC}}]) { totalCount } }",
        "{ vaultItem(orderBy: [{_record: {author: ASC}}]) { totalCount } }",
        "{ vaultItem(where: {_record: {author: {eq: \"source\"}}}) { totalCount } }",
        "{ vaultItem { nodes { _record { author } } } }",
    ] {
        let text = asker.raw(query).await;
        assert!(text.contains("\"errors\"") && !text.contains("\"data\":{"), "{query}: {text}");
    }
    asker.ask("{ vaultItem(orderBy: [{_record: {ingestedAt: ASC}}]) { totalCount } }").await;
}

async fn conditions(asker: &Asker<'_>, rows: &[Row]) {
    for row in rows.iter().filter(|row| !asker.actor.sees(row)) {
        for template in [
            "{ vaultItem(where: {name: {eq: \"{}\"}}) { totalCount nodes { level } } }",
            "{ vaultItem(where: {or: [{name: {eq: \"{}\"}}, {box: {open: {eq: \"{}\"}}}]}) { totalCount } }",
            "{ vaultItem(where: {not: {not: {name: {startsWith: \"{}\"}}}}) { totalCount } }",
            "{ vaultItemAggregate(where: {name: {like: \"{}%\"}}) { count max { level } } }",
        ] {
            asker.alike(template, &row.text("name"), "zqnamenobodyq").await;
        }
        let labels = "{ vaultItem(where: {labels: {contains: \"{}\"}}) { totalCount } }";
        asker.alike(labels, &row.text("label"), "zqlabelnobodyq").await;
    }
    for (closed, nobody) in CLOSED {
        for template in [
            "{ vaultItem(where: {{}: {isNull: false}}) { totalCount } }",
            "{ vaultItem(where: {not: {{}: {isNull: true}}}) { totalCount } }",
            "{ vaultItem(orderBy: [{{}: ASC}]) { nodes { name } } }",
            "{ vaultItemAggregate(groupBy: [{}]) { count } }",
            "{ vaultItemAggregate { max { {} } } }",
            "{ vaultItemAggregate { sum { {} } } }",
            "{ vaultItemAggregate { countDistinct { {} } } }",
            "{ vaultItemAggregate(groupByPart: [{field: {}, bucket: 10}]) { count } }",
            "{ vaultItemAggregate(having: {min: {{}: {isNull: false}}}) { count } }",
            "{ vaultItemAggregate(having: {not: {countDistinct: {{}: {gt: 1}}}}) { count } }",
            "{ vaultItemAggregate(having: {sum: {{}: {isNull: true}}}) { count } }",
            "{ vaultItemAggregate { stddev { {} } } }",
            "{ vaultItemAggregate { percentile(p: 0.5) { {} } } }",
            "{ vaultItemAggregate(having: {variance: {{}: {isNull: true}}}) { count } }",
            "{ vaultItemAggregate(groupBy: [name], orderBy: [{max: {{}: DESC}}]) { count } }",
            "{ vaultItemAggregate(groupBy: [name], orderBy: [{avg: {{}: DESC}}]) { count } }",
            "{ vaultItemAggregate(groupBy: [name], orderBy: [{group: {{}: ASC}}]) { count } }",
            "{ vaultItemAggregate(groupByPart: [{field: {}, truncate: DAY}]) { count } }",
        ] {
            let text = asker.raw(&template.replace("{}", closed)).await;
            assert!(
                text.contains("\"errors\"") && !text.contains("\"data\":{"),
                "{closed}: {template}: {text}"
            );
            asker.truth.check(template, &text.replace(closed, "?"));
            if closed.starts_with("zq") || closed == "odd" {
                asker.alike(template, closed, nobody).await;
            }
        }
    }
    for (template, closed, nobody) in [
        ("{ vaultItem { nodes { {} } } }", "zqhidden", "zqnobody"),
        ("{ vaultItem { nodes { box { {} } } } }", "zqclosed", "zqnobody"),
        ("{ vaultItem { nodes { notes { {} } } } }", "zqinner", "zqnobod"),
        ("{ vaultItem(where: {box: {{}: {isNull: true}}}) { totalCount } }", "zqclosed", "zqnobody"),
        ("{ vaultItem { nodes { {} } } }", "zqhidde", "zqnobod"),
        ("{ {} { totalCount } }", "otherThing", "otherNobod"),
        ("{ {}Aggregate { count } }", "otherThing", "otherNobod"),
        ("{ __type(name: \"{}\") { name fields { name } } }", "OtherThing", "OtherNobod"),
        ("{ collection(name: \"{}\") { name } }", "otherThing", "otherNobod"),
    ] {
        asker.alike(template, closed, nobody).await;
    }
}

async fn figures(asker: &Asker<'_>, rows: &[Row]) {
    let visible: Vec<&Row> = rows.iter().filter(|row| asker.actor.sees(row)).collect();
    let wanted = "count countDistinct { name } sum { level } min { name } max { name level }";
    let query = format!("{{ vaultItemAggregate {{ {wanted} }} }}");

    let answer = asker.ask(&query).await;
    let all = &answer["data"]["vaultItemAggregate"][0];
    let sum: i64 = visible.iter().filter_map(|row| row.level).sum();
    assert_eq!(all["count"], visible.len(), "{:?}", asker.actor);
    assert_eq!(all["countDistinct"]["name"], visible.len());
    if visible.iter().any(|row| row.level.is_some()) {
        assert_eq!(all["sum"]["level"], sum.to_string());
    }
    let groups = asker.ask("{ vaultItemAggregate(groupBy: [name]) { group { name } count } }").await;
    assert_eq!(groups["data"]["vaultItemAggregate"].as_array().unwrap().len(), visible.len());
}

/// Cursors that an admin was given.
async fn cursors(asker: &Asker<'_>) {
    for order in ["name", "email", "zqhidden", "salary"] {
        let order = format!("orderBy: [{{{order}: ASC}}]");
        let query = format!("{{ vaultItem(first: 2, {order}) {{ pageInfo {{ endCursor cursor }} }} }}");
        let info = asker.app.data(&query).await["vaultItem"]["pageInfo"].take();
        for given in ["orderBy: [{name: ASC}]", "orderBy: [{level: ASC}]", order.as_str()] {
            let query = format!(
                "{{ vaultItem(first: 9, {given}, after: {}) {{ totalCount nodes {{ {FIELDS} }} }} }}",
                info["endCursor"]
            );
            let text = asker.raw(&query).await;
            let text = HIDDEN_NAMES
                .iter()
                .filter(|name| given.contains(*name))
                .fold(text, |text, name| text.replace(name, "?"));
            asker.truth.check(&query, &text);
        }
    }
}

/// What is not about one collection.
async fn management(asker: &Asker<'_>, ids: &[String]) {
    let typo =
        "{ vaultItem { nodes { nam hidden zq emai salry clsed inner } } othrThing { a } vaultItm { b } }";
    let schema = "{ __schema { types { name description fields { name description args { name } } \
        inputFields { name description } enumValues { name } } } }";
    for query in [
        "{ collections { name typeName jsonSchema shape { version fields { path name type tags } } } }",
        "{ collection(name: \"vaultItem\") { jsonSchema shape { fields { path name type tags } } } }",
        "{ records { key dataObj } }",
        "{ sources { category subcategory sourceName } }",
        "{ deadLetters { key reason } }",
        "{ plugins { name } }",
        "{ lag { outbox partitions { pending } } }",
        schema,
        typo,
        "{ vaultItem(where: {nam: 1, level: \"x\", box: 3}) { nodes { level } } }",
    ] {
        asker.ask(query).await;
    }
    for id in ids {
        for template in ["{ record(id: \"{}\") { key dataObj } }", "{ receipt(id: \"{}\") { key status } }"] {
            let text = asker.raw(&template.replace("{}", id)).await;
            asker.truth.check(template, &text);
            asker.alike(template, id, "01a20668-843e-704d-9126-ecb5a1987e42").await;
        }
    }
    for path in [
        "vaultItem",
        "vaultItem.csv",
        "vaultItem.ndjson",
        "vaultItem.csv?fields=name,_record,_cursor",
        "vaultItem.xml",
        "vaultItem.xml?fields=name,notes,box,labels,_rest,_record,_cursor",
        "vaultItem?order=email",
        "vaultItem?order=_record.sourceUid",
        "vaultItem?fields=_record.key&order=_record.ingestedAt",
        "otherThing",
    ] {
        let request =
            asker.app.client.get(format!("{}/data/{path}", asker.app.url)).bearer_auth(&asker.token);
        let text = request.send().await.unwrap().text().await.unwrap();
        asker.truth.check(path, &text.replace("otherThing", "?"));
    }
    let metrics = asker.app.client.get(format!("{}/metrics", asker.app.url)).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(!metrics.contains("zqname") && !metrics.contains("zquid"), "{metrics}");
}

on_every_backend! {
    async fn no_path_shows_what_is_not_granted(backend) {
        let mut random = Random::new(11);
        let (app, rows) = vault(backend, &mut random, 12).await;
        let records = app.data("{ records(first: 4) { id } }").await;
        let ids: Vec<String> = records["records"].as_array().unwrap().iter()
            .map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        let rescued = app.data("{ vaultItem { nodes { _record { rescued } } } }").await.to_string();
        assert!(rescued.contains("zqodd"), "the admin sees it: {rescued}");
        let found = app.data("{ vaultItemByKey(sourceUid: \"zquid00q@example.org\") { _record { key } } }").await;
        assert_eq!(found["vaultItemByKey"]["_record"]["key"], "vault~item~web~zquid00q@example.org");
        let (mut asked, mut none) = (0, 0);
        for role in ["near", "calm", "mine"] {
            for number in 0..3 {
                let actor = Actor::random(&mut random, role, number);
                let (token, truth) = (actor.token(&app), Truth::of(&actor, &rows));
                let asker = Asker { app: &app, actor: &actor, token, truth };
                asked += 1;
                none += usize::from(!rows.iter().any(|row| actor.sees(row)));
                lists(&asker, &rows).await;
                envelope(&asker, &rows).await;
                conditions(&asker, &rows).await;
                figures(&asker, &rows).await;
                cursors(&asker).await;
                management(&asker, &ids).await;
            }
        }
        assert!(none * 2 < asked, "most actors see something");
    }
}
