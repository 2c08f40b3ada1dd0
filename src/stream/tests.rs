//! Conformance of the streams.
