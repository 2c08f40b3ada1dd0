//! Random conditions and orders that follow relations, over random rows of which only some are to be seen: what the
//! databases make of them, held against their plain meaning.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::differential::Dice;
use super::rules::{ORDER, RELATIONS, Rows, fill, key, relate};
use super::{World, field, leaf, some, with_roles, worlds};
use crate::error::Code;
use crate::policy::Engine;
use crate::publishing::{Root, Visible};
use crate::query::Budget;

const POLICY: &str = r#"
allow(_: User, "read", row: ShopOrder) if not row.total = 3;
allow(_: User, "read", row: ShopBuyer) if row.region != "b";
allow(_: User, "read", row: ShopFirm) if row.size > 0;
allow_field(_, _, _, _);
"#;

/// What the policy says, by hand.
fn is_seen(kind: usize, row: &Value) -> bool {
    match kind {
        ORDER => row["total"] != json!(3),
        1 => row["region"] != json!("b"),
        _ => row["size"].as_i64().is_some_and(|size| size > 0),
    }
}

/// The field of texts and that of numbers of each kind of rows.
const FIELDS: [(&str, &str); 3] = [("status", "total"), ("region", "level"), ("land", "size")];

fn related<'a>(rows: &'a Rows, kind: usize, row: &Value, name: &str) -> (usize, Vec<&'a Value>) {
    let relation = RELATIONS.iter().find(|one| one.0 == kind && one.1 == name).unwrap();
    let Some(wanted) = key(&row[relation.2]) else { return (relation.3, Vec::new()) };
    let same = rows[relation.3]
        .iter()
        .filter(|row| key(&row[relation.4]).as_ref() == Some(&wanted) && is_seen(relation.3, row));
    (relation.3, if relation.5 { same.collect() } else { same.take(1).collect() })
}

fn condition(dice: &mut Dice, kind: usize, depth: usize, joined: usize) -> Value {
    let (text, number) = FIELDS[kind];
    let mut ways = vec![0, 1, 2, 3];
    if depth < 3 {
        ways.extend([4, 4, 4, 4]);
    }
    if joined < 3 {
        ways.extend([5, 6]);
    }
    match *dice.pick(&ways) {
        0 => json!({text: {*dice.pick(&["eq", "ne"]): *dice.pick(&["a", "b", "c"])}}),
        1 => json!({text: {"isNull": *dice.pick(&[true, false])}}),
        2 => json!({number: {"gt": *dice.pick(&[0, 1, 2])}}),
        3 => json!({text: {"in": ["a", "c"]}}),
        4 => {
            let all: Vec<_> = RELATIONS.iter().filter(|one| one.0 == kind).collect();
            let relation = *dice.pick(&all);
            let mut inner = condition(dice, relation.3, depth + 1, joined);
            if *dice.pick(&[true, false, false, false]) {
                inner = json!({});
            }
            if relation.5 {
                inner = json!({*dice.pick(&["some", "every", "none"]): inner});
            }
            json!({relation.1: inner})
        }
        5 => {
            let both = [condition(dice, kind, depth, joined + 1), condition(dice, kind, depth, joined + 1)];
            json!({*dice.pick(&["and", "or"]): both})
        }
        _ => json!({"not": condition(dice, kind, depth, joined + 1)}),
    }
}

fn holds(rows: &Rows, kind: usize, row: &Value, condition: &Value) -> bool {
    condition.as_object().unwrap().iter().all(|(name, said)| match name.as_str() {
        "and" => said.as_array().unwrap().iter().all(|one| holds(rows, kind, row, one)),
        "or" => said.as_array().unwrap().iter().any(|one| holds(rows, kind, row, one)),
        "not" => !holds(rows, kind, row, said),
        name if FIELDS[kind].0 == name || FIELDS[kind].1 == name => {
            let (operator, constant) = said.as_object().unwrap().iter().next().unwrap();
            let value = &row[name];
            match operator.as_str() {
                "isNull" => json!(value.is_null()) == *constant,
                "eq" => value == constant,
                "ne" => !value.is_null() && value != constant,
                "in" => constant.as_array().unwrap().contains(value),
                _ => value.as_i64().is_some_and(|value| value > constant.as_i64().unwrap()),
            }
        }
        name => {
            let (to, found) = related(rows, kind, row, name);
            let one = |said: &Value| found.iter().any(|row| holds(rows, to, row, said));
            match said.as_object().unwrap().iter().next() {
                Some((word, said)) if word == "some" => one(said),
                Some((word, said)) if word == "none" => !one(said),
                Some((word, said)) if word == "every" => found.iter().all(|row| holds(rows, to, row, said)),
                _ => one(said),
            }
        }
    })
}

async fn visible(world: &World) -> Vec<Visible> {
    let engine = Engine::from_texts(&world.config.policy, &[("p.polar", POLICY)]).unwrap();
    let catalog = world.store.catalog.load();
    let who = with_roles(&["consumer"]);
    let seen = catalog.collections.values().map(|collection| {
        let scope = engine.scope(&who, &catalog.collections, collection).unwrap().unwrap();
        (collection.clone(), scope)
    });
    let mut seen: Vec<Visible> = seen.collect();
    seen.sort_by_key(|(collection, _)| usize::from(collection.field_name != "shopOrder"));
    seen
}

async fn page(world: &World, visible: &[Visible], arguments: &Value) -> crate::error::Result<Value> {
    let node = field("node", json!({}), vec![some("_record", &["sourceUid"])]);
    let edges = field("edges", json!({}), vec![node]);
    let info = some("pageInfo", &["hasNextPage", "hasPreviousPage", "startCursor", "endCursor"]);
    let asked = field("shopOrder", arguments.clone(), vec![edges, info, leaf("totalCount")]);
    let (mut out, budget) = (Vec::new(), Budget::new(1 << 30));
    world.publishing.read(&visible[0], visible, Root::List, &asked, &budget, &mut out).await?;
    Ok(serde_json::from_slice(&out).unwrap())
}

fn uids(page: &Value) -> Vec<String> {
    let edges = page["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["_record"]["sourceUid"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn conditions_that_follow_relations_mean_what_they_say() {
    for world in worlds("asked").await {
        let mut dice = Dice(0x00c0_ffee_1234);
        let rows = fill(&world, &mut dice).await;
        relate(&world).await;
        let visible = visible(&world).await;
        let mut told = 0;
        for case in 0..300 {
            let condition = condition(&mut dice, ORDER, 0, 0);
            let arguments =
                json!({"first": 1000, "where": condition, "orderBy": [{"_record": {"key": "ASC"}}]});
            let found = page(&world, &visible, &arguments).await;
            let found =
                found.unwrap_or_else(|error| panic!("{condition}: {} {:?}", error.message(), error.cause()));
            let seen: Vec<&Value> = rows[ORDER].iter().filter(|row| is_seen(ORDER, row)).collect();
            let expected: Vec<String> = seen
                .iter()
                .filter(|row| holds(&rows, ORDER, row, &condition))
                .map(|row| row["uid"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(uids(&found), expected, "{case}: {condition}");
            assert_eq!(found["totalCount"], expected.len());
            told += usize::from(!expected.is_empty() && expected.len() < seen.len());
        }
        assert!(told > 80, "{told} conditions tell rows apart");
        let deep = json!({"where": {"buyer": {"firm": {"people": {"some": {"firm": {}}}}}}});
        assert_eq!(page(&world, &visible, &deep).await.unwrap_err().code(), Code::TooComplex);
        let many: Vec<Value> = (0..40).map(|_| json!({"buyer": {}})).collect();
        let many = json!({"where": {"and": many}});
        assert_eq!(page(&world, &visible, &many).await.unwrap_err().code(), Code::TooComplex);
        let live = field("shopOrder", json!({"where": {"buyer": {}}}), vec![leaf("op")]);
        let refused = world.publishing.scoped(&visible[0], &visible, Root::Changes, &live).unwrap_err();
        assert!(refused.message().contains("follows no relations"), "{}", refused.message());
    }
}

/// What an order goes by: the names that lead there, and whether great ones and nulls come first.
struct By {
    path: Vec<&'static str>,
    descending: bool,
    nulls_first: bool,
}

fn order(dice: &mut Dice) -> Vec<By> {
    let mut all = Vec::new();
    for _ in 0..*dice.pick(&[1, 1, 2, 3]) {
        let (mut kind, mut path) = (ORDER, Vec::new());
        while path.len() < 3 && *dice.pick(&[true, true, false]) {
            let ways: Vec<_> = RELATIONS.iter().filter(|one| one.0 == kind && !one.5).collect();
            if ways.is_empty() {
                break;
            }
            let way = *dice.pick(&ways);
            path.push(way.1);
            kind = way.3;
        }
        path.push(*dice.pick(&[FIELDS[kind].0, FIELDS[kind].1]));
        all.push(By {
            path,
            descending: *dice.pick(&[true, false]),
            nulls_first: *dice.pick(&[true, false]),
        });
    }
    all
}

impl By {
    fn said(&self) -> Value {
        let direction = match (self.descending, self.nulls_first) {
            (false, false) => "ASC",
            (true, false) => "DESC",
            (false, true) => "ASC_NULLS_FIRST",
            (true, true) => "DESC_NULLS_FIRST",
        };
        self.path.iter().rev().fold(json!(direction), |inner, name| json!({*name: inner}))
    }

    fn value(&self, rows: &Rows, row: &Value) -> Value {
        let (last, above) = self.path.split_last().unwrap();
        let (mut kind, mut row) = (ORDER, Some(row));
        for name in above {
            let Some(at) = row else { break };
            let (to, found) = related(rows, kind, at, name);
            (kind, row) = (to, found.first().copied());
        }
        row.map_or(Value::Null, |row| row[*last].clone())
    }

    fn compare(&self, rows: &Rows, one: &Value, other: &Value) -> Ordering {
        let (one, other) = (self.value(rows, one), self.value(rows, other));
        match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if self.nulls_first {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if self.nulls_first {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => {
                let ordering = match (one.as_i64(), other.as_i64()) {
                    (Some(one), Some(other)) => one.cmp(&other),
                    _ => one.as_str().cmp(&other.as_str()),
                };
                if self.descending { ordering.reverse() } else { ordering }
            }
        }
    }
}

#[tokio::test]
async fn pages_in_orders_that_follow_relations_are_the_whole_list() {
    for world in worlds("asked_order").await {
        let mut dice = Dice(0x0bad_5eed_0077);
        let rows = fill(&world, &mut dice).await;
        relate(&world).await;
        let visible = visible(&world).await;
        for _ in 0..40 {
            let by = order(&mut dice);
            let said: Vec<Value> = by.iter().map(By::said).collect();
            let mut expected: Vec<&Value> = rows[ORDER].iter().filter(|row| is_seen(ORDER, row)).collect();
            expected.sort_by(|one, other| {
                by.iter().fold(Ordering::Equal, |found, by| found.then_with(|| by.compare(&rows, one, other)))
            });
            let expected: Vec<&str> = expected.iter().map(|row| row["uid"].as_str().unwrap()).collect();
            let whole = page(&world, &visible, &json!({"first": 1000, "orderBy": said})).await;
            let whole =
                whole.unwrap_or_else(|error| panic!("{said:?}: {} {:?}", error.message(), error.cause()));
            assert_eq!(uids(&whole), expected, "{said:?}");
            for (count, behind, from, more) in [
                ("first", "after", "endCursor", "hasNextPage"),
                ("last", "before", "startCursor", "hasPreviousPage"),
            ] {
                let (mut found, mut at) = (Vec::new(), Value::Null);
                loop {
                    let arguments = json!({count: 7, behind: at, "orderBy": said});
                    let page = page(&world, &visible, &arguments).await.unwrap();
                    let place = if count == "first" { found.len() } else { 0 };
                    found.splice(place..place, uids(&page));
                    at = page["pageInfo"][from].clone();
                    if page["pageInfo"][more] == json!(false) {
                        break;
                    }
                }
                assert_eq!(found, expected, "{count} {said:?}");
            }
        }
    }
}
