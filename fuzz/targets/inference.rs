//! See `properties::inference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wellspring_fuzz::properties::inference(data));
