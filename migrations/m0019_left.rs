//! A change no longer keeps what it left, which is the image before the next change of its row, or the row itself while
//! there is none; the next change is found by the one before it. Changes of before have both.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0019_left"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // Only rows that had been there before are found by it: others cost nothing.
    "create index change_next on change (collection_id, prev) where prev is not null",
];
