//! The times that a plugin was enabled before it was disabled, as a JSON array of `[from, until]` in Unix microseconds.
//! `plugin.state` is `enabled`, `disabled` (by a person) or `removed` (from the configuration of the only process).

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0006_plugin_past"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &["alter table plugin add column past {text} default '[]' not null"];
