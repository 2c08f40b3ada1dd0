//! What happened to shapes, in the order in which it was committed: published versions, and who decided them.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0010_events"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    "create table event (
        pos {int} primary key,
        at {int} not null,
        kind {text} not null,
        collection_id {int} not null,
        version {int} not null,
        subject {text})",
    // One row: raised last in a transaction, so position order is commit order.
    "create table event_pos (pos {int} not null) {fill}",
    // What happened before, as far as versions and decisions tell.
    "insert into event (pos, at, kind, collection_id, version, subject)
        select row_number() over (order by at, collection_id, version), at,
            case when subject is not null then 'DECIDED' when version = 1 then 'COLLECTION_PUBLISHED'
                else 'SHAPE_CHANGED' end,
            collection_id, version, subject
        from (select v.at, v.collection_id, v.version, (select min(d.subject) from decision d
                where d.collection_id = v.collection_id and d.version = v.version) as subject
            from shape_version v where v.version > 0) told",
    "insert into event_pos (pos) select count(*) from event",
];
