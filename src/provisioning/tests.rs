//! The relay and the worker under every kind of fault.
