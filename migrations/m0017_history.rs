//! Changes know the one before them of the same row, so that a row's history is followed without an index of all keys.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0017_history"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // The position of the change that the row before came from; null where there was none, and of changes of before.
    "alter table change add column prev {int}",
    // Where rows end: what is there again does not know what was before.
    "create index change_gone on change (key, pos) where op = 'delete'",
];
