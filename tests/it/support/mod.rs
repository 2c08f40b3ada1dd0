//! What the suites share: servers, a node in this process on any backend, clients.

mod app;
mod backend;
mod live;
pub mod servers;

pub use app::TestApp;
pub use backend::Backend;
pub(crate) use backend::{on_backends, on_every_backend};
