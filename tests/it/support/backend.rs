//! The three modes, and the macro that runs one suite on each.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use sqlx::{Connection, PgConnection};

use super::servers::{Postgres, Redis};

/// What a node stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, the stream is a log in it.
    Embedded,
    /// PostgreSQL, the stream is a log in it.
    Postgres,
    /// PostgreSQL and Redis.
    Scaled,
}

impl Backend {
    /// Whether the machine has the servers; without them a test says so and passes, unless
    /// `WELLSPRING_REQUIRE_SERVICES` is set.
    pub fn available(self) -> bool {
        match self {
            Backend::Embedded => true,
            Backend::Postgres => postgres().is_some(),
            Backend::Scaled => postgres().is_some() && !Redis::every_installed().is_empty(),
        }
    }
}

/// The PostgreSQL that all tests of this process share.
pub fn postgres() -> Option<&'static Postgres> {
    static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
    SHARED.get_or_init(Postgres::start).as_ref()
}

/// A new, empty database of the shared PostgreSQL.
pub async fn fresh_database() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = postgres().expect("a test asks only for what is available");
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    create_database(server, &name).await
}

/// A new, empty database of this server.
pub async fn create_database(server: &Postgres, name: &str) -> String {
    let mut connection = PgConnection::connect(&server.url("postgres")).await.unwrap();
    let statement = format!("create database {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    server.url(name)
}

/// Makes of each `async fn name(backend)` one test a mode: `name::embedded`, `name::postgres`, `name::scaled`.
macro_rules! on_every_backend {
    ($($(#[$attribute:meta])* async fn $name:ident($backend:ident) $body:block)*) => {
        $(crate::support::on_backends! { [embedded Embedded, postgres Postgres, scaled Scaled]
            $(#[$attribute])* async fn $name($backend) $body })*
    };
}

/// The same for chosen modes.
macro_rules! on_backends {
    ([$($test:ident $mode:ident),+] $(#[$attribute:meta])* async fn $name:ident($backend:ident) $body:block) => {
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "a suite imports for all its tests")]
            use super::*;

            async fn run($backend: crate::support::Backend) $body

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let backend = crate::support::Backend::$mode;
                    if backend.available() {
                        run(backend).await;
                    } else {
                        println!("skipped: the machine lacks what {backend:?} needs");
                    }
                }
            )+
        }
    };
}

pub(crate) use {on_backends, on_every_backend};
