//! Groups by parts of values: both databases and calendar and floor in Rust must agree, at the edges of what there is.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::differential::{Dice, images};
use super::{World, effect, field, leaf, some, with_roles, worlds};
use crate::error::Code;
use crate::publishing::Root;
use crate::record::Json;

const UNITS: [&str; 7] = ["YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE"];

const DAYS: [&str; 12] = [
    "0001-01-01",
    "0001-01-07",
    "0004-02-29",
    "1899-12-31",
    "1900-03-01",
    "1969-12-31",
    "1970-01-01",
    "2023-12-31",
    "2024-02-29",
    "2024-12-30",
    "2026-11-29",
    "9999-12-31",
];

fn documents(dice: &mut Dice) -> Vec<Value> {
    let numbers = [i64::MIN, i64::MIN + 3, -5_000_000_000, -11, -10, -9, -1, 0, 1, 9, 10, i64::MAX];
    let small = [i32::MIN, i32::MIN + 7, -100, -7, -1, 0, 6, 7, 8, i32::MAX];
    let floats = [-1.7e308, -1e300, -12.5, -10.0, -0.1, -1e-300, 0.0, 0.3, 9.75, 10.0, 1e-320, 3e20, 1.7e308];
    let times = ["00:00:00Z", "23:59:59.999999Z", "12:34:56.5Z", "01:02:03.000001Z"];
    let document = |dice: &mut Dice| {
        let day = *dice.pick(&DAYS);
        let some =
            |value: Value, dice: &mut Dice| if *dice.pick(&[0, 1, 2, 3]) == 0 { json!(null) } else { value };
        let (time, big, i, x) =
            (*dice.pick(&times), *dice.pick(&numbers), *dice.pick(&small), *dice.pick(&floats));
        json!({
            "t": some(json!(format!("{day}T{time}")), dice),
            "d": some(json!(*dice.pick(&DAYS)), dice),
            "big": some(json!(big), dice),
            "i": some(json!(i), dice),
            "x": some(json!(x), dice),
        })
    };
    (0..200).map(|_| document(dice)).collect()
}

async fn fill(world: &World) {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let effects: Vec<_> = documents(&mut dice)
        .iter()
        .enumerate()
        .map(|(n, document)| effect("web", &format!("{n:04}"), 1, Some(document)))
        .collect();
    world.apply(&effects).await;
}

/// A day of the calendar that was always that of today: year, month and day.
type Day = (i64, i64, i64);

fn day(text: &str) -> Day {
    let number = |range: std::ops::Range<usize>| text.get(range).unwrap().parse().unwrap();
    (number(0..4), number(5..7), number(8..10))
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The first day of all, 1 January of the year 1, was a Monday.
fn is_monday((year, month, day): Day) -> bool {
    let before = year - 1;
    let of_year: i64 = (1..month).map(|month| month_days(year, month)).sum();
    (before * 365 + before / 4 - before / 100 + before / 400 + of_year + day - 1) % 7 == 0
}

fn yesterday((year, month, day): Day) -> Day {
    match (month, day) {
        (1, 1) => (year - 1, 12, 31),
        (_, 1) => (year, month - 1, month_days(year, month - 1)),
        _ => (year, month, day - 1),
    }
}

/// The beginning of the unit, by the calendar.
fn truncated(text: &str, unit: &str) -> String {
    let mut begin = day(text);
    match unit {
        "YEAR" => begin = (begin.0, 1, 1),
        "QUARTER" => begin = (begin.0, (begin.1 - 1) / 3 * 3 + 1, 1),
        "MONTH" => begin.2 = 1,
        "WEEK" => {
            while !is_monday(begin) {
                begin = yesterday(begin);
            }
        }
        _ => {}
    }
    let begin = format!("{:04}-{:02}-{:02}", begin.0, begin.1, begin.2);
    match (text.get(10..), unit) {
        (None | Some(""), _) => begin,
        (Some(time), "HOUR") => format!("{begin}{}:00:00.000000Z", time.get(..3).unwrap()),
        (Some(time), "MINUTE") => format!("{begin}{}:00.000000Z", time.get(..6).unwrap()),
        _ => format!("{begin}T00:00:00.000000Z"),
    }
}

fn whole(value: i128, width: i128, least: i128) -> i128 {
    (value.div_euclid(width) * width).max(least)
}

fn float(value: f64, width: f64) -> f64 {
    match value.abs() {
        near if near < width => {
            if value < 0.0 {
                -width
            } else {
                0.0
            }
        }
        far if far >= width * 9_007_199_254_740_992.0 => value,
        _ => (value / width).floor() * width,
    }
}

/// What the images have of a field, cut by `part`, with the numbers of rows.
fn expected(images: &[Json], name: &str, part: &dyn Fn(&Json) -> Value) -> BTreeMap<String, i64> {
    let mut groups = BTreeMap::new();
    for image in images {
        let value = image.get(name).filter(|value| !matches!(value, Json::Null));
        *groups.entry(value.map_or(Value::Null, part).to_string()).or_default() += 1;
    }
    groups
}

async fn check(world: &World, name: &str, argument: Value, part: &dyn Fn(&Json) -> Value, images: &[Json]) {
    let admin = with_roles(&["admin"]);
    let mut item = argument.clone();
    item["field"] = json!(name);
    let mut member = field(name, argument.clone(), Vec::new());
    member.response_key = "part".into();
    let group = field("group", json!({}), vec![member, leaf(name)]);
    let asked = field("shopOrderAggregate", json!({"groupByPart": [item]}), vec![leaf("count"), group]);
    let found = world.ask(&admin, Root::Aggregate, &asked).await.unwrap();
    let mut groups = BTreeMap::new();
    for one in found.as_array().unwrap() {
        // Who is grouped by a part has no value.
        assert_eq!(one["group"][name], json!(null));
        let again = groups.insert(one["group"]["part"].to_string(), one["count"].as_i64().unwrap());
        assert_eq!(again, None, "one group each: {found}");
    }
    assert_eq!(groups, expected(images, name, part), "{name} by {argument}");
}

fn number(value: &Json) -> i128 {
    match value {
        Json::Number(text) => text.parse().unwrap(),
        other => other.as_str().unwrap().parse().unwrap(),
    }
}

#[tokio::test]
async fn parts_are_those_of_the_calendar_and_of_arithmetic() {
    for world in worlds("parts").await {
        fill(&world).await;
        let images = images(&world).await;
        for unit in UNITS {
            let cut = |value: &Json| json!(truncated(value.as_str().unwrap(), unit));
            check(&world, "t", json!({"truncate": unit}), &cut, &images).await;
            if !["HOUR", "MINUTE"].contains(&unit) {
                check(&world, "d", json!({"truncate": unit}), &cut, &images).await;
            }
        }
        for width in [1_i64, 7, 10, 1_000_000, 1 << 53] {
            let cut = |value: &Json| {
                let cut = whole(number(value), width.into(), i32::MIN.into());
                json!(i64::try_from(cut).unwrap())
            };
            check(&world, "i", json!({"bucket": width}), &cut, &images).await;
            let cut = |value: &Json| json!(whole(number(value), width.into(), i64::MIN.into()).to_string());
            check(&world, "big", json!({"bucket": width}), &cut, &images).await;
        }
        for width in [0.1, 2.5, 10.0, 1e-290, 1e290] {
            let cut = |value: &Json| {
                let Json::Number(text) = value else { panic!("a number: {value:?}") };
                let mut out = Vec::new();
                crate::query::write::float(float(text.parse().unwrap(), width), &mut out);
                serde_json::from_slice(&out).unwrap()
            };
            check(&world, "x", json!({"bucket": width}), &cut, &images).await;
        }
    }
}

#[tokio::test]
async fn groups_by_several_parts_of_one_field_stand_in_their_order() {
    for world in worlds("several_parts").await {
        let documents = [
            json!({"t": "2026-01-31T10:00:00Z", "n": 3}),
            json!({"t": "2026-02-01T10:00:00Z", "n": -3}),
            json!({"t": "2025-12-31T23:00:00Z", "n": 3}),
            json!({"t": null, "n": 4}),
        ];
        let effects: Vec<_> = documents
            .iter()
            .enumerate()
            .map(|(n, document)| effect("web", &n.to_string(), 1, Some(document)))
            .collect();
        world.apply(&effects).await;
        let admin = with_roles(&["admin"]);
        let named = |key: &str, unit: &str| {
            let mut member = field("t", json!({"truncate": unit}), Vec::new());
            member.response_key = key.into();
            member
        };
        let group = vec![named("year", "YEAR"), named("week", "WEEK"), leaf("n")];
        let parts = json!([{"field": "t", "truncate": "YEAR"}, {"field": "t", "truncate": "WEEK"}]);
        let ask = |arguments: Value| {
            let asked =
                field("shopOrderAggregate", arguments, vec![field("group", json!({}), group.clone())]);
            let (world, admin) = (&world, &admin);
            async move { world.ask(admin, Root::Aggregate, &asked).await }
        };
        let at = |day: &str| format!("{day}T00:00:00.000000Z");
        let row =
            |year: &str, week: &str, n: Value| json!({"group": {"year": at(year), "week": at(week), "n": n}});
        let found = ask(json!({"groupByPart": parts})).await.unwrap();
        assert_eq!(
            found,
            json!([
                row("2025-01-01", "2025-12-29", json!(null)),
                row("2026-01-01", "2026-01-26", json!(null)),
                {"group": {"year": null, "week": null, "n": null}},
            ])
        );
        let found = ask(json!({"groupBy": ["n"], "groupByPart": parts})).await.unwrap();
        assert_eq!(found[0], row("2026-01-01", "2026-01-26", json!(-3)));
        assert_eq!(found.as_array().unwrap().len(), 4);
        for (refused, told) in [
            (json!([{"field": "t", "truncate": "YEAR"}]), "not grouped by this part of `t`"),
            (json!([{"field": "t", "bucket": 10}]), "`bucket` is for numbers"),
            (json!([{"field": "n", "truncate": "DAY"}]), "`truncate` is for a DateTime or a Date"),
            (json!([{"field": "n"}]), "either `truncate: MONTH` or `bucket: 10`"),
            (
                json!([{"field": "t", "truncate": "DAY", "bucket": 1}]),
                "either `truncate: MONTH` or `bucket: 10`",
            ),
            (json!([{"field": "n", "bucket": 0}]), "from 1 to 2^53"),
            (json!([{"field": "n", "bucket": 2.5}]), "from 1 to 2^53"),
            (json!([{"field": "n", "bucket": -1}]), "from 1 to 2^53"),
        ] {
            let error = ask(json!({"groupByPart": refused})).await.unwrap_err();
            assert_eq!(error.code(), Code::BadRequest);
            assert!(error.to_string().contains(told), "{error}");
        }
        let many: Vec<Value> = (1..=17).map(|width| json!({"field": "n", "bucket": width})).collect();
        assert_eq!(ask(json!({"groupByPart": many})).await.unwrap_err().code(), Code::TooComplex);
        // The same part twice is one.
        let twice = json!([{"field": "n", "bucket": 2}, {"field": "n", "bucket": 2.0}]);
        let asked = field("shopOrderAggregate", json!({"groupByPart": twice}), vec![some("sum", &["n"])]);
        let found = world.ask(&admin, Root::Aggregate, &asked).await.unwrap();
        assert_eq!(found, json!([{"sum": {"n": "-3"}}, {"sum": {"n": "6"}}, {"sum": {"n": "4"}}]));
    }
}

/// Figures that are compared and ordered by, with a constant that divides their values.
const FIGURES: [(&str, &str, &str); 14] = [
    ("sum", "big", "\"-9\""),
    ("sum", "i", "\"100\""),
    ("sum", "x", "1.5"),
    ("avg", "big", "0.5"),
    ("avg", "i", "-3"),
    ("avg", "x", "2"),
    ("min", "big", "\"0\""),
    ("max", "x", "9.75"),
    ("min", "i", "-7"),
    ("max", "t", "\"1970-01-01T23:59:59.999999Z\""),
    ("min", "d", "\"1969-12-31\""),
    ("countDistinct", "d", "2"),
    ("countDistinct", "x", "1"),
    ("count", "", "2"),
];

fn of<'a>(group: &'a Value, (function, name): (&str, &str)) -> &'a Value {
    if name.is_empty() { &group[function] } else { &group[function][name] }
}

/// What stands there, to be compared: numbers by size, other texts as they are. None is null.
fn order_of(function: &str, name: &str, value: &Value) -> Option<(i128, f64, String)> {
    match value {
        Value::Null => None,
        Value::String(text) if name == "big" && function != "avg" || function == "sum" => {
            Some((text.parse().unwrap(), 0.0, String::new()))
        }
        Value::String(text) => Some((0, 0.0, text.clone())),
        number => Some((0, number.as_f64().unwrap(), String::new())),
    }
}

fn inside(function: &str, name: &str, inner: Value) -> Value {
    if name.is_empty() { json!({function: inner}) } else { json!({function: {name: inner}}) }
}

/// Says whether a group is to be there.
type Holds = Box<dyn Fn(&Value) -> bool>;

/// A random `having`, and which groups it is to choose.
fn having(dice: &mut Dice) -> (Value, Holds) {
    let (function, name, constant) = *dice.pick(&FIGURES);
    let constant: Value = serde_json::from_str(constant).unwrap();
    let operator = *dice.pick(&["gt", "lte", "eq", "isNull", "ne"]);
    let operand = if operator == "isNull" { json!(true) } else { constant.clone() };
    let negated = *dice.pick(&[false, true]);
    let condition = inside(function, name, json!({operator: operand}));
    let having = if negated { json!({"not": condition}) } else { json!({"and": [condition]}) };
    let limit = order_of(function, name, &constant);
    let holds = move |group: &Value| {
        let value = order_of(function, name, of(group, (function, name)));
        let holds = match operator {
            "isNull" => value.is_none(),
            _ if value.is_none() => false,
            "gt" => value > limit,
            "lte" => value <= limit,
            "eq" => value == limit,
            _ => value != limit,
        };
        holds != negated
    };
    (having, Box::new(holds))
}

/// Orders groups that stand in their own order by a random figure, and tells the `orderBy`.
fn order(dice: &mut Dice, groups: &mut [Value]) -> Value {
    let (function, name, _) = *dice.pick(&FIGURES);
    let direction = *dice.pick(&["ASC", "DESC", "ASC_NULLS_FIRST", "DESC_NULLS_FIRST"]);
    groups.sort_by(|one, other| {
        let [one, other] = [one, other].map(|group| order_of(function, name, of(group, (function, name))));
        match (one, other) {
            (Some(one), Some(other)) => {
                let order = one.partial_cmp(&other).unwrap();
                if direction.starts_with("DESC") { order.reverse() } else { order }
            }
            (one, other) => {
                let order = one.is_none().cmp(&other.is_none());
                if direction.ends_with("FIRST") { order.reverse() } else { order }
            }
        }
    });
    inside(function, name, json!(direction))
}

/// All figures, and the group.
fn figures() -> Vec<crate::query::Selected> {
    let mut children = vec![leaf("count"), leaf("cursor")];
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (function, name, _) in FIGURES.into_iter().filter(|(_, name, _)| !name.is_empty()) {
        functions.entry(function).or_default().push(name);
    }
    children.extend(functions.iter().map(|(function, names)| some(function, names)));
    let mut quarter = field("t", json!({"truncate": "QUARTER"}), Vec::new());
    quarter.response_key = "quarter".into();
    children.push(field("group", json!({}), vec![leaf("d"), quarter]));
    children
}

async fn groups(world: &World, mut arguments: Value) -> Vec<Value> {
    arguments["groupBy"] = json!(["d"]);
    arguments["groupByPart"] = json!([{"field": "t", "truncate": "QUARTER"}]);
    let asked = field("shopOrderAggregate", arguments, figures());
    let found = world.ask(&with_roles(&["admin"]), Root::Aggregate, &asked).await.unwrap();
    found.as_array().unwrap().clone()
}

#[tokio::test]
async fn groups_are_chosen_and_ordered_by_what_is_shown_of_them() {
    for world in worlds("chosen_groups").await {
        fill(&world).await;
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let all = groups(&world, json!({"first": 1000})).await;
        assert!(all.len() > 50, "{}", all.len());
        for _ in 0..60 {
            let (having, holds) = having(&mut dice);
            let mut expected: Vec<Value> = all.iter().filter(|group| holds(group)).cloned().collect();
            let order = order(&mut dice, &mut expected);
            let first = *dice.pick(&[3, 20, 1000]);
            let mut asked = json!({"having": having, "orderBy": [order], "first": first});
            let mut found = Vec::new();
            loop {
                let page = groups(&world, asked.clone()).await;
                let Some(last) = page.last() else { break };
                asked["after"] = last["cursor"].clone();
                found.extend(page);
                assert!(found.len() <= all.len());
            }
            let bare = |groups: &[Value]| {
                let mut groups = groups.to_vec();
                groups.iter_mut().for_each(|group| group["cursor"] = json!(null));
                groups
            };
            assert_eq!(bare(&found), bare(&expected), "{asked}");
        }
    }
}
