//! The door as clients see it: media types, statuses, tokens, bounds, sockets, event streams, the source
//! routes and the console's files. Every test has a node of its own in this process.

mod bounds;
mod connections;
mod console;
mod data;
mod graphql;
mod issuers;
mod lines;
mod node;
mod openapi;
mod past;
mod socket;
mod source;
mod sse;
mod tokens;
