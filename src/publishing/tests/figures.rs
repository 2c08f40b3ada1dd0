//! Figures of groups: both databases and plain arithmetic over the rows' images must agree, and no value may break a
//! figure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::differential::{Dice, condition, fill, images};
use super::{World, effect, field, leaf, some, with_roles, worlds};
use crate::publishing::Root;
use crate::query::compile;
use crate::record::{Json, Signer};

const NUMBERS: [&str; 3] = ["i", "big", "x"];
const ORDERED: [&str; 6] = ["i", "big", "x", "t", "d", "s"];

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(text) => text.parse().ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn whole(value: &Json) -> Option<i128> {
    match value {
        Json::Number(text) => text.parse().ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A sum in another order may differ by what is rounded on the way.
fn near(found: &Value, expected: f64, magnitude: f64) -> bool {
    found.as_f64().is_some_and(|found| (found - expected).abs() <= magnitude * 1e-14)
}

/// What stands in the images of a group under `name`.
fn column<'a>(rows: &[&'a Json], name: &str) -> Vec<&'a Json> {
    rows.iter().filter_map(|row| row.get(name)).filter(|value| !matches!(value, Json::Null)).collect()
}

fn check(found: &Value, rows: &[&Json], told: &str) {
    assert_eq!(found["count"], json!(rows.len()), "{told}");
    for name in NUMBERS {
        let values = column(rows, name);
        let floats: Vec<f64> = values.iter().filter_map(|value| number(value)).collect();
        assert_eq!(floats.len(), values.len());
        if values.is_empty() {
            assert_eq!((&found["sum"][name], &found["avg"][name]), (&json!(null), &json!(null)), "{told}");
            continue;
        }
        let magnitude = floats.iter().map(|value| value.abs()).sum::<f64>();
        let (sum, count) = (floats.iter().sum::<f64>(), f64::from(u32::try_from(floats.len()).unwrap()));
        assert!(near(&found["avg"][name], sum / count, magnitude), "{name}: {found} for {told}");
        if name == "x" {
            assert!(near(&found["sum"][name], sum, magnitude), "{found} for {told}");
        } else {
            let sum: i128 = values.iter().filter_map(|value| whole(value)).sum();
            assert_eq!(found["sum"][name], json!(sum.to_string()), "{told}");
        }
    }
    for name in ORDERED {
        let values = column(rows, name);
        let distinct: BTreeSet<String> = values.iter().map(|value| value.to_text()).collect();
        assert_eq!(found["countDistinct"][name], json!(distinct.len()), "{name}: {told}");
        let order = |a: &&&Json, b: &&&Json| match (number(a), number(b)) {
            (Some(a), Some(b)) if NUMBERS.contains(&name) => a.total_cmp(&b),
            _ => a.as_str().cmp(&b.as_str()),
        };
        let text = |value: Option<&&Json>| value.map_or("null".to_owned(), |value| value.to_text());
        for (function, expected) in
            [("min", values.iter().min_by(order)), ("max", values.iter().max_by(order))]
        {
            let expected: Value = serde_json::from_str(&text(expected)).unwrap();
            assert_eq!(found[function][name], expected, "{function} {name}: {told}");
        }
    }
}

#[tokio::test]
async fn figures_are_those_of_the_rows() {
    for world in worlds("arithmetic").await {
        let mut dice = Dice(0x51_7cc1_b727_220a);
        fill(&world, &mut dice, 120).await;
        let admin = with_roles(&["admin"]);
        let (collection, scope) = world.collection(&admin);
        let images = images(&world).await;
        for round in 0..60 {
            let mut arguments = json!({ "where": condition(&mut dice, 0) });
            let grouped = round % 2 == 1;
            if grouped {
                arguments["groupBy"] = json!(["b"]);
            }
            let asked = field(
                "shopOrder",
                arguments.clone(),
                vec![
                    leaf("count"),
                    some("group", &["b"]),
                    some("sum", &NUMBERS),
                    some("avg", &NUMBERS),
                    some("countDistinct", &ORDERED),
                    some("min", &ORDERED),
                    some("max", &ORDERED),
                ],
            );
            let query =
                compile(&collection, Root::Aggregate, &asked, &world.config.graphql, &Signer::new(b"secret"));
            let query = scope.apply(query.unwrap()).unwrap();
            let mut groups: BTreeMap<String, Vec<&Json>> = BTreeMap::new();
            if !grouped {
                groups.insert("null".into(), Vec::new());
            }
            for image in images.iter().filter(|image| query.get().filter().eval(image)) {
                let group = image.get("b").filter(|_| grouped).map_or("null".into(), Json::to_text);
                groups.entry(group).or_default().push(image);
            }
            let found = world.ask(&admin, Root::Aggregate, &asked).await.unwrap();
            let found = found.as_array().unwrap();
            assert_eq!(found.len(), groups.len(), "{arguments}");
            for one in found {
                check(one, &groups[&one["group"]["b"].to_string()], &arguments.to_string());
            }
        }
    }
}

async fn floats(world: &World, values: &[f64]) -> Value {
    let admin = with_roles(&["admin"]);
    let effects: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(n, value)| {
            effect(
                "web",
                &format!("{values:?} {n}"),
                1,
                Some(&json!({"x": value, "g": format!("{values:?}")})),
            )
        })
        .collect();
    world.apply(&effects).await;
    let arguments = json!({"where": {"g": {"eq": format!("{values:?}")}}});
    let asked = field("shopOrder", arguments, vec![some("sum", &["x"]), some("avg", &["x"])]);
    let found = world.ask(&admin, Root::Aggregate, &asked).await.unwrap();
    json!([found[0]["sum"]["x"], found[0]["avg"]["x"]])
}

#[tokio::test]
async fn no_value_breaks_a_sum_or_a_mean() {
    let cases: [(&[f64], Option<f64>, f64); 6] = [
        (&[1e200, 1.0], Some(1e200), 5e199),
        // What no float can hold is null; the mean of the same values can be held.
        (&[1e308, 1e308], None, 1e308),
        (&[-1.5e308, -1.5e308, 1.0], None, -1e308),
        (&[1.7e308, 1.7e308, -1.7e308, -1.7e308, 0.5], Some(0.5), 0.1),
        (&[1e-300, 2e-300], Some(3e-300), 1.5e-300),
        (&[5e-324, -5e-324], Some(0.0), 0.0),
    ];
    for world in worlds("overflow").await {
        for (values, sum, mean) in cases {
            let found = floats(&world, values).await;
            for (found, expected) in [(&found[0], sum), (&found[1], Some(mean))] {
                let near = match (found.as_f64(), expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() <= expected.abs() * 1e-14,
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(near, "{found} for {values:?}, not {expected:?}");
            }
        }
    }
}
