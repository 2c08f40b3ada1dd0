//! The names of types, each given to one collection for ever: its own, and those of the nested objects of its rows.
//! Objects that were published before get theirs here, in the order of collections and fields.

use std::collections::BTreeMap;

use sea_orm_migration::prelude::{
    ConnectionTrait as _, DbErr, MigrationName, MigrationTrait, SchemaManager, async_trait,
};
use sea_orm_migration::sea_orm::{Statement, Value};

use crate::shape::{Published, name_types, own_types};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_type_names"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::apply(manager, STATEMENTS).await?;
        let connection = manager.get_connection();
        let statement = |sql: &str, values: Vec<Value>| {
            Statement::from_sql_and_values(connection.get_database_backend(), sql, values)
        };
        let mut collections = BTreeMap::new();
        let mut taken: BTreeMap<String, i64> = BTreeMap::new();
        for row in
            connection.query_all_raw(statement("select id, type_name from collection", Vec::new())).await?
        {
            let (id, type_name): (i64, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            taken.extend(own_types(&type_name).map(|name| (name, id)));
            collections.insert(id, type_name);
        }
        for (id, type_name) in &collections {
            let sql =
                "select version, published from shape_version where collection_id = $1 order by version";
            let mut type_names = BTreeMap::new();
            for row in connection.query_all_raw(statement(sql, vec![(*id).into()])).await? {
                let (version, text): (i64, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                let wrong = |error: serde_json::Error| DbErr::Custom(error.to_string());
                let mut published: Published = serde_json::from_str(&text).map_err(wrong)?;
                published.type_names = type_names;
                let new = name_types(&mut published, type_name, &|name| taken.contains_key(name));
                taken.extend(new.into_iter().map(|name| (name, *id)));
                let text = serde_json::to_string(&published).map_err(wrong)?;
                let sql = "update shape_version set published = $3 where collection_id = $1 and version = $2";
                let values = vec![(*id).into(), version.into(), text.into()];
                connection.execute_raw(statement(sql, values)).await?;
                type_names = published.type_names;
            }
        }
        for (name, id) in taken {
            let sql = "insert into type_name (name, collection_id) values ($1, $2)";
            connection.execute_raw(statement(sql, vec![name.into(), id.into()])).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &["create table type_name (
        name {text} not null primary key,
        collection_id {int} not null) {keyed}"];
