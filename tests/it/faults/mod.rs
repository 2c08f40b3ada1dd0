//! The real binary under faults: ended at named points and by SIGKILL, its database restarted, its Redis flushed,
//! stopped and rolled back, while records stream in. One oracle judges all of it.

mod load;
mod oracle;
mod outages;
mod points;
mod server;
