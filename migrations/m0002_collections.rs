//! Collections: their names, published shapes, builds and changes. The tables of their rows are made when a shape is
//! published, not here.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_collections"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "create table collection (
        id {identity},
        category {text} not null,
        subcategory {text} not null,
        field_name {text} not null unique,
        type_name {text} not null unique,
        generation {int} not null,
        shape_version {int} not null,
        created_at {int} not null,
        unique (category, subcategory))",
    // Dense positions: the row is raised last in a transaction, so position order is commit order.
    "create table collection_pos (collection_id {int} primary key, pos {int} not null) {fill}",
    "create table generation (
        collection_id {int} not null,
        n {int} not null,
        state {text} not null,
        shape_version {int} not null,
        primary key (collection_id, n)) {keyed}",
    // Every published version: the shape that was merged so far, what was published of it, and why.
    "create table shape_version (
        collection_id {int} not null,
        version {int} not null,
        shape {text} not null,
        published {text} not null,
        cause {text},
        at {int} not null,
        primary key (collection_id, version)) {keyed}",
    "create table change (
        collection_id {int} not null,
        pos {int} not null,
        generation {int} not null,
        key {text} not null,
        rev {int} not null,
        record_id {uuid} not null,
        op {text} not null,
        before {text},
        after {text},
        at {int} not null,
        primary key (collection_id, pos)) {keyed}",
];
