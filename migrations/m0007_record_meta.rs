//! What `_record` tells in conditions: when it happened, and for what the data may be used, as columns of every table
//! of rows. Rows of before get theirs from their records. The ledger keeps which version of a shape a record was
//! conformed to.

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::{DbBackend, Statement};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0007_record_meta"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, &["alter table ledger add column shape_version {int}"]).await?;
        let connection = manager.get_connection();
        let backend = connection.get_database_backend();
        let text = match backend {
            DbBackend::Postgres => {
                "to_char(timestamp 'epoch' + r.occurred_at * interval '1 microsecond', \
                 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
            }
            // What is left of a division has the sign of what was divided.
            _ => {
                "strftime('%Y-%m-%dT%H:%M:%S', (r.occurred_at - (r.occurred_at % 1000000 + 1000000) % 1000000) \
                 / 1000000, 'unixepoch') || printf('.%06dZ', (r.occurred_at % 1000000 + 1000000) % 1000000)"
            }
        };
        let sql = "select collection_id, n from generation";
        for row in connection.query_all_raw(Statement::from_string(backend, sql)).await? {
            let (collection, generation): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let table = format!("c_{collection}_g{generation}");
            let statements = [
                format!("alter table {table} add column occurred_at {{text}}"),
                format!("alter table {table} add column purposes {{text}}"),
                format!(
                    "update {table} set occurred_at = (select {text} from record r where r.id = record_id) \
                     where exists (select 1 from record r where r.id = record_id and r.occurred_at is not null)"
                ),
            ];
            super::apply(manager, &statements.each_ref().map(String::as_str)).await?;
        }
        Ok(())
    }
}
