//! Whoever is asked: where it listens, which process it is, and what it is asked with.

use crate::{
    client::Connection,
    workloads::{Kind, Workload},
};

pub struct Peer {
    pub name: &'static str,
    pub kind: Kind,
    /// `host:port`.
    pub address: String,
    pub pid: u32,
    pub token: String,
}

impl Peer {
    pub fn connect(&self) -> Connection {
        Connection::open(&self.address)
    }

    pub fn request(&self, workload: Workload, n: u64, rows: u64) -> Vec<u8> {
        workload.request(self.kind, &self.token, n, rows)
    }
}

/// The `host:port` of a URL.
pub fn address(url: &str) -> String {
    url.trim().trim_start_matches("http://").trim_end_matches('/').to_owned()
}
