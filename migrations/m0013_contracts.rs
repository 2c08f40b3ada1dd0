//! What consumers are promised: every version of every contract, as its JSON text, with the versions of shapes that
//! there were when it was applied.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0013_contracts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "create table contract (
        name {text} not null,
        version {int} not null,
        body {text} not null,
        shapes {text} not null,
        at {int} not null,
        subject {text} not null,
        primary key (name, version))",
    // One row: raised by every change, and held by who makes one.
    "create table contract_pos (pos {int} not null) {fill}",
    "insert into contract_pos (pos) values (0)",
];
