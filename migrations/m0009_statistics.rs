//! Statistics of the values of a collection's fields, one row a field; field 0 counts records.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0009_statistics"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &["create table statistic (
        collection_id {int} not null,
        field_id {int} not null,
        state {text} not null,
        primary key (collection_id, field_id)) {keyed}"];
