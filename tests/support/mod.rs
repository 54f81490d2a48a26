//! What tests share: builders of registries and projects, servers that lie, clocks, keys.

pub mod server;
