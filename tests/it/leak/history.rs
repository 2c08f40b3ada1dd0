//! Histories, and rows as they were: every version that a row ever had, asked by those who may see some of them now.

use serde_json::Value;

use super::world::{Actor, Row, Truth, guarded};
use crate::policy::random::Random;
use crate::support::{TestApp, on_every_backend};

const FIELDS: &str = "name email code amount salary owner level box { open } labels notes { text } \
    _record { key sourceUid rescued } _rest";
const ROWS: usize = 6;
const VERSIONS: usize = 6;

/// What a row's source calls it here: no personal data, so that it can be asked for.
fn uid(number: usize) -> String {
    format!("part-{number}")
}

fn check(actor: &Actor, entries: &[Value], mut versions: Vec<&Row>) {
    versions.reverse();
    let mut told = entries.iter().filter(|entry| entry["op"] == "UPSERT").map(|entry| &entry["node"]["name"]);
    for row in versions.iter().filter(|row| actor.sees(row)) {
        assert_eq!(told.next(), Some(&Value::from(row.text("name"))), "{actor:?}: {entries:?}");
    }
    assert_eq!(told.next(), None, "{actor:?}: {entries:?}");
    for entry in entries.iter().filter(|entry| entry["op"] != "UPSERT") {
        assert!(entry["node"].is_null() && !entry["before"].is_null(), "{entry}");
    }
}

/// Lists and lookups as of each of these moments, of which each is of one version of all rows.
async fn as_of(app: &TestApp, random: &mut Random, moments: &[String], all: &[Row]) {
    for role in ["near", "calm", "mine"] {
        for number in 0..3 {
            let actor = Actor::random(random, role, number);
            let (token, truth) = (actor.token(app), Truth::of(&actor, all));
            for (version, cursor) in moments.iter().enumerate() {
                let then: Vec<Row> = all.iter().filter(|row| row.version == version).cloned().collect();
                let page = format!("first: 100, orderBy: [{{level: DESC}}], asOf: {cursor}");
                let query = format!("{{ vaultItem({page}) {{ totalCount nodes {{ {FIELDS} }} }} }}");
                let told = app.data_as(&token, &query).await["vaultItem"].take();
                truth.check(&format!("{query} of {actor:?}"), &told.to_string());
                Truth::of(&actor, &then).check("that moment", &told.to_string());
                let seen: Vec<&Row> = then.iter().filter(|row| actor.sees(row)).collect();
                assert_eq!(told["totalCount"], seen.len(), "{query} of {actor:?}: {told}");
                assert!(seen.iter().all(|row| told.to_string().contains(&row.text("name"))), "{told}");
                for (number, row) in then.iter().enumerate() {
                    let of = format!("sourceUid: \"{}\", asOf: {cursor}", uid(number));
                    let query = format!("{{ vaultItemByKey({of}) {{ {FIELDS} }} }}");
                    let found = app.data_as(&token, &query).await["vaultItemByKey"].take();
                    truth.check(&format!("{query} of {actor:?}"), &found.to_string());
                    assert_eq!(found.is_object(), actor.sees(row), "{query} of {actor:?}: {found}");
                }
            }
        }
    }
}

on_every_backend! {
    async fn no_history_shows_what_is_not_granted(backend) {
        let mut random = Random::new(31);
        let app = guarded(backend).await;
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); ROWS];
        let mut moments = Vec::new();
        for version in 0..VERSIONS {
            for (number, versions) in rows.iter_mut().enumerate() {
                let row = Row::random(&mut random, number, version);
                app.source(&format!("vault/item/web/{}", uid(number)), &row.document()).await;
                versions.push(row);
            }
            app.settled().await;
            let read = app.data("{ vaultItem { pageInfo { cursor } } }").await;
            moments.push(read["vaultItem"]["pageInfo"]["cursor"].to_string());
            if version == 2 {
                // Some are taken back, and come again.
                for number in [0, 1] {
                    app.retract(&format!("vault/item/web/{}", uid(number))).await;
                }
                app.settled().await;
            }
        }
        let all: Vec<Row> = rows.iter().flatten().cloned().collect();
        as_of(&app, &mut random, &moments, &all).await;
        for role in ["near", "calm", "mine"] {
            for number in 0..3 {
                let actor = Actor::random(&mut random, role, number);
                let (token, truth) = (actor.token(&app), Truth::of(&actor, &all));
                for (number, versions) in rows.iter().enumerate() {
                    let (mut entries, mut after) = (Vec::new(), String::new());
                    loop {
                        let query = format!(
                            "{{ vaultItemHistory(sourceUid: \"{}\", first: 2 {after}) {{ complete endCursor \
                             nodes {{ op key cursor at revision node {{ {FIELDS} }} before {{ {FIELDS} }} }} }} }}",
                            uid(number)
                        );
                        let page = app.data_as(&token, &query).await["vaultItemHistory"].take();
                        truth.check(&format!("{query} of {actor:?}"), &page.to_string());
                        entries.extend(page["nodes"].as_array().unwrap().clone());
                        assert!(entries.len() <= 2 * VERSIONS + 2, "pages without end: {query}");
                        let Some(end) = page["endCursor"].as_str() else { break };
                        after = format!("after: \"{end}\"");
                    }
                    check(&actor, &entries, versions.iter().collect());
                }
            }
        }
    }
}
