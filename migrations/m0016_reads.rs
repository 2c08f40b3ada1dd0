//! Who has read which collection, or was refused: an audit log that is bounded by rows and age.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0016_reads"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // Roles are a JSON list; rows are null when the read failed. No index beside the key: it is written all the time
    // and asked seldom, newest first.
    "create table data_read (
        id {identity},
        at {int} not null,
        request {text} not null,
        subject {text} not null,
        roles {text} not null,
        contract {text},
        policy {text} not null,
        collection_id {int} not null,
        path {text} not null,
        allowed {bool} not null,
        rows {int})",
];
