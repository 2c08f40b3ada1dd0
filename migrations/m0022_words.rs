//! The words of texts on PostgreSQL, for conditions and for indexes. On SQLite they are told by functions of the
//! connection.

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0022_words"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared(include_str!("m0022_words.sql")).await?;
        }
        Ok(())
    }
}
