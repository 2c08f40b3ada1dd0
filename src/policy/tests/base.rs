//! The embedded base policy: what each role gets.

use serde_json::json;

use crate::config;
use crate::error::Code;
use crate::policy::tests::{actor, scope};
use crate::policy::{Access, Action, Engine};
use crate::query::{Filter, Mask};
use crate::record::{Actor, Source};

fn base() -> Engine {
    Engine::load(&config::Policy::default(), std::path::Path::new("/nowhere"))
        .unwrap_or_else(|e| panic!("{}", e.message()))
}

fn source(category: &str) -> Source {
    Source::new(category, "clothing", "shop").unwrap()
}

#[test]
fn nobody_gets_nothing() {
    let engine = base();
    assert!(scope(&engine, &Actor::anonymous()).is_none());
    let refused = engine.allow_source(&Actor::anonymous(), Action::Source, &source("order")).unwrap_err();
    assert_eq!(refused.code(), Code::Forbidden);
    assert!(refused.message().contains("`source`"), "{}", refused.message());
    assert!(engine.allow(&Actor::anonymous(), Action::Administer).is_err());
}

#[test]
fn a_consumer_reads_all_rows_with_personal_data_masked() {
    let scope = scope(&base(), &actor("c", &["consumer"], json!({}))).unwrap();
    assert_eq!(scope.rows(), &Filter::Const(true));
    assert_eq!(scope.access(1), &Access::Visible);
    assert_eq!(scope.access(11), &Access::Masked(Mask::Hash));
    assert_eq!(scope.access(22), &Access::Masked(Mask::Hash));
    assert_eq!(scope.access(10), &Access::Visible);
    assert_eq!(scope.access(999), &Access::Hidden);
    assert_eq!(scope.rest(), &Access::Hidden);
    assert_eq!(scope.rescued(), &Access::Hidden);
}

#[test]
fn pii_and_admin_see_it_plain() {
    for who in [actor("c", &["consumer", "pii"], json!({})), actor("a", &["admin"], json!({}))] {
        let scope = scope(&base(), &who).unwrap();
        assert_eq!(scope.access(11), &Access::Visible);
    }
    assert_eq!(scope(&base(), &actor("a", &["admin"], json!({}))).unwrap().rescued(), &Access::Visible);
    assert_eq!(scope(&base(), &actor("s", &["steward"], json!({}))).unwrap().rescued(), &Access::Hidden);
    assert!(scope(&base(), &actor("p", &["pii"], json!({}))).is_none(), "pii alone reads nothing");
}

#[test]
fn a_source_sends_what_its_claim_lists() {
    let engine = base();
    let may =
        |who: &Actor, category: &str| engine.allow_source(who, Action::Source, &source(category)).is_ok();
    let any = actor("s", &["source"], json!({}));
    let some = actor("s", &["source"], json!({"categories": ["order"]}));
    let none = actor("s", &["source"], json!({"categories": []}));
    assert!(may(&any, "order") && may(&any, "movie"));
    assert!(may(&some, "order") && !may(&some, "movie"));
    assert!(!may(&none, "order"));
    assert!(!may(&actor("c", &["consumer"], json!({})), "order"));
    assert!(scope(&engine, &any).is_none(), "a source reads nothing");
    assert!(engine.allow(&any, Action::Steward).is_err());
}

#[test]
fn a_steward_stewards_and_an_admin_does_everything() {
    let engine = base();
    let steward = actor("s", &["steward"], json!({}));
    assert!(engine.allow(&steward, Action::Steward).is_ok());
    assert!(engine.allow(&steward, Action::Administer).is_err());
    let admin = actor("a", &["admin"], json!({}));
    for action in [Action::Steward, Action::Administer] {
        assert!(engine.allow(&admin, action).is_ok());
    }
    assert!(engine.allow_source(&admin, Action::Retract, &source("order")).is_ok());
}
