//! Who may see and do what: Polar rules in, one engine-neutral filter out. The only maker of [`Scoped`] and the only
//! opener of [`Sealed`]. Must not touch the store.
//!
//! polar-core parses and validates the policy files (`load`); a static walk refuses at load what no filter can say
//! (`check`); our own solver (`machine`, `goals`, `lists`, `value`) runs the rules for a known actor and an unknown row
//! and answers with a [`Filter`](crate::query::Filter), which is SQL in the store and a check in memory for events.
//! polar-core's virtual machine and its partial evaluation are not used: the one costs too much per row, the other
//! loses conditions.

mod beyond;
mod bound;
mod cases;
mod check;
mod complaints;
mod engine;
mod explain;
mod fields;
mod files;
mod filter;
mod fits;
mod goals;
mod keys;
mod known;
mod lists;
mod load;
mod machine;
mod program;
mod request;
mod scope;
mod shapes;
mod text;
mod value;

pub use bound::View;
pub use cases::{Outcome, actor, run_cases};
pub use complaints::{Findings, Misfit};
pub use engine::{Action, Engine, Files};
pub use explain::{Explanation, Ruling, Shown, filter_text, mask_text, parts};
pub use request::Request;
pub use scope::{Access, Collections, Doubt, Opened, Said, Scope, Scoped, Sealed};
pub use shapes::nearest;
pub use text::Diagnostic;

#[cfg(test)]
mod tests;
