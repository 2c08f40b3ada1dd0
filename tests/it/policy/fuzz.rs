//! Random policies over the grammar that compiles, on documents that were sourced and materialised: the filter in
//! memory, SQLite, PostgreSQL and polar-core's machine decide alike, and none shows what the machine denies.
//!
//! `WELLSPRING_FUZZ_POLICIES` says how many policies (300); each meets three actors and every row, of which the
//! machine, being slow, is asked about five.
//!
//! Decided otherwise than the machine does, on purpose, and so left out of what is compared here. This is the whole
//! list; `tests/it/policy/shown` keeps to it, too:
//!
//! - A calculation with a missing claim: the machine denies the whole question with an error; ours denies that
//!   alternative, also under `not`.
//! - Types that do not fit a field: the machine raises an error, or answers `false` and `not` turns it; ours is never
//!   true. So is a field that the collection lacks.
//! - `true = 1` holds in the machine by `==` and not by `=`; ours never.
//! - `"a" in text` asks the machine for a character; ours refuses it at load, or is never true.
//! - `starts_with` of what is missing, or with it: a host's error; ours is false, and `not` turns it.
//! - A dictionary pattern without members fits what is null in the machine; ours never.
//! - A mask that depends on the row masks every row.

use std::{collections::BTreeSet, env, sync::Arc};

use serde_json::{Value, json};
use wellspring::{
    config,
    policy::{Engine, Scope},
    query::{Filter, Root},
    record::{Actor, Json},
};

use super::random::{FULL, Random, claims, document, policy};
use super::vm::Vm;
use crate::support::{Backend, Reader, TestApp, field, leaf};

const ROWS: usize = 120;

/// A database with the rows; the node on it stays as long as it is read.
pub struct Place {
    backend: Backend,
    pub reader: Reader,
    /// What events are filtered by: rows as they were when they were written, some before their fields were widened.
    pub images: Vec<(String, Json)>,
    _app: TestApp,
}

async fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for backend in [Backend::Embedded, Backend::Postgres] {
        if backend.available() {
            places.push(place(backend).await);
        }
    }
    places
}

/// The random rows, sourced and materialised.
pub async fn place(backend: Backend) -> Place {
    let app = TestApp::start(backend).await;
    let mut random = Random::new(7);
    let documents: Vec<String> = (0..ROWS).map(|id| document(&mut random, id, id < ROWS / 3)).collect();
    let (status, answer) = app.post("fuzz/thing/web/first", "application/json", FULL, &[]).await;
    assert_eq!(status, 202, "{answer}");
    app.settled().await;
    // What comes later widens what is there.
    for part in documents.chunks(ROWS / 3) {
        let (status, answer) =
            app.post("fuzz/thing/web?key=/id", "application/x-ndjson", part.join("\n"), &[]).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(part.len())), "{answer}");
        app.settled().await;
    }
    let reader = Reader::of(&app).await;
    let images = reader.images().await;
    let letters = app.data("{ deadLetters { key reason } }").await;
    assert_eq!(images.len(), ROWS + 1, "{backend:?} {letters}");
    Place { backend, reader, images, _app: app }
}

/// Numbers as Polar has them: a BigInt is one, and what is a Float by now is one.
fn numbers(row: &mut Value) {
    if let Some(text) = row.get("g").and_then(Value::as_str) {
        row["g"] = json!(text.parse::<i64>().unwrap());
    }
    for name in ["f", "w"] {
        if let Some(value) = row.get(name).filter(|value| !value.is_null()) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            row[name] = json!(text.parse::<f64>().unwrap());
        }
    }
}

/// A row as the machine gets it.
pub fn known(image: &Json) -> Value {
    let mut row: Value = serde_json::from_str(&image.to_text()).unwrap();
    row.as_object_mut().unwrap().remove("_record");
    numbers(&mut row);
    let items = row.get_mut("p").and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(numbers);
    for name in ["h", "j"] {
        let Some(items) = row.get_mut(name).and_then(Value::as_array_mut) else { continue };
        for item in items.iter_mut().filter(|item| !item.is_null()) {
            let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            let float = name == "j" || item.is_f64();
            *item =
                if float { json!(text.parse::<f64>().unwrap()) } else { json!(text.parse::<i64>().unwrap()) };
        }
    }
    row
}

/// The keys of the rows that a database shows.
async fn shown(reader: &Reader, scope: &Arc<Scope>) -> BTreeSet<String> {
    let record = field("_record", Value::Null, vec![leaf("key")]);
    let nodes = field("nodes", Value::Null, vec![record]);
    let asked = field("fuzzThing", json!({"first": 1000}), vec![nodes]);
    let answer: Value = serde_json::from_str(&reader.read(scope, Root::List, &asked).await).unwrap();
    let key = |node: &Value| node["_record"]["key"].as_str().unwrap().to_owned();
    answer["nodes"].as_array().unwrap().iter().map(key).collect()
}

#[derive(Default)]
struct Tally {
    decided: usize,
    allowed: usize,
    rows: usize,
    leaks: usize,
    faults: Vec<String>,
}

impl Tally {
    /// One policy and actor, in every place.
    async fn weigh(&mut self, places: &[Place], case: &Case<'_>) {
        let Case { text, engine, actor, .. } = case;
        for place in places {
            let collection = place.reader.collection();
            let scope = engine.scope(actor, &Default::default(), &collection).unwrap();
            let filter = scope.as_ref().map_or(Filter::Const(false), |scope| scope.rows().clone());
            let wanted: BTreeSet<String> = place
                .images
                .iter()
                .filter(|(_, image)| filter.eval(image))
                .map(|(key, _)| key.clone())
                .collect();
            let found = match &scope {
                Some(scope) => shown(&place.reader, scope).await,
                None => BTreeSet::new(),
            };
            self.rows += place.images.len();
            self.leaks += found.difference(&wanted).count();
            if found != wanted {
                let odd: Vec<_> = found.symmetric_difference(&wanted).take(3).collect();
                let rows: Vec<_> = place.images.iter().filter(|(key, _)| odd.contains(&key)).collect();
                let claims = json!(actor.claims);
                self.faults
                    .push(format!("{:?} differs\n{text}{claims}\n{rows:?}\n{filter:?}\n", place.backend));
            }
        }
    }

    /// The same, asked of the machine.
    fn ask(&mut self, filter: &Filter, image: &Json, vm: &Vm, case: &Case<'_>) {
        let claims = json!(case.actor.claims);
        let (ours, theirs) = (filter.eval(image), vm.allows(&claims, &known(image)));
        self.decided += 1;
        self.allowed += usize::from(ours);
        self.leaks += usize::from(ours && theirs != Ok(true));
        if theirs.as_ref() != Ok(&ours) {
            let text = case.text;
            self.faults.push(format!("{ours} but {theirs:?}\n{text}{claims}\n{image}\n{filter:?}\n"));
        }
    }
}

struct Case<'a> {
    text: &'a str,
    engine: &'a Engine,
    actor: Actor,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_both_databases_and_the_machine_decide_alike() {
    let count = env::var("WELLSPRING_FUZZ_POLICIES").map_or(300, |text| text.parse().unwrap());
    let places = places().await;
    let rows = |place: &Place| place.images.iter().map(|(_, image)| known(image)).collect::<Vec<_>>();
    for place in &places[1..] {
        for (one, other) in rows(&places[0]).iter().zip(rows(place)) {
            assert_eq!(one, &other, "the same rows everywhere");
        }
    }
    let images = &places[0].images;
    let collection = places[0].reader.collection();
    let mut tally = Tally::default();
    for seed in 1..=count {
        let mut random = Random::new(seed);
        let text = policy(&mut random);
        let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", &text)])
            .unwrap_or_else(|e| panic!("{text}\n{}", e.message()));
        let vm = Vm::load(&text, "FuzzThing");
        for _ in 0..3 {
            let claims = claims(&mut random);
            if text.contains("u.level + 1") && claims.get("level").is_none_or(Value::is_null) {
                continue;
            }
            let claims = claims.as_object().unwrap().clone();
            let actor = Actor { subject: "u".into(), roles: Vec::new(), claims, contract: None, key: None };
            let case = Case { text: &text, engine: &engine, actor };
            tally.weigh(&places, &case).await;
            let scope = engine.scope(&case.actor, &Default::default(), &collection).unwrap();
            let filter = scope.map_or(Filter::Const(false), |scope| scope.rows().clone());
            for _ in 0..5 {
                let (_, image) = &images[random.below(images.len())];
                tally.ask(&filter, image, &vm, &case);
            }
        }
    }
    let Tally { decided, allowed, rows, leaks, faults } = tally;
    println!(
        "{count} policies: {rows} rows by databases, {decided} decisions by the machine, {allowed} allowed, \
         {leaks} leaks, {} differ",
        faults.len()
    );
    let few = faults[..faults.len().min(4)].join("\n");
    assert!(faults.is_empty() && leaks == 0, "{} differ, {leaks} leaks\n{few}", faults.len());
    assert!(allowed > decided / 10 && allowed < decided * 9 / 10, "{allowed} of {decided} say little");
}
