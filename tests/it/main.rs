//! The integration tests: one binary, shared support.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod author;
mod cli;
mod crash;
mod demo;
mod fetch;
mod flows;
mod formats;
mod index;
mod install;
mod kills;
mod policy;
mod project;
mod resolve;
mod store;
mod trust;
mod wrong;
