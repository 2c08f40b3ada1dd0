//! What is accepted at load is never refused when somebody asks: random rules, sound and unsound ones, over the whole
//! grammar.

use std::collections::BTreeMap;

use serde_json::json;

use crate::config;
use crate::policy::check;
use crate::policy::fields;
use crate::policy::load;
use crate::policy::machine::{Fault, World};
use crate::policy::tests::{actor, orders};
use crate::policy::text::File;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const PARTS: [&str; 9] = [
    "row.amount",
    "row.region",
    "row.tags",
    "row.items",
    "row.customer.country",
    "row.paid",
    "row.customer",
    "row.meta",
    "row._record.purposes",
];
const PLAIN: [&str; 9] =
    ["user.level", "user.groups", "user.team", "user.region", "1", "\"a\"", "[1, \"a\"]", "true", "nil"];

fn term(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 8 } else { 12 }) {
        0..=2 => dice.pick(&["x", "y", "z"]).to_owned(),
        3 | 4 => dice.pick(&PARTS).to_owned(),
        5..=7 => dice.pick(&PLAIN).to_owned(),
        8 => format!("[{}, {}]", term(dice, depth - 1), term(dice, depth - 1)),
        9 => format!("{{a: {}}}", term(dice, depth - 1)),
        10 => format!("{}.{}", dice.pick(&["x", "y", "z"]), dice.pick(&["a", "sku", "region"])),
        _ => dice.pick(&["row", "user", "[x, *y]", "row.region.ends_with(\"a\")", "new User()"]).to_owned(),
    }
}

fn goal(dice: &mut Dice, depth: usize) -> String {
    if depth > 0 && dice.roll(3) > 0 {
        let (a, b) = (goal(dice, depth - 1), goal(dice, depth - 1));
        return match dice.roll(8) {
            0..=3 => format!("(({a}) and ({b}))"),
            4 | 5 => format!("(({a}) or ({b}))"),
            6 => format!("forall({a}, {b})"),
            _ => format!("not ({a})"),
        };
    }
    let (a, b) = (term(dice, 2), term(dice, 2));
    match dice.roll(24) {
        0..=6 => format!("{a} = {b}"),
        7..=11 => format!("{a} in {b}"),
        12 | 13 => format!("{a} {} {b}", dice.pick(&["<", ">=", "!=", "=="])),
        14 | 15 => format!("{a} + 1 = {b}"),
        16 | 17 => format!("{}.starts_with({b})", dice.pick(&["x", "y", "row.region", "user.region"])),
        18 | 19 => format!("helper({a}, {b})"),
        20 => format!("{a} matches {{a: {b}}}"),
        21 => format!("{a} matches {}", dice.pick(&["OrderClothing", "String", "User", "Row{paid: x}"])),
        22 => format!("{}.a = {b}", dice.pick(&["x", "y", "z"])),
        _ => dice.pick(&["cut", "helper(x)", "row.paid", "user.admin"]).to_owned(),
    }
}

fn policy(dice: &mut Dice) -> String {
    let used = "x = x and y = y and z = z and user = user and row = row";
    let mut text = String::new();
    for head in
        ["allow(user, \"read\", row: OrderClothing)", "helper(row, user)", "helper(row, x)", "helper(x)"]
    {
        let own = match head {
            "helper(row, x)" => " and user = x",
            "helper(x)" => " and row = x and user = 1",
            _ => "",
        };
        text.push_str(&format!("{head} if ({}) and {used}{own};\n", goal(dice, 3)));
    }
    text + "allow_field(_, _, _, _);\n"
}

#[test]
fn what_is_accepted_at_load_is_never_refused_later() {
    let actors = [
        json!({}),
        json!({"region": "a", "level": 1, "groups": ["a", "b"], "team": {"a": 1, "sku": "a"}, "admin": true}),
        json!({"region": 7, "level": "1", "groups": [{"a": 1}, ["a"], null], "team": ["a"], "admin": false}),
    ]
    .map(|claims| actor("u", &["consumer"], claims));
    let (mut accepted, mut refused) = (0, BTreeMap::new());
    for seed in 1..=4_000_u64 {
        let text = policy(&mut Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1));
        let file = File { name: "p.polar".into(), text: text.as_str().into() };
        let program = match load::load(vec![file], &config::Policy::default()) {
            Ok(program) => program,
            // What polar-core itself refuses.
            Err(_) => continue,
        };
        let wrong = check::check(&program, None);
        if let Some(first) = wrong.wrong.first() {
            *refused.entry(first.reason.split('`').next().unwrap().to_owned()).or_insert(0) += 1;
            continue;
        }
        accepted += 1;
        let collection = orders();
        for actor in &actors {
            let world =
                World { program: &program, user: &actor.claims, collection: Some(&collection), around: None };
            if let Err(Fault::Refused(_, reason)) = fields::build(world, &collection, 20_000) {
                panic!("{reason}\n{text}");
            }
        }
    }
    assert!(accepted > 100 && refused.len() > 8, "{accepted} accepted, {refused:?}");
}
