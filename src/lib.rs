//! Wellspring: send any JSON, read a typed, row-secured, live API.
//!
//! The modules stand in the order of the layers; each uses only what stands before it. A record's way:
//!
//! 1. [`http`] or [`graphql`] takes a document in; [`sourcing`] translates it to JSON, derives its
//!    structure and hands it to the store's writer.
//! 2. [`store`] commits record, metadata and outbox row in one transaction; only then is it answered.
//! 3. [`provisioning`]'s relay moves the outbox row to the [`stream`]; its worker lets every matching
//!    [`plugin`] decide and commits rows, changes and ledger in one transaction.
//! 4. [`publishing`] reads collections, and tails their changes, through a query that [`policy`] has
//!    scoped; [`graphql`] and [`http`] carry the answer to the consumer.

pub mod error;
pub mod config;
pub mod telemetry;

pub mod record;
pub mod shape;
pub mod query;
pub mod format;
pub mod contract;
pub mod policy;
pub mod plugin;

pub mod store;
pub mod stream;

pub mod sourcing;
pub mod provisioning;
pub mod publishing;

pub mod graphql;
pub mod http;

pub mod app;
pub mod cli;
