//! What stewards have decided about the fields of collections: who, when, what, and how it was before.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_decisions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // The version is the one that it made; paths, before and after are JSON.
    "create table decision (
        id {identity},
        collection_id {int} not null,
        version {int} not null,
        at {int} not null,
        subject {text} not null,
        what {text} not null,
        paths {text} not null,
        before {text} not null,
        after {text} not null)",
    "create index decision_of on decision (collection_id, id)",
];
