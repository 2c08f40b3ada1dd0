//! What the suites share: servers, an application in this process, clients of every transport.

pub mod servers;
