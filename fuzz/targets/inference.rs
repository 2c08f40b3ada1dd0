//! See `properties::inference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drop(wellspring_fuzz::properties::inference(data)));
