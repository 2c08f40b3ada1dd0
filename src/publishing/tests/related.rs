//! Relations followed by the database, held against images joined in memory: random rows, keys of several types, nulls,
//! doubles and what leads nowhere.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::differential::{Dice, condition, fill};
use super::{World, effect_of, field, leaf, some, with_roles, worlds};
use crate::publishing::{Accept, End, Root, Visible};
use crate::query::{Budget, Filter, Selected, compile};
use crate::record::{Json, Signer};

const KEYS: [&str; 9] = ["0", "1", "-3", "2", "a", "", "01", "é", "2000000"];

/// Rows that the others name, and more than one by some names.
async fn named(world: &World) {
    let effects: Vec<_> = (0..40)
        .map(|n: usize| {
            let text = KEYS[n % KEYS.len()];
            let number = [-3, 0, 1, 2][n % 4];
            let mut document = json!({"n": n, "text": text, "number": number});
            if n.is_multiple_of(7) {
                document = json!({"n": n, "text": null});
            }
            effect_of("named", "web", &format!("{n:04}"), 1, Some(&document))
        })
        .collect();
    world.apply(&effects).await;
}

async fn all(world: &World, name: &str) -> (Visible, Vec<Json>) {
    let visible = world.publishing.visible(&with_roles(&["admin"])).unwrap();
    let from = visible.iter().find(|(collection, _)| collection.field_name == name).unwrap();
    let mut images = BTreeMap::new();
    let query = compile(
        &from.0,
        Root::Changes,
        &field(name, json!({}), vec![leaf("op")]),
        &world.config.graphql,
        &Signer::new(b"secret"),
    );
    let query = from.1.apply(query.unwrap()).unwrap();
    for tailed in world.store.tail(from.0.id, 0, 10_000, usize::MAX).await.unwrap().0 {
        if let crate::policy::Opened::Upsert(change) =
            query.open(tailed.change, &Filter::Const(true), Default::default())
        {
            images.insert(change.key, Json::clone(change.after.as_deref().unwrap()));
        }
    }
    (from.clone(), images.into_values().collect())
}

fn value(image: &Json, path: &[&str]) -> Value {
    path.iter().try_fold(image, |image, name| image.get(name)).map_or(Value::Null, Json::to_value)
}

/// What a key is told by.
fn key(image: &Json, path: &[&str]) -> Option<String> {
    match value(image, path) {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

async fn asked(world: &World, root: &str, selected: Vec<Selected>) -> Value {
    let visible = world.publishing.visible(&with_roles(&["admin"])).unwrap();
    let from = visible.iter().find(|(collection, _)| collection.field_name == root).unwrap();
    let arguments = json!({"first": 1000, "orderBy": [{"_record": {"key": "ASC"}}]});
    let asked = field(root, arguments, vec![field("nodes", json!({}), selected)]);
    let mut out = Vec::new();
    let budget = Budget::new(1 << 30);
    world.publishing.read(from, &visible, Root::List, &asked, &budget, &mut out).await.unwrap();
    serde_json::from_slice::<Value>(&out).unwrap()["nodes"].take()
}

#[tokio::test]
async fn the_database_and_memory_agree_on_what_relations_lead_to() {
    for world in worlds("related").await {
        let mut dice = Dice(0x1234_5678_9abc_def1);
        fill(&world, &mut dice, 120).await;
        named(&world).await;
        let admin = with_roles(&["admin", "steward", "pii"]);
        let end = |collection: &str, path: &str| End { collection: collection.into(), path: path.into() };
        for (number, (one, from, to, other)) in [
            (vec!["i"], "/i", "/number", vec!["number"]),
            (vec!["i"], "/i", "/text", vec!["text"]),
            (vec!["s"], "/s", "/text", vec!["text"]),
            (vec!["o", "i"], "/o/i", "/number", vec!["number"]),
            (vec!["big"], "/big", "/n", vec!["n"]),
            (vec!["s"], "/s", "_record.sourceUid", vec!["_record", "sourceUid"]),
        ]
        .into_iter()
        .enumerate()
        {
            let (name, inverse) = (format!("up{number}"), format!("down{number}"));
            let accept = Accept {
                from: end("shopOrder", from),
                to: end("shopNamed", to),
                name: Some(name.clone()),
                inverse_name: Some(inverse.clone()),
            };
            world.publishing.accept_relation(&admin, &accept).await.unwrap();
            let ((orders, rows), (_, names)) =
                (all(&world, "shopOrder").await, all(&world, "shopNamed").await);
            let first = |row: &Json| {
                let wanted = key(row, &one)?;
                names.iter().find(|there| key(there, &other).as_ref() == Some(&wanted))
            };
            let expected: Vec<Value> = rows
                .iter()
                .map(|row| json!({&name: first(row).map(|row| json!({"n": value(row, &["n"])}))}))
                .collect();
            assert_eq!(
                asked(&world, "shopOrder", vec![some(&name, &["n"])]).await,
                json!(expected),
                "{from} to {to}"
            );
            for _ in 0..20 {
                let (limit, wanted) = (dice.pick(&[0, 1, 2, 50]).to_owned(), condition(&mut dice, 0));
                let arguments =
                    json!({"first": limit, "where": wanted, "orderBy": [{"_record": {"key": "DESC"}}]});
                let query = field("shopOrder", json!({"where": wanted}), Vec::new());
                let limits = &world.config.graphql;
                let query = compile(&orders.0, Root::List, &query, limits, &Signer::new(b"secret")).unwrap();
                let page = |there: &Json| {
                    let wanted = key(there, &other);
                    let same = |row: &&Json| wanted.is_some() && key(row, &one) == wanted;
                    let uids = rows.iter().filter(same).filter(|row| query.filter().eval(row));
                    let mut uids: Vec<Value> = uids
                        .map(|row| json!({"_record": {"sourceUid": value(row, &["_record", "sourceUid"])}}))
                        .collect();
                    let total = uids.len();
                    uids.reverse();
                    uids.truncate(limit);
                    json!({&inverse: {"totalCount": total, "nodes": uids}})
                };
                let expected: Vec<Value> = names.iter().map(page).collect();
                let nodes = field("nodes", json!({}), vec![some("_record", &["sourceUid"])]);
                let below = field(&inverse, arguments.clone(), vec![leaf("totalCount"), nodes]);
                assert_eq!(
                    asked(&world, "shopNamed", vec![below]).await,
                    json!(expected),
                    "{from} to {to}: {arguments}"
                );
            }
        }
    }
}
