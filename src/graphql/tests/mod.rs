//! The schema part by part: SDL, collections, validation. Shared fixtures for the other tests of this module.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod described;
mod fuzzed;
mod input;
mod scopes;
mod selection;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_graphql::parser::types::OperationType;

use super::coerce::{self, Variables};
use super::collection::{self, Shown};
use super::model::{self, Model};
use super::plan::{self, Node};
use super::schema::register;
use super::sdl;
use crate::query::Collection;
use crate::record::Json;
use crate::shape::{Field, Kind, Published, Scalar, name_types, own_types};

pub(super) fn field(id: u32, name: &str, kind: Kind) -> Field {
    let (key, path) = (name.to_owned(), format!("/{name}"));
    Field {
        id,
        key,
        path,
        name: name.into(),
        kind,
        tags: BTreeSet::new(),
        unclassified: false,
        decided: Default::default(),
    }
}

pub(super) fn orders() -> Collection {
    let customer =
        vec![field(4, "name", Kind::Scalar(Scalar::String)), field(5, "email", Kind::Scalar(Scalar::String))];
    let item =
        vec![field(8, "sku", Kind::Scalar(Scalar::String)), field(9, "qty", Kind::Scalar(Scalar::Int))];
    let fields = vec![
        field(1, "status", Kind::Scalar(Scalar::String)),
        field(2, "total", Kind::Scalar(Scalar::Float)),
        field(3, "customer", Kind::Object(customer)),
        field(6, "placedAt", Kind::Scalar(Scalar::DateTime)),
        field(7, "items", Kind::List(Box::new(Kind::Object(item)))),
        field(10, "labels", Kind::List(Box::new(Kind::Scalar(Scalar::String)))),
    ];
    let mut shape = Published { version: 1, last_field_id: 10, fields, ..Published::default() };
    name_types(&mut shape, "OrderClothing", &|_| false);
    Collection {
        id: 7,
        category: "order".into(),
        subcategory: "clothing".into(),
        field_name: "orderClothing".into(),
        type_name: "OrderClothing".into(),
        generation: 1,
        shape: Arc::new(shape),
        narrow: None,
    }
}

pub(super) fn model_of(collections: &[Collection], shown: &dyn Fn(u32) -> Shown) -> Model {
    let mut model = Model::management().unwrap();
    for collection in collections {
        collection::add(&mut model, collection, shown);
    }
    model
}

/// Variables as a request has them.
pub(super) fn given(json: &str) -> Vec<(String, Json)> {
    match Json::try_from(json).unwrap() {
        Json::Object(members) => members,
        _ => panic!("variables are an object"),
    }
}

/// The merged selection of a document over the management part and [`orders`], or what is wrong with it.
pub(super) fn compiled(text: &str, variables: &str) -> Result<(Vec<Node>, Variables), String> {
    compiled_over(&model_of(&[orders()], &|_| Shown::Visible), text, variables)
}

/// The same over any model.
pub(super) fn compiled_over(
    model: &Model,
    text: &str,
    variables: &str,
) -> Result<(Vec<Node>, Variables), String> {
    let document = async_graphql::parser::parse_query(text).map_err(|error| error.to_string())?;
    let (_, operation) = document.operations.iter().next().unwrap();
    let operation = operation.node.clone();
    let variables = coerce::variables(model, &operation, &given(variables))
        .map_err(|error| error.message().to_owned())?;
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    plan::compile(model, &document, &operation, root, &variables)
        .map(|nodes| (nodes, variables))
        .map_err(|misplaced| misplaced.error.message().to_owned())
}

#[test]
fn the_management_part_is_printed_as_it_is_written() {
    let model = Model::management().unwrap();
    let printed = sdl::print(&model);
    for (line, written) in printed.lines().zip(model::SDL.lines()) {
        assert_eq!(line, written);
    }
    assert_eq!(printed.len(), model::SDL.len());
    // async-graphql has the same idea of it.
    let schema = register(&model, 64).unwrap();
    let exported = Model::from_sdl(&schema.sdl()).unwrap();
    for ty in model.types() {
        assert_eq!(exported.get(&ty.name), Some(ty));
    }
}

#[test]
fn everything_in_the_management_part_is_described() {
    let model = Model::management().unwrap();
    let roots = ["Query", "Mutation", "Subscription"];
    for ty in model.types() {
        assert!(ty.description.is_some() || roots.contains(&&*ty.name), "{}", ty.name);
        if let model::Kind::Object(fields) = &ty.kind {
            assert!(fields.iter().all(|field| field.description.is_some()), "{}", ty.name);
        }
        if let model::Kind::Input(fields) = &ty.kind {
            assert!(fields.iter().all(|field| field.description.is_some()), "{}", ty.name);
        }
    }
}

#[test]
fn a_collection_has_the_schema_that_is_promised() {
    let model = model_of(&[orders()], &|_| Shown::Visible);
    let printed = sdl::print(&model);
    for line in [
        "): OrderClothingConnection!",
        "): OrderClothing\n",
        "): [OrderClothingAggregate!]!",
        "): OrderClothingChange!",
        "    where: OrderClothingFilter,",
        "    orderBy: [OrderClothingOrder!],",
        "    groupBy: [OrderClothingField!],",
        "    groupByPart: [OrderClothingGroupPart!]",
        "    snapshot: Boolean = false",
        "  customer: OrderClothingCustomer\n",
        "  items: [OrderClothingItems]\n",
        "  customer: OrderClothingCustomerFilter\n",
        "  labels: StringListFilter\n",
        "  items: OrderClothingItemsListFilter\n",
        "  some: OrderClothingItemsFilter\n",
        "  customer_name\n",
        "  _record: RecordMeta!\n",
        "  sum: OrderClothingSum\n",
        "  and: [OrderClothingFilter!]\n",
    ] {
        assert!(printed.contains(line), "{line} is missing");
    }
    register(&model, 64).unwrap();
}

#[test]
fn hidden_fields_are_nowhere_and_masked_ones_in_no_condition() {
    let model = model_of(&[orders()], &|id| match id {
        1 => Shown::Hidden,
        5 => Shown::Masked,
        _ => Shown::Visible,
    });
    let printed = sdl::print(&model);
    assert!(model.field("OrderClothing", "status").is_none());
    assert!(!printed.contains("/status"));
    assert!(model.field("OrderClothingCustomer", "email").is_some());
    let model::Kind::Input(filter) = &model.get("OrderClothingCustomerFilter").unwrap().kind else {
        unreachable!()
    };
    assert_eq!(filter.iter().map(|f| &*f.name).collect::<Vec<_>>(), ["name"]);
    assert!(!printed.contains("customer_email"));
    register(&model, 64).unwrap();
}

#[test]
fn a_hidden_parent_hides_its_children() {
    let model = model_of(&[orders()], &|id| if id == 3 { Shown::Hidden } else { Shown::Visible });
    assert!(model.get("OrderClothingCustomer").is_none());
    assert!(!sdl::print(&model).contains("ustomer"));
    let model = model_of(&[orders()], &|id| if id == 4 || id == 5 { Shown::Hidden } else { Shown::Visible });
    assert!(model.field("OrderClothing", "customer").is_none());
    let model = model_of(&[orders()], &|_| Shown::Hidden);
    assert!(model.field("OrderClothing", "_record").is_some());
    assert!(model.get("OrderClothingField").is_none());
    register(&model, 64).unwrap();
}

#[test]
fn names_that_meet_are_numbered() {
    let mut first = orders();
    let inner = || Kind::Object(vec![field(20, "a", Kind::Scalar(Scalar::Int))]);
    let twice = |a: u32, b: u32| vec![field(a, "pair", inner()), field(b, "Pair", inner())];
    let mut fields = vec![field(11, "filter", inner()), field(12, "connection", inner())];
    fields.extend(twice(13, 14));
    let mut shape = Published { version: 1, last_field_id: 20, fields, ..Published::default() };
    name_types(&mut shape, &first.type_name, &|name| own_types("OrderClothingPair").any(|own| own == name));
    first.shape = Arc::new(shape);
    let mut second = orders();
    second.field_name = "orderClothingPair".into();
    second.type_name = "OrderClothingPair".into();
    let model = model_of(&[first, second], &|_| Shown::Visible);
    let names: Vec<&str> = model.types().map(|ty| &*ty.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    assert!(model.field("OrderClothingPair", "status").is_some());
    assert!(model.get("OrderClothingFilter2").is_some());
    register(&model, 64).unwrap();
}

#[test]
fn odd_keys_do_not_break_descriptions() {
    let mut collection = orders();
    let mut odd = field(11, "odd", Kind::Scalar(Scalar::Int));
    odd.path = "/a\"\"\"b\\`\n\u{0}ü".into();
    let shape = Arc::make_mut(&mut collection.shape);
    shape.fields.push(odd);
    let model = model_of(&[collection], &|_| Shown::Visible);
    let schema = register(&model, 64).unwrap();
    let printed = sdl::print(&model);
    assert_eq!(sdl::print(&Model::from_sdl(&printed).unwrap()), printed);
    assert!(Model::from_sdl(&schema.sdl()).unwrap().get("OrderClothing").is_some());
}

#[test]
fn what_of_the_envelope_is_not_shown_is_nowhere() {
    let id = |name: &str| crate::query::envelope(name).unwrap().id;
    let (uid, key, author) = (id("sourceUid"), id("key"), id("author"));
    let model = model_of(&[orders()], &|id| match id {
        _ if id == author => Shown::Hidden,
        _ if id == uid || id == key => Shown::Masked,
        _ => Shown::Visible,
    });
    let printed = sdl::print(&model);
    let of = |name: &str| {
        let (_, body) = printed.split_once(&format!("{name} {{")).unwrap_or_else(|| panic!("no {name}"));
        body.split('}').next().unwrap().to_owned()
    };
    assert!(printed.contains("  _record: OrderClothingRecordMeta!\n"), "{printed}");
    let shown = of("type OrderClothingRecordMeta");
    assert!(shown.contains("  sourceUid: String\n") && shown.contains("  id: ID!\n"), "{shown}");
    assert!(shown.contains("  rescued: JSON\n") && !shown.contains("author"), "{shown}");
    for used in ["input OrderClothingRecordMetaFilter", "input OrderClothingRecordMetaOrder"] {
        let used = of(used);
        assert!(used.contains("  id: ") && used.contains("  ingestedAt: "), "{used}");
        assert!(!["author:", "sourceUid:", "key:"].iter().any(|name| used.contains(name)), "{used}");
    }
    assert!(of("type OrderClothingChange").contains("  key: String\n"));
    assert!(model.field("Query", "orderClothingByKey").is_none(), "a guess would be confirmed");

    let model = model_of(&[orders()], &|id| if id > 1_000 { Shown::Hidden } else { Shown::Visible });
    let printed = sdl::print(&model);
    assert!(!printed.contains("OrderClothingRecordMetaFilter"), "nothing is left to compare: {printed}");
    assert!(model.field("OrderClothingChange", "key").is_none());
    register(&model, 64).unwrap();
}
