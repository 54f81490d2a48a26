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
//!
//! Files on disk and the room that owns each:
//!
//! | file | room |
//! |---|---|
//! | `Model.toml` | [`manifest`] |
//! | `Model.lock`, `Model.lock.d/` | [`lock`] |
//! | `.mpm/receipt.json`, `.mpm/files/`, placed files | [`install`] |
//! | layouts for other tools, such as `.mpm/hf/` | [`layout`] says what stands there, [`install`] places it |
//! | `config.toml` of user and site | [`config`] |
//! | `store/v1/` but for `facts/` | [`store`], with partial downloads of [`fetch`] |
//! | `store/v1/facts/` | [`inspect`] |
//! | `trust/<root>/` in the state folder, copies of indexes in the cache folder | [`index`] |
//! | a registry's folder | read by [`index`], written by [`registry`] and [`publish`] |
//! | a mirror's folder: `.mpm-mirror/`, `copy.json`, `checkpoints/` | [`mirror`] |
//! | token files and the server's notes | [`serve`] |
//! | bundles: `*.mpmb`, volumes, folders with a `BUNDLE` | [`bundle`], what they mean [`mirror`] |
//! | key files | [`keys`] |
//! | leases | [`sys`] |
//!
//! What never happens: an unverified byte in the store, a refused package in a project, a socket under `--offline`, a
//! secret key outside [`keys`], text for people outside [`cli`]. docs/architecture.md says why and where.
//!
//! The library is synchronous: from inside another tokio runtime, call it through `spawn_blocking`.

pub mod diagnose;
pub mod model;
pub mod progress;

pub mod sys;

pub mod catalog;
pub mod chunk;
pub mod config;
pub mod formats;
pub mod hub;
pub mod layout;
pub mod lock;
pub mod manifest;
pub mod pack;
pub mod policy;
pub mod resolve;
pub mod scan;
pub mod select;
pub mod statement;
pub mod trust;

pub mod bundle;
pub mod fetch;
pub mod index;
pub mod inspect;
pub mod install;
pub mod keys;
pub mod mirror;
pub mod publish;
pub mod registry;
pub mod serve;
pub mod store;
pub mod verify;

pub mod cli;
pub mod ops;
