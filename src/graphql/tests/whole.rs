//! Schemas cost what is asked of them: slices outlive the versions of other collections, whole schemas are built once
//! for all who ask, off the path of requests, and kept only as far as there is room.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::orders;
use crate::config;
use crate::graphql::introspect::Whole;
use crate::graphql::model::Model;
use crate::graphql::prepare::{Prepared, Preparer, Transport, Wanted};
use crate::graphql::{Context, Request, sdl};
use crate::policy::Engine;
use crate::publishing::Visible;
use crate::query::Collection;
use crate::record::Actor;

fn ann() -> Actor {
    Actor { subject: "ann".into(), ..Actor::anonymous() }
}

fn visible(collections: &[Arc<Collection>]) -> Vec<Visible> {
    let policy = "allow(_: User, \"read\", _: Row);\nallow_field(_, _, _, _);";
    let engine = Engine::from_texts(&config::Policy::default(), &[("p.polar", policy)]).unwrap();
    let scope =
        |one: &Arc<Collection>| Some((one.clone(), engine.scope(&ann(), &Default::default(), one).unwrap()?));
    collections.iter().filter_map(scope).collect()
}

fn two() -> [Arc<Collection>; 2] {
    let mut coats = orders();
    (coats.id, coats.field_name, coats.type_name) = (8, "orderCoats".into(), "OrderCoats".into());
    [Arc::new(orders()), Arc::new(coats)]
}

async fn prepared(preparer: &Preparer, catalog: &[Arc<Collection>], query: &str) -> Prepared {
    let context = Context {
        actor: ann().into(),
        request_id: "r".into(),
        traceparent: None,
        mutations: false,
        transport: crate::contract::Transport::Http,
        format: crate::contract::Format::Json,
    };
    let request = Request { query: query.into(), operation_name: None, variables: Vec::new() };
    let wanted = |wanted: Wanted<'_>| {
        let Wanted::Named(names) = wanted else { panic!("every name is known") };
        let mut all = visible(catalog);
        all.retain(|(collection, _)| names.contains(&collection.field_name));
        Ok(all)
    };
    let prepared = preparer.prepare(&context, &request, Transport::Single, None, wanted).await;
    prepared.unwrap_or_else(|_| panic!("{query} is valid"))
}

#[tokio::test]
async fn a_version_of_one_collection_leaves_what_is_kept_of_others() {
    let preparer = Preparer::new(Arc::new(config::Config::default()));
    let [clothing, mut coats] = two();
    let queries = ["{ orderClothing { totalCount } }", "{ orderCoats { totalCount } }"];
    let mut before = Vec::new();
    for query in queries {
        before.push(prepared(&preparer, &[clothing.clone(), coats.clone()], query).await);
    }
    let [_, plans, slices] = preparer.kept();
    Arc::make_mut(&mut Arc::make_mut(&mut coats).shape).version += 1;
    Arc::make_mut(&mut Arc::make_mut(&mut coats).shape).fields.pop();
    let catalog = [clothing, coats];
    let mut after = Vec::new();
    for query in queries {
        after.push(prepared(&preparer, &catalog, query).await);
    }
    let same = |n: usize| {
        (Arc::ptr_eq(&before[n].slice, &after[n].slice), Arc::ptr_eq(&before[n].nodes, &after[n].nodes))
    };
    assert_eq!((same(0), same(1)), ((true, true), (false, false)));
    assert_eq!(preparer.kept()[1..], [plans + 1, slices + 1]);
}

/// The collections that there are.
type Catalog = Arc<Mutex<Vec<Arc<Collection>>>>;

/// Whole schemas of two collections, of which so many bytes are kept.
fn whole(bytes_max: usize) -> (Arc<Whole>, Catalog) {
    let preparer = Arc::new(Preparer::new(Arc::new(config::Config::default())));
    let catalog = Arc::new(Mutex::new(two().to_vec()));
    let now = catalog.clone();
    let visible = Box::new(move |_: &Actor| Ok(visible(&now.lock().unwrap())));
    (Arc::new(Whole::new(visible, preparer, bytes_max)), catalog)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_schema_is_built_for_all_who_ask() {
    let (whole, catalog) = whole(64 << 20);
    let ask = || async { whole.read(&ann(), |model| Ok(sdl::print(model))).await.unwrap() };
    let told = futures_util::future::join_all((0..16).map(|_| ask())).await;
    assert!(told.iter().all(|sdl| *sdl == told[0] && sdl.contains("OrderCoats")));
    assert_eq!(whole.built(), 1);
    // Nobody waits for it who does not ask for it: this thread goes on while it is read.
    let (go, held) = std::sync::mpsc::channel::<()>();
    let actor = ann();
    let reading = whole.read(&actor, move |model| {
        held.recv().unwrap();
        Ok(model.members())
    });
    let free = async { go.send(()).unwrap() };
    let (members, ()) = tokio::join!(reading, free);
    assert!(members.unwrap() > 100);
    catalog.lock().unwrap().pop();
    assert!(!ask().await.contains("OrderCoats"));
    assert_eq!(whole.built(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_makes_no_room_for_another() {
    let (whole, _) = whole(64 << 20);
    let (inside, actor) = (Arc::new(AtomicUsize::new(0)), ann());
    let ((go, held), (begin, begun)) = (std::sync::mpsc::channel::<()>(), tokio::sync::oneshot::channel());
    let count = inside.clone();
    let first = whole.read(&actor, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        begin.send(()).unwrap();
        held.recv().unwrap();
        count.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    });
    tokio::select! {
        _ = first => panic!("it is held"),
        _ = begun => {}
    }
    let second = whole.read(&actor, move |_| Ok(inside.load(Ordering::SeqCst)));
    let (at_once, ()) = tokio::join!(second, async { go.send(()).unwrap() });
    assert_eq!(at_once.unwrap(), 0);
}

#[tokio::test]
async fn schemas_are_kept_only_as_far_as_there_is_room() {
    for (bytes_max, built) in [(64 << 20, 1), (1_000, 2)] {
        let (whole, _) = whole(bytes_max);
        for _ in 0..2 {
            whole.read(&ann(), |_| Ok(())).await.unwrap();
        }
        assert_eq!(whole.built(), built, "{bytes_max}");
    }
}

#[tokio::test]
async fn a_slice_has_of_the_management_part_what_its_document_names() {
    let preparer = Preparer::new(Arc::new(config::Config::default()));
    let catalog = two();
    let mut sizes = Vec::new();
    for query in [
        "{ orderCoats { totalCount } }",
        "{ orderCoats { totalCount } lag { outbox } }",
        "{ orderCoats { totalCount } lag { partitions { claimed } } collection(name: \"x\") { shape { version } } }",
        "query($first: Int) { orderCoats(first: $first) { nodes { ...F } } } fragment F on OrderCoats { status }",
    ] {
        let slice = prepared(&preparer, &catalog, query).await.slice;
        assert!(slice.model.field("Query", "records").is_some(), "hints and inputs know all of it");
        sizes.push(slice.members());
    }
    let (all, of) = (Model::management().unwrap().members(), |n: usize| sizes[n]);
    assert!(of(0) < of(1) && of(1) < of(2) && of(3) == of(0), "{sizes:?}");
    assert!(of(0) < all, "{sizes:?} of {all}");
}
