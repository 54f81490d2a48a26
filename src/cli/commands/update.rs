//! `mpm update`.

use clap::Args;

use crate::cli::args::{AcceptArgs, WaitArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::model::PackageName;
use crate::ops::update;

/// Lock newer versions within the requirements of Model.toml
#[derive(Debug, Args)]
pub(in crate::cli) struct Update {
    /// Only these packages
    #[arg(value_name = "NAME")]
    names: Vec<PackageName>,
    /// Only tell what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
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
