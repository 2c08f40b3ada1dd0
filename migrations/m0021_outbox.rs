//! On PostgreSQL no index leads to a row of the outbox by its number, which orders rows within a partition only: each
//! record was written to it twice. On SQLite it is the table itself.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0021_outbox"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Postgres => {
                super::apply(manager, &["alter table outbox drop constraint outbox_pkey"]).await
            }
            _ => Ok(()),
        }
    }
}
