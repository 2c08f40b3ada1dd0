//! A connection of PostgreSQL that is no other's, for what no transaction may hold and for settings that must not stay
//! behind. It ends with whoever has it, and then the server ends what it does for it.

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool};

use super::{Row, RowRef, failure};
use crate::error::Result;

/// Such a connection.
pub struct Session(PgConnection);

impl Session {
    pub(super) async fn open(pool: &PgPool) -> Result<Self> {
        pool.acquire().await.map(|connection| Session(connection.detach())).map_err(failure::postgres)
    }

    /// Runs statements without parameters, outside of a transaction when it is one alone.
    ///
    /// # Errors
    /// Those of the statements.
    pub async fn run(&mut self, sql: &str) -> Result<()> {
        self.0.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.map(drop).map_err(failure::postgres)
    }

    /// Runs a statement without parameters and returns its rows.
    ///
    /// # Errors
    /// Those of the statement.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let rows = self.0.fetch_all(query).await.map_err(failure::postgres)?;
        rows.iter().map(|row| RowRef::Postgres(row).to_row()).collect()
    }

    /// Ends it in good order.
    pub async fn close(self) {
        if let Err(error) = self.0.close().await {
            tracing::debug!(%error, "a connection was not closed in good order");
        }
    }
}
