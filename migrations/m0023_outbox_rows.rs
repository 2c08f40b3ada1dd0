//! A row of the outbox has all records of one commit and one partition; a record knows its row, so that no index needs
//! to lead there. Letters are found by their key. Rows of before become rows of one record. Keys of one revision need
//! no head; those of before keep theirs.

use sea_orm_migration::prelude::{DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait};
use sea_orm_migration::sea_orm::DbBackend;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0023_outbox_rows"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await?;
        let own = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        super::apply(manager, own).await?;
        super::apply(manager, &["drop table outbox_before"]).await
    }
}

const STATEMENTS: &[&str] = &[
    "alter table record add column outbox_id {int}",
    "create index dead_letter_of on dead_letter (key)",
    "drop index outbox_unclaimed",
    "drop index outbox_claimed",
    "alter table outbox rename to outbox_before",
    // pseq is the number of the first record. What a claim changes stands together, so that little of it is logged.
    "create table outbox (
        id {identity},
        partition {int} not null,
        n {int} not null,
        pseq {int},
        claimed_at {int},
        hook {text} default 'sourced' not null,
        records {bytes} not null)",
    "create index outbox_unclaimed on outbox (partition, id) where pseq is null",
    "create unique index outbox_claimed on outbox (partition, pseq) where pseq is not null",
    "update record set outbox_id = (select b.id from outbox_before b where b.record_id = record.id) \
     where id in (select record_id from outbox_before)",
];

const POSTGRES: &[&str] = &[
    "insert into outbox (id, partition, n, pseq, claimed_at, hook, records) overriding system value \
     select b.id, b.partition, 1, b.pseq, b.claimed_at, b.hook, uuid_send(b.record_id) || \
     int4send(coalesce(r.body_bytes, octet_length(r.body), 0)::int) \
     from outbox_before b left join record r on r.id = b.record_id",
    "select setval(pg_get_serial_sequence('outbox', 'id'), coalesce(max(id), 0) + 1, false) from outbox_before",
    // Room for the version that is claimed, on the same page.
    "alter table outbox set (fillfactor = 45)",
];

const SQLITE: &[&str] = &["insert into outbox (id, partition, n, pseq, claimed_at, hook, records) \
     select b.id, b.partition, 1, b.pseq, b.claimed_at, b.hook, \
     unhex(hex(b.record_id) || printf('%08X', coalesce(r.body_bytes, length(r.body), 0))) \
     from outbox_before b left join record r on r.id = b.record_id"];
