//! `mpm login` and `mpm logout`.

use std::io::{BufRead as _, IsTerminal as _, Read as _};

use clap::Args;

use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::ops::login::{self, Keeper};

/// Most bytes of a token's line.
const MAX_LINE: u64 = 64 << 10;

/// Keep a token for one host; it is read from standard input or a prompt, and sent to that host alone
#[derive(Debug, Args)]
pub(in crate::cli) struct Login {
    /// A host, a registry of Model.toml, or hf for the Hugging Face hub
    #[arg(value_name = "HOST|REGISTRY")]
    subject: String,
}

/// Forget the token of a host
#[derive(Debug, Args)]
pub(in crate::cli) struct Logout {
    /// A host, a registry of Model.toml, or hf for the Hugging Face hub
    #[arg(value_name = "HOST|REGISTRY")]
    subject: String,
}

fn request(subject: &str, settings: &Settings) -> login::Request {
    login::Request { start: settings.start.clone(), subject: subject.to_owned() }
}

/// A line of standard input, or what is typed unseen.
fn typed(host: &str) -> Option<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("Token for {host}: ")).ok();
    }
    let mut line = String::new();
    std::io::stdin().lock().take(MAX_LINE).read_line(&mut line).ok()?;
    Some(line)
}

impl Login {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let host = login::host(&services, &request(&self.subject, context.settings))?;
        let outcome = login::login(&services, &host, typed(&host).as_deref())?;
        context
            .printer
            .say(&format!("Stored the token for {host} in {}; it is sent there alone", keeper(&outcome.keeper)));
        if let Some(before) = outcome.shadowed_by {
            context.printer.say(&format!("{before} has a token for {host} too, and it counts first"));
        }
        context.printer.document("mpm.login/1", document(&outcome));
        Ok(Status::Done)
    }
}

impl Logout {
    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.brief()?;
        let host = login::host(&services, &request(&self.subject, context.settings))?;
        let outcome = login::logout(&services, &host)?;
        let printer = &mut *context.printer;
        printer.say(&match outcome.removed {
            Some(false) => format!("No token for {host} was stored in {}", keeper(&outcome.keeper)),
            _ => format!("Removed the token for {host} from {}", keeper(&outcome.keeper)),
        });
        if let Some(before) = outcome.shadowed_by {
            printer.say(&format!("{before} still has a token for {host}"));
        }
        printer.document("mpm.logout/1", document(&outcome));
        Ok(Status::Done)
    }
}

fn keeper(keeper: &Keeper) -> String {
    match keeper {
        Keeper::Helper(program) => format!("the helper {program}"),
        Keeper::File(path) => path.display().to_string(),
    }
}

fn document(outcome: &login::Outcome) -> serde_json::Value {
    let (kind, at) = match &outcome.keeper {
        Keeper::Helper(program) => ("helper", program.clone()),
        Keeper::File(path) => ("file", path.display().to_string()),
    };
    serde_json::json!({
        "host": outcome.host,
        "kept-by": { "kind": kind, "at": at },
        "removed": outcome.removed,
        "shadowed-by": outcome.shadowed_by,
    })
}
