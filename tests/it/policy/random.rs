//! Random policies, actors and documents over one collection, the same for a seed on every machine: nulls and
//! missing members, every kind of scalar, nested objects, lists, odd text, numbers at the edges.

use serde_json::json;

/// A small generator of random numbers.
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

/// Texts as Polar and JSON write them alike.
const TEXTS: [&str; 15] = [
    r#""a""#,
    r#""a""#,
    r#""b""#,
    r#""c""#,
    r#""""#,
    r#""A""#,
    r#""ä""#,
    r#""a%""#,
    r#""_""#,
    r#""it's""#,
    r#""\"q\\""#,
    r#""￿""#,
    r#""🜚""#,
    r#""a""#,
    r#""true""#,
];
const WHOLE: [&str; 6] = ["0", "1", "2", "3", "-1", "2147483647"];
const BIG: [&str; 7] = [
    "1",
    "2",
    "3000000000",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775807",
];
/// Of a field that was first seen as whole numbers, and then widened.
const WIDENED: [&str; 5] = ["1", "2", "-7", "9007199254740993", "4503599627370497"];
const FLOATS: [&str; 12] =
    ["1.0", "1.5", "2.5", "2", "-0", "-0.0", "0", "1e308", "5e-324", "9007199254740993", "1e400", "0.1"];
const TIMES: [&str; 3] =
    [r#""2026-01-01T00:00:00Z""#, r#""2026-01-01T01:00:00.5+01:00""#, r#""1999-12-31T23:59:59.999999Z""#];
/// The same as they are stored, and one that no row has.
const STORED_TIMES: [&str; 4] = [
    r#""2026-01-01T00:00:00.000000Z""#,
    r#""2026-01-01T00:00:00.500000Z""#,
    r#""1999-12-31T23:59:59.999999Z""#,
    r#""2020-01-01T00:00:00.000000Z""#,
];
const DAYS: [&str; 3] = [r#""2026-01-01""#, r#""1999-12-31""#, r#""2024-02-29""#];
const IDS: [&str; 2] =
    [r#""0c6e2b9a-7b1d-4a7f-9c57-0f4e5a6b7c8d""#, r#""11111111-2222-3333-4444-555555555555""#];

/// A random policy about `fuzz`/`thing`.
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

/// A random condition on `u` and `row`.
pub fn condition(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.below(3) > 0 {
        let (a, b) = (condition(random, depth - 1), condition(random, depth - 1));
        return match random.below(5) {
            0 | 1 => format!("(({a}) and ({b}))"),
            2 | 3 => format!("(({a}) or ({b}))"),
            _ => format!("not ({a})"),
        };
    }
    match random.below(9) {
        0..=2 => edge(random),
        3 | 4 => items(random),
        _ => plain(random),
    }
}

const ORDER: [&str; 7] = ["<", "<=", ">", ">=", "=", "==", "!="];
const EQUAL: [&str; 3] = ["=", "==", "!="];

/// What meets often.
fn plain(random: &mut Random) -> String {
    let text = ["row.s", "row.t", "row.o.s", "u.region", "\"a\"", "\"b\"", "u.team.name"];
    let whole = ["row.n", "row.m", "row.o.n", "1", "2", "u.level", "u.level + 1"];
    let number = ["1", "1.5", "2", "u.level"];
    match random.below(17) {
        0..=2 => format!("{} {} {}", random.pick(&text), random.pick(&EQUAL), random.pick(&text)),
        3 => format!("{} {} {}", random.pick(&["row.s", "row.o.s"]), random.pick(&ORDER), random.pick(&text)),
        4 | 5 => format!("{} {} {}", random.pick(&whole), random.pick(&ORDER), random.pick(&whole)),
        6 => format!("row.f {} {}", random.pick(&ORDER), random.pick(&number)),
        7 => format!("row.n {} {}", random.pick(&ORDER), random.pick(&number)),
        8 => format!("row.b {} {}", random.pick(&EQUAL), random.pick(&["true", "false", "u.flag"])),
        9 => format!(
            "{} in {}",
            random.pick(&text),
            random.pick(&["u.groups", "[\"a\", \"c\"]", "[row.t, \"b\"]"])
        ),
        10 => format!("{} in row.l", random.pick(&["\"a\"", "\"b\"", "u.region"])),
        11 => {
            let t = variable(random);
            format!("({t} in u.groups and {t} in row.l)")
        }
        12 => {
            let t = variable(random);
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

/// A variable of its own for each: it is one variable in the whole rule.
fn variable(random: &mut Random) -> String {
    format!("t{}", random.below(1_000_000_000))
}

/// Of the items of lists, and of how texts begin.
fn items(random: &mut Random) -> String {
    let (i, t) = (variable(random), variable(random));
    let one = item(random, &i);
    match random.below(12) {
        0..=2 => format!("({i} in row.p and {one})"),
        3 => format!("({i} in row.p and {one} and {})", item(random, &i)),
        4 => format!("forall({i} in row.p, {one})"),
        5 => format!("({i} in row.p and not ({one}))"),
        6 => format!("({i} in row.p and {t} in row.p and {i}.k = {t}.q.s and {one})"),
        7 => {
            let list = random.pick(&["row.l", "u.groups"]);
            format!("({t} in {list} and {i} in row.p and {i}.k = {t})")
        }
        8 => {
            let (list, condition) = match random.below(3) {
                0 => ("row.l", format!("{t} {} {}", random.pick(&ORDER), random.pick(&TEXTS))),
                1 => (
                    "row.k",
                    format!("{t} {} {}", random.pick(&ORDER), random.pick(&["1", "u.level", "row.n"])),
                ),
                _ => ("row.l", format!("{t} in u.groups")),
            };
            format!("({t} in {list} and {condition})")
        }
        9 => format!(
            "{} in {}",
            random.pick(&["row.s", "row.o.s", "row.t"]),
            random.pick(&["row.l", "u.groups"])
        ),
        10 => format!("row.n in row.k and {} in row.l", random.pick(&["row.s", "\"a\""])),
        _ => begins(random, random_text),
    }
}

fn random_text(random: &mut Random) -> String {
    random.pick(&["row.s", "row.t", "row.o.q.s", "u.region", "row.o.s"]).to_owned()
}

fn begins(random: &mut Random, text: fn(&mut Random) -> String) -> String {
    let text = text(random);
    let prefixes = ["\"a\"", "\"\"", "\"a%\"", "\"_\"", "\"ä\"", "\"🜚\"", "u.region", "\"*\"", "\"it'\""];
    let prefix = random.pick(&prefixes);
    match random.below(4) {
        0 => format!("{text}.starts_with({prefix}) = false"),
        1 => format!("not {text}.starts_with({prefix})"),
        _ => format!("{text}.starts_with({prefix})"),
    }
}

/// A condition on an item of `p`.
fn item(random: &mut Random, i: &str) -> String {
    let (order, equal, t) = (random.pick(&ORDER), random.pick(&EQUAL), variable(random));
    let (big, time) = (random.pick(&BIG), random.pick(&STORED_TIMES));
    match random.below(18) {
        0..=2 => {
            format!("{i}.k {equal} {}", random.pick(&["\"a\"", "\"b\"", "u.region", "row.s", "row.o.s"]))
        }
        3 => format!("{i}.k {order} {}", random.pick(&TEXTS)),
        4 => format!("{i}.n {order} {}", random.pick(&["1", "2", "u.level", "row.n", "1.5"])),
        5 => format!("{i}.g {order} {}", random.pick(&[big, "row.g", "u.limit", "row.n"])),
        6 => format!("{i}.w {order} {}", random.pick(&["1", "1.5", "u.limit", "9007199254740992"])),
        7 => format!("{i}.f {order} {}", random.pick(&["0", "0.1", "row.f", "u.limit"])),
        8 => format!("{i}.b {equal} {}", random.pick(&["true", "u.flag", "row.b"])),
        9 => format!("{i}.d {order} {}", random.pick(&[time, "row.d", "u.since"])),
        10 => format!("{i}.{} {equal} nil", random.pick(&["k", "n", "q", "l", "w", "q.s"])),
        11 => format!("{i} {equal} nil"),
        12 => format!("{} in {i}.l", random.pick(&["\"a\"", "u.region", "row.s"])),
        13 => format!("({t} in {i}.l and {t} {order} {})", random.pick(&["\"a\"", "row.t", "\"b\""])),
        14 => format!("{i}.k in {}", random.pick(&["u.groups", "[\"a\", \"c\"]", "row.l"])),
        15 => format!("{i} matches {{{}}}", random.pick(&["k: \"a\"", "n: 1", "q: {s: \"a\"}"])),
        16 => format!("{}({i}.{})", random.pick(&["small", "not small"]), random.pick(&["n", "w"])),
        _ => format!("{i}.k.starts_with({})", random.pick(&["\"a\"", "u.region", "\"\""])),
    }
}

/// Types and values at their edges.
fn edge(random: &mut Random) -> String {
    let (order, equal) = (random.pick(&ORDER), random.pick(&EQUAL));
    let (big, time) = (random.pick(&BIG), random.pick(&STORED_TIMES));
    let texts = [random.pick(&TEXTS), "row.t", "row.o.q.s", "u.region"];
    match random.below(14) {
        0 | 1 => format!("{} {order} {}", random.pick(&["row.s", "row.o.q.s"]), random.pick(&texts)),
        2 => format!("row.g {order} {}", random.pick(&[big, "row.n", "u.limit", "1.5"])),
        3 => format!("row.f {order} {}", random.pick(&["0", "u.limit", "0.1", "9007199254740993", "row.w"])),
        4 => format!("row.w {order} {}", random.pick(&["9007199254740992", "1.5", "u.limit", "row.f"])),
        5 => format!("row.d {order} {}", random.pick(&[time, "u.since"])),
        6 => format!("row.e {order} {}", random.pick(&DAYS)),
        7 => format!("row.u {equal} {}", random.pick(&IDS)),
        8 => format!("{} in row.l", random.pick(&TEXTS)),
        9 => format!("{} in row.k", random.pick(&["1", "2", "u.level", "-1"])),
        10 => format!("{} in row.h", random.pick(&["1", "2", "u.level", "3000000000", "9007199254740993"])),
        11 => format!("{} in row.j", random.pick(&["1", "2", "u.level", "1.5", "0", "u.limit"])),
        12 => format!("row.o.b {equal} {}", random.pick(&["true", "u.flag", "row.b"])),
        _ => format!(
            "{} {} nil",
            random.pick(&["row.o.q", "row.g", "row.l", "row.d", "row.w"]),
            random.pick(&["=", "!="])
        ),
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
    add(random, "region", &[json!("a"), json!("b"), json!("ä"), json!(""), json!(null)]);
    add(random, "level", &[json!(0), json!(1), json!(2), json!(null)]);
    add(random, "groups", &[json!([]), json!(["a"]), json!(["a", "b"]), json!(["c", null])]);
    add(random, "flag", &[json!(true), json!(false)]);
    add(random, "team", &[json!({"name": "a"}), json!({}), json!(null)]);
    add(random, "limit", &[json!(1.5), json!(-0.0), json!(9_007_199_254_740_992_i64), json!(1e300)]);
    add(random, "since", &[json!("2026-01-01T00:00:00.000000Z")]);
    serde_json::Value::Object(claims)
}

/// A document that has everything: sourced first, it gives every field its type.
pub const FULL: &str = r#"{"id": "first", "s": "x", "t": "x", "n": 7, "m": 7, "g": 9223372036854775807, "w": 7,
    "f": 0.5, "b": true, "d": "2026-01-01T00:00:00Z", "e": "2026-01-01", "u": "0c6e2b9a-7b1d-4a7f-9c57-0f4e5a6b7c8d",
    "l": ["x"], "k": [7], "h": [7], "j": [7],
    "p": [{"k": "x", "n": 7, "g": 9223372036854775807, "w": 7, "f": 0.5, "b": true, "d": "2026-01-01T00:00:00Z",
    "l": ["x"], "q": {"s": "x"}, "any": [1]}, {"any": "x"}], "o": {"s": "x", "n": 7, "b": false, "q": {"s": "x"}}}"#;

/// A random document as JSON text, some members missing, some null. `whole`: none has a fraction in `w` yet.
pub fn document(random: &mut Random, id: usize, whole: bool) -> String {
    let mut members = vec![format!("\"id\": \"{id:04}\"")];
    let mut add = |random: &mut Random, name: &str, values: &[&str]| {
        let at = random.below(values.len() + 2);
        if let Some(value) = values.get(at) {
            members.push(format!("\"{name}\": {value}"));
        } else if at == values.len() {
            members.push(format!("\"{name}\": null"));
        }
    };
    add(random, "s", &TEXTS);
    add(random, "t", &TEXTS);
    add(random, "n", &WHOLE);
    add(random, "m", &WHOLE);
    add(random, "g", &BIG);
    add(random, "w", if whole { &WIDENED } else { &FLOATS });
    add(random, "f", &FLOATS);
    add(random, "b", &["true", "false"]);
    add(random, "d", &TIMES);
    add(random, "e", &DAYS);
    add(random, "u", &IDS);
    add(random, "l", &["[]", r#"["a"]"#, r#"["b", "c"]"#, r#"["a", "b", null]"#, r#"["\"q\\", "ä", ""]"#]);
    add(random, "k", &["[]", "[1]", "[2, 3]", "[-1, 1]"]);
    add(
        random,
        "h",
        if whole { &["[1]", "[2, null]"] } else { &["[3000000000, 1]", "[2]", "[9007199254740993]"] },
    );
    add(
        random,
        "j",
        if whole { &["[1]", "[2, null]"] } else { &["[1.5, -0.0]", "[2, null]", "[0.1, 1e300]"] },
    );
    let listed: Vec<String> = (0..random.below(4)).map(|_| listed(random, whole)).collect();
    let (all, none) = (format!("[{}]", listed.join(", ")), "[]");
    add(random, "p", &[&all, &all, &all, none]);
    let nested = [
        r#"{"s": "a", "n": 1, "b": true}"#,
        r#"{"s": "b", "q": {"s": "a"}}"#,
        r#"{"n": 2, "s": null}"#,
        "{}",
        r#"{"q": {}, "b": false}"#,
        r#"{"q": {"s": "🜚"}}"#,
    ];
    add(random, "o", &nested);
    format!("{{{}}}", members.join(", "))
}

/// A random item of `p`.
fn listed(random: &mut Random, whole: bool) -> String {
    if random.below(9) == 0 {
        return "null".to_owned();
    }
    let mut members = Vec::new();
    for (name, values) in [
        ("k", TEXTS.as_slice()),
        ("n", &WHOLE),
        ("g", &BIG),
        ("w", if whole { &WIDENED } else { &FLOATS }),
        ("f", &FLOATS),
        ("b", &["true", "false"]),
        ("d", &TIMES),
        ("l", &["[]", r#"["a"]"#, r#"["b", null]"#, r#"["a", "ä"]"#]),
        ("q", &["{}", r#"{"s": "a"}"#, r#"{"s": "b"}"#, r#"{"s": null}"#]),
        ("any", &["1", r#""a\u0000b""#, r#""\\u0000""#, r#"{"k": 2}"#]),
    ] {
        let at = random.below(values.len() * 2 + 1);
        if let Some(value) = values.get(at) {
            members.push(format!("\"{name}\": {value}"));
        } else if at == values.len() {
            members.push(format!("\"{name}\": null"));
        }
    }
    format!("{{{}}}", members.join(", "))
}
