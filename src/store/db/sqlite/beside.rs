//! What is asked of SQLite beside reading and writing rows: statements that take long, what others would do, and
//! columns for many tables at once.

use std::collections::HashMap;

use super::{Error, Result, RowRef, Sqlite, SqliteTx, Value, failure, run};

/// Reads nothing, but has a connection notice that the schema is another one. What only tells of a statement, or
/// prepares one, does not look.
const LOOK: &str = "select 1 from sqlite_schema limit 1";

impl Sqlite {
    /// Runs a statement that tells what another would do, by the schema of now.
    pub(in crate::store::db) async fn explain(
        &self,
        sql: &str,
        params: &[Value],
        each: &mut (dyn FnMut(&RowRef<'_>) -> Result<()> + Send),
    ) -> Result<()> {
        let _permit = self.permit().await?;
        self.with_reader(|reader| {
            run(reader, LOOK, &[], &mut |_| Ok(()))?;
            // One that was prepared before would not be prepared anew.
            reader.flush_prepared_statement_cache();
            run(reader, sql, params, each)
        })
        .map(drop)
    }
}

const TABLES: &str = "select name, rowid from sqlite_schema where type = 'table'";

const ADD: &str = "update sqlite_schema set sql = case when substr(sql, -length(?3 || ')')) = ?3 || ')' \
     then substr(sql, 1, length(sql) - length(?3 || ')')) || ?2 || ?3 || ')' \
     else substr(sql, 1, length(sql) - 1) || ?2 || ')' end where rowid = ?1";

impl SqliteTx {
    /// Adds columns without a type to tables, each given as `,name,name`, by the text that the schema has of a table;
    /// `tail` is what may stand behind its columns. It is what `alter table … add column` does, once for all of them:
    /// that would read the whole schema again for every single column.
    pub(in crate::store::db) fn add_columns(&self, tables: &[(String, String)], tail: &str) -> Result<()> {
        let connection = self.connection()?;
        let add = || {
            connection.execute_batch("pragma writable_schema = on")?;
            let mut find = connection.prepare(TABLES)?;
            let mut places = HashMap::new();
            let mut rows = find.query([])?;
            while let Some(row) = rows.next()? {
                places.insert(row.get::<_, String>(0)?, row.get::<_, i64>(1)?);
            }
            let mut change = connection.prepare(ADD)?;
            for (table, columns) in tables {
                let place = places.get(table).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
                change.execute((place, columns, tail))?;
            }
            let version: i64 = connection.query_row("pragma schema_version", [], |row| row.get(0))?;
            // Every connection reads the schema again that knows another version of it, this one at once.
            connection.execute_batch(&format!("pragma schema_version = {}", version.wrapping_add(1)))
        };
        let added = add();
        connection.execute_batch("pragma writable_schema = reset").map_err(failure::sqlite)?;
        added.map_err(failure::sqlite)?;
        for (table, columns) in tables {
            // Reading it proves that the schema can be read, too: else nothing of it is committed.
            let sql =
                "select count(*) from pragma_table_info(?1) where instr(?2 || ',', ',' || name || ',') > 0";
            let there: i64 =
                connection.query_row(sql, (table, columns), |row| row.get(0)).map_err(failure::sqlite)?;
            if usize::try_from(there).ok() != Some(columns.matches(',').count()) {
                return Err(Error::internal("a table did not get its columns"));
            }
        }
        Ok(())
    }

    /// Runs a statement that takes long on a blocking thread.
    pub(in crate::store::db) async fn execute_long(&mut self, sql: &str) -> Result<()> {
        // It is rolled back there when nobody waits for it any more.
        let (own, sql) = (SqliteTx { guard: self.guard.take() }, sql.to_owned());
        let work = move || {
            let done = own.connection().and_then(|own| own.execute_batch(&sql).map_err(failure::sqlite));
            (own, done)
        };
        let (mut own, done) = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
        self.guard = own.guard.take();
        done
    }
}
