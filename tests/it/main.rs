//! The integration tests: one binary, one file an area. Whatever a client can see is tested here, in every mode.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test that fails should stop and say where"
)]
#![allow(unreachable_pub, reason = "one binary: what a helper offers is public to its suites")]
#![allow(missing_docs, reason = "a test's name says what it shows")]

mod access;
mod advisor;
mod api_keys;
mod as_of;
mod candidates;
mod cli;
mod conditions;
mod consistency;
mod contracts;
mod attacks;
mod decisions;
mod demo;
mod documents;
mod envelope;
mod events;
mod examples;
mod explain;
mod explained;
mod faults;
mod given_up;
mod graphql;
mod groups;
mod history;
mod http;
mod large;
mod leak;
mod live;
mod log;
mod management;
mod maps;
mod modes;
mod notices;
mod odd;
mod pages;
mod parked;
mod pinned;
mod places;
mod policy;
mod policy_cases;
mod quarantine;
mod readme;
mod reads;
mod rebuild;
mod record;
mod relations;
mod reload;
mod rename;
mod replica;
mod requests;
mod shapes;
mod snapshots;
mod stale;
mod statistics;
mod stream;
mod variants;
mod way;
mod words;

mod support;
mod tidy;
