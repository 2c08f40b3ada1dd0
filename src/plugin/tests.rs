//! Conformance of the plugins.
