//! What is asked of SQLite beside reading and writing rows: statements that take long, and what others would do.

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

impl SqliteTx {
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
