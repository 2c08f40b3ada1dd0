//! On SQLite columns of objects, which tell whether one is there, are called as those of all other fields: by its
//! number alone it is known which column a field that comes will have. On PostgreSQL they keep their names, as columns
//! are made when their fields are known, and nodes of before may still be at work.

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::{DbBackend, Statement};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0014_columns"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let backend = connection.get_database_backend();
        if backend == DbBackend::Postgres {
            return Ok(());
        }
        let tables = "select collection_id, n from generation order by collection_id, n";
        for row in connection.query_all_raw(Statement::from_string(backend, tables)).await? {
            let (collection, generation): (i64, i64) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let table = format!("c_{collection}_g{generation}");
            let columns = format!("select name from pragma_table_info('{table}')");
            for row in connection.query_all_raw(Statement::from_string(backend, columns)).await? {
                let name: String = row.try_get_by_index(0)?;
                if let Some(number) = name.strip_prefix('p').filter(|rest| rest.parse::<u32>().is_ok()) {
                    let sql = format!("alter table {table} rename column {name} to f{number}");
                    connection.execute_unprepared(&sql).await?;
                }
            }
        }
        Ok(())
    }
}
