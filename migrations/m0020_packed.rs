//! Documents are kept packed, with how long they are; those of before are as they were sent. On PostgreSQL rows of the
//! outbox have room for the version of theirs that is claimed, so that it stands on the same page and little of it is
//! logged; heads need less room than they had, as most keys have one revision.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0020_packed"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, &["alter table record add column body_bytes {int}"]).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            super::apply(manager, POSTGRES).await?;
        }
        Ok(())
    }
}

const POSTGRES: &[&str] =
    &["alter table outbox set (fillfactor = 45)", "alter table head set (fillfactor = 90)"];
