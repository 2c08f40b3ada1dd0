//! Which collections' rows are gone over once more, and how far that is.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0011_rebuild"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // state: running, cleaning or done; round: raised whenever it begins anew.
    "create table rebuild (
        collection_id {int} primary key,
        generation {int} not null,
        state {text} not null,
        round {int} not null,
        row_id {int} not null,
        upto {int} not null,
        done {int} not null,
        total {int},
        at {int} not null)",
];
