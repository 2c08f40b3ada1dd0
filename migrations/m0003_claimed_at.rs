//! When the relay gave a record its place in the stream: in the outbox, and in the ledger once the record is settled
//! and its outbox row is gone. Rows from before have none.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_claimed_at"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] =
    &["alter table outbox add column claimed_at {int}", "alter table ledger add column claimed_at {int}"];
