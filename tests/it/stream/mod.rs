//! The stream and what stands on it: one conformance suite over Redis, and provisioning through faults of it.

mod conformance;
mod faults;

use std::process::Command;

/// Talks to the server beside the stream, as an operator or a fault would.
fn cli(url: &str, arguments: &[&str]) -> Vec<u8> {
    let socket = url.strip_prefix("redis+unix://").unwrap();
    let out = Command::new("redis-cli").arg("-s").arg(socket).args(arguments).output().unwrap();
    assert!(out.status.success(), "{out:?}");
    out.stdout
}
