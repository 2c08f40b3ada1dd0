//! Random positions in random areas, and random JSON with random questions about what is at which path: the databases
//! and memory must agree, and what they say of a few rows is written down by hand.

use std::sync::Arc;

use serde_json::{Value, json};

use super::differential::{Dice, images};
use super::{World, effect_exact, field, leaf, some, with_roles, worlds};
use crate::publishing::{Root, Visible};
use crate::query::{Budget, Collection, compile};
use crate::record::{Json, Signer};
use crate::shape::{Kind, Published, Scalar};

async fn fill(world: &World, from: usize, documents: &[String]) {
    let effects: Vec<_> = documents
        .iter()
        .enumerate()
        .map(|(n, text)| {
            let uid = format!("{:04}", from + n);
            effect_exact(("order", "web", &uid), 1, Some(Json::try_from(text.as_str()).unwrap()))
        })
        .collect();
    world.apply(&effects).await;
}

/// The keys of the rows with a condition: as the database finds them, which must be as memory does.
async fn found(world: &World, from: &Visible, images: &[Json], condition: &Value) -> Vec<String> {
    let arguments = json!({"first": 1000, "where": condition, "orderBy": [{"_record": {"key": "ASC"}}]});
    let nodes = field("nodes", json!({}), vec![some("_record", &["sourceUid"])]);
    let asked = field("shopOrder", arguments, vec![nodes]);
    let signer = Signer::new(b"secret");
    let query = compile(&from.0, Root::List, &asked, &world.config.graphql, &signer).unwrap();
    let query = from.1.apply(query).unwrap();
    let uid =
        |image: &Json| image.get("_record").unwrap().get("sourceUid").unwrap().as_str().unwrap().to_owned();
    let expected: Vec<String> =
        images.iter().filter(|image| query.get().filter().eval(image)).map(uid).collect();
    let mut out = Vec::new();
    let budget = Budget::new(1 << 30);
    world.publishing.read(from, &[], Root::List, &asked, &budget, &mut out).await.unwrap();
    let answer: Value = serde_json::from_slice(&out).unwrap();
    let found: Vec<String> = answer["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["_record"]["sourceUid"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(found, expected, "{condition}");
    found
}

/// Lists that are positions, and some that are none though they may stand where some do.
const POSITIONS: [&str; 16] = [
    "[13.4,52.5]",
    "[13.5,52.25,34.5]",
    "[179.9,-17]",
    "[-179.9,-17.25]",
    "[180,90]",
    "[-180,-90]",
    "[0,0]",
    "[-0.0,5e-324]",
    "[1e-200,-1e-200]",
    "[]",
    "[13.4]",
    "[null,52.5]",
    "[13.4,null]",
    "[200,10]",
    "[10,-90.1]",
    "[1e300,1e300]",
];

fn placed(dice: &mut Dice) -> String {
    let (list, inner) = (*dice.pick(&POSITIONS), *dice.pick(&POSITIONS));
    match dice.pick(&[0, 1, 2, 3, 4, 5]) {
        0 => format!(r#"{{"items":[{{"pt":{inner}}},null,{{"pt":null}}]}}"#),
        1 => format!(r#"{{"pt":null,"o":{{"pt":{list}}},"items":[]}}"#),
        2 => format!(r#"{{"pt":["x",{},1]}}"#, dice.pick(&[1, 2])),
        _ => format!(r#"{{"pt":{list},"items":[{{"pt":{inner}}}]}}"#),
    }
}

/// Distances are such that no position is at a border: the last digit of a sine may differ from library to library.
fn area(dice: &mut Dice) -> Value {
    let x = *dice.pick(&[-180.0, -179.5, -1.0, -0.0, 13.0, 13.4, 14.0, 179.0, 180.0]);
    let y = *dice.pick(&[-90.0, -17.25, -1.0, 0.0, 5e-324, 52.25, 52.5, 89.0]);
    if *dice.pick(&[true, false]) {
        let meters = *dice.pick(&[0.0, 0.5, 30_000.0, 1e6, 10.5e6, 19.9e6, 1e9, 1e308]);
        return json!({"near": {"longitude": x, "latitude": y, "meters": meters}});
    }
    let east = *dice.pick(&[-179.0, 0.0, 13.4, 13.75, 180.0]);
    let north = *dice.pick(&[0.0, 52.5, 53.0, 90.0]);
    json!({"within": {"west": x, "south": f64::min(y, north), "east": east, "north": north}})
}

/// The collection as it is when its lists of numbers have been seen to be positions.
fn with_points(from: &Visible) -> Visible {
    let mut shape = Published::clone(&from.0.shape);
    for path in ["/pt", "/o/pt", "/items/*/pt"] {
        shape.at_path_mut(path).unwrap().tags.insert("geo.point".into());
    }
    let points = Collection { shape: Arc::new(shape), ..Collection::clone(&from.0) };
    (Arc::new(points), from.1.clone())
}

#[tokio::test]
async fn the_databases_and_memory_agree_on_positions_in_areas() {
    for world in worlds("areas").await {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let first = r#"{"pt":[0.5,0.5],"o":{"pt":[0.5,0.5]},"items":[{"pt":[0.5,0.5]}]}"#;
        fill(&world, 0, &[first.to_owned()]).await;
        let documents: Vec<String> = (0..119).map(|_| placed(&mut dice)).collect();
        for (n, batch) in documents.chunks(40).enumerate() {
            fill(&world, 1 + n * 40, batch).await;
        }
        let admin = with_roles(&["admin"]);
        let from = with_points(&world.collection(&admin));
        let images = images(&world).await;
        assert_eq!(images.len(), 120);
        let mut some = 0;
        for _ in 0..300 {
            let area = area(&mut dice);
            let condition = match dice.pick(&[0, 1, 2, 3, 4]) {
                0 => json!({"items": {"some": {"pt": area}}}),
                1 => json!({"not": {"pt": area}}),
                2 => json!({"or": [{"o": {"pt": area}}, {"items": {"every": {"pt": area}}}]}),
                _ => json!({"pt": area}),
            };
            some += usize::from(!found(&world, &from, &images, &condition).await.is_empty());
        }
        assert!(some > 100, "{some} of 300 conditions have found any");
    }
}

/// What has no type of its own: numbers that no float is near, texts that one database or the other reads otherwise.
const VALUES: [&str; 32] = [
    "1",
    "-0.0",
    "0",
    "2.5",
    "9007199254740992",
    "9007199254740993",
    "1e400",
    "-1e400",
    "1e-400",
    "1e99999",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "5e-324",
    "2e-324",
    // Just not half way to the least float, and just beyond, in as many digits as are looked at.
    "2470328229206232720882843964341106861825299013071623822127928412503377536351043759326499181808179961e-423",
    "2470328229206232720882843964341106861825299013071623822127928412503377536351043759326499181808179962e-423",
    r#""""#,
    r#""a""#,
    r#""a\u0000b""#,
    r#""a\u0001b""#,
    r#""\u0000""#,
    r#""\u0001""#,
    r#""\\u0000""#,
    r#""a%b""#,
    r#""é😀""#,
    r#""1""#,
    "true",
    "false",
    "null",
    "[]",
    "{}",
    r#"[1,[2,"a"],null]"#,
];

const KEYS: [&str; 7] = ["a", "a.b", "it's", "q\"\\\\", "é", "", "0"];

fn json_text(dice: &mut Dice, depth: usize) -> String {
    let kind = if depth == 0 { *dice.pick(&[0, 1, 2, 3]) } else { *dice.pick(&[0, 1, 3, 3, 3]) };
    match kind {
        0 => {
            let count = *dice.pick(&[1, 2, 3]);
            // Duplicates are no members of a document that has been conformed.
            let first = *dice.pick(&[0, 1, 2, 3, 4]);
            let members = KEYS.iter().skip(first).take(count).map(|key| {
                let key = Value::from(key.replace("\\\\", "\\"));
                format!("{key}:{}", if depth > 2 { "1".to_owned() } else { json_text(dice, depth + 1) })
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        1 => {
            let count = *dice.pick(&[1, 2]);
            let items =
                (0..count).map(|_| if depth > 2 { "1".to_owned() } else { json_text(dice, depth + 1) });
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        _ if *dice.pick(&[true, false, false, false, false, false]) => "7".repeat(101),
        _ => (*dice.pick(&VALUES)).to_owned(),
    }
}

fn path(dice: &mut Dice) -> String {
    let mut path = "$".to_owned();
    for _ in 0..*dice.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        path.push_str(&match dice.pick(&[0, 1, 2, 3]) {
            0 => format!("[{}]", dice.pick(&[0, 1])),
            1 => format!(".{}", dice.pick(&["a", "é"])),
            2 => format!("[\"{}\"]", dice.pick(&KEYS).replace('"', "\\\"")),
            _ => format!("['{}']", dice.pick(&KEYS).replace('\'', "\\'")),
        });
    }
    path
}

fn test(dice: &mut Dice) -> Value {
    let texts = ["", "a", "a\u{1}b", "\u{1}", "\\u0000", "a%b", "é😀", "1", "b"];
    let numbers =
        [json!(0), json!(1), json!(-0.0), json!(2.5), json!(9_007_199_254_740_992_i64), json!(1e308)];
    let scalar = |dice: &mut Dice| match dice.pick(&[0, 1, 2]) {
        0 => json!(*dice.pick(&texts)),
        1 => dice.pick(&numbers).clone(),
        _ => json!(*dice.pick(&[true, false])),
    };
    match dice.pick(&[0, 1, 2, 3, 4, 5]) {
        0 => json!({*dice.pick(&["eq", "ne"]): scalar(dice)}),
        1 => {
            let count = *dice.pick(&[0, 1, 3, 5]);
            let all: Vec<Value> = (0..count).map(|_| scalar(dice)).collect();
            json!({*dice.pick(&["in", "notIn"]): all})
        }
        2 => {
            let texts = texts.map(|text| text.replace('\u{1}', "\u{2}"));
            let with = if *dice.pick(&[true, false]) {
                json!(dice.pick(&texts))
            } else {
                dice.pick(&numbers).clone()
            };
            json!({*dice.pick(&["lt", "lte", "gt", "gte"]): with})
        }
        3 => json!({"like": *dice.pick(&["%", "_", "a_b", "a%", "%b", "%\u{1}%", "a\\%b", "__", "\u{1}_%"])}),
        4 => json!({"startsWith": *dice.pick(&["", "a", "a\u{1}", "é", "\u{1}", "ab"])}),
        _ => json!({"exists": *dice.pick(&[true, false])}),
    }
}

#[tokio::test]
async fn the_databases_and_memory_agree_on_what_is_at_paths() {
    for world in worlds("paths").await {
        let mut dice = Dice(0x2545_f491_4f6c_dd1d);
        let mut documents: Vec<String> = (0..198)
            .map(|_| {
                format!(r#"{{"j":{},"o":{{"j":{}}}}}"#, json_text(&mut dice, 0), json_text(&mut dice, 1))
            })
            .collect();
        // Of several kinds at once, so that neither has a type of its own.
        documents.insert(0, r#"{"j":{"a":1},"o":{"j":[1]}}"#.to_owned());
        documents.insert(1, r#"{"j":1,"o":{"j":{"a":1}}}"#.to_owned());
        fill(&world, 0, &documents).await;
        let admin = with_roles(&["admin"]);
        let from = world.collection(&admin);
        for path in [vec!["j"], vec!["o", "j"]] {
            assert_eq!(from.0.shape.find(&path).unwrap().kind, Kind::Scalar(Scalar::Json));
        }
        let images = images(&world).await;
        assert_eq!(images.len(), 200);
        let mut some = 0;
        for _ in 0..1_500 {
            let mut one = test(&mut dice);
            one["at"] = json!(path(&mut dice));
            let condition = match dice.pick(&[0, 1, 2, 3]) {
                0 => json!({"not": {"j": {"path": one}}}),
                1 => json!({"o": {"j": {"path": [one, {"at": path(&mut dice), "exists": true}]}}}),
                2 => json!({"or": [{"j": {"path": [one]}}, {"j": {"path": [{"at": "$.a", "eq": "1"}]}}]}),
                _ => json!({"j": {"path": [one], "isNull": false}}),
            };
            some += usize::from(!found(&world, &from, &images, &condition).await.is_empty());
        }
        assert!(some > 500, "{some} of 1500 conditions have found any");
    }
}

#[tokio::test]
async fn what_is_at_paths_is_compared_as_it_is_typed() {
    for world in worlds("typed").await {
        let values = [
            "{\"a\":[{\"b\":2}]}",
            "{\"a\":[{\"b\":\"2\"}]}",
            "{\"a\":[{\"b\":null}]}",
            "{\"a\":1e400}",
            "3",
            "\"x\"",
        ];
        let documents: Vec<String> = values.iter().map(|value| format!("{{\"j\":{value}}}")).collect();
        fill(&world, 0, &documents).await;
        let from = world.collection(&with_roles(&["admin"]));
        let images = images(&world).await;
        for (one, expected) in [
            (json!({"at": "$.a[0].b", "eq": 2}), &["0000"][..]),
            (json!({"at": "$.a[0].b", "eq": "2"}), &["0001"]),
            (json!({"at": "$.a[0].b", "ne": 2}), &["0001"]),
            (json!({"at": "$.a[0].b", "notIn": [2, "2"]}), &[]),
            (json!({"at": "$.a[0].b", "in": [2, "2", true]}), &["0000", "0001"]),
            (json!({"at": "$.a[0].b", "gte": 2}), &["0000"]),
            (json!({"at": "$.a", "exists": true}), &["0000", "0001", "0002", "0003"]),
            (json!({"at": "$.a[0].b", "exists": false}), &["0002", "0003", "0004", "0005"]),
            (json!({"at": "$.a", "gt": 1}), &[]),
            (json!({"at": "$", "gt": 2}), &["0004"]),
            (json!({"at": "$", "like": "_"}), &["0005"]),
        ] {
            let condition = json!({"j": {"path": [one]}});
            assert_eq!(found(&world, &from, &images, &condition).await, expected, "{condition}");
        }
        for (one, what) in [
            (json!({"at": "$..b", "eq": 1}), "at character 3"),
            (json!({"eq": 1}), "lacks `at`"),
            (json!({"at": "$", "eq": [1]}), "longer path"),
            (json!({"at": "$", "eq": null}), "null"),
            (json!({"at": "$", "lt": true}), "no order"),
            (json!({"at": format!("$.{}", "a".repeat(5_000)), "eq": 1}), "pattern_bytes_max"),
            (json!({"at": format!("${}", "[0]".repeat(65)), "eq": 1}), "nesting_max"),
        ] {
            let asked =
                field("shopOrder", json!({"where": {"j": {"path": [one]}}}), vec![leaf("totalCount")]);
            let refused = world.ask(&with_roles(&["admin"]), Root::List, &asked).await.unwrap_err();
            assert!(refused.message().contains(what), "{asked:?}: {refused}");
        }
    }
}
