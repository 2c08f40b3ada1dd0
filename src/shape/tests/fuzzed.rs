//! The properties that are fuzzed, for seeded bytes: documents and keys that are half right.

use super::*;

#[path = "../../../fuzz/properties.rs"]
pub(crate) mod properties;

/// JSON with some of its bytes replaced.
pub(crate) fn lines() -> impl Strategy<Value = Vec<u8>> {
    let hurt = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (prop::collection::vec(document_strategy(), 0..6), hurt, any::<u8>()).prop_map(
        |(documents, hurt, first)| {
            let mut bytes = vec![first];
            for document in documents {
                document.write(&mut bytes);
                bytes.push(b'\n');
            }
            for (at, byte) in hurt {
                let at = at.index(bytes.len());
                bytes.splice(at..=at, [byte]);
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn inference_holds_for_any_bytes(bytes in lines()) {
        drop(properties::inference(&bytes));
    }

    #[test]
    fn naming_holds_for_any_keys(keys in prop::collection::vec(prop_oneof![key(), "\\PC{0,12}"], 1..10)) {
        drop(properties::naming(keys.join("\n").as_bytes()));
    }
}
