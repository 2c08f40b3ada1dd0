//! The properties of schemas that are fuzzed, for seeded keys and documents: see `fuzz/schema.rs`.

use proptest::prelude::*;

use crate::shape::tests::fuzzed::{lines, properties};

#[path = "../../../fuzz/schema.rs"]
mod schema;

/// Keys that are names of GraphQL, of this service or of each other, or become them.
fn key() -> impl Strategy<Value = String> {
    let known = vec![
        "_",
        "a",
        "b",
        "A",
        "a b",
        "a_b",
        "aB",
        "a-b",
        "a2",
        "and",
        "_record",
        "__typename",
        "é",
        "",
        "Filter",
        "filter",
        "by key",
        "Edge",
        "order",
        "entry",
        "record",
        "source",
        "query",
        "true",
        "nullable",
        "trueColor",
        "+1",
        "shape",
        "collection",
    ];
    prop_oneof![6 => prop::sample::select(known).prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => "[a-c_ ]{0,4}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn schemas_hold_for_any_keys(keys in prop::collection::vec(key(), 1..12)) {
        schema::schema(&properties::naming(keys.join("\n").as_bytes()));
    }

    #[test]
    fn schemas_hold_for_any_documents(bytes in lines()) {
        schema::documents(&bytes, properties::inference(&bytes));
    }
}
