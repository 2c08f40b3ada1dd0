//! Events of other things than shapes: what they tell, and what they are about, so that nothing is told twice.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0012_notices"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // JSON; an event that makes no version has the number 0 for it, and for its collection when it is of none.
    "alter table event add column detail {text}",
    "alter table event add column about {text}",
    "create index event_about on event (about, at)",
    "create index event_kind on event (kind, at)",
];
