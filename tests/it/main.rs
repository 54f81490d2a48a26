//! The integration tests: one binary, shared support.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    clippy::type_complexity,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "tests: they may fail loudly, write where they like, and share more than each needs"
)]

#[path = "../support/mod.rs"]
mod support;

mod adopt;
mod author;
mod bundle;
mod cli;
mod containers;
mod crash;
mod crowd;
mod delta;
mod demo;
mod disks;
mod doctor;
mod drills;
mod evil;
mod fetch;
mod flows;
mod formats;
mod fuzz;
mod gc;
mod guide;
mod hub;
mod hub_standin;
mod index;
mod install;
mod kills;
mod layers;
mod layout;
mod login;
mod mirror;
mod network;
mod packs;
mod perf;
mod policy;
mod project;
mod puzzles;
mod resolve;
mod scale;
mod schemas;
mod serve;
mod serve_hub;
mod shared;
mod store;
mod transcripts;
mod trust;
mod tuf;
mod wrong;
