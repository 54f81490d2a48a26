//! One file a verb: Request, Outcome, Error, `run()`. Puts stages in order; decides nothing that a stage could.
//!
//! `project` opens the files of a project, `locking` makes a lock, `contents` gathers what locked releases hold,
//! `bringing` fetches, `indexes` and `delta` keep what it fetches small, `hub_cache` and `adopting` take what is on the machine already, `pipeline` is the error that verbs share which do all of it.

mod adopting;
mod authoring;
mod bringing;
mod contents;
mod delta;
mod error;
mod exporting;
mod hub_cache;
mod hubs;
mod indexes;
mod locking;
mod mirroring;
mod named;
mod narrowing;
mod pipeline;
mod project;
mod registries;
mod report;
mod seeding;
pub mod services;
mod serving;
mod sources;

pub mod add;
pub mod adopt;
pub mod bundle_create;
pub mod bundle_import;
pub mod bundle_look;
pub mod complete;
pub mod config_show;
pub mod diff;
pub mod doctor;
pub mod fetch;
pub mod get;
pub mod index_checkpoint;
pub mod index_init;
pub mod info;
pub mod init;
pub mod key_new;
pub mod list;
pub mod lock;
pub mod login;
pub mod mirror_sync;
pub mod mirror_verify;
pub mod outdated;
pub mod path;
pub mod publish;
pub mod remove;
pub mod run;
pub mod search;
pub mod serve;
pub mod serve_token;
pub mod store;
pub mod sync;
pub mod tree;
mod unpacking;
pub mod update;
pub mod upgrade;
pub mod verify;
pub mod why;

pub use adopting::{Left, Refused};
pub use authoring::{AuthoringError, Protection};
pub use error::{PipelineError, ProjectError};
pub use mirroring::Source;
pub use named::Name;
pub use report::{Change, FilesChange, LaidOut, PackageLine, Travel};
pub use services::{Ask, HubSettings, Nobody, Question, Services};

/// Whether a command may change Model.lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LockRule {
    /// It may.
    #[default]
    Free,
    /// It checks, and never writes (`--locked`, `--frozen`).
    Locked,
}

/// What a person has accepted on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Publisher keys (`--accept-key`).
    pub keys: std::collections::BTreeSet<crate::model::Fingerprint>,
    /// First roots that replace the locked ones (`--accept-root`).
    pub roots: std::collections::BTreeSet<crate::model::Sha256>,
    /// Every other question (`--yes`).
    pub yes: bool,
    /// That versions which a copy of a part lacks are passed over (`lock --available`).
    pub available: bool,
}
