//! `modelpm`: a package manager for model artifacts.
//!
//! The pipeline, each arrow a type that only the stage on its left can make:
//!
//! ```text
//!  Model.toml                                                                         files in the project
//!      │                                                                                      ▲
//!  manifest → resolve → lock → select → policy → fetch → verify → store → inspect → install ──┘
//!  Manifest  Resolution  Lock  Selected  Approved Staged  Verified Entry   Facts    Receipt
//!                ▲               ▲                                   policy × Facts = Cleared
//!  trust → index → catalog    statement
//! ```

pub mod diagnose;
pub mod model;
pub mod progress;

pub mod sys;

pub mod catalog;
pub mod config;
pub mod formats;
pub mod lock;
pub mod manifest;
pub mod policy;
pub mod resolve;
pub mod scan;
pub mod select;
pub mod statement;
pub mod trust;

pub mod fetch;
pub mod index;
pub mod inspect;
pub mod install;
pub mod keys;
pub mod publish;
pub mod registry;
pub mod store;
pub mod verify;

pub mod cli;
pub mod ops;
