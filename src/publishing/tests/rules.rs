//! Random rules that follow relations over random rows: what the databases make of them, for rows and for images of
//! changes, held against their plain meaning.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::differential::Dice;
use super::{World, effect_of, field, leaf, some, with_roles, worlds};
use crate::config;
use crate::policy::{Engine, Opened, Scope};
use crate::publishing::{Accept, End, Root};
use crate::query::{Budget, Collection, Query, compile};
use crate::record::Signer;

pub(super) const ORDER: usize = 0;
const BUYER: usize = 1;
const FIRM: usize = 2;
pub(super) const KINDS: [&str; 3] = ["order", "buyer", "firm"];

/// From, name, the field there, to, the key there, and whether it leads to many.
pub(super) const RELATIONS: [(usize, &str, &str, usize, &str, bool); 8] = [
    (ORDER, "buyer", "ref", BUYER, "code", false),
    (BUYER, "orders", "code", ORDER, "ref", true),
    (ORDER, "agent", "no", BUYER, "code", false),
    (BUYER, "handled", "code", ORDER, "no", true),
    (BUYER, "firm", "firmNo", FIRM, "uid", false),
    (FIRM, "people", "uid", BUYER, "firmNo", true),
    (ORDER, "parent", "up", ORDER, "no", false),
    (ORDER, "children", "no", ORDER, "up", true),
];

/// Rows by kind, in the order in which they came.
pub(super) type Rows = [Vec<Value>; 3];

/// The text by which a value is a key.
pub(super) fn key(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Something that a row is reached by: its text in the policy, its kind, how many relations lead there, and the row.
#[derive(Clone)]
struct At<'a> {
    text: String,
    kind: usize,
    depth: usize,
    row: Option<&'a Value>,
}

/// What a leaf says of a row, whose values are given by their names.
type Judge = dyn Fn(&dyn Fn(&str) -> Option<Value>) -> bool;

/// A condition as text, and what it says of the rows that are bound to its variables.
enum Said {
    Leaf(String, Box<Judge>),
    Not(Box<Said>),
    Both(Box<Said>, Box<Said>),
    Either(Box<Said>, Box<Said>),
    /// One of the rows of a relation from what is reached so, by a variable of its own.
    Some(String, &'static str, String, Box<Said>),
}

fn leads<'a>(rows: &'a Rows, from: Option<&Value>, kind: usize, name: &str) -> Vec<&'a Value> {
    let relation = RELATIONS.iter().find(|one| one.0 == kind && one.1 == name).unwrap();
    let Some(wanted) = from.and_then(|row| key(&row[relation.2])) else { return Vec::new() };
    let same = rows[relation.3].iter().filter(|row| key(&row[relation.4]).as_ref() == Some(&wanted));
    if relation.5 { same.collect() } else { same.take(1).collect() }
}

/// What a text such as `x1.buyer.firm` reaches.
fn reach<'a>(rows: &'a Rows, bound: &[At<'a>], text: &str) -> At<'a> {
    let mut parts = text.split('.');
    let variable = parts.next().unwrap();
    let mut at = bound.iter().rev().find(|at| at.text == variable).unwrap().clone();
    for name in parts {
        let row = leads(rows, at.row, at.kind, name).first().copied();
        let kind = RELATIONS.iter().find(|one| one.0 == at.kind && one.1 == name).unwrap().3;
        at = At { text: format!("{}.{name}", at.text), kind, depth: at.depth + 1, row };
    }
    at
}

impl Said {
    fn text(&self) -> String {
        match self {
            Said::Leaf(text, _) => text.clone(),
            Said::Not(inner) => format!("not ({})", inner.text()),
            Said::Both(one, other) => format!("({}) and ({})", one.text(), other.text()),
            Said::Either(one, other) => format!("({}) or ({})", one.text(), other.text()),
            Said::Some(from, name, variable, inner) => {
                format!("({variable} in {from}.{name} and {})", inner.text())
            }
        }
    }

    fn holds(&self, rows: &Rows, bound: &[At<'_>]) -> bool {
        match self {
            Said::Leaf(_, test) => test(&|text| reach(rows, bound, text).row.cloned()),
            Said::Not(inner) => !inner.holds(rows, bound),
            Said::Both(one, other) => one.holds(rows, bound) && other.holds(rows, bound),
            Said::Either(one, other) => one.holds(rows, bound) || other.holds(rows, bound),
            Said::Some(from, name, variable, inner) => {
                let from = reach(rows, bound, from);
                let kind = RELATIONS.iter().find(|one| one.0 == from.kind && one.1 == *name).unwrap().3;
                leads(rows, from.row, from.kind, name).into_iter().any(|row| {
                    let own = At { text: variable.clone(), kind, depth: from.depth + 1, row: Some(row) };
                    let bound: Vec<At<'_>> = bound.iter().cloned().chain([own]).collect();
                    inner.holds(rows, &bound)
                })
            }
        }
    }
}

struct Maker<'a> {
    dice: &'a mut Dice,
    variables: usize,
}

impl Maker<'_> {
    /// Something to ask of: a variable, or where relations to one row lead from it.
    fn place(&mut self, bound: &[At<'_>], deepest: usize) -> At<'static> {
        let from = self.dice.pick(bound).clone();
        let mut at = At { text: from.text, kind: from.kind, depth: from.depth, row: None };
        while at.depth < deepest && *self.dice.pick(&[true, true, false]) {
            let ways: Vec<_> = RELATIONS.iter().filter(|one| one.0 == at.kind && !one.5).collect();
            if ways.is_empty() {
                break;
            }
            let way = *self.dice.pick(&ways);
            at = At { text: format!("{}.{}", at.text, way.1), kind: way.3, depth: at.depth + 1, row: None };
        }
        at
    }

    fn leaf(&mut self, at: &At<'_>, bound: &[At<'_>]) -> Said {
        let (text, number) = [("status", "total"), ("region", "level"), ("land", "size")][at.kind];
        let path = at.text.clone();
        let of = |name: &'static str| {
            let path = path.clone();
            move |row: &dyn Fn(&str) -> Option<Value>| row(&path).map(|row| row[name].clone())
        };
        match *self.dice.pick(&[0, 1, 2, 3, 4, 5, 6]) {
            0 => {
                let (wanted, read) = (*self.dice.pick(&["a", "b", "c"]), of(text));
                let said = format!("{path}.{text} = \"{wanted}\"");
                Said::Leaf(said, Box::new(move |row| read(row) == Some(json!(wanted))))
            }
            1 => {
                let (wanted, read) = (*self.dice.pick(&["a", "b"]), of(text));
                let said = format!("{path}.{text} != \"{wanted}\"");
                Said::Leaf(said, Box::new(move |row| read(row).is_some_and(|value| value != json!(wanted))))
            }
            2 => {
                let (bound, read) = (*self.dice.pick(&[0, 1, 2]), of(number));
                let said = format!("{path}.{number} > {bound}");
                let test = move |value: Value| value.as_i64().is_some_and(|value| value > bound);
                Said::Leaf(said, Box::new(move |row| read(row).is_some_and(test)))
            }
            3 => {
                let read = of(text);
                let said = format!("{path}.{text} in [\"a\", \"c\"]");
                Said::Leaf(said, Box::new(move |row| matches!(read(row), Some(v) if v == "a" || v == "c")))
            }
            4 => {
                let read = of(text);
                Said::Leaf(
                    format!("{path}.{text} = nil"),
                    Box::new(move |row| read(row).is_some_and(|value| value.is_null())),
                )
            }
            5 if at.text.contains('.') => {
                let (there, path) = (*self.dice.pick(&[true, false]), path.clone());
                let said = format!("{path} {} nil", if there { "!=" } else { "=" });
                // What leads there must be there itself.
                let above = path.rsplit_once('.').map_or(path.clone(), |(above, _)| above.to_owned());
                let test = move |row: &dyn Fn(&str) -> Option<Value>| {
                    row(&above).is_some() && row(&path).is_some() == there
                };
                Said::Leaf(said, Box::new(test))
            }
            _ => {
                let other = self.place(bound, 3);
                let (theirs, _) = [("status", "total"), ("region", "level"), ("land", "size")][other.kind];
                let (read, path) = (of(text), other.text.clone());
                let said = format!("{}.{text} = {path}.{theirs}", at.text);
                let test = move |row: &dyn Fn(&str) -> Option<Value>| {
                    let (one, two) = (read(row), row(&path).map(|row| row[theirs].clone()));
                    one.is_some_and(|one| !one.is_null() && Some(one) == two)
                };
                Said::Leaf(said, Box::new(test))
            }
        }
    }

    fn condition(&mut self, bound: &[At<'_>], level: usize) -> Said {
        let inner = |maker: &mut Self| Box::new(maker.condition(bound, level + 1));
        match *self.dice.pick(if level > 3 { &[0] } else { &[0, 1, 2, 3, 4, 4] }) {
            1 => Said::Not(inner(self)),
            2 => Said::Both(inner(self), inner(self)),
            3 => Said::Either(inner(self), inner(self)),
            4 => {
                let from = self.place(bound, 2);
                let ways: Vec<_> = RELATIONS.iter().filter(|one| one.0 == from.kind && one.5).collect();
                if from.depth > 2 {
                    return *inner(self);
                }
                let way = *self.dice.pick(&ways);
                self.variables += 1;
                let variable = format!("x{}", self.variables);
                let own = At { text: variable.clone(), kind: way.3, depth: from.depth + 1, row: None };
                let leaf = Box::new(self.leaf(&own, std::slice::from_ref(&own)));
                let bound: Vec<At<'_>> = bound.iter().cloned().chain([own]).collect();
                let rest = Box::new(self.condition(&bound, level + 1));
                Said::Some(from.text, way.1, variable, Box::new(Said::Both(leaf, rest)))
            }
            _ => {
                let at = self.place(bound, 3);
                self.leaf(&at, bound)
            }
        }
    }
}

/// Random rows; some are replaced and some taken back.
pub(super) async fn fill(world: &World, dice: &mut Dice) -> Rows {
    let text = |dice: &mut Dice| dice.pick(&[json!("a"), json!("b"), json!("c"), json!(null)]).clone();
    let number = |dice: &mut Dice| dice.pick(&[json!(0), json!(1), json!(2), json!(3), json!(null)]).clone();
    let codes = ["1", "2", "3", "-4", "x", "01", "", "9223372036854775807"].map(Value::from);
    let nulled = [json!("1"), json!("x"), json!("nobody"), json!(null), json!("3"), json!("")];
    let made = |kind: usize, dice: &mut Dice, n: usize| match kind {
        ORDER => {
            json!({"ref": dice.pick(&nulled), "status": text(dice), "total": number(dice), "up": number(dice),
            "no": dice.pick(&[json!(1), json!(2), json!(-4), json!(n), json!(i64::MAX), json!(null)])})
        }
        BUYER => {
            json!({"code": dice.pick(&codes), "region": text(dice), "level": number(dice), "firmNo": number(dice)})
        }
        _ => json!({"land": text(dice), "size": number(dice)}),
    };
    let mut rows = Rows::default();
    for (kind, count) in [(ORDER, 60), (BUYER, 24), (FIRM, 3)] {
        // Every field is there, of its type, before anything is null.
        let first = [
            json!({"ref": "1", "status": "a", "total": 1, "up": 1, "no": i64::MAX}),
            json!({"code": "x", "region": "a", "level": 1, "firmNo": 1}),
            json!({"land": "a", "size": 1}),
        ];
        for n in 0..count {
            let uid = if kind == FIRM { n.to_string() } else { format!("{n:03}") };
            let one = if n == 0 { first[kind].clone() } else { made(kind, dice, n) };
            let mut last = one.clone();
            let mut effects = vec![effect_of(KINDS[kind], "web", &uid, 1, Some(&one))];
            let gone = kind != ORDER && n > 0 && n % 7 == 0;
            if n % 5 == 1 {
                last = made(kind, dice, n);
                effects.push(effect_of(KINDS[kind], "web", &uid, 2, Some(&last)));
            }
            if gone {
                effects.push(effect_of(KINDS[kind], "web", &uid, 3, None));
            }
            for effect in effects {
                world.apply(&[effect]).await;
            }
            if !gone {
                last["uid"] = json!(uid);
                rows[kind].push(last);
            }
        }
    }
    rows
}

pub(super) async fn relate(world: &World) {
    let admin = with_roles(&["admin", "steward", "pii"]);
    for pair in RELATIONS.chunks(2) {
        let [(from, name, own, to, theirs, _), (_, inverse, ..)] = pair else { panic!("pairs") };
        let end = |kind: &usize, path: &str| End {
            collection: ["shopOrder", "shopBuyer", "shopFirm"][*kind].into(),
            path: if path == "uid" { "_record.sourceUid".into() } else { format!("/{path}") },
        };
        let (name, inverse_name) = (Some((*name).to_owned()), Some((*inverse).to_owned()));
        let accept = Accept { from: end(from, own), to: end(to, theirs), name, inverse_name };
        world.publishing.accept_relation(&admin, &accept).await.unwrap();
    }
}

fn scoped(scope: &Arc<Scope>, collection: &Arc<Collection>, root: Root) -> crate::policy::Scoped<Query> {
    let (limits, signer) = (config::Graphql::default(), Signer::new(b"secret"));
    let asked = match root {
        Root::Changes => field("shopOrder", json!({}), vec![leaf("op")]),
        _ => {
            let nodes = field("nodes", json!({}), vec![some("_record", &["sourceUid"])]);
            field("shopOrder", json!({"first": 1000}), vec![nodes])
        }
    };
    scope.apply(compile(collection, root, &asked, &limits, &signer).unwrap()).unwrap()
}

/// The uids of the rows that a scope shows, and of the changes that it tells: those about which memory is sure, and
/// those that the store was asked about.
async fn shown(world: &World, scope: &Arc<Scope>, collection: &Arc<Collection>) -> [BTreeSet<String>; 3] {
    let (mut out, signer, budget) = (Vec::new(), Signer::new(b"secret"), Budget::new(1 << 30));
    let list = scoped(scope, collection, Root::List);
    world.store.fetch(&list, &signer, &budget, &mut out).await.unwrap();
    let answer: Value = serde_json::from_slice(&out).unwrap();
    let nodes = answer["nodes"].as_array().unwrap();
    let rows = nodes.iter().map(|node| node["_record"]["sourceUid"].as_str().unwrap().to_owned()).collect();
    let live = scoped(scope, collection, Root::Changes);
    let (changes, _) = world.store.tail(collection.id, 0, 10_000, usize::MAX).await.unwrap();
    let said = world.publishing.judged(&live, &changes).await.unwrap();
    let (mut sure, mut asked) = (BTreeSet::new(), BTreeSet::new());
    for (change, said) in changes.into_iter().zip(said) {
        match live.open(change.change, live.get().filter(), said) {
            Opened::Upsert(change) => {
                let row = change.after.as_ref().unwrap();
                let uid = row.get("_record").unwrap().get("sourceUid").unwrap().as_str().unwrap().to_owned();
                if scope.rows().decide(row) == Some(true) { &mut sure } else { &mut asked }.insert(uid);
            }
            Opened::LeftScope(change) | Opened::Delete(change) => {
                assert!(change.after.is_none(), "{change:?}");
            }
            Opened::Nothing => {}
        }
    }
    [rows, sure, asked]
}

#[tokio::test]
async fn rules_that_follow_relations_mean_what_they_say() {
    let (mut some_rows, mut follow) = (0, 0);
    for world in worlds("rules").await {
        let mut dice = Dice(0x0dd_ba11_5eed);
        let rows = fill(&world, &mut dice).await;
        relate(&world).await;
        let catalog = world.store.catalog.load();
        let collection = catalog.collections.get("shopOrder").unwrap();
        let who = with_roles(&["consumer"]);
        for case in 0..250 {
            let mut maker = Maker { dice: &mut dice, variables: 0 };
            let row = At { text: "row".into(), kind: ORDER, depth: 0, row: None };
            let said = maker.condition(std::slice::from_ref(&row), 0);
            let text = format!(
                "allow(_: User, \"read\", row: ShopOrder) if ({}) and row = row;\nallow_field(_, _, _, _);",
                said.text()
            );
            let engine = Engine::from_texts(&world.config.policy, &[("p.polar", &text)])
                .unwrap_or_else(|error| panic!("{case}: {}", error.message()));
            let all: Vec<_> = catalog.collections.values().cloned().collect();
            let found = engine.check(&all);
            assert!(found.misfits.is_empty() && found.sleeping.is_empty(), "{case}: {text}: {found:?}");
            let expected: BTreeSet<String> = rows[ORDER]
                .iter()
                .filter(|order| said.holds(&rows, &[At { row: Some(order), ..row.clone() }]))
                .map(|order| order["uid"].as_str().unwrap().to_owned())
                .collect();
            let scope = engine.scope(&who, &catalog.collections, collection).unwrap();
            let [listed, sure, asked] = match &scope {
                Some(scope) => shown(&world, scope, collection).await,
                None => Default::default(),
            };
            assert_eq!(listed, expected, "{case}: {text}: {:?}", scope.as_ref().map(|scope| scope.rows()));
            // Of what only the store can tell no version is told that is replaced by now.
            assert!(asked.is_subset(&expected), "{case}: {text}");
            assert!(
                asked.union(&sure).cloned().collect::<BTreeSet<_>>().is_superset(&expected),
                "{case}: {text}"
            );
            follow += usize::from(!asked.is_empty());
            some_rows += usize::from(!expected.is_empty() && expected.len() < rows[ORDER].len());
        }
    }
    assert!(some_rows > 100 && follow > 100, "{some_rows} {follow}");
}
