//! How collections are read, summed up, and the indexes that were advised and made for that.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0018_advice"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // `way` is JSON: fields by their numbers, no values. `given` are rows that were given out.
    "create table read_way (
        collection_id {int} not null,
        way {text} not null,
        times {int} not null,
        spent_us {int} not null,
        given {int} not null,
        at {int} not null,
        primary key (collection_id, way)) {keyed}",
    // `made` is what the index was made of; null while there is none. `subject` is who decided, if anybody did.
    "create table index_advice (
        id {identity},
        collection_id {int} not null,
        way {text} not null,
        state {text} not null,
        reason {text} not null,
        made {text},
        size_bytes {int},
        uses {int} not null,
        used_at {int} not null,
        subject {text},
        at {int} not null,
        unique (collection_id, way))",
];
