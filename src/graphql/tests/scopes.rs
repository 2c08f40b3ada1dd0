//! Whose view of which collections a request asks for: compiling a scope costs time.

use std::cell::RefCell;
use std::sync::Arc;

use super::orders;
use crate::config;
use crate::graphql::names;
use crate::graphql::prepare::{Preparer, Transport, Wanted};
use crate::graphql::{Context, Request};
use crate::policy::Engine;
use crate::record::{Actor, Json};
use crate::shape::{Published, Relation};

/// From coats to clothing with the same status.
fn twins() -> Relation {
    Relation {
        id: "1".into(),
        name: "twins".into(),
        field: 1,
        other: "orderClothing".into(),
        other_field: 1,
        many: true,
        removed: false,
    }
}

/// The collections that were scoped for a document, and what was wrong with it.
async fn scoped(query: &str) -> (Vec<String>, Vec<String>) {
    scoped_by(&Preparer::new(Arc::new(config::Config::default())), query).await
}

async fn scoped_by(preparer: &Preparer, query: &str) -> (Vec<String>, Vec<String>) {
    scoped_with(preparer, None, query, "{}").await
}

async fn scoped_with(
    preparer: &Preparer,
    standing: Option<&str>,
    query: &str,
    variables: &str,
) -> (Vec<String>, Vec<String>) {
    let policy = "allow(_: User, \"read\", _: Row);\nallow_field(_, _, _, _);";
    let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", policy)]).unwrap();
    let mut coats = orders();
    (coats.id, coats.field_name, coats.type_name) = (8, "orderCoats".into(), "OrderCoats".into());
    coats.shape = Arc::new(Published { relations: vec![twins()], ..Published::clone(&coats.shape) });
    let catalog = [Arc::new(orders()), Arc::new(coats)];
    let actor = Actor { subject: "ann".into(), ..Actor::anonymous() };
    let scoped = RefCell::new(Vec::new());
    let visible = |wanted: Wanted<'_>| {
        let wanted = catalog.iter().filter(|collection| match wanted {
            Wanted::Like(name) => names::likeness(name, &collection.field_name) > 0.95,
            Wanted::Named(names) => names.contains(&collection.field_name),
        });
        let scope = |collection: &Arc<_>| {
            let collection: &Arc<crate::query::Collection> = collection;
            scoped.borrow_mut().push(collection.field_name.clone());
            Ok(engine
                .scope(&actor, &Default::default(), collection)?
                .map(|scope| (collection.clone(), scope)))
        };
        wanted.filter_map(|collection| scope(collection).transpose()).collect()
    };
    let context = Context {
        actor: actor.clone().into(),
        request_id: "r".into(),
        traceparent: None,
        mutations: false,
        transport: crate::contract::Transport::Http,
        format: crate::contract::Format::Json,
    };
    let Json::Object(variables) = Json::try_from(variables).unwrap() else { panic!("an object") };
    let request = Request { query: query.into(), operation_name: None, variables };
    let standing = standing.map(|text| text.as_bytes().to_vec());
    let faults = preparer.prepare(&context, &request, Transport::Stream, standing, visible).await.err();
    let faults = faults.into_iter().flatten().map(|fault| fault.message().to_owned()).collect();
    (scoped.into_inner(), faults)
}

#[tokio::test]
async fn only_the_collections_that_a_document_names_are_scoped() {
    for query in ["{ orderCoats { totalCount } }", "{ orderCoatsAggregate { count } lag { outbox } }"] {
        assert_eq!(scoped(query).await, (vec!["orderCoats".to_owned()], Vec::new()), "{query}");
    }
    assert_eq!(scoped("{ lag { outbox } }").await, (Vec::new(), Vec::new()));
    let (asked, faults) = scoped("{ orderCoats { nodes { statos } } }").await;
    assert_eq!(asked, ["orderCoats"]);
    assert!(faults.iter().all(|fault| fault.contains("did you mean `status`?")), "{faults:?}");
    let (_, faults) = scoped("{ orderCoats { status } }").await;
    assert_eq!(
        faults,
        ["unknown field `status` on `OrderCoatsConnection`; rows are in `nodes`: `{ nodes { status } }`"]
    );
}

#[tokio::test]
async fn a_root_field_that_is_not_known_is_told_with_the_one_most_like_it() {
    let (asked, faults) = scoped("{ orderCoat { totalCount } }").await;
    assert_eq!(asked, ["orderCoats"]);
    assert!(faults.iter().all(|fault| fault.contains("did you mean `orderCoats`?")), "{faults:?}");
    assert!(!faults.is_empty());
}

#[tokio::test]
async fn a_subscription_to_what_is_not_there_is_told_with_the_one_most_like_it() {
    for query in [
        "subscription { orderCoat { op } }",
        "subscription { ... { ...F } } fragment F on Subscription { orderCoat { op } }",
    ] {
        let (asked, faults) = scoped(query).await;
        assert_eq!(asked, ["orderCoats"]);
        assert_eq!(faults, ["unknown field `orderCoat` on `Subscription`; did you mean `orderCoats`?"]);
    }
}

#[tokio::test]
async fn only_fragments_on_a_root_type_name_collections() {
    let query = "{ orderCoats { ...F } } fragment F on OrderCoatsConnection { orderClothing: totalCount }";
    assert_eq!(scoped(query).await, (vec!["orderCoats".to_owned()], Vec::new()));
    let query = "{ orderCoats { ...F } } fragment F on OrderCoatsConnection { orderClothing }";
    assert_eq!(scoped(query).await.0, ["orderCoats"]);
}

#[tokio::test]
async fn caches_are_bounded_by_what_their_entries_take() {
    let mut config = config::Config::default();
    (config.graphql.documents_max, config.graphql.slices_max) = (64, 4);
    let preparer = Preparer::new(Arc::new(config));
    for n in 0..64 {
        let text = format!("{{ collection(name: \"{n}{}\") {{ name }} }}", "x".repeat(100_000));
        assert_eq!(scoped_by(&preparer, &text).await, (Vec::new(), Vec::new()));
    }
    let [documents, plans, _] = preparer.kept();
    assert!(documents < 8 && plans < 16, "{documents} documents, {plans} plans of 100 KB");
    for n in 0..64 {
        let text = format!("{{ n{n}: orderCoats {{ totalCount }} }}");
        assert_eq!(scoped_by(&preparer, &text).await.1, Vec::<String>::new());
    }
    let [documents, plans, slices] = preparer.kept();
    assert!(documents > 32 && plans > 32 && slices > 0, "{documents}, {plans}, {slices}");
}

#[tokio::test]
async fn who_has_the_same_standing_is_not_asked_about_again() {
    let preparer = Preparer::new(Arc::new(config::Config::default()));
    let query = "query($w: OrderCoatsFilter) { orderCoats(where: $w) { totalCount } }";
    let asked = async |standing: &str, variables: &str| {
        let (asked, faults) = scoped_with(&preparer, Some(standing), query, variables).await;
        assert_eq!(faults, [""; 0], "{variables}");
        asked
    };
    let (none, status) = ([""; 0], r#"{"w": {"status": {"eq": "new"}}}"#);
    let twins = r#"{"w": {"twins": {"some": {"status": {"eq": "new"}}}}}"#;
    assert_eq!(asked("a", "{}").await, ["orderCoats"]);
    assert_eq!(asked("a", status).await, none);
    assert_eq!(asked("b", status).await, ["orderCoats"], "who sees something else is");
    assert_eq!(asked("a", twins).await, ["orderCoats", "orderClothing"], "these lead to more collections");
    assert_eq!(asked("a", twins).await, ["orderCoats", "orderClothing"], "and stand for no others");
    assert_eq!(asked("a", "{}").await, none);
}
