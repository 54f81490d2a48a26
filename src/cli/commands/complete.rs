//! `mpm complete`, which the scripts of `mpm completions` call: what could stand next, one a line.

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::ops::complete::{self, Wanted};
use crate::sys::{Cancel, NetworkPolicy};

/// Print what could stand next on a command line
#[derive(Debug, Args)]
pub(in crate::cli) struct Complete {
    /// What stands behind `mpm` so far, the word at the cursor last
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Complete {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> Option<complete::Request> {
        let (typed, before) = self.words.split_last()?;
        let (wanted, folder) = wanted(before, typed)?;
        let start = folder.map_or_else(|| settings.start.clone(), |folder| settings.start.join(folder));
        Some(complete::Request { start, wanted, typed: typed.clone() })
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let Some(request) = self.to_request(context.settings) else { return Ok(Status::Done) };
        // Never a socket: a shell waits, and nobody asked to go anywhere.
        let services = context.services(NetworkPolicy::Offline, Cancel::new())?;
        for word in complete::run(&services, &request) {
            context.printer.data(&word);
        }
        Ok(Status::Done)
    }
}

/// What kind of word is wanted behind these, and the folder that `-C` names.
fn wanted(before: &[String], typed: &str) -> Option<(Wanted, Option<String>)> {
    let mut folder = None;
    let mut command = None;
    let mut words = before.iter().map(String::as_str);
    let mut last = None;
    while let Some(word) = words.next() {
        last = Some(word);
        match word {
            "-C" | "--directory" => folder = words.next().map(str::to_owned),
            "--color" => drop(words.next()),
            _ if word.starts_with('-') || command.is_some() => {}
            _ => command = Some(word),
        }
    }
    let command = command?;
    let wanted = match (last.unwrap_or_default(), command) {
        ("--group" | "--to-group" | "--from-group", _) => Wanted::Groups,
        ("--profile", _) => Wanted::Profiles,
        ("--registry", "add" | "info" | "get" | "search") => Wanted::Registries,
        _ if typed.starts_with('-') => return None,
        (option, _) if option.starts_with("--") && takes_a_value(command, option) => return None,
        (_, "add" | "info" | "get") => Wanted::Packages,
        (_, "remove" | "path" | "upgrade") => Wanted::Keys,
        (_, "update" | "why") => Wanted::Locked,
        _ => return None,
    };
    Some((wanted, folder))
}

/// Whether the word behind an option is its value.
fn takes_a_value(command: &str, option: &str) -> bool {
    use clap::CommandFactory as _;
    let cli = crate::cli::args::Cli::command();
    let of = |found: &clap::Command| {
        found
            .get_arguments()
            .any(|argument| argument.get_long() == option.strip_prefix("--") && argument.get_action().takes_values())
    };
    cli.find_subcommand(command).is_some_and(of) || of(&cli)
}
