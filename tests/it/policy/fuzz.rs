//! Random policies over the grammar that compiles: the filter in memory decides as polar-core's machine does.
//!
//! Decided otherwise on purpose, and so left out: a calculation with a missing claim (the machine denies the whole
//! question with an error; ours denies that alternative, also under `not`); types that do not fit (the machine raises
//! an error, or answers `false` and `not` turns it; ours is never true); `true = 1`; a character in a text by `in`.

use std::sync::Arc;

use serde_json::json;
use wellspring::config;
use wellspring::policy::Engine;
use wellspring::query::{Collection, Filter};
use wellspring::record::{Actor, Limits, parse};
use wellspring::shape::{Field, Kind, Published, Scalar};

use super::vm::Vm;

/// A small generator of random numbers; the same seed is the same run on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The collection that the policies are about.
pub fn collection() -> Collection {
    let field = |id: u32, name: &str, kind: Kind| Field {
        id,
        key: name.to_owned(),
        path: format!("/{name}"),
        name: name.to_owned(),
        kind,
        tags: Default::default(),
    };
    let scalar = Kind::Scalar;
    let fields = vec![
        field(1, "s", scalar(Scalar::String)),
        field(2, "t", scalar(Scalar::String)),
        field(3, "n", scalar(Scalar::Int)),
        field(4, "m", scalar(Scalar::Int)),
        field(5, "f", scalar(Scalar::Float)),
        field(6, "b", scalar(Scalar::Boolean)),
        field(7, "l", Kind::List(Box::new(scalar(Scalar::String)))),
        field(
            8,
            "o",
            Kind::Object(vec![field(9, "s", scalar(Scalar::String)), field(10, "n", scalar(Scalar::Int))]),
        ),
    ];
    Collection {
        id: 1,
        category: "fuzz".into(),
        subcategory: "thing".into(),
        field_name: "fuzzThing".into(),
        type_name: "FuzzThing".into(),
        generation: 1,
        shape: Arc::new(Published { version: 1, last_field_id: 10, fields }),
    }
}

/// A random policy about it.
pub fn policy(random: &mut Random) -> String {
    let mut text = String::from("allow_field(_, _, _, _);\n");
    for _ in 0..=random.below(2) {
        let head =
            random.pick(&["row: FuzzThing", "row: Row", "row", "row: FuzzThing{s: \"a\"}", "row: {b: true}"]);
        let condition = condition(random, 3);
        text.push_str(&format!(
            "allow(u: User, \"read\", {head}) if ({condition}) and u = u and row = row;\n"
        ));
    }
    for _ in 0..=random.below(2) {
        let condition = condition(random, 1);
        text.push_str(&format!("helper(u, row) if ({condition}) and u = u and row = row;\n"));
    }
    text.push_str(
        "near(x, u) if x = u.region;\nnear(x, u) if x in u.groups;\nsmall(x) if x < 2;\nsmall(0);\n",
    );
    text
}

fn condition(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.below(3) > 0 {
        let (a, b) = (condition(random, depth - 1), condition(random, depth - 1));
        return match random.below(5) {
            0 | 1 => format!("(({a}) and ({b}))"),
            2 | 3 => format!("(({a}) or ({b}))"),
            _ => format!("not ({a})"),
        };
    }
    let text = ["row.s", "row.t", "row.o.s", "u.region", "\"a\"", "\"b\"", "u.team.name"];
    let whole = ["row.n", "row.m", "row.o.n", "1", "2", "u.level", "u.level + 1"];
    let order = ["<", "<=", ">", ">=", "=", "==", "!="];
    let number = ["1", "1.5", "2", "u.level"];
    let equal = ["=", "==", "!="];
    match random.below(17) {
        0..=2 => format!("{} {} {}", random.pick(&text), random.pick(&equal), random.pick(&text)),
        3 => format!("{} {} {}", random.pick(&["row.s", "row.o.s"]), random.pick(&order), random.pick(&text)),
        4 | 5 => format!("{} {} {}", random.pick(&whole), random.pick(&order), random.pick(&whole)),
        6 => format!("row.f {} {}", random.pick(&order), random.pick(&number)),
        7 => format!("row.n {} {}", random.pick(&order), random.pick(&number)),
        8 => format!("row.b {} {}", random.pick(&equal), random.pick(&["true", "false", "u.flag"])),
        9 => format!(
            "{} in {}",
            random.pick(&text),
            random.pick(&["u.groups", "[\"a\", \"c\"]", "[row.t, \"b\"]"])
        ),
        10 => format!("{} in row.l", random.pick(&["\"a\"", "\"b\"", "u.region"])),
        // A variable of its own for each: it is one variable in the whole rule.
        11 => {
            let t = format!("t{}", random.below(1_000_000));
            format!("({t} in u.groups and {t} in row.l)")
        }
        12 => {
            let t = format!("t{}", random.below(1_000_000));
            format!("forall({t} in u.groups, {t} in row.l)")
        }
        13 => format!(
            "{} {} nil",
            random.pick(&["row.s", "row.n", "row.o", "u.region"]),
            random.pick(&["=", "!="])
        ),
        14 => format!("near({}, u)", random.pick(&["row.s", "row.o.s", "u.region"])),
        15 => format!("small({})", random.pick(&["row.n", "row.o.n", "u.level"])),
        _ => random
            .pick(&["row matches {s: \"a\"}", "u matches {region: \"a\"}", "row matches FuzzThing{n: 1}"])
            .to_owned(),
    }
}

/// Random claims, some missing, some null.
pub fn claims(random: &mut Random) -> serde_json::Value {
    let mut claims = serde_json::Map::new();
    let mut add = |random: &mut Random, name: &str, values: &[serde_json::Value]| {
        let at = random.below(values.len() + 1);
        if let Some(value) = values.get(at) {
            claims.insert(name.to_owned(), value.clone());
        }
    };
    add(random, "region", &[json!("a"), json!("b"), json!(null)]);
    add(random, "level", &[json!(0), json!(1), json!(2), json!(null)]);
    add(random, "groups", &[json!([]), json!(["a"]), json!(["a", "b"]), json!(["c", null])]);
    add(random, "flag", &[json!(true), json!(false)]);
    add(random, "team", &[json!({"name": "a"}), json!({}), json!(null)]);
    serde_json::Value::Object(claims)
}

/// A random row, some fields missing, some null.
pub fn row(random: &mut Random) -> serde_json::Value {
    let mut row = serde_json::Map::new();
    let mut add = |random: &mut Random, name: &str, values: &[serde_json::Value]| {
        let at = random.below(values.len() + 2);
        if let Some(value) = values.get(at) {
            row.insert(name.to_owned(), value.clone());
        } else if at == values.len() {
            row.insert(name.to_owned(), json!(null));
        }
    };
    let text = [json!("a"), json!("b"), json!("c")];
    let whole = [json!(0), json!(1), json!(2), json!(3)];
    add(random, "s", &text);
    add(random, "t", &text);
    add(random, "n", &whole);
    add(random, "m", &whole);
    add(random, "f", &[json!(1.0), json!(1.5), json!(2.5)]);
    add(random, "b", &[json!(true), json!(false)]);
    add(random, "l", &[json!([]), json!(["a"]), json!(["b", "c"]), json!(["a", "b"])]);
    let nested = [json!({"s": "a", "n": 1}), json!({"s": "b"}), json!({"n": 2, "s": null}), json!({})];
    add(random, "o", &nested);
    serde_json::Value::Object(row)
}

#[test]
fn the_filter_decides_as_the_machine_does() {
    let collection = collection();
    let (mut decided, mut allowed, mut faults) = (0, 0, Vec::new());
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let text = policy(&mut random);
        let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", &text)])
            .unwrap_or_else(|e| panic!("{text}\n{}", e.message()));
        let vm = Vm::load(&text, "FuzzThing");
        for _ in 0..3 {
            let claims = claims(&mut random);
            if text.contains("u.level + 1") && claims.get("level").is_none_or(serde_json::Value::is_null) {
                continue;
            }
            let actor =
                Actor { subject: "u".into(), roles: Vec::new(), claims: claims.as_object().unwrap().clone() };
            let scope = engine.scope(&actor, &collection).unwrap();
            let filter = scope.map_or(Filter::Const(false), |scope| scope.rows().clone());
            for _ in 0..5 {
                let row = row(&mut random);
                let document =
                    parse(row.to_string().as_bytes(), Limits { depth_max: 9, values_max: 99 }).unwrap();
                let (ours, theirs) = (filter.eval(&document), vm.allows(&claims, &row));
                decided += 1;
                allowed += usize::from(ours);
                if theirs.as_ref() != Ok(&ours) {
                    faults.push(format!(
                        "seed {seed}: {ours} but {theirs:?}\n{text}{claims}\n{row}\n{filter:?}\n"
                    ));
                }
            }
        }
    }
    println!("{decided} decisions, {allowed} allowed, {} differ", faults.len());
    assert!(
        faults.is_empty(),
        "{} of {decided} differ\n{}",
        faults.len(),
        faults[..faults.len().min(4)].join("\n")
    );
    assert!(allowed > decided / 10 && allowed < decided * 9 / 10, "{allowed} of {decided} say little");
}
