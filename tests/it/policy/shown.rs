//! Random `allow_field` and `mask_field` rules: which fields a scope shows in which rows, and how, is what polar-core's
//! machine says of each field and row.
//!
//! `WELLSPRING_FUZZ_POLICIES` says how many policies (300). A mask that depends on the row masks every row on purpose,
//! so of those is only asked that nothing is shown which the machine masks, and nothing less strictly.

use std::env;

use serde_json::{Value, json};
use wellspring::{
    config,
    policy::{Access, Engine},
    query::{Collection, Mask, walk},
    record::{Actor, Json},
    shape::{Kind, Scalar},
};

use super::fuzz::{known, place};
use super::random::{Random, claims, condition};
use super::vm::Vm;
use crate::support::Backend;

/// From the strictest on; of a text that each of them fits.
const MASKS: [&str; 4] = ["\"null\"", "\"hash\"", "{keep_last: 2}", "{keep_first: 3}"];

/// A leaf as rules see it, and the objects and lists around it.
struct Leaf {
    id: u32,
    text: bool,
    facts: Value,
    above: Vec<Value>,
}

fn facts(names: &[&str], path: &str) -> Value {
    let parents: Vec<String> = (1..names.len()).map(|n| names[..n].join(".")).collect();
    json!({"name": names.join("."), "path": path, "tags": [], "parents": parents, "classified": true,
        "published": true})
}

fn leaves(collection: &Collection) -> Vec<Leaf> {
    let (mut leaves, mut paths) = (Vec::new(), Vec::new());
    walk(&collection.shape, &mut |above, field| {
        let names: Vec<&str> = above.iter().copied().chain([field.name.as_str()]).collect();
        paths.push((names.join("."), field.path.clone()));
        let item = if let Kind::List(item) = &field.kind { item.as_ref() } else { &field.kind };
        let Kind::Scalar(scalar) = item else { return };
        let around = (1..names.len()).map(|n| {
            let path = paths.iter().find(|(name, _)| *name == names[..n].join("."));
            facts(&names[..n], &path.unwrap().1)
        });
        leaves.push(Leaf {
            id: field.id,
            text: *scalar == Scalar::String,
            above: around.collect(),
            facts: facts(&names, &field.path),
        });
    });
    leaves
}

fn about_field(random: &mut Random) -> String {
    let name = random.pick(&["s", "n", "o.s", "o.q.s", "p.k", "p.q.s", "l", "o", "p"]);
    match random.below(8) {
        0 | 1 => format!("f.name = \"{name}\""),
        2 => format!("f.name in [\"{name}\", \"s\", \"p.n\", \"t\"]"),
        3 => format!("{} in f.parents", random.pick(&["\"o\"", "\"p\"", "\"o.q\""])),
        4 => format!("f.name.starts_with({})", random.pick(&["\"o.\"", "\"p.\"", "\"s\"", "u.region"])),
        5 => format!("f.path = \"{}\"", random.pick(&["/s", "/o/s", "/p/*/k", "/o/q/s"])),
        6 => "f.classified".to_owned(),
        _ => format!("not f.name = \"{name}\""),
    }
}

fn about_user(random: &mut Random) -> String {
    let all = [
        "\"a\" in u.groups",
        "u.region = \"a\"",
        "u.flag = true",
        "u.level > 0",
        "u.region != \"b\"",
        "u = u",
    ];
    random.pick(&all).to_owned()
}

/// A policy, and whether its masks look at no row.
fn policy(random: &mut Random) -> (String, bool) {
    let mut text = String::from("allow(_, \"read\", _: Row);\n");
    let used = "u = u and row = row and f = f";
    for _ in 0..=random.below(3) {
        let (field, user) = (about_field(random), about_user(random));
        let row = match random.below(3) {
            0 => condition(random, 1),
            _ => "row = row".to_owned(),
        };
        let both = random.pick(&["and", "or"]);
        text.push_str(&format!(
            "allow_field(u: User, \"read\", row: FuzzThing, f: Field)\n  \
             if ({field} {both} {user}) and ({row}) and {used};\n"
        ));
    }
    let plain = random.below(2) == 0;
    for _ in 0..random.below(4) {
        let (field, user, mask) = (about_field(random), about_user(random), random.pick(&MASKS));
        let row = if plain { "row = row".to_owned() } else { condition(random, 1) };
        text.push_str(&format!(
            "mask_field(u: User, row, f: Field, {mask}) if {field} and {user} and ({row}) and {used};\n"
        ));
    }
    // Rules that a condition may call, and one of each kind, so that the machine knows all of them.
    text.push_str(
        "mask_field(_, _, f: Field, \"null\") if f.name = \"no such\";\nhelper(u, row) if u = u and row = row;\n\
         near(x, u) if x = u.region;\nnear(x, u) if x in u.groups;\nsmall(x) if x < 2;\nsmall(0);\n",
    );
    (text, plain)
}

fn rank(mask: &Mask) -> usize {
    match mask {
        Mask::Null => 0,
        Mask::Hash => 1,
        Mask::KeepLast(2) => 2,
        Mask::KeepFirst(3) => 3,
        other => panic!("no rule says {other:?}"),
    }
}

/// What is wrong with how a leaf is shown in a row, if anything.
fn wrong(
    (vm, user): (&Vm, &Value),
    (image, row): (&Json, &Value),
    leaf: &Leaf,
    (access, holds): (&Access, bool),
    plain: bool,
) -> Option<String> {
    let allowed = match vm.allows_field(user, row, &leaf.facts) {
        Ok(allowed) => allowed,
        Err(reason) => return Some(reason),
    };
    let shown = *access != Access::Hidden && holds;
    if shown != allowed {
        return Some(format!("shown {shown}, allowed {allowed}: {} in {image}", leaf.facts));
    }
    let mut masks = Vec::new();
    for facts in leaf.above.iter().chain([&leaf.facts]) {
        masks.extend(vm.masks(user, row, facts).unwrap());
    }
    let strictest = masks.iter().map(|mask| MASKS.iter().position(|known| known == mask).unwrap()).min();
    let fits = match (access, strictest) {
        (Access::Hidden, _) => true,
        (Access::Visible, strictest) => strictest.is_none(),
        (Access::Masked(_), None) => !plain,
        (Access::Masked(mask), Some(strictest)) if leaf.text && plain => rank(mask) == strictest,
        (Access::Masked(mask), Some(strictest)) => !leaf.text || rank(mask) <= strictest,
    };
    (!fits).then(|| format!("{access:?}, masks {masks:?}: {} in {image}", leaf.facts))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_are_shown_as_the_machine_says() {
    let count = env::var("WELLSPRING_FUZZ_POLICIES").map_or(300, |text| text.parse().unwrap());
    let place = place(Backend::Embedded).await;
    let collection = place.reader.collection();
    let leaves = leaves(&collection);
    assert!(leaves.len() > 20);
    let (mut decided, mut shown, mut masked, mut faults) = (0, 0, 0, Vec::new());
    for seed in 1..=count {
        let mut random = Random::new(seed + 1_000_000);
        let (text, plain) = policy(&mut random);
        let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", &text)])
            .unwrap_or_else(|e| panic!("{text}\n{}", e.message()));
        let vm = Vm::load(&text, "FuzzThing");
        let claims = claims(&mut random);
        if text.contains("u.level + 1") && claims.get("level").is_none_or(Value::is_null) {
            continue;
        }
        let actor = Actor {
            subject: "u".into(),
            roles: Vec::new(),
            claims: claims.as_object().unwrap().clone(),
            contract: None,
            key: None,
        };
        let scope = engine.scope(&actor, &Default::default(), &collection).unwrap();
        for _ in 0..6 {
            let leaf = &leaves[random.below(leaves.len())];
            let (_, image) = &place.images[random.below(place.images.len())];
            let access = scope.as_ref().map_or(&Access::Hidden, |scope| scope.access(leaf.id));
            let condition = scope.as_ref().and_then(|scope| scope.condition(leaf.id));
            let holds = condition.is_none_or(|condition| condition.eval(image));
            decided += 1;
            shown += usize::from(*access != Access::Hidden && holds);
            masked += usize::from(matches!(access, Access::Masked(_)));
            let (row, access) = (known(image), (access, holds));
            if let Some(reason) = wrong((&vm, &claims), (image, &row), leaf, access, plain) {
                faults.push(format!("{reason}\n{text}{claims}\n"));
            }
        }
    }
    println!(
        "{count} policies: {decided} fields in rows, {shown} shown, {masked} masked, {} differ",
        faults.len()
    );
    let few = faults[..faults.len().min(4)].join("\n");
    assert!(faults.is_empty(), "{} differ\n{few}", faults.len());
    assert!(
        shown > decided / 10 && shown < decided * 9 / 10 && masked > decided / 50,
        "{shown} {masked} of {decided}"
    );
}
