//! The stream between sourcing and provisioning: a hint that may vanish at any instant. Two kinds, one trait: the log
//! over the outbox, and Redis. Must not know plugins or collections; entries carry version, record id and hook only.
