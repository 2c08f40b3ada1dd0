//! How values spread: both databases and plain arithmetic over the rows' images must agree within a billionth, and no
//! value may break a figure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::differential::{Dice, images};
use super::{effect, field, leaf, some, with_roles, worlds};
use crate::publishing::Root;
use crate::record::Json;

const NAMES: [&str; 3] = ["i", "big", "x"];
const PARTS: [f64; 5] = [0.0, 0.25, 0.5, 0.95, 1.0];

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(text) => text.parse().ok(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Two passes, so that it is not the method that is tested.
fn variance(values: &[f64]) -> Option<f64> {
    let count = f64::from(u32::try_from(values.len()).unwrap());
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (values.len() > 1).then(|| squares / (count - 1.0))
}

fn percentile(values: &[f64], part: f64) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = part * f64::from(u32::try_from(values.len().checked_sub(1)?).unwrap());
    let (before, after) = (place.floor(), place.ceil());
    let at = |place: f64| values[values.iter().enumerate().position(|(n, _)| n as f64 == place).unwrap()];
    Some(at(before) + (place - before) * (at(after) - at(before)))
}

fn near(found: &Value, expected: Option<f64>) -> bool {
    match (found.as_f64(), expected) {
        (Some(found), Some(expected)) => (found - expected).abs() <= expected.abs() * 1e-9,
        (found, expected) => found.is_none() && found.is_some() == expected.is_some(),
    }
}

fn document(dice: &mut Dice) -> Value {
    let wide: Vec<i64> = (0..40).map(|n| n * n - 300).collect();
    let some =
        |value: Value, dice: &mut Dice| if *dice.pick(&[0, 1, 2, 3]) == 0 { json!(null) } else { value };
    let (i, x) = (*dice.pick(&wide), *dice.pick(&wide) as f64 / 7.0);
    let big = *dice.pick(&wide) * 1_000_000_000_007;
    json!({
        "g": *dice.pick(&["a", "b", "c", "d", "e", "f", "g", "h"]),
        "i": some(json!(i), dice),
        "big": some(json!(big), dice),
        "x": some(json!(x), dice),
    })
}

fn asked(arguments: Value) -> crate::query::Selected {
    let mut children = vec![some("group", &["g"]), some("stddev", &NAMES), some("variance", &NAMES)];
    children.extend(PARTS.iter().map(|part| {
        let names = NAMES.iter().map(|name| leaf(name)).collect();
        let mut percentile = field("percentile", json!({"p": part}), names);
        percentile.response_key = format!("p{part}").into();
        percentile
    }));
    field("shopOrderAggregate", arguments, children)
}

#[tokio::test]
async fn figures_of_spread_are_those_of_the_rows() {
    for world in worlds("spread").await {
        for seed in [0x51_7cc1_b727_220a, 0x2545_f491_4f6c_dd1d, 0x9e37_79b9_7f4a_7c15] {
            let mut dice = Dice(seed);
            let effects: Vec<_> = (0..*dice.pick(&[9, 60, 150]))
                .map(|n| effect("web", &format!("{seed} {n}"), 1, Some(&document(&mut dice))))
                .collect();
            world.apply(&effects).await;
        }
        let admin = with_roles(&["admin"]);
        let mut groups: BTreeMap<String, Vec<Json>> = BTreeMap::new();
        for image in images(&world).await {
            groups.entry(image.get("g").unwrap().to_text()).or_default().push(image);
        }
        let found = world.ask(&admin, Root::Aggregate, &asked(json!({"groupBy": ["g"]}))).await.unwrap();
        assert_eq!(found.as_array().unwrap().len(), groups.len());
        for one in found.as_array().unwrap() {
            let rows = &groups[&one["group"]["g"].to_string()];
            for name in NAMES {
                let values: Vec<f64> = rows.iter().filter_map(|row| number(row.get(name)?)).collect();
                let expected = variance(&values);
                assert!(near(&one["variance"][name], expected), "{name}: {one} is not {expected:?}");
                assert!(near(&one["stddev"][name], expected.map(f64::sqrt)), "{name}: {one}");
                for part in PARTS {
                    let expected = percentile(&values, part);
                    assert!(
                        near(&one[format!("p{part}")][name], expected),
                        "{name}: {one} is not {expected:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn no_value_breaks_a_figure_of_spread() {
    let values = |values: &[f64]| {
        values.iter().map(|x| json!({"g": "a", "i": 1, "big": 1_i64 << 40, "x": x})).collect()
    };
    let cases: [(Vec<Value>, Value, Value, Value); 5] = [
        (values(&[3.0]), json!(null), json!(null), json!(3)),
        (values(&[1e-200, 3e-200]), json!(0), json!(null), json!(2e-200)),
        (values(&[1.5e308, -1.5e308]), json!(null), json!(null), json!(null)),
        (values(&[1e150, 1e150, 1e150]), json!(null), json!(null), json!(1e150)),
        (values(&[1e139, -1e139]), json!(2e278), json!(1.414_213_562_373_095_1e139), json!(0)),
    ];
    for world in worlds("spread_edges").await {
        let admin = with_roles(&["admin"]);
        for (n, (documents, variance, stddev, median)) in cases.iter().enumerate() {
            let effects: Vec<_> = documents
                .iter()
                .enumerate()
                .map(|(m, document)| {
                    let mut document = document.clone();
                    document["g"] = json!(n.to_string());
                    effect("web", &format!("{n} {m}"), 1, Some(&document))
                })
                .collect();
            world.apply(&effects).await;
            let asked = asked(json!({"where": {"g": {"eq": n.to_string()}}}));
            let found = world.ask(&admin, Root::Aggregate, &asked).await.unwrap();
            let x = |figure: &str| found[0][figure]["x"].clone();
            assert!(near(&x("variance"), variance.as_f64()), "{n}: {found}");
            assert!(stddev.is_null() || near(&x("stddev"), stddev.as_f64()), "{n}: {found}");
            assert!(median.is_null() || near(&x("p0.5"), median.as_f64()), "{n}: {found}");
        }
        let none = world
            .ask(&admin, Root::Aggregate, &asked(json!({"where": {"g": {"eq": "none"}}})))
            .await
            .unwrap();
        for figure in ["stddev", "variance", "p0", "p0.5"] {
            assert_eq!(none[0][figure]["x"], json!(null), "{none}");
        }
        let mut wrong = asked(json!({}));
        wrong.children = [field("percentile", json!({"p": 1.5}), vec![leaf("x")])].into();
        assert!(
            world.ask(&admin, Root::Aggregate, &wrong).await.unwrap_err().to_string().contains("from 0 to 1")
        );
    }
}
