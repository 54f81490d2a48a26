//! `mpm update`.

use clap::Args;

use crate::cli::args::{AcceptArgs, WaitArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::{CliError, Failed};
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{DependencyKey, HubId, Version};
use crate::ops::{Name, update};

/// Lock newer versions within the requirements of Model.toml
#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Only these: a dependency's key, a package's name, or hf:ORG/NAME
    #[arg(value_name = "NAME", value_parser = name)]
    names: Vec<Name>,
    /// Lock exactly this version of the one NAME, also an older or a yanked one
    #[arg(long, value_name = "VERSION", requires = "names", value_parser = Version::parse)]
    precise: Option<Version>,
    /// Only tell what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Parses what of the lock is meant.
pub(super) fn name(typed: &str) -> Result<Name, String> {
    if HubId::is_meant(typed) {
        HubId::parse(typed).map(Name::Hub).map_err(|error| error.to_string())
    } else {
        DependencyKey::parse(typed).map(Name::Key).map_err(|error| error.to_string())
    }
}

impl Update {
    /// What is meant, or what the command line lacks.
    fn what(&self) -> Result<update::What, String> {
        match (&self.precise, self.names.as_slice()) {
            (Some(version), [name]) => Ok(update::What::Precise(name.clone(), version.clone())),
            (Some(_), names) => Err(format!("--precise goes with exactly one NAME, found {}", names.len())),
            (None, []) => Ok(update::What::All),
            (None, names) => Ok(update::What::Named(names.to_vec())),
        }
    }

    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> Result<update::Request, String> {
        Ok(update::Request {
            start: settings.start.clone(),
            what: self.what()?,
            dry_run: self.dry_run,
            accepted: self.accept.accepted(),
            wait: self.wait.duration(),
        })
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let request = self.to_request(context.settings).map_err(|message| CliError::Usage { message })?;
        let services = context.long()?;
        let outcome = update::run(&services, &request)?;
        context.bars.finish();
        let printer = &mut *context.printer;
        for change in &outcome.changes {
            printer.say(&text::change(change, context.settings.verbose));
        }
        if outcome.changes.is_empty() {
            let standing = match &self.precise {
                Some(version) => format!("Model.lock has version {version} already"),
                None => "Nothing newer within the requirements of Model.toml".to_owned(),
            };
            printer.say(&standing);
        } else if outcome.written {
            printer.say("Model.lock is written; `mpm sync` places what it says");
        }
        let mut document = serde_json::json!({
            "project": outcome.project.to_string_lossy(),
            "written": outcome.written,
            "changes": json::changes(&outcome.changes),
        });
        if let Some(travel) = &outcome.travel {
            if !outcome.changes.is_empty() {
                text::travel(travel, true, context.settings.verbose, printer);
            }
            if let Some(fields) = document.as_object_mut() {
                fields.insert("travel".to_owned(), json::travel(travel));
            }
        }
        printer.document("mpm.update/1", document);
        Ok(Status::Done)
    }
}
