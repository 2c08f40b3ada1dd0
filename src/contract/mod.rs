//! Contracts: what one consumer is promised. Pure data; nothing is promised yet, so a request that names a contract is
//! refused. Must not do I/O.
