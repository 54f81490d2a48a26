//! What tests share: builders of registries and projects, servers that lie, clocks, keys.

pub mod blob;
pub mod certificates;
pub mod evil;
pub mod http;
pub mod hub;
pub mod keys;
pub mod mounts;
pub mod peers;
pub mod project;
pub mod proxy;
pub mod registry;
pub mod schema;
pub mod server;
pub mod ssh;
pub mod transcript;
pub mod unshared;
