//! Random lists and maps and random questions about what is in them: the databases and memory must agree, and what they
//! say of a few rows is written down by hand.

use serde_json::{Map, Value, json};

use super::differential::{Dice, images};
use super::{World, effect, field, leaf, some, with_roles, worlds};
use crate::publishing::Root;
use crate::query::compile;
use crate::record::Signer;

const TEXTS: [&str; 8] = ["", "a", "ab", "é", "z\"q\\", "a%b", "12345", "B a-É"];
const KEYS: [&str; 4] = ["2026-01-01", "2026-01-02", "ada@example.org", "z\"q\\é"];
/// Scalars by the names that they have in items, and as lists behind an `l`.
const KINDS: [&str; 7] = ["i", "x", "big", "b", "t", "u", "s"];

fn value(kind: &str, dice: &mut Dice) -> Value {
    match kind {
        "i" => dice.pick(&[json!(-3), json!(0), json!(1), json!(2)]).clone(),
        "x" => dice.pick(&[json!(-0.5), json!(0), json!(0.1), json!(2), json!(1e20)]).clone(),
        "big" => dice.pick(&[json!(9_007_199_254_740_993_i64), json!(-5_000_000_000_i64), json!(7)]).clone(),
        "b" => dice.pick(&[json!(true), json!(false)]).clone(),
        "t" => dice.pick(&[json!("2026-01-01T01:00:00.5+01:00"), json!("1999-12-31T23:59:59Z")]).clone(),
        "u" => dice
            .pick(&[
                json!("6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
                json!("0c6e2b9a-7b1d-4a7f-9c57-000000000002"),
            ])
            .clone(),
        _ => json!(*dice.pick(&TEXTS)),
    }
}

/// The value, or null, or nothing.
fn put(members: &mut Map<String, Value>, name: &str, value: Value, dice: &mut Dice) {
    match dice.pick(&[0, 1, 2, 3, 4]) {
        0 => {}
        1 => drop(members.insert(name.into(), Value::Null)),
        _ => drop(members.insert(name.into(), value)),
    }
}

fn several(dice: &mut Dice, mut one: impl FnMut(&mut Dice) -> Value) -> Value {
    let count = *dice.pick(&[0, 1, 1, 2, 3]);
    (0..count)
        .map(|_| if *dice.pick(&[true, false, false, false]) { Value::Null } else { one(dice) })
        .collect()
}

fn object(dice: &mut Dice, depth: usize) -> Value {
    let mut members = Map::new();
    for kind in KINDS {
        let one = value(kind, dice);
        put(&mut members, kind, one, dice);
    }
    let any = dice.pick(&[json!(1), json!("a\u{0}b\\u0000"), json!({"k": [2]})]).clone();
    put(&mut members, "any", any, dice);
    let list = several(dice, |dice| value("s", dice));
    put(&mut members, "ls", list, dice);
    let floats = several(dice, |dice| value("x", dice));
    put(&mut members, "lx", floats, dice);
    if depth < 2 {
        let inner = json!({"i": value("i", dice), "s": value("s", dice)});
        put(&mut members, "o", inner, dice);
        let items = several(dice, |dice| object(dice, depth + 1));
        put(&mut members, "items", items, dice);
        let entries = map(dice, |dice| object(dice, depth + 1));
        put(&mut members, "map", entries, dice);
        let plain = map(dice, |dice| value("x", dice));
        put(&mut members, "plain", plain, dice);
    }
    members.into()
}

fn map(dice: &mut Dice, mut one: impl FnMut(&mut Dice) -> Value) -> Value {
    let count = *dice.pick(&[0, 1, 2, 3]);
    let entries: Map<String, Value> =
        (0..count).map(|_| ((*dice.pick(&KEYS)).to_owned(), one(dice))).collect();
    entries.into()
}

fn document(dice: &mut Dice) -> Value {
    let Value::Object(mut members) = object(dice, 0) else { panic!("an object") };
    for kind in KINDS {
        let list = several(dice, |dice| value(kind, dice));
        put(&mut members, &format!("l{kind}"), list, dice);
    }
    let rows = several(dice, |dice| several(dice, |dice| value("x", dice)));
    put(&mut members, "rows", rows, dice);
    members.into()
}

/// A document that has all of it.
fn whole(depth: usize) -> Value {
    let mut members = json!({
        "i": 1, "x": 0.5, "big": 9_007_199_254_740_993_i64, "b": true, "t": "2026-01-01T00:00:00Z",
        "u": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "s": "a", "any": 1, "ls": ["a"], "lx": [0.5],
    });
    let own = members.as_object_mut().unwrap();
    // Of no one type.
    own.insert("any".into(), if depth == 0 { json!([1, {"k": 1}]) } else { json!({"k": [2]}) });
    if depth < 2 {
        own.insert("o".into(), json!({"i": 1, "s": "a"}));
        own.insert("items".into(), json!([whole(depth + 1), {"any": "text"}]));
        own.insert("map".into(), json!({"2026-01-01": whole(depth + 1), "2026-01-02": {"any": "text"}}));
        own.insert("plain".into(), json!({"2026-01-01": 0.5}));
    }
    members
}

fn first() -> Value {
    let mut members = whole(0);
    let own = members.as_object_mut().unwrap();
    own.remove("any");
    for kind in KINDS {
        own.insert(format!("l{kind}"), json!([own[kind].clone()]));
    }
    own.insert("rows".into(), json!([[0.5]]));
    members
}

fn scalar(kind: &str, dice: &mut Dice) -> Value {
    let mut operators = vec!["eq", "ne", "in", "notIn", "isNull"];
    if kind != "b" {
        operators.extend(["lt", "gte"]);
    }
    if kind == "s" {
        operators.extend(["startsWith", "like", "search"]);
    }
    let operator = *dice.pick(&operators);
    let operand = match operator {
        "isNull" => json!(*dice.pick(&[true, false])),
        "in" | "notIn" => (0..*dice.pick(&[0, 1, 2])).map(|_| value(kind, dice)).collect(),
        "search" => json!(*dice.pick(&["a", "a b", "\"b a\" or q", "-é a*", "É"])),
        "like" => json!(*dice.pick(&["%", "_", "a\\%b", "%a%"])),
        _ => value(kind, dice),
    };
    json!({operator: operand})
}

/// Something about a list, or a map, whose items `item` asks about.
fn quantified(dice: &mut Dice, item: &mut dyn FnMut(&mut Dice) -> Value) -> Value {
    match *dice.pick(&[0, 0, 1, 1, 2, 2, 3, 4]) {
        0 => json!({"some": item(dice)}),
        1 => json!({"every": item(dice)}),
        2 => json!({"none": item(dice)}),
        3 => json!({"isNull": *dice.pick(&[true, false])}),
        _ => {
            let length = *dice.pick(&[0, 1, 2]);
            json!({"length": dice.pick(&[
                json!({"eq": length}), json!({"ne": length}), json!({"gt": length}), json!({"lte": length}),
                json!({"in": [0, length]}), json!({"notIn": [0, length]}), json!({"lt": length, "gte": 1}),
            ]).clone()})
        }
    }
}

/// A condition on an object of that depth, or on a row.
fn condition(dice: &mut Dice, depth: usize, joined: usize) -> Value {
    let mut ways = vec![0, 0, 1, 2];
    if depth < 2 {
        ways.extend([3, 4, 4, 5, 5, 6, 9]);
    }
    if depth == 0 {
        ways.extend([7, 8, 8]);
    }
    if joined < 3 {
        ways.extend([10, 11]);
    }
    match *dice.pick(&ways) {
        0 => {
            let kind = *dice.pick(&KINDS);
            json!({kind: scalar(kind, dice)})
        }
        1 => json!({"ls": quantified(dice, &mut |dice| scalar("s", dice))}),
        2 if depth > 0 => json!({"any": {"isNull": *dice.pick(&[true, false])}}),
        2 => json!({"lx": {"contains": value("x", dice)}}),
        3 => json!({"o": {"i": scalar("i", dice), "s": scalar("s", dice)}}),
        4 => json!({"items": quantified(dice, &mut |dice| condition(dice, depth + 1, joined))}),
        5 => {
            json!({"map": quantified(dice, &mut |dice| entry(dice, &mut |dice| condition(dice, depth + 1, joined)))})
        }
        6 => json!({"plain": quantified(dice, &mut |dice| entry(dice, &mut |dice| scalar("x", dice)))}),
        7 => json!({"rows": {"length": {"gte": *dice.pick(&[0, 1, 2])}}}),
        8 => {
            let kind = *dice.pick(&KINDS);
            json!({format!("l{kind}"): quantified(dice, &mut |dice| scalar(kind, dice))})
        }
        9 => json!({*dice.pick(&["map", "plain"]): {"hasKey": *dice.pick(&KEYS)}}),
        10 => {
            let both = [condition(dice, depth, joined + 1), condition(dice, depth, joined + 1)];
            json!({*dice.pick(&["and", "or"]): both})
        }
        _ => json!({"not": condition(dice, depth, joined + 1)}),
    }
}

fn entry(dice: &mut Dice, value: &mut dyn FnMut(&mut Dice) -> Value) -> Value {
    match *dice.pick(&[0, 1, 2, 3]) {
        0 => json!({"key": *dice.pick(&[
            json!({"eq": "2026-01-01"}), json!({"startsWith": "2026"}), json!({"gt": "2026-01-01"}),
        ].each_ref())}),
        1 => json!({"value": value(dice)}),
        2 => json!({"not": {"key": {"eq": *dice.pick(&KEYS)}}}),
        _ => json!({"or": [{"key": {"eq": *dice.pick(&KEYS)}}, {"value": value(dice)}]}),
    }
}

async fn found(world: &World, condition: &Value) -> Vec<String> {
    let arguments = json!({"first": 1000, "where": condition, "orderBy": [{"_record": {"key": "ASC"}}]});
    let asked =
        field("shopOrder", arguments, vec![field("nodes", json!({}), vec![some("_record", &["key"])])]);
    let answer = world.ask(&with_roles(&["admin"]), Root::List, &asked).await;
    let answer =
        answer.unwrap_or_else(|error| panic!("{condition}: {} {:?}", error.message(), error.cause()));
    let nodes = answer["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["_record"]["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_database_and_memory_agree_on_what_is_in_lists_and_maps() {
    for world in worlds("lists").await {
        let mut dice = Dice(0x5851_f42d_4c95_7f2d);
        let mut effects = vec![effect("web", "000", 1, Some(&first()))];
        effects.extend((1..80).map(|n| effect("web", &format!("{n:03}"), 1, Some(&document(&mut dice)))));
        for batch in effects.chunks(20) {
            world.apply(batch).await;
        }
        let images = images(&world).await;
        let (collection, scope) = world.collection(&with_roles(&["admin"]));
        let (limits, signer, mut told) = (&world.config.graphql, Signer::new(b"secret"), 0);
        for _ in 0..500 {
            let condition = condition(&mut dice, 0, 0);
            let asked = field("shopOrder", json!({"where": condition}), vec![leaf("totalCount")]);
            let query = compile(&collection, Root::List, &asked, limits, &signer);
            let query = query.unwrap_or_else(|error| panic!("{condition}: {}", error.message()));
            let query = scope.apply(query).unwrap();
            let key = |image: &crate::record::Json| {
                image.get("_record").unwrap().get("key").unwrap().as_str().unwrap().to_owned()
            };
            let expected: Vec<String> =
                images.iter().filter(|image| query.get().filter().eval(image)).map(key).collect();
            assert_eq!(found(&world, &condition).await, expected, "{condition}: {:?}", query.get().filter());
            told += usize::from(!expected.is_empty() && expected.len() < images.len());
        }
        assert!(told > 250, "{told} conditions tell rows apart");
    }
}
