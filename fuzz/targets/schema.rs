//! See `graphql::properties`: of keys when the first byte is odd, else of documents.
#![no_main]

use wellspring_fuzz::graphql::properties::{documents, schema};
use wellspring_fuzz::properties::{inference, naming};

libfuzzer_sys::fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((first, keys)) if first % 2 == 1 => schema(&naming(keys)),
    Some((_, data)) => documents(data, inference(data)),
    None => {}
});
