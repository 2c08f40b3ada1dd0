//! API keys: whom each speaks for, and of the key itself only the hash.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0015_api_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // Of roles and claims the JSON texts.
    "create table api_key (
        id {uuid} not null primary key,
        hash {bytes} not null unique,
        name {text} not null,
        subject {text} not null,
        roles {text} not null,
        claims {text} not null,
        contract {text},
        created_at {int} not null,
        created_by {text} not null,
        expires_at {int},
        revoked_at {int},
        revoked_by {text},
        last_used_at {int})",
    // One row: raised by every change of which keys are good, and held by who makes one.
    "create table api_key_pos (pos {int} not null) {fill}",
    "insert into api_key_pos (pos) values (0)",
];
