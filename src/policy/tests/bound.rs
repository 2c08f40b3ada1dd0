//! What an actor may under a contract: to read what both allow, and nothing else.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{actor, engine, orders};
use crate::config;
use crate::contract::{Agreed, Contract, Contracts};
use crate::policy::{Access, Action, Engine};
use crate::record::{Actor, Source};

const ALL: &str = r#"
allow(_: User, _, _);
allow_field(_: User, "read", _: Row, _: Field);
"#;

fn agree(engine: &Engine, terms: Value) {
    let contract: Contract = serde_json::from_value(json!({
        "name": "acme", "version": 1, "consumers": [{"claim": "subject", "value": "ann"}],
        "collections": {"orderClothing": terms},
    }))
    .unwrap();
    engine.agree(Contracts::new(vec![Agreed { contract, pinned: Default::default() }]));
}

#[test]
fn under_a_contract_nobody_acts_or_manages() {
    let engine = engine(ALL);
    agree(&engine, json!({"fields": ["region"]}));
    let ann = actor("ann", &[], json!({}));
    let (source, orders) = (Source::new("shop", "order", "web").unwrap(), orders());
    for action in [Action::Source, Action::Retract, Action::Steward, Action::Administer] {
        assert!(engine.allow(&ann, action).is_ok() && engine.allow_source(&ann, action, &source).is_ok());
    }
    let bound = engine.bind(ann.clone().into(), Some("acme")).unwrap();
    for action in [Action::Source, Action::Retract, Action::Steward, Action::Administer] {
        assert!(
            engine.allow(&bound, action).is_err() && engine.allow_source(&bound, action, &source).is_err()
        );
    }
    assert!(
        engine.scope(&ann, &Default::default(), &orders).unwrap().is_some()
            && engine.scope(&bound, &Default::default(), &orders).unwrap().is_none()
    );
}

#[test]
fn views_are_those_of_the_contracts_in_force() {
    let engine = engine(ALL);
    let orders = Arc::new(orders());
    let shown = |engine: &Engine, id: u32| {
        let bound = engine.bind(actor("ann", &[], json!({})).into(), Some("acme")).unwrap();
        let (_, scope) = engine.view(&bound, &Default::default(), &orders).unwrap().unwrap();
        // What can hold texts of any field is in no contract.
        assert_eq!((scope.rescued(), scope.rest()), (&Access::Hidden, &Access::Hidden));
        scope.access(id) == &Access::Visible
    };
    agree(&engine, json!({"fields": ["region"]}));
    assert!(shown(&engine, 1) && !shown(&engine, 2));
    agree(&engine, json!({"fields": ["amount"]}));
    assert!(!shown(&engine, 1) && shown(&engine, 2));
    let free = actor("bob", &[], json!({}));
    let (_, scope) = engine.view(&free, &Default::default(), &orders).unwrap().unwrap();
    assert_eq!((scope.rescued(), scope.rest()), (&Access::Visible, &Access::Visible));
}

#[test]
fn standings_are_the_same_for_those_who_are_shown_the_same_alone() {
    let engine = engine("allow(user: User, \"read\", row: Row) if row.region = user.region;");
    let of = |actor: &Actor| {
        let mut out = Vec::new();
        engine.standing(actor, &mut out).unwrap();
        out
    };
    let [ann, bob, eve] = [("ann", "eu", 1), ("bob", "eu", 2), ("eve", "us", 1)]
        .map(|(subject, region, shift)| actor(subject, &[], json!({"region": region, "shift": shift})));
    assert_eq!(of(&ann), of(&bob), "they differ in what no rule reads");
    assert_ne!(of(&ann), of(&eve));
    let before = of(&ann);
    agree(&engine, json!({"fields": ["region"]}));
    assert_ne!(of(&ann), before, "a contract is in force since");
    assert_ne!(of(&ann), of(&bob), "one of them has it and asks without");
    let bound = engine.bind(ann.clone().into(), Some("acme")).unwrap();
    assert_ne!(of(&bound), of(&ann));
}

#[test]
fn standings_change_with_the_policies() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(dir.path().join("p.polar"), text).unwrap();
    write("allow(_: User, \"read\", _: Row);");
    let config = config::Policy { directory: Some(dir.path().into()), ..Default::default() };
    let engine = Engine::load(&config, dir.path()).unwrap();
    let (ann, [mut before, mut after]) = (actor("ann", &[], json!({})), [Vec::new(), Vec::new()]);
    engine.standing(&ann, &mut before).unwrap();
    write("allow(_: User, \"read\", row: Row) if row.region = \"eu\";");
    engine.put_in_force(engine.look().unwrap().unwrap()).unwrap();
    engine.standing(&ann, &mut after).unwrap();
    assert_ne!(before, after);
}
