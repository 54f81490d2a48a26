//! `mpm update`.

use clap::Args;

use crate::cli::args::{AcceptArgs, WaitArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::{DependencyKey, HubId};
use crate::ops::update;

/// Lock newer versions within the requirements of Model.toml
#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Only these: a dependency's key, a package's name, or hf:ORG/NAME
    #[arg(value_name = "NAME", value_parser = name)]
    names: Vec<update::Name>,
    /// Only tell what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Parses what is to be updated.
fn name(typed: &str) -> Result<update::Name, String> {
    if HubId::is_meant(typed) {
        HubId::parse(typed).map(update::Name::Hub).map_err(|error| error.to_string())
    } else {
        DependencyKey::parse(typed).map(update::Name::Key).map_err(|error| error.to_string())
    }
}

impl Update {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> update::Request {
        update::Request {
            start: settings.start.clone(),
            names: self.names.clone(),
            dry_run: self.dry_run,
            accepted: self.accept.accepted(),
            wait: self.wait.duration(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long()?;
        let outcome = update::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        for change in &outcome.changes {
            printer.say(&text::change(change, context.settings.verbose));
        }
        if outcome.changes.is_empty() {
            printer.say("Nothing newer within the requirements of Model.toml");
        } else if outcome.written {
            printer.say("Model.lock is written; `mpm sync` places what it says");
        }
        printer.document(
            "mpm.update/1",
            serde_json::json!({
                "project": outcome.project.to_string_lossy(),
                "written": outcome.written,
                "changes": json::changes(&outcome.changes),
            }),
        );
        Ok(Status::Done)
    }
}
