//! Whose view of which collections a request asks for: compiling a scope costs time.

use std::cell::RefCell;
use std::sync::Arc;

use super::orders;
use crate::config;
use crate::graphql::prepare::{Preparer, Transport, Wanted};
use crate::graphql::{Context, Request};
use crate::policy::Engine;
use crate::record::Actor;

/// The collections that were scoped for a document, and what was wrong with it.
async fn scoped(query: &str) -> (Vec<String>, Vec<String>) {
    let policy = "allow(_: User, \"read\", _: Row);\nallow_field(_, _, _, _);";
    let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", policy)]).unwrap();
    let mut coats = orders();
    (coats.id, coats.field_name, coats.type_name) = (8, "orderCoats".into(), "OrderCoats".into());
    let catalog = [Arc::new(orders()), Arc::new(coats)];
    let actor = Actor { subject: "ann".into(), ..Actor::anonymous() };
    let scoped = RefCell::new(Vec::new());
    let visible = |wanted: Wanted<'_>| {
        let wanted = catalog.iter().filter(|collection| wanted(collection));
        let scope = |collection: &Arc<_>| {
            let collection: &Arc<crate::query::Collection> = collection;
            scoped.borrow_mut().push(collection.field_name.clone());
            Ok(engine.scope(&actor, collection)?.map(|scope| (collection.clone(), scope)))
        };
        wanted.filter_map(|collection| scope(collection).transpose()).collect()
    };
    let context =
        Context { actor: actor.clone(), request_id: "r".into(), traceparent: None, mutations: false };
    let request = Request { query: query.into(), operation_name: None, variables: Vec::new() };
    let preparer = Preparer::new(Arc::new(config::Config::default()));
    let faults = preparer.prepare(&context, &request, Transport::Single, visible).await.err();
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
}

#[tokio::test]
async fn a_root_field_that_is_not_known_is_compared_with_all_that_the_actor_may_see() {
    let (asked, faults) = scoped("{ orderCoat { totalCount } }").await;
    assert_eq!(asked, ["orderClothing", "orderCoats"]);
    assert!(faults.iter().all(|fault| fault.contains("did you mean `orderCoats`?")), "{faults:?}");
    assert!(!faults.is_empty());
}
