//! The leak oracle: every value of every version of every row is unique, and the test itself, not the policy engine,
//! knows who may see which. Whatever path an actor takes, no byte of any answer has a value that is not granted, and
//! what is hidden answers like what does not exist.

mod agreed;
mod history;
mod live;
mod paths;
mod related;
mod world;
