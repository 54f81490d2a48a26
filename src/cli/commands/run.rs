//! `mpm run`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::{CliError, Failed};
use crate::cli::settings::Settings;
use crate::ops::run;

/// Run a command that finds what was placed: `MPM_PROJECT`, and `MPM_PATH_<KEY>` for each dependency
#[derive(Debug, Args)]
pub(in crate::cli) struct Run {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    #[expect(clippy::unused_self, reason = "every command has this form")]
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> run::Request {
        run::Request { start: settings.start.clone() }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let outcome = run::run(&services, &self.to_request(context.settings))?;
        let (program, arguments) =
            self.command.split_first().ok_or_else(|| CliError::Usage { message: "a command is needed".to_owned() })?;
        context.printer.flush();
        // Replaces this process; it comes back only if it could not.
        let mut command = std::process::Command::new(program);
        for name in outcome.removed {
            command.env_remove(name);
        }
        let source = command.args(arguments).envs(outcome.variables).exec();
        Err(CliError::Start { command: program.to_string_lossy().into_owned(), source }.into())
    }
}
