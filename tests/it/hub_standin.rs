//! The stand-in for the Hugging Face hub is one to the hub's real clients: what other tests find out with it is so.

mod cache;
mod clients;
mod protocol;

pub use clients::files;
