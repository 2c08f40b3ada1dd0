//! The embedded base policy: what each role gets.

use std::sync::Arc;

use serde_json::json;

use crate::config;
use crate::error::Code;
use crate::policy::tests::{actor, orders, scope};
use crate::policy::{Access, Action, Engine, Scope};
use crate::query::{Collection, Filter, Mask, envelope};
use crate::record::{Actor, Source};
use crate::shape::Published;

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

/// [`orders`], where a uid was an e-mail address once.
fn by_email() -> Collection {
    let mut collection = Collection { id: 2, ..orders() };
    let mut shape = Published::clone(&collection.shape);
    shape.tag_envelope("sourceUid", "plain");
    assert!(shape.envelope.is_empty());
    assert!(!shape.covers_envelope("sourceUid", " ann@example.org "));
    shape.tag_envelope("sourceUid", " ann@example.org ");
    assert!(shape.covers_envelope("sourceUid", "bob@example.org"));
    assert!(!shape.covers_envelope("sourceUid", "+33 6 12 34 56 78"));
    assert!(!shape.covers_envelope("author", "bob@example.org"));
    collection.shape = Arc::new(shape);
    collection
}

fn access(scope: &Scope, name: &str) -> Access {
    scope.access(envelope(name).unwrap().id).clone()
}

#[test]
fn a_uid_that_is_personal_data_is_masked_and_so_is_the_key() {
    let engine = base();
    let seen = |who: &Actor| engine.scope(who, &Default::default(), &by_email()).unwrap().unwrap();
    let consumer = seen(&actor("c", &["consumer"], json!({})));
    for (name, expected) in [
        ("sourceUid", Access::Masked(Mask::Hash)),
        ("key", Access::Masked(Mask::Hash)),
        ("sourceName", Access::Visible),
        ("author", Access::Visible),
        ("id", Access::Visible),
    ] {
        assert_eq!(access(&consumer, name), expected, "{name}");
    }
    let pii = seen(&actor("c", &["consumer", "pii"], json!({})));
    assert_eq!((access(&pii, "sourceUid"), access(&pii, "key")), (Access::Visible, Access::Visible));
    let plain = scope(&engine, &actor("c", &["consumer"], json!({}))).unwrap();
    assert_eq!(access(&plain, "sourceUid"), Access::Visible, "other collections keep theirs");
}

#[test]
fn the_envelope_has_rules_like_any_field() {
    let seen = |rules: &str| {
        let text = format!("allow(_, \"read\", _: Row);\n{rules}");
        scope(&crate::policy::tests::engine(&text), &actor("u1", &[], json!({})))
    };
    let some = seen("allow_field(_, _, _, f: Field) if f.name in [\"region\", \"_record.author\"];").unwrap();
    assert_eq!(access(&some, "author"), Access::Visible);
    for hidden in ["id", "key", "revision", "sourceName", "sourceUid", "ingestedAt"] {
        assert_eq!(access(&some, hidden), Access::Hidden, "{hidden}");
    }
    let only = seen("allow_field(_, _, _, f: Field) if \"_record\" in f.parents and f.classified;").unwrap();
    assert_eq!((access(&only, "id"), only.access(1)), (Access::Visible, &Access::Hidden));
    assert_eq!(only.rescued(), &Access::Hidden);

    // The key is shown at most as what it is made of, by whatever rule.
    let all = "allow_field(_, _, _, _);\n";
    for (rule, key) in [
        ("mask_field(_, _, f: Field, {keep_last: 2}) if f.name = \"_record.sourceUid\";", Mask::Hash),
        ("mask_field(_, _, f: Field, \"null\") if f.path = \"_record.sourceName\";", Mask::Null),
        (
            "mask_field(_, _, f: Field, {keep_last: 9}) if f.name = \"_record.key\";\n\
             mask_field(_, _, f: Field, \"hash\") if f.name = \"_record.sourceUid\";",
            Mask::Hash,
        ),
    ] {
        assert_eq!(access(&seen(&format!("{all}{rule}")).unwrap(), "key"), Access::Masked(key), "{rule}");
    }
    let not_uid = "allow_field(_, _, _, f: Field) if not f.name = \"_record.sourceUid\";";
    assert_eq!(access(&seen(not_uid).unwrap(), "key"), Access::Hidden);
    let own = "allow_field(u: User, _, row: Row, f: Field)\n  if not f.name = \"_record.sourceUid\" \
        or row._record.author = u.subject;";
    let own = seen(own).unwrap();
    let key = envelope("key").unwrap().id;
    assert!(own.condition(key).is_some() && !own.comparable(key), "as its uid, in some rows");
}

/// The collection with some fields that nobody has classified: `amount`, and an e-mail address in a list.
fn kept_back(all: bool) -> Collection {
    let mut collection = orders();
    let mut shape = Published::clone(&collection.shape);
    let chosen = ["/amount".to_owned(), "/items".to_owned()];
    let paths = if all { None } else { Some(chosen.as_slice()) };
    shape.classify(paths, false, u32::MAX).unwrap();
    shape.version += 1;
    collection.shape = Arc::new(shape);
    collection
}

#[test]
fn what_nobody_has_classified_is_for_stewards() {
    let (engine, kept) = (base(), kept_back(false));
    let see = |roles: &[&str]| {
        engine.scope(&actor("x", roles, json!({})), &Default::default(), &kept).unwrap().unwrap()
    };
    let (consumer, steward) = (see(&["consumer"]), see(&["steward"]));
    let ids = kept.shape.fields().map(|field| field.id);
    let hidden: Vec<u32> = ids.filter(|id| consumer.access(*id) == &Access::Hidden).collect();
    assert_eq!(hidden, [2, 20, 21, 22]);
    assert_eq!(see(&["consumer", "pii"]).access(2), &Access::Hidden);
    assert_eq!((steward.access(2), steward.access(22)), (&Access::Visible, &Access::Masked(Mask::Hash)));
    // What is not even published is another matter.
    assert_eq!((steward.rest(), steward.rescued()), (&Access::Hidden, &Access::Hidden));
    assert_eq!(see(&["steward", "pii"]).rescued(), &Access::Visible);
    assert_eq!(see(&["admin"]).access(22), &Access::Visible);
}

#[test]
fn a_collection_without_a_classified_field_is_there_for_stewards_only() {
    let (engine, kept) = (base(), kept_back(true));
    let see =
        |roles: &[&str]| engine.scope(&actor("x", roles, json!({})), &Default::default(), &kept).unwrap();
    assert!(see(&["consumer"]).is_none() && see(&["consumer", "pii"]).is_none());
    let steward = see(&["steward"]).unwrap();
    let uid = envelope("sourceUid").unwrap().id;
    assert_eq!((steward.access(1), steward.access(uid)), (&Access::Visible, &Access::Visible));
}
