//! What the drivers' errors mean: which code they carry, and the few kinds that callers branch on.

use crate::error::{Code, Error};

/// The public text of every failure that waiting can heal.
const AWAY: &str = "the database does not answer; try again";

/// The error of a statement that PostgreSQL or the way to it refused.
pub(super) fn postgres(error: sqlx::Error) -> Error {
    match code_of(&error) {
        Code::Unavailable => Error::unavailable(AWAY, error),
        Code::Timeout => {
            Error::new(Code::Timeout, "the database took too long; ask for less").with_cause(error)
        }
        _ => Error::internal(error),
    }
}

fn code_of(error: &sqlx::Error) -> Code {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => Code::Unavailable,
        sqlx::Error::Database(inner) => match inner.code().as_deref() {
            Some("57014") => Code::Timeout,
            Some(state) if heals(state) => Code::Unavailable,
            _ => Code::Internal,
        },
        _ => Code::Internal,
    }
}

/// Why a row was not taken: a value is longer than what an index takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Of this index.
    By(String),
    /// Of one that is not told: the value was longer than a page.
    BySome,
}

/// What PostgreSQL has answered, where that is why.
fn answered(error: &Error) -> Option<&dyn sqlx::error::DatabaseError> {
    std::error::Error::source(error)?.downcast_ref::<sqlx::Error>()?.as_database_error()
}

/// What SQLite has answered, where that is why.
fn refused(error: &Error) -> Option<&rusqlite::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether SQLite has no such table.
pub fn is_missing_table(error: &Error) -> bool {
    refused(error).is_some_and(|error| error.to_string().contains("no such table"))
}

/// Whether a statement failed as an index of PostgreSQL does not take a row.
pub fn refusal(error: &Error) -> Option<Refusal> {
    let inner = answered(error).filter(|inner| inner.code().as_deref() == Some("54000"))?;
    if let Some(name) = inner.constraint() {
        return Some(Refusal::By(name.to_owned()));
    }
    inner.message().starts_with("index row requires").then_some(Refusal::BySome)
}

/// States that the same transaction can pass later: connection and resource classes, shutdown, deadlock, read-only.
fn heals(state: &str) -> bool {
    ["08", "53", "57P"].iter().any(|class| state.starts_with(class))
        || ["40001", "40P01", "55P03", "25006", "25P03"].contains(&state)
}

/// The error of a statement that SQLite refused.
pub(super) fn sqlite(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Kind;
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code == Some(rusqlite::ffi::SQLITE_CONSTRAINT_FUNCTION) {
        let text = "the percentiles are of more values than `store.percentile_values_max`; narrow them by `where`, or \
                    ask for fewer at once";
        return Error::new(Code::TooComplex, text).with_cause(error);
    }
    match error.sqlite_error_code() {
        Some(
            Kind::DatabaseBusy
            | Kind::DatabaseLocked
            | Kind::DiskFull
            | Kind::SystemIoFailure
            | Kind::CannotOpen
            | Kind::ReadOnly
            | Kind::OutOfMemory,
        ) => Error::unavailable(AWAY, error),
        Some(Kind::OperationInterrupted) => {
            Error::new(Code::Timeout, "the database took too long; ask for less").with_cause(error)
        }
        _ => Error::internal(error),
    }
}

/// Whether the connection itself is gone, so that another one may do.
pub(super) fn is_connection_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(inner) => {
            inner.code().as_deref().is_some_and(|state| state.starts_with("08") || state.starts_with("57P"))
        }
        _ => false,
    }
}

/// Whether a prepared statement's columns have changed their types since it was prepared.
pub(super) fn is_stale_plan(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(inner) = error else { return false };
    inner.code().as_deref() == Some("0A000") && inner.message().contains("cached plan")
}

/// Whether PostgreSQL refused a statement as a number came up that its type cannot hold.
pub fn is_out_of_range(error: &Error) -> bool {
    answered(error).is_some_and(|inner| inner.code().as_deref() == Some("22003"))
}

/// Whether a statement broke a unique or primary key.
pub fn is_unique_violation(error: &Error) -> bool {
    if let Some(inner) = answered(error) {
        return inner.is_unique_violation();
    }
    let extended = refused(error).and_then(rusqlite::Error::sqlite_error);
    extended.is_some_and(|error| {
        [rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE, rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY]
            .contains(&error.extended_code)
    })
}
