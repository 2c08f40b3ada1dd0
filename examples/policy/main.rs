//! Measures what it costs to load a policy, to compile what one actor may read of a collection, and to ask the filter
//! of a row in memory. Compiled scopes are cached, so each round asks for another actor.
//!
//! `cargo run --release --example policy`

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example ends with its figures or with the reason why not"
)]

use std::{hint::black_box, time::Instant};

use wellspring::{
    config,
    policy::Engine,
    query::Collection,
    record::{Actor, Json},
    shape::{Published, Shape, Structure},
};

/// Rounds of each measurement.
const ROUNDS: usize = 501;

const FIELDS: &str = "allow_field(_, \"read\", _: Row, f: Field) if f.classified;\n";

/// What is measured: its name, the rule, and how many texts the claim `groups` has.
const RULES: [(&str, &str, usize); 8] = [
    ("a region", "row.region = user.region", 0),
    (
        "roles, helpers, two fields",
        "(\"clerk\" in user.roles and row.region = user.region) or (row.status in [\"paid\", \"shipped\"] \
         and not row.total > user.limit) or row.owner = user.subject",
        3,
    ),
    ("a prefix", "row.region.starts_with(user.region)", 0),
    ("an item", "item in row.items and item.kind = user.region and item.quantity > 1", 0),
    ("a field in 1,000 claims", "row.region in user.groups", 1_000),
    ("1,000 claims in a list", "g in user.groups and g in row.tags", 1_000),
    ("an item in 1,000 claims", "item in row.items and item.kind in user.groups", 1_000),
    ("all of 1,000 claims in a list", "forall(g in user.groups, g in row.tags)", 1_000),
];

const ROW: &str = r#"{"region": "eu", "status": "open", "total": 12.5, "owner": "ann", "tags": ["a", "g999"],
    "items": [{"kind": "book", "quantity": 1}, {"kind": "eu", "quantity": 2}, {"kind": "g7", "quantity": 3}]}"#;

fn main() {
    let row = Json::try_from(ROW).unwrap();
    let collection = collection(&row);
    println!("rule\tload µs\tcompile p50 µs\tcompile p99 µs\tone row in memory ns");
    for (name, rule, groups) in RULES {
        let text = format!(
            "{FIELDS}allow(user: User, \"read\", row: Order) if ({rule}) and user = user and row = row;"
        );
        let load = || Engine::from_texts(&config::Policy::default(), &[("p.polar", text.as_str())]).unwrap();
        let loading = times(|| drop(black_box(load())));
        let engine = load();
        let actors: Vec<Actor> = (0..ROUNDS).map(|n| actor(n, groups)).collect();
        let mut next = actors.iter();
        let none = Default::default();
        let compiling =
            times(|| drop(black_box(engine.scope(next.next().unwrap(), &none, &collection).unwrap())));
        let scope = engine.scope(&actor(0, groups), &none, &collection).unwrap().unwrap();
        let asking = times(|| {
            for _ in 0..100 {
                black_box(scope.rows().eval(black_box(&row)));
            }
        });
        println!(
            "{name}\t{:.0}\t{:.0}\t{:.0}\t{:.0}",
            at(&loading, 50),
            at(&compiling, 50),
            at(&compiling, 99),
            at(&asking, 50) * 10.0
        );
    }
}

/// A collection whose rows are like this one.
fn collection(row: &Json) -> Collection {
    let limits = config::Shape::default();
    let mut shape = Shape::default();
    shape.merge(&Structure::derive(row, &limits));
    let published = shape.publish(&Published::default(), &limits).unwrap();
    Collection {
        id: 1,
        category: "order".into(),
        subcategory: "one".into(),
        field_name: "order".into(),
        type_name: "Order".into(),
        generation: 1,
        shape: published.into(),
        narrow: None,
    }
}

fn actor(n: usize, groups: usize) -> Actor {
    // The last one is its own: what is the same for all would be compiled once.
    let mut groups: Vec<String> = (0..groups).map(|group| format!("g{group}")).collect();
    if let Some(last) = groups.last_mut() {
        last.push_str(&format!(" of {n}"));
    }
    let claims = serde_json::json!({"region": format!("eu{n}"), "limit": 100, "groups": groups});
    let serde_json::Value::Object(claims) = claims else { return Actor::anonymous() };
    Actor { subject: format!("u{n}"), roles: vec!["clerk".into()], claims, contract: None, key: None }
}

/// Microseconds of each round, in order.
fn times(mut each: impl FnMut()) -> Vec<f64> {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            each();
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn at(times: &[f64], percent: usize) -> f64 {
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
