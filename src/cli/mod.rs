//! The only room that knows a terminal: arguments, text, JSON, bars, errors to exit codes. Decides nothing: without it no
//! behaviour would be lost, only words.

mod args;
mod ask;
mod bars;
mod commands;
mod env;
mod errors;
mod json;
mod printer;
mod settings;
mod signals;
mod text;
mod world;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};

use crate::cli::args::Cli;
use crate::cli::bars::Bars;
use crate::cli::commands::{Context, Status};
use crate::cli::errors::{CliError, Failed};
use crate::cli::printer::Printer;
use crate::cli::settings::Settings;
use crate::diagnose::Class;

pub use env::{VARIABLES, Variable};

/// Runs the command line; returns the exit code.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(bug));
    let environment = env::read();
    run(&environment, std::env::args_os().collect())
}

/// A panic is a bug of ours: it says where, and ends the process with the code for bugs. What was written stays whole,
/// since every write is made in place of nothing or by rename.
#[expect(clippy::disallowed_methods, reason = "other threads may hold what unwinding would wait for")]
fn bug(panic: &std::panic::PanicHookInfo<'_>) {
    let code = "E0999";
    let text =
        format!("error[{code}]: a bug in mpm: {panic}\n\nhint: please report it with the command that led here\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
    std::process::exit(i32::from(Class::Internal.exit_code()));
}

fn run(environment: &env::Environment, arguments: Vec<OsString>) -> ExitCode {
    // Asked before the arguments are parsed, since their errors are told in the same form.
    let json = environment.json || arguments.iter().any(|argument| argument == "--json");
    let parsed = Cli::command().try_get_matches_from(arguments).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(usage(&error, json)),
    };
    cli.global.color.set();
    let mut printer = Printer::new(&cli.global);
    let bars = Arc::new(Bars::new(&cli.global));
    let result = obey(&cli, environment, &mut printer, &bars);
    bars.finish();
    let code = match result {
        Ok(Status::Done) => 0,
        Ok(Status::Bad(class)) => class.exit_code(),
        Err(Failed(error)) => {
            errors::show(&*error, &mut printer);
            match (error.class(), signals::received()) {
                (Class::Interrupted, Some(signal)) => 128 + signal,
                (class, _) => class.exit_code(),
            }
        }
    };
    printer.flush();
    ExitCode::from(code)
}

fn obey(cli: &Cli, environment: &env::Environment, printer: &mut Printer, bars: &Arc<Bars>) -> Result<Status, Failed> {
    let settings = Settings::new(&cli.global, environment)?;
    let mut context = Context { settings: &settings, environment, printer, bars };
    cli.command.exec(&mut context)
}

/// Help and versions go to stdout with code 0; what is wrong, to stderr with code 2.
fn usage(error: &clap::Error, json: bool) -> u8 {
    if json && error.use_stderr() {
        let error = CliError::Usage { message: error.to_string().trim_end().to_owned() };
        errors::show_json(&error, &mut std::io::stderr().lock());
    } else {
        // A reader that went away has read enough.
        let _ = error.print();
    }
    if error.use_stderr() { Class::Usage.exit_code() } else { 0 }
}

#[cfg(test)]
mod tests;
