//! Searches: what PostgreSQL calls a word is what memory does, and what is found is written down by hand.

use serde_json::{Value, json};

use super::{World, effect, field, leaf, some, with_roles, worlds};
use crate::error::Code;
use crate::publishing::Root;
use crate::query::words;
use crate::store::db::Dialect;

/// How many code points one text has.
const PORTION: u32 = 4_096;

#[tokio::test]
async fn every_code_point_is_the_same_to_both() {
    for world in worlds("words").await {
        let db = &world.store.db;
        if db.dialect() != Dialect::Postgres {
            continue;
        }
        for from in (0..=u32::from(char::MAX)).step_by(PORTION as usize) {
            let all = (from.max(1)..from + PORTION).filter_map(char::from_u32);
            let text: String = all.flat_map(|c| ['a', c, 'b', ' ', c, ' ']).collect();
            let told = db.query("select wellspring_words($1)", &[text.as_str().into()]).await.unwrap();
            assert_eq!(told[0].text(0).unwrap(), words(&text), "from {from:x}");
        }
    }
}

async fn found(world: &World, condition: Value) -> Vec<i64> {
    let arguments = json!({"where": condition, "orderBy": [{"n": "ASC"}]});
    let asked = field("shopOrder", arguments, vec![some("nodes", &["n"]), leaf("totalCount")]);
    let answer = world.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap();
    let nodes = answer["nodes"].as_array().unwrap();
    assert_eq!(answer["totalCount"], json!(nodes.len()));
    nodes.iter().map(|node| node["n"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn texts_are_searched_wherever_they_stand() {
    for world in worlds("searched").await {
        for (n, order) in [
            json!({"text": "The red bike, old but good", "o": {"s": "Straße 東京"}, "tags": ["big sale", "x"]}),
            json!({"text": "A blue BIKE", "items": [{"s": "red paint"}, {"s": "oil"}]}),
            json!({"text": null, "o": {"s": "red"}}),
        ]
        .iter()
        .enumerate()
        {
            let mut order = order.clone();
            order["n"] = json!(n);
            world.apply(&[effect("web", &format!("order-{n}"), 1, Some(&order))]).await;
        }
        for (condition, expected) in [
            (json!({"text": {"search": "bike"}}), vec![0, 1]),
            (json!({"text": {"search": "bike -blue"}}), vec![0]),
            (json!({"text": {"search": "old or blue bike"}}), vec![0, 1]),
            (json!({"text": {"search": "-red"}}), vec![1]),
            (json!({"not": {"text": {"search": "red"}}}), vec![1, 2]),
            (
                json!({"or": [{"text": {"search": "\"bike old\""}}, {"o": {"s": {"search": "re*"}}}]}),
                vec![0, 2],
            ),
            (json!({"o": {"s": {"search": "STRAßE"}}}), vec![0]),
            (json!({"o": {"s": {"search": "\"straße 東京\""}}}), vec![0]),
            (json!({"tags": {"some": {"search": "sale"}}}), vec![0]),
            (json!({"items": {"some": {"s": {"search": "Paint red"}}}}), vec![1]),
            (json!({"items": {"every": {"s": {"search": "red or oil"}}}}), vec![1]),
            (json!({"_record": {"sourceUid": {"search": "\"order 2\""}}}), vec![2]),
        ] {
            assert_eq!(found(&world, condition.clone()).await, expected, "{condition}");
        }
        for (condition, code) in [
            (json!({"text": {"search": " - "}}), Code::BadRequest),
            (json!({"n": {"search": "1"}}), Code::BadRequest),
            (json!({"text": {"search": "a ".repeat(65)}}), Code::TooComplex),
            (json!({"text": {"search": "a".repeat(5_000)}}), Code::TooComplex),
        ] {
            let asked = field("shopOrder", json!({ "where": condition }), vec![leaf("totalCount")]);
            let error = world.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap_err();
            assert_eq!(error.code(), code, "{}", error.message());
        }
    }
}
