//! Random rows and random questions: the database, the in-memory filter, the read plan and the projector must
//! agree.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{World, effect, field, leaf, some, with_roles, worlds};
use crate::policy::Opened;
use crate::publishing::Root;
use crate::query::{Ask, Budget, Collection, Extras, Projector, Selected, compile};
use crate::record::{Json, Signer};
use crate::shape::{Case, Published, Wish, name_types};
use crate::store::advice::Way;
use crate::store::rows::Made;

/// Small and repeatable; nothing secret hangs on it.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = usize::try_from(self.roll(from.len() as u64)).unwrap();
        &from[index]
    }
}

fn texts() -> Vec<Value> {
    [
        "",
        "a",
        "A",
        "ab",
        "a%b",
        "a_b",
        "é",
        "Zz",
        "z\"q\\",
        "a*b[c]?",
        "😀x",
        "x,y",
        ",",
        "A b a",
        "ab É-Ä",
        "Ση東京b",
    ]
    .map(Value::from)
    .into()
}

fn value_for(name: &str, dice: &mut Dice) -> Value {
    match name {
        "i" => dice.pick(&[json!(-3), json!(0), json!(1), json!(2), json!(2_000_000)]).clone(),
        "big" => dice.pick(&[json!(9_007_199_254_740_993_i64), json!(-5_000_000_000_i64), json!(7)]).clone(),
        "x" => dice.pick(&[json!(-0.5), json!(0.0), json!(0.1), json!(2), json!(1e20)]).clone(),
        "b" => json!(dice.roll(2) == 0),
        "t" => dice
            .pick(&[
                json!("2026-01-01T00:00:00Z"),
                json!("2026-01-01T01:00:00.5+01:00"),
                json!("1999-12-31T23:59:59.999999Z"),
            ])
            .clone(),
        "d" => dice.pick(&[json!("2026-01-01"), json!("1999-12-31")]).clone(),
        "li" => json!((0..dice.roll(4)).map(|_| dice.roll(3)).collect::<Vec<_>>()),
        "ls" => json!((0..dice.roll(4)).map(|_| dice.pick(&texts()).clone()).collect::<Vec<_>>()),
        _ => dice.pick(&texts()).clone(),
    }
}

/// Data, but for some that would not make a map alone.
const KEYS: [&str; 6] = ["2026-01-01", "2026-01-02", "ada@example.org", "z\"q\\é", "a\\u0000", "12345"];

const SEARCHES: [&str; 14] = [
    "a",
    "b a",
    "-a",
    "a -b",
    "\"a b\"",
    "\"a b\" or é",
    "a*",
    "b or -a x",
    "A or ZZ -q",
    "é",
    "東京",
    "\"ση 東\"*",
    "-\"ab é\"",
    "σ* -京",
];

const SCALARS: [&str; 7] = ["i", "big", "x", "b", "t", "d", "s"];

fn document(dice: &mut Dice) -> Value {
    let mut members = Map::new();
    for name in SCALARS.iter().chain(&["li", "ls"]) {
        match dice.roll(5) {
            0 => {}
            1 => drop(members.insert((*name).into(), Value::Null)),
            _ => drop(members.insert((*name).into(), value_for(name, dice))),
        }
    }
    match dice.roll(4) {
        0 => {}
        1 => drop(members.insert("o".into(), Value::Null)),
        _ => {
            let mut inner = Map::new();
            for name in ["i", "s"] {
                if dice.roll(3) > 0 {
                    inner.insert(name.into(), value_for(name, dice));
                }
            }
            members.insert("o".into(), inner.into());
        }
    }
    let map = (0..dice.roll(4)).map(|_| {
        let any = dice.pick(&[json!(1), json!("a\0b\\u0000"), json!({"k": 2})]).clone();
        (dice.pick(&KEYS).to_string(), json!({"s": value_for("s", dice), "any": any}))
    });
    members.insert("map".into(), map.collect::<Map<_, _>>().into());
    let items: Vec<Value> = (0..dice.roll(3))
        .map(|n| if n == 0 { json!({"s": value_for("s", dice)}) } else { json!({"n": n, "s": null}) })
        .collect();
    members.insert("items".into(), items.into());
    members.into()
}

pub(super) fn condition(dice: &mut Dice, depth: u64) -> Value {
    let nested =
        |dice: &mut Dice| -> Vec<Value> { (0..=dice.roll(2)).map(|_| condition(dice, depth + 1)).collect() };
    match dice.roll(if depth > 2 { 5 } else { 8 }) {
        5 => json!({"and": nested(dice)}),
        6 => json!({"or": nested(dice)}),
        7 => json!({"not": condition(dice, depth + 1)}),
        0 if dice.roll(2) == 0 => json!({"_record": envelope_condition(dice)}),
        0 => json!({"o": {*dice.pick(&["i", "s"]): {"isNull": dice.roll(2) == 0}}}),
        1 if dice.roll(3) == 0 => json!({"map": {"hasKey": *dice.pick(&KEYS)}}),
        1 if dice.roll(2) == 0 => json!({"ls": {"contains": value_for("s", dice)}}),
        1 => json!({"li": {"contains": dice.roll(3)}}),
        2 => {
            let text = value_for("s", dice);
            let pattern = text.as_str().unwrap().replace('\\', "\\\\");
            let shapes = [
                format!("%{pattern}"),
                format!("{pattern}%"),
                "_".to_owned(),
                "a\\%b".to_owned(),
                "%[%".to_owned(),
            ];
            if dice.roll(3) == 0 {
                json!({"s": {"search": *dice.pick(&SEARCHES)}})
            } else if dice.roll(3) == 0 {
                json!({"s": {"startsWith": text}})
            } else {
                json!({"s": {"like": dice.pick(&shapes)}})
            }
        }
        _ => {
            let name = *dice.pick(&SCALARS);
            let mut operators = vec!["eq", "ne", "in", "notIn", "isNull"];
            if name != "b" {
                operators.extend(["lt", "lte", "gt", "gte"]);
            }
            let operator = *dice.pick(&operators);
            let operand = match operator {
                "isNull" => json!(dice.roll(2) == 0),
                "in" | "notIn" => (0..dice.roll(3)).map(|_| value_for(name, dice)).collect(),
                _ => value_for(name, dice),
            };
            json!({name: {operator: operand}})
        }
    }
}

fn envelope_condition(dice: &mut Dice) -> Value {
    let operator = *dice.pick(&["lt", "gte", "eq"]);
    match dice.roll(4) {
        0 => json!({"occurredAt": {operator: *dice.pick(&["1969-12-31T23:59:59Z", "1970-01-01T00:00:03Z"])}}),
        1 => json!({"purposes": {"contains": *dice.pick(&["care", "ads", "none"])}}),
        2 => json!({"purposes": {"isNull": dice.roll(2) == 0}}),
        _ => json!({"occurredAt": {"isNull": dice.roll(2) == 0}}),
    }
}

fn everything() -> Vec<Selected> {
    let mut all: Vec<Selected> = SCALARS.iter().chain(&["li", "ls"]).map(|name| leaf(name)).collect();
    let mut again = leaf("s");
    again.response_key = "again".into();
    all.push(again);
    all.push(some("o", &["s", "i", "__typename"]));
    all.push(some("items", &["s", "n", "__typename"]));
    let value = || some("value", &["s", "any", "__typename"]);
    all.push(field("map", json!({}), vec![leaf("key"), value(), leaf("__typename")]));
    for (name, arguments) in
        [("one", json!({"keys": ["2026-01-01", "z\"q\\é"]})), ("first", json!({"first": 1}))]
    {
        let again = field("map", arguments, vec![value(), leaf("key")]);
        all.push(Selected { response_key: name.into(), ..again });
    }
    let columns = ["id", "key", "revision", "sourceName", "author", "occurredAt", "purposes", "rescued"];
    all.push(some("_record", &columns));
    all.push(leaf("_rest"));
    all.push(leaf("__typename"));
    all
}

/// The images of all rows, in the order of their keys.
pub(super) async fn images(world: &World) -> Vec<Json> {
    let admin = with_roles(&["admin"]);
    let (collection, scope) = world.collection(&admin);
    let asked = field("shopOrder", json!({}), vec![leaf("op")]);
    let limits = &world.config.graphql;
    let query = compile(&collection, Root::Changes, &asked, limits, &Signer::new(b"secret")).unwrap();
    let query = scope.apply(query).unwrap();
    let mut images = Vec::new();
    for tailed in world.store.tail(collection.id, 0, 10_000, usize::MAX).await.unwrap().0 {
        if let Opened::Upsert(change) = query.open(tailed.change, query.get().filter(), Default::default()) {
            images.push((change.key, Json::clone(change.after.as_deref().unwrap())));
        }
    }
    images.sort_by(|a, b| a.0.cmp(&b.0));
    images.into_iter().map(|(_, image)| image).collect()
}

pub(super) async fn fill(world: &World, dice: &mut Dice, rows: usize) {
    let documents: Vec<Value> = (0..rows).map(|_| document(dice)).collect();
    let effects: Vec<_> = documents
        .iter()
        .enumerate()
        .map(|(n, document)| {
            let mut effect = effect("web", &format!("{n:04}"), 1, Some(document));
            let draft = &mut Arc::make_mut(&mut effect.record).draft;
            draft.occurred_at = [None, Some(-1), Some(3_000_000)].into_iter().nth(n % 3).flatten();
            draft.envelope.purposes = ["care", "ads"].into_iter().take(n % 4).map(str::to_owned).collect();
            effect
        })
        .collect();
    for batch in effects.chunks(40) {
        world.apply(batch).await;
    }
}

#[tokio::test]
async fn the_database_and_memory_agree_on_conditions_and_values() {
    for world in worlds("differential").await {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        fill(&world, &mut dice, 120).await;
        let admin = with_roles(&["admin"]);
        let (collection, scope) = world.collection(&admin);
        let images = images(&world).await;
        assert_eq!(images.len(), 120);
        let signer = Signer::new(b"secret");
        let extras = Extras { rest: true, rescued: true };
        let projector = Projector { rules: scope.as_ref(), extras, signer: &signer, bytes_max: usize::MAX };
        let named = with_enums(&collection);
        let renamed = with_names(&collection);
        for round in 0..600 {
            if round == 200 {
                index_words(&world, &collection, "s").await;
            }
            let is_named = (400..500).contains(&round);
            let collection = match round {
                500.. => &renamed,
                400.. => &named,
                _ => &collection,
            };
            let arguments = {
                let filter = match is_named {
                    true => named_condition(collection, &mut dice),
                    false => condition(&mut dice, 0),
                };
                json!({"first": 1000, "where": filter, "orderBy": [{"_record": {"key": "ASC"}}]})
            };
            let mut selected = everything();
            if is_named {
                selected.extend(variants(&collection.shape));
            }
            let asked = field("shopOrder", arguments.clone(), vec![field("nodes", json!({}), selected)]);
            let query = compile(collection, Root::List, &asked, &world.config.graphql, &signer).unwrap();
            let query = scope.apply(query).unwrap();
            let Ask::List(list) = query.get().ask() else { panic!("a list") };
            let crate::query::ConnectionField::Nodes(nodes) = &list.fields[0].what else { panic!("nodes") };
            let mut expected = b"{\"nodes\":[".to_vec();
            for (index, image) in images.iter().filter(|image| query.get().filter().eval(image)).enumerate() {
                if index > 0 {
                    expected.push(b',');
                }
                projector.row(nodes, image, &mut expected);
            }
            expected.extend_from_slice(b"]}");
            let mut found = Vec::new();
            world
                .publishing
                .read(
                    &(collection.clone(), scope.clone()),
                    &[],
                    Root::List,
                    &asked,
                    &Budget::new(1 << 30),
                    &mut found,
                )
                .await
                .unwrap();
            let (found, expected) = (String::from_utf8(found).unwrap(), String::from_utf8(expected).unwrap());
            assert_eq!(found, expected, "{arguments}");
        }
    }
}

/// Has searches of a field led by an index from now on.
async fn index_words(world: &World, collection: &Collection, name: &str) {
    let store = &world.store;
    let words = collection.shape.find(&[name]).map(|field| field.id);
    store.propose_index(collection.id, &Way { words, ..Way::default() }, "a test").await.unwrap();
    let advice = store.advice(Some(collection.id)).await.unwrap().remove(0);
    let mut maker = store.index_maker(10_000).await.unwrap().unwrap();
    assert_eq!(maker.make(&advice, collection).await.unwrap(), Made::Yes);
    maker.end().await;
    store.know_indexes().await.unwrap();
}

/// Other names for some fields; what is asked by the old ones goes on to be answered.
fn with_names(collection: &Collection) -> Arc<Collection> {
    let mut shape = Published::clone(&collection.shape);
    for (path, name) in [("/s", "text"), ("/li", "s2"), ("/o", "nested"), ("/o/s", "i2"), ("/items/*/s", "v")]
    {
        shape.rename(path, name, &Default::default()).unwrap();
    }
    Arc::new(Collection { shape: Arc::new(shape), ..collection.clone() })
}

/// The collection as it is when a steward has accepted some of the texts: the others have no name.
pub(super) fn with_enums(collection: &Collection) -> Arc<Collection> {
    let mut shape = Published::clone(&collection.shape);
    let accepted: Vec<String> =
        texts().iter().filter_map(Value::as_str).map(str::to_owned).take(10).collect();
    for path in ["/s", "/ls", "/o/s", "/items/*/s"] {
        let wish = Wish { values: Some(accepted.clone()), ..Wish::default() };
        shape.at_path_mut(path).unwrap().decide(&wish);
    }
    for (path, discriminator) in [("", "/s"), ("/o", "/s"), ("/items", "/items/*/s")] {
        let members: Vec<u32> = shape.members_at(path).unwrap().iter().map(|field| field.id).collect();
        let seen = accepted.iter().enumerate().skip(2);
        let seen =
            seen.map(|(n, text)| (text.clone(), members.iter().copied().skip(n % 2).collect())).collect();
        shape.accept_union(path, discriminator, &seen).unwrap();
    }
    name_types(&mut shape, &collection.type_name, &|_| false);
    Arc::new(Collection { shape: Arc::new(shape), ..collection.clone() })
}

/// What can be selected of the unions: of all variants but the last.
fn variants(shape: &Published) -> Vec<Selected> {
    let of = |path: &str| {
        let (union, members) = (shape.union_at(path).unwrap(), shape.members_at(path).unwrap());
        let count = union.cases().count() - 1;
        let case = |case: &Case| {
            let scalars =
                members.iter().filter(|one| case.fields.contains(&one.id) && one.children().is_empty());
            let all = scalars.map(|one| leaf(&one.name)).chain([leaf("__typename")]);
            field(&case.type_name, json!({}), all.collect())
        };
        field(&union.name, json!({}), union.cases().take(count).map(case).collect())
    };
    ["", "/o", "/items"].map(of).into()
}

/// A condition on a field that is an enum now.
fn named_condition(collection: &Collection, dice: &mut Dice) -> Value {
    let field = collection.shape.find(&["s"]).unwrap();
    let names: Vec<Value> = field.enumeration().unwrap().values().map(|named| json!(named.name)).collect();
    let some: Vec<Value> = (0..dice.roll(4)).map(|_| dice.pick(&names).clone()).collect();
    match dice.roll(6) {
        0 => json!({"s": {"ne": dice.pick(&names)}}),
        1 => json!({"s": {"in": some}}),
        2 => json!({"o": {"s": {"notIn": some}}}),
        3 => json!({"ls": {"contains": dice.pick(&names)}}),
        4 => json!({"s": {"isNull": dice.roll(2) == 0}}),
        _ => json!({"s": {"eq": dice.pick(&names)}}),
    }
}

#[tokio::test]
async fn pages_forward_and_backward_are_the_whole_list() {
    for world in worlds("pages").await {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        fill(&world, &mut dice, 60).await;
        let admin = with_roles(&["admin"]);
        for _ in 0..20 {
            let directions = ["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"];
            let mut order: Vec<Value> = Vec::new();
            for _ in 0..dice.roll(4) {
                order.push(json!({*dice.pick(&SCALARS): *dice.pick(&directions)}));
            }
            if dice.roll(2) == 0 {
                order.push(json!({"o": {"i": "DESC"}}));
            }
            let page = async |arguments: Value| {
                let mut all = json!({"orderBy": order, "where": {"not": {"i": {"eq": 2}}}});
                all.as_object_mut().unwrap().extend(arguments.as_object().unwrap().clone());
                let edges = field(
                    "edges",
                    json!({}),
                    vec![leaf("cursor"), field("node", json!({}), vec![some("_record", &["key"])])],
                );
                let info = some(
                    "pageInfo",
                    &["hasNextPage", "hasPreviousPage", "startCursor", "endCursor", "cursor"],
                );
                let asked = field("shopOrder", all, vec![edges, info, leaf("totalCount")]);
                world.ask(&admin, Root::List, &asked).await.unwrap()
            };
            let keys = |page: &Value| -> Vec<String> {
                page["edges"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|edge| edge["node"]["_record"]["key"].to_string())
                    .collect()
            };
            let whole = page(json!({"first": 1000})).await;
            let all = keys(&whole);
            assert_eq!(whole["totalCount"], json!(all.len()));
            assert_eq!(whole["pageInfo"]["hasNextPage"], json!(false));
            let (mut forward, mut after) = (Vec::new(), Value::Null);
            loop {
                let page = page(json!({"first": 7, "after": after})).await;
                forward.extend(keys(&page));
                assert_eq!(page["edges"][0]["cursor"], page["pageInfo"]["startCursor"]);
                after = page["pageInfo"]["endCursor"].clone();
                if page["pageInfo"]["hasNextPage"] == json!(false) {
                    break;
                }
            }
            assert_eq!(forward, all, "{order:?}");
            let (mut backward, mut before) = (Vec::new(), Value::Null);
            loop {
                let page = page(json!({"last": 7, "before": before})).await;
                backward.splice(0..0, keys(&page));
                before = page["pageInfo"]["startCursor"].clone();
                if page["pageInfo"]["hasPreviousPage"] == json!(false) {
                    break;
                }
            }
            assert_eq!(backward, all, "{order:?}");
        }
    }
}

#[tokio::test]
async fn conditions_may_be_as_long_as_arguments() {
    for world in worlds("long").await {
        for n in 0..3 {
            let order = json!({"n": n, "x": 0.5, "s": format!("s{n}"), "tags": [format!("t{n}"), "all"]});
            world.apply(&[effect("web", &n.to_string(), 1, Some(&order))]).await;
        }
        let admin = with_roles(&["admin"]);
        let found = async |condition: &Value| {
            let arguments = json!({"where": condition, "orderBy": [{"n": "ASC"}]});
            let asked = field("shopOrder", arguments, vec![some("nodes", &["n"]), leaf("totalCount")]);
            let answer = world.ask(&admin, Root::List, &asked).await.unwrap();
            let nodes = answer["nodes"].as_array().unwrap();
            assert_eq!(answer["totalCount"], json!(nodes.len()));
            nodes.iter().map(|node| node["n"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        let many = |one: &dyn Fn(u64) -> Value| (1..1_999).map(one).collect::<Vec<_>>();
        let equal = json!({"or": many(&|n| json!({"n": {"eq": n}}))});
        assert_eq!(found(&equal).await, [1, 2]);
        assert_eq!(found(&json!({ "not": equal })).await, [0]);
        let contains = json!({"or": many(&|n| json!({"tags": {"contains": format!("t{n}")}}))});
        assert_eq!(found(&contains).await, [1, 2]);
        // These cannot be folded: each is a condition of its own.
        let begin = json!({"or": many(&|n| json!({"s": {"startsWith": format!("s{n}")}}))});
        assert_eq!(found(&begin).await, [1, 2]);
        assert_eq!(found(&json!({ "not": begin })).await, [0]);
        let differ = json!({"and": many(&|n| json!({"not": {"s": {"eq": format!("s{n}")}}}))});
        assert_eq!(found(&differ).await, [0]);
        let mixed = json!({"or": [
            {"n": {"eq": 0}}, {"s": {"eq": "s2"}}, {"n": {"in": [7, 8]}}, {"x": {"eq": 1}},
            {"tags": {"contains": "t0"}}, {"tags": {"contains": "none"}}, {"n": {"gt": 99}},
        ]});
        assert_eq!(found(&mixed).await, [0, 2]);
    }
}
