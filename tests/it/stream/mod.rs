//! The streams between relay and worker, each held to what the trait promises: Redis and its kin, and the log.

mod conformance;
mod log;

use crate::support::servers::Redis;

/// Talks to the server beside the stream, as an operator or a fault would.
fn tell(server: &Redis, words: &[&str]) {
    let mut connection = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    redis::cmd(words[0]).arg(&words[1..]).exec(&mut connection).unwrap();
}
