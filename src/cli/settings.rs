//! What a command line means, whatever the command.

use std::path::{Component, Path, PathBuf};

use crate::cli::args::Global;
use crate::cli::env::Environment;
use crate::cli::errors::CliError;
use crate::config::Config;

/// The meaning of the options that every command has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// The folder in which the command works, absolute.
    pub(super) start: PathBuf,
    /// One JSON document on stdout.
    pub(super) json: bool,
    /// More words.
    pub(super) verbose: bool,
    /// No socket.
    pub(super) offline: bool,
    /// What the command line says of settings that files can hold.
    pub(super) options: Config,
}

impl Settings {
    pub(super) fn new(global: &Global, environment: &Environment) -> Result<Self, CliError> {
        let here = environment.working_folder.as_deref();
        let start = match (&global.directory, here) {
            (Some(folder), _) if folder.is_absolute() => plain(folder),
            (Some(folder), Some(here)) => plain(&here.join(folder)),
            (None, Some(here)) => here.to_owned(),
            (_, None) => return Err(CliError::NoWorkingFolder),
        };
        let options = Config { jobs: global.jobs.map(usize::from), limit_rate: global.limit_rate, ..Config::default() };
        Ok(Self { start, json: global.json, verbose: global.verbose, offline: global.offline, options })
    }
}

/// The path without `.` components; `..` stays, since it may follow a symbolic link.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}
