//! What is fuzzed, built from the service's own sources, without the rest of it: shapes need no database, and libFuzzer
//! watches only what it can get at.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run -s none inference`, and so `naming` and `schema`; with a nightly toolchain
//! without the variable. What fails prints itself as a document a line.

#![allow(dead_code, unused_imports, reason = "the rest of the service uses what is not used here")]

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/error.rs"]
pub mod error;
pub mod graphql;
#[path = "../../src/query/mod.rs"]
pub mod query;
#[path = "../../src/record/mod.rs"]
pub mod record;
#[path = "../../src/shape/mod.rs"]
pub mod shape;

#[path = "../properties.rs"]
pub mod properties;
