//! `mpm lock`.

use clap::Args;

use crate::cli::args::{AcceptArgs, LockArgs, WaitArgs};
use crate::cli::commands::{Context, Status};
use crate::cli::errors::Failed;
use crate::cli::settings::Settings;
use crate::cli::{json, text};
use crate::ops::{Accepted, lock};

/// Resolve Model.toml into Model.lock
#[derive(Debug, Args)]
pub(in crate::cli) struct Lock {
    /// Only check that Model.lock answers Model.toml, and say why it does not
    #[arg(long)]
    check: bool,
    /// Choose among the releases that are in the copy of the registry which is read, and say what that leaves out
    #[arg(long, conflicts_with = "check")]
    available: bool,
    /// Only tell what would change
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    rule: LockArgs,
    #[command(flatten)]
    accept: AcceptArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Lock {
    pub(in crate::cli) fn to_request(&self, settings: &Settings) -> lock::Request {
        lock::Request {
            start: settings.start.clone(),
            check: self.check,
            lock_rule: self.rule.rule(),
            dry_run: self.dry_run,
            accepted: Accepted { available: self.available, ..self.accept.accepted() },
            wait: self.wait.duration(),
        }
    }

    pub(super) fn exec(&self, context: &mut Context<'_>) -> Result<Status, Failed> {
        let services = context.long_with(self.rule.network())?;
        let outcome = lock::run(&services, &self.to_request(context.settings))?;
        context.bars.finish();
        let printer = &mut *context.printer;
        let entries = text::count(outcome.entries, "package");
        if self.check {
            printer.say(&format!("Model.lock answers Model.toml: {entries}"));
        } else {
            let standing = if outcome.written { "" } else { "; Model.lock stands as it was" };
            printer.say(&format!("Resolved {entries}{standing}"));
        }
        for change in &outcome.changes {
            printer.say(&text::change(change, context.settings.verbose));
        }
        printer.document(
            "mpm.lock/1",
            serde_json::json!({
                "project": outcome.project.to_string_lossy(),
                "entries": outcome.entries,
                "written": outcome.written,
                "changes": json::changes(&outcome.changes),
            }),
        );
        Ok(Status::Done)
    }
}
