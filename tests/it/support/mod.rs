//! What the suites share: servers, a node in this process on any backend, clients.

mod app;
mod backend;
mod live;
mod outbox;
mod reader;
pub mod servers;

pub use app::{TestApp, eventually, soon, write_policies};
pub use backend::{Backend, create_database, fresh_database};
pub(crate) use backend::{on_backends, on_every_backend};
pub use live::Subscription;
pub use outbox::in_outbox;
pub use reader::{Reader, field, leaf};
