//! `mpm completions`.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::args::Cli;
use crate::cli::commands::Status;

/// Print a script that completes commands in a shell
#[derive(Debug, Args)]
pub(in crate::cli) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn exec(&self) -> Status {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "mpm", &mut script);
        // A reader that went away has read enough.
        let _ = std::io::stdout().lock().write_all(&script);
        Status::Done
    }
}
