//! The real binary under faults: ended at named points and by signals, one of several nodes killed or paused, its
//! database restarted, its Redis flushed, stopped, filled and rolled back, while records stream in. One oracle judges
//! all of it.

mod load;
mod nodes;
mod oracle;
mod outages;
mod points;
pub mod server;
