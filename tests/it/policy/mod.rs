//! The policy compiler against other implementations of the same language: random policies, actors and rows, with
//! nulls and missing fields, decide alike.

mod fuzz;
mod oso;
pub mod random;
mod shown;
mod vm;
