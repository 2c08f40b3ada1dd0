//! The raw log: sources, records with their revisions, the outbox and its partitions, plugins, the ledger and dead
//! letters. Column types are written as `{…}` and given for each database by `super::apply`.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_log"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // What the database is: key fingerprint, format, number of partitions.
    "create table meta (name {text} primary key, value {text} not null) {keyed}",
    "create table source (
        id {identity},
        category {text} not null,
        subcategory {text} not null,
        source_name {text} not null,
        unique (category, subcategory, source_name))",
    // The revision of each key: raising it is what orders a key's records.
    "create table head (key {text} primary key, rev {int} not null) {keyed} {fill}",
    "create table record (
        id {uuid} primary key,
        source_id {int} not null references source (id),
        source_uid {text} not null,
        key {text} not null,
        rev {int} not null,
        partition {int} not null,
        idem {text},
        author {text} not null,
        payload_hash {bytes} not null,
        body {bytes} not null,
        content_type {text} not null,
        occurred_at {int},
        ingested_at {int} not null,
        structure {int},
        deleted {bool} not null,
        cause {uuid},
        hops {int} not null,
        envelope {text} not null,
        genesis {bytes} not null,
        unique (key, rev))",
    "create unique index record_idem on record (source_id, author, idem) where idem is not null",
    "create index record_source on record (source_id, id)",
    // Rows that still have to be settled; pseq is given when the relay claims them, and a row goes when it is
    // settled.
    "create table outbox (
        id {identity},
        partition {int} not null,
        record_id {uuid} not null,
        key {text} not null,
        rev {int} not null,
        hook {text} default 'sourced' not null,
        hops {int} not null,
        pseq {int})",
    "create index outbox_unclaimed on outbox (partition, id) where pseq is null",
    "create unique index outbox_claimed on outbox (partition, pseq) where pseq is not null",
    "create index outbox_record on outbox (record_id)",
    // One row orders one part of the keys; relay and worker lease it apart.
    "create table partition (
        p {int} primary key,
        pseq {int} default 0 not null,
        settled {int} default 0 not null,
        relay_owner {text},
        relay_fence {int} default 0 not null,
        relay_until {int} default 0 not null,
        worker_owner {text},
        worker_fence {int} default 0 not null,
        worker_until {int} default 0 not null) {fill}",
    // Structures of documents, each once; fingerprints are derived from the tree.
    "create table structure (fingerprint {int} primary key, tree {text} not null)",
    "create table plugin (
        id {identity},
        name {text} not null,
        version {int} not null,
        state {text} not null,
        enabled_from {int} not null,
        unique (name, version))",
    "create table ledger (
        record_id {uuid} not null,
        plugin_id {int} not null,
        generation {int} not null,
        hook {text} not null,
        version {int} not null,
        outcome {text} not null,
        tags {text},
        rescued {text},
        prev_hash {bytes} not null,
        hash {bytes} not null,
        settled_at {int} not null,
        primary key (record_id, plugin_id, generation, hook)) {keyed}",
    "create table dead_letter (
        id {identity},
        plugin_id {int} not null,
        generation {int} not null,
        partition {int} not null,
        key {text} not null,
        rev {int} not null,
        record_id {uuid} not null,
        hook {text} not null,
        code {text} not null,
        reason {text} not null,
        attempts {int} not null,
        state {text} not null,
        due {int} not null,
        history {text} not null,
        at {int} not null,
        unique (plugin_id, generation, record_id, hook))",
    "create index dead_letter_key on dead_letter (plugin_id, generation, key, rev)",
    "create index dead_letter_due on dead_letter (partition, state, due)",
    "create index dead_letter_record on dead_letter (record_id)",
];
