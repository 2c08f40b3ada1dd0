//! How many records of each structure a collection has had, and when: one row a structure and partition, so that
//! workers of different partitions never wait for each other. Records from before are not counted.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0004_sightings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &["create table sighting (
        collection_id {int} not null,
        fingerprint {int} not null,
        partition {int} not null,
        count {int} not null,
        first_at {int} not null,
        last_at {int} not null,
        primary key (collection_id, fingerprint, partition)) {keyed}"];
