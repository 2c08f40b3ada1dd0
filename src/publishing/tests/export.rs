//! Exports of random rows under rules that hide, mask and show in some rows only: pages of any size are the list, and
//! cells say what JSON does.

use serde_json::{Value, json};

use super::differential::{Dice, condition, fill, with_enums};
use super::{World, field, leaf, some, with_roles, worlds};
use crate::format;
use crate::policy::Engine;
use crate::publishing::{Root, Step, Visible};
use crate::query::{Budget, PageCursor, Selected};

/// All is shown; and some of it is hidden, masked, or shown in some rows.
const POLICIES: [&str; 2] = [
    "allow(_: User, \"read\", _: Row); allow_field(_, _, _, _);",
    r#"allow(_: User, "read", _: Row);
       allow_field(_: User, "read", _: Row, f: Field) if not f.name in ["b", "o.s", "items.n", "_record.author"]
         and not f.name in ["x", "o", "o.i", "ls"];
       allow_field(_: User, "read", row: ShopOrder, f: Field) if f.name in ["x", "o", "o.i", "ls"] and row.i = 2;
       mask_field(_: User, _: Row, f: Field, "hash") if f.name in ["s", "_record.key", "map"];
       mask_field(_: User, _: Row, f: Field, {round: 2}) if f.name in ["i", "big", "li"];
       mask_field(_: User, _: Row, f: Field, {truncate: "month"}) if f.name in ["t", "d"];"#,
];

fn selected(collection: &Visible) -> Vec<Selected> {
    let (shape, scope) = (&collection.0.shape, &collection.1);
    let seen = |path: &[&str]| {
        let hidden = |id| scope.access(id) == &crate::policy::Access::Hidden;
        shape.find(path).is_some_and(|field| !hidden(field.id))
    };
    let names = ["i", "big", "x", "b", "t", "d", "s", "li", "ls"];
    let mut all: Vec<Selected> = names.into_iter().filter(|name| seen(&[name])).map(leaf).collect();
    let within: Vec<&str> = ["i", "s"].into_iter().filter(|name| seen(&["o", name])).collect();
    all.insert(2, some("o", &within));
    all.push(some("items", &["s"]));
    all.push(field("map", json!({}), vec![leaf("key"), some("value", &["s", "any"])]));
    all.push(some("_record", &["id", "key", "revision", "occurredAt", "purposes", "rescued"]));
    all.push(leaf("_rest"));
    all
}

/// The leaves, as tables have them.
fn columns(selected: &[Selected], above: &[String], all: &mut Vec<Vec<String>>) {
    for one in selected {
        let path = [above, &[one.name.to_string()]].concat();
        if matches!(&*one.name, "o" | "_record") {
            columns(&one.children, &path, all);
        } else {
            all.push(path);
        }
    }
}

/// The whole export, and its cursors' places.
async fn exported(
    world: &World,
    (from, asked): (&Visible, &Selected),
    (format, cells): (&str, bool),
    step: Step,
) -> (String, Vec<PageCursor>) {
    let mut all = Vec::new();
    columns(&asked.children[0].children, &[], &mut all);
    let export = world.publishing.export(from, &[], asked, (false, cells)).unwrap();
    let mut writer = format::by_name(format).unwrap().writer(&all);
    let (mut out, mut places) = (Vec::new(), Vec::new());
    writer.begin(&mut out);
    loop {
        let mut page = if places.is_empty() { std::mem::take(&mut out) } else { Vec::new() };
        let from = places.last();
        let read = world.publishing.export_page(&export, from, step, &mut *writer, &mut page).await.unwrap();
        assert!(read.rows <= step.rows_max, "{read:?}");
        out.append(&mut page);
        let Some(next) = read.next else { break };
        places.push(next);
    }
    writer.end(&mut out);
    (String::from_utf8(out).unwrap(), places)
}

#[tokio::test]
async fn pages_of_any_size_are_the_list_and_cells_say_what_json_does() {
    for world in worlds("export").await {
        let mut dice = Dice(0x1234_5678_9abc_def1);
        fill(&world, &mut dice, 80).await;
        let who = with_roles(&["admin"]);
        let catalog = world.store.catalog.load();
        let collection = catalog.collections.values().next().unwrap();
        for (round, policy) in (0..60).zip(POLICIES.iter().cycle()) {
            let engine = Engine::from_texts(&world.config.policy, &[("p.polar", policy)]).unwrap();
            let scope = engine.scope(&who, &catalog.collections, collection).unwrap().unwrap();
            let named = if round % 3 == 2 { with_enums(collection) } else { collection.clone() };
            let from = (named, scope);
            // What is masked, or hidden in some rows, cannot be asked for.
            let filter = if round % 2 == 0 && round % 3 != 2 { condition(&mut dice, 0) } else { json!({}) };
            let order = dice.pick(&[json!([]), json!([{"_record": {"occurredAt": "DESC"}}])]).clone();
            let arguments = json!({"first": 1000, "where": filter, "orderBy": order});
            let asked =
                field("shopOrder", arguments.clone(), vec![field("nodes", json!({}), selected(&from))]);
            let mut whole = Vec::new();
            let budget = Budget::new(1 << 30);
            world.publishing.read(&from, &[], Root::List, &asked, &budget, &mut whole).await.unwrap();
            let whole: Value = serde_json::from_slice(&whole).unwrap();
            let step =
                Step { rows_max: *dice.pick(&[1, 3, 7, 100]), bytes_max: *dice.pick(&[1, 900, usize::MAX]) };
            let (json, places) = exported(&world, (&from, &asked), ("json", false), step).await;
            let rows: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(rows, whole["nodes"], "{arguments} {step:?}");
            let count = rows.as_array().unwrap().len();
            let least = if step.bytes_max == 1 { count } else { count.div_ceil(step.rows_max) };
            assert!(places.len() + 1 >= least, "{} pages of {count} rows: {step:?}", places.len() + 1);
            let (one, _) = exported(&world, (&from, &asked), ("csv", true), step).await;
            let (other, _) = exported(&world, (&from, &asked), ("csv", false), step).await;
            assert_eq!(one, other, "{arguments} {policy}");
            assert!(one.matches("\r\n").count() > count, "{one}");
        }
    }
}
